// SPDX-License-Identifier: Apache-2.0
// The entry of the JetStream adapter.
#include <iterator>
#include <memory>

#include "jetstream/record_storage.hpp"
#include "jetstream/storage.hpp"
#include "plugin/adapter.hpp"

namespace {

sluice::Result<std::unique_ptr<sluice::plugin::StorageAdapter>> make_storage(
    const sluice::plugin::CreateRequest& request) {
  auto settings = sluice::jetstream::parse_settings(request.options);
  if (!settings) return sluice::fail(settings.error());
  if (settings->layout == sluice::jetstream::Layout::record) {
    return std::make_unique<sluice::jetstream::RecordStorage>(request.host, std::move(*settings));
  }
  return std::make_unique<sluice::jetstream::Storage>(request.host, std::move(*settings));
}

constexpr sluice::plugin::PluginInfo kInfo{
    .name = "jetstream",
    .version = "0.1.0",
    .description = "Streams of NATS JetStream servers: one for each log, or those of other programs.",
    .capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED,
    .kinds = SLUICE_KIND_LOG | SLUICE_KIND_NATIVE,
    .options = sluice::jetstream::kOptions,
    .option_count = std::size(sluice::jetstream::kOptions)};

}  // namespace

SLUICE_PLUGIN(kInfo, &make_storage);
