// SPDX-License-Identifier: Apache-2.0
// Partitions over the memory adapter and a cluster of one broker, which may be restarted while its storage stays.
#include "partition/partition.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <random>

#include "base/crc32c.hpp"
#include "base/thread_loop.hpp"
#include "host/library.hpp"
#include "partition/partitions.hpp"
#include "records/builder.hpp"

namespace sluice::partition {
namespace {

constexpr auto kDeadline = std::chrono::seconds(20);
constexpr int64_t kTime = 1'600'000'000'000;

struct Producing {
  int64_t id = -1;
  int16_t epoch = 0;
  int32_t sequence = 0;
};

class PartitionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto config = storage::parse_plugins_config(
        R"({"storages": {"memory": {"library": "memory"}}, "default": "memory"})", "plugins.json");
    ASSERT_TRUE(config) << config.error().describe();
    storage::StoragesOptions options;
    options.plugin_directory = host::default_plugin_directory();
    auto opened = storage::Storages::open(std::move(*config), std::move(options));
    ASSERT_TRUE(opened) << opened.error().describe();
    storages = std::move(*opened);
    ASSERT_TRUE(storages->start().ok());
    ASSERT_NO_FATAL_FAILURE(start_broker());
  }
  void TearDown() override {
    stop_broker();
    (void)storages->stop(5'000);
  }

  void start_broker() {
    loop = std::make_unique<ThreadLoop>("partition-test");
    cluster::ClusterOptions options;
    options.random = [this] { return random(); };
    cluster = std::make_unique<cluster::Cluster>(*storages, *loop, std::move(options));
    ASSERT_TRUE(cluster->bind().ok());
    context.reset(new PartitionContext{*cluster, clock, {}});
    partitions = std::make_unique<Partitions>(*context);
    cluster->on_change([this](const auto& before, const auto& after) { partitions->changed(before, after); });
    const Status started = run<Status>([&] { return cluster->start(); });
    ASSERT_TRUE(started.ok()) << started.describe();
  }
  void stop_broker() {
    if (loop) loop->stop();
    partitions.reset();
    context.reset();
    cluster.reset();
    loop.reset();
  }
  void restart(bool save) {
    if (save) run_void([&] { return partitions->save_all(*loop); });
    stop_broker();
    start_broker();
  }

  /// Runs a task on the loop and waits for it.
  template <class T>
  T run(std::function<Task<T>()> make) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    loop->post([make, promise] { start(make(), [promise](T value) { promise->set_value(std::move(value)); }); });
    if (future.wait_for(kDeadline) != std::future_status::ready) {
      ADD_FAILURE() << "no answer";
      std::abort();
    }
    return future.get();
  }
  void run_void(std::function<Task<void>()> make) {
    run<bool>([make]() -> Task<bool> {
      co_await make();
      co_return true;
    });
  }

  void create(cluster::Configs configs = {}) {
    auto made = run<cluster::ClusterResult<cluster::TopicPtr>>([&] {
      cluster::NewTopic topic;
      topic.name = "t";
      topic.partitions = 1;
      topic.configs = configs;
      return cluster->create_topic(std::move(topic), *loop);
    });
    ASSERT_TRUE(made) << made.error().text;
  }
  std::shared_ptr<Partition> partition() { return partitions->find(cluster->state().topic("t"), 0); }

