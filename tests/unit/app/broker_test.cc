// SPDX-License-Identifier: Apache-2.0
// Whole brokers in this process: what they say when they cannot start, what they do when they stop, and what clients
// see when a storage forgot.
#include "app/broker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "protocol/gen/list_offsets.hpp"
#include "protocol/gen/metadata.hpp"
#include "protocol/gen/offset_commit.hpp"
#include "protocol/gen/offset_fetch.hpp"
#include "protocol/gen/offset_for_leader_epoch.hpp"
#include "wire_client.hpp"

namespace sluice::app {
namespace {

using ::testing::AllOf;
using test::Folder;
using ::testing::HasSubstr;
using testing::WireClient;

constexpr int64_t kPatienceMs = net::kPatienceMs;

class BrokerTest : public ::testing::Test {
 protected:
  void TearDown() override { broker_.reset(); }

  Options options(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"--data-dir",  folder.path() + "/data", "--listen",
                                       "127.0.0.1:0", "--override",  "offsets.topic.num.partitions=2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto parsed = parse_options(arguments, {});
    EXPECT_TRUE(parsed) << parsed.error().describe();
    return *parsed;
  }
  Status start(Options with) {
    broker_.reset();
    broker_ = std::make_unique<BrokerApp>(std::move(with), [this](int, const std::string& text) {
      std::lock_guard lock(mutex_);
      lines_ += text + "\n";
    });
    return broker_->start();
  }
  bool stop() { return broker_->stop(); }
  uint16_t port() { return broker_->listeners().at(0).port; }
  std::string lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  /// Has the topic made, as clients do, and gives the epoch of its leader.
  int32_t leader_epoch(WireClient& client, std::string_view topic) {
    constexpr int16_t kVersion = 9;
    int32_t epoch = -1;
    EXPECT_TRUE(net::eventually([&] {
      protocol::MetadataRequest request;
      request.topics.emplace().emplace_back().name = topic;
      request.allow_auto_topic_creation = true;
      const auto answer = client.ask<protocol::MetadataResponse>(request, kVersion);
      if (answer.topics.empty() || answer.topics[0].partitions.empty()) return false;
      epoch = answer.topics[0].partitions[0].leader_epoch;
      return true;
    }));
    return epoch;
  }
  void produce(WireClient& client, std::string_view topic, int64_t expected_offset) {
    const auto answer = client.produce(topic);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error_code, ErrorCode::kNone);
    EXPECT_EQ(answer->base_offset, expected_offset);
  }
  int64_t end(WireClient& client, std::string_view topic) {
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    request.topics.emplace_back().name = topic;
    request.topics[0].partitions.emplace_back().timestamp = -1;
    const auto answer = client.ask<protocol::ListOffsetsResponse>(request, 5);
    return answer.topics.empty() ? -2 : answer.topics[0].partitions.at(0).offset;
  }

  Folder folder;
  std::unique_ptr<BrokerApp> broker_;

 private:
  std::mutex mutex_;
  std::string lines_;
};

// ---- Start

TEST_F(BrokerTest, ServesStopsAndServesAgain) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(start(options()).ok()) << lines();
    WireClient client(port());
    leader_epoch(client, "orders");
    EXPECT_EQ(end(client, "orders"), round * 2);
    produce(client, "orders", round * 2);
    produce(client, "orders", round * 2 + 1);
    EXPECT_TRUE(stop());
    EXPECT_TRUE(client.socket().at_end());
    EXPECT_TRUE(stop()) << "a second one is harmless";
  }
}

TEST_F(BrokerTest, AMissingPluginIsNamed) {
  const auto plugins = [&](const char* required) {
    return folder.write("plugins.json", std::string(R"({"storages": {"disk": {"library": "disk"},
        "other": {"library": "nowhere", "required": )") +
                                            required + R"(}}, "routes": [{"topics": "o.*", "storage": "other"}],
        "default": "disk"})");
  };
  const std::string file = plugins("true");
  const Status refused = start(options({"--plugins", file}));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.describe(), AllOf(HasSubstr(file + ": storages.other.library"), HasSubstr("libnowhere.so"),
                                        HasSubstr("no such file")));
  EXPECT_TRUE(stop());

  plugins("false");
  ASSERT_TRUE(start(options({"--plugins", file})).ok());
  EXPECT_THAT(lines(), HasSubstr("going on without storage other"));
  WireClient client(port());
  leader_epoch(client, "orders");
  produce(client, "orders", 0);
  EXPECT_TRUE(stop());
}

