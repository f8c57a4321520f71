// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/format.hpp"

#include <gtest/gtest.h>

#include "base/crc32c.hpp"

namespace sluice::checkpoint {
namespace {

Checkpoint sample() {
  Checkpoint checkpoint;
  checkpoint.group = "billing";
  checkpoint.id = 42;
  checkpoint.created_ns = 1'700'000'000'000'000'000;
  checkpoint.cursor = std::string("sc1\0opaque", 10);
  checkpoint.metadata = {{"host", "a"}, {"host", "b"}, {"", ""}};
  return checkpoint;
}

TEST(CheckpointFormat, WhatIsWrittenIsRead) {
  const Result<Checkpoint> read = decode(encode(sample()));
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->group, sample().group);
  EXPECT_EQ(read->id, 42U);
  EXPECT_EQ(read->created_ns, sample().created_ns);
  EXPECT_EQ(read->cursor, sample().cursor);
  EXPECT_EQ(read->metadata, sample().metadata);
}

TEST(CheckpointFormat, S18_EveryFlippedBitIsToldAndAnUnknownVersionRefused) {
  Buffer file = encode(sample());
  for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
    const auto mask = static_cast<uint8_t>(1U << (bit % 8));
    file.data()[bit / 8] ^= mask;
    const Result<Checkpoint> read = decode(file);
    ASSERT_FALSE(read) << "bit " << bit;
    EXPECT_EQ(read.error().code(), StatusCode::corrupt) << "bit " << bit;
    EXPECT_TRUE(read.error().text().starts_with("byte ")) << read.error().text();
    file.data()[bit / 8] ^= mask;
  }
  ASSERT_TRUE(decode(file));

  store_be(file.data() + kVersionAt, kVersion + 1);
  store_be(file.data() + kHeaderCrcAt, crc32c(file.view().first(kHeaderCrcAt)));
  const Result<Checkpoint> read = decode(file);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), StatusCode::unsupported);
}

TEST(CheckpointFormat, EveryTruncationAndAddedByteIsTold) {
  Buffer file = encode(sample());
  for (size_t size = 0; size < file.size(); ++size) {
    const Result<Checkpoint> read = decode(file.view().first(size));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().code(), StatusCode::corrupt);
  }
  ByteWriter(file).write_be(uint8_t{0});
  EXPECT_FALSE(decode(file));
}

TEST(CheckpointFormat, FieldsThatMakeNoSenseAreToldAlsoWithRightChecksums) {
  const auto with = [](size_t at, uint32_t value) {
    Buffer file = encode(sample());
    store_be(file.data() + at, value);
    const size_t trailer = file.size() - kTrailerBytes;
    store_be(file.data() + trailer, crc32c(file.view().subspan(kHeaderBytes, trailer - kHeaderBytes)));
    return decode(file);
  };
  const size_t group_size_at = kHeaderBytes + 16;
  EXPECT_FALSE(with(group_size_at, 0xffffffff));
  EXPECT_FALSE(with(group_size_at, 6));
  const size_t entries_at = group_size_at + 4 + 7 + 4 + 10;
  ASSERT_TRUE(with(entries_at, 3));
  EXPECT_FALSE(with(entries_at, 2));
  EXPECT_FALSE(with(entries_at, 4));
  EXPECT_FALSE(with(entries_at, 0x7fffffff));
}

TEST(CheckpointFormat, LimitsAreNamed) {
  EXPECT_EQ(check("", "", {}).text(), "group: empty");
  EXPECT_EQ(check(std::string(81, 'g'), "", {}).code(), StatusCode::invalid);
  EXPECT_EQ(check("g", std::string(kMaxCheckpointCursorBytes + 1, 'c'), {}).code(), StatusCode::too_large);
  EXPECT_TRUE(check("g", std::string(kMaxCheckpointCursorBytes, 'c'), {}).ok());
  EXPECT_EQ(check("g", "", CheckpointMetadata(65)).code(), StatusCode::too_large);
  EXPECT_EQ(check("g", "", {{"n", std::string(kMaxCheckpointMetadataBytes, 'v')}}).code(), StatusCode::too_large);
}

}  // namespace
}  // namespace sluice::checkpoint
