// SPDX-License-Identifier: Apache-2.0
// Bytes that other implementations made, in both directions: each vector is decoded, and encoding the result gives the
// same bytes again. The files in vectors/ say how they were made; a line is
//
//     MESSAGE VERSION VARIANT HEX      a message alone ("-": no bytes)
//     frame CLIENT HEX                 a request as a client sent it, header included, without the frame's length
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "message_cases.hpp"
#include "protocol/codec.hpp"
#include "protocol/gen/api_versions.hpp"
#include "protocol/gen/consumer_protocol_subscription.hpp"
#include "protocol/gen/fetch.hpp"
#include "protocol/gen/produce.hpp"

namespace sluice::protocol {
namespace {

using Wire = std::vector<std::byte>;

struct Vector {
  std::string message;  // "frame" for a request with its header
  int16_t version = 0;
  std::string variant;
  Wire bytes;
};

Wire from_hex(const std::string& text) {
  Wire bytes;
  if (text == "-") return bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<Vector> load(const std::string& file) {
  std::ifstream input(std::filesystem::path(SLUICE_VECTORS) / file);
  EXPECT_TRUE(input.is_open()) << file;
  std::vector<Vector> vectors;
  for (std::string line; std::getline(input, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    Vector vector;
    std::string hex;
    words >> vector.message;
    if (vector.message != "frame") words >> vector.version;
    words >> vector.variant >> hex;
    vector.bytes = from_hex(hex);
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

const Wire& find(const std::vector<Vector>& vectors, std::string_view message, int16_t version,
                 std::string_view variant) {
  static const Wire kNone;
  for (const Vector& vector : vectors) {
    if (vector.message == message && vector.version == version && vector.variant == variant) return vector.bytes;
  }
  ADD_FAILURE() << "no vector " << message << " v" << version << " " << variant;
  return kNone;
}

/// Decodes and encodes each vector of a file; the file must cover every message at every version.
void expect_same_bytes(const std::string& file) {
  std::set<std::pair<std::string, int16_t>> seen;
  for (const Vector& vector : load(file)) {
    SCOPED_TRACE(fmt::format("{}: {} v{} {}", file, vector.message, vector.version, vector.variant));
    const auto* message = cases::find_message_case(vector.message);
    ASSERT_NE(message, nullptr);
    const auto recoded = message->recode(vector.bytes, vector.version);
    ASSERT_TRUE(recoded.has_value()) << recoded.error().describe();
    EXPECT_TRUE(*recoded == vector.bytes) << message->describe(vector.bytes, vector.version).value();
    seen.emplace(vector.message, vector.version);
  }
  for (const auto& message : cases::message_cases()) {
    for (int16_t version = message.min_version; version <= message.max_version; ++version) {
      EXPECT_TRUE(seen.count({std::string(message.name), version}) || message.name.ends_with("Header"))
          << file << " lacks " << message.name << " v" << version;
    }
  }
}

TEST(Vectors, JavaClient) {
  expect_same_bytes("java.txt");
}

TEST(Vectors, FranzGo) {
  expect_same_bytes("franz-go.txt");
}

/// The same fields land in the same places: spot checks on what the generator is known to have put there.
TEST(Vectors, FieldsMeanTheSame) {
  const auto java = load("java.txt");
  const auto produce = decode<ProduceRequest>(find(java, "ProduceRequest", 9, "filled"), 9);
  ASSERT_TRUE(produce.has_value());
  EXPECT_EQ(produce->transactional_id, "text-ä-1");
  EXPECT_EQ(produce->acks, 42);
  EXPECT_EQ(produce->timeout_ms, 0x03030303);
  ASSERT_EQ(produce->topics.size(), 2U);
  EXPECT_EQ(produce->topics[0].partitions[1].index, 0x0c0c0c0c);
  EXPECT_EQ(produce->topics[0].partitions[0].records->size(), 3U);

  const auto nulls = decode<ProduceRequest>(find(java, "ProduceRequest", 13, "nulls"), 13);
  ASSERT_TRUE(nulls.has_value());
  EXPECT_EQ(nulls->transactional_id, std::nullopt);
  EXPECT_EQ(nulls->topics[1].partitions[1].records, std::nullopt);

  const auto fetch = decode<FetchRequest>(find(java, "FetchRequest", 4, "default"), 4);
  ASSERT_TRUE(fetch.has_value());
  EXPECT_EQ(*fetch, FetchRequest{});

  const auto versions = decode<ApiVersionsResponse>(find(java, "ApiVersionsResponse", 4, "default"), 4);
  ASSERT_TRUE(versions.has_value());
  EXPECT_EQ(*versions, ApiVersionsResponse{});
}

TEST(Vectors, RequestsOfRealClients) {
  std::map<std::string, std::set<std::string>> apis_by_client;
  for (const Vector& vector : load("clients.txt")) {
    SCOPED_TRACE(vector.variant);
    const auto incoming = decode_request_header(vector.bytes);
    if (!incoming && incoming.error().code() == StatusCode::unsupported) continue;  // an API that the schema lacks
    ASSERT_TRUE(incoming.has_value()) << incoming.error().describe();
    const ApiInfo& api = *incoming->api;
    SCOPED_TRACE(fmt::format("{} v{}", api.name, incoming->api_version));
    apis_by_client[vector.variant].emplace(api.name);
    if (!api.serves(incoming->api_version)) continue;
    const auto* message = cases::find_message_case(std::string(api.name) + "Request");
    ASSERT_NE(message, nullptr);
    const auto body = message->recode(incoming->body, incoming->api_version);
    ASSERT_TRUE(body.has_value()) << body.error().describe();

    Writer writer;
    write_request_header(writer, api.key, incoming->api_version, incoming->correlation_id, incoming->client_id);
    Wire frame = std::move(writer).finish(false)->to_vector();
    frame.insert(frame.end(), body->begin(), body->end());
    EXPECT_TRUE(frame == vector.bytes) << message->describe(incoming->body, incoming->api_version).value();
  }
  for (const auto* client : {"librdkafka", "kafka-python", "kafka-python-2.0.2", "aiokafka", "kcat"}) {
    const auto& apis = apis_by_client[client];
    for (const auto* api : {"Metadata", "Produce", "Fetch", "ListOffsets", "JoinGroup", "SyncGroup", "Heartbeat",
                            "OffsetCommit", "OffsetFetch", "FindCoordinator", "LeaveGroup"}) {
      EXPECT_TRUE(apis.count(api)) << client << " has no " << api;
    }
  }
}

}  // namespace
}  // namespace sluice::protocol
