// SPDX-License-Identifier: Apache-2.0
// The broker's storages: loaded, created, started, and found by name. Thread-safe once opened; start, stop and health
// block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "host/storage.hpp"
#include "storage/plugins_config.hpp"

namespace sluice::storage {

struct StoragesOptions {
  std::string data_directory;
  std::string plugin_directory;           // where libraries named without a path lie
  bool checked = false;                   // every adapter under the checked host
  int64_t lifecycle_timeout_ms = 30'000;  // of one start or creation
  /// Of all storages together; each gets an equal share, and one is left over, so that appends that wait for engines
  /// which hang never hold all the memory that requests may have. 0: no limit but the host's.
  uint64_t max_bytes_in_flight = 0;
  /// A line for the operator: level as in the ABI. Any thread.
  std::function<void(int level, const std::string& text)> log;
};

class Storages {
 public:
  /// Loads the libraries, checks the options against their tables and creates the storages. A storage that is not
  /// required and cannot be had is reported and left out; a required one is an error with file, JSON path and reason.
  /// The storage of the broker's own logs is always required.
  static Result<std::unique_ptr<Storages>> open(PluginsConfig config, StoragesOptions options);
  /// Storages that somebody else made, each of a name in `config`.
  static std::unique_ptr<Storages> of(PluginsConfig config, StoragesOptions options,
                                      std::vector<std::shared_ptr<host::Storage>> storages);
  ~Storages();

  /// [blocks] Starts all at the same time, within their deadlines. One that is not required and fails is reported, left
  /// unstarted, for a StorageMonitor to try again.
  Status start();
  /// [blocks] Stops all at the same time. The text names what did not stop.
  Status stop(int64_t deadline_ms);
  /// nullptr when there is none of that name. It may be unstarted: see Storage::started().
  std::shared_ptr<host::Storage> find(std::string_view name) const;
  std::vector<std::shared_ptr<host::Storage>> all() const;
  const PluginsConfig& config() const { return config_; }
  /// Does the broker refuse to start without it?
  bool is_required(std::string_view name) const;
  /// The storage's name for a new topic.
  const std::string& route(std::string_view topic) const { return config_.route(topic); }
  const std::string& internal_storage() const { return config_.internal_storage; }

 private:
  Storages(PluginsConfig config, StoragesOptions options);
  Status start_one(host::Storage& storage) const;

  PluginsConfig config_;
  StoragesOptions options_;
  std::vector<std::shared_ptr<host::Storage>> storages_;
};

/// Whether the broker's own logs may be on `internal` while `other` is used, as both are now. Topics on a storage that
/// is DURABLE would be orphaned by a restart if what the broker knows of them were not: INVALID, with what to do.
Status may_hold_own_logs(const host::Storage& internal, const host::Storage& other);

}  // namespace sluice::storage
