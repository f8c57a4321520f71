// SPDX-License-Identifier: Apache-2.0
// Where a server is: as it is written in the options, and as sockets want it. parse functions are pure; resolve() is
// not.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

namespace sluice::redis {

inline constexpr uint16_t kDefaultPort = 6379;
inline constexpr uint16_t kDefaultSentinelPort = 26379;
/// Names in one list of addresses.
inline constexpr size_t kMaxAddresses = 64;

struct Address {
  std::string host;  // a name, an IP address, or the path of a Unix socket
  uint16_t port = 0;
  bool is_unix = false;

  bool operator==(const Address&) const = default;
  auto operator<=>(const Address&) const = default;
  /// "localhost:6379", "[::1]:6379", "unix:/run/redis.sock".
  std::string text() const;
};

/// "host", "host:port", "[::1]:port", "unix:/path". INVALID says what is wrong.
Result<Address> parse_address(std::string_view text, uint16_t default_port);
/// One or more, with commas between.
Result<std::vector<Address>> parse_addresses(std::string_view text, uint16_t default_port);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// What `address` means to sockets, in the order in which they should be tried. A number or a path is answered at once,
/// a name by a thread of its own, because that may take long: `done` is called from here or from there, once.
using Resolved = std::function<void(Result<std::vector<SocketAddress>>)>;
void resolve(const Address& address, Resolved done);

}  // namespace sluice::redis
