// SPDX-License-Identifier: Apache-2.0
#include "records/codec.hpp"

#include <gtest/gtest.h>
#include <snappy.h>

#include <random>
#include <string>

#include "records/builder.hpp"

namespace sluice::records {
namespace {

constexpr size_t kMebibyte = 1024 * 1024;

Buffer compressed(Codec codec, Bytes in, int level = kDefaultLevel) {
  Buffer out;
  const Status status = compress(codec, level, in, out);
  EXPECT_TRUE(status.ok()) << status.describe();
  return out;
}

std::string text_of_size(size_t size) {
  std::mt19937 random(3);
  std::string text;
  while (text.size() < size) text += "word" + std::to_string(random() % 1000) + ' ';
  text.resize(size);
  return text;
}

class EachCodec : public testing::TestWithParam<Codec> {};
INSTANTIATE_TEST_SUITE_P(Codec, EachCodec,
                         testing::Values(Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd),
                         [](const auto& parameter) { return std::string(codec_name(parameter.param)); });

class EachRealCodec : public EachCodec {};
INSTANTIATE_TEST_SUITE_P(Codec, EachRealCodec, testing::Values(Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd),
                         [](const auto& parameter) { return std::string(codec_name(parameter.param)); });

TEST_P(EachCodec, round_trips_any_size) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{100}, size_t{32'768}, size_t{32'769}, size_t{65'536}, 3 * kMebibyte + 1}) {
    const std::string text = text_of_size(size);
    const Buffer packed = compressed(GetParam(), as_bytes(text));
    const Result<Buffer> back = decompress(GetParam(), packed, size);
    ASSERT_TRUE(back) << size << ' ' << back.error().describe();
    EXPECT_EQ(as_text(*back), text) << size;
  }
}

// Invariant: the limit is the configured one, to the byte.
TEST_P(EachCodec, the_limit_is_exact) {
  constexpr size_t kLimit = 4 * kMebibyte;
  const std::string text = text_of_size(kLimit + 1);
  const Buffer fits = compressed(GetParam(), as_bytes(text).first(kLimit));
  const Buffer beyond = compressed(GetParam(), as_bytes(text));
  EXPECT_TRUE(decompress(GetParam(), fits, kLimit));
  const Result<Buffer> refused = decompress(GetParam(), beyond, kLimit);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::too_large);
  for (const size_t limit : {size_t{0}, size_t{1}, size_t{16'383}, size_t{16'384}, size_t{16'385}}) {
    const auto below = as_bytes(text).first(limit);
    EXPECT_TRUE(decompress(GetParam(), compressed(GetParam(), below), limit)) << limit;
    const Buffer one_more = compressed(GetParam(), as_bytes(text).first(limit + 1));
    EXPECT_EQ(decompress(GetParam(), one_more, limit).error().code(), StatusCode::too_large) << limit;
  }
}

TEST_P(EachRealCodec, bombs_are_refused_at_the_limit) {
  const std::string zeros(64 * kMebibyte, '\0');
  const Buffer bomb = compressed(GetParam(), as_bytes(zeros));
  EXPECT_LT(bomb.size(), zeros.size() / 15);
  const Result<Buffer> refused = decompress(GetParam(), bomb, kMebibyte);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::too_large);
}

TEST_P(EachRealCodec, damage_is_an_error_never_other_bytes) {
  const std::string text = text_of_size(70'000);
  const Buffer packed = compressed(GetParam(), as_bytes(text));
  EXPECT_FALSE(decompress(GetParam(), {}, kMebibyte));
  EXPECT_FALSE(decompress(GetParam(), as_bytes("no codec writes this"), kMebibyte));
  for (size_t size = 1; size < packed.size(); size += 97) {
    const Result<Buffer> cut = decompress(GetParam(), packed.view().first(size), kMebibyte);
    if (!cut) {
      EXPECT_EQ(cut.error().code(), StatusCode::corrupt) << size;
    } else {
      EXPECT_LT(cut->size(), text.size());  // snappy's blocks end at block boundaries
    }
  }
  if (GetParam() == Codec::gzip) {
    Buffer flipped = Buffer::copy_of(packed);
    flipped.data()[packed.size() / 2] ^= 1;
    EXPECT_EQ(decompress(GetParam(), flipped, kMebibyte).error().code(), StatusCode::corrupt);
  }
}

TEST_P(EachRealCodec, concatenated_streams_are_read_as_one) {
  Buffer both = compressed(GetParam(), as_bytes("first,"));
  both.append(compressed(GetParam(), as_bytes("second")));
  const Result<Buffer> back = decompress(GetParam(), both, 12);
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(as_text(*back), "first,second");
  EXPECT_EQ(decompress(GetParam(), both, 11).error().code(), StatusCode::too_large);
}

TEST_P(EachRealCodec, levels_out_of_range_are_the_nearest) {
  const std::string text = text_of_size(10'000);
  for (const int level : {-200'000, 0, 1, 9, 1'000}) {
    const Buffer packed = compressed(GetParam(), as_bytes(text), level);
    EXPECT_EQ(as_text(*decompress(GetParam(), packed, text.size())), text) << level;
  }
}

TEST(Snappy, a_raw_block_is_read_too) {
  std::string raw;
  const std::string text = text_of_size(100'000);
  snappy::Compress(text.data(), text.size(), &raw);
  EXPECT_EQ(as_text(*decompress(Codec::snappy, as_bytes(raw), text.size())), text);
  EXPECT_EQ(decompress(Codec::snappy, as_bytes(raw), text.size() - 1).error().code(), StatusCode::too_large);
}

TEST(Snappy, a_size_no_block_can_hold_is_damage_before_memory_is_taken) {
  const uint8_t lie[] = {0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 'x'};  // 2 GiB - 1 in two bytes
  EXPECT_EQ(decompress(Codec::snappy, lie, size_t{1} << 31).error().code(), StatusCode::corrupt);
}

TEST(Codec, names) {
  for (int i = 0; i <= kMaxCodec; ++i)
    EXPECT_EQ(codec_by_name(codec_name(static_cast<Codec>(i))), static_cast<Codec>(i));
  EXPECT_EQ(codec_by_name("brotli"), std::nullopt);
  EXPECT_EQ(codec_name(static_cast<Codec>(7)), "unknown");
  EXPECT_EQ(decompress(static_cast<Codec>(7), {}, 1).error().code(), StatusCode::invalid);
  Buffer out;
  EXPECT_EQ(compress(static_cast<Codec>(7), 0, {}, out).code(), StatusCode::invalid);
}

}  // namespace
}  // namespace sluice::records
