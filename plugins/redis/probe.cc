// SPDX-License-Identifier: Apache-2.0
#include "redis/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "redis/classify.hpp"
#include "redis/keys.hpp"

namespace sluice::redis {
namespace {

// XADD NOMKSTREAM and XTRIM MINID came with it.
constexpr int kOldestMajor = 6;
constexpr int kOldestMinor = 2;

constexpr std::array<const char*, 5> kConfig = {"appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy",
                                                "proto-max-bulk-len", "aof-load-truncated"};

std::pair<int, int> parse_version(std::string_view text) {
  const size_t dot = text.find('.');
  const auto major = parse_number(text.substr(0, dot));
  if (!major || dot == std::string_view::npos) return {0, 0};
  const std::string_view rest = text.substr(dot + 1);
  const auto minor = parse_number(rest.substr(0, rest.find('.')));
  return {static_cast<int>(*major), minor ? static_cast<int>(*minor) : 0};
}

// Counts entries that were ever added, and gives ids such as 0-*.
constexpr int kOldestRecordMajor = 7;
// Writes what a script did once as one command to its append-only file; older ones always as a transaction.
constexpr int kOldestDurableMajor = 7;

// Every command of the adapter, in a form that does nothing whatever the server holds: on a key that is never there, or
// with an argument that is refused. Permission is asked for first. (SADD has no such form.)
Command harmless(const Settings& settings, const ScriptNames& scripts) {
  const bool records = settings.layout == Layout::record;
  const std::string key = settings.prefix + ":{permissions}";
  const auto script = [&](Script name) { return std::string_view(scripts[static_cast<size_t>(name)]); };
  const auto add = [](Command& to, std::initializer_list<std::string_view> arguments) {
    to.begin(arguments.size());
    for (const std::string_view argument : arguments) to.add(argument);
  };
  Command all;
  for (const char* command : {"TYPE", "UNLINK"}) add(all, {command, key});
  for (const char* command : {"HGET", "HMGET"}) add(all, {command, key, "x"});
  add(all, {"HSET", key, "a", "b", "c"});  // one too many
  if (records) {
    // Those on streams may be allowed for certain streams alone.
    add(all, {"EVALSHA", script(Script::leave), "2", key, key, "x"});
    return all;
  }
  add(all, {"EVALSHA", script(Script::note), "2", key, key, "x", "x"});
  for (const char* command : {"EXISTS", "GET", "SCARD", "SMEMBERS", "XLEN"}) add(all, {command, key});
  for (const char* command : {"HDEL", "SREM"}) add(all, {command, key, "x"});
  add(all, {"SET", key, "x", "EX", "0"});
  add(all, {"RENAME", key, key});
  add(all, {"XADD", key, "NOMKSTREAM", "no id", "a", "b"});
  add(all, {"XTRIM", key, "MINID", "no id"});
  add(all, {"XSETID", key, "no id"});
  add(all, {"XRANGE", key, "-", "+", "COUNT", "1"});
  add(all, {"XREAD", "COUNT", "1", "STREAMS", key, "0"});
  for (const char* what : {"STREAM", "GROUPS"}) add(all, {"XINFO", what, key});
  for (const char* what : {"CREATE", "SETID"}) add(all, {"XGROUP", what, key, "end", "no id"});
  add(all, {"ZADD", key, "no number", "x"});
  for (const char* command : {"ZRANGEBYLEX", "ZREMRANGEBYLEX"}) add(all, {command, key, "-", "+"});
  return all;
}

}  // namespace

std::string_view info_field(std::string_view info, std::string_view key) {
  for (size_t at = 0; at < info.size();) {
    const size_t end = std::min(info.find('\n', at), info.size());
    std::string_view line = info.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ':')
      return line.substr(key.size() + 1);
  }
  return {};
}

void read_info(std::string_view info, Facts& facts) {
  const std::string_view version = info_field(info, "redis_version");
  std::tie(facts.major, facts.minor) = parse_version(version);
  const std::string_view valkey = info_field(info, "valkey_version");
  facts.version = valkey.empty() ? fmt::format("redis {}", version) : fmt::format("valkey {}", valkey);
  facts.is_replica = info_field(info, "role") == "slave";
  facts.is_cluster = info_field(info, "cluster_enabled") == "1";
  facts.replicas = parse_number(info_field(info, "connected_slaves")).value_or(0);
  facts.aof = info_field(info, "aof_enabled") == "1";
}

