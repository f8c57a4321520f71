// SPDX-License-Identifier: Apache-2.0
#include "net/acceptor.hpp"

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::net {

namespace {

constexpr int kBacklog = 1024;
/// Accepted before the loop's other work has its turn.
constexpr int kMaxAcceptsPerTurn = 64;
/// After an error such as too many open files.
constexpr int64_t kRetryAcceptMs = 100;

void set_options(int fd, const NetLimits& limits) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (limits.send_buffer_bytes > 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &limits.send_buffer_bytes, sizeof limits.send_buffer_bytes);
  }
}

Status failure(const ListenerOptions& listener, const char* what, const boost::system::error_code& error) {
  return Status(StatusCode::unavailable,
                fmt::format("listener {} cannot {} {}:{}: {}", listener.name, what, listener.host, listener.port,
                            error.message()),
                error.value());
}

}  // namespace

Acceptor::Acceptor(AsioLoop& loop, std::shared_ptr<Shared> shared, ListenerOptions listener)
    : loop_(loop),
      shared_(std::move(shared)),
      listener_(std::make_shared<ListenerOptions>(std::move(listener))),
      acceptor_(loop.context()) {}

Status Acceptor::open() {
  using boost::asio::ip::tcp;
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(listener_->host, error);
  if (error) {
    tcp::resolver resolver(loop_.context());
    const auto found = resolver.resolve(listener_->host, "", tcp::resolver::passive, error);
    if (error) return failure(*listener_, "resolve", error);
    address = found.begin()->endpoint().address();
  }
  const tcp::endpoint endpoint(address, listener_->port);
  if (acceptor_.open(endpoint.protocol(), error); error) return failure(*listener_, "open", error);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (shared_->limits.receive_buffer_bytes > 0) {
    // Inherited by connections; set later it would not widen the window that was offered.
    acceptor_.set_option(boost::asio::socket_base::receive_buffer_size(shared_->limits.receive_buffer_bytes), error);
  }
  if (acceptor_.bind(endpoint, error); error) return failure(*listener_, "bind", error);
  if (acceptor_.listen(kBacklog, error); error) return failure(*listener_, "listen on", error);
  acceptor_.native_non_blocking(true, error);
  listener_->port = acceptor_.local_endpoint(error).port();
  if (error) return failure(*listener_, "inspect", error);
  if (listener_->advertised_host.empty()) listener_->advertised_host = listener_->host;
  if (listener_->advertised_port == 0) listener_->advertised_port = listener_->port;
  return {};
}

void Acceptor::run() {
  if (closed_) return;
  acceptor_.async_wait(boost::asio::ip::tcp::acceptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (!error && !self->closed_) self->accept_some();
                       });
}

void Acceptor::close() {
  closed_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

void Acceptor::accept_some() {
  for (int i = 0; i < kMaxAcceptsPerTurn; ++i) {
    const int fd = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      place(fd);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return try_later(errno);
    }
  }
  run();
}

void Acceptor::place(int fd) {
  const Endpoint peer = peer_of(fd);
  NetMetrics& metrics = shared_->metrics;
  const auto admission = shared_->admit(peer.host);
  if (admission != Shared::Admission::admitted) {
    const bool of_host = admission == Shared::Admission::too_many_of_host;
    count(of_host ? metrics.refused_max_connections_per_ip : metrics.refused_max_connections);
    shared_->log(LogLevel::warning,
                 fmt::format("connection from {}:{} on {} is refused: {} reached", peer.host, peer.port,
                             listener_->name, of_host ? "max.connections.per.ip" : "max.connections"));
    ::close(fd);
    return;
  }
  count(metrics.accepted);
  set_options(fd, shared_->limits);
  size_t best = next_shard_++ % shared_->shards.size();
  for (size_t i = 0; i < shared_->shards.size(); ++i) {
    if (shared_->shards[i]->session_count < shared_->shards[best]->session_count) best = i;
  }
  Shard& shard = *shared_->shards[best];
  shard.session_count.fetch_add(1, std::memory_order_relaxed);
  const uint64_t id = shared_->next_connection_id.fetch_add(1, std::memory_order_relaxed);
  if (shard.loop.is_current()) return shard.add(id, fd, listener_);
  shard.loop.post([keep = shared_, &shard, id, fd, listener = listener_] { shard.add(id, fd, listener); });
}

void Acceptor::try_later(int error) {
  count(shared_->metrics.accept_errors);
  shared_->log(LogLevel::error, fmt::format("listener {} cannot accept: {}", listener_->name, std::strerror(error)));
  loop_.call_after(kRetryAcceptMs, [self = shared_from_this()] { self->run(); });
}

}  // namespace sluice::net
