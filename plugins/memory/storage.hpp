// SPDX-License-Identifier: Apache-2.0
// The memory storage and its handles. What is stored lives until the storage is destroyed: stop and start keep it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "log.hpp"
#include "plugin/adapter.hpp"
#include "pool.hpp"
#include "worker.hpp"

namespace sluice::memory {

/// Shared by the storage and its handles. Any thread.
class Logs {
 public:
  explicit Logs(uint64_t max_bytes) : pool_(std::make_shared<Pool>(max_bytes)) {}

  Status create(const sluice_log_descriptor& descriptor);
  /// The log that was there, or nothing.
  std::shared_ptr<MemoryLog> remove(const Uuid& id);
  std::shared_ptr<MemoryLog> find(const Uuid& id);
  void list(plugin::LogList& list);
  bool empty();

  const std::shared_ptr<Pool>& pool() const { return pool_; }

 private:
  const std::shared_ptr<Pool> pool_;
  std::mutex mutex_;
  std::unordered_map<Uuid, std::shared_ptr<MemoryLog>> logs_;  // guarded by mutex_
};

struct Core {
  explicit Core(uint64_t max_bytes) : logs(max_bytes) {}

  Logs logs;
  Worker worker;
  std::atomic<bool> started{false};

  /// Answers the call on the worker with what `function` returns.
  template <class Function>
  Status later(plugin::Call& call, Function function);
};

class Storage final : public plugin::StorageAdapter {
 public:
  Storage(plugin::Host host, uint64_t max_bytes);

  Status start(int64_t deadline_ns, plugin::Condition& condition) override;
  Status stop(int64_t deadline_ns) override;
  Status health(int64_t deadline_ns, plugin::Condition& condition) override;
  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 private:
  const std::shared_ptr<Core> core_;
  std::optional<Uuid> cluster_;  // lifecycle calls only
};

class Handle final : public plugin::LogAdapter {
 public:
  Handle(std::shared_ptr<Core> core, const Uuid& id) : core_(std::move(core)), id_(id) {}

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override;
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override;
  Status bounds(plugin::Call& call, sluice_bounds& result) override;
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override;
  Status trim(plugin::Call& call, uint64_t token, int64_t offset) override;
  Status fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) override;
  Status save(plugin::Call& call, const sluice_save& request) override;
  Status load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) override;

 private:
  /// The log, looked up until it was there once; or why not.
  Result<std::shared_ptr<MemoryLog>> find();

  const std::shared_ptr<Core> core_;
  const Uuid id_;
  std::mutex mutex_;
  std::shared_ptr<MemoryLog> log_;  // guarded by mutex_
};

}  // namespace sluice::memory