TEST_F(BrokerTest, ATakenPortIsNamedAndNothingIsLeftBehind) {
  ASSERT_TRUE(start(options()).ok());
  const std::string taken = "127.0.0.1:" + std::to_string(port());
  Folder other;
  for (const bool admin : {false, true}) {
    std::vector<std::string> arguments{"--data-dir", other.path() + "/data", "--listen", admin ? "127.0.0.1:0" : taken};
    if (admin) arguments.insert(arguments.end(), {"--admin", taken});
    BrokerApp second(*parse_options(arguments, {}), [](int, const std::string&) {});
    const Status refused = second.start();
    EXPECT_FALSE(refused.ok());
    EXPECT_THAT(refused.describe(), AllOf(HasSubstr(taken), HasSubstr("in use")));
    EXPECT_TRUE(second.stop());
  }
  // The directory is free again.
  BrokerApp third(*parse_options({"--data-dir", other.path() + "/data", "--listen", "127.0.0.1:0"}, {}),
                  [](int, const std::string&) {});
  EXPECT_TRUE(third.start().ok());
}

TEST_F(BrokerTest, ALockedDirectoryIsNamed) {
  ASSERT_TRUE(start(options()).ok());
  BrokerApp second(options(), [](int, const std::string&) {});
  const Status refused = second.start();
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.describe(), HasSubstr(folder.path() + "/data"));
  EXPECT_TRUE(second.stop());
  WireClient client(port());
  leader_epoch(client, "orders");
  produce(client, "orders", 0);
}

TEST_F(BrokerTest, ADirectoryThatCannotBeMadeIsNamed) {
  const std::string file = folder.write("file", "");
  auto bad = options();
  bad.data_directory = file + "/data";
  const Status refused = start(std::move(bad));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.describe(), HasSubstr(file + "/data"));
}

TEST_F(BrokerTest, WhatIsAdvertisedIsTold) {
  ASSERT_TRUE(start(options({"--override", "advertised.listeners=PLAINTEXT://broker.example:1234"})).ok());
  WireClient client(port());
  protocol::MetadataRequest request;
  request.topics.emplace();
  const auto answer = client.ask<protocol::MetadataResponse>(request, 9);
  ASSERT_EQ(answer.brokers.size(), 1u);
  EXPECT_EQ(answer.brokers[0].host, "broker.example");
  EXPECT_EQ(answer.brokers[0].port, 1234);
}

// ---- Stop

