// SPDX-License-Identifier: Apache-2.0
// The types that protocol fields have beside integers and strings.
//
// Requests are decoded as views: std::string_view and Bytes point into the buffer that was decoded, and live as long as
// it does. Responses own what they hold (std::string for text and for opaque bytes), except for record batches, which
// are lent by whoever reads them and pass through untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::protocol {

/// A view of opaque bytes, compared by content.
struct Bytes : std::span<const std::byte> {
  using std::span<const std::byte>::span;
  Bytes() = default;
  Bytes(std::span<const std::byte> view) : std::span<const std::byte>(view) {}
  Bytes(std::string_view text) : std::span<const std::byte>(std::as_bytes(std::span(text.data(), text.size()))) {}

  /// The same bytes as characters.
  std::string_view text() const { return {reinterpret_cast<const char*>(data()), size()}; }

  friend bool operator==(const Bytes& a, const Bytes& b) { return a.text() == b.text(); }
};

/// The record batches of one partition on their way out: the concatenation of `slices`, in order. Nothing is copied
/// when it is encoded (short slices excepted); `keep_alive` is held until the encoded response is dropped, and must
/// keep the slices' memory valid and unchanged that long. Decoding a response gives one slice into the decoded buffer.
struct RecordsOut {
  /// A part of an open file that goes before slices[before] (or to the end, where `before` is the number of slices).
  struct FileSlice {
    size_t before = 0;
    int fd = -1;
    uint64_t position = 0;
    uint64_t length = 0;
  };

  std::vector<std::span<const std::byte>> slices;
  std::vector<FileSlice> files;  // in order
  std::shared_ptr<const void> keep_alive;
  /// Sent as null instead of as no bytes. Brokers send no bytes: some clients do not expect null.
  bool is_null = false;

  size_t size_bytes() const {
    size_t total = 0;
    for (const auto& slice : slices) total += slice.size();
    for (const auto& file : files) total += file.length;
    return total;
  }
  /// By content, wherever the slices are cut; parts of files are not looked into, and equal only themselves.
  friend bool operator==(const RecordsOut& a, const RecordsOut& b);
};

/// The part of `frame` that `view` shows, for changing it in place; empty if `view` does not lie within `frame`.
/// The handler of Produce stamps offsets into the request's own buffer through this.
std::span<std::byte> mutable_view(std::span<std::byte> frame, std::span<const std::byte> view);

}  // namespace sluice::protocol
