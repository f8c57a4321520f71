// SPDX-License-Identifier: Apache-2.0
// One directory as a storage: its lock, its format, the logs in it, starting and stopping. Lifecycle calls come one at
// a time; log() and list() from any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "disk/engine.hpp"
#include "disk/log.hpp"

namespace sluice::disk {

class Storage {
 public:
  using Logger = std::function<void(LogLevel, const std::string&)>;

  Storage(Settings settings, Files& files, Logger logger) : engine_(std::move(settings), files, std::move(logger)) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  /// Takes the directory (making it if it is not there) and lists the logs in it by name. EXISTS: another process has
  /// it, DENIED: not allowed, UNSUPPORTED: of a later format, CORRUPT: not a storage any more. On a read-only file
  /// system it starts, and reads.
  Status start();
  /// Waits for what is outstanding, syncs, writes what makes the next start cheap, and lets go of the directory.
  Status stop(std::chrono::steady_clock::time_point deadline);
  /// Lets go of the directory as the end of the process would: nothing is synced or written down. With no call
  /// outstanding.
  void let_go();
  Status health() const;
  bool started() const { return accepting_.load(std::memory_order_acquire); }
  bool read_only() const { return read_only_; }

  /// Ties the storage to a cluster; `cluster` becomes the id that it is tied to. Always synced.
  Status bind(Uuid& cluster, bool replace);

  /// Makes `call` unless the storage is stopped, and keeps stop() from going on meanwhile.
  template <class F>
  Status while_started(F&& call) {
    engine_.outstanding.begin();
    Status status = started() ? call() : health();
    engine_.outstanding.end();
    return status;
  }

  /// The log of that id, which need not be there.
  std::shared_ptr<Log> log(const Uuid& id);

  /// A handle on `log` goes: if the log is not there and nobody else holds it, it is forgotten.
  void released(std::shared_ptr<Log> log);

  struct Listed {
    Uuid id;
    std::string topic;
    int32_t partition = 0;
  };
  /// All logs that are there. Reads files where a directory's name does not tell the topic.
  std::vector<Listed> list();

  Engine& engine() { return engine_; }

 private:
  Status take_directory();
  void write_owner();
  std::string owner() const;  // of a directory that another process has
  Status check_format();
  Status find_logs();
  Status close_logs(std::chrono::steady_clock::time_point deadline);
  void sync_periodically();
  void stop_timer();

  Engine engine_;
  std::atomic<bool> accepting_{false};
  bool read_only_ = false;
  int lock_fd_ = -1;

  std::mutex logs_mutex_;
  std::unordered_map<Uuid, std::shared_ptr<Log>>
      logs_;  // guarded by logs_mutex_; those that are there, and those with handles

  std::mutex timer_mutex_;
  std::condition_variable timer_wake_;
  bool timer_stop_ = false;  // guarded by timer_mutex_
  std::thread timer_;        // in the interval mode
};

}  // namespace sluice::disk
