// SPDX-License-Identifier: Apache-2.0
// The entry of the memory adapter: its options and how a storage is made from them.
#include <iterator>
#include <limits>
#include <memory>

#include "plugin/adapter.hpp"
#include "storage.hpp"

namespace {

constexpr sluice_option kOptions[] = {
    {"max_bytes",
     "The most that the storage keeps in memory, indexes and lent blocks included; beyond, appends are refused.",
     "1GiB", nullptr, SLUICE_OPTION_SIZE, 0, 1 << 16, std::numeric_limits<int64_t>::max()},
};

constexpr sluice::plugin::PluginInfo kInfo{.name = "memory",
                                           .version = "0.1.0",
                                           .description = "Keeps logs in the broker's memory; nothing survives it.",
                                           .capabilities = 0,
                                           .kinds = SLUICE_KIND_LOG,
                                           .options = kOptions,
                                           .option_count = std::size(kOptions)};

sluice::Result<std::unique_ptr<sluice::plugin::StorageAdapter>> make_storage(
    const sluice::plugin::CreateRequest& request) {
  const auto max_bytes = static_cast<uint64_t>(request.options.number("max_bytes"));
  return std::make_unique<sluice::memory::Storage>(request.host, max_bytes);
}

}  // namespace

SLUICE_PLUGIN(kInfo, &make_storage);
