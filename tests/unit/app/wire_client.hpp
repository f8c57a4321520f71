// SPDX-License-Identifier: Apache-2.0
// A blocking client of the Kafka protocol, one request at a time, and a folder that goes when the test ends.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "../support/folder.hpp"
#include "net_fixture.hpp"
#include "protocol/codec.hpp"
#include "protocol/gen/fetch.hpp"
#include "protocol/gen/produce.hpp"
#include "support/batches.hpp"

namespace sluice::app::testing {

class WireClient {
 public:
  explicit WireClient(uint16_t port) : socket_(port) { EXPECT_TRUE(socket_.connected()); }

  template <class Request>
  bool send(const Request& request, int16_t version) {
    return socket_.send(frame(request, version));
  }
  /// nullopt: the connection ended. What the answer views into lives as long as the client.
  template <class Response>
  std::optional<Response> receive(int16_t version) {
    auto body = socket_.receive_frame();
    if (!body) return std::nullopt;
    bytes_.push_back(std::move(*body));
    const auto incoming =
        protocol::decode_response_header(std::as_bytes(std::span(bytes_.back())), Response::kKey, version);
    EXPECT_TRUE(incoming) << incoming.error().describe();
    if (!incoming) return std::nullopt;
    const auto response = protocol::decode<Response>(incoming->body, version);
    EXPECT_TRUE(response) << response.error().describe();
    if (!response) return std::nullopt;
    return *response;
  }
  template <class Response, class Request>
  Response ask(const Request& request, int16_t version) {
    EXPECT_TRUE(send(request, version));
    auto response = receive<Response>(version);
    EXPECT_TRUE(response) << "no answer to " << Request::kName;
    return response.value_or(Response{});
  }

  /// One record, acks=all. nullopt: the connection ended.
  std::optional<protocol::ProduceResponse::Partition> produce(std::string_view topic) {
    if (!send_produce(topic)) return std::nullopt;
    auto response = receive<protocol::ProduceResponse>(kProduceVersion);
    if (!response) return std::nullopt;
    return response->topics.at(0).partitions.at(0);
  }
  bool send_produce(std::string_view topic) {
    const auto append = sluice::testing::make_append(
        {std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
             .count()});
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 10'000;
    auto& partition = request.topics.emplace_back().partitions.emplace_back();
    request.topics[0].name = topic;
    partition.records = protocol::Bytes(std::as_bytes(std::span(append.batch)));
    return send(request, kProduceVersion);
  }
  protocol::FetchResponse::Partition fetch(std::string_view topic, int64_t offset, int32_t leader_epoch = -1) {
    // Answered at once where there is data or an error; a partition that is loaded first may take its time.
    constexpr int32_t kMaxWaitMs = 10'000;
    const auto response =
        ask<protocol::FetchResponse>(fetch_request(topic, offset, leader_epoch, kMaxWaitMs), kFetchVersion);
    return response.topics.empty() ? protocol::FetchResponse::Partition{} : response.topics[0].partitions.at(0);
  }
  static protocol::FetchRequest fetch_request(std::string_view topic, int64_t offset, int32_t leader_epoch,
                                              int32_t max_wait_ms) {
    protocol::FetchRequest request;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = 1;
    request.topics.emplace_back().topic = topic;
    auto& partition = request.topics[0].partitions.emplace_back();
    partition.fetch_offset = offset;
    partition.current_leader_epoch = leader_epoch;
    partition.partition_max_bytes = 1 << 20;
    return request;
  }

  const net::Client& socket() const { return socket_; }

  static constexpr int16_t kProduceVersion = 9;
  static constexpr int16_t kFetchVersion = 12;

 private:
  template <class Request>
  static std::string frame(const Request& request, int16_t version) {
    auto output = protocol::encode_request(request, version, 1, "test");
    EXPECT_TRUE(output) << output.error().describe();
    const auto bytes = output->to_vector();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  net::Client socket_;
  std::deque<std::string> bytes_;
};

}  // namespace sluice::app::testing
