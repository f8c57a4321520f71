// SPDX-License-Identifier: Apache-2.0
// An engine's own entries as record batches (format v2) with exactly their offsets. One read is put together by one
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "records/builder.hpp"

namespace sluice::native {

/// Batches that are put together end at this size, in bytes; a record above it has one for itself.
inline constexpr uint64_t kBatchBytes = uint64_t{1} << 20;

struct Built {
  int64_t base = 0;
  int64_t last = 0;
  Buffer bytes;
};

class Assembler {
 public:
  /// `limit`: exclusive, of offsets; `max_bytes`: of all batches, but for the first record.
  Assembler(int64_t limit, uint64_t max_bytes) : limit_(limit), max_bytes_(max_bytes) {}

  enum class Answer { taken, full, beyond_limit };
  /// Offsets rise. Control of what is not taken stays with the caller.
  Answer add(int64_t offset, records::TimestampType type, const records::NewRecord& record);
  bool empty() const { return batches_.empty() && !builder_; }
  uint64_t bytes() const { return done_bytes_ + (builder_ ? builder_->uncompressed_size() : 0); }
  /// One past the last offset taken; only if not empty.
  int64_t next() const { return last_ + 1; }

  std::vector<Built> finish();

 private:
  void close_batch();

  const int64_t limit_;
  const uint64_t max_bytes_;
  std::vector<Built> batches_;
  uint64_t done_bytes_ = 0;
  std::optional<records::BatchBuilder> builder_;
  int64_t base_ = 0;
  int64_t last_ = -1;
  records::TimestampType type_ = records::TimestampType::create_time;
  int64_t append_time_ = 0;
};

}  // namespace sluice::native
