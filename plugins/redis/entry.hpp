// SPDX-License-Identifier: Apache-2.0
// One batch as a stream entry: fields `m`, "PREVIOUS:BASE:NEWEST" in decimal, and `d`, the batch's bytes as they are.
// PREVIOUS is the log's end before the batch, so that an entry that somebody removed is noticed. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "redis/command.hpp"
#include "redis/keys.hpp"
#include "redis/reply.hpp"
#include "sluice/storage_abi.h"

namespace sluice::redis {

struct BatchEntry {
  int64_t previous_end = 0;
  int64_t base = 0;
  int64_t last = 0;
  int64_t newest = 0;  // timestamp
  Bytes bytes;         // of the reply
};

/// Adds the XADD of a batch to `key`, which follows the log's end `previous_end`. Lends the batch's bytes.
void add_batch(Command& command, std::string_view key, const sluice_batch& batch, int64_t previous_end);

/// An element of XRANGE's reply; nothing if Sluice did not write it so.
std::optional<BatchEntry> parse_batch(ReplyView element);
/// Its id alone, whoever wrote it.
std::optional<EntryId> entry_id_of(ReplyView element);

}  // namespace sluice::redis
