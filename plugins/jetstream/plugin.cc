// SPDX-License-Identifier: Apache-2.0
// The entry of the JetStream adapter.
#include <iterator>
#include <memory>

#include "jetstream/storage.hpp"
#include "plugin/adapter.hpp"

namespace {

sluice::Result<std::unique_ptr<sluice::plugin::StorageAdapter>> make_storage(
    const sluice::plugin::CreateRequest& request) {
  auto settings = sluice::jetstream::parse_settings(request.options);
  if (!settings) return sluice::fail(settings.error());
  return std::make_unique<sluice::jetstream::Storage>(request.host, std::move(*settings));
}

constexpr sluice::plugin::PluginInfo kInfo{
    .name = "jetstream",
    .version = "0.1.0",
    .description = "Streams of NATS JetStream servers, one to a log.",
    .capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED,
    .kinds = SLUICE_KIND_LOG,
    .options = sluice::jetstream::kOptions,
    .option_count = std::size(sluice::jetstream::kOptions)};

}  // namespace

SLUICE_PLUGIN(kInfo, &make_storage);
