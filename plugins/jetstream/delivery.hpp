// SPDX-License-Identifier: Apache-2.0
// What the server says of a message that it delivers for a consumer: the subject that an acknowledgement would go to,
//
//   $JS.ACK.STREAM.CONSUMER.TIMES.SEQUENCE.CONSUMER-SEQUENCE.NANOSECONDS.PENDING
//
// or, of servers that may be asked for it, with the domain and the account's hash in front of the stream, and maybe one
// token more at the end. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::jetstream {

inline constexpr std::string_view kAckPrefix = "$JS.ACK.";

/// Views into what was parsed.
struct Delivery {
  std::string_view stream;
  std::string_view consumer;
  uint64_t sequence = 0;  // in the stream
  int64_t stored_ms = 0;  // since the epoch
  uint64_t pending = 0;   // how many messages the consumer has yet to deliver
};

/// Nothing: it is no such subject.
std::optional<Delivery> parse_delivery(std::string_view subject);

}  // namespace sluice::jetstream
