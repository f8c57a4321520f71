// SPDX-License-Identifier: Apache-2.0
// A unit as one stream entry: for each of its batches the fields `m`, "PREVIOUS:BASE:NEWEST" in decimal, and `d`, the
// batch's bytes as they are. PREVIOUS is the log's end before the batch, so that an entry that somebody removed is
// noticed. Pure functions.
//
// One entry, and so one command: of a transaction a server that is killed while it writes its append-only file may
// leave MULTI and some commands there, which it passes over when it starts, and carries out with the next transaction
// in the file when it starts once more.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

/// Adds the XADD of a unit's batches, at least one, to `key`, which follow the log's end `previous_end`. Lends their
/// bytes.
void add_unit(Command& command, std::string_view key, std::span<const sluice_batch> batches, int64_t previous_end);

/// How many arguments add_batches() adds.
size_t batch_arguments(size_t batches);
/// The fields and values of that entry alone.
void add_batches(Command& command, std::span<const sluice_batch> batches, int64_t previous_end);

/// The batches of an element of XRANGE's reply, in place of what is in `batches`; false if Sluice did not write it so.
bool parse_unit(ReplyView element, std::vector<BatchEntry>& batches);
/// Bytes of its batches, whoever wrote it.
uint64_t unit_bytes(ReplyView element);
/// Its id alone, whoever wrote it.
std::optional<EntryId> entry_id_of(ReplyView element);

}  // namespace sluice::redis
