// SPDX-License-Identifier: Apache-2.0
// What a server is and does: read from INFO and CONFIG GET, and turned into capabilities, advice, or a refusal. The
// judgements are pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/task.hpp"
#include "plugin/adapter.hpp"
#include "redis/servers.hpp"

namespace sluice::redis {

/// One append carries at most this much, also where the server would take more.
inline constexpr uint64_t kLargestUnitBytes = uint64_t{64} << 20;

struct Facts {
  std::string version;  // "redis 7.0.15"
  int major = 0;
  int minor = 0;
  bool is_replica = false;
  bool is_cluster = false;
  int64_t replicas = 0;
  bool aof = false;
  // Of CONFIG GET; nothing where that is not allowed.
  std::optional<std::string> appendfsync;
  std::optional<std::string> no_fsync_on_rewrite;
  std::optional<std::string> eviction;
  std::optional<std::string> load_truncated;
  std::optional<int64_t> largest_argument;
};

/// The value of "key:value" in the text of INFO; empty if it is not there.
std::string_view info_field(std::string_view info, std::string_view key);

/// Reads INFO into facts.
void read_info(std::string_view info, Facts& facts);

/// INVALID where the server cannot be used with these settings: too old, a replica, a cluster or none.
Status refuse(const Facts& facts, const Settings& settings);

/// Appends of one stream of records that are under way together: while the server adds one, the next is made and sent.
inline constexpr uint32_t kRecordAppendsInFlight = 2;

/// Kind, capabilities, the largest unit, and the setting that would raise them.
plugin::Condition judge(const Facts& facts, const Settings& settings);

/// What holds for several servers: what holds for each of them.
plugin::Condition weaker(const plugin::Condition& one, const plugin::Condition& other);

/// Asks one server. Thread: reactor.
Task<Result<Facts>> ask(Link& link, int64_t deadline_ns);

/// DENIED where the server does not let this user do what will be needed. Thread: reactor.
Task<Status> check_permissions(Link& link, const Settings& settings, const ScriptNames& scripts, int64_t deadline_ns);

}  // namespace sluice::redis
