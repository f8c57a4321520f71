// SPDX-License-Identifier: Apache-2.0
// One log: a stream of its own, in which every message but a fence is published on the condition that it lands right
// behind the message that its writer saw last. So whoever writes knows the log as it is, or does not write.
//
//   - A unit of batches is one message: all or nothing. One that is too large for a message begins in others right
//   before it, which change nothing and count for nothing until the unit itself is there behind them.
//   - A fence is a message without a condition. It takes the place that the old writer's next message would need, so
//   that
//     one is refused, however late it comes. Then what lies before it is read back to the last message that is no
//     fence: if there is no higher token, the fence holds.
//   - A fence with a lower token may take the place of the rightful writer's next message. That writer finds only lower
//     fences behind what it knew, and sends its message again, which the server had refused.
//   - Messages that carry the log's whole state are never dropped before a newer one is there.
//
// Writes of one log take turns; reads run beside them. What is known of the state is a cache, and may be old: it is
// asked for again before anybody is refused because of it.
//
// Loop thread, but for watch and the ending of watches: any.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "jetstream/engine.hpp"
#include "jetstream/positions.hpp"
#include "jetstream/stream.hpp"
#include "jetstream/unit.hpp"
#include "plugin/adapter.hpp"
#include "plugin/lease.hpp"

namespace sluice::jetstream {

class Log : public std::enable_shared_from_this<Log> {
 public:
  /// Fences in a row that are read back without writing a seal behind them.
  static constexpr size_t kFencesBeforeSeal = 8;
  /// Messages that are looked at for the last state.
  static constexpr uint64_t kLongestWalk = 100'000;
  /// How often a write is sent again that the server refused because of fences that lost.
  static constexpr int kMostResends = 64;
  /// Messages that one step of a read asks for.
  static constexpr size_t kMostReadAhead = 256;

  Log(Engine& engine, const Uuid& id);

  const Uuid& id() const { return id_; }

  Task<Status> create(plugin::LogDescriptor descriptor, int64_t deadline_ns);
  Task<Status> remove(int64_t deadline_ns);
  Task<Status> append(bool several, const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns);
  Task<Status> bounds(sluice_bounds& result, int64_t deadline_ns);
  Task<Status> locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns);
  Task<Status> trim(bool several, uint64_t token, int64_t offset, int64_t deadline_ns);
  Task<Status> fence(uint64_t token, sluice_fence_result& result, int64_t deadline_ns);
  Task<Status> save(const sluice_save& request, int64_t deadline_ns);
  Task<Status> load(const sluice_load& request, sluice_load_result& result, int64_t deadline_ns);

  /// Keeps the call until the end passes `offset`. Any thread.
  void watch(const void* handle, int64_t offset, plugin::Pending pending);
  /// Ends the watches of `handle`, or all of them (nullptr). Any thread.
  void end_watches(const void* handle, const Status& status);

 private:
  // The log behind the message `last`.
  struct State {
    uint64_t epoch = 0;  // of the connection that it was learnt on; 0: nothing is known
    uint64_t last = 0;
    uint64_t anchor = 0;       // the last message that carries the state; behind it are only fences
    bool inside_unit = false;  // the anchor is the beginning of a unit that has not ended
    int64_t end = 0;
    int64_t start = 0;
    int64_t greatest = kNoTimestamp;
    uint64_t token = 0;
    uint64_t bytes = 0;  // of the stream, about
    int32_t replicas = 1;
    bool file = true;
  };
  // Writes take turns.
  class Turn {
   public:
    explicit Turn(Log& log) : log_(log) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

   private:
    Log& log_;
  };
  struct TurnAwaiter {
    Log& log;
    bool await_ready() const noexcept { return !log.busy_; }
    void await_suspend(std::coroutine_handle<> waiter) { log.waiting_.push_back(waiter); }
    void await_resume() noexcept { log.busy_ = true; }
  };
  TurnAwaiter turn() { return TurnAwaiter{*this}; }

  std::string subject(EntryType type) const;
  std::string value_subject(std::string_view name) const;
  uint64_t current_epoch() const { return engine_.client.epoch(); }
  bool known() const { return state_.epoch != 0 && state_.epoch == current_epoch(); }

  // log_state.cc
  Task<Result<State>> walk_back(StreamInfo info, int64_t deadline_ns);
  Task<Result<State>> inspect(int64_t deadline_ns);
  Task<Status> refresh(int64_t deadline_ns);
  Task<Status> ensure(int64_t deadline_ns);
  void take(const State& state);
  void note_end();
  Task<void> poll_watches();
  Status wrong_message(const Stored& stored) const;

  // log_write.cc
  Entry entry_now(EntryType type) const;
  Task<Status> publish_behind(Entry entry, std::string subject, Pieces payload, int64_t deadline_ns);
  Task<Status> publish_unit(Entry entry, const Pieces& payload, int64_t deadline_ns);
  Task<Status> judge(uint64_t token, int64_t deadline_ns);
  Task<Status> append_in_turn(bool several, const sluice_append& request, int64_t deadline_ns);
  Task<Status> fence_in_turn(uint64_t token, int64_t deadline_ns);
  Task<Status> make_room(int64_t start, int64_t deadline_ns);
  Task<Status> room_for(uint64_t bytes, int64_t deadline_ns);
  Task<void> drop_old_values(std::string value_subject);

  // log_read.cc
  Task<Result<std::optional<Stored>>> unit_at(int64_t offset, int64_t deadline_ns);
  Task<Result<std::optional<Stored>>> unit_not_older(int64_t timestamp, int64_t deadline_ns);
  void learn(const Stored& unit);
  void note_size(uint64_t bytes);
  struct Reading;
  Task<Status> read_units(Reading& reading, uint64_t sequence, int64_t deadline_ns);
  Task<Status> join(Stored& unit, const std::vector<Stored>& read_before, int64_t deadline_ns);
  Status add_unit(Reading& reading, const Stored& unit);

  Engine& engine_;
  const Uuid id_;
  Stream stream_;
  const std::string unit_subject_;
  const std::string part_subject_;

  State state_;
  Positions positions_;
  uint64_t message_bytes_ = 0;  // of messages of batches, about: how many to ask for at once
  uint64_t writer_epoch_ = 0;   // of the connection on which this process became sure of its token
  bool busy_ = false;
  std::deque<std::coroutine_handle<>> waiting_;
  bool polling_ = false;
  bool seen_ = false;  // the log was there once, or is being deleted

  struct Watch {
    const void* handle;
    int64_t offset;
    plugin::Pending pending;
  };
  std::mutex mutex_;
  std::vector<Watch> watches_;  // guarded by mutex_
};

}  // namespace sluice::jetstream
