// SPDX-License-Identifier: Apache-2.0
#include "native/assembler.hpp"

#include <limits>
#include <stdexcept>
#include <utility>

#include "base/status.hpp"

namespace sluice::native {

using records::TimestampType;

Assembler::Answer Assembler::add(int64_t offset, TimestampType type, const records::NewRecord& record) {
  if (offset >= limit_) return Answer::beyond_limit;
  const uint64_t size = records::BatchBuilder::upper_bound(record);
  const bool fits_time = type == type_ && (type == TimestampType::create_time || record.timestamp == append_time_);
  const bool joins = builder_ && fits_time && offset - base_ <= std::numeric_limits<int32_t>::max() &&
                     builder_->uncompressed_size() + size <= kBatchBytes;
  const uint64_t more = size + (joins ? 0 : records::kBatchHeaderBytes);
  if (!empty() && (bytes() > max_bytes_ || more > max_bytes_ - bytes())) return Answer::full;
  if (!joins) {
    close_batch();
    base_ = offset;
    type_ = type;
    append_time_ = record.timestamp;
    records::BatchOptions options;
    options.base_offset = offset;
    options.timestamp_type = type;
    if (type == TimestampType::log_append_time) options.log_append_time_ms = record.timestamp;
    builder_.emplace(options);
  }
  if (const Status added = builder_->add_at(offset - base_, record); !added.ok())
    throw std::runtime_error(added.describe());
  last_ = offset;
  return Answer::taken;
}

void Assembler::close_batch() {
  if (!builder_) return;
  auto built = builder_->build();
  if (!built) throw std::runtime_error(built.error().describe());
  done_bytes_ += built->size();
  batches_.push_back({base_, last_, std::move(*built)});
  builder_.reset();
}

std::vector<Built> Assembler::finish() {
  close_batch();
  return std::move(batches_);
}

}  // namespace sluice::native
