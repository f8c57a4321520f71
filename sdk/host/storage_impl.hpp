// SPDX-License-Identifier: Apache-2.0
// What is behind Storage: the adapter's object, the gate that calls pass through, budgets, the pool of calls, and the
// voice of the storage (log lines, breaches). See host/call.hpp for one call and host/log_impl.hpp for a log.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "host/call.hpp"
#include "host/checker.hpp"
#include "host/lifecycle.hpp"
#include "host/storage.hpp"
#include "host/timers.hpp"

namespace sluice::host {

/// What one append gathers of the batches that wait, unless the adapter says, and at the most.
constexpr uint64_t kGatheredBytes = 2ull << 20;
constexpr uint64_t kMostGatheredBytes = 32ull << 20;
/// NATIVE: appends of one log in flight, at the most, whatever the adapter says. Behind the first of its log an append
/// is sent only while fewer than so many times what the adapter says are in flight in the whole storage: with many logs
/// at work they keep the engine busy, and memory stays what it is with one for each.
constexpr uint32_t kMostAppendsInFlight = 16;
constexpr uint32_t kMostPipelines = 2;

/// Where lines for the operator go. Shared with the table of host services, which lives as long as the process.
class Voice {
 public:
  Voice(std::string storage, UniqueFunction<void(int, const std::string&)> sink)
      : storage_(std::move(storage)), sink_(std::move(sink)) {}
  /// Any thread. `level`: SLUICE_LOG_...
  void say(int level, const std::string& text);

 private:
  const std::string storage_;
  std::mutex mutex_;  // lines come one at a time
  UniqueFunction<void(int, const std::string&)> sink_;
};

class StorageImpl final : public Storage {
 public:
  StorageImpl(std::shared_ptr<const Library> library, StorageOptions options);
  ~StorageImpl() override;

  /// [blocks] The adapter's create. Once, before anything else.
  Status create_adapter(const std::vector<OptionValue>& values);

  const std::string& name() const override { return options_.name; }
  const Library& library() const override { return *library_; }
  StorageMetrics& metrics() override { return metrics_; }
  Result<Condition> start() override;
  Status stop(int64_t deadline_ms) override;
  Result<Condition> health() override;
  Result<std::array<uint8_t, 16>> bind(const std::array<uint8_t, 16>& cluster_id, bool replace) override;
  Condition condition() const override;
  bool started() const override { return accepting_.load(); }
  void hold_off(const std::string& why) override;
  void let_in() override { held_off_ = false; }
  bool held_off() const override { return held_off_.load(std::memory_order_relaxed); }
  Task<Status> create_log(LogDescriptor descriptor, Executor& on) override;
  Task<Status> delete_log(LogDescriptor descriptor, Executor& on) override;
  Task<Result<std::vector<LogEntry>>> list_logs(Executor& on) override;
  Result<std::shared_ptr<Log>> open(LogDescriptor descriptor) override;

  // ---- For calls and logs

  const sluice_storage_api& api() const { return *library_->plugin().api; }
  sluice_storage* adapter() const { return adapter_; }
  const StorageOptions& options() const { return options_; }
  CallPool& calls() { return calls_; }
  Timers& timers() const { return *timers_; }
  /// NULL unless in checked mode.
  Checker* checker() { return checker_.get(); }
  void say(int level, const std::string& text) { voice_->say(level, text); }
  int64_t call_deadline_ns() const { return timers_->now_ns() + options_.call_timeout_ms * 1'000'000; }
  bool is_native() const { return native_.load(std::memory_order_relaxed); }
  /// Bytes of one append, as of the last report; UINT64_MAX: no limit.
  uint64_t largest_unit() const { return largest_unit_.load(std::memory_order_relaxed); }
  /// Bytes of one append, unless a single batch is larger.
  uint64_t gathered_bytes() const { return gathered_bytes_.load(std::memory_order_relaxed); }
  /// NATIVE: takes a place for an append behind `before` of the same log that are in flight; false: there is none.
  bool begin_flight(size_t before);
  void end_flight() { flights_.fetch_sub(1); }
  /// Rises with every start. What was fenced under an earlier one is fenced again.
  uint64_t incarnation() const { return incarnation_.load(std::memory_order_relaxed); }

  /// Every call into the adapter but lifecycle ones happens between enter() == true and leave(), so that none begins
  /// once stop has begun.
  bool enter();
  void leave() { inside_.fetch_sub(1); }

  /// Takes `bytes` from the budget of appends; false if it is spent.
  bool reserve_bytes(uint64_t bytes);
  void return_bytes(uint64_t bytes) { metrics_.bytes_in_flight.fetch_sub(static_cast<int64_t>(bytes)); }

  /// Whether calls on logs are let in now.
  bool admits() const { return started() && !held_off(); }
  /// The refusal of a call that was not.
  Status refusal() const;
  /// The refusal of a call that found the storage not started.
  Status not_started() const;

 private:
  struct LifecycleCall;
  using Invoke = UniqueFunction<sluice_status(LifecycleCall&)>;
  using After = UniqueFunction<void(LifecycleCall&, const Status&)>;
  Status lifecycle(const char* call, int64_t timeout_ms, Invoke invoke, After after);
  void adopt_condition(const sluice_condition& condition);

  const std::shared_ptr<const Library> library_;
  StorageOptions options_;
  Timers* const timers_;
  const std::shared_ptr<Voice> voice_;
  const std::unique_ptr<Checker> checker_;
  StorageMetrics metrics_;
  CallPool calls_;
  const sluice_host* host_;  // belongs to the process
  LifecycleWorker worker_;
  sluice_storage* adapter_ = nullptr;  // set by create_adapter, then constant

  std::atomic<bool> accepting_{false};
  std::atomic<bool> needs_stop_{false};  // started, and not stopped with success since
  std::atomic<int64_t> inside_{0};
  std::atomic<bool> native_{false};
  std::atomic<uint64_t> largest_unit_{UINT64_MAX};
  std::atomic<uint64_t> gathered_bytes_{kGatheredBytes};
  std::atomic<uint32_t> appends_in_flight_{1};
  std::atomic<uint32_t> flights_{0};
  std::atomic<uint64_t> incarnation_{0};
  std::atomic<bool> held_off_{false};
  mutable std::mutex mutex_;
  Condition condition_;       // guarded by mutex_
  std::string held_off_why_;  // guarded by mutex_
};

/// The descriptor as the ABI has it, with everything that it points to. Not moved once filled.
struct AbiDescriptor {
  LogDescriptor source;
  std::vector<sluice_setting> settings;
  sluice_log_descriptor abi{};
  void fill(LogDescriptor descriptor);
};

/// A call that a coroutine waits for.
class AwaitedCall : public Call {
 public:
  using Call::Call;
  std::coroutine_handle<> waiter;

 protected:
  void finished() override { waiter.resume(); }
};

/// `co_await issue_call(call, on, deadline, invoke)`: suspends only if the adapter has not answered by the time its
/// function returned. `invoke` must be trivially destructible, and what it refers to must belong to `call` or outlive
/// it.
template <class C, class Invoke>
auto issue_call(C& call, Executor& on, int64_t deadline_ns, Invoke invoke) {
  struct Awaiter {
    C& call;
    Executor& on;
    int64_t deadline_ns;
    Invoke invoke;
    bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) {
      call.waiter = h;
      return !call.issue(on, deadline_ns,
                         invoke);  // the coroutine, and this with it, may be gone when issue returns false
    }
    void await_resume() noexcept {}
  };
  return Awaiter{call, on, deadline_ns, invoke};
}

}  // namespace sluice::host
