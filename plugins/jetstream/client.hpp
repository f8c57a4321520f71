// SPDX-License-Identifier: Apache-2.0
// The connection to the servers, and requests over it.
//
// cnats connects: it finds the server, shakes hands, and shows who we are. From then on it neither reads nor writes,
// and only keeps the socket: the loop writes from an Outbox and reads into an Inbox, pings and answers pings; with TLS
// through a TlsChannel. cnats would copy each message into new memory, lock for it and free it on another thread, which
// takes several times as long as all else that is done for a small one; and what it would keep in its buffers when it
// connects again could land late. A lost connection is given up, all that was on its way is told so, and a new one is
// made, on a thread of its own, with growing pauses. Each connection has a number, its epoch, which never falls.
//
// Loop thread, but for open() and close().
#pragma once

#include <nats/nats.h>

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "jetstream/event_loop.hpp"
#include "jetstream/inbox.hpp"
#include "jetstream/message.hpp"
#include "jetstream/outbox.hpp"
#include "jetstream/outgoing.hpp"
#include "jetstream/settings.hpp"
#include "jetstream/tls_channel.hpp"

namespace sluice::jetstream {

struct Reply {
  enum class Kind : uint8_t {
    answered,   // `message` is the answer
    not_sent,   // no connection, or overdue before it went out: nothing happened
    lost,       // the connection broke after it went out
    overdue,    // no answer in time
    denied,     // the server forbids the subject: nothing happened
    too_large,  // above the server's max_payload: nothing happened
    abandoned,  // what it was meant for is deleted: if it took effect, that is gone
  };
  Kind kind = Kind::not_sent;
  Message message;
  std::string why;

  bool answered() const { return kind == Kind::answered; }
};

/// What an unanswered request means where it may have taken effect, and where it could only read.
Status unanswered_write(const Reply& reply);
Status unanswered_read(const Reply& reply);

/// A server, as it presents itself before anything is agreed on.
struct ServerInfo {
  std::string version;  // "2.9.10", or empty when it could not be asked
  std::string name;
  bool jetstream = false;
  bool tls_required = false;
};

class Client final : public Source {
 public:
  using Log = std::function<void(int32_t level, const std::string& text)>;

  /// Longest pause between attempts to connect again.
  static constexpr int64_t kLongestPauseMs = 500;
  static constexpr int64_t kShortestPauseMs = 20;
  /// How often the server is asked whether it is there, and how many answers may be missing.
  static constexpr int64_t kPingIntervalMs = 5'000;
  static constexpr int kMostPingsUnanswered = 2;

  Client(EventLoop& loop, const Settings& settings, Log log);
  ~Client() override;

  /// Connects. DENIED, INVALID or UNAVAILABLE with the native message. Lifecycle thread.
  Status open(int64_t deadline_ns);
  /// Ends every request as lost, and the connection. False: the deadline came while a server was still being connected
  /// to; to be called again. Lifecycle thread; not from the loop.
  bool close(int64_t deadline_ns);

  /// The number of the connection that is up; 0: none is.
  uint64_t epoch() const { return connection_ != nullptr ? epoch_ : 0; }
  /// The number that the first connection since open() has.
  uint64_t first_epoch() const { return first_epoch_; }
  /// Bytes of one message, headers and all; of the last connection. Any thread.
  uint64_t max_payload() const { return max_payload_.load(); }
  /// Of the last connection. Any thread.
  ServerInfo server() const;

  class Slot {
   public:
    virtual void answered(Reply reply) = 0;

   protected:
    ~Slot() = default;
  };
  /// Sends and has `slot` told exactly once, maybe before this returns. The request's number; 0: it is answered.
  uint64_t send(const Outgoing& outgoing, Slot& slot);
  /// Ends the requests to subjects that begin so.
  void abandon(const std::string& prefix);

  /// `Reply reply = co_await client.request(outgoing)`; `outgoing` outlives it.
  class Request;
  Request request(const Outgoing& outgoing);
  /// Several at once; the replies in their order.
  class Requests;
  Requests requests(const std::vector<Outgoing>& outgoing);
  /// Messages of a consumer, which come one after the other.
  class Pull;

  int64_t before_wait() override;
  void readable() override;

 private:
  struct Waiting {
    Slot* slot;
    int64_t deadline_ns;
    std::string subject;
    std::string consumer = {};  // whose messages it is for; empty: it is for one answer
  };
  struct Pulling {
    uint64_t id;
    Pull* pull;
  };
  struct Attached {
    natsConnection* connection = nullptr;
    int fd = -1;
    std::string inbox;
    std::unique_ptr<TlsChannel> tls;  // nullptr: not encrypted
  };
  struct Hooks;

  Result<Attached> connect(int64_t deadline_ns);
  Result<Attached> connect_to(const std::string& url, int64_t timeout_ms);
  void adopt(Attached made, uint64_t epoch);
  void drop(const std::string& why);
  bool receive();
  bool take_items();
  void take_message(const Message& message);
  bool deliver(const Message& message);
  void take_error(std::string_view text);
  void ping(int64_t now_ns);
  void end(const std::string& why);
  void break_off(std::string why);
  void write();
  void finish(uint64_t id, Reply reply);
  void expire(int64_t now_ns);
  void reconnect_forever();

  EventLoop& loop_;
  const Settings& settings_;
  const Log log_;

