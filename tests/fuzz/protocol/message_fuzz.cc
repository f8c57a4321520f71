// SPDX-License-Identifier: Apache-2.0
// Decodes hostile bytes as any message at any version. The first byte chooses the message, the second the version. What
// is accepted is encoded, and must then be a fixed point: decoding and encoding it again gives the same bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "message_cases.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::protocol::cases;
  if (size < 2) return 0;
  const auto cases = message_cases();
  const MessageCase& message = cases[data[0] % cases.size()];
  const int versions = message.max_version - message.min_version + 1;
  const auto version = static_cast<int16_t>(message.min_version + data[1] % versions);
  const auto body = std::as_bytes(std::span(data + 2, size - 2));

  const auto encoded = message.recode(body, version);
  if (!encoded) return 0;
  const auto again = message.recode(*encoded, version);
  if (!again || *again != *encoded) std::abort();
  if (!message.describe(*encoded, version)) std::abort();
  return 0;
}

// Starts mutations from valid messages now and then: structure that random bytes seldom find.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  using namespace sluice::protocol::cases;
  if (seed % 16 != 0 || size < 2) return LLVMFuzzerMutate(data, size, max_size);
  const auto cases = message_cases();
  const MessageCase& message = cases[data[0] % cases.size()];
  const int versions = message.max_version - message.min_version + 1;
  const auto valid = message.random(seed, static_cast<int16_t>(message.min_version + data[1] % versions));
  if (!valid || valid->size() + 2 > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::transform(valid->begin(), valid->end(), data + 2, [](std::byte b) { return static_cast<uint8_t>(b); });
  return valid->size() + 2;
}
