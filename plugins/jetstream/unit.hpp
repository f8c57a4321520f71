// SPDX-License-Identifier: Apache-2.0
// The batches inside a unit's payload: they lie one behind the other, as they were appended. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "jetstream/entry.hpp"

namespace sluice::jetstream {

struct UnitRange {
  int64_t from = 0;              // batches that reach up to here at least
  int64_t limit = INT64_MAX;     // exclusive: batches wholly below
  uint64_t budget = UINT64_MAX;  // bytes
  bool at_least_one = true;      // whatever the budget says
};

struct UnitCut {
  Bytes bytes;           // whole batches
  int64_t next = 0;      // behind them, or `from`
  bool stopped = false;  // by limit or budget, so that what follows is not wanted
  bool damaged = false;  // what follows `bytes` is not what was appended
};

/// Damage is whatever does not add up with the entry: sizes, order, the end.
UnitCut cut_unit(Bytes payload, const Entry& entry, const UnitRange& range);

/// The base offset of the first batch at or above `start` whose greatest timestamp is >= `timestamp`.
std::optional<int64_t> locate_in_unit(Bytes payload, int64_t timestamp, int64_t start);

}  // namespace sluice::jetstream
