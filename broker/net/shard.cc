// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <cstring>

#include "base/clock.hpp"
#include "net/session.hpp"
#include "net/shared.hpp"

namespace sluice::net {

namespace {

constexpr int64_t kMaxSweepIntervalMs = 1000;
constexpr int64_t kMinSweepIntervalMs = 5;

/// Often enough that no deadline is missed by much more than a quarter.
int64_t sweep_interval_ms(const NetLimits& limits) {
  int64_t shortest = std::min(limits.max_frame_ms, limits.max_write_stall_ms);
  if (limits.max_idle_ms > 0) shortest = std::min(shortest, limits.max_idle_ms);
  return std::clamp(shortest / 4, kMinSweepIntervalMs, kMaxSweepIntervalMs);
}

Endpoint endpoint(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    boost::asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return {boost::asio::ip::address_v6(bytes).to_string(), ntohs(v6.sin6_port)};
  }
  sockaddr_in v4;
  std::memcpy(&v4, &address, sizeof v4);
  return {boost::asio::ip::address_v4(ntohl(v4.sin_addr.s_addr)).to_string(), ntohs(v4.sin_port)};
}

}  // namespace

Endpoint peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return endpoint(address);
}

void Shard::add(uint64_t id, int fd, const std::shared_ptr<const ListenerOptions>& listener) {
  Endpoint peer = peer_of(fd);
  if (stopping) {
    ::close(fd);
    session_count.fetch_sub(1, std::memory_order_relaxed);
    shared.leave(peer.host);
    return;
  }
  auto session = std::make_shared<Session>(*this, id, listener, fd, std::move(peer));
  sessions.insert(session);
  if (sweep_timer == 0) sweep();
  session->run();
}

void Shard::remove(const std::shared_ptr<Session>& session) {
  sessions.erase(session);
  session_count.fetch_sub(1, std::memory_order_relaxed);
  shared.leave(session->peer_host());
}

void Shard::sweep() {
  sweep_timer = 0;
  const int64_t now = loop.now_ms();
  const std::vector<std::shared_ptr<Session>> all(sessions.begin(), sessions.end());
  for (const auto& session : all) session->sweep(now);
  if (sessions.empty()) {
    receive_space = Buffer();
    file_space = Buffer();
    return;
  }
  sweep_timer =
      loop.call_after(sweep_interval_ms(shared.limits), [this, keep = shared.shared_from_this()] { sweep(); });
}

void Shard::stop_reading() {
  stopping = true;
  const std::vector<std::shared_ptr<Session>> all(sessions.begin(), sessions.end());
  for (const auto& session : all) session->drain();
}

void Shard::abort_all() {
  const std::vector<std::shared_ptr<Session>> all(sessions.begin(), sessions.end());
  for (const auto& session : all) session->abort();
}

void Shared::log(LogLevel level, const std::string& text) {
  if (!log_function_) return;
  if (const auto line = log_limiter_.pass(text, system_clock().monotonic_ms())) log_function_(level, *line);
}

Shared::Admission Shared::admit(const std::string& host) {
  const std::lock_guard lock(hosts_mutex_);
  if (admitted_ >= limits.max_connections) return Admission::too_many;
  const auto [at, is_new] = by_host_.try_emplace(host, 0);
  if (at->second >= limits.max_connections_per_ip) {
    if (is_new) by_host_.erase(at);
    return Admission::too_many_of_host;
  }
  ++at->second;
  ++admitted_;
  count(metrics.connections);
  return Admission::admitted;
}

void Shared::leave(const std::string& host) {
  const std::lock_guard lock(hosts_mutex_);
  const auto at = by_host_.find(host);
  if (at != by_host_.end() && --at->second == 0) by_host_.erase(at);
  count(metrics.connections, -1);
  if (--admitted_ == 0) left_.notify_all();
}

bool Shared::wait_until_empty(int64_t timeout_ms) {
  std::unique_lock lock(hosts_mutex_);
  return left_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return admitted_ == 0; });
}

}  // namespace sluice::net
