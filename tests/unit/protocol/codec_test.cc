// SPDX-License-Identifier: Apache-2.0
#include "protocol/codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "message_cases.hpp"
#include "protocol/gen/api_versions.hpp"
#include "protocol/gen/consumer_protocol_subscription.hpp"
#include "protocol/gen/describe_topic_partitions.hpp"
#include "protocol/gen/fetch.hpp"
#include "protocol/gen/join_group.hpp"
#include "protocol/gen/metadata.hpp"
#include "protocol/gen/produce.hpp"
#include "wire.hpp"

namespace sluice::protocol {
namespace {

template <class F>
void for_each_message(F f) {
  for (const auto& message : cases::message_cases()) {
    for (int16_t version = message.min_version; version <= message.max_version; ++version) {
      SCOPED_TRACE(std::string(message.name) + " v" + std::to_string(version));
      f(message, version);
    }
  }
}

TEST(Codec, RandomMessagesComeBackAtEveryVersion) {
  for_each_message([](const cases::MessageCase& message, int16_t version) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      const auto encoded = message.random(seed, version);
      ASSERT_TRUE(encoded.has_value()) << "seed " << seed << ": " << encoded.error().describe();
      const auto recoded = message.recode(*encoded, version);
      ASSERT_TRUE(recoded.has_value());
      EXPECT_EQ(*recoded, *encoded);
    }
  });
}

TEST(Codec, EveryTruncationIsRefused) {
  for_each_message([](const cases::MessageCase& message, int16_t version) {
    for (uint64_t seed = 1; seed <= 2; ++seed) {
      const auto encoded = message.random(seed, version);
      ASSERT_TRUE(encoded.has_value());
      const size_t step = std::max<size_t>(1, encoded->size() / 50);
      for (size_t size = 0; size < encoded->size(); size += step) {
        const auto result = message.recode(std::span(*encoded).first(size), version);
        ASSERT_FALSE(result.has_value()) << "seed " << seed << ", " << size << " of " << encoded->size() << " bytes";
        EXPECT_EQ(result.error().code(), StatusCode::invalid);
      }
    }
  });
}

TEST(Codec, TrailingBytesAreRefused) {
  for_each_message([](const cases::MessageCase& message, int16_t version) {
    auto encoded = message.random(1, version);
    ASSERT_TRUE(encoded.has_value());
    encoded->push_back(std::byte{0});
    const auto result = message.recode(*encoded, version);
    ASSERT_FALSE(result.has_value());
    EXPECT_NE(result.error().text().find("bytes after the end"), std::string::npos) << result.error().text();
  });
}

TEST(Codec, VersionsOutsideTheRangeAreRefused) {
  for (const auto& message : cases::message_cases()) {
    for (const int version : {message.min_version - 1, message.max_version + 1, -32768, 32767}) {
      const auto decoded = message.recode({}, static_cast<int16_t>(version));
      ASSERT_FALSE(decoded.has_value());
      EXPECT_EQ(decoded.error().code(), StatusCode::unsupported);
      const auto encoded = message.random(1, static_cast<int16_t>(version));
      ASSERT_FALSE(encoded.has_value());
      EXPECT_EQ(encoded.error().code(), StatusCode::unsupported);
    }
  }
  EXPECT_FALSE(encode_response(ProduceResponse{}, 2, 1).has_value());
  EXPECT_EQ(decode<FetchRequest>({}, 19).error().text(), "FetchRequest has versions 4 to 18, not 19");
}

TEST(Codec, FlippedBytesNeverDoHarm) {
  for_each_message([](const cases::MessageCase& message, int16_t version) {
    const auto encoded = message.random(5, version);
    ASSERT_TRUE(encoded.has_value());
    const size_t step = std::max<size_t>(1, encoded->size() / 40);
    for (size_t at = 0; at < encoded->size(); at += step) {
      for (const int value : {0x00, 0x7f, 0x80, 0xff}) {
        Wire changed = *encoded;
        changed[at] = static_cast<std::byte>(value);
        const auto described = message.describe(changed, version);
        if (described) {
          EXPECT_LE(described->size(), kMaxDescriptionBytes + message.name.size());
        }
      }
    }
  });
}

TEST(Codec, UnknownTaggedFieldsAreSkipped) {
  MetadataRequest request;
  request.topics.emplace().push_back({.topic_id = {}, .name = "orders"});
  Wire bytes = encode(request, 9)->to_vector();
  ASSERT_EQ(bytes.back(), std::byte{0});
  bytes.pop_back();
  bytes = bytes + wire({2, 3, 2, 0xaa, 0xbb, 100, 0});
  const auto decoded = decode<MetadataRequest>(bytes, 9);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().describe();
  EXPECT_EQ(*decoded, request);
}

TEST(Codec, ATagOfALaterVersionIsUnknownBefore) {
  FetchRequest request;
  request.topics.resize(1);
  request.topics[0].partitions.resize(1);
  request.topics[0].partitions[0].high_watermark = 5;  // tag 1, from version 18
  const auto old = decode<FetchRequest>(encode(request, 18)->to_vector(), 17);
  ASSERT_TRUE(old.has_value()) << old.error().describe();
  EXPECT_EQ(old->topics[0].partitions[0].high_watermark, std::numeric_limits<int64_t>::max());
}

