// SPDX-License-Identifier: Apache-2.0
// One connection: commands go out in the order of the calls, without copying what they lend; replies come back in that
// order and are parsed by hiredis. Thread: reactor, throughout.
//
// Invariants: a call is answered exactly once; `unsent` says that its last byte was never given to the kernel, so that
// the server can never execute it; `lost` says that it was, and nobody knows. A call whose deadline comes is answered
// then; its reply, if it still comes, is dropped. When the deadline comes in the middle of sending, the connection is
// cut.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "redis/address.hpp"
#include "redis/command.hpp"
#include "redis/reactor.hpp"
#include "redis/reply.hpp"

namespace sluice::redis {

/// Calls that may wait on one connection; beyond, they are refused with BUSY.
inline constexpr size_t kMaxWaitingCalls = 65'536;
/// How often deadlines are looked at.
inline constexpr int64_t kTickMs = 20;

struct Answer {
  enum class Fate {
    replied,  // `replies` holds one reply per command, errors among them
    unsent,   // the server has not got it and never will
    lost,     // the server may have got it, and may execute it yet
  };
  Fate fate = Fate::unsent;
  std::vector<Reply> replies;
  Status why;               // unless replied
  uint64_t generation = 0;  // of the link that it was sent on; set by Servers
  int sends = 0;            // how often it was sent: more than once where it was refused first; set by Servers

  bool replied() const { return fate == Fate::replied; }
  /// The reply to one of the commands; nil if there is none.
  ReplyView operator[](size_t index) const { return index < replies.size() ? ReplyView(replies[index]) : ReplyView(); }
};

class Connection final : private Reactor::Source {
 public:
  /// `silence_ms`: the longest that calls wait without any byte from the server before the connection is cut. `on_down`
  /// is told why, once for each open() that succeeded; calls are answered before.
  Connection(Reactor& reactor, int64_t silence_ms, std::function<void(const Status&)> on_down);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() override;

  /// Connects; UNAVAILABLE with the reason otherwise. Not while open.
  Task<Status> open(SocketAddress address, std::string name, int64_t deadline_ns);
  bool is_open() const { return state_ == State::open; }

  /// Awaitable: sends `command`, which stays where it is until then, and gives the Answer.
  auto call(const Command& command, int64_t deadline_ns) { return Awaiter{*this, command, deadline_ns, {}, {}}; }

  /// Answers every call and closes; also while open() is under way.
  void cut(Status why);

 private:
  enum class State { closed, opening, open };

  struct Awaiter {
    Connection& connection;
    const Command& command;
    int64_t deadline_ns;
    Answer answer;
    std::coroutine_handle<> waiter;

    bool await_ready() { return !connection.accept(*this); }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter = handle;
      connection.enqueue(*this);
    }
    Answer await_resume() { return std::move(answer); }
  };

  struct Entry {
    Awaiter* call;  // nullptr: answered before its reply came
    const Command* command;
    uint32_t replies_left;
    size_t piece = 0;  // being sent
    size_t sent = 0;   // of it
    bool begun() const { return piece > 0 || sent > 0; }
  };

  bool accept(Awaiter& call);
  void enqueue(Awaiter& call);
  void on_events(uint32_t events) override;
  void on_flush() override;
  void connected();
  void send();
  void advance(size_t bytes);
  void receive();
  bool take_replies();
  void answer(Entry& entry, Answer::Fate fate, const Status& why);
  void tick();
  void arm_tick();

  Reactor& reactor_;
  const int64_t silence_ms_;
  const std::function<void(const Status&)> on_down_;

  State state_ = State::closed;
  int fd_ = -1;
  std::string name_;  // of the server, for messages
  std::coroutine_handle<> opener_;
  Status opened_;
  TimerId open_timer_ = 0;

  struct FreeReader {
    void operator()(redisReader* reader) const { redisReaderFree(reader); }
  };
  std::unique_ptr<redisReader, FreeReader> reader_;
  std::deque<Entry> entries_;
  size_t complete_ = 0;  // of entries_, those that are sent as a whole
  bool writable_wanted_ = false;
  bool flush_due_ = false;
  TimerId tick_ = 0;
  int64_t heard_ns_ = 0;  // when the server last said something, or was first asked
};

}  // namespace sluice::redis
