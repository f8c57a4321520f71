// SPDX-License-Identifier: Apache-2.0
// A storage and a log on a FakeEngine, with a loop and timers that the test drives.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/manual_loop.hpp"
#include "fake_adapter.hpp"
#include "host/log.hpp"
#include "host/timers.hpp"

namespace sluice::host::testing {

inline AppendEntry make_entry(std::shared_ptr<std::string> bytes, int64_t base, int32_t records,
                              int64_t timestamp = 1000) {
  AppendEntry entry;
  entry.bytes = {reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()};
  entry.owner = std::move(bytes);
  entry.base_offset = base;
  entry.last_offset = base + records - 1;
  entry.max_timestamp = timestamp;
  entry.record_count = static_cast<uint32_t>(records);
  return entry;
}

inline LogDescriptor make_descriptor(uint8_t number = 1) {
  LogDescriptor descriptor;
  descriptor.id[15] = number;
  descriptor.topic = "topic";
  return descriptor;
}

class LogFixture : public ::testing::Test {
 protected:
  void open() { open(engine.options()); }
  void open(StorageOptions options) {
    options.timers = &timers;
    storage = engine.start(std::move(options));
    ASSERT_NE(storage, nullptr);
    engine.logs.try_emplace(make_descriptor().id);
    log = *storage->open(make_descriptor());
  }
  void TearDown() override {
    engine.reply_to_all(SLUICE_UNKNOWN);
    settle();
    log = nullptr;
    storage = nullptr;
    EXPECT_EQ(engine.leases, 0);
    EXPECT_EQ(engine.open_handles, 0);
  }

  /// Runs the loop until `done`; other threads may be what it waits for.
  template <class Done>
  void run_until(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      if (loop.run_until_idle() + timers.run_due() == 0) std::this_thread::yield();
    }
  }
  /// Runs all that can run now.
  void settle() {
    while (loop.run_until_idle() + timers.run_due() > 0) {
    }
  }
  void advance_ms(int64_t by) {
    settle();
    for (int64_t done = 0; done < by; done += 10) {
      timers.advance_ms(std::min<int64_t>(10, by - done));
      settle();
    }
  }

  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    sluice::start(std::move(task), [&](T value) { result.emplace(std::move(value)); });
    run_until([&] { return result.has_value(); });
    return std::move(*result);
  }

  WritePosition acquire(int32_t epoch) {
    auto position = wait(log->acquire(epoch, loop));
    EXPECT_TRUE(position.has_value());
    return position.value_or(WritePosition{-1, 0});
  }

  /// Queues a batch at the log's position; its outcome comes to `outcomes`.
  Status append(int32_t records, int64_t timestamp = 1000) {
    const WritePosition position = log->position();
    return append_at(position, records, timestamp);
  }
  Status append_at(WritePosition position, int32_t records, int64_t timestamp = 1000) {
    auto bytes = std::make_shared<std::string>(make_batch(position.end, records, timestamp));
    AppendEntry entry = make_entry(std::move(bytes), position.end, records, timestamp);
    entry.done = [this](AppendOutcome outcome) { outcomes.push_back(std::move(outcome)); };
    return log->enqueue(std::move(entry), position.generation, loop);
  }

  FakeEngine engine;
  ManualLoop loop;
  ManualTimers timers;
  std::shared_ptr<Storage> storage;
  std::shared_ptr<Log> log;
  std::vector<AppendOutcome> outcomes;
};

}  // namespace sluice::host::testing
