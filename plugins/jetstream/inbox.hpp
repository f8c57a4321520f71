// SPDX-License-Identifier: Apache-2.0
// What comes from the server, taken apart: the protocol's lines, and messages that stay where they were received. cnats
// would copy each into memory of its own, and hand it to another thread to be freed.
//
// No I/O: whoever has the socket asks where the next bytes go and says how many came. Small messages lie side by side
// in chunks; a large one that was not received as a whole gets memory of just its size. One thread at a time.
// Format: https://docs.nats.io/reference/reference-protocols/nats-protocol
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "jetstream/message.hpp"

namespace sluice::jetstream {

class Inbox {
 public:
  /// What small messages are received into.
  static constexpr size_t kChunkBytes = size_t{64} << 10;
  /// From this size on a message is not left in a chunk that it goes beyond.
  static constexpr size_t kAloneBytes = size_t{16} << 10;
  /// Behind one that had its own memory another is likely: so much is taken of what follows, then the rest of it where
  /// it is to lie.
  static constexpr size_t kHeadBytes = size_t{2} << 10;
  /// The longest line (INFO, in a large cluster) and the largest message that a server is believed to send.
  static constexpr size_t kLongestLineBytes = size_t{1} << 20;
  static constexpr size_t kLargestMessageBytes = size_t{128} << 20;

  enum class Kind : uint8_t {
    nothing,   // more bytes are needed
    message,   // `message`
    ping,      // is to be answered
    pong,      // is an answer
    error,     // `text`, until the next call
    other,     // of no interest
    nonsense,  // no line of the protocol: nothing that comes behind it can be read
  };
  struct Item {
    Kind kind = Kind::nothing;
    Message message = {};
    std::string_view text = {};
  };

  /// Where the next bytes go; never empty.
  std::span<uint8_t> room();
  /// So many came.
  void received(size_t bytes) {
    end_ += bytes;
    large_before_ = false;
  }
  /// What is next in them.
  Item next();

 private:
  size_t there() const { return end_ - begin_; }
  void move_to(size_t size);
  Item take_line(std::string_view line, size_t size);

  std::shared_ptr<uint8_t[]> memory_;
  size_t size_ = 0;            // of the memory
  size_t begin_ = 0;           // what was not taken yet begins here,
  size_t end_ = 0;             // and ends here
  size_t needed_ = 0;          // of it for the message that has begun; 0: not known
  bool alone_ = false;         // the memory is that message's
  bool large_before_ = false;  // the last message had its own
};

}  // namespace sluice::jetstream
