// SPDX-License-Identifier: Apache-2.0
#include "storage/storages.hpp"

#include <fmt/format.h>

#include <functional>
#include <thread>
#include <utility>

#include "host/library.hpp"

namespace sluice::storage {
namespace {

using StoragePtr = std::shared_ptr<host::Storage>;

void say(const StoragesOptions& options, int level, const std::string& text) {
  if (options.log) options.log(level, text);
}

/// Does `work` for each of them on a thread of its own and waits for all: a slow engine does not hold up the others.
template <class Work>
void for_all(const std::vector<StoragePtr>& storages, Work work) {
  std::vector<std::thread> threads;
  threads.reserve(storages.size());
  for (size_t i = 0; i < storages.size(); ++i) threads.emplace_back([&, i] { work(i, *storages[i]); });
  for (std::thread& thread : threads) thread.join();
}

Result<StoragePtr> make_storage(const StorageConfig& config, const std::string& file, const StoragesOptions& options,
                                uint64_t max_bytes_in_flight) {
  const auto at = [&](const std::string& path) { return fmt::format("{}: {}", file, path); };
  Result<std::string> path = host::resolve_library(config.library, options.plugin_directory);
  if (!path) return fail(path.error().in(at(config.json_path + ".library")));
  auto library = host::Library::load(*path);
  if (!library) return fail(library.error().in(at(config.json_path + ".library")));

  host::StorageOptions storage_options;
  storage_options.name = config.name;
  storage_options.data_directory = options.data_directory;
  storage_options.inputs = config.options;
  storage_options.checked = options.checked;
  storage_options.lifecycle_timeout_ms = options.lifecycle_timeout_ms;
  if (max_bytes_in_flight > 0) storage_options.max_bytes_in_flight = max_bytes_in_flight;
  if (options.log) {
    storage_options.log = [log = options.log, name = config.name](int level, const std::string& text) {
      log(level, fmt::format("storage {}: {}", name, text));
    };
  }
  auto storage = host::Storage::create(*library, std::move(storage_options));
  if (!storage) {
    return fail(StatusCode::invalid,
                fmt::format("{}: {}", at(option_path(config, storage.error().option)), storage.error().text));
  }
  return *storage;
}

std::string started_text(const host::Storage& storage, const host::Condition& condition) {
  const host::Library& library = storage.library();
  std::string text =
      fmt::format("storage {}: started, adapter {} {}", storage.name(), library.name(), library.version());
  if (!condition.server.empty()) text += fmt::format(" on {}", condition.server);
  if (!condition.advice.empty()) text += fmt::format("; {}", condition.advice);
  return text;
}

}  // namespace

Storages::Storages(PluginsConfig config, StoragesOptions options)
    : config_(std::move(config)), options_(std::move(options)) {}

Storages::~Storages() = default;

Result<std::unique_ptr<Storages>> Storages::open(PluginsConfig config, StoragesOptions options) {
  std::unique_ptr<Storages> result(new Storages(std::move(config), std::move(options)));
  const uint64_t share = result->options_.max_bytes_in_flight / (result->config_.storages.size() + 1);
  for (StorageConfig& each : result->config_.storages) {
    if (!each.enabled) continue;
    Result<StoragePtr> storage = make_storage(each, result->config_.file, result->options_, share);
    each.options.clear();  // may hold secrets, and nobody needs them any more
    if (storage) {
      result->storages_.push_back(std::move(*storage));
    } else if (result->is_required(each.name)) {
      return fail(storage.error());
    } else {
      say(result->options_, SLUICE_LOG_ERROR,
          fmt::format("{}; going on without storage {}", storage.error().text(), each.name));
    }
  }
  return result;
}

std::unique_ptr<Storages> Storages::of(PluginsConfig config, StoragesOptions options,
                                       std::vector<StoragePtr> storages) {
  std::unique_ptr<Storages> result(new Storages(std::move(config), std::move(options)));
  result->storages_ = std::move(storages);
  return result;
}

bool Storages::is_required(std::string_view name) const {
  if (name == config_.internal_storage) return true;
  const StorageConfig* storage = config_.find(name);
  return storage != nullptr && storage->required;
}

Status Storages::start() {
  std::vector<Status> outcomes(storages_.size());
  for_all(storages_, [&](size_t i, host::Storage& storage) { outcomes[i] = start_one(storage); });
  Status first;
  for (size_t i = 0; i < storages_.size(); ++i) {
    if (outcomes[i].ok()) continue;
    const std::string& name = storages_[i]->name();
    const Status status = outcomes[i].in(fmt::format("{}: {}", config_.file, config_.find(name)->json_path));
    if (is_required(name)) {
      say(options_, SLUICE_LOG_ERROR, status.text());
      if (first.ok()) first = status;
    } else {
      say(options_, SLUICE_LOG_ERROR, fmt::format("{}; going on without storage {} for now", status.text(), name));
    }
  }
  return first;
}

Status Storages::start_one(host::Storage& storage) const {
  const Result<host::Condition> condition = storage.start();
  if (!condition) return condition.error();
  say(options_, SLUICE_LOG_INFO, started_text(storage, *condition));
  return {};
}

Status Storages::stop(int64_t deadline_ms) {
  std::vector<Status> outcomes(storages_.size());
  for_all(storages_, [&](size_t i, host::Storage& storage) {
    if (storage.started()) outcomes[i] = storage.stop(deadline_ms);
  });
  std::string left;
  StatusCode code = StatusCode::ok;
  for (size_t i = 0; i < storages_.size(); ++i) {
    if (outcomes[i].ok()) continue;
    if (code == StatusCode::ok) code = outcomes[i].code();
    left += fmt::format("{}storage {} did not stop: {}", left.empty() ? "" : "; ", storages_[i]->name(),
                        outcomes[i].describe());
  }
  return code == StatusCode::ok ? Status() : Status(code, std::move(left));
}

StoragePtr Storages::find(std::string_view name) const {
  for (const StoragePtr& storage : storages_) {
    if (storage->name() == name) return storage;
  }
  return nullptr;
}

std::vector<StoragePtr> Storages::all() const {
  return storages_;
}

Status may_hold_own_logs(const host::Storage& internal, const host::Storage& other) {
  const auto durable = [](const host::Storage& storage) {
    return (storage.condition().capabilities & SLUICE_CAP_DURABLE) != 0;
  };
  if (durable(internal) || !other.started() || !durable(other)) return {};
  return Status(StatusCode::invalid,
                fmt::format("the broker's own logs may not be on storage \"{}\", which forgets, while \"{}\" does not: "
                            "topics there would be orphaned by a restart; set \"internal\" to \"{}\"",
                            internal.name(), other.name(), other.name()));
}

}  // namespace sluice::storage
