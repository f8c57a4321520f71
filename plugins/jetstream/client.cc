// SPDX-License-Identifier: Apache-2.0
#include "jetstream/client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <random>

#include "base/thread.hpp"
#include "jetstream/connect.hpp"
#include "jetstream/delivery.hpp"
#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

constexpr int kSendBufferBytes = 4 << 20;
constexpr int kMostHandshakes = 3;
constexpr size_t kMostPieces = 256;                       // of one sendmsg
constexpr size_t kMostSentAtOnceBytes = size_t{8} << 20;  // before others have their turn
constexpr int kMostEndings = 64;                          // until cnats has seen the end of a connection
constexpr int kMostReceivesAtOnce = 16;                   // before others have their turn
constexpr int kMostReceivesAtEnd = 1024;                  // of a connection

void add_number(std::string& text, uint64_t number) {
  char digits[24];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace

Status unanswered_write(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::not_sent:
      return Status(StatusCode::unavailable, reply.why);
    case Reply::Kind::denied:
      return Status(StatusCode::denied, reply.why);
    case Reply::Kind::too_large:
      return Status(StatusCode::too_large, reply.why);
    case Reply::Kind::abandoned:
      return Status(StatusCode::not_found, reply.why, kStreamNotFound);
    default:
      return Status(StatusCode::unknown, reply.why);
  }
}

Status unanswered_read(const Reply& reply) {
  Status status = unanswered_write(reply);
  return status.code() == StatusCode::unknown ? Status(StatusCode::unavailable, status.text()) : status;
}

// cnats' view of the loop.
struct Client::Hooks {
  static natsStatus attach(void** data, void* loop, natsConnection*, natsSock socket) {
    auto* attaching = static_cast<std::pair<EventLoop*, int>*>(loop);
    attaching->second = socket;
    *data = attaching->first;
    return NATS_OK;
  }
  static natsStatus read(void*, bool) { return NATS_OK; }
  static natsStatus write(void*, bool) { return NATS_OK; }
  static natsStatus detach(void*) { return NATS_OK; }
  // Without this cnats would print it.
  static void error(natsConnection*, natsSubscription*, natsStatus, void*) {}
};

Client::Client(EventLoop& loop, const Settings& settings, Log log)
    : loop_(loop), settings_(settings), log_(std::move(log)), urls_(settings.servers) {
  open_library();
}

Client::~Client() {
  close(kNoDeadlineNs);
}

ServerInfo Client::server() const {
  const std::lock_guard lock(mutex_);
  return server_;
}

// ---- Connecting

// One server after the other, in another order each time, so that it can be ended in between.
Result<Client::Attached> Client::connect(int64_t deadline_ns) {
  std::vector<std::string> urls;
  {
    const std::lock_guard lock(mutex_);
    urls = urls_;
  }
  std::shuffle(urls.begin(), urls.end(), std::minstd_rand(std::random_device{}()));
  Result<Attached> made = fail(StatusCode::unavailable, "no server");
  for (const std::string& url : urls) {
    const int64_t left_ms = deadline_ns == kNoDeadlineNs ? INT64_MAX : (deadline_ns - monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) return fail(StatusCode::unavailable, "the deadline came before a server answered");
    Result<Attached> now = connect_to(url, std::min(left_ms, settings_.connect_timeout_ms));
    if (now) return now;
    // A server that is down says less than one that refuses.
    const bool tells_more = made.error().code() == StatusCode::unavailable;
    if (tells_more) made = fail(now.error().in(url));
    const std::lock_guard lock(mutex_);
    if (connecting_ && !running_) break;
  }
  return made;
}

