// SPDX-License-Identifier: Apache-2.0
#include "jetstream/connect.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>

#include "jetstream/reply.hpp"

namespace sluice::jetstream {
namespace {

// The line that cnats keeps for the thread that failed.
std::string native_text(natsStatus status) {
  natsStatus last = status;
  const char* text = nats_GetLastError(&last);
  std::string native = text != nullptr && *text != '\0' && last == status ? text : "";
  const char* name = natsStatus_GetText(status);
  return native.empty() || native == name ? name : fmt::format("{}: {}", name, native);
}

struct Place {
  std::string host;
  std::string port;
};

Place place_of(std::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t bracket = url.find(']');
  const size_t colon = url.find(':', bracket == std::string_view::npos ? 0 : bracket);
  Place place{std::string(url.substr(0, colon)),
              colon == std::string_view::npos ? "4222" : std::string(url.substr(colon + 1))};
  if (place.host.size() > 2 && place.host.front() == '[') place.host = place.host.substr(1, bracket - 1);
  return place;
}

bool is_address(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool readable_file(const std::string& path) {
  return access(path.c_str(), R_OK) == 0;
}

bool is_about_certificates(int alert) {
  constexpr std::array kAlerts = {
      SSL_AD_NO_CERTIFICATE,      SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE,
      SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,
      SSL_AD_UNKNOWN_CA,          SSL_AD_ACCESS_DENIED,       SSL_AD_CERTIFICATE_REQUIRED};
  return std::find(kAlerts.begin(), kAlerts.end(), alert) != kAlerts.end();
}

void close_socket(const int* fd) {
  if (*fd >= 0) close(*fd);
}

// Connects within the time, or -1.
int connect_to(const Place& place, int64_t deadline_ns) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found) != 0) return -1;
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

std::string certified_name(const Settings& settings, const std::string& url) {
  if (!settings.tls_host.empty()) return settings.tls_host;
  std::string host = place_of(url).host;
  const auto& servers = settings.servers;
  if (std::find(servers.begin(), servers.end(), url) != servers.end() || !is_address(host)) return host;
  for (const std::string& server : servers) {
    if (std::string name = place_of(server).host; !is_address(name)) return name;
  }
  return host;
}

void open_library() {
  static std::once_flag once;
  std::call_once(once, [] { nats_Open(-1); });
}

Result<NatsOptions> make_options(const Settings& settings, const std::string& url) {
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
  set("servers", natsOptions_SetURL(raw, url.c_str()));
  set("name", natsOptions_SetName(raw, "sluice"));
  set("connect_timeout", natsOptions_SetTimeout(raw, settings.connect_timeout_ms));
  set("reconnect", natsOptions_SetAllowReconnect(raw, false));
  set("ping", natsOptions_SetPingInterval(raw, 0));  // the client's own
  set("send", natsOptions_SetSendAsap(raw, true));   // on an event loop: no flusher's thread
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
  }
  // Also for servers that ask for TLS by themselves.
  if (settings.tls_insecure) {
    set("tls_insecure", natsOptions_SkipServerVerification(raw, true));
  } else {
    set("tls_host", natsOptions_SetExpectedHostname(raw, certified_name(settings, url).c_str()));
  }
  if (status != NATS_OK) return fail(StatusCode::invalid, what, status);
  return options;
}

bool hung_up(natsStatus status, const TlsChannel::Catch& encryption) {
  const bool broke = status == NATS_IO_ERROR || status == NATS_CONNECTION_CLOSED || status == NATS_PROTOCOL_ERROR;
  return broke && encryption.may_be_refused();
}

Status connect_status(natsStatus status, const TlsChannel::Catch& encryption) {
  const std::string text = native_text(status);
  if (is_about_certificates(encryption.alert())) {
    return Status(StatusCode::denied,
                  fmt::format("connecting: the server refuses our certificate, or the lack of one: {} (TLS alert {})",
                              SSL_alert_desc_string_long(encryption.alert()), encryption.alert()),
                  status);
  }
  if (hung_up(status, encryption)) {
    return Status(StatusCode::denied,
                  fmt::format("connecting: the server asks for a certificate, and hangs up on ours: {}", text), status);
  }
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
    case NATS_ERR:
      // What the server says as well as what cnats finds wrong in a file of credentials.
      if (text.find("found in '") != std::string::npos) code = StatusCode::invalid;
      break;
    default:
      break;
  }
  return Status(code, fmt::format("connecting: {}", text), status);
}

ServerInfo ask_server(const std::string& url, int64_t timeout_ms) {
  const Place place = place_of(url);
  const int64_t deadline_ns = monotonic_ns() + timeout_ms * kNsPerMs;
  const int fd = connect_to(place, deadline_ns);
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
