// SPDX-License-Identifier: Apache-2.0
// How the broker's own logs look inside: each unit is one record batch whose first record is a header, saying who wrote it and
// which unit came before, and whose other records are for the state machine. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "records/batch.hpp"

namespace sluice::storage {

/// One process in one life: a broker that starts again is another incarnation.
struct WriterId {
  int32_t broker = 0;
  uint64_t incarnation = 0;
  bool operator==(const WriterId&) const = default;
};

/// The newest unit of a writer that has been applied.
struct WriterProgress {
  WriterId writer;
  uint64_t sequence = 0;
};

struct UnitHeader {
  static constexpr uint8_t kVersion = 1;
  enum class Kind : uint8_t { commands = 0, snapshot = 1 };

  Kind kind = Kind::commands;
  uint32_t previous_crc = 0;  // of the batch before; 0 for the first of a log
  WriterId writer;
  uint64_t sequence = 0;
  // Snapshots only: which part of how many, and what replay must remember to drop repeats.
  uint32_t part = 0;
  uint32_t parts = 0;
  std::vector<WriterProgress> progress;
};

/// A unit as read back. Views into the batch it was read from.
struct Unit {
  UnitHeader header;
  std::vector<std::string_view> records;
  int64_t first_record_offset = 0;  // of records[0]
  int64_t timestamp_ms = 0;
};

/// The batch that holds the unit, at `base_offset`. Errors: too_large.
Result<Buffer> encode_unit(const UnitHeader& header, const std::vector<std::string>& records, int64_t base_offset, int32_t leader_epoch,
                           int64_t now_ms);

/// Checks the batch's checksum and shape. CORRUPT when they are wrong, UNSUPPORTED for a version above ours.
Result<Unit> decode_unit(const records::BatchView& batch);

}  // namespace sluice::storage
