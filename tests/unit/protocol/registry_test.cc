// SPDX-License-Identifier: Apache-2.0
#include "protocol/registry.hpp"

#include <gtest/gtest.h>

#include "protocol/codec.hpp"
#include "protocol/gen/api_versions.hpp"
#include "protocol/gen/metadata.hpp"
#include "wire.hpp"

namespace sluice::protocol {
namespace {

TEST(Registry, FindsEveryApiByItsKey) {
  int previous = -1;
  for (const ApiInfo& api : all_apis()) {
    const auto key = static_cast<int16_t>(api.key);
    EXPECT_GT(key, previous);
    previous = key;
    EXPECT_EQ(find_api(key), &api);
    EXPECT_LE(api.min_advertised, api.min_served);
    EXPECT_EQ(api.max_advertised, api.max_served);
    EXPECT_TRUE(api.serves(api.min_served) && api.serves(api.max_served));
    EXPECT_FALSE(api.serves(static_cast<int16_t>(api.min_served - 1)));
    EXPECT_FALSE(api.serves(static_cast<int16_t>(api.max_served + 1)));
  }
  EXPECT_EQ(all_apis().size(), 27U);
  EXPECT_EQ(find_api(-1), nullptr);
  EXPECT_EQ(find_api(4), nullptr);
  EXPECT_EQ(find_api(32767), nullptr);
}

TEST(Registry, ProduceIsAdvertisedFromZeroAndServedFromThree) {
  const ApiInfo& produce = api_info(ApiKey::kProduce);
  EXPECT_EQ(produce.min_advertised, 0);
  EXPECT_FALSE(produce.serves(2));
  EXPECT_TRUE(produce.serves(3));
}

TEST(Registry, HeaderVersionsFollowTheBody) {
  const ApiInfo& metadata = api_info(ApiKey::kMetadata);
  EXPECT_EQ(metadata.request_header_version(8), 1);
  EXPECT_EQ(metadata.request_header_version(9), 2);
  EXPECT_EQ(metadata.response_header_version(8), 0);
  EXPECT_EQ(metadata.response_header_version(9), 1);
  // A client reads the answer to ApiVersions before it knows what the broker can do.
  const ApiInfo& api_versions = api_info(ApiKey::kApiVersions);
  EXPECT_EQ(api_versions.request_header_version(3), 2);
  EXPECT_EQ(api_versions.response_header_version(4), 0);
  const ApiInfo& offset_delete = api_info(ApiKey::kOffsetDelete);
  EXPECT_EQ(offset_delete.request_header_version(0), 1);
}

TEST(RequestHeader, ClassicAndFlexible) {
  const Wire classic = wire({0, 3, 0, 8, 0, 0, 0, 5, 0, 2}) + "me" + wire({0xaa});
  auto incoming = decode_request_header(classic);
  ASSERT_TRUE(incoming.has_value()) << incoming.error().describe();
  EXPECT_EQ(incoming->api->key, ApiKey::kMetadata);
  EXPECT_EQ(incoming->api_version, 8);
  EXPECT_EQ(incoming->correlation_id, 5);
  EXPECT_EQ(incoming->client_id, "me");
  EXPECT_EQ(incoming->body, Bytes(std::span(classic).last(1)));

  const Wire flexible = wire({0, 3, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 1, 0, 1, 9, 0xaa});
  incoming = decode_request_header(flexible);
  ASSERT_TRUE(incoming.has_value()) << incoming.error().describe();
  EXPECT_EQ(incoming->client_id, std::nullopt);
  EXPECT_EQ(incoming->body, Bytes(std::span(flexible).last(1)));
}

TEST(RequestHeader, AnUnservedVersionIsStillRead) {
  const Wire future = wire({0, 18, 0, 99, 0, 0, 0, 5, 0, 1, 'c', 0, 1, 2, 3});
  const auto incoming = decode_request_header(future);
  ASSERT_TRUE(incoming.has_value());
  EXPECT_FALSE(incoming->api->serves(incoming->api_version));
  EXPECT_EQ(incoming->correlation_id, 5);
  EXPECT_EQ(incoming->client_id, "c");
}

TEST(RequestHeader, WhatCannotBeReadIsRefused) {
  EXPECT_EQ(decode_request_header({}).error().code(), StatusCode::invalid);
  EXPECT_EQ(decode_request_header(wire({0, 3, 0})).error().code(), StatusCode::invalid);
  const auto unknown = decode_request_header(wire({0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(unknown.error().code(), StatusCode::unsupported);
  EXPECT_EQ(unknown.error().text(), "unknown API key 32512 (version 0)");
  const auto torn = decode_request_header(wire({0, 3, 0, 1, 0, 0, 0, 1, 0, 9, 'x'}));
  EXPECT_EQ(torn.error().code(), StatusCode::invalid);
  EXPECT_NE(torn.error().text().find("client_id"), std::string::npos) << torn.error().text();
}

TEST(RequestHeader, RoundTrip) {
  for (const ApiInfo& api : all_apis()) {
    for (int16_t version = api.min_served; version <= api.max_served; ++version) {
      Writer writer;
      write_request_header(writer, api.key, version, -7, "client");
      writer.write(int8_t{3});
      const Wire frame = std::move(writer).finish(false)->to_vector();
      const auto incoming = decode_request_header(frame);
      ASSERT_TRUE(incoming.has_value());
      EXPECT_EQ(incoming->api, &api);
      EXPECT_EQ(incoming->correlation_id, -7);
      EXPECT_EQ(incoming->body.size(), 1U);

      Writer response;
      write_response_header(response, api.key, version, 12);
      const Wire answer = std::move(response).finish(false)->to_vector();
      const auto header = decode_response_header(answer, api.key, version);
      ASSERT_TRUE(header.has_value());
      EXPECT_EQ(header->correlation_id, 12);
      EXPECT_TRUE(header->body.empty());
    }
  }
}

TEST(ApiVersions, TheAnswerToAnUnknownVersionIsVersionZero) {
  ApiVersionsResponse response;
  response.error_code = ErrorCode::kUnsupportedVersion;
  response.api_keys.push_back({.api_key = 18, .min_version = 0, .max_version = 4});
  const auto frame = encode_response(response, 0, 5);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->to_vector(), wire({0, 0, 0, 16, 0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4}));
}

}  // namespace
}  // namespace sluice::protocol
