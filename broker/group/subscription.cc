// SPDX-License-Identifier: Apache-2.0
#include "group/subscription.hpp"

#include "base/bytes.hpp"

namespace sluice::group {

std::optional<std::vector<std::string>> subscribed_topics(std::string_view metadata) {
  ByteReader in(as_bytes(metadata));
  const auto version = in.read_be<int16_t>();
  const auto count = in.read_be<int32_t>();
  if (in.failed() || version < 0 || count < 0 || static_cast<size_t>(count) > in.left() / sizeof(int16_t)) {
    return std::nullopt;
  }
  std::vector<std::string> topics;
  for (int32_t i = 0; i < count; ++i) {
    const auto size = in.read_be<int16_t>();
    if (size < 0) return std::nullopt;
    topics.emplace_back(as_text(in.read_bytes(static_cast<size_t>(size))));
    if (in.failed()) return std::nullopt;
  }
  return topics;
}

}  // namespace sluice::group