Result<Client::Attached> Client::connect_to(const std::string& url, int64_t timeout_ms) {
  auto options = make_options(settings_, url);
  if (!options) return fail(options.error());
  natsOptions_SetTimeout(options->get(), timeout_ms);
  auto attaching = std::make_unique<std::pair<EventLoop*, int>>(&loop_, -1);
  natsOptions_SetEventLoop(options->get(), attaching.get(), &Hooks::attach, &Hooks::read, &Hooks::write,
                           &Hooks::detach);
  natsOptions_SetErrorHandler(options->get(), &Hooks::error, nullptr);
  Attached made;
  const TlsChannel::Catch encryption;
  natsStatus status = natsConnection_Connect(&made.connection, options->get());
  // A server that refuses our certificate says so and hangs up, and the one may hide the other.
  for (int i = 1; i < kMostHandshakes && hung_up(status, encryption); ++i) {
    status = natsConnection_Connect(&made.connection, options->get());
  }
  if (status != NATS_OK) return fail(connect_status(status, encryption));
  made.fd = attaching->second;
  if (encryption.session() != nullptr) made.tls = std::make_unique<TlsChannel>(encryption.session());
  setsockopt(made.fd, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  natsInbox* inbox = nullptr;
  status = natsInbox_Create(&inbox);
  if (status == NATS_OK) {
    made.inbox = inbox;
    natsInbox_Destroy(inbox);
  }
  if (status == NATS_OK) status = natsConnection_HasHeaderSupport(made.connection);
  if (status != NATS_OK) {
    natsConnection_Destroy(made.connection);
    return fail(connect_status(status, encryption));
  }
  max_payload_.store(static_cast<uint64_t>(natsConnection_GetMaxPayload(made.connection)));

  // Other servers of the cluster, for the day when this one is gone.
  char** found = nullptr;
  int count = 0;
  char connected[512] = "";
  natsConnection_GetConnectedUrl(made.connection, connected, sizeof connected);
  ServerInfo server = ask_server(connected, timeout_ms);
  const std::lock_guard lock(mutex_);
  server_ = std::move(server);
  if (natsConnection_GetDiscoveredServers(made.connection, &found, &count) == NATS_OK) {
    urls_ = settings_.servers;
    for (int i = 0; i < count; ++i) {
      if (std::find(urls_.begin(), urls_.end(), found[i]) == urls_.end()) urls_.emplace_back(found[i]);
      free(found[i]);
    }
    free(found);
  }
  return made;
}

Status Client::open(int64_t deadline_ns) {
  auto made = connect(deadline_ns);
  if (!made) return made.error();
  uint64_t epoch = 0;
  {
    const std::lock_guard lock(mutex_);
    running_ = connecting_ = true;
    wanted_ = false;
    epoch = ++last_epoch_;
  }
  loop_.post([this, made = std::move(*made), epoch]() mutable {
    first_epoch_ = epoch;
    adopt(std::move(made), epoch);
  });
  connector_ = start_thread("jetstream-conn", [this] { reconnect_forever(); });
  return {};
}

bool Client::close(int64_t deadline_ns) {
  if (!connector_.joinable()) return true;
  {
    std::unique_lock lock(mutex_);
    running_ = false;
    changed_.notify_all();
    const auto ended = [this] { return !connecting_; };
    if (deadline_ns == kNoDeadlineNs) {
      changed_.wait(lock, ended);
    } else if (!changed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)),
                                    ended)) {
      return false;
    }
  }
  connector_.join();
  std::mutex mutex;
  std::condition_variable done;
  bool closed = false;
  loop_.post([&] {
    drop("the storage is stopped");
    const std::lock_guard lock(mutex);
    closed = true;
    done.notify_one();
  });
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return closed; });
  return true;
}

// On a thread of its own: connecting blocks.
void Client::reconnect_forever() {
  std::minstd_rand random(std::random_device{}());
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return wanted_ || !running_; });
    int64_t pause_ms = kShortestPauseMs;
    while (wanted_ && running_) {
      lock.unlock();
      auto made = connect(kNoDeadlineNs);
      lock.lock();
      if (made) {
        wanted_ = false;
        const uint64_t epoch = ++last_epoch_;
        log_(2, fmt::format("connected again, to {} {}", server_.name, server_.version));
        loop_.post([this, made = std::move(*made), epoch]() mutable { adopt(std::move(made), epoch); });
        break;
      }
      const int64_t jitter_ms = static_cast<int64_t>(random() % static_cast<uint64_t>(pause_ms));
      changed_.wait_for(lock, std::chrono::milliseconds(pause_ms / 2 + jitter_ms / 2), [&] { return !running_; });
      pause_ms = std::min(2 * pause_ms, kLongestPauseMs);
    }
    if (!running_) break;
  }
  connecting_ = false;
  changed_.notify_all();
}

void Client::adopt(Attached made, uint64_t epoch) {
  connection_ = made.connection;
  fd_ = made.fd;
  reply_prefix_ = made.inbox + ".";
  tls_ = std::move(made.tls);
  epoch_ = epoch;
  inbox_ = Inbox();
  last_error_.clear();
  broken_why_.clear();
  denied_.clear();
  pings_unanswered_ = 0;
  next_ping_ns_ = monotonic_ns() + kPingIntervalMs * kNsPerMs;
  outbox_.push_line(++last_request_, fmt::format("SUB {}* 1\r\n", reply_prefix_));
  loop_.attach(this, made.fd);
}