Status refuse(const Facts& facts, const Settings& settings) {
  if (std::pair(facts.major, facts.minor) < std::pair(kOldestMajor, kOldestMinor)) {
    return Status(StatusCode::invalid,
                  fmt::format("{} is too old: {}.{} is needed", facts.version, kOldestMajor, kOldestMinor));
  }
  if (settings.layout == Layout::record && facts.major < kOldestRecordMajor) {
    return Status(StatusCode::invalid, fmt::format("{} is too old for \"layout\": \"record\": {}.0 is needed",
                                                   facts.version, kOldestRecordMajor));
  }
  if (facts.is_cluster && settings.mode != Mode::cluster) {
    return Status(StatusCode::invalid, "the server is a node of a cluster: set \"mode\": \"cluster\"");
  }
  if (!facts.is_cluster && settings.mode == Mode::cluster) {
    return Status(StatusCode::invalid, "the server is no cluster: leave \"mode\" at standalone");
  }
  if (facts.is_replica && settings.mode == Mode::standalone) {
    return Status(StatusCode::invalid, "the server is a replica: name its master, or the sentinels");
  }
  return {};
}

plugin::Condition judge(const Facts& facts, const Settings& settings) {
  const bool records = settings.layout == Layout::record;
  plugin::Condition condition;
  condition.kind = records ? SLUICE_KIND_NATIVE : SLUICE_KIND_LOG;
  if (records) condition.appends_in_flight = kRecordAppendsInFlight;
  condition.server = facts.version;
  condition.largest_unit = kLargestUnitBytes;
  if (facts.largest_argument) {
    condition.largest_unit = std::min(condition.largest_unit, static_cast<uint64_t>(*facts.largest_argument));
  }
  condition.capabilities = SLUICE_CAP_SHARED;
  const bool always = facts.appendfsync == "always";
  const bool keeps = facts.eviction == "noeviction";
  const bool old = facts.major < kOldestDurableMajor;
  // Records of one append are a transaction. Half of one stays in the file of a server that is killed, unless it then
  // refuses to start with such a file.
  const bool whole = !records || facts.load_truncated == "no";
  if (records && whole) condition.capabilities |= SLUICE_CAP_ATOMIC;
  if (!facts.appendfsync || !facts.eviction) {
    condition.advice = "allow this user CONFIG GET: whether appends are durable cannot be seen";
  } else if (old) {
    condition.advice = fmt::format(
        "{} may lose appends when it is killed twice, as it writes each script's as a transaction: {}.0 does not",
        facts.version, kOldestDurableMajor);
  } else if (!facts.aof) {
    condition.advice = "\"appendonly yes\" with \"appendfsync always\" makes appends durable";
  } else if (!always) {
    condition.advice = "\"appendfsync always\" makes appends durable";
  } else if (!keeps) {
    condition.advice = "\"maxmemory-policy noeviction\" keeps what was appended";
  } else if (!whole) {
    condition.advice =
        "\"aof-load-truncated no\" makes appends durable and atomic: else half of one may come back when a killed "
        "server starts for the second time";
  }
  if (old || !facts.aof || !always || !keeps || !whole) return condition;
  condition.capabilities |= SLUICE_CAP_DURABLE;
  if (facts.no_fsync_on_rewrite == "no") {
    condition.capabilities |= SLUICE_CAP_POWER_SAFE;
  } else {
    condition.advice = "\"no-appendfsync-on-rewrite no\" also survives loss of power";
  }
  if (settings.mode == Mode::standalone && !settings.has_choice() && facts.replicas == 0) {
    condition.capabilities |= SLUICE_CAP_NO_ROLLBACK;
  } else {
    condition.advice = "a failover may take back what was acknowledged: only one server without replicas never does";
  }
  return condition;
}

plugin::Condition weaker(const plugin::Condition& one, const plugin::Condition& other) {
  plugin::Condition both = one;
  both.capabilities &= other.capabilities;
  both.largest_unit = std::min(one.largest_unit, other.largest_unit);
  // The advice of the server that holds the others back.
  if (both.capabilities != one.capabilities || one.advice.empty()) both.advice = other.advice;
  return both;
}

Task<Result<Facts>> ask(Link& link, int64_t deadline_ns) {
  if (!link.up()) co_return fail(link.why());
  Command questions{"INFO"};
  for (const char* name : kConfig) questions.begin(3).add("CONFIG").add("GET").add(name);
  const Answer answer = co_await link.connection().call(questions, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
  Facts facts;
  read_info(answer[0].text(), facts);
  const auto config = [&](size_t index) -> std::optional<std::string> {
    const ReplyView value = answer[index + 1][1];
    return value.is_text() ? std::optional<std::string>(value.text()) : std::nullopt;
  };
  facts.appendfsync = config(0);
  facts.no_fsync_on_rewrite = config(1);
  facts.eviction = config(2);
  if (const auto largest = config(3)) facts.largest_argument = parse_number(*largest);
  facts.load_truncated = config(4);
  co_return facts;
}

Task<Status> check_permissions(Link& link, const Settings& settings, const ScriptNames& scripts, int64_t deadline_ns) {
  if (!link.up()) co_return link.why();
  const Command questions = harmless(settings, scripts);
  const Answer answer = co_await link.connection().call(questions, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  for (size_t i = 0; i < answer.replies.size(); ++i) {
    if (!answer[i].is_error()) continue;
    Status status = status_of(answer[i].text());
    if (status.code() == StatusCode::denied) co_return status;
  }
  co_return Status();
}

}  // namespace sluice::redis
