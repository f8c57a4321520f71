// SPDX-License-Identifier: Apache-2.0
// The entry of one message in the table of message_cases.hpp. Included by the generated table alone, after the fillers.
#pragma once

#include "message_cases.hpp"
#include "protocol/codec.hpp"
#include "random_values.hpp"

namespace sluice::protocol::cases {

template <class M>
Result<std::vector<std::byte>> recode(std::span<const std::byte> body, int16_t version) {
  auto message = decode<M>(body, version);
  if (!message) return fail(message.error());
  auto encoded = encode(*message, version);
  if (!encoded) return fail(encoded.error());
  return encoded->to_vector();
}

template <class M>
Result<std::string> describe_body(std::span<const std::byte> body, int16_t version) {
  auto message = decode<M>(body, version);
  if (!message) return fail(message.error());
  return describe(*message);
}

template <class M>
Result<std::vector<std::byte>> random_message(uint64_t seed, int16_t version) {
  RandomValues random(seed);
  M message;
  fill(random, version, message);
  auto encoded = encode(message, version);
  if (!encoded) return fail(encoded.error());
  std::vector<std::byte> bytes = encoded->to_vector();
  auto copy = decode<M>(bytes, version);
  if (!copy) return fail(copy.error());
  if (!(*copy == message)) {
    return fail(StatusCode::internal, "filled " + describe(message) + "\ndecoded " + describe(*copy));
  }
  return bytes;
}

template <class M>
constexpr MessageCase make_case() {
  return {M::kName, M::kMinVersion, M::kMaxVersion, &recode<M>, &describe_body<M>, &random_message<M>};
}

}  // namespace sluice::protocol::cases
