// SPDX-License-Identifier: Apache-2.0
// What a partition knows beyond its records, and how that is kept: producers, where leader epochs began, virtual
// segments (the units of retention). Saved beside the log every so often, so that loading replays only what came after.
// A snapshot names the log's end and the last batch that it reflects; one that does not match the log is not used.
//
// Pure data and pure functions; the partition guards it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "partition/producer_state.hpp"
#include "records/batch.hpp"

namespace sluice::partition {

struct EpochStart {
  int32_t epoch = 0;
  int64_t offset = 0;
  bool operator==(const EpochStart&) const = default;
};

/// A stretch of the log that retention drops as a whole.
struct VirtualSegment {
  int64_t base_offset = 0;
  int64_t bytes = 0;
  int64_t max_timestamp = -1;
  int64_t created_ms = 0;   // wall time of its first batch
  int64_t appended_ms = 0;  // of its last batch: its age where records have no timestamps
  bool operator==(const VirtualSegment&) const = default;
};

struct RetentionRules {
  int64_t retention_ms = -1;     // -1: for ever
  int64_t retention_bytes = -1;  // -1: no limit
  int64_t segment_bytes = 1 << 30;
  int64_t segment_ms = 604'800'000;
};

struct PartitionState {
  ProducerStates producers;
  std::vector<EpochStart> epochs;
  std::vector<VirtualSegment> segments;
  int64_t end = 0;          // one past the last offset that all this reflects
  int32_t last_epoch = -1;  // of the last batch
  uint32_t last_crc = 0;

  /// A batch of the log's end: acknowledged now, or read back.
  void add(const records::BatchHeader& batch, const RetentionRules& rules, int64_t now_ms);
  /// As add, for batches that are replayed at `now_ms`: producers too.
  void replay(const records::BatchHeader& batch, const RetentionRules& rules, int64_t now_ms);

  /// Everything before `offset` is gone.
  void cut_before(int64_t offset);
  int64_t bytes() const;
  /// About so many bytes lie between two offsets: segments count by the share of their offsets.
  int64_t bytes_between(int64_t from, int64_t to) const;
  /// The newest epoch that began at or before `offset`; -1 if none is known.
  int32_t epoch_at(int64_t offset) const;
  /// Where a reader that has the epoch `epoch` must not be beyond (KIP-320): the largest epoch known that is <=
  /// `epoch`, and its end. For an epoch older than all that are known: itself, and where they begin. {-1, -1} for none
  /// (-1) and for one that has not been.
  EpochStart end_of_epoch(int32_t epoch, int32_t current_epoch, int64_t log_end) const;
  /// The new log start that the rules ask for; `start` if nothing is to go.
  int64_t retention_start(int64_t start, const RetentionRules& rules, int64_t now_ms) const;
};

/// Version 2. CORRUPT for malformed bytes, UNSUPPORTED for a newer version.
std::string encode_state(const PartitionState& state);
Result<PartitionState> decode_state(std::string_view bytes);

}  // namespace sluice::partition
