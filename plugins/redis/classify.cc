// SPDX-License-Identifier: Apache-2.0
#include "redis/classify.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "redis/keys.hpp"

namespace sluice::redis {
namespace {

constexpr int64_t kSoonMs = 100;   // something that the server is about to finish
constexpr int64_t kLaterMs = 500;  // something that takes it longer

constexpr std::string_view kSeePermissions = "see the README for the permissions that are needed";

// The first rule that fits counts. The order matters where one beginning is the beginning of another.
constexpr ErrorRule kRules[] = {
    {"OOM", "", StatusCode::no_space, Remedy::none, 0, "maxmemory is reached"},
    {"MISCONF", "No space left", StatusCode::no_space, Remedy::none, 0, "the server's disk is full"},
    {"MISCONF", "", StatusCode::internal, Remedy::none, 0, "the server cannot write its files"},
    {"READONLY", "", StatusCode::unavailable, Remedy::reconnect, kLaterMs, "this server is a replica"},
    {"LOADING", "", StatusCode::unavailable, Remedy::none, kLaterMs, ""},
    {"MASTERDOWN", "", StatusCode::unavailable, Remedy::reconnect, kLaterMs, ""},
    {"NOREPLICAS", "", StatusCode::unavailable, Remedy::none, kLaterMs, "min-replicas-to-write is not met"},
    {"NOAUTH", "", StatusCode::denied, Remedy::none, 0, "give `password`, and `username` for an ACL user"},
    {"WRONGPASS", "", StatusCode::denied, Remedy::none, 0, ""},
    {"NOPERM", "", StatusCode::denied, Remedy::none, 0, kSeePermissions},
    {"DENIED", "", StatusCode::denied, Remedy::none, 0, ""},
    // A script's command that the user may not run, or a key: from 7.2 on, of 7.0, of 6.2.
    {"ERR ACL failure in script", "", StatusCode::denied, Remedy::none, 0, kSeePermissions},
    {"ERR The user executing the script", "", StatusCode::denied, Remedy::none, 0, kSeePermissions},
    {"The user executing the script", "", StatusCode::denied, Remedy::none, 0, kSeePermissions},
    {"ERR AUTH", "", StatusCode::denied, Remedy::none, 0, "the server has no password: leave `password` out"},
    {"ERR Client sent AUTH", "", StatusCode::denied, Remedy::none, 0,
     "the server has no password: leave `password` out"},
    {"ERR invalid password", "", StatusCode::denied, Remedy::none, 0, ""},
    {"MOVED", "", StatusCode::unavailable, Remedy::follow_moved, kSoonMs, ""},
    {"ASK", "", StatusCode::unavailable, Remedy::follow_ask, kSoonMs, ""},
    {"TRYAGAIN", "", StatusCode::unavailable, Remedy::none, kSoonMs, ""},
    {"CLUSTERDOWN", "", StatusCode::unavailable, Remedy::none, kLaterMs, ""},
    {"CROSSSLOT", "", StatusCode::internal, Remedy::none, 0, ""},
    {"BUSYGROUP", "", StatusCode::corrupt, Remedy::none, 0, "a stream is there that no log owns"},
    {"BUSYKEY", "", StatusCode::internal, Remedy::none, 0, ""},
    {"BUSY", "", StatusCode::busy, Remedy::none, kSoonMs, ""},
    {"UNKILLABLE", "", StatusCode::busy, Remedy::none, kSoonMs, ""},
    {"NOSCRIPT", "", StatusCode::unavailable, Remedy::load_scripts, kSoonMs, ""},
    {"EXECABORT", "", StatusCode::unavailable, Remedy::none, kSoonMs, ""},
    {"WRONGTYPE", "", StatusCode::corrupt, Remedy::none, 0, "a key of ours holds something else: is `prefix` right?"},
    {"NOGOODSLAVE", "", StatusCode::unavailable, Remedy::none, kLaterMs, ""},
    {"IDONTKNOW", "", StatusCode::unavailable, Remedy::none, kLaterMs, ""},
    {"IOERR", "", StatusCode::unavailable, Remedy::none, kLaterMs, ""},
    {"ERR max number of clients", "", StatusCode::unavailable, Remedy::none, kLaterMs, "raise maxclients"},
    {"ERR DB index", "", StatusCode::invalid, Remedy::none, 0, "`database` is not one of this server's"},
    {"ERR invalid DB index", "", StatusCode::invalid, Remedy::none, 0, "`database` is not one of this server's"},
    {"ERR SELECT is not allowed", "", StatusCode::invalid, Remedy::none, 0, "a cluster has only database 0"},
    {"ERR No such master", "", StatusCode::invalid, Remedy::none, 0, "`master` is not one that the sentinels watch"},
    {"ERR This instance has cluster support disabled", "", StatusCode::invalid, Remedy::none, 0,
     "the server is no cluster: leave `mode` at standalone"},
    {"ERR unknown command", "", StatusCode::invalid, Remedy::none, 0, "the server is too old, or it was renamed"},
    {"ERR unknown subcommand", "", StatusCode::invalid, Remedy::none, 0, "the server is too old"},
    {"ERR Unknown sub", "", StatusCode::invalid, Remedy::none, 0, "the server is too old"},
    {"ERR syntax error", "", StatusCode::invalid, Remedy::none, 0, "the server is too old"},
    {"ERR Protocol error", "", StatusCode::internal, Remedy::reconnect, 0, ""},
    {"", "", StatusCode::internal, Remedy::none, 0, ""},
};

/// Takes `beginning` away; whether it was there.
bool take(std::string_view& text, std::string_view beginning) {
  if (!text.starts_with(beginning)) return false;
  text.remove_prefix(beginning.size());
  return true;
}

/// What lies behind "@user_script:12: ", or behind "@user_script: 12: ".
void take_place(std::string_view& text) {
  std::string_view rest = text;
  if (!take(rest, "@user_script:")) return;
  take(rest, " ");
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  rest.remove_prefix(digits);
  if (digits > 0 && take(rest, ": ")) text = rest;
}

/// The error that another one is about. 6.2 wraps those of a script's commands:
///
///   ERR Error running script (call to f_SHA): @user_script:3: @user_script: 3: -OOM command not allowed ...
///   ERR Error running script (call to f_SHA): @user_script:3: WRONGTYPE Operation against ...
std::string_view inner(std::string_view error) {
  std::string_view rest = error;
  if (take(rest, "EXECABORT Transaction discarded because of: ")) return rest;
  if (!take(rest, "ERR Error running script (call to f_")) return error;
  const size_t end = rest.find("): ");
  if (end == std::string_view::npos) return error;
  rest.remove_prefix(end + 3);
  take_place(rest);
  take_place(rest);
  take(rest, "-");
  return rest;
}

}  // namespace

const ErrorRule& rule_for(std::string_view whole) {
  const std::string_view error = inner(whole);
  for (const ErrorRule& rule : kRules) {
    if (!error.starts_with(rule.begins)) continue;
    // A code word is a whole one: BUSY is not the beginning of BUSYKEY.
    const bool word = rule.begins.find(' ') == std::string_view::npos && !rule.begins.empty();
    if (word && error.size() > rule.begins.size() && error[rule.begins.size()] != ' ') continue;
    if (error.find(rule.contains) != std::string_view::npos) return rule;
  }
  return kRules[std::size(kRules) - 1];
}

Status status_of(std::string_view error) {
  const ErrorRule& rule = rule_for(error);
  Status status(rule.code, rule.advice.empty() ? fmt::format("redis: {}", error)
                                               : fmt::format("redis: {} ({})", error, rule.advice));
  status.set_retry_after_ms(rule.retry_after_ms);
  return status;
}

bool is_id_refused(std::string_view error) {
  return inner(error).starts_with("ERR The ID specified in XADD");
}

Redirect parse_redirect(std::string_view error) {
  const size_t first = error.find(' ');
  if (first == std::string_view::npos) return {};
  const size_t second = error.find(' ', first + 1);
  if (second == std::string_view::npos) return {};
  const auto slot = parse_number(error.substr(first + 1, second - first - 1));
  if (!slot || *slot < 0 || *slot >= kSlots) return {};
  return {static_cast<uint16_t>(*slot), error.substr(second + 1)};
}

}  // namespace sluice::redis
