// SPDX-License-Identifier: Apache-2.0
// What the adapter makes of errors: librdkafka's mock cluster gives each that it is told to.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "adapter_world.hpp"

namespace sluice::test {
namespace {

constexpr int16_t kProduce = 0;
constexpr int16_t kListOffsets = 2;

class KafkaErrors : public ::testing::Test {
 protected:
  void SetUp() override {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(
        conf, +[](const rd_kafka_t*, int, const char*, const char*) {});
    char text[256];
    host_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    ASSERT_NE(host_, nullptr) << text;
    mock_ = rd_kafka_mock_cluster_new(host_, 1);
    ASSERT_NE(mock_, nullptr);
    ASSERT_EQ(rd_kafka_mock_topic_create(mock_, "orders", 2, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void TearDown() override {
    adapter_.reset();
    rd_kafka_mock_cluster_destroy(mock_);
    rd_kafka_destroy(host_);
  }
  Adapter& adapter(host::OptionInputs inputs = {}) {
    adapter_ = std::make_unique<Adapter>(rd_kafka_mock_cluster_bootstraps(mock_), std::move(inputs));
    const auto started = adapter_->start();
    EXPECT_TRUE(started) << started.error().describe();
    return *adapter_;
  }
  void fail_with(int16_t api, rd_kafka_resp_err_t error, int times = 1) {
    for (int i = 0; i < times; ++i) rd_kafka_mock_push_request_errors(mock_, api, 1, error);
  }
  /// One append that the cluster answers with that error, as often as it is asked.
  host::AppendOutcome append_with(rd_kafka_resp_err_t error) {
    Adapter& one = adapter({{"delivery_timeout", int64_t{4'000}}});
    const auto log = one.ready(topic_of("orders", 0, 2, true));
    EXPECT_TRUE(one.append(*log, numbered("before", 1)).status.ok());
    constexpr int kMoreThanRetries = 1'000;
    fail_with(kProduce, error, kMoreThanRetries);
    const auto failed = one.append(*log, numbered("failed", 3));
    rd_kafka_mock_clear_request_errors(mock_, kProduce);
    // ... and goes on afterwards.
    EXPECT_TRUE(eventually([&] { return one.append(*log, numbered("after", 1)).status.ok(); }));
    return failed;
  }

  rd_kafka_t* host_ = nullptr;
  rd_kafka_mock_cluster_t* mock_ = nullptr;
  std::unique_ptr<Adapter> adapter_;
};

TEST_F(KafkaErrors, StartSaysWhatItFound) {
  Adapter& one = adapter();
  const host::Condition condition = one.storage->condition();
  EXPECT_EQ(condition.kind, SLUICE_KIND_NATIVE);
  EXPECT_EQ(condition.capabilities, SLUICE_CAP_DURABLE | SLUICE_CAP_SHARED);  // it does not tell its settings
  EXPECT_GT(condition.largest_unit, 1'000'000u);
  EXPECT_NE(condition.server.find("kafka"), std::string::npos);
  EXPECT_NE(condition.advice.find("no_rollback"), std::string::npos);
}

TEST_F(KafkaErrors, RefusedByAuthorization) {
  EXPECT_EQ(append_with(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).status.code(), StatusCode::denied);
}
TEST_F(KafkaErrors, TooLargeForTheCluster) {
  EXPECT_EQ(append_with(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE).status.code(), StatusCode::too_large);
}
TEST_F(KafkaErrors, NotEnoughReplicas) {
  const auto failed = append_with(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
  // The records were refused each time, until they were given up.
  EXPECT_TRUE(failed.status.code() == StatusCode::unavailable || failed.status.code() == StatusCode::unknown)
      << failed.status.describe();
}
TEST_F(KafkaErrors, TimedOutIsUnknown) {
  EXPECT_EQ(append_with(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND).status.code(), StatusCode::unknown);
}

// A record that the cluster did not take the first time is sent again by itself, and is there once. One record at a
// time: the mock cluster knows no sequence numbers, and takes the second of two requests when the first was refused,
// whereupon librdkafka rightly holds the first to be stored. Lost replies (B12) are tried on a real broker, in
// broker_test.cc.
TEST_F(KafkaErrors, ATimeoutDoesNotDouble) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  EXPECT_TRUE(one.append(*log, numbered("a", 1)).status.ok());
  fail_with(kProduce, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
  const auto again = one.append(*log, numbered("b", 1));
  EXPECT_TRUE(again.status.ok()) << again.status.describe();
  EXPECT_EQ(one.read_all(*log).size(), 2u);
}

// Of several appends under way the cluster turns some down for a while; their order stays.
TEST_F(KafkaErrors, AppendsUnderWayKeepTheirOrderThroughRetries) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  std::vector<std::string> wanted;
  int64_t last = -1;
  constexpr rd_kafka_resp_err_t kPassing[] = {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                              RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS};
  for (size_t round = 0; round < 6; ++round) {
    fail_with(kProduce, kPassing[round % 2]);
    std::vector<std::future<host::AppendOutcome>> sent;
    for (size_t i = 0; i < 6; ++i) {
      const auto records = numbered(fmt::format("w{}.{}", round, i), 50);
      for (const NativeRecord& record : records) wanted.push_back(*record.value);
      sent.push_back(one.send(*log, records));
    }
    for (auto& each : sent) {
      const auto told = each.get();
      ASSERT_TRUE(told.status.ok()) << told.status.describe();
      EXPECT_GT(told.first_offset, last);
      last = told.last_offset;
    }
  }
  std::vector<std::string> found;
  for (const NativeRecord& record : one.read_all(*log)) found.push_back(record.value.value_or(""));
  EXPECT_EQ(found, wanted);
}

// Those behind an append that is refused are not sent, and may be sent again.
TEST_F(KafkaErrors, NothingIsSentBehindWhatIsRefused) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  std::string bad = batch_of(numbered("bad", 3));
  std::fill(bad.begin() + records::kBatchHeaderBytes, bad.end(), '\xff');
  store_be<uint32_t>(reinterpret_cast<uint8_t*>(bad.data()) + records::layout::kCrc,
                     records::BatchView::parse(as_bytes(bad))->compute_crc());
  auto before = one.send(*log, numbered("before", 1));
  auto refused = one.NativeBroker::send(*log, bad);
  auto behind = one.send(*log, numbered("behind", 1));
  EXPECT_TRUE(before.get().status.ok());
  EXPECT_EQ(refused.get().status.code(), StatusCode::invalid);
  EXPECT_EQ(behind.get().status.code(), StatusCode::unavailable);
  EXPECT_TRUE(one.append(*log, numbered("again", 1)).status.ok());
  const auto all = one.read_all(*log);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].value, "again-0");
}

// A producer that failed for good is replaced.
TEST_F(KafkaErrors, AFatalErrorCostsOneAppend) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  EXPECT_TRUE(one.append(*log, numbered("a", 1)).status.ok());
  for (int round = 0; round < 3; ++round) {
    fail_with(kProduce, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    const auto failed = one.append(*log, numbered("lost", 1));
    if (!failed.status.ok()) {
      const int32_t of = status_class(failed.status.code());
      EXPECT_TRUE(of == 300 || of == 400) << failed.status.describe();
    }
    rd_kafka_mock_clear_request_errors(mock_, kProduce);
    host::AppendOutcome after;
    ASSERT_TRUE(eventually([&] { return (after = one.append(*log, numbered("after", 1))).status.ok(); }))
        << after.status.describe();
  }
}

TEST_F(KafkaErrors, QuestionsThatAreRefused) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  fail_with(kListOffsets, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 10);
  const auto bounds = one.try_bounds(*log);
  ASSERT_FALSE(bounds);
  EXPECT_EQ(bounds.error().code(), StatusCode::denied) << bounds.error().describe();
  rd_kafka_mock_clear_request_errors(mock_, kListOffsets);
  EXPECT_TRUE(eventually([&] { return one.try_bounds(*log).has_value(); }));
}

// A slow cluster delays answers, and loses none.
TEST_F(KafkaErrors, ASlowCluster) {
  Adapter& one = adapter();
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  ASSERT_EQ(rd_kafka_mock_broker_set_rtt(mock_, 1, 300), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto appended = one.append(*log, numbered("slow", 5));
  EXPECT_TRUE(appended.status.ok()) << appended.status.describe();
  EXPECT_EQ(one.read_all(*log).size(), 5u);
}

// B16, B21: a cluster that is away is UNAVAILABLE or UNKNOWN, in time, and comes back by itself.
TEST_F(KafkaErrors, AClusterThatIsAway) {
  Adapter& one = adapter({{"delivery_timeout", int64_t{4'000}}, {"request_timeout", int64_t{3'000}}});
  const auto log = one.ready(topic_of("orders", 0, 2, true));
  EXPECT_TRUE(one.append(*log, numbered("a", 1)).status.ok());
  ASSERT_EQ(rd_kafka_mock_broker_set_down(mock_, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto began = Clock::now();
  const auto refused = one.append(*log, numbered("b", 1));
  EXPECT_TRUE(refused.status.code() == StatusCode::unavailable || refused.status.code() == StatusCode::unknown)
      << refused.status.describe();
  EXPECT_FALSE(one.try_bounds(*log));
  EXPECT_FALSE(one.storage->health());
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(25));
  ASSERT_EQ(rd_kafka_mock_broker_set_up(mock_, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_TRUE(eventually([&] { return one.append(*log, numbered("c", 1)).status.ok(); }));
  EXPECT_TRUE(eventually([&] { return one.storage->health().has_value(); }));
}

}  // namespace
}  // namespace sluice::test
