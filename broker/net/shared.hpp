// SPDX-License-Identifier: Apache-2.0
// What the sessions of a server have in common, and what those of one loop have. For sources of this folder alone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/log_limiter.hpp"
#include "net/asio_loop.hpp"
#include "net/cold_reads.hpp"
#include "net/frame.hpp"
#include "net/server.hpp"

namespace sluice::net {

class Session;
struct Shared;

/// One loop's sessions, and memory that its sessions use in turn, each for as long as it runs. Loop thread only, but
/// for session_count.
struct Shard {
  static constexpr size_t kReceiveBytes = 64 << 10;
  static constexpr size_t kFileBytes = 256 << 10;

  Shard(AsioLoop& l, Shared& s) : loop(l), shared(s) {}

  /// Takes the socket `fd` of an accepted connection.
  void add(uint64_t id, int fd, const std::shared_ptr<const ListenerOptions>& listener);
  void remove(const std::shared_ptr<Session>& session);
  /// Ends what has waited too long, now and then again after a while.
  void sweep();
  void stop_reading();
  void abort_all();

  AsioLoop& loop;
  Shared& shared;
  std::unordered_set<std::shared_ptr<Session>> sessions;
  std::atomic<size_t> session_count{0};  // those on their way to the loop included
  bool stopping = false;
  Buffer receive_space, file_space;  // taken when first needed
  TimerId sweep_timer = 0;
};

/// Owned by the server and by each session, so that a request may outlive the server. Thread-safe.
struct Shared : std::enable_shared_from_this<Shared> {
  Shared(NetLimits l, LogFunction f, Dispatch d)
      : limits(l),
        dispatch(std::move(d)),
        budget(std::make_shared<MemoryBudget>(l.max_request_memory_bytes)),
        frames(FramePool::create(budget)),
        log_function_(std::move(f)) {}

  /// One line, unless there were too many of late: then they are counted and the count is told later.
  void log(LogLevel level, const std::string& text);

  /// Counts a connection from `host` in, unless a limit says no: then says which.
  enum class Admission { admitted, too_many, too_many_of_host };
  Admission admit(const std::string& host);
  /// Counts it out.
  void leave(const std::string& host);
  /// Waits until no connection is left; false: the time was up.
  bool wait_until_empty(int64_t timeout_ms);

  const NetLimits limits;
  const Dispatch dispatch;
  NetMetrics metrics;
  const std::shared_ptr<MemoryBudget> budget;
  const std::shared_ptr<FramePool> frames;
  ColdReads cold_reads;
  std::vector<std::unique_ptr<Shard>> shards;  // one per loop; set up before anything is accepted
  std::atomic<uint64_t> next_connection_id{1};

 private:
  const LogFunction log_function_;
  LogLimiter log_limiter_;

  std::mutex hosts_mutex_;
  std::condition_variable left_;
  size_t admitted_ = 0;                              // guarded by hosts_mutex_
  std::unordered_map<std::string, size_t> by_host_;  // guarded by hosts_mutex_
};

/// A relaxed addition: counters order nothing.
template <class T>
void count(std::atomic<T>& counter, std::type_identity_t<T> by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);
}

/// A numeric address.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
};
/// The far end of a connected socket.
Endpoint peer_of(int fd);

}  // namespace sluice::net