TEST(Codec, FieldsThatAVersionLacksAreLeftOut) {
  JoinGroupRequest request;
  request.group_id = "g";
  request.group_instance_id = "i";
  request.reason = "because";
  const auto old = decode<JoinGroupRequest>(encode(request, 4)->to_vector(), 4);
  ASSERT_TRUE(old.has_value());
  EXPECT_EQ(old->group_instance_id, std::nullopt);
  EXPECT_EQ(old->reason, std::nullopt);
  EXPECT_EQ(old->rebalance_timeout_ms, request.rebalance_timeout_ms);
}

TEST(Codec, NullableStructures) {
  DescribeTopicPartitionsRequest request;
  EXPECT_EQ(encode(request, 0)->to_vector(), wire({1, 0, 0, 0x07, 0xd0, 0xff, 0}));
  request.cursor = {.topic_name = "t", .partition_index = 3};
  Wire bytes = encode(request, 0)->to_vector();
  EXPECT_EQ(bytes, wire({1, 0, 0, 0x07, 0xd0, 1, 2, 't', 0, 0, 0, 3, 0, 0}));
  bytes[5] = std::byte{2};
  const auto decoded = decode<DescribeTopicPartitionsRequest>(bytes, 0);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().text(),
            "DescribeTopicPartitionsRequest v0: cursor: presence is neither 1 nor -1, at byte 5");
}

TEST(Codec, FetchResponsesLendTheirRecords) {
  const std::string batch(5000, 'b');
  FetchResponse response;
  response.topics.resize(1);
  response.topics[0].topic = "t";
  response.topics[0].partitions.resize(2);
  response.topics[0].partitions[1].records.slices = {Bytes(std::string_view(batch))};
  const auto frame = encode_response(response, 11, 77);
  ASSERT_TRUE(frame.has_value());
  EXPECT_TRUE(std::any_of(frame->segments().begin(), frame->segments().end(), [&](const auto& segment) {
    return segment.data() == reinterpret_cast<const std::byte*>(batch.data()) && segment.size() == batch.size();
  }));

  const Wire bytes = frame->to_vector();
  const auto header = decode_response_header(std::span(bytes).subspan(4), ApiKey::kFetch, 11);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->correlation_id, 77);
  const auto decoded = decode<FetchResponse>(header->body, 11);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, response);
  // Without records a partition has none, which is not null.
  EXPECT_FALSE(decoded->topics[0].partitions[0].records.is_null);
}

TEST(Codec, RequestsAreViewsIntoTheFrameAndCanBeStampedThere) {
  ProduceRequest request;
  request.topics.push_back({.name = "orders", .topic_id = {}, .partitions = {}});
  request.topics[0].partitions.push_back({.index = 1, .records = Bytes(std::string_view("batch"))});
  Wire frame = encode_request(request, 9, 1, "me")->to_vector();
  const auto incoming = decode_request_header(std::span(frame).subspan(4));
  ASSERT_TRUE(incoming.has_value());
  const auto decoded = decode<ProduceRequest>(incoming->body, incoming->api_version);
  ASSERT_TRUE(decoded.has_value());
  const Bytes records = *decoded->topics[0].partitions[0].records;
  const auto stamped = mutable_view(frame, records);
  ASSERT_EQ(stamped.size(), records.size());
  stamped[0] = std::byte{'B'};
  EXPECT_EQ(records.text(), "Batch");
  EXPECT_TRUE(mutable_view(std::span(frame).first(8), records).empty());
  EXPECT_TRUE(mutable_view(frame, Bytes(std::string_view("elsewhere"))).empty());
}

TEST(Codec, ConsumerSubscriptionsFollowTheirOwnVersion) {
  const Wire bytes = wire({0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff});
  const auto subscription = decode<ConsumerProtocolSubscription>(bytes, 0);
  ASSERT_TRUE(subscription.has_value()) << subscription.error().describe();
  EXPECT_EQ(subscription->topics, std::vector<std::string_view>{"t"});
  EXPECT_EQ(subscription->user_data, std::nullopt);
}

}  // namespace
// Captured from confluent-kafka 2.16.1 (librdkafka): Metadata v13 for no topics, with one byte after the message. Kafka's brokers
// pass over it, and so do ours.
TEST(Codec, RequestsMayHaveBytesAfterTheMessage) {
  const std::array<std::byte, 5> body = {std::byte{1}, std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}};
  EXPECT_FALSE(decode<MetadataRequest>(body, 13));
  auto request = decode_front<MetadataRequest>(body, 13);
  ASSERT_TRUE(request) << request.error().describe();
  EXPECT_TRUE(request->topics && request->topics->empty());
  EXPECT_TRUE(request->allow_auto_topic_creation);
}

}  // namespace sluice::protocol