TEST_F(BrokerTest, StopsWithClientsAtWork) {
  ASSERT_TRUE(start(options()).ok());
  {
    WireClient client(port());
    leader_epoch(client, "orders");
    produce(client, "orders", 0);
  }
  constexpr int kProducers = 3;
  std::atomic<int> sending{0};
  std::atomic<int64_t> acknowledged{1};
  std::vector<std::thread> producers;
  for (int i = 0; i < kProducers; ++i) {
    producers.emplace_back([&, p = port()] {
      WireClient client(p);
      for (bool first = true;; first = false) {
        const auto answer = client.produce("orders");
        if (!answer) break;
        if (answer->error_code == ErrorCode::kNone) ++acknowledged;
        if (first) ++sending;
      }
    });
  }
  WireClient idle(port());
  WireClient waiting(port());
  // Waits for more than will come before the stop.
  auto fetch = WireClient::fetch_request("orders", 0, -1, 20'000);
  fetch.min_bytes = 1 << 30;
  ASSERT_TRUE(waiting.send(fetch, WireClient::kFetchVersion));
  ASSERT_TRUE(net::eventually([&] { return sending == kProducers; }));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(stop());
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_LT(took, std::chrono::milliseconds(kPatienceMs / 2)) << "nobody may hold up a stop";
  for (std::thread& producer : producers) producer.join();
  EXPECT_TRUE(idle.socket().at_end());
  ASSERT_TRUE(start(options()).ok());
  WireClient client(port());
  leader_epoch(client, "orders");
  EXPECT_GE(end(client, "orders"), acknowledged.load()) << "what was acknowledged is there";
  EXPECT_TRUE(stop());
}

// ---- A storage that forgets, metadata that does not

TEST_F(BrokerTest, ATopicOnAForgetfulStorageStartsAgainEmpty) {
  const std::string file =
      folder.write("plugins.json", R"({"storages": {"disk": {"library": "disk"}, "memory": {"library": "memory"}},
      "routes": [{"topics": "m.*", "storage": "memory"}], "default": "disk"})");
  ASSERT_TRUE(start(options({"--plugins", file})).ok()) << lines();
  int32_t before = -1;
  const auto group_ready = [&](WireClient& client) {
    return net::eventually([&] {
      protocol::OffsetFetchRequest request;
      request.group_id = "readers";
      return client.ask<protocol::OffsetFetchResponse>(request, 7).error_code == ErrorCode::kNone;
    });
  };
  {
    WireClient client(port());
    before = leader_epoch(client, "m.orders");
    leader_epoch(client, "orders");
    for (int64_t i = 0; i < 5; ++i) {
      produce(client, "m.orders", i);
      produce(client, "orders", i);
    }
    ASSERT_TRUE(group_ready(client));
    protocol::OffsetCommitRequest commit;
    commit.group_id = "readers";
    commit.topics.emplace_back().name = "m.orders";
    commit.topics[0].partitions.emplace_back().committed_offset = 5;
    const auto committed = client.ask<protocol::OffsetCommitResponse>(commit, 7);
    ASSERT_EQ(committed.topics.size(), 1u);
    EXPECT_EQ(committed.topics[0].partitions.at(0).error_code, ErrorCode::kNone);
  }
  EXPECT_TRUE(stop());
  ASSERT_TRUE(start(options({"--plugins", file})).ok()) << lines();
  WireClient client(port());
  // A client that goes on where it was.
  EXPECT_EQ(client.fetch("m.orders", 5, before).error_code, ErrorCode::kFencedLeaderEpoch);
  const int32_t now = leader_epoch(client, "m.orders");
  EXPECT_GT(now, before);
  protocol::OffsetForLeaderEpochRequest question;
  question.topics.emplace_back().topic = "m.orders";
  auto& asked = question.topics[0].partitions.emplace_back();
  asked.current_leader_epoch = now;
  asked.leader_epoch = before;
  const auto told = client.ask<protocol::OffsetForLeaderEpochResponse>(question, 4);
  ASSERT_EQ(told.topics.size(), 1u);
  EXPECT_EQ(told.topics[0].partitions.at(0).error_code, ErrorCode::kNone);
  EXPECT_EQ(told.topics[0].partitions.at(0).end_offset, 0) << "all that the client read is gone";
  // One that knows no epochs, with its committed offset.
  ASSERT_TRUE(group_ready(client));
  protocol::OffsetFetchRequest request;
  request.group_id = "readers";
  request.topics.emplace().emplace_back().name = "m.orders";
  request.topics->at(0).partition_indexes = {0};
  const auto fetched = client.ask<protocol::OffsetFetchResponse>(request, 7);
  ASSERT_EQ(fetched.topics.size(), 1u);
  EXPECT_EQ(fetched.topics[0].partitions.at(0).committed_offset, 5);
  EXPECT_EQ(client.fetch("m.orders", 5).error_code, ErrorCode::kOffsetOutOfRange)
      << "resets as its auto.offset.reset says";
  EXPECT_EQ(end(client, "m.orders"), 0);
  produce(client, "m.orders", 0);
  EXPECT_EQ(client.fetch("m.orders", 0, now).high_watermark, 1);
  EXPECT_THAT(lines(), HasSubstr("m.orders-0: storage \"memory\" forgot its records"));
  // What is on the disk knows nothing of it.
  leader_epoch(client, "orders");
  produce(client, "orders", 5);
  EXPECT_TRUE(stop());
}

}  // namespace
}  // namespace sluice::app
