// SPDX-License-Identifier: Apache-2.0
// Logs under several threads: loops that append at once, an adapter that completes from threads of its own, logs that
// go away with work pending. Meant for ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/thread_loop.hpp"
#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

/// Waits for a condition with a deadline.
class Gate {
 public:
  void add(int by = 1) {
    std::lock_guard lock(mutex_);
    count_ += by;
    changed_.notify_all();
  }
  bool wait_for(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return count_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

class LogThreadsTest : public ::testing::TestWithParam<FakeEngine::Mode> {
 protected:
  template <class T>
  static T wait(Task<T> task, ThreadLoop& loop) {
    Gate gate;
    std::optional<T> result;
    auto shared = std::make_shared<Task<T>>(std::move(task));
    loop.post([&, shared] {
      sluice::start(std::move(*shared), [&](T value) {
        result.emplace(std::move(value));
        gate.add();
      });
    });
    EXPECT_TRUE(gate.wait_for(1));
    return std::move(*result);
  }
};

TEST_P(LogThreadsTest, LoopsAppendAtOnceAndEachHearsInOrder) {
  constexpr int kLoops = 3;
  constexpr int kBatches = 200;
  FakeEngine engine;
  engine.mode = GetParam();
  const std::shared_ptr<Storage> storage = engine.start();
  engine.logs.try_emplace(make_descriptor().id);
  std::shared_ptr<Log> log = *storage->open(make_descriptor());
  std::vector<std::unique_ptr<ThreadLoop>> loops;
  for (int i = 0; i < kLoops; ++i) loops.push_back(std::make_unique<ThreadLoop>());
  ASSERT_TRUE(wait(log->acquire(1, *loops[0]), *loops[0]).has_value());

  Gate gate;
  std::mutex partition;  // as a partition has one: held for numbering and enqueue, not for send
  std::atomic<int64_t> last_told{-1};
  for (int i = 0; i < kLoops; ++i) {
    for (int n = 0; n < kBatches; ++n) {
      loops[static_cast<size_t>(i)]->post([&, i] {
        {
          std::lock_guard lock(partition);
          const WritePosition position = log->position();
          AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(position.end, 1)), position.end, 1);
          entry.done = [&](AppendOutcome outcome) {
            EXPECT_TRUE(outcome.status.ok());
            EXPECT_LT(last_told.exchange(outcome.first_offset), outcome.first_offset);
            gate.add();
          };
          ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, *loops[static_cast<size_t>(i)]).ok());
        }
        log->send();
      });
    }
  }
  ASSERT_TRUE(gate.wait_for(kLoops * kBatches));
  {
    std::lock_guard lock(engine.mutex);
    const StoredLog& stored = engine.log(make_descriptor().id);
    EXPECT_EQ(stored.end, kLoops * kBatches);
  }
  for (auto& loop : loops) loop->stop();
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
  log = nullptr;
}

// NATIVE, with several in flight: the calls come one after another, in the order of enqueue, from whatever thread, and
// callers hear in that order.
class PipelineThreadsTest : public LogThreadsTest {};

TEST_P(PipelineThreadsTest, CallsComeInOrderAndCallersHearInOrder) {
  constexpr int kLoops = 3;
  constexpr int kBatches = 200;
  FakeEngine engine;
  engine.mode = GetParam();
  engine.kind = SLUICE_KIND_NATIVE;
  engine.appends_in_flight = 4;
  int appends = 0;
  engine.on_outcome = [&](Command& c, sluice_status status) {  // with the engine's lock held
    return c.name == "append" && ++appends % 20 == 0 ? SLUICE_UNAVAILABLE : status;
  };
  const std::shared_ptr<Storage> storage = engine.start();
  engine.logs.try_emplace(make_descriptor().id);
  std::shared_ptr<Log> log = *storage->open(make_descriptor());
  std::vector<std::unique_ptr<ThreadLoop>> loops;
  for (int i = 0; i < kLoops; ++i) loops.push_back(std::make_unique<ThreadLoop>());
  ASSERT_TRUE(wait(log->acquire(0, *loops[0]), *loops[0]).has_value());

  Gate gate;
  std::mutex partition;
  int queued = 0;  // guarded by partition
  std::atomic<int> last_told{-1};
  std::atomic<int64_t> last_offset{-1};
  for (int n = 0; n < kBatches; ++n) {
    for (int i = 0; i < kLoops; ++i) {
      loops[static_cast<size_t>(i)]->post([&, i] {
        {
          std::lock_guard lock(partition);
          AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(0, 1)), 0, 1);
          entry.done = [&, number = queued](AppendOutcome outcome) {
            EXPECT_EQ(last_told.exchange(number) + 1, number);
            if (outcome.status.ok()) {
              EXPECT_LT(last_offset.exchange(outcome.first_offset), outcome.first_offset);
            }
            gate.add();
          };
          const uint64_t generation = log->position().generation;
          const Status status = log->enqueue(std::move(entry), generation, *loops[static_cast<size_t>(i)]);
          if (status.ok()) ++queued;
          if (!status.ok()) gate.add();  // a failure came between
        }
        log->send();
      });
    }
  }
  ASSERT_TRUE(gate.wait_for(kLoops * kBatches));
  for (auto& loop : loops) loop->stop();
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
  log = nullptr;
}

