// SPDX-License-Identifier: Apache-2.0
// Reads batches that other implementations wrote (vectors/README.md), and writes ours for them to read.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "records/builder.hpp"
#include "records/control.hpp"
#include "records/lookup.hpp"
#include "records/validate.hpp"

namespace sluice::records {
namespace {

constexpr int64_t kBase = 1'700'000'000'000;
constexpr size_t kLimitBytes = 1 << 20;

using OptionalText = std::optional<std::string>;

struct Expected {
  int64_t timestamp;
  OptionalText key;
  OptionalText value;
  std::vector<std::pair<std::string, OptionalText>> headers;
};

std::vector<Expected> content(Codec codec) {
  std::vector<Expected> all;
  all.push_back({kBase + 100, "k0", "first", {{"h", "1"}, {"h", std::nullopt}, {"e", ""}}});
  all.push_back({kBase + 400, std::nullopt, "", {}});
  all.push_back({kBase + 250, "", std::nullopt, {}});
  for (int i = 3; i < 20; ++i) {
    std::string value;
    for (int repeat = 0; repeat < 8; ++repeat) value += "value " + std::to_string(i) + ' ';
    all.push_back({kBase + 250, "k" + std::to_string(i), value, {}});
  }
  if (codec != Codec::none) {
    for (const char letter : {'a', 'b'})
      all.push_back({kBase + 399, std::string(1, letter), std::string(40'000, letter), {}});
  }
  return all;
}

Buffer read_vector(const std::string& name) {
  std::ifstream file(std::filesystem::path(SLUICE_VECTORS) / (name + ".hex"));
  EXPECT_TRUE(file.is_open()) << name;
  std::string digits;
  for (std::string line; std::getline(file, line);) digits += line;
  Buffer bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto byte = static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16));
    bytes.append({&byte, 1});
  }
  return bytes;
}

OptionalText text_of(const OptionalBytes& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

OptionalBytes bytes_of(const OptionalText& text) {
  if (!text) return std::nullopt;
  return as_bytes(*text);
}

void expect_content(const BatchView& batch, const std::vector<Expected>& expected) {
  size_t at = 0;
  const Status status = visit_records(batch, kLimitBytes, [&](const RecordView& record) {
    const Expected& want = expected.at(at);
    EXPECT_EQ(record.offset_delta, static_cast<int32_t>(at));
    const bool created = batch.timestamp_type() == TimestampType::create_time;
    EXPECT_EQ(record.timestamp(batch), created ? want.timestamp : batch.max_timestamp());
    EXPECT_EQ(text_of(record.key), want.key);
    EXPECT_EQ(text_of(record.value), want.value);
    std::vector<std::pair<std::string, OptionalText>> headers;
    HeaderIterator iterator = record.headers();
    for (HeaderView header; iterator.next(header);) headers.emplace_back(as_text(header.key), text_of(header.value));
    EXPECT_EQ(headers, want.headers);
    ++at;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.describe();
  EXPECT_EQ(at, expected.size());
}

TEST(Vectors, of_java_and_python_with_every_codec) {
  for (const char* implementation : {"java", "python"}) {
    for (int i = 0; i <= kMaxCodec; ++i) {
      const auto codec = static_cast<Codec>(i);
      SCOPED_TRACE(std::string(implementation) + "-" + std::string(codec_name(codec)));
      const Buffer bytes = read_vector(std::string(implementation) + "-" + std::string(codec_name(codec)));
      const auto info = validate_batch(bytes, {.parse_records = true}, kBase);
      ASSERT_TRUE(info) << batch_error_name(info.error());
      EXPECT_EQ(info->codec, codec);
      EXPECT_EQ(info->max_timestamp, kBase + 400);
      const BatchView batch = *BatchView::parse(bytes);
      expect_content(batch, content(codec));
      EXPECT_EQ(find_max_timestamp(batch, kLimitBytes).value(), (OffsetAndTimestamp{1, kBase + 400}));
    }
  }
}

TEST(Vectors, uncompressed_batches_are_the_same_to_the_byte) {
  BatchBuilder builder({});
  for (const Expected& record : content(Codec::none)) {
    std::vector<HeaderView> headers;
    for (const auto& [key, value] : record.headers) headers.push_back({as_bytes(key), bytes_of(value)});
    ASSERT_TRUE(builder.add({record.timestamp, bytes_of(record.key), bytes_of(record.value), headers}).ok());
  }
  const Buffer ours = *builder.build();
  EXPECT_EQ(as_text(ours), as_text(read_vector("java-none")));
}

TEST(Vectors, append_time_and_transactions_of_java) {
  const Buffer stamped = read_vector("java-append-time");
  EXPECT_EQ(validate_batch(stamped, {}, kBase).error(), BatchError::bad_timestamp_type);
  const auto stamped_info = validate_batch(stamped, {.origin = BatchOrigin::broker}, kBase);
  ASSERT_TRUE(stamped_info);
  EXPECT_EQ(stamped_info->max_timestamp, kBase + 1'000);
  expect_content(*BatchView::parse(stamped), content(Codec::none));
  Buffer by_us = read_vector("java-none");
  stamp_log_append_time(by_us.mutable_view(), kBase + 1'000);
  EXPECT_EQ(as_text(by_us), as_text(stamped)) << "stamping gives what Java writes";

  const auto info = validate_batch(read_vector("java-transactional"), {}, kBase);
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->is_transactional);
  EXPECT_EQ(info->producer_id, 4'711);
  EXPECT_EQ(info->producer_epoch, 5);
  EXPECT_EQ(info->base_sequence, 17);
}

TEST(Vectors, markers_of_java_are_ours_to_the_byte) {
  for (const auto& [name, type] :
       {std::pair{"java-commit-marker", MarkerType::commit}, std::pair{"java-abort-marker", MarkerType::abort}}) {
    const Buffer bytes = read_vector(name);
    const Result<TransactionMarker> marker = parse_marker(*BatchView::parse(bytes));
    ASSERT_TRUE(marker) << name;
    EXPECT_EQ(marker->type, type);
    EXPECT_EQ(marker->coordinator_epoch, 23);
    EXPECT_EQ(as_text(make_marker(*marker, kBase)), as_text(bytes)) << name;
  }
}

TEST(Vectors, of_ours_for_others_to_read) {
  const char* directory = std::getenv("SLUICE_VECTORS_OUT");
  if (directory == nullptr) GTEST_SKIP() << "SLUICE_VECTORS_OUT is not set";
  for (int i = 0; i <= kMaxCodec; ++i) {
    const auto codec = static_cast<Codec>(i);
    BatchBuilder builder({.codec = codec});
    for (const Expected& record : content(codec)) {
      std::vector<HeaderView> headers;
      for (const auto& [key, value] : record.headers) headers.push_back({as_bytes(key), bytes_of(value)});
      ASSERT_TRUE(builder.add({record.timestamp, bytes_of(record.key), bytes_of(record.value), headers}).ok());
    }
    const Buffer bytes = *builder.build();
    std::ofstream file(std::filesystem::path(directory) / ("sluice-" + std::string(codec_name(codec)) + ".hex"));
    for (const uint8_t byte : bytes.view()) file << "0123456789abcdef"[byte >> 4] << "0123456789abcdef"[byte & 15];
  }
}

}  // namespace
}  // namespace sluice::records