  // The loop's thread.
  natsConnection* connection_ = nullptr;
  int fd_ = -1;
  std::string reply_prefix_;  // answers go to this and the request's number
  Outbox outbox_;
  Inbox inbox_;
  std::unique_ptr<TlsChannel> tls_;  // nullptr: not encrypted
  uint64_t epoch_ = 0;
  uint64_t first_epoch_ = 0;
  uint64_t last_request_ = 0;
  std::unordered_map<uint64_t, Waiting> waiting_;
  std::unordered_map<std::string, Pulling> pulls_;  // by consumer; each is waited for too
  std::set<std::pair<int64_t, uint64_t>> deadlines_;
  int64_t next_ping_ns_ = 0;
  int pings_unanswered_ = 0;
  std::string last_error_;        // that the server told on this connection
  std::string broken_why_;        // of a connection that is over
  std::set<std::string> denied_;  // subjects that the server forbade on this connection

  std::atomic<uint64_t> max_payload_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;           // guarded by mutex_
  bool connecting_ = false;        // guarded by mutex_: connector_ has not ended
  bool wanted_ = false;            // guarded by mutex_: a new connection is
  uint64_t last_epoch_ = 0;        // guarded by mutex_
  std::vector<std::string> urls_;  // guarded by mutex_: configured, and those that servers told of
  ServerInfo server_;              // guarded by mutex_
  std::thread connector_;
};

class Client::Request final : public Slot {
 public:
  Request(Client& client, const Outgoing& outgoing) : client_(client), outgoing_(outgoing) {}
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    client_.send(outgoing_, *this);
    if (done_) return false;
    waiter_ = waiter;
    return true;
  }
  Reply await_resume() { return std::move(reply_); }
  void answered(Reply reply) override {
    reply_ = std::move(reply);
    done_ = true;
    if (waiter_) waiter_.resume();
  }

 private:
  Client& client_;
  const Outgoing& outgoing_;
  std::coroutine_handle<> waiter_;
  Reply reply_;
  bool done_ = false;
};

class Client::Requests final {
 public:
  Requests(Client& client, const std::vector<Outgoing>& outgoing) : client_(client), outgoing_(outgoing) {}
  bool await_ready() const noexcept { return outgoing_.empty(); }
  bool await_suspend(std::coroutine_handle<> waiter) {
    slots_.resize(outgoing_.size());
    left_ = outgoing_.size() + 1;  // one for this function, so that nothing resumes before it is over
    for (size_t i = 0; i < outgoing_.size(); ++i) {
      slots_[i].all = this;
      client_.send(outgoing_[i], slots_[i]);
    }
    waiter_ = waiter;
    return --left_ != 0;
  }
  std::vector<Reply> await_resume() {
    std::vector<Reply> replies;
    replies.reserve(slots_.size());
    for (One& slot : slots_) replies.push_back(std::move(slot.reply));
    return replies;
  }

 private:
  struct One final : Slot {
    Requests* all = nullptr;
    Reply reply;
    void answered(Reply given) override {
      reply = std::move(given);
      if (--all->left_ == 0) all->waiter_.resume();
    }
  };
  Client& client_;
  const std::vector<Outgoing>& outgoing_;
  std::vector<One> slots_;
  size_t left_ = 0;
  std::coroutine_handle<> waiter_;
};

/// A message that a consumer delivered.
struct Delivered {
  Message message;
  uint64_t sequence = 0;
  int64_t stored_ms = 0;
};

/// A request for messages of a consumer, one at a time to a consumer. They carry their own subjects, so it is their
/// acknowledgement's that tells whose they are. Whoever makes one awaits next() until there is no more, since they come
/// anyway: `while (auto one = co_await pull.next()) ...`
class Client::Pull final : public Slot {
 public:
  /// Sends it. It ends with `most` messages, with the last that there is, or by the server's word.
  Pull(Client& client, const Outgoing& outgoing, const std::string& consumer, size_t most) : most_(most) {
    const uint64_t id = client.send(outgoing, *this);
    if (id == 0) return;
    client.waiting_.at(id).consumer = consumer;
    client.pulls_.insert_or_assign(consumer, Pulling{id, this});
  }
  Pull(const Pull&) = delete;
  Pull& operator=(const Pull&) = delete;

  struct Next {
    Pull& pull;
    bool await_ready() const noexcept { return !pull.come_.empty() || pull.ended_; }
    void await_suspend(std::coroutine_handle<> waiter) { pull.waiter_ = waiter; }
    std::optional<Delivered> await_resume() {
      if (pull.come_.empty()) return std::nullopt;
      std::optional<Delivered> first(std::move(pull.come_.front()));
      pull.come_.pop_front();
      return first;
    }
  };
  Next next() { return Next{*this}; }
  /// How it ended: answered without a message when all came, with the server's status as message when that ended it.
  const Reply& reply() const { return reply_; }

  void answered(Reply reply) override {
    reply_ = std::move(reply);
    ended_ = true;
    wake();
  }
  /// True: that was the last one, and the request is to be ended.
  bool take(Delivered delivered, uint64_t pending) {
    come_.push_back(std::move(delivered));
    return ++taken_ == most_ || pending == 0;
  }
  void wake() {
    if (waiter_) std::exchange(waiter_, nullptr).resume();
  }

 private:
  const size_t most_;
  size_t taken_ = 0;
  std::deque<Delivered> come_;
  std::coroutine_handle<> waiter_;
  Reply reply_;
  bool ended_ = false;
};

inline Client::Request Client::request(const Outgoing& outgoing) {
  return Request(*this, outgoing);
}
inline Client::Requests Client::requests(const std::vector<Outgoing>& outgoing) {
  return Requests(*this, outgoing);
}

}  // namespace sluice::jetstream
