// SPDX-License-Identifier: Apache-2.0
// A storage adapter that tests script. Its engine is a small log store whose commands travel: each is carried out, and
// its reply delivered, when the test says so, or at once. Everything that the contract promises about tokens and ends
// is kept by the store itself; what a test makes of the messages (late, lost, reordered, twice) is what it is about.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host/library.hpp"
#include "host/storage.hpp"
#include "sluice/storage_abi.h"

namespace sluice::host::testing {

struct StoredBatch {
  std::string bytes;  // NATIVE: none for entries that are no records
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t max_timestamp = 0;
};

struct StoredLog {
  int64_t start = 0;
  int64_t end = 0;
  uint64_t token = 0;
  std::vector<StoredBatch> batches;
  std::map<std::string, std::string> saved;
};

/// One call that came in.
struct Command {
  std::string name;  // "append", "fence", ...
  uint64_t token = 0;
  uint64_t of_run = 0;  // append
  int64_t at = 0;       // append: where; trim, read: the offset
  size_t batches = 0;
  std::vector<int64_t> offsets;  // append: of the batches, as the host says
  sluice_ticket* ticket = nullptr;
  void* result = nullptr;  // the struct that the host gave for it
  /// Carries the command out in the store and fills in the results, while the ticket is pending. `effect` alone: a late
  /// command whose ticket is gone.
  std::function<sluice_status(bool effect_only)> run;
  std::optional<sluice_status> outcome;  // once it was carried out
  bool replied = false;
};

class FakeEngine {
 public:
  enum class Mode {
    inline_final,    // carried out inside the call, which returns the outcome
    inline_pending,  // ... completed before the call returns PENDING
    thread,          // ... by another thread, as soon as possible
    manual,          // the test calls carry_out() and reply()
  };

  FakeEngine();
  ~FakeEngine();
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  /// Options for Storage::create that lead to this engine.
  StorageOptions options();
  /// The library of all fake storages.
  static std::shared_ptr<const Library> library();
  /// A started storage on this engine.
  std::shared_ptr<Storage> start(StorageOptions options);
  std::shared_ptr<Storage> start() { return start(options()); }

  Mode mode = Mode::inline_final;
  /// Calls by name that are manual whatever the mode.
  std::function<bool(const std::string& name)> hold;
  /// Given: this status is the answer, and nothing is carried out.
  std::function<std::optional<sluice_status>(const Command&)> refuse;
  /// Called first thing in every asynchronous call; may throw.
  std::function<void(const Command&)> on_call;
  /// After a call was carried out inline or by the thread: may change the status, or complete the ticket itself.
  std::function<sluice_status(Command&, sluice_status)> on_outcome;
  uint64_t largest_unit = 0;
  uint64_t preferred_unit = 0;
  uint32_t appends_in_flight = 0;
  uint32_t kind = SLUICE_KIND_LOG;
  uint64_t capabilities = SLUICE_CAP_DURABLE;
  bool equal_fence_refused = false;

  // ---- NATIVE
  /// Topics that others made, with as many partitions; they have logs here once they are adopted.
  std::map<std::string, int32_t> foreign;
  /// Somebody else writes to the engine's own topic.
  void write_foreign(const LogId& id, StoredBatch batch);
  std::vector<std::string> adopted;  // names, in the order of create_log

  /// Lifecycle calls by name, in order, and what they do instead of succeeding.
  std::vector<std::string> lifecycle;
  std::function<sluice_status(const std::string& name, sluice_error* error)> on_lifecycle;

  // ---- Manual commands: index into `commands`

  std::vector<std::shared_ptr<Command>> commands;
  /// Indices of commands of that name that are neither replied to nor ...
  std::vector<size_t> waiting(const std::string& name = "") const;
  sluice_status carry_out(size_t index);
  /// Completes the ticket with the outcome, or with `instead`.
  void reply(size_t index, std::optional<sluice_status> instead = std::nullopt);
  void carry_out_and_reply(size_t index) {
    carry_out(index);
    reply(index);
  }
  /// Replies to all that wait, as if the process behind the adapter ended.
  void reply_to_all(sluice_status status);

  StoredLog& log(const LogId& id) { return logs.at(id); }
  std::map<LogId, StoredLog> logs;
  int leases = 0;  // out
  int open_handles = 0;
  std::atomic<bool> destroyed{false};
  std::array<uint8_t, 16> cluster{};
  const sluice_host* host = nullptr;
  mutable std::recursive_mutex mutex;  // guards the store while several threads call

 private:
  friend struct FakeStorage;
  struct Watch {
    LogId id;
    int64_t offset = 0;
    sluice_ticket* ticket = nullptr;
  };
  void wake_watches(const LogId& id);
  std::vector<Watch> watches_;
  sluice_status submit(std::shared_ptr<Command> command);
  std::vector<std::thread> threads_;
  std::string key_;
};

/// A batch with `records` records (none inside: tests of the host do not look) whose offsets start at `base`.
std::string make_batch(int64_t base, int32_t records, int64_t timestamp = 1000, size_t payload = 10);

}  // namespace sluice::host::testing
