// SPDX-License-Identifier: Apache-2.0
// The bus's events into a log: everything arrives, or is told.
#include "sluice/storage_sink.hpp"

#include <fmt/format.h>

#include "deliveries.hpp"

namespace sluice::test {
namespace {

class ToStorage : public testing::TestWithParam<const char*> {
 protected:
  LogWriterSettings settings() const {
    LogWriterSettings made;
    made.log = "events";
    made.state_directory = folder_.path() + "/state";
    return made;
  }
  std::unique_ptr<StorageSink> sink(const LogWriterSettings& settings) {
    auto made = StorageSink::make(host_, settings);
    EXPECT_TRUE(made) << made.error().describe();
    return made ? std::move(*made) : nullptr;
  }
  Drained drain_log(const StorageSink& sink) {
    LogSourceSettings reading;
    reading.log = "events";
    reading.log_id = sink.log_id();
    const auto source = make_log_source(host_, reading);
    EXPECT_TRUE(source) << source.error().describe();
    return source ? drain(**source) : Drained();
  }

  Folder folder_;
  std::shared_ptr<StorageHost> host_ = open_storage(GetParam(), folder_.path() + "/data");
};
INSTANTIATE_TEST_SUITE_P(Adapters, ToStorage, testing::Values("memory", "disk"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(ToStorage, S02_B34_events_arrive_as_they_are) {
  const auto one = sink(settings());
  const Header headers[] = {{"tenant", as_bytes("a")}, {"tenant", as_bytes("b")}, {"null", std::nullopt}};
  bus::BatchBuilder builder;
  Event event;
  event.key = as_bytes("k");
  event.value = as_bytes(std::string_view("\0\xff", 2));
  event.headers = headers;
  builder.add(event, 1'700'000'000'123'456'789);
  builder.add(Event{}, 1'700'000'000'124'000'000);
  ASSERT_TRUE(open(*one).ok());
  const Delivery delivery = deliver(*one, builder.batch());
  EXPECT_TRUE(delivery.status.ok()) << delivery.status.describe();
  EXPECT_EQ(delivery.refused, 0u);
  const Drained drained = drain_log(*one);
  ASSERT_EQ(drained.records.size(), 2u);
  EXPECT_EQ(drained.records[0].key, "k");
  EXPECT_EQ(drained.records[0].value, std::string("\0\xff", 2));
  const decltype(drained.records[0].headers) expected = {{"tenant", "a"}, {"tenant", "b"}, {"null", std::nullopt}};
  EXPECT_EQ(drained.records[0].headers, expected);
  EXPECT_EQ(drained.records[0].timestamp_ns, 1'700'000'000'123'000'000);
  EXPECT_EQ(drained.records[1].value, std::nullopt);
  EXPECT_TRUE(close(*one).ok());
  EXPECT_EQ(deliver(*one, builder.batch()).status.code(), StatusCode::fenced);
}

TEST_P(ToStorage, B10_sixteen_cold_batches_open_the_log_once) {
  const auto one = sink(settings());
  std::vector<std::unique_ptr<Batch>> batches;
  std::vector<std::future<Delivery>> deliveries;
  for (uint64_t shard = 0; shard < 16; ++shard) {
    batches.push_back(std::make_unique<Batch>(std::vector<std::string>{fmt::format("{}", shard)}, shard));
    deliveries.push_back(begin_delivery(*one, *batches.back()));
  }
  for (auto& delivery : deliveries) EXPECT_TRUE(wait_for(delivery, never()).status.ok());
  EXPECT_EQ(one->counters().opened, 1u);
  EXPECT_EQ(one->counters().delivered, 16u);
  EXPECT_EQ(drain_log(*one).records.size(), 16u);
}

TEST_P(ToStorage, a_batch_larger_than_one_of_the_log_and_an_event_that_fits_into_none) {
  auto small = settings();
  small.max_batch_bytes = 4'096;
  small.max_pending_bytes = 4'096;
  const auto one = sink(small);
  std::vector<std::string> values;
  for (int i = 0; i < 100; ++i) values.push_back(std::string(100, 'x'));
  values[50] = std::string(5'000, 'y');
  const Batch batch(values);
  const Delivery delivery = deliver(*one, batch);
  EXPECT_TRUE(delivery.status.ok()) << delivery.status.describe();
  EXPECT_EQ(delivery.refused, 1u);
  EXPECT_EQ(delivery.refusal.code(), StatusCode::too_large);
  EXPECT_EQ(drain_log(*one).records.size(), 99u);
  EXPECT_EQ(one->counters().refused, 1u);
}

TEST_P(ToStorage, B33_a_storage_that_takes_nothing_is_counted_and_flush_reports_it) {
  auto impatient = settings();
  impatient.delivery_timeout_ms = 100;
  const auto one = sink(impatient);
  ASSERT_TRUE(open(*one).ok());
  ASSERT_TRUE(host_->stop(10'000).ok());
  const Batch batch(std::vector<std::string>(10, "v"));
  const Delivery delivery = deliver(*one, batch);
  EXPECT_EQ(delivery.status.code(), StatusCode::unavailable) << delivery.status.describe();
  EXPECT_EQ(delivery.settled, 0u);
  EXPECT_EQ(one->counters().failed, 10u);
  EXPECT_EQ(flush(*one).code(), StatusCode::unavailable);
  ASSERT_TRUE(host_->start());
  EXPECT_TRUE(deliver(*one, batch).status.ok());
  EXPECT_TRUE(flush(*one).ok());
}

TEST_P(ToStorage, S03_everything_sent_is_settled_at_close) {
  const auto one = sink(settings());
  std::atomic<uint64_t> delivered{0}, failed{0};
  std::vector<std::unique_ptr<Batch>> batches;
  for (uint64_t i = 0; i < 1'000; ++i) batches.push_back(std::make_unique<Batch>(std::vector<std::string>{"v"}, i));
  for (auto& batch : batches) {
    one->deliver(*batch, [&](const Delivery& delivery) { ++(delivery.status.ok() ? delivered : failed); });
  }
  EXPECT_TRUE(close(*one).ok());
  EXPECT_EQ(deliver(*one, *batches.front()).status.code(), StatusCode::fenced);
  EXPECT_EQ(delivered + failed, 1'000u);
  EXPECT_EQ(one->counters().delivered, delivered);
}

TEST(ToStorageSettings, B03_fields_are_named_before_anything_is_opened) {
  Folder folder;
  const auto host = open_storage("memory", folder.path() + "/data");
  LogWriterSettings bad;
  bad.log = "events";
  bad.state_directory = "relative";
  EXPECT_EQ(StorageSink::make(host, bad).error().text().rfind("state_directory:", 0), 0u);
  EXPECT_EQ(StorageSink::make(nullptr, bad).error().text().rfind("host:", 0), 0u);
}

}  // namespace
}  // namespace sluice::test
