// SPDX-License-Identifier: Apache-2.0
// Every message of the schema behind one plain interface, for tests and fuzzers that go through all of them. The table
// and the random fillers behind it are generated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

namespace sluice::protocol::cases {

struct MessageCase {
  std::string_view name;  // "FetchRequest"
  int16_t min_version;
  int16_t max_version;

  /// Decodes `body` and encodes the result again.
  Result<std::vector<std::byte>> (*recode)(std::span<const std::byte> body, int16_t version);
  /// Decodes `body` and describes the result.
  Result<std::string> (*describe)(std::span<const std::byte> body, int16_t version);
  /// A message with random values in every field that `version` has, encoded. The same seed gives the same bytes. It
  /// was decoded again and compared: StatusCode::internal if the copy differs.
  Result<std::vector<std::byte>> (*random)(uint64_t seed, int16_t version);
};

std::span<const MessageCase> message_cases();

/// Null for an unknown name.
const MessageCase* find_message_case(std::string_view name);

}  // namespace sluice::protocol::cases
