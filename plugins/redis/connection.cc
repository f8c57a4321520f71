// SPDX-License-Identifier: Apache-2.0
#include "redis/connection.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "redis/classify.hpp"
#include "redis/reader_room.hpp"

namespace sluice::redis {
namespace {

constexpr size_t kMaxPieces = 256;                    // of one sendmsg
constexpr size_t kReceiveBytes = size_t{64} << 10;    // of one recv
constexpr size_t kMaxReceiveBytes = size_t{8} << 20;  // before others have their turn
constexpr size_t kMaxSendBytes = size_t{8} << 20;     // likewise
constexpr int kKeepAliveIdleSeconds = 15;
constexpr int kKeepAliveIntervalSeconds = 5;
constexpr int kKeepAliveProbes = 3;

void set_option(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

Status broken(const std::string& name, std::string_view what, int error) {
  return Status(StatusCode::unavailable, fmt::format("{}: {}: {}", name, what, std::strerror(error)), error);
}

}  // namespace

Connection::Connection(Reactor& reactor, int64_t silence_ms, std::function<void(const Status&)> on_down)
    : reactor_(reactor), silence_ms_(silence_ms), on_down_(std::move(on_down)) {}

Connection::~Connection() {
  if (fd_ >= 0) {
    reactor_.unwatch(fd_, *this);
    close(fd_);
  }
  reactor_.cancel(open_timer_);
  reactor_.cancel(tick_);
}

Task<Status> Connection::open(SocketAddress address, std::string name, int64_t deadline_ns) {
  name_ = std::move(name);
  const auto* target = reinterpret_cast<const sockaddr*>(&address.storage);
  fd_ = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) co_return broken(name_, "no socket", errno);
  if (target->sa_family != AF_UNIX) {
    set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
    set_option(fd_, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
  }
  state_ = State::opening;
  if (connect(fd_, target, address.size) != 0 && errno != EINPROGRESS) {
    cut(broken(name_, "connect", errno));
    co_return std::exchange(opened_, Status());
  }
  reactor_.watch(fd_, *this, true);
  const int64_t left_ms = std::max<int64_t>((deadline_ns - now_ns()) / kNsPerMs, 0);
  open_timer_ = reactor_.call_after(left_ms, [this] {
    open_timer_ = 0;
    cut(Status(StatusCode::unavailable, fmt::format("{}: no connection in time", name_), ETIMEDOUT));
  });
  struct Opening {
    Connection& connection;
    bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) noexcept { connection.opener_ = waiter; }
    Status await_resume() { return std::exchange(connection.opened_, Status()); }
  };
  co_return co_await Opening{*this};
}

// The socket that connects is writable: it has succeeded or failed.
void Connection::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return cut(broken(name_, "connect", error));
  reactor_.cancel(std::exchange(open_timer_, 0));
  reader_.reset(redisReaderCreate());
  if (reader_ == nullptr) return cut(Status(StatusCode::unavailable, "out of memory"));
  reader_->maxbuf = 0;  // else hiredis frees and takes the buffer anew for every large reply
  state_ = State::open;
  writable_wanted_ = false;
  reactor_.watch(fd_, *this, false);
  reactor_.resume(std::exchange(opener_, nullptr));
}

void Connection::cut(Status why) {
  if (state_ == State::closed) return;
  const State before = std::exchange(state_, State::closed);
  reactor_.unwatch(fd_, *this);
  close(std::exchange(fd_, -1));
  reactor_.cancel(std::exchange(open_timer_, 0));
  reactor_.cancel(std::exchange(tick_, 0));
  reader_.reset();
  flush_due_ = false;
  for (size_t i = 0; i < entries_.size(); ++i) {
    answer(entries_[i], i < complete_ ? Answer::Fate::lost : Answer::Fate::unsent, why);
  }
  entries_.clear();
  complete_ = 0;
  if (before == State::opening) {
    opened_ = std::move(why);
    if (opener_) reactor_.resume(std::exchange(opener_, nullptr));
  } else {
    on_down_(why);
  }
}

bool Connection::accept(Awaiter& call) {
  if (state_ != State::open) {
    call.answer.why = Status(StatusCode::unavailable, fmt::format("{}: not connected", name_));
    return false;
  }
  if (entries_.size() >= kMaxWaitingCalls) {
    call.answer.why = Status(StatusCode::busy, fmt::format("{}: {} calls wait", name_, entries_.size()));
    return false;
  }
  return true;
}

void Connection::enqueue(Awaiter& call) {
  if (entries_.empty()) heard_ns_ = now_ns();
  entries_.push_back({&call, &call.command, call.command.count()});
  call.answer.replies.reserve(call.command.count());
  arm_tick();
  if (!flush_due_ && !writable_wanted_) {
    flush_due_ = true;
    reactor_.flush_later(*this);
  }
}

void Connection::answer(Entry& entry, Answer::Fate fate, const Status& why) {
  if (entry.call == nullptr) return;
  entry.call->answer.fate = fate;
  if (fate != Answer::Fate::replied) entry.call->answer.why = why;
  reactor_.resume(std::exchange(entry.call, nullptr)->waiter);
}

