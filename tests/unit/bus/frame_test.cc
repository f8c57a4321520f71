// SPDX-License-Identifier: Apache-2.0
#include "bus/frame.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bus/batch_builder.hpp"

namespace sluice::bus {
namespace {

TEST(Frame, B34_bytes_come_back_identical_null_and_empty_apart) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  const std::string large(100'000, '\xff');
  const std::vector<Header> headers = {{"a", as_bytes(all)}, {"a", std::nullopt}, {"", Bytes{}}, {all, as_bytes("v")}};
  BatchBuilder builder;
  builder.add({.key = std::nullopt, .value = std::nullopt})
      .add({.key = Bytes{}, .value = Bytes{}})
      .add({.key = as_bytes("k"), .value = as_bytes("null")})
      .add({.key = as_bytes(all), .value = as_bytes(all), .headers = headers})
      .add({.key = as_bytes("k"), .value = as_bytes(large), .headers = headers}, 7);
  const EventBatch batch = builder.batch();
  ASSERT_EQ(batch.size(), 5U);
  EXPECT_FALSE(batch[0].key);
  EXPECT_FALSE(batch[0].value);
  ASSERT_TRUE(batch[1].key);
  ASSERT_TRUE(batch[1].value);
  EXPECT_TRUE(batch[1].key->empty());
  EXPECT_TRUE(batch[1].value->empty());
  EXPECT_EQ(as_text(*batch[2].value), "null");
  for (const size_t i : {3, 4}) {
    const Record record = batch[i];
    EXPECT_EQ(as_text(*record.value), i == 3 ? all : large);
    std::vector<Header> got;
    record.headers.each([&](const Header& header) {
      got.push_back(header);
      return true;
    });
    ASSERT_EQ(got.size(), headers.size());
    for (size_t h = 0; h < got.size(); ++h) {
      EXPECT_EQ(got[h].name, headers[h].name);
      ASSERT_EQ(got[h].value.has_value(), headers[h].value.has_value());
      if (got[h].value) {
        EXPECT_EQ(as_text(*got[h].value), as_text(*headers[h].value));
      }
    }
  }
  EXPECT_EQ(batch[4].timestamp_ns, 7);
}

TEST(Frame, batches_know_their_sequences_and_bytes) {
  BatchBuilder builder("orders", 3, 9, 41);
  builder.add({.key = as_bytes("ab"), .value = as_bytes("cde")}).add({.key = std::nullopt, .value = as_bytes("f")});
  const EventBatch batch = builder.batch(2);
  EXPECT_EQ(batch.first_sequence(), 41U);
  EXPECT_EQ(batch.last_sequence(), 42U);
  EXPECT_EQ(batch.payload_bytes(), 6U);
  EXPECT_EQ(batch.attempt(), 2U);
  EXPECT_EQ(batch.origin().bus, "orders");
  const EventBatch rest = batch.after(1);
  EXPECT_EQ(rest.first_sequence(), 42U);
  EXPECT_EQ(rest.payload_bytes(), 1U);
  EXPECT_EQ(rest[0].position, 42);
}

}  // namespace
}  // namespace sluice::bus
