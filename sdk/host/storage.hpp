// SPDX-License-Identifier: Apache-2.0
// One storage: an adapter made with its options, started, and watched. Every call has a deadline, bytes in flight and
// bytes lent out have budgets, and a call that is overdue is answered UNKNOWN here while its memory stays pinned until
// the adapter completes it. Completions are posted to the executor that the caller named; nothing runs on an adapter's
// thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.hpp"
#include "base/status.hpp"
#include "base/task.hpp"
#include "host/library.hpp"
#include "host/options.hpp"

namespace sluice::host {

class Log;

using LogId = std::array<uint8_t, 16>;

/// See sluice_log_descriptor.
struct LogDescriptor {
  LogId id{};
  uint32_t flags = 0;  // SLUICE_LOG_SYNC, SLUICE_LOG_SEVERAL_WRITERS
  int64_t start_offset = 0;
  std::string topic;
  std::array<uint8_t, 16> topic_id{};
  int32_t partition = 0;
  int32_t partition_count = 1;
  std::vector<std::pair<std::string, std::string>> settings;
};

struct LogEntry {
  LogId id{};
  std::string topic;
  int32_t partition = 0;
  bool foreign = false;
};

/// What a storage says holds now.
struct Condition {
  uint32_t kind = SLUICE_KIND_LOG;
  uint64_t capabilities = 0;
  uint64_t largest_unit = 0;       // bytes; 0: no limit
  uint64_t preferred_unit = 0;     // bytes at which several batches make an append; 0: the host's choice
  uint32_t appends_in_flight = 0;  // NATIVE: of one log; 0 or 1: one
  std::string server;
  std::string advice;
};

class Timers;

/// Checked mode found that the adapter does not keep the contract.
struct Breach {
  std::string call;      // "append"
  std::string text;      // one sentence
  bool warning = false;  // suspicious, not proven: waiting inside an asynchronous call
};

struct StorageOptions {
  std::string name;            // in plugins.json
  std::string data_directory;  // absolute
  OptionInputs inputs;
  bool checked = false;  // verify that the adapter keeps the contract; breaches are logged and counted
  int64_t call_timeout_ms = 30'000;
  int64_t lifecycle_timeout_ms = 30'000;
  uint64_t max_bytes_in_flight = 256ull << 20;  // appends queued or sent; beyond: BUSY
  uint64_t max_bytes_leased = 256ull << 20;     // reads lent out; beyond, a read is BUSY
  /// A line for the operator. Any thread. Default: standard error.
  UniqueFunction<void(int level, const std::string& text)> log;
  /// Checked mode: every breach. Any thread, one call at a time; must not call the storage.
  UniqueFunction<void(const Breach& breach)> on_breach;
  /// The watchdog's clock; must outlive the process's storages. Default: the machine's.
  Timers* timers = nullptr;
};

/// Counters, for metrics. All monotonic but the gauges.
struct StorageMetrics {
  std::atomic<uint64_t> appends{0}, append_bytes{0}, append_errors{0};
  std::atomic<uint64_t> reads{0}, read_bytes{0}, read_errors{0};
  std::atomic<uint64_t> overdue{0}, fences{0}, settled_applied{0}, settled_absent{0}, breaches{0}, refused_busy{0};
  /// Fences that found a log's end below what had been acknowledged: the storage lost data.
  std::atomic<uint64_t> data_losses{0};
  /// Appends whose outcome nobody could find out before the deadline for settling.
  std::atomic<uint64_t> unsettled{0};
  std::atomic<int64_t> bytes_in_flight{0}, bytes_leased{0}, tickets_pending{0};
};

/// Thread-safe. Kept alive by its Logs and leases. Lifecycle calls block up to their deadline: host workers, not loops.
/// Executors that are given to a call must run jobs until it was answered, and outlive stop(). An overdue call is
/// answered UNKNOWN.
class Storage : public std::enable_shared_from_this<Storage> {
 public:
  /// Checks the options and makes the adapter's storage. The error's text names the option where one is at fault.
  static tl::expected<std::shared_ptr<Storage>, OptionError> create(std::shared_ptr<const Library> library,
                                                                    StorageOptions options);
  virtual ~Storage() = default;

  virtual const std::string& name() const = 0;
  virtual const Library& library() const = 0;
  virtual StorageMetrics& metrics() = 0;

  /// [blocks] Connects. May be repeated after a failure. An adapter that does not return by the deadline is left to its
  /// thread and the answer is UNAVAILABLE; the storage stays unusable until that call comes back.
  virtual Result<Condition> start() = 0;
  /// [blocks] Drains and lets go within `deadline_ms` milliseconds from now. UNAVAILABLE with what is left when the
  /// deadline came first; may be called again. Calls that are made meanwhile or later are answered UNAVAILABLE.
  /// Harmless unless started.
  virtual Status stop(int64_t deadline_ms) = 0;
  /// [blocks] start's report as of now.
  virtual Result<Condition> health() = 0;
  /// [blocks] Ties the storage to `cluster_id`, or gives the id that it is tied to.
  virtual Result<std::array<uint8_t, 16>> bind(const std::array<uint8_t, 16>& cluster_id, bool replace = false) = 0;
  /// The last report of start or health; any thread.
  virtual Condition condition() const = 0;
  /// True between a successful start and stop.
  virtual bool started() const = 0;

  /// An engine that hangs: until let_in(), calls on logs are answered `why` (UNAVAILABLE) at once and do not reach the
  /// adapter, so that nothing more piles up behind it. Those that it has keep their deadlines. Lifecycle calls go on:
  /// health tells when it is back. Any thread.
  virtual void hold_off(const std::string& why) = 0;
  virtual void let_in() = 0;
  virtual bool held_off() const = 0;

  virtual Task<Status> create_log(LogDescriptor descriptor, Executor& on) = 0;
  virtual Task<Status> delete_log(LogDescriptor descriptor, Executor& on) = 0;
  virtual Task<Result<std::vector<LogEntry>>> list_logs(Executor& on) = 0;
  /// No I/O; whether the log is there shows with the first call on it.
  virtual Result<std::shared_ptr<Log>> open(LogDescriptor descriptor) = 0;
};

}  // namespace sluice::host
