// SPDX-License-Identifier: Apache-2.0
// What an error of the server means: one table from the server's words to a status of the contract and to what the
// adapter does about it. Pure functions.
//
// Every error reply means that the command was refused and did nothing, but for errors inside a script after its first
// write, which our scripts do not provoke. So none of them is UNKNOWN.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.hpp"

namespace sluice::redis {

enum class Remedy : uint8_t {
  none,
  load_scripts,  // NOSCRIPT: load them, send again
  follow_moved,  // MOVED: another node has the slot
  follow_ask,    // ASK: another node has the key while the slot moves
  reconnect,     // this server is no longer the one to write to
};

struct ErrorRule {
  std::string_view begins;    // how the error begins: its code word, or more of it
  std::string_view contains;  // what else it must contain; may be empty
  StatusCode code;
  Remedy remedy;
  int64_t retry_after_ms;
  std::string_view advice;  // for the operator; may be empty
};

/// The rule for an error, without its leading '-'; for one that tells of another, as 6.2 does of those in scripts, the
/// rule for that. There is always one: unknown errors are INTERNAL.
const ErrorRule& rule_for(std::string_view error);

/// The status of an error, with the server's own words and the advice.
Status status_of(std::string_view error);

/// Whether the error says that an XADD found an id at or above its own.
bool is_id_refused(std::string_view error);

/// Where MOVED and ASK point to: "MOVED 3999 127.0.0.1:6381". `address` is empty for any other text; it begins with a
/// colon where the server means the host that was asked.
struct Redirect {
  uint16_t slot = 0;
  std::string_view address;
};
Redirect parse_redirect(std::string_view error);

}  // namespace sluice::redis
