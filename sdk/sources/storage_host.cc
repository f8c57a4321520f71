// SPDX-License-Identifier: Apache-2.0
#include "sluice/storage_host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/thread.hpp"
#include "base/uuid.hpp"
#include "sources/host_core.hpp"
#include "sources/names.hpp"
#include "sources/settings.hpp"

namespace sluice {
namespace {

constexpr int64_t kMostTimeoutMs = 600'000;   // of stop
constexpr size_t kMaxOptionsBytes = 1 << 20;  // of JSON

Status wrong(std::string_view field, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", field, why));
}

StorageCondition condition_of(const host::Condition& from) {
  StorageCondition condition;
  condition.native = from.kind == SLUICE_KIND_NATIVE;
  condition.durable = (from.capabilities & SLUICE_CAP_DURABLE) != 0;
  condition.shared = (from.capabilities & SLUICE_CAP_SHARED) != 0;
  condition.server = from.server;
  condition.advice = from.advice;
  return condition;
}

}  // namespace

namespace sources {

bool is_plain_name(std::string_view text, size_t max_bytes) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !text.empty() && text.size() <= max_bytes && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), plain);
}

}  // namespace sources

Result<StorageOptionMap> parse_storage_options(std::string_view json) {
  if (json.size() > kMaxOptionsBytes) return fail(wrong("options", fmt::format("above {} bytes", kMaxOptionsBytes)));
  StorageOptionMap options;
  try {
    const nlohmann::json parsed = nlohmann::json::parse(json);
    if (!parsed.is_object()) return fail(wrong("options", "must be a JSON object"));
    for (const auto& [name, value] : parsed.items()) {
      if (value.is_string()) {
        options[name] = value.get<std::string>();
      } else if (value.is_boolean()) {
        options[name] = value.get<bool>();
      } else if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
        return fail(wrong("options." + name, "the number is too large"));
      } else if (value.is_number_integer()) {
        options[name] = value.get<int64_t>();
      } else if (value.is_number_float()) {
        options[name] = value.get<double>();
      } else {
        return fail(wrong("options." + name, "must be a text, a number or a boolean"));
      }
    }
  } catch (const nlohmann::json::parse_error& error) {
    return fail(StatusCode::invalid, fmt::format("options: not JSON at byte {}: {}", error.byte, error.what()));
  } catch (const nlohmann::json::exception& error) {
    return fail(wrong("options", error.what()));
  }
  return options;
}

// ---- Core

StorageHost::Core::~Core() {
  static_cast<void>(storage->stop(kStopMs));
  loop.stop();
}

void StorageHost::Core::let_go(Core* core) {
  if (core->loop.is_current()) {
    start_thread("sluice-release", [core] { delete core; }).detach();
  } else {
    delete core;
  }
}

Status StorageHost::Core::may_block(std::string_view what) const {
  if (!loop.is_current()) return {};
  return Status(StatusCode::invalid, fmt::format("{} waits, and must not be called inside a callback", what));
}

void StorageHost::Core::listen(const host::LogId& log, std::weak_ptr<sources::GrowthListener> listener) {
  const std::lock_guard lock(mutex_);
  auto& all = listeners_[log];
  std::erase_if(all, [](const auto& each) { return each.expired(); });
  all.push_back(std::move(listener));
}

void StorageHost::Core::tell_growth(const host::LogId& log) {
  std::vector<std::shared_ptr<sources::GrowthListener>> listening;
  {
    const std::lock_guard lock(mutex_);
    const auto found = listeners_.find(log);
    if (found == listeners_.end()) return;
    for (const auto& each : found->second) {
      if (auto alive = each.lock()) listening.push_back(std::move(alive));
    }
    if (listening.empty()) listeners_.erase(found);
  }
  for (const auto& each : listening) each->log_grew();
}

// ---- StorageHost

StorageHost::StorageHost(std::shared_ptr<Core> core) : core_(std::move(core)) {}

Result<std::shared_ptr<StorageHost>> StorageHost::make(StorageHostSettings settings) {
  if (Status bad = sources::check(settings); !bad.ok()) return fail(std::move(bad));
  auto library = sources::load_library(settings);
  if (!library) return fail(std::move(library.error()));
  host::StorageOptions options;
  options.name = settings.name;
  options.data_directory = settings.data_directory.empty() ? "/nonexistent" : settings.data_directory;
  options.inputs = std::move(settings.options);
  options.checked = settings.checked;
  if (settings.log) options.log = std::move(settings.log);
  options.call_timeout_ms = settings.call_timeout_ms;
  options.lifecycle_timeout_ms = settings.lifecycle_timeout_ms;
  options.max_bytes_in_flight = settings.max_bytes_in_flight;
  options.max_bytes_leased = settings.max_bytes_leased;
  auto storage = host::Storage::create(std::move(*library), std::move(options));
  if (!storage) {
    const host::OptionError& error = storage.error();
    return fail(wrong(error.option.empty() ? "options" : "options." + error.option, error.text));
  }
  std::shared_ptr<Core> core(new Core(std::move(*storage)), &Core::let_go);
  return std::shared_ptr<StorageHost>(new StorageHost(std::move(core)));
}

Result<std::shared_ptr<StorageHost>> StorageHost::open(StorageHostSettings settings) {
  auto made = make(std::move(settings));
  if (!made) return made;
  if (const auto started = (*made)->start(); !started) return fail(started.error());
  return made;
}

StorageHost::~StorageHost() {
  static_cast<void>(stop(kStopMs));
}

Result<StorageCondition> StorageHost::start() {
  if (Status bad = core_->may_block("start"); !bad.ok()) return fail(std::move(bad));
  if (core_->storage->started()) return condition_of(core_->storage->condition());
  const Result<host::Condition> started = core_->storage->start();
  if (!started) return fail(started.error());
  return condition_of(*started);
}

Status StorageHost::stop(int64_t deadline_ms) {
  if (Status bad = core_->may_block("stop"); !bad.ok()) return bad;
  return core_->storage->stop(std::clamp<int64_t>(deadline_ms, 0, kMostTimeoutMs));
}

Result<StorageCondition> StorageHost::health() {
  if (Status bad = core_->may_block("health"); !bad.ok()) return fail(std::move(bad));
  const Result<host::Condition> now = core_->storage->health();
  if (!now) return fail(now.error());
  return condition_of(*now);
}

Result<std::vector<StorageLog>> StorageHost::logs() {
  using Entries = Result<std::vector<host::LogEntry>>;
  const Entries entries =
      core_->wait_for<Entries>("logs", [core = core_] { return core->storage->list_logs(core->loop); });
  if (!entries) return fail(entries.error());
  std::vector<StorageLog> logs;
  for (const host::LogEntry& entry : *entries) {
    logs.push_back({entry.foreign ? "" : Uuid{entry.id}.to_string(), entry.topic, entry.partition, entry.foreign});
  }
  return logs;
}

const std::string& StorageHost::name() const {
  return core_->name;
}

}  // namespace sluice
