// SPDX-License-Identifier: Apache-2.0
// The responses of one connection, in the order of their requests, whatever order they finish in, and how far they have
// been written. Does no I/O. One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "net/request.hpp"

namespace sluice::net {

class ResponseQueue {
 public:
  /// The place in the order of a request that has just come.
  uint64_t open();
  /// Its response. Once for each place.
  void finish(uint64_t place, Response response);

  /// Requests without a response.
  size_t in_flight() const { return in_flight_; }
  /// Requests whose response has not been written whole, in_flight() included.
  size_t waiting() const { return slots_.size(); }
  /// Bytes of finished responses that have not been written, size prefixes included.
  uint64_t queued_bytes() const { return queued_bytes_; }
  /// There is something to write.
  bool ready() const { return !slots_.empty() && slots_.front().done; }

  /// Shows what is to be written next, range by range as Segments, until `visitor(segment)` returns false or everything
  /// that is ready has been shown.
  template <class Visitor>
  void show(Visitor&& visitor) const {
    uint64_t skip = written_;
    for (const Slot& slot : slots_) {
      if (!slot.done) return;
      if (slot.response.none) continue;
      if (!show_range(Segment{.data = slot.prefix.data(), .length = slot.prefix.size()}, skip, visitor)) return;
      for (const Segment& segment : slot.response.segments.segments()) {
        if (!show_range(segment, skip, visitor)) return;
      }
      if (slot.response.close_connection) return;
    }
  }

  /// `bytes` more of what show() shows have been written; 0 passes responses that are none. What is written whole is
  /// freed.
  void advance(uint64_t bytes);

  /// A response that closes the connection has been written; nothing more will be shown.
  bool closing() const { return closing_; }
  /// Such a response has come, whether or not it is its turn: what is asked after it will not be answered.
  bool will_close() const { return will_close_; }
  /// Drops everything; later finish() does nothing.
  void drop();

 private:
  static constexpr size_t kPrefixBytes = 4;
  struct Slot {
    bool done = false;
    Response response;
    std::array<uint8_t, kPrefixBytes> prefix{};
    uint64_t size() const { return response.none ? 0 : kPrefixBytes + response.segments.size(); }
  };

  template <class Visitor>
  static bool show_range(Segment segment, uint64_t& skip, Visitor& visitor) {
    if (skip >= segment.length) {
      skip -= segment.length;
      return true;
    }
    if (segment.is_file()) {
      segment.position += skip;
    } else {
      segment.data += skip;
    }
    segment.length -= skip;
    skip = 0;
    return visitor(std::as_const(segment));
  }

  std::deque<Slot> slots_;
  uint64_t first_ = 0;    // place of slots_.front()
  uint64_t written_ = 0;  // bytes of slots_.front()
  size_t in_flight_ = 0;
  uint64_t queued_bytes_ = 0;
  bool closing_ = false;
  bool will_close_ = false;
};

}  // namespace sluice::net
