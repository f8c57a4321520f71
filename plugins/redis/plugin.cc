// SPDX-License-Identifier: Apache-2.0
// The Redis adapter's entry: what it says of itself, and how a storage is made.
#include "plugin/adapter.hpp"
#include "redis/record_storage.hpp"

namespace {

constexpr sluice::plugin::PluginInfo kInfo{
    .name = "redis",
    .version = "0.1.0",
    .description = "Streams of a Redis server: one for each log, or those of other programs.",
    .capabilities = sluice::redis::kCapabilities,
    .kinds = SLUICE_KIND_LOG | SLUICE_KIND_NATIVE,
    .options = sluice::redis::kOptionTable,
    .option_count = sluice::redis::kOptionCount};

sluice::Result<std::unique_ptr<sluice::plugin::StorageAdapter>> make_storage(
    const sluice::plugin::CreateRequest& request) {
  auto settings = sluice::redis::read_settings(request.options);
  if (!settings) return sluice::fail(settings.error());
  if (settings->layout == sluice::redis::Layout::record) {
    return std::make_unique<sluice::redis::RecordStorage>(request.host, std::move(*settings));
  }
  return std::make_unique<sluice::redis::Storage>(request.host, std::move(*settings));
}

}  // namespace

SLUICE_PLUGIN(kInfo, &make_storage);
