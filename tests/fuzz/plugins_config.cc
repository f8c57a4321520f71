// SPDX-License-Identifier: Apache-2.0
// plugins.json from anybody's hands: no input breaks the reader; what it accepts holds together, and what it refuses it
// names.
#include "storage/plugins_config.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::storage::matches_pattern;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = sluice::storage::parse_plugins_config(text, "F");
  if (!config) {
    require(config.error().text().starts_with("F:"));
    return 0;
  }
  const auto enabled = [&](const std::string& name) {
    const auto* storage = config->find(name);
    return storage != nullptr && storage->enabled;
  };
  require(enabled(config->default_storage) && enabled(config->internal_storage));
  for (const auto& route : config->routes) {
    require(enabled(route.storage));
    std::string topic;  // one that the pattern must match
    for (const char c : route.topics) topic += c == '*' || c == '?' ? 'x' : c;
    require(matches_pattern(route.topics, topic) && enabled(config->route(topic)));
  }
  return 0;
}
