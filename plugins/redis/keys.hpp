// SPDX-License-Identifier: Apache-2.0
// How a log lies in Redis: the names of its keys, and how offsets are written as stream entry ids. Pure functions.
//
//   PREFIX:cluster          string    the cluster that the storage is tied to
//   PREFIX:logs             set       ids of logs; a hint, a log is there when its hash is
//   PREFIX:{ID}             hash      the descriptor, `start`, and `token`, the token in force
//   PREFIX:{ID}:TOKEN       stream    the batches; TOKEN is the one in force, 16 hexadecimal digits
//   PREFIX:{ID}:values      hash      saved values
//   PREFIX:{ID}:times       sorted set of stretches of the log with their greatest timestamps, for locate
//
// The braces make all keys of a log lie in one slot of a Redis Cluster. A batch whose last offset is L is the entry
// `L-1`, so that offset 0 has a legal id and the stream's last generated id, which Redis keeps when the stream is
// emptied, is the log's end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/uuid.hpp"

namespace sluice::redis {

/// Slots of a Redis Cluster.
inline constexpr uint16_t kSlots = 16384;

/// The slot of a key: CRC16 of what is between the first '{' and the next '}', or of the whole key.
uint16_t hash_slot(std::string_view key);

/// 16 lower case hexadecimal digits, so that texts compare as the tokens do.
std::string token_text(uint64_t token);
/// Nothing unless `text` is what token_text() gives.
std::optional<uint64_t> parse_token(std::string_view text);

/// The whole of `text` as a decimal number; nothing for anything else, overflow included.
std::optional<int64_t> parse_number(std::string_view text);

struct EntryId {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const EntryId&) const = default;
};

/// "12-1"; nothing for anything else.
std::optional<EntryId> parse_entry_id(std::string_view text);
/// The entry of a batch that ends with `last_offset`.
std::string entry_id(int64_t last_offset);
/// The last generated id of a log that ends at `end`: "0-0" where that is 0.
std::string last_id_at(int64_t end);
/// The end of a log whose last generated id this is; nothing for an id that Sluice never gives.
std::optional<int64_t> end_at(EntryId last_id);
/// The offset behind an entry, whoever wrote it.
int64_t behind(EntryId id);

struct LogKeys {
  std::string base;
  uint16_t slot = 0;

  LogKeys(std::string_view prefix, const Uuid& id);
  std::string stream(uint64_t token) const { return base + ':' + token_text(token); }
  std::string values() const { return base + ":values"; }
  std::string times() const { return base + ":times"; }
};

/// A stretch of a log in the sorted set: its batches lie in [first, last], the greatest timestamp is `newest`.
/// Written "LAST:FIRST:NEWEST" with LAST as 16 hexadecimal digits, so that members sort by it.
struct Stretch {
  int64_t first = 0;
  int64_t last = 0;
  int64_t newest = 0;
  bool operator==(const Stretch&) const = default;
  std::string text() const;
  static std::optional<Stretch> parse(std::string_view text);
};

}  // namespace sluice::redis
