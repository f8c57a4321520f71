// SPDX-License-Identifier: Apache-2.0
#include "storage/monitor.hpp"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/clock.hpp"
#include "base/thread.hpp"

namespace sluice::storage {
namespace {

/// What rises when a storage does its work, however slow it is to tell how it is.
uint64_t successes(host::Storage& storage) {
  return storage.metrics().appends + storage.metrics().reads;
}

}  // namespace

/// What the threads share; those that are left behind keep it.
struct StorageMonitor::Shared {
  MonitorOptions options;  // constant, as are the next five
  Bind bind;
  std::function<void(int, const std::string&)> log;
  std::vector<std::shared_ptr<host::Storage>> storages;
  std::shared_ptr<host::Storage> internal;
  bool internal_was_durable = false;
  std::mutex mutex;  // guards all below, and every Watched
  std::condition_variable changed;
  bool stopping = false;
  size_t running = 0;
};

struct StorageMonitor::Watched {
  std::shared_ptr<host::Storage> storage;
  bool may_hold_off = true;
  // Guarded by Shared::mutex.
  StorageHealth health;
  bool bound = false;
  int64_t silent_since_ms = 0;  // monotonic: asked, and no sign of life since; 0: it has answered
  uint64_t successes_then = 0;
  std::string said;      // the last line about a start that failed
  int64_t pause_ms = 0;  // before the next question
  Status unfit;          // what the broker's own logs need does not hold any more
  uint64_t losses_seen = 0;
  uint64_t losses_lately = 0;
  int64_t loss_seen_ms = 0;  // monotonic, of the last
};

/// Why a storage that loses records is failing; empty: it does not. With the mutex.
std::string StorageMonitor::count_losses(const MonitorOptions& options, Watched& watched) {
  const int64_t now = system_clock().monotonic_ms();
  const uint64_t losses = watched.storage->metrics().data_losses;
  if (now - watched.loss_seen_ms > options.losses_kept_ms) watched.losses_lately = 0;
  if (losses != watched.losses_seen) watched.loss_seen_ms = now;
  watched.losses_lately += losses - std::exchange(watched.losses_seen, losses);
  if (watched.losses_lately < options.losses_failing) return {};
  return fmt::format("it reported {} losses of acknowledged records, the last {} s ago", watched.losses_lately,
                     (now - watched.loss_seen_ms) / 1'000);
}

StorageMonitor::StorageMonitor(Storages& storages, Bind bind, std::function<void(int, const std::string&)> log,
                               MonitorOptions options)
    : shared_(std::make_shared<Shared>()) {
  shared_->options = options;
  shared_->bind = std::move(bind);
  shared_->log = std::move(log);
  shared_->storages = storages.all();
  shared_->internal = storages.find(storages.internal_storage());
  if (shared_->internal) {
    shared_->internal_was_durable = (shared_->internal->condition().capabilities & SLUICE_CAP_DURABLE) != 0;
  }
  for (const auto& storage : storages.all()) {
    auto watched = std::make_shared<Watched>();
    watched->storage = storage;
    watched->losses_seen = storage->metrics().data_losses;
    watched->may_hold_off = storage->name() != storages.internal_storage();
    watched->bound = storage->started();
    watched->health.well = storage->started();
    if (!storage->started()) watched->health.reason = "it is not started";
    watched_.push_back(std::move(watched));
  }
}

StorageMonitor::~StorageMonitor() {
  stop(0);
}

void StorageMonitor::start() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->running = watched_.size();
  }
  for (const auto& watched : watched_) {
    start_thread("health-" + watched->storage->name(), [shared = shared_, watched] {
      ask_forever(shared, watched);
    }).detach();
  }
  ticker_ = start_thread("health", [this] { tick_forever(); });
}

void StorageMonitor::stop(int64_t deadline_ms) {
  {
    std::unique_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
    shared_->changed.wait_for(lock, std::chrono::milliseconds(deadline_ms), [&] { return shared_->running == 0; });
  }
  if (ticker_.joinable()) ticker_.join();
}

StorageHealth StorageMonitor::health(std::string_view storage) const {
  const std::lock_guard lock(shared_->mutex);
  for (const auto& watched : watched_) {
    if (watched->storage->name() != storage) continue;
    StorageHealth health = watched->health;
    health.held_off = watched->storage->held_off();
    if (watched->silent_since_ms != 0) health.silent_ms = system_clock().monotonic_ms() - watched->silent_since_ms;
    if (health.silent_ms > shared_->options.patience_ms) {
      health.well = false;
      health.reason = fmt::format("it has not answered for {} ms{}", health.silent_ms,
                                  health.held_off ? ", and calls are held off until it does" : "");
    }
    return health;
  }
  StorageHealth unknown;
  unknown.reason = "there is no such storage";
  return unknown;
}

void StorageMonitor::ask_forever(const std::shared_ptr<Shared>& shared, const std::shared_ptr<Watched>& watched) {
  std::unique_lock lock(shared->mutex);
  while (!shared->stopping) {
    lock.unlock();
    if (watched->storage->started() && watched->bound) {
      ask(*shared, *watched);
    } else {
      try_to_start(*shared, *watched);
    }
    lock.lock();
    shared->changed.wait_for(lock, std::chrono::milliseconds(watched->pause_ms), [&] { return shared->stopping; });
  }
  --shared->running;
  shared->changed.notify_all();
}

