// SPDX-License-Identifier: Apache-2.0
// Consumers among threads: sources that answer from elsewhere, closing under those who wait, streams.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

#include "consumer/consuming.hpp"
#include "sluice/consumer_stream.hpp"
#include "sluice/memory_source.hpp"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::consume;
using testing::ScriptedSource;

int64_t ms_since(steady_clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start).count();
}

// Answers each read from a thread of its own, after a while.
class SlowSource final : public Source {
 public:
  SlowSource(std::string id, milliseconds delay) : inner_(std::move(id)), delay_(delay) {
    inner_.add_records(1, 1);
    inner_.seal();
  }
  ~SlowSource() override {
    for (std::thread& thread : threads_) thread.join();
  }
  const std::string& id() const override { return inner_.id(); }
  void read(const PageRequest& request, PageCallback done) override {
    threads_.emplace_back([this, request, answer = std::move(done)]() mutable {
      std::this_thread::sleep_for(delay_);  // this is what is slow
      inner_.read(request, std::move(answer));
    });
  }
  void bounds(BoundsCallback done) override { inner_.bounds(std::move(done)); }
  void locate(int64_t time, PositionCallback done) override { inner_.locate(time, std::move(done)); }
  void wake() override { inner_.wake(); }

 private:
  ScriptedSource inner_;
  const milliseconds delay_;
  std::vector<std::thread> threads_;
};

TEST(ConsumerThreads, S08_shards_are_read_at_the_same_time) {
  constexpr int64_t kLimitMs = 250;  // one after the other would be 1,600
  constexpr int kMostTries = 20;     // a busy machine may delay some of them
  int64_t best = INT64_MAX;
  for (int i = 0; i < kMostTries && best >= kLimitMs; ++i) {
    std::vector<std::shared_ptr<Source>> sources;
    for (int shard = 0; shard < 16; ++shard) {
      sources.push_back(std::make_shared<SlowSource>("slow-" + std::to_string(shard), milliseconds(100)));
    }
    ConsumerConfig config;
    config.order = MergeOrder::by_time;  // nothing may come before all have answered
    PollRequest request;
    request.wait_ms = 30'000;
    request.min_records = 16;
    const auto start = steady_clock::now();
    auto consumer = consume(config, sources);
    const auto response = consumer->poll(request);
    const int64_t took = ms_since(start);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->records.size(), 16u);
    EXPECT_GE(took, 100);
    best = std::min(best, took);
  }
  EXPECT_LT(best, kLimitMs);
}