void Client::drop(const std::string& why) {
  if (connection_ != nullptr) {
    end(why);
    loop_.detach();
    natsConnection_Destroy(std::exchange(connection_, nullptr));
    tls_ = nullptr;
  }
  // What is told now may ask again at once, and hears that there is no connection.
  std::vector<uint64_t> ids;
  for (const auto& [id, waiting] : waiting_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  Outbox left = std::exchange(outbox_, Outbox());
  for (const uint64_t id : ids) {
    const bool sent = left.withdraw(id) != Outbox::Sent::no;
    finish(id, {sent ? Reply::Kind::lost : Reply::Kind::not_sent, {}, why});
  }
}

// ---- Requests

uint64_t Client::send(const Outgoing& outgoing, Slot& slot) {
  const auto refuse = [&](Reply::Kind kind, const char* why) {
    slot.answered({kind, {}, why});
    return uint64_t{0};
  };
  if (connection_ == nullptr) return refuse(Reply::Kind::not_sent, "not connected");
  if (outgoing.deadline_ns <= monotonic_ns()) {
    return refuse(Reply::Kind::not_sent, "the deadline was over before it was sent");
  }
  if (!Outbox::is_sound(outgoing)) {
    return refuse(Reply::Kind::not_sent, "not sent: a subject or a header that is no line");
  }
  if (Outbox::message_bytes(outgoing) > max_payload()) {
    return refuse(Reply::Kind::too_large, "the message is larger than the server's max_payload");
  }
  const uint64_t id = ++last_request_;
  std::string reply = reply_prefix_;
  add_number(reply, id);
  outbox_.push(id, outgoing, reply);
  waiting_.emplace(id, Waiting{&slot, outgoing.deadline_ns, outgoing.subject});
  deadlines_.emplace(outgoing.deadline_ns, id);
  return id;
}

void Client::finish(uint64_t id, Reply reply) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;  // an answer that came too late
  // What it refers to may go now.
  const bool unsent = outbox_.withdraw(id) == Outbox::Sent::no;
  if (unsent && reply.kind == Reply::Kind::overdue) reply.kind = Reply::Kind::not_sent;
  Slot* slot = found->second.slot;
  deadlines_.erase({found->second.deadline_ns, id});
  if (!found->second.consumer.empty()) pulls_.erase(found->second.consumer);
  waiting_.erase(found);
  slot->answered(std::move(reply));
}

void Client::abandon(const std::string& prefix) {
  std::vector<uint64_t> ids;
  for (const auto& [id, waiting] : waiting_) {
    if (waiting.subject.starts_with(prefix)) ids.push_back(id);
  }
  for (const uint64_t id : ids) finish(id, {Reply::Kind::abandoned, {}, "the stream is deleted"});
}

// The server says by an error of the connection, not of the request, that a subject is forbidden.
void Client::take_error(std::string_view text) {
  const bool repeated = text == last_error_;
  last_error_ = text;
  if (!repeated) log_(2, last_error_);
  const auto subject = denied_subject(last_error_);
  if (!subject) return;
  denied_.insert(*subject);
  std::vector<uint64_t> ids;
  for (const auto& [id, waiting] : waiting_) {
    if (waiting.subject == *subject) ids.push_back(id);
  }
  for (const uint64_t id : ids) finish(id, {Reply::Kind::denied, {}, last_error_});
}

void Client::expire(int64_t now_ns) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns) {
    const uint64_t id = deadlines_.begin()->second;
    if (denied_.contains(waiting_.at(id).subject)) {
      finish(id, {Reply::Kind::denied, {}, last_error_});
    } else {
      finish(id, {Reply::Kind::overdue, {}, "the server did not answer in time"});
    }
  }
}

// A message that a consumer delivers, also one that nobody waits for any more. What is resumed here may end the pull.
bool Client::deliver(const Message& message) {
  const auto delivery = parse_delivery(message.reply());
  if (!delivery) return false;
  const auto found = pulls_.find(std::string(delivery->consumer));
  if (found == pulls_.end()) return true;
  const auto [id, pull] = found->second;
  if (pull->take({message, delivery->sequence, delivery->stored_ms}, delivery->pending)) {
    finish(id, {Reply::Kind::answered, {}, {}});
  } else {
    pull->wake();
  }
  return true;
}

void Client::take_message(const Message& message) {
  if (!message.reply().empty() && deliver(message)) return;
  const std::string_view subject = message.subject();
  if (!subject.starts_with(reply_prefix_)) return;
  uint64_t id = 0;
  std::from_chars(subject.data() + reply_prefix_.size(), subject.data() + subject.size(), id);
  finish(id, {Reply::Kind::answered, message.alone(), {}});
}