void StorageMonitor::ask(Shared& shared, Watched& watched) {
  const int64_t asked_ms = system_clock().monotonic_ms();
  {
    const std::lock_guard lock(shared.mutex);
    if (watched.silent_since_ms == 0) watched.silent_since_ms = asked_ms;
    watched.successes_then = successes(*watched.storage);
  }
  const auto condition = watched.storage->health();
  // A failure that took long is the deadline speaking, not the engine.
  const bool answered = condition || system_clock().monotonic_ms() - asked_ms < shared.options.patience_ms;
  const std::lock_guard lock(shared.mutex);
  if (condition) watched.unfit = fits(shared, watched);
  if (!watched.unfit.ok()) {
    watched.storage->hold_off(watched.unfit.text());
  } else if (answered) {
    watched.storage->let_in();
  }
  if (answered) watched.silent_since_ms = 0;
  const std::string losses = count_losses(shared.options, watched);
  const Status trouble = condition ? watched.unfit : condition.error();
  const bool was_well = std::exchange(watched.health.well, trouble.ok() && losses.empty());
  watched.health.reason = trouble.ok() ? losses : trouble.describe();
  watched.pause_ms = watched.health.well ? shared.options.well_pause_ms : shared.options.ill_pause_ms;
  if (was_well == watched.health.well || !shared.log || shared.stopping) return;
  shared.log(watched.health.well ? SLUICE_LOG_INFO : SLUICE_LOG_WARNING,
             watched.health.well
                 ? fmt::format("storage \"{}\" is well again", watched.storage->name())
                 : fmt::format("storage \"{}\" is not well: {}", watched.storage->name(), watched.health.reason));
}

/// Whether the storage, as it is now, still does what it is needed for. With the mutex.
Status StorageMonitor::fits(const Shared& shared, const Watched& watched) {
  if (watched.storage != shared.internal || !shared.internal_was_durable) return {};
  for (const auto& other : shared.storages) {
    if (Status status = may_hold_own_logs(*shared.internal, *other); !status.ok()) return status;
  }
  return {};
}

void StorageMonitor::try_to_start(Shared& shared, Watched& watched) {
  host::Storage& storage = *watched.storage;
  // Nothing may use it before it is known to be this cluster's.
  storage.hold_off("it is being started");
  const auto condition = storage.start();
  Status status = condition ? Status() : condition.error();
  if (status.ok() && shared.internal) status = may_hold_own_logs(*shared.internal, storage);
  if (status.ok() && shared.bind) status = shared.bind(storage);
  if (!status.ok() && storage.started()) static_cast<void>(storage.stop(shared.options.patience_ms));
  storage.let_in();
  const std::lock_guard lock(shared.mutex);
  watched.bound = status.ok();
  watched.health.well = status.ok();
  watched.health.reason = status.ok() ? "" : status.describe();
  const int32_t of = status_class(status.code());
  const bool refused = !status.ok() && (of == 100 || of == 500);
  watched.pause_ms = status.ok() ? shared.options.well_pause_ms
                     : refused   ? shared.options.refused_pause_ms
                                 : shared.options.start_pause_ms;
  if (!shared.log || shared.stopping) return;
  if (status.ok()) {
    watched.said.clear();
    shared.log(SLUICE_LOG_INFO, fmt::format("storage \"{}\" is back{}", storage.name(),
                                            condition->server.empty() ? "" : ", on " + condition->server));
  } else if (std::string line = fmt::format("storage \"{}\": {}", storage.name(), status.describe());
             line != watched.said) {
    shared.log(SLUICE_LOG_ERROR, line);
    watched.said = std::move(line);
  }
}

void StorageMonitor::tick_forever() {
  std::unique_lock lock(shared_->mutex);
  while (!shared_->changed.wait_for(lock, std::chrono::milliseconds(shared_->options.tick_ms),
                                    [&] { return shared_->stopping; })) {
    const int64_t now = system_clock().monotonic_ms();
    for (const auto& watched : watched_) {
      host::Storage& storage = *watched->storage;
      if (watched->silent_since_ms == 0 || !watched->may_hold_off || storage.held_off()) continue;
      if (const uint64_t done = successes(storage); done != watched->successes_then) {
        watched->successes_then = done;
        watched->silent_since_ms = now;
        continue;
      }
      const int64_t silent_ms = now - watched->silent_since_ms;
      if (silent_ms < shared_->options.stall_ms) continue;
      storage.hold_off(fmt::format("it has answered nothing for {} ms", silent_ms));
      if (shared_->log) {
        shared_->log(SLUICE_LOG_WARNING,
                     fmt::format("storage \"{}\" has answered nothing for {} ms: calls on its topics are refused until "
                                 "it does; topics on other storages go on",
                                 storage.name(), silent_ms));
      }
    }
  }
}

}  // namespace sluice::storage