  struct Pending {
    std::shared_ptr<Buffer> bytes;
    std::future<ProduceOutcome> answer;
  };
  /// Queues one batch with a record at each of `timestamps`.
  Pending queue(std::vector<int64_t> timestamps, Producing producer = {}) {
    records::BatchOptions options;
    if (producer.id >= 0) {
      options.producer_id = producer.id;
      options.producer_epoch = producer.epoch;
      options.base_sequence = producer.sequence;
    }
    records::BatchBuilder builder(options);
    for (const int64_t timestamp : timestamps) {
      records::NewRecord record;
      record.timestamp = timestamp;
      record.value = as_bytes("value");
      EXPECT_TRUE(builder.add(record).ok());
    }
    Pending pending;
    pending.bytes = std::make_shared<Buffer>(std::move(*builder.build()));
    auto info = records::validate_batch(pending.bytes->view(), {}, kTime);
    EXPECT_TRUE(info);
    auto promise = std::make_shared<std::promise<ProduceOutcome>>();
    pending.answer = promise->get_future();
    AppendRequest request;
    request.batch = pending.bytes->mutable_view();
    request.keep_alive = pending.bytes;
    request.info = *info;
    request.executor = loop.get();
    request.done = [promise](ProduceOutcome outcome) { promise->set_value(std::move(outcome)); };
    auto shared = std::make_shared<AppendRequest>(std::move(request));
    loop->post([this, p = partition(), shared] { p->append(std::move(*shared), *loop); });
    return pending;
  }
  ProduceOutcome answer(Pending pending) {
    if (pending.answer.wait_for(kDeadline) != std::future_status::ready) {
      ADD_FAILURE() << "no answer";
      std::abort();
    }
    return pending.answer.get();
  }
  ProduceOutcome append(std::vector<int64_t> timestamps, Producing producer = {}) {
    return answer(queue(std::move(timestamps), producer));
  }
  void append_ok(int count, int64_t from = kTime) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(append({from + i}).error, ErrorCode::kNone);
  }

  ReadOutcome read(int64_t offset, uint64_t max_bytes = 1 << 20, int32_t last_fetched_epoch = -1) {
    return run<ReadOutcome>([=, this] {
      ReadRequest request;
      request.offset = offset;
      request.max_bytes = max_bytes;
      request.last_fetched_epoch = last_fetched_epoch;
      return partition()->read(request, *loop);
    });
  }
  /// Base offsets of the batches in an answer.
  static std::vector<int64_t> batches(const ReadOutcome& outcome) {
    std::string bytes;
    for (const auto& slice : outcome.slices) bytes.append(reinterpret_cast<const char*>(slice.data), slice.length);
    std::vector<int64_t> result;
    Bytes rest = as_bytes(bytes);
    while (!rest.empty()) {
      auto batch = records::take_batch(rest);
      if (!batch) {
        ADD_FAILURE() << records::batch_error_name(batch.error());
        break;
      }
      EXPECT_EQ(batch->compute_crc(), batch->crc());
      result.push_back(batch->base_offset());
    }
    return result;
  }
  OffsetAnswer list(int64_t timestamp, int32_t epoch = -1) {
    return run<OffsetAnswer>([=, this] { return partition()->list_offset(timestamp, epoch, *loop); });
  }
  OffsetAnswer delete_records(int64_t offset) {
    return run<OffsetAnswer>([=, this] { return partition()->delete_records(offset, *loop); });
  }
  OffsetAnswer end_of_epoch(int32_t epoch) {
    return run<OffsetAnswer>([=, this] { return partition()->end_of_epoch(epoch, -1, *loop); });
  }
  void maintain() {
    run_void([this] { return partition()->maintain(*loop); });
  }

  ManualClock clock{kTime};
  std::mt19937_64 random{7};
  std::unique_ptr<storage::Storages> storages;
  std::unique_ptr<ThreadLoop> loop;
  std::unique_ptr<cluster::Cluster> cluster;
  std::unique_ptr<PartitionContext> context;
  std::unique_ptr<Partitions> partitions;
};

