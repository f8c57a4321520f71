// SPDX-License-Identifier: Apache-2.0
// A bus over a storage sink: every event that was accepted is in the log once, or counted, also when the engine is away
// for a while.
#include "bus_world.hpp"
#include "sluice/storage_sink.hpp"

namespace sluice::test {
namespace {

class BusToStorage : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<StorageSink> sink(const std::shared_ptr<StorageHost>& host) {
    LogWriterSettings settings;
    settings.log = "events";
    settings.state_directory = folder_.path() + "/state";
    auto made = StorageSink::make(host, std::move(settings));
    EXPECT_TRUE(made) << made.error().describe();
    return made ? std::move(*made) : nullptr;
  }
  static std::vector<Kept> all_of(const std::shared_ptr<StorageHost>& host, const std::string& log_id) {
    LogSourceSettings reading;
    reading.log = "events";
    reading.log_id = log_id;
    const auto source = make_log_source(host, reading);
    EXPECT_TRUE(source) << source.error().describe();
    return source ? drain(**source).records : std::vector<Kept>();
  }

  Folder folder_;
  std::shared_ptr<StorageHost> host_ = open_storage(GetParam(), folder_.path() + "/data");
};
INSTANTIATE_TEST_SUITE_P(Adapters, BusToStorage, testing::Values("memory", "disk"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(BusToStorage, every_event_is_in_the_log_once_and_in_the_order_of_its_key) {
  constexpr int kEvents = 2'500;
  const auto target = sink(host_);
  auto bus = make_bus(target);
  produce(*bus, 0, kEvents);
  const Status ended = bus->shutdown(kPatienceMs);
  EXPECT_TRUE(ended) << ended.describe();
  const BusStats stats = bus->stats();
  expect_exact(stats, kProducers * kEvents);
  EXPECT_EQ(stats.delivered, stats.accepted);
  EXPECT_EQ(target->counters().delivered, stats.delivered);
  EXPECT_EQ(target->counters().failed + target->counters().refused, 0u);
  expect_each_once_in_order(all_of(host_, target->log_id()), kEvents);
}

TEST_P(BusToStorage, an_engine_that_goes_away_and_comes_back_costs_no_event) {
  constexpr int kEvents = 1'000;
  const auto target = sink(host_);
  auto bus = make_bus(target);
  produce(*bus, 0, kEvents);
  ASSERT_TRUE(bus->drain(kPatienceMs));
  ASSERT_TRUE(host_->stop(kPatienceMs));
  Event event;
  event.key = as_bytes("0");
  event.value = as_bytes("0/1000");
  EXPECT_EQ(bus->ingest(event), Outcome::queued);
  EXPECT_EQ(bus->flush(20).code(), StatusCode::busy);
  EXPECT_EQ(bus->stats().pending, 1u);
  const auto back = host_->start();
  ASSERT_TRUE(back) << back.error().describe();
  const Status flushed = bus->flush(kPatienceMs);
  EXPECT_TRUE(flushed) << flushed.describe();
  const Status ended = bus->shutdown(kPatienceMs);
  EXPECT_TRUE(ended) << ended.describe();
  const BusStats stats = bus->stats();
  expect_exact(stats, kProducers * kEvents + 1);
  EXPECT_EQ(stats.delivered, stats.accepted);
  const auto times = times_of(all_of(host_, target->log_id()));
  EXPECT_EQ(times.at("0/1000"), 1);
  for (const auto& [value, count] : times) EXPECT_EQ(count, 1) << value;
}

}  // namespace
}  // namespace sluice::test
