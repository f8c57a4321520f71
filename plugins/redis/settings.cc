// SPDX-License-Identifier: Apache-2.0
#include "redis/settings.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

namespace sluice::redis {
namespace {

Status wrong(const char* option, std::string_view why) {
  return Status(StatusCode::invalid, fmt::format("{}: {}", option, why));
}

}  // namespace

const sluice_option kOptionTable[kOptionCount] = {
    {"address",
     "Where the server is: host:port, [::1]:port or unix:/path; several with commas between: sentinels, nodes of a "
     "cluster, or servers that are tried in turn.",
     "127.0.0.1", nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"mode", "What the addresses are: standalone (the server), sentinel (sentinels that know it), cluster (its nodes).",
     "standalone", "standalone|sentinel|cluster", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"master", "With mode=sentinel: the name that the sentinels know the server by.", nullptr, nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"username", "The ACL user; without it the default user.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"password", "The user's password.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET, 0, 0},
    {"sentinel_username", "The ACL user of the sentinels.", nullptr, nullptr, SLUICE_OPTION_TEXT, 0, 0, 0},
    {"sentinel_password", "The password of the sentinels.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_SECRET,
     0, 0},
    {"database", "The number of the database; 0 in a cluster.", "0", nullptr, SLUICE_OPTION_INTEGER, 0, 0, 1'000'000},
    {"prefix", "What the names of all keys begin with; one for each cluster of brokers.", "sluice", nullptr,
     SLUICE_OPTION_TEXT, 0, 0, 0},
    {"layout",
     "log: topics are Sluice's own, with all of Kafka's promises. record: topics are streams with an entry for each "
     "record, which other programs read and write too (kind NATIVE).",
     "log", "log|record", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"ids",
     "With layout=record: time, the ids of `XADD key *`, so that offsets have gaps; dense, `XADD key 0-*` alone, and "
     "offsets count up by one.",
     "time", "time|dense", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"key_field", "With layout=record: the field that holds a record's key.", "key", nullptr, SLUICE_OPTION_TEXT, 0, 0,
     0},
    {"value_field", "With layout=record: the field that holds a record's value.", "value", nullptr, SLUICE_OPTION_TEXT,
     0, 0, 0},
    {"tls", "Encrypt connections.", "false", nullptr, SLUICE_OPTION_BOOLEAN, 0, 0, 0},
    {"connect_timeout", "How long a connection may take to be made and to log in.", "3s", nullptr,
     SLUICE_OPTION_DURATION, 0, 10, 600'000},
    {"response_timeout", "A connection on which calls wait and nothing comes for so long is given up.", "10s", nullptr,
     SLUICE_OPTION_DURATION, 0, 100, 600'000},
};

Result<Settings> read_settings(const plugin::Options& options) {
  Settings settings;
  settings.mode = static_cast<Mode>(options.number("mode"));
  const bool sentinel = settings.mode == Mode::sentinel;
  auto addresses = parse_addresses(options.text("address"), sentinel ? kDefaultSentinelPort : kDefaultPort);
  if (!addresses) return fail(addresses.error().in("address"));
  settings.addresses = std::move(*addresses);

  settings.master = options.text("master");
  if (sentinel == settings.master.empty()) {
    return fail(wrong("master", sentinel ? "sentinels are asked for it by name" : "only with mode=sentinel"));
  }
  settings.username = options.text("username");
  settings.password = options.text("password");
  if (!settings.username.empty() && settings.password.empty()) return fail(wrong("password", "the user needs one"));
  settings.sentinel_username = options.text("sentinel_username");
  settings.sentinel_password = options.text("sentinel_password");
  if (!settings.sentinel_username.empty() && settings.sentinel_password.empty()) {
    return fail(wrong("sentinel_password", "the user needs one"));
  }
  if (!sentinel && !settings.sentinel_password.empty()) {
    return fail(wrong("sentinel_password", "only with mode=sentinel"));
  }
  settings.database = options.number("database");
  if (settings.mode == Mode::cluster && settings.database != 0) {
    return fail(wrong("database", "a cluster has only database 0"));
  }
  settings.prefix = options.text("prefix");
  if (settings.prefix.empty() || settings.prefix.size() > kMaxPrefixBytes) {
    return fail(wrong("prefix", fmt::format("1 to {} bytes", kMaxPrefixBytes)));
  }
  for (const char c : settings.prefix) {
    if (c <= ' ' || c == '{' || c == '}' || c == '\x7f') {
      return fail(wrong("prefix", "no spaces, control characters or braces"));
    }
  }
  settings.layout = static_cast<Layout>(options.number("layout"));
  settings.ids = static_cast<Ids>(options.number("ids"));
  settings.key_field = options.text("key_field");
  settings.value_field = options.text("value_field");
  if (settings.key_field.empty()) return fail(wrong("key_field", "a name is needed"));
  if (settings.value_field.empty() || settings.value_field == settings.key_field) {
    return fail(wrong("value_field", "a name is needed, another than key_field"));
  }
  if (options.boolean("tls")) {
    return fail(wrong("tls", fmt::format("hiredis {}.{}.{}, which this adapter is built with, has no TLS; leave it off "
                                         "and put a TLS proxy beside the broker",
                                         HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH)));
  }
  settings.connect_timeout_ms = options.number("connect_timeout");
  settings.silence_ms = options.number("response_timeout");
  return settings;
}

}  // namespace sluice::redis
