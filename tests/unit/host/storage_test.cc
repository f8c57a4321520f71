// SPDX-License-Identifier: Apache-2.0
// A storage's life: create, start, stop, health, bind, with adapters that fail, throw, or do not come back.
#include "host/storage.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

/// Holds a thread until it is opened.
class Door {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

using Names = std::vector<std::string>;

TEST(Storage, IsMadeStartedStoppedAndDestroyed) {
  FakeEngine engine;
  engine.largest_unit = 1000;
  {
    auto storage = Storage::create(FakeEngine::library(), engine.options());
    ASSERT_TRUE(storage.has_value());
    EXPECT_FALSE((*storage)->started());
    EXPECT_EQ((*storage)->health().error().code(), StatusCode::unavailable);
    const Result<Condition> condition = (*storage)->start();
    ASSERT_TRUE(condition.has_value());
    EXPECT_EQ(condition->server, "fake 1.0");
    EXPECT_EQ(condition->largest_unit, 1000u);
    EXPECT_TRUE((*storage)->started());
    EXPECT_TRUE((*storage)->start().has_value());  // harmless
    engine.largest_unit = 2000;
    EXPECT_EQ((*storage)->health()->largest_unit, 2000u);
    EXPECT_EQ((*storage)->condition().largest_unit, 2000u);
    EXPECT_TRUE((*storage)->stop(1000).ok());
    EXPECT_FALSE((*storage)->started());
  }
  EXPECT_EQ(engine.lifecycle, (Names{"create", "start", "health", "stop", "destroy"}));
}

TEST(Storage, ThatWasNotStoppedIsStoppedBeforeItIsDestroyed) {
  FakeEngine engine;
  engine.start();
  EXPECT_EQ(engine.lifecycle, (Names{"create", "start", "stop", "destroy"}));
}

TEST(Storage, IsTiedToOneCluster) {
  FakeEngine engine;
  const auto storage = engine.start();
  const std::array<uint8_t, 16> mine = {1};
  const std::array<uint8_t, 16> theirs = {2};
  EXPECT_EQ(*storage->bind(mine), mine);
  EXPECT_EQ(*storage->bind(theirs), mine);
  EXPECT_EQ(*storage->bind(theirs, true), theirs);
}

TEST(Storage, BadOptionsNameTheOption) {
  FakeEngine engine;
  StorageOptions options = engine.options();
  options.inputs["engin"] = std::string("x");
  auto storage = Storage::create(FakeEngine::library(), std::move(options));
  ASSERT_FALSE(storage.has_value());
  EXPECT_EQ(storage.error().option, "engin");
  EXPECT_NE(storage.error().text.find("did you mean \"engine\""), std::string::npos);
}

TEST(Storage, AFailedCreateSaysWhy) {
  FakeEngine engine;
  engine.on_lifecycle = [](const std::string&, sluice_error* error) {
    std::snprintf(error->text, error->text_capacity, "engine is on fire");
    return SLUICE_INVALID;
  };
  auto storage = Storage::create(FakeEngine::library(), engine.options());
  ASSERT_FALSE(storage.has_value());
  EXPECT_EQ(storage.error().text, "engine is on fire");
}

TEST(Storage, AnExceptionStopsAtTheCall) {
  FakeEngine engine;
  engine.on_lifecycle = [](const std::string& name, sluice_error*) -> sluice_status {
    if (name == "create") throw std::runtime_error("no luck");
    return SLUICE_OK;
  };
  auto made = Storage::create(FakeEngine::library(), engine.options());
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().text, "adapter fake 1.0 ((built in)) threw a C++ exception out of create: no luck");
  engine.on_lifecycle = [](const std::string& name, sluice_error*) -> sluice_status {
    if (name == "start") throw 42;
    return SLUICE_OK;
  };
  made = Storage::create(FakeEngine::library(), engine.options());
  ASSERT_TRUE(made.has_value());
  const Result<Condition> started = (*made)->start();
  EXPECT_EQ(started.error().code(), StatusCode::internal);
  EXPECT_NE(started.error().text().find("threw a C++ exception out of start"), std::string::npos);
  engine.on_lifecycle = nullptr;
  EXPECT_TRUE((*made)->start().has_value());
}

