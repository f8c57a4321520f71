// SPDX-License-Identifier: Apache-2.0
// A place in many shards at once: for each, by its source's id, the position to read on from. A consumer hands one out
// with every response; its text goes into a file, a checkpoint or a database, and a consumer that is given it goes on
// exactly there. Entries outlive their shard: one that is away now is found again at its place.
//
// The text is "slc1." and base64url (RFC 4648, no padding) of ids and positions and their CRC-32C. Equal cursors have
// equal texts. Plain values, cheap to copy (the ids are shared); one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/status.hpp"

namespace sluice {

inline constexpr size_t kMaxCursorShards = 65'536;
inline constexpr size_t kMaxCursorIdBytes = 8 << 20;     // of all ids together
inline constexpr size_t kMaxCursorTextBytes = 12 << 20;  // enough for any cursor within the two limits above

/// How two places relate. An entry that one of them does not have counts as before any position.
enum class CursorOrder { equal, before, after, apart };

class SLUICE_API Cursor {
 public:
  struct Entry {
    std::string_view id;  // valid until the cursor changes
    int64_t next;         // position of the first record that is still to come
  };

  Cursor();

  /// Malformed text is an error, never a guess: `invalid` (not this format, damaged in form), `unsupported` (another
  /// version), `corrupt` (checksum), `too_large`. native_code() is the byte of the text where it shows, and the status
  /// says it in words. Nothing is allocated that the text does not account for.
  static Result<Cursor> decode(std::string_view text);
  std::string encode() const;

  size_t size() const { return next_.size(); }
  bool empty() const { return next_.empty(); }
  /// Entries by rising id (bytewise), `index` < size().
  Entry at(size_t index) const;
  std::optional<size_t> find(std::string_view id) const;
  std::optional<int64_t> next(std::string_view id) const;

  /// Sets an entry, forwards or back (a seek). `invalid`: an id of 0 or more than kMaxSourceIdBytes bytes, a negative
  /// position. `too_large`: one of the limits above.
  Status set(std::string_view id, int64_t next);
  /// The same, but never back: `invalid` if the entry is beyond `next` already.
  Status advance(std::string_view id, int64_t next);
  /// `index` as from find(), `next` >= 0.
  void set_at(size_t index, int64_t next) { next_[index] = next; }
  /// Forgets a shard for good. False if it is not there.
  bool erase(std::string_view id);

  static CursorOrder compare(const Cursor& left, const Cursor& right);
  friend bool operator==(const Cursor& left, const Cursor& right) { return compare(left, right) == CursorOrder::equal; }

  /// The place from which nothing is skipped that either of them has still to see: the lesser position of each shard
  /// that both name. A shard that only one names is left out, since the other one has seen nothing of it.
  static Cursor least(const Cursor& left, const Cursor& right);
  /// The place from which nothing comes again that either of them has seen: the greater position of each shard, and all
  /// shards of both. Right for parts of one consumer's work, e.g. two that read different shards.
  static Cursor greatest(const Cursor& left, const Cursor& right);

  /// What it occupies, shared ids included.
  size_t memory_bytes() const;

 private:
  struct SLUICE_LOCAL Ids;
  Ids& own_ids();

  std::shared_ptr<Ids> ids_;
  std::vector<int64_t> next_;
};

/// A position as people write it: digits without leading zeros, at most INT64_MAX. Else `invalid`, with the byte where
/// it shows as native_code().
SLUICE_API Result<int64_t> parse_position(std::string_view text);

}  // namespace sluice
