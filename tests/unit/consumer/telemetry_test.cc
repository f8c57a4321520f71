// SPDX-License-Identifier: Apache-2.0
// What telemetry hears of a consumer is what its responses said.
#include <gtest/gtest.h>

#include "../support/metrics.hpp"
#include "scripted_source.hpp"
#include "sluice/consumer.hpp"

namespace sluice {
namespace {

using testing::ScriptedSource;
using testing::sum;

TEST(ConsumerTelemetry, CountsAreThoseOfTheResponses) {
  const std::shared_ptr<Telemetry> telemetry = std::move(Telemetry::make().value());
  const auto good = std::make_shared<ScriptedSource>("good");
  const auto bad = std::make_shared<ScriptedSource>("bad");
  good->add_records(50);
  for (int i = 0; i < 7; ++i) good->add(ScriptedSource::Kind::corrupt);
  good->add_records(50);
  good->seal();
  bad->add_records(5);
  bad->fail_next(Status(StatusCode::denied, "no right to read", 13));
  ConsumerConfig config;
  config.name = "audit";
  config.telemetry = telemetry;
  int seen = 0;
  auto consumer = MergingConsumer::create(config, {good, bad}, {}, [&](const Record&) { return seen++ % 2 == 0; });
  ASSERT_TRUE(consumer);
  uint64_t delivered = 0;
  uint64_t rejected = 0;
  uint64_t corrupt = 0;
  for (bool done = false; !done;) {
    PollRequest request;
    request.max_records = 9;
    const auto response = (*consumer)->poll(request);
    ASSERT_TRUE(response);
    delivered += response->records.size();
    rejected += response->rejected;
    corrupt += response->corrupt;
    done = response->done;
  }
  EXPECT_EQ(delivered, 50U);
  TelemetrySnapshot snapshot = telemetry->snapshot();
  const Attributes mine = {{"messaging.consumer.group.name", "audit"}};
  EXPECT_EQ(sum(snapshot, semconv::kConsumedMessages, mine), static_cast<int64_t>(delivered));
  EXPECT_EQ(sum(snapshot, "sluice.consumer.rejected", mine), static_cast<int64_t>(rejected));
  EXPECT_EQ(sum(snapshot, "sluice.consumer.corrupt", mine), static_cast<int64_t>(corrupt));
  EXPECT_EQ(sum(snapshot, "sluice.consumer.lost", mine), 0);
  EXPECT_EQ(sum(snapshot, "sluice.consumer.shards", mine), 2);
  EXPECT_EQ(sum(snapshot, "sluice.consumer.troubled", {{"sluice.condition", "failed"}}), 1);
  EXPECT_EQ(sum(snapshot, "sluice.consumer.buffered", mine), static_cast<int64_t>((*consumer)->buffered_bytes()));
  EXPECT_EQ(sum(snapshot, semconv::kOperationDuration, {{"messaging.operation.name", "receive"}}),
            static_cast<int64_t>(good->reads() + bad->reads() + 2));  // and where they begin
  EXPECT_EQ(sum(snapshot, "sluice.failures", {{"error.type", "denied"}}), 1);
  ASSERT_EQ(snapshot.failures.size(), 1U);
  EXPECT_EQ(snapshot.failures[0].shard, "bad");
  EXPECT_EQ(snapshot.failures[0].native_code, 13);
  EXPECT_GT(snapshot.failures[0].elapsed_ns, 0);
  consumer->reset();
  snapshot = telemetry->snapshot();
  EXPECT_EQ(sum(snapshot, semconv::kConsumedMessages), static_cast<int64_t>(delivered));
  EXPECT_EQ(sum(snapshot, "sluice.consumer.shards"), -1);
}

}  // namespace
}  // namespace sluice