TEST(Storage, AFailedStartMayBeRepeated) {
  FakeEngine engine;
  engine.on_lifecycle = [](const std::string& name, sluice_error*) {
    return name == "start" ? SLUICE_UNAVAILABLE : SLUICE_OK;
  };
  auto storage = *Storage::create(FakeEngine::library(), engine.options());
  EXPECT_EQ(storage->start().error().code(), StatusCode::unavailable);
  EXPECT_FALSE(storage->started());
  engine.on_lifecycle = nullptr;
  EXPECT_TRUE(storage->start().has_value());
}

// Long enough for a thread of a busy machine to get there.
constexpr int64_t kGivenUpMs = 1'000;

TEST(Storage, ASlowStartIsGivenUpAndCountsOnceItComesBack) {
  FakeEngine engine;
  Door door;
  engine.on_lifecycle = [&](const std::string& name, sluice_error*) {
    if (name == "start") door.pass();
    return SLUICE_OK;
  };
  StorageOptions options = engine.options();
  options.lifecycle_timeout_ms = kGivenUpMs;
  auto storage = *Storage::create(FakeEngine::library(), std::move(options));
  Result<Condition> started = storage->start();
  EXPECT_EQ(started.error().code(), StatusCode::unavailable);
  EXPECT_EQ(started.error().text(),
            "storage fake: adapter fake ((built in)) did not come back from start within 1000 ms");
  started = storage->start();
  EXPECT_EQ(started.error().text(),
            "storage fake: adapter fake ((built in)) is still busy with start, so start must wait");
  EXPECT_EQ(storage->stop(30).code(), StatusCode::unavailable);
  EXPECT_FALSE(storage->started());
  door.open();
  EXPECT_TRUE(eventually([&] { return storage->started(); }));
  EXPECT_TRUE(storage->stop(20'000).ok());
  EXPECT_EQ(engine.lifecycle, (Names{"create", "start", "stop"}));
}

TEST(Storage, ASlowStopIsGivenUpAndTheProcessGoesOn) {
  FakeEngine engine;
  Door door;
  engine.on_lifecycle = [&](const std::string& name, sluice_error*) {
    if (name == "stop") door.pass();
    return SLUICE_OK;
  };
  StorageOptions options = engine.options();
  options.lifecycle_timeout_ms = kGivenUpMs;
  std::vector<std::string> lines;
  options.log = [&](int, const std::string& line) { lines.push_back(line); };
  auto storage = engine.start(std::move(options));
  EXPECT_EQ(storage->stop(kGivenUpMs).code(), StatusCode::unavailable);
  EXPECT_FALSE(storage->started());
  storage = nullptr;
  door.open();
  // The last to hold the storage was its stop: destroy follows it.
  EXPECT_TRUE(eventually([&] { return engine.destroyed.load(); }));
}

TEST(Storage, LogLinesOfTheAdapterArriveAtItsVoice) {
  FakeEngine engine;
  StorageOptions options = engine.options();
  std::vector<std::string> lines;
  options.log = [&](int level, const std::string& line) { lines.push_back(std::to_string(level) + " " + line); };
  const auto storage = engine.start(std::move(options));
  engine.host->log(engine.host, "fake", SLUICE_LOG_WARNING, "hot");
  EXPECT_EQ(lines, Names{"2 hot"});
  EXPECT_EQ(engine.host->crc32c(0, "123456789", 9), 0xe3069283u);
}

class StorageCalls : public LogFixture {};

TEST_F(StorageCalls, ALeaseOutlivesTheLogAndKeepsTheStorage) {
  open();
  acquire(1);
  ASSERT_TRUE(append(1).ok());
  log->send();
  auto read = wait(log->read(0, INT64_MAX, 1, loop));
  ASSERT_TRUE(read.has_value());
  log = nullptr;
  EXPECT_TRUE(storage->stop(1000).ok());
  storage = nullptr;
  EXPECT_FALSE(engine.destroyed.load());
  EXPECT_EQ(*gather(*read), make_batch(0, 1));
  read->lease = Lease();
  EXPECT_TRUE(engine.destroyed.load());
  EXPECT_EQ(engine.leases, 0);
}

TEST_F(StorageCalls, TheLeaseBudgetIsKept) {
  StorageOptions options = engine.options();
  options.max_bytes_leased = 50;
  open(std::move(options));
  acquire(1);
  ASSERT_TRUE(append(1).ok());
  log->send();
  auto first = wait(log->read(0, INT64_MAX, 1, loop));
  ASSERT_TRUE(first.has_value());
  auto second = wait(log->read(0, INT64_MAX, 1, loop));
  EXPECT_EQ(second.error().status.code(), StatusCode::busy);
  first->lease = Lease();
  EXPECT_TRUE(wait(log->read(0, INT64_MAX, 1, loop)).has_value());
}

TEST_F(StorageCalls, AStorageThatIsHeldOffIsNotCalled) {
  open();
  acquire(1);
  ASSERT_TRUE(append(1).ok());
  log->send();
  storage->hold_off("the engine hangs");
  const Status refused = append(1);
  EXPECT_EQ(refused.code(), StatusCode::unavailable);
  EXPECT_NE(refused.text().find("the engine hangs"), std::string::npos) << refused.text();
  EXPECT_EQ(wait(log->read(0, INT64_MAX, 1, loop)).error().status.code(), StatusCode::unavailable);
  EXPECT_EQ(wait(log->bounds(loop)).error().code(), StatusCode::unavailable);
  EXPECT_TRUE(storage->started());
  EXPECT_TRUE(storage->health().has_value()) << "health is asked all the same";
  storage->let_in();
  ASSERT_TRUE(append(1).ok());
  log->send();
  EXPECT_TRUE(wait(log->read(0, INT64_MAX, 1, loop)).has_value());
  EXPECT_EQ(wait(log->bounds(loop))->end, 2);
}

TEST_F(StorageCalls, OverdueCallsOfEveryKindAreAnsweredUnknown) {
  open();
  acquire(1);
  engine.mode = FakeEngine::Mode::manual;
  int answered = 0;
  const auto unknown = [&](Status status) {
    EXPECT_EQ(status.code(), StatusCode::unknown) << status.describe();
    ++answered;
  };
  sluice::start(storage->create_log(make_descriptor(9), loop), unknown);
  sluice::start(storage->delete_log(make_descriptor(9), loop), unknown);
  sluice::start(storage->list_logs(loop), [&](auto result) { unknown(result.error()); });
  sluice::start(log->read(0, 1, 1, loop), [&](auto result) { unknown(result.error().status); });
  sluice::start(log->bounds(loop), [&](auto result) { unknown(result.error()); });
  sluice::start(log->locate(1, loop), [&](auto result) { unknown(result.error()); });
  sluice::start(log->load("a", loop), [&](auto result) { unknown(result.error()); });
  sluice::start(log->trim(1, loop), unknown);
  sluice::start(log->save("a", "b", loop), unknown);
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 9);
  advance_ms(30'100);
  EXPECT_EQ(answered, 9);
  EXPECT_EQ(storage->metrics().overdue.load(), 9u);
  // Late successes bring leases and values, which are given back.
  for (const size_t index : engine.waiting()) engine.carry_out_and_reply(index);
  settle();
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 0);
}

TEST_F(StorageCalls, ExceptionsOutOfAsynchronousCallsBecomeAnswers) {
  open();
  std::vector<sluice_ticket*> tickets;
  engine.on_call = [&](const Command& c) {
    tickets.push_back(c.ticket);
    throw std::logic_error("bad day");
  };
  const auto read = wait(log->read(0, 1, 1, loop));
  EXPECT_NE(read.error().status.text().find("threw an exception out of read"), std::string::npos);
  EXPECT_FALSE(wait(log->bounds(loop)).has_value());
  for (sluice_ticket* ticket : tickets) engine.host->complete(engine.host, ticket, SLUICE_UNAVAILABLE);
}

}  // namespace
}  // namespace sluice::host::testing
