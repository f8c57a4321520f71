// SPDX-License-Identifier: Apache-2.0
// Messages on their way to the server as the protocol's lines, with payloads that are sent from where they lie. cnats
// would copy each twice, into memory that is new every time; here the kernel's copy is the only one.
//
// No I/O: whoever has the socket asks what is next and says how much of it went out. Invariants: messages leave in the
// order of push(), whole; of a payload nothing is referred to after withdraw(). One thread at a time.
// Format: https://docs.nats.io/reference/reference-protocols/nats-protocol
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "jetstream/outgoing.hpp"

namespace sluice::jetstream {

class Outbox {
 public:
  /// Payloads up to this size, and those of pieces that are no larger on average, are copied.
  static constexpr size_t kCopiedBytes = 2048;

  enum class Sent : uint8_t { no, partly, whole };

  /// Whether the lines of it are lines, so that the server reads what was meant.
  static bool is_sound(const Outgoing& outgoing);
  /// Bytes of the message as the server counts them against max_payload: headers and payload.
  static size_t message_bytes(const Outgoing& outgoing);

  /// `outgoing` is sound, and stays until withdraw(id) or until it is sent. `id`: above all before. `reply`: a subject.
  void push(uint64_t id, const Outgoing& outgoing, std::string_view reply);
  /// A line of the protocol, with its end. `id`: as above; nobody withdraws it.
  void push_line(uint64_t id, std::string line) { frames_.push_back({id, std::move(line), nullptr}); }

  bool empty() const { return frames_.empty(); }
  /// Fills `pieces` with what is next, and says how many they are.
  size_t next(std::span<iovec> pieces) const;
  /// So many bytes of that went out.
  void sent(size_t bytes);

  /// How much of it went out. One that has not begun never will; of one that has, the rest is copied.
  Sent withdraw(uint64_t id);

 private:
  struct Frame {
    uint64_t id;
    std::string text;       // lines and headers; and what is copied, with the end of the line
    const Pieces* payload;  // nullptr: in `text`
    size_t pieces() const { return payload != nullptr ? payload->list().size() + 2 : 1; }
    Bytes piece(size_t index) const;
  };

  std::deque<Frame> frames_;
  size_t piece_ = 0;    // of the first frame, that goes out next
  size_t offset_ = 0;   // in it
  bool begun_ = false;  // part of the first frame went out
};

}  // namespace sluice::jetstream
