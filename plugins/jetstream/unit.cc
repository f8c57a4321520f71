// SPDX-License-Identifier: Apache-2.0
#include "jetstream/unit.hpp"

#include "records/batch.hpp"

namespace sluice::jetstream {

UnitCut cut_unit(Bytes payload, const Entry& entry, const UnitRange& range) {
  UnitCut cut;
  cut.next = range.from;
  Bytes rest = payload;
  int64_t lowest = entry.base;
  const uint8_t* first = nullptr;
  size_t taken = 0;
  while (!rest.empty()) {
    const Bytes before = rest;
    const auto batch = records::take_batch(rest);
    if (!batch || batch->base_offset() < lowest || batch->last_offset() < batch->base_offset() ||
        batch->last_offset() >= entry.end) {
      cut.damaged = true;
      break;
    }
    lowest = batch->next_offset();
    if (lowest <= range.from) continue;
    const bool fits = taken + batch->size() <= range.budget || (taken == 0 && range.at_least_one);
    if (batch->last_offset() >= range.limit || !fits) {
      cut.stopped = true;
      break;
    }
    if (first == nullptr) first = before.data();
    taken += batch->size();
    cut.next = lowest;
  }
  if (rest.empty() && lowest != entry.end && !cut.stopped) cut.damaged = true;
  if (first != nullptr) cut.bytes = {first, taken};
  return cut;
}

std::optional<int64_t> locate_in_unit(Bytes payload, int64_t timestamp, int64_t start) {
  while (!payload.empty()) {
    const auto batch = records::take_batch(payload);
    if (!batch) return std::nullopt;
    if (batch->last_offset() >= start && batch->max_timestamp() >= timestamp) return batch->base_offset();
  }
  return std::nullopt;
}

}  // namespace sluice::jetstream
