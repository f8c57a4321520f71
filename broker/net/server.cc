// SPDX-License-Identifier: Apache-2.0
#include "net/server.hpp"

#include <fmt/core.h>

#include <chrono>
#include <future>
#include <mutex>
#include <set>
#include <utility>

#include "net/acceptor.hpp"
#include "net/session.hpp"
#include "net/shared.hpp"

namespace sluice::net {

namespace {

/// Closing what is left takes a turn of each loop; loops that take longer are stuck in a handler.
constexpr int64_t kMaxAbortMs = 5000;
constexpr int64_t kTrimIntervalMs = 5000;

Status check(const ServerOptions& options) {
  const NetLimits& l = options.limits;
  const auto positive = [](const char* name, int64_t value) {
    return value > 0 ? Status() : Status(StatusCode::invalid, fmt::format("{} must be above 0, not {}", name, value));
  };
  const std::pair<const char*, int64_t> values[] = {
      {"socket.request.max.bytes", l.max_frame_bytes},
      {"queued.max.request.bytes", l.max_request_memory_bytes},
      {"max_frame_ms", l.max_frame_ms},
      {"min_frame_bytes_per_second", l.min_frame_bytes_per_second},
      {"max_write_stall_ms", l.max_write_stall_ms},
      {"max_pipelined_requests", static_cast<int64_t>(l.max_pipelined_requests)},
      {"max_queued_response_bytes", static_cast<int64_t>(l.max_queued_response_bytes)},
  };
  for (const auto& [name, value] : values) {
    if (auto status = positive(name, value); !status) return status;
  }
  if (l.max_frame_bytes > INT32_MAX) return Status(StatusCode::invalid, "socket.request.max.bytes is above 2147483647");
  if (options.listeners.empty()) return Status(StatusCode::invalid, "there is no listener");
  std::set<std::string> names;
  for (const ListenerOptions& listener : options.listeners) {
    if (!names.insert(listener.name).second) {
      return Status(StatusCode::invalid, fmt::format("two listeners are named {}", listener.name));
    }
  }
  return {};
}

}  // namespace

struct Server::State {
  State(LoopPool& l, ServerOptions o) : loops(l), options(std::move(o)) {}

  LoopPool& loops;
  const ServerOptions options;
  std::shared_ptr<Shared> shared;
  std::vector<std::shared_ptr<Acceptor>> acceptors;
  std::mutex stop_mutex;
  bool started = false;
  bool stopped = false;         // guarded by stop_mutex
  bool stopped_cleanly = true;  // guarded by stop_mutex
};

namespace {

/// Gives back memory of quiet times. Ends with the server: the timer holds its state weakly.
void trim_now_and_then(AsioLoop& loop, const std::weak_ptr<Shared>& weak) {
  loop.call_after(kTrimIntervalMs, [&loop, weak] {
    const auto shared = weak.lock();
    if (shared == nullptr) return;
    shared->frames->trim();
    trim_now_and_then(loop, weak);
  });
}

/// Runs `job` on `loop` and waits for it.
void run_on(Loop& loop, UniqueFunction<void()> job) {
  auto done = std::make_shared<std::promise<void>>();
  loop.post([done, j = std::move(job)]() mutable {
    j();
    done->set_value();
  });
  done->get_future().wait_for(std::chrono::milliseconds(kMaxAbortMs));
}

}  // namespace

Server::Server(LoopPool& loops, ServerOptions options, Dispatch dispatch)
    : state_(std::make_unique<State>(loops, std::move(options))) {
  state_->shared = std::make_shared<Shared>(state_->options.limits, state_->options.log, std::move(dispatch));
  for (size_t i = 0; i < loops.size(); ++i) {
    state_->shared->shards.push_back(std::make_unique<Shard>(loops.asio_at(i), *state_->shared));
  }
}

Server::~Server() {
  stop(0);
}

Status Server::start() {
  if (state_->started) return Status(StatusCode::invalid, "the server was started before");
  if (auto status = check(state_->options); !status) return status;
  AsioLoop& loop = state_->loops.asio_at(0);
  std::vector<std::shared_ptr<Acceptor>> acceptors;
  for (const ListenerOptions& listener : state_->options.listeners) {
    acceptors.push_back(std::make_shared<Acceptor>(loop, state_->shared, listener));
    if (auto status = acceptors.back()->open(); !status) return status;
  }
  state_->acceptors = std::move(acceptors);
  state_->started = true;
  run_on(loop, [this, &loop] {
    for (const auto& acceptor : state_->acceptors) acceptor->run();
    trim_now_and_then(loop, state_->shared);
  });
  return {};
}

std::vector<ListenerOptions> Server::listeners() const {
  std::vector<ListenerOptions> bound;
  for (const auto& acceptor : state_->acceptors) bound.push_back(acceptor->listener());
  return bound;
}

bool Server::stop(int64_t deadline_ms) {
  const std::lock_guard lock(state_->stop_mutex);
  if (std::exchange(state_->stopped, true)) return state_->stopped_cleanly;
  if (!state_->started) return true;
  const auto shared = state_->shared;
  // On the acceptors' loop, so that what was accepted before reaches its shard before the shard is told.
  run_on(state_->loops.asio_at(0), [acceptors = state_->acceptors, shared] {
    for (const auto& acceptor : acceptors) acceptor->close();
    for (const auto& shard : shared->shards) shard->loop.post([shared, s = shard.get()] { s->stop_reading(); });
  });
  if (!shared->wait_until_empty(deadline_ms)) {
    state_->stopped_cleanly = false;
    for (const auto& shard : shared->shards) shard->loop.post([shared, s = shard.get()] { s->abort_all(); });
    shared->wait_until_empty(kMaxAbortMs);
  }
  shared->cold_reads.stop();
  return state_->stopped_cleanly;
}

const NetMetrics& Server::metrics() const {
  return state_->shared->metrics;
}

int64_t Server::request_memory_bytes() const {
  return state_->shared->budget->used();
}

}  // namespace sluice::net
