// SPDX-License-Identifier: Apache-2.0
#include "jetstream/connect.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>

#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

constexpr int kReadBufferBytes = 256 << 10;
constexpr int64_t kPingIntervalMs = 5'000;
constexpr int kMostPingsUnanswered = 2;

// The line that cnats keeps for the thread that failed.
std::string native_text(natsStatus status) {
  natsStatus last = status;
  const char* text = nats_GetLastError(&last);
  std::string native = text != nullptr && *text != '\0' && last == status ? text : "";
  const char* name = natsStatus_GetText(status);
  return native.empty() || native == name ? name : fmt::format("{}: {}", name, native);
}

bool readable_file(const std::string& path) {
  return access(path.c_str(), R_OK) == 0;
}

void close_socket(const int* fd) {
  if (*fd >= 0) close(*fd);
}

// Connects within the time, or -1.
int connect_to(const std::string& host, const std::string& port, int64_t deadline_ns) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return -1;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) continue;
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS) {
      pollfd ready{fd, POLLOUT, 0};
      const int64_t left_ms = std::max<int64_t>(0, (deadline_ns - monotonic_ns()) / kNsPerMs);
      int error = 0;
      socklen_t size = sizeof error;
      if (poll(&ready, 1, static_cast<int>(left_ms)) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
          error == 0) {
        return fd;
      }
    }
    close(fd);
  }
  return -1;
}

}  // namespace

void open_library() {
  static std::once_flag once;
  std::call_once(once, [] { nats_Open(-1); });
}

Result<NatsOptions> make_options(const Settings& settings, const std::vector<std::string>& urls) {
  natsOptions* raw = nullptr;
  if (natsOptions_Create(&raw) != NATS_OK) return fail(StatusCode::internal, "no memory for options");
  NatsOptions options(raw, &natsOptions_Destroy);
  natsStatus status = NATS_OK;
  std::string what;
  const auto set = [&](const char* option, natsStatus now) {
    if (status != NATS_OK || now == NATS_OK) return;
    status = now;
    what = fmt::format("{}: {}", option, native_text(now));
  };
  for (const auto& [option, path] : {std::pair("credentials", &settings.credentials_file),
                                     {"nkey_seed", &settings.nkey_seed_file},
                                     {"tls_ca", &settings.tls_ca_file},
                                     {"tls_certificate", &settings.tls_certificate_file},
                                     {"tls_key", &settings.tls_key_file}}) {
    if (!path->empty() && !readable_file(*path)) {
      return fail(StatusCode::invalid, fmt::format("{}: {} cannot be read: {}", option, *path, std::strerror(errno)),
                  errno);
    }
  }
  std::vector<const char*> list;
  for (const std::string& url : urls) list.push_back(url.c_str());
  set("servers", natsOptions_SetServers(raw, list.data(), static_cast<int>(list.size())));
  set("name", natsOptions_SetName(raw, "sluice"));
  set("connect_timeout", natsOptions_SetTimeout(raw, settings.connect_timeout_ms));
  set("reconnect", natsOptions_SetAllowReconnect(raw, false));
  set("buffer", natsOptions_SetIOBufSize(raw, kReadBufferBytes));
  set("ping", natsOptions_SetPingInterval(raw, kPingIntervalMs));
  set("ping", natsOptions_SetMaxPingsOut(raw, kMostPingsUnanswered));
  set("send", natsOptions_SetSendAsap(raw, true));  // on an event loop: no flusher's thread
  if (!settings.user.empty()) {
    set("user", natsOptions_SetUserInfo(raw, settings.user.c_str(), settings.password.c_str()));
  }
  if (!settings.token.empty()) set("token", natsOptions_SetToken(raw, settings.token.c_str()));
  if (!settings.credentials_file.empty()) {
    set("credentials", natsOptions_SetUserCredentialsFromFiles(raw, settings.credentials_file.c_str(), nullptr));
  }
  if (!settings.nkey.empty()) {
    set("nkey", natsOptions_SetNKeyFromSeed(raw, settings.nkey.c_str(), settings.nkey_seed_file.c_str()));
  }
  if (settings.tls) {
    set("tls", natsOptions_SetSecure(raw, true));
    if (!settings.tls_ca_file.empty()) {
      set("tls_ca", natsOptions_LoadCATrustedCertificates(raw, settings.tls_ca_file.c_str()));
    }
    if (!settings.tls_certificate_file.empty()) {
      set("tls_certificate",
          natsOptions_LoadCertificatesChain(raw, settings.tls_certificate_file.c_str(), settings.tls_key_file.c_str()));
    }
    if (!settings.tls_host.empty()) set("tls_host", natsOptions_SetExpectedHostname(raw, settings.tls_host.c_str()));
    if (settings.tls_insecure) set("tls_insecure", natsOptions_SkipServerVerification(raw, true));
  }
  if (status != NATS_OK) return fail(StatusCode::invalid, what, status);
  return options;
}

Status connect_status(natsStatus status) {
  StatusCode code = StatusCode::unavailable;
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      code = StatusCode::denied;
      break;
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SSL_ERROR:
    case NATS_PROTOCOL_ERROR:
    case NATS_LINE_TOO_LONG:
    case NATS_NO_SERVER_SUPPORT:
    case NATS_INVALID_ARG:
    case NATS_ADDRESS_MISSING:
      code = StatusCode::invalid;
      break;
    default:
      break;
  }
  return Status(code, fmt::format("connecting: {}", native_text(status)), status);
}

ServerInfo ask_server(const std::string& url, int64_t timeout_ms) {
  std::string_view rest = url;
  if (const size_t scheme = rest.find("://"); scheme != std::string_view::npos) rest.remove_prefix(scheme + 3);
  const size_t colon = rest.rfind(':');
  std::string host(rest.substr(0, colon));
  const std::string port(colon == std::string_view::npos ? "4222" : rest.substr(colon + 1));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const int64_t deadline_ns = monotonic_ns() + timeout_ms * kNsPerMs;
  const int fd = connect_to(host, port, deadline_ns);
  const std::unique_ptr<const int, decltype(&close_socket)> owner(&fd, &close_socket);
  constexpr size_t kLongestLineBytes = 64 << 10;
  std::string line;
  while (fd >= 0 && line.find('\n') == std::string::npos && line.size() < kLongestLineBytes) {
    pollfd ready{fd, POLLIN, 0};
    const int64_t left_ms = (deadline_ns - monotonic_ns()) / kNsPerMs;
    char part[4096];
    if (left_ms <= 0 || poll(&ready, 1, static_cast<int>(left_ms)) != 1) break;
    const ssize_t got = recv(fd, part, sizeof part, 0);
    if (got <= 0) break;
    line.append(part, static_cast<size_t>(got));
  }
  ServerInfo server;
  constexpr std::string_view kInfo = "INFO ";
  if (!line.starts_with(kInfo)) return server;
  const auto info = nlohmann::json::parse(line.begin() + kInfo.size(),
                                          line.begin() + static_cast<ptrdiff_t>(line.find('\n')), nullptr, false);
  server.version = text_at(info, "version");
  server.name = text_at(info, "server_name");
  server.jetstream = flag_at(info, "jetstream");
  server.tls_required = flag_at(info, "tls_required");
  return server;
}

bool at_least(const std::string& version, int major, int minor) {
  int numbers[2] = {0, 0};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& number : numbers) {
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return true;
    at = next != end ? next + 1 : next;
  }
  return numbers[0] != major ? numbers[0] > major : numbers[1] >= minor;
}

}  // namespace sluice::jetstream
