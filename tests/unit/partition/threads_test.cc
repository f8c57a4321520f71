// SPDX-License-Identifier: Apache-2.0
// One partition used from several loops at the same time, over a storage that answers on threads of its own, refuses
// now and then and loses answers, while leader epochs rise.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "base/thread_loop.hpp"
#include "fake_adapter.hpp"
#include "partition/partitions.hpp"
#include "support/batches.hpp"

namespace sluice::partition {
namespace {

using host::testing::Command;
using host::testing::FakeEngine;
using sluice::testing::batch_offsets;
using sluice::testing::kTestTimeMs;
using sluice::testing::make_append;

constexpr auto kDeadline = std::chrono::seconds(60);

class PartitionThreads : public ::testing::Test {
 protected:
  static constexpr int kProducers = 4;
  static constexpr int kBatches = 40;
  static constexpr int kEpochs = 5;
  static constexpr int kReads = 60;
  static constexpr int64_t kRetryMs = 5;

  void SetUp() override {
    auto config = storage::parse_plugins_config(
        R"({"storages": {"meta": {"library": "fake"}, "data": {"library": "fake"}}, "default": "data", "internal": "meta"})",
        "plugins.json");
    ASSERT_TRUE(config);
    const auto open = [](FakeEngine& engine, const char* name) {
      auto options = engine.options();
      options.name = name;
      return engine.start(std::move(options));
    };
    storages = storage::Storages::of(std::move(*config), {}, {open(meta, "meta"), open(data, "data")});
    cluster::ClusterOptions options;
    options.random = [this] { return random(); };
    cluster = std::make_unique<cluster::Cluster>(*storages, loops[0], std::move(options));
    ASSERT_TRUE(cluster->bind().ok());
    context.reset(new PartitionContext{*cluster, system_clock(), {}});
    partitions = std::make_unique<Partitions>(*context);
    cluster->on_change([this](const auto& before, const auto& after) { partitions->changed(before, after); });
    ASSERT_TRUE(run<Status>(loops[0], [this] { return cluster->start(); }).ok());
    cluster::NewTopic topic;
    topic.name = "t";
    topic.partitions = 1;
    ASSERT_TRUE(run<cluster::ClusterResult<cluster::TopicPtr>>(loops[0],
                                                               [&] { return cluster->create_topic(topic, loops[0]); }));
  }
  void TearDown() override {
    EXPECT_TRUE(storages->stop(20'000).ok());
    for (ThreadLoop& loop : loops) loop.stop();
    partitions.reset();
    context.reset();
    cluster.reset();
    storages.reset();
  }

  template <class T>
  std::future<T> begin(Loop& loop, std::function<Task<T>()> make) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    loop.post([make = std::move(make), promise] {
      start(make(), [promise](T value) { promise->set_value(std::move(value)); });
    });
    return future;
  }
  template <class T>
  T run(Loop& loop, std::function<Task<T>()> make) {
    return finish(begin<T>(loop, std::move(make)));
  }
  template <class T>
  T finish(std::future<T> future) {
    if (future.wait_for(kDeadline) != std::future_status::ready) {
      ADD_FAILURE() << "no answer";
      std::abort();
    }
    return future.get();
  }

  /// Sends batch after batch, each until it is acknowledged. Gives their offsets.
  Task<std::vector<int64_t>> produce(int64_t id, Loop& loop) {
    std::vector<int64_t> offsets;
    while (offsets.size() < kBatches) {
      auto request =
          std::make_shared<AppendRequest>(make_append({kTestTimeMs}, {id, 0, static_cast<int32_t>(offsets.size())}));
      request->executor = &loop;
      const auto outcome = co_await suspend_until<ProduceOutcome>(loop, [&](Resumer<ProduceOutcome> resume) {
        request->done = [resume](ProduceOutcome answer) { resume(std::move(answer)); };
        partitions->find(cluster->state().topic("t"), 0)->append(std::move(*request), loop);
      });
      if (outcome.error == ErrorCode::kNone) {
        offsets.push_back(outcome.base_offset);
      } else {
        co_await sleep_for(loop, kRetryMs);
      }
    }
    co_return offsets;
  }
  Task<int> consume(Loop& loop) {
    int good = 0;
    for (int i = 0; i < kReads; ++i) {
      const auto partition = partitions->find(cluster->state().topic("t"), 0);
      const ReadOutcome outcome = co_await partition->read({}, loop);
      if (outcome.error == ErrorCode::kNone) {
        ++good;
        int64_t next = 0;
        for (const int64_t offset : batch_offsets(outcome)) EXPECT_EQ(offset, next++);
        EXPECT_EQ(outcome.high_watermark, next) << "a whole log, as far as it was acknowledged";
        auto waiter = std::make_shared<FetchWaiter>(1, loop, [] {});
        partition->add_waiter(waiter, outcome.high_watermark);
        co_await sleep_for(loop, 1);
        partition->remove_waiter(waiter);
      } else {
        co_await sleep_for(loop, kRetryMs);
      }
    }
    co_return good;
  }
  Task<bool> raise_epochs(Loop& loop) {
    for (int i = 0; i < kEpochs; ++i) {
      co_await sleep_for(loop, 20);
      const auto topic = cluster->state().topic("t");
      (void)co_await cluster->raise_leader_epoch(topic->id, 0, topic->partitions[0].leader_epoch, loop);
    }
    co_return true;
  }

  std::mt19937_64 random{11};
  FakeEngine meta;
  FakeEngine data;
  std::array<ThreadLoop, 3> loops;
  std::unique_ptr<storage::Storages> storages;
  std::unique_ptr<cluster::Cluster> cluster;
  std::unique_ptr<PartitionContext> context;
  std::unique_ptr<Partitions> partitions;
};

TEST_F(PartitionThreads, AcknowledgedOnceAndInOrder) {
  auto faults = std::make_shared<std::mt19937>(3);  // used with the engine's lock
  data.mode = FakeEngine::Mode::thread;
  data.refuse = [faults](const Command&) -> std::optional<sluice_status> {
    return (*faults)() % 100 < 2 ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  data.on_outcome = [faults](Command& c, sluice_status status) {
    return c.name == "append" && (*faults)() % 100 < 4 ? static_cast<sluice_status>(SLUICE_UNKNOWN) : status;
  };
  std::vector<std::future<std::vector<int64_t>>> produced;
  for (int i = 0; i < kProducers; ++i) {
    Loop& loop = loops[static_cast<size_t>(i) % loops.size()];
    produced.push_back(begin<std::vector<int64_t>>(loop, [this, i, &loop] { return produce(100 + i, loop); }));
  }
  auto consumed = begin<int>(loops[2], [this] { return consume(loops[2]); });
  auto raised = begin<bool>(loops[1], [this] { return raise_epochs(loops[1]); });
  std::map<int64_t, std::pair<int64_t, int32_t>> told;  // by offset: producer and sequence
  for (int i = 0; i < kProducers; ++i) {
    const auto offsets = finish(std::move(produced[static_cast<size_t>(i)]));
    EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
    for (size_t n = 0; n < offsets.size(); ++n) {
      EXPECT_TRUE(told.emplace(offsets[n], std::pair(100 + i, static_cast<int32_t>(n))).second)
          << "an offset given twice";
    }
  }
  EXPECT_GT(finish(std::move(consumed)), 0);
  finish(std::move(raised));
  std::lock_guard lock(data.mutex);
  ASSERT_EQ(data.logs.size(), 1u);
  const auto& log = data.logs.begin()->second;
  EXPECT_EQ(log.batches.size(), static_cast<size_t>(kProducers * kBatches)) << "each once";
  for (const auto& batch : log.batches) {
    const auto header = records::parse_batch_header(as_bytes(batch.bytes));
    ASSERT_TRUE(header);
    EXPECT_EQ(told[header->base_offset], (std::pair<int64_t, int32_t>(header->producer_id, header->base_sequence)));
  }
}

}  // namespace
}  // namespace sluice::partition
