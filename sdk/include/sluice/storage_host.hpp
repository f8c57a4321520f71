// SPDX-License-Identifier: Apache-2.0
// A storage opened without a broker: an adapter's shared object with its options, connected, and shared by all sources
// and writers made on it. The settings are checked whole before anything is opened.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

/// An adapter's options by name, as its README lists them. Sizes and durations may be written "64MiB", "10s".
using StorageOptionMap = std::map<std::string, std::variant<std::string, int64_t, double, bool>, std::less<>>;

/// The options in a JSON object: texts, numbers, booleans. INVALID with the place of the fault.
SLUICE_API Result<StorageOptionMap> parse_storage_options(std::string_view json);

struct StorageHostSettings {
  /// What ids of sources on this storage begin with: 1 to kMaxStorageNameBytes of A-Z a-z 0-9 . _ -, the same after
  /// every restart.
  std::string name{};
  /// "disk", "redis", ... in the plugin folder ($SLUICE_PLUGIN_DIRECTORY, or beside the executable's folder), or the
  /// absolute path of any adapter.
  std::string library{};
  StorageOptionMap options{};
  /// Absolute. Where an adapter keeps files, unless its options say otherwise. Empty: adapters that keep none.
  std::string data_directory{};
  int64_t call_timeout_ms = 30'000;             // one question or append; 100 to 600'000
  int64_t lifecycle_timeout_ms = 30'000;        // connecting; 100 to 600'000
  uint64_t max_bytes_in_flight = 256ull << 20;  // of appends; beyond: BUSY. At least 1 MiB
  uint64_t max_bytes_leased = 1ull << 30;       // of pages that nobody let go of; beyond: BUSY. At least 1 MiB
  /// Verify that the adapter keeps the contract, at some cost; breaches go to standard error.
  bool checked = false;
  /// A line for the operator; `level` 0 to 3: debug, information, warning, error. Any thread. Default: standard error.
  std::function<void(int level, const std::string& text)> log{};
};

inline constexpr size_t kMaxStorageNameBytes = 64;

struct StorageCondition {
  bool native = false;   // the engine's own topics; else logs of Sluice's own form
  bool durable = false;  // what was acknowledged survives kill -9 of everybody
  bool shared = false;   // several processes may use it at once
  std::string server;    // "redis 7.0.15"
  std::string advice;    // the setting that would give more; may be empty
};

struct StorageLog {
  std::string id;  // 22 characters; empty for a foreign one
  std::string name;
  int32_t partition = 0;
  bool foreign = false;  // a native topic that nobody adopted yet
};

/// Any thread. Shared: sources and writers keep what they need of it, and are answered UNAVAILABLE once it stopped.
class SLUICE_API StorageHost {
 public:
  static constexpr int64_t kStopMs = 10'000;

  /// Checks the settings and makes the storage without connecting. INVALID names the field ("options.sync: ...").
  static Result<std::shared_ptr<StorageHost>> make(StorageHostSettings settings);
  /// make() and start().
  static Result<std::shared_ptr<StorageHost>> open(StorageHostSettings settings);
  /// stop(kStopMs).
  ~StorageHost();
  StorageHost(const StorageHost&) = delete;
  StorageHost& operator=(const StorageHost&) = delete;

  // [blocks] all below, up to their deadlines. Not inside a callback of a source or writer: INVALID.

  /// Connects. May be repeated after a failure; harmless when it is connected.
  Result<StorageCondition> start();
  /// Drains and lets go. UNAVAILABLE with what is left when `deadline_ms` milliseconds were over first: again, then.
  Status stop(int64_t deadline_ms);
  /// start's report as of now.
  Result<StorageCondition> health();
  /// All logs and native topics. BUSY: much is there, ask again.
  Result<std::vector<StorageLog>> logs();

  const std::string& name() const;

  struct SLUICE_LOCAL Core;
  const std::shared_ptr<Core>& core() const { return core_; }  // the SDK's own

 private:
  explicit StorageHost(std::shared_ptr<Core> core);
  const std::shared_ptr<Core> core_;
};

}  // namespace sluice
