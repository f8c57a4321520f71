// SPDX-License-Identifier: Apache-2.0
// What a response is made of: a chain of byte ranges that are written one after the other. A range is owned memory,
// memory borrowed from somebody whom the chain keeps alive, or a part of an open file. Nothing is copied on the way to
// the socket, except file ranges, which pass through a buffer of the loop's.
//
// Plain values: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.hpp"

namespace sluice::net {

/// Memory (fd < 0), or `length` bytes of the open file `fd` from `position`.
struct Segment {
  const uint8_t* data = nullptr;
  uint64_t length = 0;
  uint64_t position = 0;
  int fd = -1;

  bool is_file() const { return fd >= 0; }
};

/// An ordered list of segments and whatever keeps them valid. Empty segments are dropped. Move-only.
class SegmentChain {
 public:
  SegmentChain() = default;
  SegmentChain(SegmentChain&&) noexcept = default;
  SegmentChain& operator=(SegmentChain&&) noexcept = default;

  /// Takes the buffer's memory.
  void append(Buffer bytes);
  /// Shares `bytes`, which stay unchanged for as long as `keep_alive` lives. A null keep_alive: they outlive the chain,
  /// or a keep() covers them.
  void append(Bytes bytes, std::shared_ptr<const void> keep_alive = nullptr);
  /// Shares a part of a file. The file must hold the range when it is written (seconds later, perhaps); `keep_alive`
  /// keeps `fd` open and those bytes in place.
  void append_file(int fd, uint64_t position, uint64_t length, std::shared_ptr<const void> keep_alive = nullptr);
  /// Keeps `owner` alive until the whole chain has been written or dropped.
  void keep(std::shared_ptr<const void> owner);

  const std::vector<Segment>& segments() const { return segments_; }
  /// The length of all segments together, in bytes.
  uint64_t size() const { return size_; }
  bool empty() const { return segments_.empty(); }

 private:
  std::vector<Segment> segments_;
  std::vector<Buffer> owned_;
  std::vector<std::shared_ptr<const void>> keep_alive_;
  uint64_t size_ = 0;
};

}  // namespace sluice::net
