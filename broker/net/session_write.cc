// SPDX-License-Identifier: Apache-2.0
// Writing: whatever is ready leaves in one gathered write, on the stack of whoever made it ready. Where more requests of
// the connection are being worked on, what the loop has to do already goes first: one append answers many requests, and
// each write wakes the peer. Only what the socket does not take waits for it.
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "net/session.hpp"

namespace sluice::net {

namespace {

constexpr size_t kMaxRanges = 128;
/// What one session writes before the others of its loop have their turn.
constexpr uint64_t kMaxBytesPerTurn = 8 << 20;

}  // namespace

/// The next write: ranges of memory, file ranges among them already read.
struct Session::Gathered {
  std::array<iovec, kMaxRanges> ranges;
  size_t count = 0;
  uint64_t bytes = 0;
  uint64_t from_cold = 0;  // of bytes, how many of the first range come from cold_bytes_
  // What could not be read without waiting, when that is the very next thing to write.
  int cold_fd = -1;
  uint64_t cold_position = 0, cold_length = 0;
  int file_error = 0;  // it cannot be read at all

  void add(const uint8_t* data, uint64_t length) {
    ranges[count++] = {.iov_base = const_cast<uint8_t*>(data), .iov_len = length};
    bytes += length;
  }
};

void Session::finished(uint64_t place, Response response) {
  if (!loop_.is_current()) {
    auto self = std::static_pointer_cast<Session>(shared_from_this());
    loop_.post(
        [self = std::move(self), place, r = std::move(response)]() mutable { self->finished(place, std::move(r)); });
    return;
  }
  count(shared_->metrics.requests_in_flight, -1);
  if (dead_) return;
  if (response.segments.size() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
    complain(fmt::format("a response of {} bytes cannot be sent", response.segments.size()));
    return abort();
  }
  responses_.finish(place, std::move(response));
  if (corked_) return;
  // Where more is being done, more may be ready in this turn, as when one append carried several requests.
  if (responses_.in_flight() > 0) return flush_soon();
  flush();
}

/// After all that the loop has to do now.
void Session::flush_soon() {
  if (write_pending_ || cold_pending_ || !responses_.ready()) return;
  write_pending_ = true;
  loop_.post([self = std::static_pointer_cast<Session>(shared_from_this())] {
    self->write_pending_ = false;
    self->flush();
    self->end_if_done();
  });
}

void Session::flush() {
  if (dead_ || write_pending_ || cold_pending_) return;
  const auto self = shared_from_this();
  uint64_t turn_bytes = 0;
  while (responses_.ready() && !responses_.closing()) {
    Gathered next;
    if (!gather(next)) return;
    if (next.count == 0) {
      responses_.advance(0);  // responses that are none
      continue;
    }
    uint64_t written = 0;
    if (!write(next, written)) return abort();
    turn_bytes += written;
    if (written < next.bytes) return wait_writable();
    if (turn_bytes > kMaxBytesPerTurn) {
      return flush_soon();
    }
  }
  if (responses_.closing() && !draining_) return drain();
  if (pausing_ && has_capacity()) wake_reader();
  end_if_done();
}

/// Fills `out` with what is ready. False: there is nothing to write now, because a file range is being read by a worker
/// or cannot be read, which has been seen to.
bool Session::gather(Gathered& out) {
  size_t file_space_used = 0;
  responses_.show([&](const Segment& segment) {
    if (out.count == out.ranges.size()) return false;
    if (!segment.is_file()) {
      out.add(segment.data, segment.length);
      return true;
    }
    if (out.count == 0 && cold_used_ < cold_bytes_.size()) {
      const uint64_t n = std::min<uint64_t>(cold_bytes_.size() - cold_used_, segment.length);
      out.add(cold_bytes_.data() + cold_used_, n);
      out.from_cold = n;
      return n == segment.length;
    }
    Buffer& space = shard_.file_space;
    space.resize(Shard::kFileBytes);
    const size_t want = std::min<uint64_t>(space.size() - file_space_used, segment.length);
    if (want == 0) return false;
    const iovec to{.iov_base = space.data() + file_space_used, .iov_len = want};
    const ssize_t n = ::preadv2(segment.fd, &to, 1, static_cast<off_t>(segment.position), RWF_NOWAIT);
    if (n > 0) {
      out.add(space.data() + file_space_used, static_cast<uint64_t>(n));
      file_space_used += static_cast<size_t>(n);
      return static_cast<uint64_t>(n) == segment.length;
    }
    if (out.count != 0) return false;  // first what is at hand
    if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP || errno == EINTR)) {
      out.cold_length = std::min<uint64_t>(Shard::kFileBytes, segment.length);
    } else {
      out.file_error = n == 0 ? ENODATA : errno;
    }
    out.cold_fd = segment.fd;
    out.cold_position = segment.position;
    return false;
  });
  if (out.file_error != 0) return file_failed(out.cold_fd, out.cold_position, out.file_error), false;
  if (out.cold_length != 0) return read_cold(out.cold_fd, out.cold_position, out.cold_length), false;
  return true;
}

/// Writes what the socket takes at once. False: the connection is broken.
bool Session::write(Gathered& out, uint64_t& written) {
  msghdr message{};
  message.msg_iov = out.ranges.data();
  message.msg_iovlen = out.count;
  ssize_t n = 0;
  do {
    n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) return false;
    n = 0;
  }
  written = static_cast<uint64_t>(n);
  if (written == 0) return true;
  count(shared_->metrics.writes);
  count(shared_->metrics.bytes_out, written);
  last_write_ms_ = loop_.now_ms();
  blocked_since_ms_ = 0;
  cold_used_ += std::min(written, out.from_cold);
  if (cold_used_ == cold_bytes_.size()) {
    cold_bytes_ = Buffer();
    cold_used_ = 0;
  }
  responses_.advance(written);
  return true;
}

void Session::wait_writable() {
  write_pending_ = true;
  if (blocked_since_ms_ == 0) blocked_since_ms_ = loop_.now_ms();
  auto self = std::static_pointer_cast<Session>(shared_from_this());
  socket_.async_wait(Socket::wait_write, [self = std::move(self)](const boost::system::error_code&) {
    self->write_pending_ = false;
    self->flush();
    self->end_if_done();
  });
  // What has been written may have made room for more requests.
  if (pausing_ && has_capacity()) wake_reader();
}

void Session::read_cold(int fd, uint64_t position, uint64_t length) {
  count(shared_->metrics.file_reads_cold);
  cold_pending_ = true;
  auto self = std::static_pointer_cast<Session>(shared_from_this());
  shared_->cold_reads.read(fd, position, length, loop_, [self = std::move(self), fd, position](ColdRead result) {
    self->cold_pending_ = false;
    if (self->dead_) {
      self->responses_.drop();
    } else if (result.error != 0 || result.bytes.empty()) {
      self->file_failed(fd, position, result.error == 0 ? ENODATA : result.error);
    } else {
      self->cold_bytes_ = std::move(result.bytes);
      self->cold_used_ = 0;
      self->flush();
    }
    self->end_if_done();
  });
}

void Session::file_failed(int fd, uint64_t position, int error) {
  count(shared_->metrics.file_read_errors);
  complain(fmt::format("file descriptor {} could not be read at {}: {}", fd, position,
                       error == ENODATA ? "the file ends before" : std::strerror(error)));
  abort();
}

}  // namespace sluice::net
