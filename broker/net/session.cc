// SPDX-License-Identifier: Apache-2.0
// Reading, handing over, deadlines and the end of a connection. Writing is in session_write.cc.
#include "net/session.hpp"

#include <fmt/core.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <utility>

namespace sluice::net {

namespace {

/// A body that still needs this much is read into its place alone; the last bytes of one share a read with what
/// follows.
constexpr size_t kMinScratchBodyBytes = 16 << 10;
/// Reads of 64 KiB before other connections have their turn.
constexpr int kMaxReadsPerTurn = 4;
/// A draining connection has this long to finish its requests and to take their responses.
constexpr int64_t kMaxDrainMs = 10'000;
/// A frame that overdraws the memory budget must come faster than others: everybody waits for it.
constexpr int64_t kOverdraftHaste = 16;
/// Unread input is thrown away up to this much before a close, so that the close does not reset what the peer has yet
/// to read.
constexpr int kMaxDiscardReads = 16;

}  // namespace

struct Session::ReadSome {
  Session& session;
  std::array<boost::asio::mutable_buffer, 2> buffers;
  boost::system::error_code error = {};
  size_t bytes = 0;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> reader) {
    session.socket_.async_read_some(buffers, [this, reader](const boost::system::error_code& e, size_t n) {
      error = e;
      bytes = n;
      reader.resume();
    });
  }
  void await_resume() const noexcept {}
};

/// Suspends the reader until wake_reader().
struct Session::Park {
  Session& session;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> reader) noexcept { session.parked_ = reader; }
  void await_resume() const noexcept {}
};

Session::Session(Shard& shard, uint64_t id, std::shared_ptr<const ListenerOptions> listener, int fd, Endpoint peer)
    : Connection(id, std::move(listener), shard.loop),
      shard_(shard),
      shared_(shard.shared.shared_from_this()),
      socket_(shard.loop.context().get_executor()),
      fd_(fd),
      parser_(shard.shared.limits.max_frame_bytes) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  socket_.assign(address.ss_family == AF_INET6 ? boost::asio::ip::tcp::v6() : boost::asio::ip::tcp::v4(), fd);
  peer_host_ = std::move(peer.host);
  peer_port_ = peer.port;
  last_read_ms_ = last_write_ms_ = loop_.now_ms();
}

Session::~Session() = default;

std::string Session::describe() const {
  return fmt::format("connection {} from {}:{} on {}", id_, peer_host_, peer_port_, listener_->name);
}

void Session::run() {
  start(read(std::static_pointer_cast<Session>(shared_from_this())));
}

Task<void> Session::read(std::shared_ptr<Session> self) {
  Session& s = *self;
  Bytes input;               // what is at hand, in inbox_, the shard's space or backlog_
  bool more_likely = false;  // the last read filled all it was given
  int reads_in_turn = 0;     // since the loop's other work last had its turn
  while (!s.draining_) {
    const Taken taken = s.take_in(input);
    s.flush();
    if (taken == Taken::bad) s.drain();
    if (s.draining_) break;
    if (taken == Taken::need_memory || (taken == Taken::need_capacity && !s.has_capacity())) {
      // The shard's space is another session's as soon as this one waits.
      Buffer rest = Buffer::copy_of(input);
      s.backlog_ = std::move(rest);
      input = s.backlog_;
      if (taken == Taken::need_memory) {
        co_await s.wait_for_memory();
      } else {
        co_await s.wait_for_capacity();
      }
    }
    if (taken != Taken::all) continue;
    if (s.backlog_.capacity() != 0) s.backlog_ = Buffer();

    const MutableBytes room = s.parser_.room();
    if (more_likely && room.size() < kMinScratchBodyBytes && reads_in_turn < kMaxReadsPerTurn) {
      ++reads_in_turn;
      // Requests that came together are taken from the kernel together.
      s.shard_.receive_space.resize(Shard::kReceiveBytes);
      const MutableBytes space = s.shard_.receive_space.mutable_view();
      const ssize_t n = ::recv(s.fd_, space.data(), space.size(), MSG_DONTWAIT);
      more_likely = n == static_cast<ssize_t>(space.size());
      if (n > 0) {
        input = Bytes(space.data(), static_cast<size_t>(n));
        s.received(input.size());
        continue;
      }
      // The end of the stream, an error, or nothing yet: the next read tells.
    }
    const bool inbox_too = room.empty() || (s.parser_.reaches_end() && room.size() < kMinScratchBodyBytes);
    const size_t inbox_bytes = inbox_too ? s.inbox_.size() : 0;
    ReadSome some{s,
                  {boost::asio::buffer(room.data(), room.size()), boost::asio::buffer(s.inbox_.data(), inbox_bytes)}};
    co_await some;
    reads_in_turn = 0;
    if (s.draining_) break;
    if (some.error) {
      s.reading_failed(some.error);
      break;
    }
    s.received(some.bytes);
    const size_t into_room = std::min(some.bytes, room.size());
    s.parser_.filled(into_room);
    input = Bytes(s.inbox_.data(), some.bytes - into_room);
    more_likely = inbox_too && some.bytes == room.size() + inbox_bytes;
  }
  s.drop_frame();
  s.backlog_ = Buffer();
  s.reader_done_ = true;
  s.end_if_done();
}

