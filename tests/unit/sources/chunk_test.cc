// SPDX-License-Identifier: Apache-2.0
// What one read gave, as records: wherever the adapter cut it into slices, and wherever it is read on.
#include "sources/chunk.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "records/builder.hpp"

namespace sluice::sources {
namespace {

constexpr int64_t kBatches = 4;
constexpr int64_t kRecordsEach = 3;
constexpr int64_t kRecords = kBatches * kRecordsEach;

/// A read's bytes, cut at `cuts`.
host::ReadResult read_of(const Buffer& bytes, const std::vector<size_t>& cuts) {
  host::ReadResult read;
  size_t begin = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t end = i < cuts.size() ? cuts[i] : bytes.size();
    host::Slice slice;
    slice.data = bytes.data() + begin;
    slice.length = end - begin;
    if (slice.length > 0) read.slices.push_back(slice);
    begin = end;
  }
  read.next = read.end = kRecords;
  read.bytes = bytes.size();
  return read;
}

std::vector<int64_t> positions_from(Chunk& chunk, int64_t from) {
  std::vector<int64_t> positions;
  PageRequest request;
  request.from = from;
  request.max_records = 2;
  for (; chunk.covers(request.from);) {
    Page page;
    chunk.fill(request, page);
    EXPECT_EQ(page.corrupt, 0u);
    for (const Record& record : page.records) {
      positions.push_back(record.position);
      EXPECT_EQ(as_text(*record.value), fmt::format("value {}", record.position));
    }
    if (page.next <= request.from) break;
    request.from = page.next;
  }
  return positions;
}

TEST(Chunk, B02_any_place_can_be_read_again_wherever_the_slices_are_cut) {
  Buffer bytes;
  std::vector<size_t> ends;  // of batches
  for (int64_t i = 0; i < kBatches; ++i) {
    records::BatchOptions options;
    options.base_offset = i * kRecordsEach;
    records::BatchBuilder builder(options);
    for (int64_t j = 0; j < kRecordsEach; ++j) {
      const std::string value = fmt::format("value {}", options.base_offset + j);
      records::NewRecord record;
      record.value = as_bytes(value);
      ASSERT_TRUE(builder.add(record).ok());
    }
    const auto batch = builder.build();
    ASSERT_TRUE(batch);
    bytes.append(batch->view());
    ends.push_back(bytes.size());
  }
  ChunkRules rules;
  rules.spare = std::make_shared<SpareBuffers>();
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    for (const size_t second : {bytes.size(), ends[2] + (bytes.size() - ends[2]) / 2}) {
      if (second < cut) continue;
      auto chunk = Chunk::make(read_of(bytes, {cut, second}), 0, rules);
      ASSERT_TRUE(chunk);
      for (const int64_t from : {int64_t{0}, kRecords - 1, int64_t{4}, int64_t{0}}) {
        std::vector<int64_t> due;
        for (int64_t position = from; position < kRecords; ++position) due.push_back(position);
        ASSERT_EQ(positions_from(**chunk, from), due) << "from " << from << ", cut at " << cut << " and " << second;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::sources
