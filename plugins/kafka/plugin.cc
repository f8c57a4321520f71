// SPDX-License-Identifier: Apache-2.0
// The Kafka adapter's entry: what it says of itself, and how a storage is made.
#include "kafka/storage.hpp"
#include "plugin/adapter.hpp"

namespace {

constexpr sluice::plugin::PluginInfo kInfo{.name = "kafka",
                                           .version = "0.1.0",
                                           .description = "Topics of another Kafka cluster, as they are.",
                                           .capabilities = sluice::kafka::kCapabilities,
                                           .kinds = SLUICE_KIND_NATIVE,
                                           .options = sluice::kafka::kOptionTable,
                                           .option_count = sluice::kafka::kOptionCount};

sluice::Result<std::unique_ptr<sluice::plugin::StorageAdapter>> make_storage(
    const sluice::plugin::CreateRequest& request) {
  auto settings = sluice::kafka::read_settings(request.options);
  if (!settings) return sluice::fail(settings.error());
  return std::make_unique<sluice::kafka::Storage>(request.host, std::move(*settings));
}

}  // namespace

SLUICE_PLUGIN(kInfo, &make_storage);