/// Hands over all whole frames of `input`. Responses that are ready at once leave together when the caller calls
/// flush().
Session::Taken Session::take_in(Bytes& input) {
  corked_ = true;
  Taken taken = Taken::all;
  for (bool go_on = true; go_on && !draining_;) {
    if (responses_.will_close()) {
      // Nothing is begun whose answer would never be sent.
      taken = Taken::bad;
      break;
    }
    if (!has_capacity()) {
      taken = Taken::need_capacity;
      break;
    }
    switch (parser_.next(input)) {
      case FrameParser::Event::more:
        go_on = false;
        break;
      case FrameParser::Event::memory:
        if (!reserve()) {
          taken = Taken::need_memory;
          go_on = false;
        } else if (!give_memory()) {
          taken = Taken::bad;
          go_on = false;
        }
        break;
      case FrameParser::Event::whole: {
        FramePtr frame = parser_.take();
        drop_frame();
        dispatch(std::move(frame));
        break;
      }
      case FrameParser::Event::empty:
        count(shared_->metrics.frames_empty);
        complain("a frame of size 0");
        return corked_ = false, Taken::bad;
      case FrameParser::Event::negative:
        count(shared_->metrics.frames_negative);
        complain(fmt::format("a frame of size {}", parser_.claimed_size()));
        return corked_ = false, Taken::bad;
      case FrameParser::Event::too_large:
        count(shared_->metrics.frames_too_large);
        complain(fmt::format("a frame of {} bytes, above socket.request.max.bytes ({})", parser_.claimed_size(),
                             shared_->limits.max_frame_bytes));
        return corked_ = false, Taken::bad;
    }
  }
  if (parser_.in_frame() && frame_since_ms_ == 0) frame_since_ms_ = last_read_ms_;
  corked_ = false;
  return taken;
}

bool Session::reserve() {
  const int64_t bytes = parser_.wanted();
  if (!overdraft_) return shared_->budget->try_reserve(bytes);
  shared_->budget->overdraw(bytes);
  return true;
}

/// Gives the parser what has been reserved for it. False: the system has no memory; the session is to end.
bool Session::give_memory() {
  if (parser_.has_frame()) {
    parser_.grow();
    return true;
  }
  FramePtr frame = shared_->frames->take(static_cast<size_t>(parser_.claimed_size()));
  if (frame == nullptr) {
    shared_->budget->release(parser_.wanted());
    count(shared_->metrics.frames_no_memory);
    complain(fmt::format("no memory for a frame of {} bytes", parser_.claimed_size()));
    return false;
  }
  parser_.begin(std::move(frame));
  return true;
}

Task<void> Session::wait_for_memory() {
  count(shared_->metrics.budget_waits);
  const int64_t since_ms = loop_.now_ms();
  pausing_ = true;
  memory_granted_ = false;
  auto self = std::static_pointer_cast<Session>(shared_from_this());
  memory_wait_ = shared_->budget->wait(parser_.wanted(), parser_.has_frame(), loop_, [self] {
    self->memory_granted_ = true;
    self->wake_reader();
  });
  while (!memory_granted_ && !draining_) co_await Park{*this};
  pausing_ = false;
  if (memory_granted_) {
    overdraft_ = memory_wait_->overdrawn();
    if (overdraft_) parser_.set_overdrawn();
    if (!give_memory()) drain();
  } else {
    shared_->budget->give_up(*memory_wait_);
  }
  memory_wait_.reset();
  if (frame_since_ms_ != 0) frame_since_ms_ += loop_.now_ms() - since_ms;  // not the peer's fault
}

Task<void> Session::wait_for_capacity() {
  count(shared_->metrics.pipeline_waits);
  const int64_t since_ms = loop_.now_ms();
  pausing_ = true;
  while (!has_capacity() && !draining_) co_await Park{*this};
  pausing_ = false;
  if (frame_since_ms_ != 0) frame_since_ms_ += loop_.now_ms() - since_ms;
}

