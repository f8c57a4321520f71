// SPDX-License-Identifier: Apache-2.0
#include "redis/address.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/un.h>

#include <cstring>

#include "base/thread.hpp"
#include "redis/keys.hpp"

namespace sluice::redis {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

Result<std::vector<SocketAddress>> look_up(const Address& address, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return fail(StatusCode::unavailable, fmt::format("{}: {}", address.text(), gai_strerror(error)), error);
  }
  std::vector<SocketAddress> all;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    SocketAddress one;
    std::memcpy(&one.storage, at->ai_addr, at->ai_addrlen);
    one.size = at->ai_addrlen;
    all.push_back(one);
  }
  freeaddrinfo(found);
  return all;
}

}  // namespace

std::string Address::text() const {
  if (is_unix) return fmt::format("{}{}", kUnixPrefix, host);
  return host.find(':') != std::string::npos ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<Address> parse_address(std::string_view text, uint16_t default_port) {
  const auto wrong = [&](const char* why) { return fail(StatusCode::invalid, fmt::format("\"{}\": {}", text, why)); };
  Address address;
  if (text.starts_with(kUnixPrefix)) {
    address.host = text.substr(kUnixPrefix.size());
    address.is_unix = true;
    if (address.host.empty() || address.host[0] != '/') return wrong("a Unix socket is given by an absolute path");
    if (address.host.size() >= sizeof sockaddr_un{}.sun_path) return wrong("the path is too long for a socket");
    return address;
  }
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return wrong("a bracket is not closed");
    address.host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && port[0] != ':') return wrong("behind the bracket only a port may follow");
  } else {
    const size_t colon = text.find(':');
    if (colon != text.rfind(':')) return wrong("an IPv6 address stands in brackets");
    address.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon);
  }
  if (address.host.empty()) return wrong("no host");
  for (const char c : address.host) {
    if (c <= ' ' || c == '/' || c == '@') return wrong("not a host's name: write host:port");
  }
  address.port = default_port;
  if (!port.empty()) {
    const auto number = parse_number(port.substr(1));
    if (!number || *number < 1 || *number > 65'535) return wrong("a port is a number from 1 to 65535");
    address.port = static_cast<uint16_t>(*number);
  }
  return address;
}

Result<std::vector<Address>> parse_addresses(std::string_view text, uint16_t default_port) {
  std::vector<Address> all;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    std::string_view one = text.substr(from, comma - from);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    auto address = parse_address(one, default_port);
    if (!address) return fail(address.error());
    all.push_back(std::move(*address));
    if (all.size() > kMaxAddresses)
      return fail(StatusCode::invalid, fmt::format("more than {} addresses", kMaxAddresses));
    from = comma + 1;
  }
  return all;
}

void resolve(const Address& address, Resolved done) {
  if (address.is_unix) {
    SocketAddress one;
    auto* at = reinterpret_cast<sockaddr_un*>(&one.storage);
    at->sun_family = AF_UNIX;
    std::memcpy(at->sun_path, address.host.c_str(), address.host.size() + 1);
    one.size = sizeof *at;
    return done(std::vector<SocketAddress>{one});
  }
  if (auto numeric = look_up(address, AI_NUMERICHOST | AI_NUMERICSERV)) return done(std::move(numeric));
  start_thread("redis-resolve", [address, done = std::move(done)] {
    done(look_up(address, AI_NUMERICSERV | AI_ADDRCONFIG));
  }).detach();
}

}  // namespace sluice::redis
