// SPDX-License-Identifier: Apache-2.0
// A log's calls on a storage that behaves, in each of the ways in which an adapter may complete a call.
#include "host/log.hpp"

#include <gtest/gtest.h>

#include "base/manual_loop.hpp"
#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

class LogTest : public LogFixture, public ::testing::WithParamInterface<FakeEngine::Mode> {
 protected:
  void SetUp() override {
    engine.mode = GetParam();
    open();
  }
};

TEST_P(LogTest, AppendedBatchesAreReadBack) {
  const WritePosition position = acquire(1);
  EXPECT_EQ(position.end, 0);
  ASSERT_TRUE(append(3).ok());
  ASSERT_TRUE(append(2).ok());
  log->send();
  run_until([&] { return outcomes.size() == 2; });
  EXPECT_EQ(outcomes[0].first_offset, 0);
  EXPECT_EQ(outcomes[1].last_offset, 4);
  EXPECT_EQ(outcomes[1].log_end, 5);
  EXPECT_EQ(log->position().end, 5);

  auto read = wait(log->read(0, INT64_MAX, 1 << 20, loop));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*gather(*read), make_batch(0, 3) + make_batch(3, 2));
  EXPECT_EQ(read->next, 5);
  EXPECT_EQ(read->end, 5);
  EXPECT_EQ(engine.leases, 1);
  EXPECT_GT(storage->metrics().bytes_leased.load(), 0);
  read = tl::make_unexpected(ReadError{});
  EXPECT_EQ(engine.leases, 0);
  EXPECT_EQ(storage->metrics().bytes_leased.load(), 0);
  EXPECT_EQ(storage->metrics().bytes_in_flight.load(), 0);
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 0);
}

TEST_P(LogTest, ReadsBeyondTheLogTellItsBounds) {
  acquire(1);
  const auto read = wait(log->read(7, INT64_MAX, 1 << 20, loop));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(read.error().start, 0);
  EXPECT_EQ(read.error().end, 0);
}

TEST_P(LogTest, BoundsLocateTrimSaveAndLoad) {
  acquire(4);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(append(10, 1000 * (i + 1)).ok());
    log->send();
  }
  run_until([&] { return outcomes.size() == 3; });
  EXPECT_EQ(wait(log->bounds(loop))->end, 30);
  EXPECT_EQ(wait(log->bounds(loop))->token, (uint64_t{4} << 32) + 1);
  EXPECT_FALSE(wait(log->bounds(loop))->bytes.has_value());
  EXPECT_EQ(*wait(log->locate(1500, loop)), 10);
  EXPECT_EQ(*wait(log->locate(9999, loop)), 30);
  EXPECT_TRUE(wait(log->trim(10, loop)).ok());
  EXPECT_EQ(wait(log->bounds(loop))->start, 10);
  EXPECT_TRUE(wait(log->save("state", "value", loop)).ok());
  EXPECT_EQ(**wait(log->load("state", loop)), "value");
  EXPECT_FALSE(wait(log->load("other", loop))->has_value());
  EXPECT_TRUE(wait(log->save("state", "", loop)).ok());
  EXPECT_FALSE(wait(log->load("state", loop))->has_value());
  EXPECT_EQ(wait(log->save("", "x", loop)).code(), StatusCode::invalid);
  EXPECT_EQ(wait(log->save("x", std::string(SLUICE_LARGEST_VALUE + 1, 'x'), loop)).code(), StatusCode::too_large);
  EXPECT_EQ(wait(log->watch(0, loop)).code(), StatusCode::unsupported);
}

TEST_P(LogTest, LogsAreListedAndDeleted) {
  const auto listed = wait(storage->list_logs(loop));
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().id, log->descriptor().id);
  EXPECT_TRUE(wait(storage->delete_log(log->descriptor(), loop)).ok());
  EXPECT_TRUE(wait(storage->list_logs(loop))->empty());
  EXPECT_EQ(wait(log->acquire(1, loop)).error().code(), StatusCode::not_found);
}

TEST_P(LogTest, DoneMayAppendAgain) {
  acquire(1);
  int left = 50;
  std::function<void()> next = [&] {
    const WritePosition position = log->position();
    auto bytes = std::make_shared<std::string>(make_batch(position.end, 1));
    AppendEntry entry = make_entry(bytes, position.end, 1);
    entry.done = [&](AppendOutcome outcome) {
      EXPECT_TRUE(outcome.status.ok());
      outcomes.push_back(std::move(outcome));
      if (--left > 0) next();
    };
    ASSERT_TRUE(log->enqueue(std::move(entry), position.generation, loop).ok());
    log->send();
  };
  next();
  run_until([&] { return left == 0; });
  for (size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i].first_offset, static_cast<int64_t>(i));
}

INSTANTIATE_TEST_SUITE_P(Modes, LogTest,
                         ::testing::Values(FakeEngine::Mode::inline_final, FakeEngine::Mode::inline_pending,
                                           FakeEngine::Mode::thread));

}  // namespace
}  // namespace sluice::host::testing