/// False: the server does not speak the protocol.
bool Client::take_items() {
  for (;;) {
    const Inbox::Item item = inbox_.next();
    switch (item.kind) {
      case Inbox::Kind::nothing:
        return true;
      case Inbox::Kind::message:
        take_message(item.message);
        break;
      case Inbox::Kind::ping:
        outbox_.push_line(++last_request_, "PONG\r\n");
        break;
      case Inbox::Kind::pong:
        pings_unanswered_ = 0;
        break;
      case Inbox::Kind::error:
        take_error(item.text);
        break;
      case Inbox::Kind::other:
        break;
      case Inbox::Kind::nonsense:
        return false;
    }
  }
}

/// False: there is nothing more at the moment, or for good.
bool Client::receive() {
  if (!broken_why_.empty()) return false;
  const std::span<uint8_t> room = inbox_.room();
  ssize_t got = 0;
  do {
    got = tls_ != nullptr ? tls_->read(room) : recv(fd_, room.data(), room.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (got <= 0) {
    break_off(got == 0 ? "the server closed it" : std::strerror(errno));
    return false;
  }
  inbox_.received(static_cast<size_t>(got));
  if (take_items()) return true;
  break_off("the server sent what is no line of the protocol");
  return false;
}

void Client::readable() {
  if (tls_ != nullptr) {
    // What is not read now is not seen by the loop.
    tls_->receive(fd_);
    while (receive()) continue;
  } else {
    for (int i = 0; i < kMostReceivesAtOnce && receive(); ++i) continue;
  }
}

void Client::ping(int64_t now_ns) {
  if (now_ns < next_ping_ns_) return;
  next_ping_ns_ = now_ns + kPingIntervalMs * kNsPerMs;
  if (++pings_unanswered_ > kMostPingsUnanswered) return end("the server does not answer");
  outbox_.push_line(++last_request_, "PING\r\n");
}

// What has come counts; then it is over.
void Client::end(const std::string& why) {
  if (tls_ != nullptr && broken_why_.empty()) tls_->receive(fd_);
  for (int i = 0; i < kMostReceivesAtEnd && receive(); ++i) continue;
  break_off(why);
}

// The connection is over, which cnats finds by reading: it would wait for answers when it is closed before that.
void Client::break_off(std::string why) {
  if (broken_why_.empty()) broken_why_ = std::move(why);
  if (natsConnection_IsClosed(connection_)) return;
  if (tls_ != nullptr) tls_->close();
  shutdown(fd_, SHUT_RDWR);
  // Nothing that is left is for cnats, which does not know where a line begins.
  std::array<char, 4096> left;
  while (tls_ == nullptr && recv(fd_, left.data(), left.size(), MSG_DONTWAIT) > 0) continue;
  for (int i = 0; i < kMostEndings && !natsConnection_IsClosed(connection_); ++i) {
    natsConnection_ProcessReadEvent(connection_);
  }
}

void Client::write() {
  const auto full = [] { return errno == EAGAIN || errno == EWOULDBLOCK; };
  size_t total = 0;
  bool more = false;
  while (!more) {
    if (tls_ != nullptr && tls_->has_output() && tls_->flush(fd_) != 0) {
      if (!full()) return end(std::strerror(errno));
      more = true;
      continue;
    }
    if (outbox_.empty()) break;
    std::array<iovec, kMostPieces> pieces;
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = outbox_.next(pieces);
    const ssize_t written = tls_ != nullptr ? tls_->write(std::span(pieces).first(message.msg_iovlen))
                                            : sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && !full()) return end(std::strerror(errno));
    if (written > 0) outbox_.sent(static_cast<size_t>(written));
    total += static_cast<size_t>(std::max<ssize_t>(written, 0));
    more = written < 0 || total >= kMostSentAtOnceBytes;
  }
  loop_.want_write(more);
}

int64_t Client::before_wait() {
  const int64_t now_ns = monotonic_ns();
  expire(now_ns);
  if (connection_ != nullptr && broken_why_.empty()) ping(now_ns);
  if (connection_ != nullptr && broken_why_.empty()) write();
  if (connection_ != nullptr && !broken_why_.empty()) {
    const bool told = !last_error_.empty() && !denied_subject(last_error_);
    const std::string why =
        fmt::format("the connection broke: {}{}{}", told ? last_error_ : "", told ? "; " : "", broken_why_);
    log_(2, why);
    drop(why);
    {
      const std::lock_guard lock(mutex_);
      wanted_ = true;
    }
    changed_.notify_all();
  }
  if (connection_ == nullptr) loop_.want_write(false);
  const int64_t deadline_ns = deadlines_.empty() ? kNoDeadlineNs : deadlines_.begin()->first;
  return connection_ == nullptr ? deadline_ns : std::min(deadline_ns, next_ping_ns_);
}

}  // namespace sluice::jetstream
