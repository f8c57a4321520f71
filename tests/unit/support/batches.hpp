// SPDX-License-Identifier: Apache-2.0
// Record batches as producers send them, and what is in those that come back.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "partition/partition.hpp"
#include "records/builder.hpp"

namespace sluice::testing {

constexpr int64_t kTestTimeMs = 1'600'000'000'000;

/// Of an idempotent producer, or of none (-1).
struct Producing {
  int64_t id = -1;
  int16_t epoch = 0;
  int32_t sequence = 0;
};

/// A request with one batch, a record at each of `timestamps` with the value `value`; executor and done are still to be
/// set.
inline partition::AppendRequest make_append(const std::vector<int64_t>& timestamps, Producing producer = {},
                                            std::string_view value = "value") {
  records::BatchOptions options;
  if (producer.id >= 0) {
    options.producer_id = producer.id;
    options.producer_epoch = producer.epoch;
    options.base_sequence = producer.sequence;
  }
  records::BatchBuilder builder(options);
  for (const int64_t timestamp : timestamps) {
    records::NewRecord record;
    record.timestamp = timestamp;
    record.value = as_bytes(value);
    EXPECT_TRUE(builder.add(record).ok());
  }
  auto bytes = std::make_shared<Buffer>(std::move(*builder.build()));
  const auto info = records::validate_batch(bytes->view(), {}, kTestTimeMs);
  EXPECT_TRUE(info);
  partition::AppendRequest request;
  request.batch = bytes->mutable_view();
  request.keep_alive = bytes;
  request.info = *info;
  return request;
}

/// Base offsets of the whole batches in `bytes`; each has a right checksum.
inline std::vector<int64_t> batch_offsets(std::string_view bytes) {
  std::vector<int64_t> result;
  Bytes rest = as_bytes(bytes);
  while (!rest.empty()) {
    auto batch = records::take_batch(rest);
    if (!batch) {
      ADD_FAILURE() << records::batch_error_name(batch.error());
      break;
    }
    EXPECT_EQ(batch->compute_crc(), batch->crc());
    result.push_back(batch->base_offset());
  }
  return result;
}
inline std::vector<int64_t> batch_offsets(const partition::ReadOutcome& outcome) {
  std::string bytes;
  for (const auto& slice : outcome.slices) bytes.append(reinterpret_cast<const char*>(slice.data), slice.length);
  return batch_offsets(bytes);
}

}  // namespace sluice::testing