TEST_F(PartitionTest, BatchesGetOffsetsAndComeBack) {
  create();
  EXPECT_EQ(append({kTime, kTime, kTime}).base_offset, 0);
  EXPECT_EQ(append({kTime}).base_offset, 3);
  const ReadOutcome all = read(0);
  EXPECT_EQ(all.error, ErrorCode::kNone);
  EXPECT_EQ(all.high_watermark, 4);
  EXPECT_EQ(all.log_start, 0);
  EXPECT_EQ(batches(all), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(batches(read(1, 1)), std::vector<int64_t>{0}) << "the batch that holds the offset, whatever its size";
  EXPECT_EQ(batches(read(3)), std::vector<int64_t>{3});
  EXPECT_TRUE(batches(read(4)).empty());
  EXPECT_EQ(read(4).error, ErrorCode::kNone);
  EXPECT_EQ(read(5).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(read(-1).error, ErrorCode::kOffsetOutOfRange);
}

TEST_F(PartitionTest, WhatComesWhileLoadingKeepsItsOrder) {
  create();
  std::vector<Pending> pending;
  for (int i = 0; i < 50; ++i) pending.push_back(queue({kTime}, {7, 0, i}));
  for (int i = 0; i < 50; ++i) {
    const ProduceOutcome outcome = answer(std::move(pending[static_cast<size_t>(i)]));
    EXPECT_EQ(outcome.error, ErrorCode::kNone);
    EXPECT_EQ(outcome.base_offset, i);
  }
}

TEST_F(PartitionTest, ARetryGetsTheFirstOffsetAndAGapIsRefused) {
  create();
  const int64_t first = append({kTime, kTime}, {7, 0, 0}).base_offset;
  EXPECT_EQ(append({kTime}, {7, 0, 2}).base_offset, 2);
  const ProduceOutcome again = append({kTime, kTime}, {7, 0, 0});
  EXPECT_EQ(again.error, ErrorCode::kNone);
  EXPECT_EQ(again.base_offset, first);
  EXPECT_EQ(append({kTime}, {7, 0, 5}).error, ErrorCode::kOutOfOrderSequenceNumber);
  EXPECT_EQ(append({kTime}, {7, 1, 0}).base_offset, 3);
  EXPECT_EQ(append({kTime}, {7, 0, 3}).error, ErrorCode::kInvalidProducerEpoch);
  EXPECT_EQ(list(-1).offset, 4) << "nothing was stored twice";
}

TEST_F(PartitionTest, ARetryInFlightGetsTheSameOffset) {
  create();
  Pending first = queue({kTime}, {7, 0, 0});
  Pending second = queue({kTime}, {7, 0, 0});
  EXPECT_EQ(answer(std::move(first)).base_offset, 0);
  EXPECT_EQ(answer(std::move(second)).base_offset, 0);
  EXPECT_EQ(list(-1).offset, 1);
}

TEST_F(PartitionTest, AppendTimeIsTheBrokers) {
  create({{"message.timestamp.type", "LogAppendTime"}});
  const ProduceOutcome outcome = append({5}, {7, 0, 0});
  EXPECT_EQ(outcome.log_append_time_ms, kTime);
  clock.advance_ms(10);
  EXPECT_EQ(append({5}, {7, 0, 0}).log_append_time_ms, kTime) << "of the first try";
  EXPECT_EQ(batches(read(0)), std::vector<int64_t>{0});
  EXPECT_EQ(list(kTime).offset, 0);
  EXPECT_EQ(list(kTime + 1).offset, -1);
}

TEST_F(PartitionTest, OffsetsByTime) {
  create();
  EXPECT_EQ(list(-1).offset, 0);
  EXPECT_EQ(list(-2).offset, 0);
  EXPECT_EQ(list(-3).offset, -1) << "an empty log";
  append({kTime + 100, kTime + 400, kTime + 250});
  append({kTime + 500});
  EXPECT_EQ(list(-1).offset, 4);
  EXPECT_EQ(list(-2).offset, 0);
  EXPECT_EQ(list(-4).offset, 0);
  EXPECT_EQ(list(-5).offset, -1);
  EXPECT_EQ(list(-3).offset, 3);
  EXPECT_EQ(list(-3).timestamp, kTime + 500);
  EXPECT_EQ(list(kTime + 50).offset, 0);
  EXPECT_EQ(list(kTime + 150).offset, 1);
  EXPECT_EQ(list(kTime + 401).offset, 3);
  EXPECT_EQ(list(kTime + 501).offset, -1);
  EXPECT_EQ(list(kTime + 501).error, ErrorCode::kNone);
  EXPECT_EQ(list(-6).offset, -1);
  EXPECT_EQ(list(-7).error, ErrorCode::kUnsupportedVersion);
  const int32_t epoch = partition()->leader_epoch();
  EXPECT_EQ(list(-1, epoch).error, ErrorCode::kNone);
  EXPECT_EQ(list(-1, epoch + 1).error, ErrorCode::kUnknownLeaderEpoch);
}

TEST_F(PartitionTest, DeletedRecordsStayDeleted) {
  create();
  append_ok(10);
  EXPECT_EQ(delete_records(11).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(delete_records(-2).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(delete_records(4).offset, 4);
  EXPECT_EQ(delete_records(2).offset, 4) << "never back";
  EXPECT_EQ(read(3).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(batches(read(4)).front(), 4);
  EXPECT_EQ(list(-2).offset, 4);
  EXPECT_EQ(list(kTime).offset, 4) << "records before the start are not found";
  for (const bool save : {false, true}) {
    restart(save);
    EXPECT_EQ(list(-2).offset, 4);
    EXPECT_EQ(list(-1).offset, 10);
  }
  EXPECT_EQ(delete_records(-1).offset, 10) << "up to the high watermark";
  restart(false);
  EXPECT_EQ(list(-2).offset, 10);
  EXPECT_EQ(append({kTime}).base_offset, 10);
}

TEST_F(PartitionTest, DeletionsAtTheSameTimeLeaveTheHighestStart) {
  create();
  append_ok(10);
  std::vector<std::future<OffsetAnswer>> answers;
  for (const int64_t offset : {9, 3, 7, 5, 1}) {
    auto promise = std::make_shared<std::promise<OffsetAnswer>>();
    answers.push_back(promise->get_future());
    loop->post([this, offset, promise] {
      start(partition()->delete_records(offset, *loop), [promise](OffsetAnswer a) { promise->set_value(a); });
    });
  }
  for (auto& a : answers) {
    ASSERT_EQ(a.wait_for(kDeadline), std::future_status::ready);
    EXPECT_EQ(a.get().offset, 9);
  }
  restart(false);
  EXPECT_EQ(list(-2).offset, 9);
}

TEST_F(PartitionTest, EpochsEndWhereTheNextBegins) {
  create();
  append_ok(3);
  const int32_t first = partition()->leader_epoch();
  EXPECT_EQ(end_of_epoch(first).offset, 3);
  restart(false);
  const int32_t second = partition()->leader_epoch();
  ASSERT_GT(second, first);
  EXPECT_EQ(end_of_epoch(first).offset, 3);
  append_ok(2);
  EXPECT_EQ(end_of_epoch(first).leader_epoch, first);
  EXPECT_EQ(end_of_epoch(first).offset, 3);
  EXPECT_EQ(end_of_epoch(second).offset, 5);
  EXPECT_EQ(end_of_epoch(second + 1).leader_epoch, -1);
  EXPECT_EQ(end_of_epoch(second + 1).offset, -1);
  const ReadOutcome diverging = read(4, 1 << 20, first);
  ASSERT_TRUE(diverging.diverging);
  EXPECT_EQ(*diverging.diverging, (EpochStart{first, 3}));
  EXPECT_TRUE(diverging.slices.empty());
  EXPECT_FALSE(read(3, 1 << 20, first).diverging);
  EXPECT_EQ(read(3, 1 << 20, second + 1).error, ErrorCode::kOffsetOutOfRange);
}

TEST_F(PartitionTest, RetentionBySize) {
  create({{"segment.bytes", "100"}, {"retention.bytes", "200"}});
  append_ok(20);
  maintain();
  const int64_t start = list(-2).offset;
  EXPECT_GT(start, 0);
  EXPECT_LT(start, 20);
  EXPECT_EQ(read(start - 1).error, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(batches(read(start)).front(), start);
  maintain();
  EXPECT_EQ(list(-2).offset, start) << "nothing more to drop";
}

TEST_F(PartitionTest, RetentionByTime) {
  create({{"segment.bytes", "100"}, {"retention.ms", "1000"}});
  append_ok(5, kTime);
  clock.advance_ms(1'000);
  maintain();
  EXPECT_EQ(list(-2).offset, 0);
  clock.advance_ms(2);
  maintain();
  EXPECT_EQ(list(-2).offset, 2) << "those at 0 and 1 ms";
  clock.advance_ms(1'000);
  maintain();
  EXPECT_EQ(list(-2).offset, 5);
  EXPECT_EQ(append({kTime + 3'000}).base_offset, 5);
}

TEST_F(PartitionTest, AWaiterWakesWhenEnoughCame) {
  create();
  append_ok(1);
  std::promise<void> woken;
  auto waiter = std::make_shared<FetchWaiter>(100, *loop, [&] { woken.set_value(); });
  EXPECT_FALSE(partition()->add_waiter(waiter, 0)) << "the end moved since";
  ASSERT_TRUE(partition()->add_waiter(waiter, 1));
  append_ok(1);
  EXPECT_FALSE(waiter->fired()) << "less than was asked for";
  append_ok(1);
  EXPECT_TRUE(waiter->fired());
  EXPECT_EQ(woken.get_future().wait_for(kDeadline), std::future_status::ready);
}

TEST_F(PartitionTest, ADeletedTopicRefusesAndWakes) {
  create();
  append_ok(1);
  auto kept = partition();
  std::promise<void> woken;
  auto waiter = std::make_shared<FetchWaiter>(1 << 20, *loop, [&] { woken.set_value(); });
  ASSERT_TRUE(kept->add_waiter(waiter, 1));
  const Uuid id = kept->topic()->id;
  EXPECT_EQ(run<cluster::ClusterError>([&] { return cluster->delete_topic(id, *loop); }).code, ErrorCode::kNone);
  EXPECT_EQ(woken.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_EQ(partition(), nullptr);
  EXPECT_FALSE(kept->add_waiter(waiter, 1));
  const auto outcome = run<ReadOutcome>([&] { return kept->read({}, *loop); });
  EXPECT_EQ(outcome.error, ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(PartitionTest, ALogThatTheStorageLostIsReplaced) {
  create();
  append_ok(3);
  const int32_t epoch = partition()->leader_epoch();
  const auto topic = cluster->state().topic("t");
  const Status lost = run<Status>([&] {
    auto descriptor = cluster::Cluster::describe_log(*topic, 0, topic->partitions[0].extents.back());
    return storages->find("memory")->delete_log(std::move(descriptor), *loop);
  });
  ASSERT_TRUE(lost.ok()) << lost.describe();
  EXPECT_EQ(append({kTime}).error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(append({kTime}).base_offset, 0) << "in a new, empty log";
  EXPECT_GT(partition()->leader_epoch(), epoch);
  EXPECT_EQ(context->metrics.lost_logs.load(), 1u);
  EXPECT_EQ(list(-1).offset, 1);
}

TEST_F(PartitionTest, TheGreatestTimestampIsOfWhatIsThere) {
  create();
  append({kTime + 100});
  append({kTime + 900, kTime + 50});
  append({kTime + 300});
  append({kTime + 200});
  EXPECT_EQ(list(-3).offset, 1);
  ASSERT_EQ(delete_records(2).offset, 2);
  EXPECT_EQ(list(-3).offset, 3) << "of a batch whose greatest one is deleted the others count";
  EXPECT_EQ(list(-3).timestamp, kTime + 300);
  EXPECT_EQ(list(kTime + 60).offset, 3);
  EXPECT_EQ(list(kTime + 250).offset, 3);
  EXPECT_EQ(list(kTime + 301).offset, -1);
  append({kTime + 250});
  EXPECT_EQ(list(-3).offset, 3);
  restart(false);
  EXPECT_EQ(list(-3).offset, 3);
  ASSERT_EQ(delete_records(4).offset, 4);
  EXPECT_EQ(list(-3).offset, 5);
  append({kTime + 1'000});
  EXPECT_EQ(list(-3).offset, 6);
  ASSERT_EQ(delete_records(-1).offset, 7);
  EXPECT_EQ(list(-3).offset, -1);
  EXPECT_EQ(list(-3).error, ErrorCode::kNone);
}

TEST_F(PartitionTest, TimesAreFoundBehindManyDeletedRecords) {
  create();
  append_ok(20, kTime + 10'000);
  for (int i = 0; i < 1'500; ++i) queue({kTime});
  append({kTime + 5'000});
  ASSERT_EQ(delete_records(20).offset, 20);
  EXPECT_EQ(list(kTime + 1).offset, 1'520);
  EXPECT_EQ(list(-3).offset, 1'520);
}

TEST_F(PartitionTest, ProducersAreKnownAgainAfterARestart) {
  create();
  for (int i = 0; i < 7; ++i) ASSERT_EQ(append({kTime}, {7, 2, i}).base_offset, i);
  for (const bool save : {false, true, false}) {
    restart(save);
    EXPECT_EQ(append({kTime}, {7, 2, 2}).base_offset, 2);
    EXPECT_EQ(append({kTime}, {7, 2, 1}).error, ErrorCode::kOutOfOrderSequenceNumber) << "six batches ago";
    EXPECT_EQ(append({kTime}, {7, 2, 8}).error, ErrorCode::kOutOfOrderSequenceNumber);
    EXPECT_EQ(append({kTime}, {7, 1, 7}).error, ErrorCode::kInvalidProducerEpoch);
  }
  EXPECT_EQ(append({kTime}, {7, 2, 7}).base_offset, 7);
}

TEST_F(PartitionTest, OnlyWhatCameAfterTheSnapshotIsReplayed) {
  create();
  ASSERT_EQ(append({kTime}, {7, 0, 0}).base_offset, 0);
  context->snapshot_every_bytes = 1;
  maintain();
  EXPECT_EQ(context->metrics.snapshots.load(), 1u);
  ASSERT_EQ(append({kTime}, {7, 0, 1}).base_offset, 1);
  ASSERT_EQ(append({kTime}, {8, 0, 0}).base_offset, 2);
  restart(false);
  EXPECT_EQ(append({kTime}, {7, 0, 0}).base_offset, 0);
  EXPECT_EQ(append({kTime}, {7, 0, 1}).base_offset, 1);
  EXPECT_EQ(append({kTime}, {8, 0, 0}).base_offset, 2);
  EXPECT_EQ(append({kTime}, {8, 0, 1}).base_offset, 3);
}

TEST_F(PartitionTest, AStateOfALaterVersionIsRebuilt) {
  create();
  context->snapshot_every_bytes = 1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(append({kTime}, {7, 0, i}).base_offset, i);
    maintain();
  }
  // As a later broker would leave them: first one, then both.
  const auto topic = cluster->state().topic("t");
  std::string later = encode_state(PartitionState());
  later.resize(later.size() - 4);
  later[0] = 99;
  const uint32_t crc = crc32c(as_bytes(later));
  later.insert(0, 4, '\0');
  later.resize(later.size() + 4);
  store_be<uint32_t>(reinterpret_cast<uint8_t*>(later.data()) + later.size() - 4, crc);
  for (const char* name : {"state.0", "state.1"}) {
    auto log =
        storages->find("memory")->open(cluster::Cluster::describe_log(*topic, 0, topic->partitions[0].extents[0]));
    ASSERT_TRUE(log);
    const Status saved = run<Status>([&]() -> Task<Status> {
      auto acquired = co_await (*log)->acquire(partition()->leader_epoch(), *loop);
      if (!acquired) co_return acquired.error();
      co_return co_await (*log)->save(name, later, *loop);
    });
    ASSERT_TRUE(saved.ok()) << saved.describe();
    restart(false);
    EXPECT_EQ(list(-1).offset, 4);
    EXPECT_EQ(append({kTime}, {7, 0, 1}).base_offset, 1);
    EXPECT_EQ(append({kTime}, {7, 0, 5}).error, ErrorCode::kOutOfOrderSequenceNumber);
  }
  EXPECT_EQ(append({kTime}, {7, 0, 4}).base_offset, 4);
}

TEST_F(PartitionTest, QuietProducersExpire) {
  create();
  ASSERT_EQ(append({kTime}, {7, 0, 0}).base_offset, 0);
  clock.advance_ms(context->producer_expiration_ms + 1);
  maintain();
  EXPECT_EQ(append({kTime}, {7, 0, 9}).base_offset, 1) << "unknown: may begin anywhere";
}

}  // namespace
}  // namespace sluice::partition