bool Session::has_capacity() const {
  return responses_.waiting() < shared_->limits.max_pipelined_requests &&
         responses_.queued_bytes() < shared_->limits.max_queued_response_bytes;
}

void Session::dispatch(FramePtr frame) {
  const uint64_t place = responses_.open();
  count(shared_->metrics.requests);
  count(shared_->metrics.requests_in_flight);
  const MutableBytes bytes = frame->bytes();
  Request request{std::move(frame), bytes, shared_from_this()};
  auto self = std::static_pointer_cast<Session>(request.connection);
  start(shared_->dispatch(std::move(request)),
        [self = std::move(self), place](Response response) { self->finished(place, std::move(response)); });
}

/// Ends what belongs to the frame in progress, whole or not.
void Session::drop_frame() {
  frame_since_ms_ = 0;
  parser_.reset();
  overdraft_ = false;
}

void Session::received(size_t bytes) {
  count(shared_->metrics.bytes_in, bytes);
  last_read_ms_ = loop_.now_ms();
}

void Session::reading_failed(const boost::system::error_code& error) {
  if (parser_.in_frame()) {
    count(shared_->metrics.frames_cut);
    complain(fmt::format("the peer left in the middle of a frame ({})", error.message()));
  }
  if (error == boost::asio::error::eof) {
    drain();  // it may still read
  } else {
    abort();
  }
}

void Session::wake_reader() {
  if (!parked_) return;
  loop_.post([reader = std::exchange(parked_, {})] { reader.resume(); });
}

void Session::sweep(int64_t now_ms) {
  if (dead_) return;
  const NetLimits& limits = shared_->limits;
  if (draining_) {
    if (now_ms - draining_since_ms_ > kMaxDrainMs) abort();
    return;
  }
  if (blocked_since_ms_ != 0 && now_ms - blocked_since_ms_ > limits.max_write_stall_ms) {
    count(shared_->metrics.closed_stalled);
    complain(fmt::format("{} bytes of responses were not read for {} ms", responses_.queued_bytes(),
                         now_ms - blocked_since_ms_));
    return abort();
  }
  if (pausing_) return;
  if (frame_since_ms_ != 0) {
    const int64_t size = parser_.claimed_size();
    const int64_t rate = limits.min_frame_bytes_per_second * (overdraft_ ? kOverdraftHaste : 1);
    if (now_ms - frame_since_ms_ > limits.max_frame_ms + size * 1000 / rate) {
      count(shared_->metrics.frames_late);
      complain(fmt::format("a frame of {} bytes was not whole after {} ms", size, now_ms - frame_since_ms_));
      abort();
    }
    return;
  }
  if (limits.max_idle_ms > 0 && responses_.waiting() == 0 &&
      now_ms - std::max(last_read_ms_, last_write_ms_) > limits.max_idle_ms) {
    count(shared_->metrics.closed_idle);
    abort();
  }
}

void Session::complain(const std::string& why) {
  shared_->log(LogLevel::warning, fmt::format("{} is closed: {}", describe(), why));
}

void Session::drain() {
  if (draining_) return;
  const auto self = shared_from_this();
  if (responses_.will_close()) count(shared_->metrics.closed_by_dispatch);
  draining_ = true;
  draining_since_ms_ = loop_.now_ms();
  ::shutdown(fd_, SHUT_RD);  // wakes a reader that waits for input
  wake_reader();
  mark_closed();
  end_if_done();
}

void Session::abort() {
  if (dead_) return;
  const auto self = shared_from_this();
  dead_ = draining_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);  // pending operations end with an error
  // A worker may be reading a file that a response keeps open.
  if (!cold_pending_) responses_.drop();
  wake_reader();
  mark_closed();
  end_if_done();
}

void Session::end_if_done() {
  if (!reader_done_ || write_pending_ || cold_pending_ || left_) return;
  if (!dead_ && responses_.waiting() != 0 && !responses_.closing()) return;
  end();
}

void Session::end() {
  left_ = true;
  if (!dead_) {
    uint8_t discarded[4096];
    for (int i = 0; i<kMaxDiscardReads&& ::recv(fd_, discarded, sizeof discarded, MSG_DONTWAIT)> 0; ++i) {
    }
    ::shutdown(fd_, SHUT_WR);
    boost::system::error_code ignored;
    socket_.close(ignored);
    dead_ = true;
  }
  responses_.drop();
  shard_.remove(std::static_pointer_cast<Session>(shared_from_this()));
}

}  // namespace sluice::net
