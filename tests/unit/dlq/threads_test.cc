// SPDX-License-Identifier: Apache-2.0
// The queue on its own thread, with producers and a sink on theirs.
#include <gtest/gtest.h>

#include <thread>

#include "support.hpp"

namespace sluice {
namespace {

TEST(DlqThreads, ManyProducersAndALateSinkAreCountedExactly) {
  auto sink = std::make_shared<ScriptedSink>();
  sink->hold = true;
  int calls = 0;
  sink->on_deliver = [&](const EventBatch& batch) {
    return ++calls % 3 == 0 ? failing(StatusCode::unavailable, static_cast<uint32_t>(batch.size() / 2)) : Delivery();
  };
  DeadLetterSettings settings;
  settings.max_records = 500;
  settings.max_in_flight = 64;
  settings.retry.first_delay_ms = 1;
  settings.retry.max_delay_ms = 2;
  const auto queue = std::move(DeadLetterQueue::open(settings, sink).value());
  std::atomic<bool> ended{false};
  std::thread answering([&] {
    while (!ended) {
      sink->release(true);
      std::this_thread::yield();
    }
  });
  std::atomic<uint64_t> accepted{0};
  std::vector<std::thread> producers;
  for (int producer = 0; producer < 4; ++producer) {
    producers.emplace_back([&] {
      Record record;
      record.value = as_bytes("poison");
      for (int i = 0; i < 2'000; ++i)
        accepted += queue->offer(record, {Status(StatusCode::invalid), "s", 1}).ok() ? 1 : 0;
    });
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_TRUE(queue->close(60'000).ok());
  ended = true;
  answering.join();
  const DeadLetterCounters counters = queue->counters();
  EXPECT_EQ(counters.offered, 8'000U);
  EXPECT_EQ(counters.dropped, 8'000U - accepted);
  EXPECT_EQ(counters.sent, accepted);
  EXPECT_EQ(counters.sent, sink->taken.size());
  EXPECT_EQ(counters.waiting + counters.in_flight + counters.failed, 0U);
  EXPECT_LE(sink->most_in_flight, 64U);
  EXPECT_EQ(sink->closes, 1);
}

TEST(DlqThreads, ASinkThatHangsDoesNotHoldUpTheEnd) {
  auto sink = std::make_shared<ScriptedSink>();
  sink->hold = true;
  auto queue = std::move(DeadLetterQueue::open({}, sink).value());
  ASSERT_TRUE(queue->offer(Record(), {}).ok());
  const auto begin = std::chrono::steady_clock::now();
  while (sink->held_count() == 0 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(queue->close(50).code(), StatusCode::busy);
  queue.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  sink->release(false);
}

}  // namespace
}  // namespace sluice
