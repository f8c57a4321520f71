// SPDX-License-Identifier: Apache-2.0
// A Redis storage as the host sees it: its life, its table of logs, and calls that are passed on to the I/O thread. Any
// thread unless said otherwise; lifecycle calls one at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "plugin/adapter.hpp"
#include "redis/log.hpp"
#include "redis/probe.hpp"

namespace sluice::redis {

/// The most that any server offers.
inline constexpr uint64_t kCapabilities =
    SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED | SLUICE_CAP_ATOMIC;

/// Counts calls that are not answered, so that stop can wait for none, and starts them on the I/O thread.
class Calls {
 public:
  explicit Calls(std::shared_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {}

  /// Answers `call` with what the Task<Status> of `make` gives; UNAVAILABLE while closed.
  template <class Make>
  Status run(plugin::Call& call, Make make);

  void open() { closed_ = false; }
  void close() { closed_ = true; }
  /// Waits until all are answered; false if the deadline came first.
  bool wait_for_none(int64_t deadline_ns);

 private:
  void ended();

  const std::shared_ptr<Reactor> reactor_;
  std::atomic<bool> closed_{true};
  std::atomic<int64_t> count_{0};
  std::mutex mutex_;
  std::condition_variable none_;
};

/// Answers [async] calls on a storage that is not started.
inline Status stopped() {
  return Status(StatusCode::unavailable, "the storage is not started");
}

template <class Make>
Status Calls::run(plugin::Call& call, Make make) {
  ++count_;
  if (closed_) {
    ended();
    return stopped();
  }
  reactor_->post([this, pending = call.defer(), make = std::move(make)]() mutable {
    Task<Status> task = make();
    start(std::move(task), [this, make = std::move(make), pending = std::move(pending)](Status status) mutable {
      static_cast<void>(make);  // holds on to the log
      pending.complete(status);
      ended();
    });
  });
  return plugin::pending();
}

/// The layout `log`, and what both layouts share.
class Storage : public plugin::StorageAdapter {
 public:
  Storage(plugin::Host host, Settings settings);
  ~Storage() override;

  Status start(int64_t deadline_ns, plugin::Condition& condition) override;
  Status stop(int64_t deadline_ns) override;
  Status health(int64_t deadline_ns, plugin::Condition& condition) override;
  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 protected:
  const std::shared_ptr<Engine>& engine() const { return engine_; }
  const std::shared_ptr<Calls>& calls() const { return calls_; }

 private:
  class Handle;

  std::shared_ptr<Log> log(const Uuid& id, uint32_t flags);
  template <class Make>
  Status blocking(Make make);
  Task<Status> disconnect();
  Task<Status> examine(int64_t deadline_ns, plugin::Condition& condition);
  Task<Status> check_permissions(int64_t deadline_ns);
  void report(const plugin::Condition& condition);
  Task<Status> tie(int64_t deadline_ns, bool replace, Uuid& cluster_id);
  Task<Status> create(std::shared_ptr<Log> log, plugin::LogDescriptor descriptor, int64_t deadline_ns);
  Task<Status> remove(std::shared_ptr<Log> log, Uuid id, int64_t deadline_ns);
  struct Listed {
    Uuid id;
    std::string topic;
    int32_t partition = 0;
  };
  Task<Result<std::vector<Listed>>> list(int64_t deadline_ns);
  Task<Status> list_into(sluice_log_list& result, int64_t deadline_ns);
  std::string cluster_key() const { return engine_->prefix + ":cluster"; }
  std::string index_key() const { return engine_->prefix + ":logs"; }

  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<Calls> calls_;
  bool running_ = false;  // the I/O thread
  std::string reported_;  // what was last said of the condition
  std::mutex mutex_;
  std::map<Uuid, std::weak_ptr<Log>> logs_;  // guarded by mutex_
  size_t logs_before_sweep_ = 1024;          // guarded by mutex_
};

}  // namespace sluice::redis