TEST(ConsumerThreads, B05_polls_at_the_same_time_are_told_so) {
  auto shard = std::make_shared<MemorySource>("shard");
  auto consumer = consume({}, {shard});
  PollRequest request;
  request.wait_ms = 30'000;
  std::atomic<int> busy = 0;
  std::atomic<int> served = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int rounds = 0; rounds < 1'000'000 && busy == 0; ++rounds) {
        const auto response = consumer->poll(request);
        if (response) {
          ++served;
        } else if (response.error().code() == StatusCode::busy) {
          ++busy;
          consumer->wake();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(busy, 1);
  // One after the other, from whatever thread, is all right.
  request.wait_ms = 0;
  for (int i = 0; i < 4; ++i) {
    std::thread([&] { EXPECT_TRUE(consumer->poll(request)); }).join();
  }
}

TEST(ConsumerThreads, B16_closing_has_a_deadline_and_does_not_spin) {
  auto hanging = std::make_shared<ScriptedSource>("hanging");
  auto well = std::make_shared<ScriptedSource>("well");
  hanging->hold(true);
  auto consumer = consume({}, {hanging, well});
  PollRequest request;
  request.wait_ms = 0;
  ASSERT_TRUE(consumer->poll(request));
  const auto start = steady_clock::now();
  const std::clock_t cpu = std::clock();
  const Status closed = consumer->close(500);
  const int64_t took = ms_since(start);
  EXPECT_EQ(closed.code(), StatusCode::unavailable);
  EXPECT_NE(closed.text().find("hanging"), std::string::npos) << closed.text();
  EXPECT_EQ(closed.text().find("well"), std::string::npos) << closed.text();
  EXPECT_GE(took, 500);
  EXPECT_LT(took, 2'500);
  EXPECT_LT(static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC, 0.1);
  hanging->hold(false);
  EXPECT_TRUE(consumer->close(5'000));
  EXPECT_TRUE(consumer->close(0));
}

TEST(ConsumerThreads, B24_closing_works_while_others_use_it) {
  auto shard = std::make_shared<MemorySource>("shard", 8 << 20);
  auto consumer = consume({}, {shard});
  std::atomic<bool> over = false;
  std::thread monitor([&] {
    while (!over) {
      std::ignore = consumer->cursor();
      std::ignore = consumer->buffered_bytes();
    }
  });
  std::promise<Status> ended;
  PollRequest request;
  request.wait_ms = 60'000;
  request.min_records = SIZE_MAX;  // so that a poll is always waiting
  request.max_records = SIZE_MAX;
  Subscription subscription(*consumer, request, [&](Result<Response> response) {
    if (!response) ended.set_value(response.error());
    return response.has_value();
  });
  std::thread writer([&] {
    Record record;
    record.value = as_bytes("value");
    while (!over && shard->append(record)) std::this_thread::yield();
  });
  std::this_thread::sleep_for(milliseconds(20));  // let them work
  const auto start = steady_clock::now();
  EXPECT_TRUE(consumer->close(10'000));
  EXPECT_LT(ms_since(start), 5'000);
  auto why = ended.get_future();
  ASSERT_EQ(why.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(why.get().code(), StatusCode::fenced);
  EXPECT_TRUE(consumer->close(10'000));
  EXPECT_TRUE(consumer->closed());
  EXPECT_EQ(consumer->poll().error().code(), StatusCode::fenced);
  EXPECT_EQ(consumer->seek(Place::start()).code(), StatusCode::fenced);
  EXPECT_EQ(consumer->add_shard(shard).error().code(), StatusCode::fenced);
  over = true;
  writer.join();
  monitor.join();
}

TEST(ConsumerThreads, everything_comes_once_while_writers_write_and_shards_come_and_go) {
  constexpr int kShards = 8;
  constexpr int kRecords = 2'000;
  std::vector<std::shared_ptr<MemorySource>> shards;
  std::vector<std::thread> writers;
  auto consumer = consume({}, {});
  for (int i = 0; i < kShards; ++i) {
    shards.push_back(std::make_shared<MemorySource>("shard-" + std::to_string(i)));
    if (i < kShards / 2) {
      ASSERT_TRUE(consumer->add_shard(shards.back()));
    }
  }
  for (int i = 0; i < kShards; ++i) {
    writers.emplace_back([&, i] {
      Record record;
      record.value = as_bytes("value");
      for (int j = 0; j < kRecords; ++j) EXPECT_TRUE(shards[static_cast<size_t>(i)]->append(record));
      if (i >= kShards / 2) {
        EXPECT_TRUE(consumer->add_shard(shards[static_cast<size_t>(i)]));
      }
      shards[static_cast<size_t>(i)]->seal();
    });
  }
  std::vector<int64_t> next(kShards, 0);
  PollRequest request;
  request.max_records = 100;
  size_t finished = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (finished < kShards && std::chrono::steady_clock::now() < until) {
    const auto response = consumer->poll(request);
    ASSERT_TRUE(response) << response.error().describe();
    if (response->done) std::this_thread::yield();  // until the writers add the others
    for (const MergedRecord& each : response->records) EXPECT_EQ(each->position, next[each.shard]++);
    for (const ShardNote& note : response->notes) finished += note.condition == ShardCondition::finished ? 1 : 0;
  }
  for (std::thread& writer : writers) writer.join();
  for (const int64_t each : next) EXPECT_EQ(each, kRecords);
}

TEST(ConsumerThreads, a_subscription_pauses_resumes_and_stops) {
  auto shard = std::make_shared<MemorySource>("shard");
  auto consumer = consume({}, {shard});
  std::mutex mutex;
  std::condition_variable changed;
  size_t records = 0;
  Subscription subscription(*consumer, {}, [&](Result<Response> response) {
    const std::lock_guard lock(mutex);
    if (response) records += response->records.size();
    changed.notify_all();
    return true;
  });
  Record record;
  const auto wait_for = [&](size_t wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(30), [&] { return records == wanted; });
  };
  ASSERT_TRUE(shard->append(record));
  EXPECT_TRUE(wait_for(1));
  subscription.pause();
  consumer->wake();
  ASSERT_TRUE(shard->append(record));
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(records, 1u);
  }
  subscription.resume();
  EXPECT_TRUE(wait_for(2));
  EXPECT_TRUE(subscription.running());
  EXPECT_TRUE(subscription.stop(30'000));
  EXPECT_FALSE(subscription.running());
}

// What a subscription was told, for a test to wait for.
struct Told {
  template <class Done>
  bool comes(Done&& done) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(30), done);
  }
  bool take(const Result<Response>& response) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
    if (!response) return false;
    ++responses;
    lost += response->lost;
    place = response->cursor.next("shard").value_or(-1);
    return true;
  }

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  uint64_t lost = 0;
  int64_t place = -1;
  int responses = 0;
};

PollRequest impatient() {
  PollRequest request;
  request.wait_ms = 10;
  return request;
}

/// Nothing of the shard is read from then on, until it is resumed.
void pause_reading(MergingConsumer& consumer, ScriptedSource& shard) {
  ASSERT_TRUE(consumer.pause(shard.id()));
  shard.wake();
  const auto until = steady_clock::now() + std::chrono::seconds(30);
  while (shard.reading() && steady_clock::now() < until) std::this_thread::yield();
  ASSERT_FALSE(shard.reading());
}

TEST(ConsumerThreads, B32_a_subscription_tells_what_retention_took_also_at_the_end_of_a_shard) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(100);
  ConsumerConfig config;
  config.pass_lost = true;
  auto consumer = consume(config, {shard});
  Told told;
  Subscription subscription(*consumer, impatient(), [&](const Result<Response>& each) { return told.take(each); });
  ASSERT_TRUE(told.comes([&] { return told.place == 100; }));
  ASSERT_NO_FATAL_FAILURE(pause_reading(*consumer, *shard));
  shard->add_records(100);
  shard->trim(200);
  ASSERT_TRUE(consumer->resume("shard"));
  EXPECT_TRUE(told.comes([&] { return told.place == 200; }));
  EXPECT_TRUE(told.comes([&] { return told.lost == 100; }));
}

TEST(ConsumerThreads, B02_a_subscription_tells_a_place_that_moved_with_nothing_else_to_show) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(3);
  ConsumerConfig config;
  config.start = Place::end();
  auto consumer = consume(config, {shard});
  Told told;
  Subscription subscription(*consumer, impatient(), [&](const Result<Response>& each) { return told.take(each); });
  // Who does not store the end that was found begins at a later one after a restart.
  EXPECT_TRUE(told.comes([&] { return told.place == 3; }));
  shard->add(ScriptedSource::Kind::gap);  // as the marker of a transaction
  EXPECT_TRUE(told.comes([&] { return told.place == 4; }));
  // And no more than that: a shard that rests says nothing.
  ASSERT_TRUE(subscription.stop(30'000));
  EXPECT_EQ(told.responses, 2);
}

TEST(ConsumerThreads, B32_iterated_records_come_with_what_was_said_before_them) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(100);
  auto other = std::make_shared<ScriptedSource>("other");
  ConsumerConfig config;
  config.pass_lost = true;
  auto consumer = consume(config, {shard, other}, {}, [](const Record& record) { return record.position != 200; });
  PollRequest at_once;
  at_once.wait_ms = 0;
  MergedRecords records(*consumer, at_once);
  auto each = records.begin();
  for (int i = 1; i < 100; ++i) ++each;
  ASSERT_EQ(each->record->position, 99);
  ASSERT_NO_FATAL_FAILURE(pause_reading(*consumer, *shard));
  shard->add_records(100);
  shard->trim(200);
  auto moved = std::async(std::launch::async, [&] { ++each; });
  const auto comes = [&](const std::function<bool()>& true_now) {
    const auto until = steady_clock::now() + std::chrono::seconds(30);
    while (!true_now() && steady_clock::now() < until) std::this_thread::yield();
    return true_now();
  };
  // Each of these is in a response of its own, all of them without records.
  EXPECT_TRUE(consumer->resume("shard"));
  EXPECT_TRUE(comes([&] { return consumer->cursor().next("shard") == 200; }));
  EXPECT_TRUE(consumer->remove_shard("other"));
  EXPECT_TRUE(comes([&] { return consumer->remove_shard("other").code() == StatusCode::not_found; }));
  shard->add(ScriptedSource::Kind::record);
  EXPECT_TRUE(comes([&] { return consumer->cursor().next("shard") == 201; }));
  shard->add(ScriptedSource::Kind::corrupt);
  EXPECT_TRUE(comes([&] { return consumer->cursor().next("shard") == 202; }));
  shard->add(ScriptedSource::Kind::record);
  if (moved.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    ADD_FAILURE() << "it goes on waiting";
    ASSERT_TRUE(consumer->close());
    return;
  }
  ASSERT_NE(each, records.end());
  EXPECT_EQ(each->record->position, 202);
  EXPECT_EQ(records.response().lost, 100u);
  EXPECT_EQ(records.response().rejected, 1u);
  EXPECT_EQ(records.response().corrupt, 1u);
  ASSERT_EQ(records.response().notes.size(), 1u);
  EXPECT_EQ(records.response().notes[0].id, "other");
  EXPECT_EQ(records.response().notes[0].condition, ShardCondition::finished);
  EXPECT_EQ(records.cursor().next("shard"), 202);
}

// The least coroutine there is.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Detached count_records(AsyncPoller& poller, std::promise<size_t>& counted) {
  size_t records = 0;
  for (;;) {
    auto response = co_await poller.poll();
    if (!response) break;
    records += response->records.size();
    if (response->done) break;
  }
  counted.set_value(records);
}

TEST(ConsumerThreads, a_coroutine_awaits_responses) {
  auto shard = std::make_shared<MemorySource>("shard");
  auto consumer = consume({}, {shard});
  std::promise<size_t> counted;
  AsyncPoller poller(*consumer);
  count_records(poller, counted);
  Record record;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(shard->append(record));
  shard->seal();
  auto records = counted.get_future();
  ASSERT_EQ(records.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(records.get(), 1'000u);
}

TEST(ConsumerThreads, a_coroutine_that_waits_is_told_when_its_poller_goes) {
  auto shard = std::make_shared<MemorySource>("shard");
  auto consumer = consume({}, {shard});
  std::promise<size_t> counted;
  {
    AsyncPoller poller(*consumer);
    count_records(poller, counted);
  }
  EXPECT_EQ(counted.get_future().get(), 0u);
}

TEST(ConsumerThreads, records_are_iterated_and_the_cursor_covers_what_was_passed) {
  auto shard = std::make_shared<MemorySource>("shard");
  Record record;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(shard->append(record));
  shard->seal();
  auto consumer = consume({}, {shard});
  PollRequest request;
  request.max_records = 4;
  MergedRecords records(*consumer, request);
  int64_t position = 0;
  for (const MergedRecord& each : records) {
    EXPECT_EQ(each->position, position);
    EXPECT_EQ(records.cursor().next("shard").value_or(0), position / 4 * 4);
    ++position;
  }
  EXPECT_EQ(position, 10);
  EXPECT_TRUE(records.status());
  EXPECT_EQ(records.cursor().next("shard"), 10);
}

TEST(ConsumerThreads, records_end_when_the_consumer_is_woken_and_go_on_when_they_are_asked_again) {
  auto shard = std::make_shared<MemorySource>("shard");
  Record record;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(shard->append(record));
  auto consumer = consume({}, {shard});
  MergedRecords records(*consumer);
  size_t count = 0;
  const auto iterate = [&] {
    for (const MergedRecord& each : records) {
      EXPECT_EQ(each->position, static_cast<int64_t>(count));
      if (++count == 3) consumer->wake();
    }
  };
  auto ended = std::async(std::launch::async, iterate);
  if (ended.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
    ADD_FAILURE() << "it goes on waiting";
    ASSERT_TRUE(consumer->close());
    return;
  }
  EXPECT_EQ(count, 3u);
  EXPECT_TRUE(records.status());
  EXPECT_TRUE(records.response().woken);
  EXPECT_EQ(records.cursor().next("shard"), 3);
  ASSERT_TRUE(shard->append(record));
  shard->seal();
  iterate();
  EXPECT_EQ(count, 4u);
  EXPECT_FALSE(records.response().woken);
}

}  // namespace
}  // namespace sluice
