// SPDX-License-Identifier: Apache-2.0
#include "jetstream/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "jetstream/names.hpp"

namespace sluice::jetstream {
namespace {

constexpr size_t kMostServers = 64;

tl::unexpected<Status> wrong(std::string text) {
  return fail(StatusCode::invalid, std::move(text));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<std::vector<std::string>> parse_servers(std::string_view text) {
  std::vector<std::string> servers;
  for (;;) {
    const size_t size = std::min(text.find(','), text.size());
    const std::string_view url = trimmed(text.substr(0, size));
    std::string_view rest = url;
    if (rest.starts_with("nats://") || rest.starts_with("tls://")) rest.remove_prefix(rest.find("://") + 3);
    if (rest.empty() || rest.find("://") != std::string_view::npos || rest.find('/') != std::string_view::npos) {
      return wrong(fmt::format("servers: \"{}\" is no URL of a NATS server (nats://HOST:PORT)", url));
    }
    if (rest.find('@') != std::string_view::npos) {
      return wrong(
          "servers: a URL carries credentials; use the options user, password or token, which are kept secret");
    }
    servers.emplace_back(rest == url ? fmt::format("nats://{}", url) : std::string(url));
    if (servers.size() > kMostServers) return wrong(fmt::format("servers: more than {}", kMostServers));
    if (size == text.size()) return servers;
    text.remove_prefix(size + 1);
  }
}

}  // namespace

Result<Settings> parse_settings(const plugin::Options& options) {
  Settings settings;
  auto servers = parse_servers(options.text("servers"));
  if (!servers) return fail(servers.error());
  settings.servers = std::move(*servers);
  settings.prefix = options.text("prefix");
  if (!valid_prefix(settings.prefix)) {
    return wrong(fmt::format("prefix: \"{}\" is not made of 1 to {} letters, digits, '-' and '_'", settings.prefix,
                             kLongestPrefix));
  }
  settings.layout = static_cast<Layout>(options.number("layout"));
  settings.domain = options.text("domain");
  if (!settings.domain.empty() && !valid_token(settings.domain)) {
    return wrong(fmt::format("domain: \"{}\" is no name of a domain", settings.domain));
  }
  settings.replicas = static_cast<int32_t>(options.number("replicas"));
  settings.media = static_cast<Media>(options.number("storage"));
  settings.max_bytes = static_cast<uint64_t>(options.number("max_bytes"));
  settings.connect_timeout_ms = options.number("connect_timeout");

  settings.user = options.text("user");
  settings.password = options.text("password");
  settings.token = options.text("token");
  settings.credentials_file = options.text("credentials");
  settings.nkey = options.text("nkey");
  settings.nkey_seed_file = options.text("nkey_seed");
  if (settings.user.empty() != settings.password.empty()) return wrong("user and password go together");
  if (settings.nkey.empty() != settings.nkey_seed_file.empty()) return wrong("nkey and nkey_seed go together");
  const int ways = !settings.user.empty() + !settings.token.empty() + !settings.credentials_file.empty() +
                   !settings.nkey_seed_file.empty();
  if (ways > 1) return wrong("user, token, credentials and nkey exclude each other");

  settings.tls = options.boolean("tls");
  settings.tls_ca_file = options.text("tls_ca");
  settings.tls_certificate_file = options.text("tls_certificate");
  settings.tls_key_file = options.text("tls_key");
  settings.tls_host = options.text("tls_host");
  settings.tls_insecure = options.boolean("tls_insecure");
  if (settings.tls_certificate_file.empty() != settings.tls_key_file.empty()) {
    return wrong("tls_certificate and tls_key go together");
  }
  const bool tls_urls = std::any_of(settings.servers.begin(), settings.servers.end(),
                                    [](const std::string& url) { return url.starts_with("tls://"); });
  settings.tls = settings.tls || tls_urls;
  const bool tls_details = !settings.tls_ca_file.empty() || !settings.tls_certificate_file.empty() ||
                           !settings.tls_host.empty() || settings.tls_insecure;
  if (tls_details && !settings.tls) return wrong("tls_* without \"tls\": true has no meaning");
  return settings;
}

}  // namespace sluice::jetstream