TEST_P(LogThreadsTest, UnknownOutcomesAreSettledWhileOthersAppendAndRead) {
  constexpr int kBatches = 300;
  FakeEngine engine;
  engine.mode = GetParam();
  int appends = 0;
  engine.on_outcome = [&](Command& c, sluice_status status) {
    // With the engine's lock held. One append in two is carried out and says UNKNOWN.
    return c.name == "append" && ++appends % 2 == 0 ? SLUICE_UNKNOWN : status;
  };
  const std::shared_ptr<Storage> storage = engine.start();
  engine.logs.try_emplace(make_descriptor().id);
  std::shared_ptr<Log> log = *storage->open(make_descriptor());
  ThreadLoop writer;
  ThreadLoop other;
  ThreadLoop reader;
  ASSERT_TRUE(wait(log->acquire(1, writer), writer).has_value());
  Gate told;
  std::mutex partition;
  std::atomic<int> acknowledged{0};
  for (int n = 0; n < kBatches; ++n) {
    Executor& on = n % 2 == 0 ? static_cast<Executor&>(writer) : other;
    on.post([&] {
      {
        std::lock_guard lock(partition);
        const WritePosition position = log->position();
        AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(position.end, 1)), position.end, 1);
        entry.done = [&](AppendOutcome outcome) {
          if (outcome.status.ok()) ++acknowledged;
          told.add();
        };
        if (!log->enqueue(std::move(entry), position.generation, on).ok()) told.add();
      }
      log->send();
    });
    reader.post([&] {
      sluice::start(log->read(0, INT64_MAX, 1 << 10, reader), [&](tl::expected<ReadResult, ReadError> result) {
        EXPECT_TRUE(result.has_value());
        told.add();
      });
    });
    if (n % 50 == 0) {
      reader.post([&] {
        sluice::start(log->save("state", "value", reader),
                      [](Status status) {  // given up where fences come between time and again
                        EXPECT_TRUE(status.ok() || status.code() == StatusCode::fenced) << status.describe();
                      });
      });
    }
  }
  ASSERT_TRUE(told.wait_for(2 * kBatches));
  wait(log->bounds(reader), reader);
  {
    std::lock_guard lock(engine.mutex);
    EXPECT_EQ(engine.log(make_descriptor().id).batches.size(), static_cast<size_t>(acknowledged));
  }
  writer.stop();
  other.stop();
  reader.stop();
  EXPECT_GT(storage->metrics().settled_applied.load(), 0u);
}

TEST_P(LogThreadsTest, LogsAndStoragesMayGoWhileWorkIsPending) {
  for (int round = 0; round < 30; ++round) {
    FakeEngine engine;
    engine.mode = GetParam();
    ThreadLoop loop;
    std::shared_ptr<Storage> storage = engine.start();
    engine.logs.try_emplace(make_descriptor().id);
    std::shared_ptr<Log> log = *storage->open(make_descriptor());
    ASSERT_TRUE(wait(log->acquire(1, loop), loop).has_value());
    Gate gate;
    for (int n = 0; n < 5; ++n) {
      const WritePosition position = log->position();
      AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(position.end, 1)), position.end, 1);
      entry.done = [&](AppendOutcome) { gate.add(); };
      ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, loop).ok());
      log->send();
    }
    log = nullptr;
    storage = nullptr;
    EXPECT_TRUE(gate.wait_for(5));
    loop.stop();
  }
}

// On a thread of its own each command is carried out when it likes: such an engine keeps no order.
INSTANTIATE_TEST_SUITE_P(Modes, PipelineThreadsTest,
                         ::testing::Values(FakeEngine::Mode::inline_final, FakeEngine::Mode::inline_pending));

INSTANTIATE_TEST_SUITE_P(Modes, LogThreadsTest,
                         ::testing::Values(FakeEngine::Mode::inline_final, FakeEngine::Mode::inline_pending,
                                           FakeEngine::Mode::thread));

TEST(LogThreads, TheWatchdogOfTheProcessAnswersOverdueCalls) {
  FakeEngine engine;
  StorageOptions options = engine.options();
  options.call_timeout_ms = 30;
  const std::shared_ptr<Storage> storage = engine.start(std::move(options));
  engine.logs.try_emplace(make_descriptor().id);
  const std::shared_ptr<Log> log = *storage->open(make_descriptor());
  engine.hold = [](const std::string& name) { return name == "read"; };
  ThreadLoop loop;
  Gate gate;
  loop.post([&] {
    sluice::start(log->read(0, INT64_MAX, 1, loop), [&](tl::expected<ReadResult, ReadError> result) {
      EXPECT_TRUE(loop.is_current());
      EXPECT_EQ(result.error().status.code(), StatusCode::unknown);
      gate.add();
    });
  });
  ASSERT_TRUE(gate.wait_for(1));
  EXPECT_EQ(storage->metrics().overdue.load(), 1u);
  engine.carry_out_and_reply(engine.waiting("read").front());  // a late lease is given back
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    {
      std::lock_guard lock(engine.mutex);
      if (engine.leases == 0) break;
    }
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  loop.stop();
}

}  // namespace
}  // namespace sluice::host::testing