void Connection::on_events(uint32_t events) {
  if (state_ == State::opening) return connected();
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) receive();
  if (state_ == State::open && (events & EPOLLOUT) != 0) send();
}

void Connection::on_flush() {
  flush_due_ = false;
  if (state_ == State::open) send();
}

void Connection::send() {
  size_t sent = 0;
  while (complete_ < entries_.size() && sent < kMaxSendBytes) {
    std::array<iovec, kMaxPieces> pieces;
    size_t count = 0;
    size_t wanted = 0;
    for (size_t i = complete_; i < entries_.size() && count < kMaxPieces; ++i) {
      const Entry& entry = entries_[i];
      for (size_t p = entry.piece; p < entry.command->pieces() && count < kMaxPieces; ++p) {
        Bytes bytes = entry.command->piece(p);
        if (p == entry.piece) bytes = bytes.subspan(entry.sent);
        if (bytes.empty()) continue;
        pieces[count++] = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
        wanted += bytes.size();
      }
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t written = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      return cut(broken(name_, "send", errno));
    }
    sent += static_cast<size_t>(written);
    advance(static_cast<size_t>(written));
    if (static_cast<size_t>(written) < wanted) break;
  }
  const bool more = complete_ < entries_.size();
  if (more != writable_wanted_) {
    writable_wanted_ = more;
    reactor_.watch(fd_, *this, more);
  }
}

// Counts what the kernel took.
void Connection::advance(size_t bytes) {
  for (;;) {
    Entry& entry = entries_[complete_];
    while (entry.piece < entry.command->pieces()) {
      const size_t left = entry.command->piece(entry.piece).size() - entry.sent;
      if (bytes < left) {
        entry.sent += bytes;
        return;
      }
      bytes -= left;
      entry.sent = 0;
      ++entry.piece;
    }
    ++complete_;
    if (bytes == 0) return;
  }
}

void Connection::receive() {
  size_t received = 0;
  while (received < kMaxReceiveBytes) {
    char* room = room_of(*reader_, kReceiveBytes);
    if (room == nullptr) return cut(Status(StatusCode::unavailable, fmt::format("{}: out of memory", name_)));
    const ssize_t size = recv(fd_, room, kReceiveBytes, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (size < 0) return cut(broken(name_, "receive", errno));
    if (size == 0) {
      return cut(Status(StatusCode::unavailable, fmt::format("{}: the server closed the connection", name_)));
    }
    received += static_cast<size_t>(size);
    heard_ns_ = now_ns();
    redis::received(*reader_, static_cast<size_t>(size));
    if (!take_replies()) return;
    if (static_cast<size_t>(size) < kReceiveBytes) return;
  }
}

// False if the connection was cut.
bool Connection::take_replies() {
  for (;;) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_.get(), &parsed) != REDIS_OK) {
      cut(Status(StatusCode::unavailable, fmt::format("{}: not the Redis protocol: {}", name_, reader_->errstr)));
      return false;
    }
    if (parsed == nullptr) return true;
    Reply reply(static_cast<redisReply*>(parsed));
    // Replies to the first of several commands may come while the last are being sent. One that nobody waits for says
    // why the server hangs up.
    const bool awaited =
        !entries_.empty() && (complete_ > 0 || (entries_.front().begun() && entries_.front().replies_left > 1));
    if (!awaited) {
      cut(ReplyView(reply).is_error() ? status_of(ReplyView(reply).text())
                                      : Status(StatusCode::unavailable, fmt::format("{}: an unasked reply", name_)));
      return false;
    }
    Entry& entry = entries_.front();
    if (entry.call != nullptr) entry.call->answer.replies.push_back(std::move(reply));
    if (--entry.replies_left > 0) continue;
    answer(entry, Answer::Fate::replied, {});
    entries_.pop_front();
    --complete_;
  }
}

void Connection::arm_tick() {
  if (tick_ == 0) tick_ = reactor_.call_after(kTickMs, [this] { tick(); });
}

void Connection::tick() {
  tick_ = 0;
  if (entries_.empty()) return;
  const int64_t now = now_ns();
  if (now - heard_ns_ > silence_ms_ * kNsPerMs) {
    return cut(Status(StatusCode::unavailable, fmt::format("{}: no reply for {} ms", name_, silence_ms_), ETIMEDOUT));
  }
  const Status late(StatusCode::unavailable, fmt::format("{}: the deadline came before a reply", name_), ETIMEDOUT);
  for (size_t i = 0; i < complete_; ++i) {
    Entry& entry = entries_[i];
    if (entry.call != nullptr && entry.call->deadline_ns <= now) answer(entry, Answer::Fate::lost, late);
  }
  for (size_t i = entries_.size(); i > complete_; --i) {
    Entry& entry = entries_[i - 1];
    if (entry.call->deadline_ns > now) continue;
    if (entry.begun()) return cut(late);
    answer(entry, Answer::Fate::unsent, late);
    entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(i - 1));
  }
  arm_tick();
}

}  // namespace sluice::redis
