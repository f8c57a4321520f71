// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <mutex>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

sluice_poll request() {
  sluice_poll made{};
  made.size = sizeof made;
  made.max_records = 10;
  made.max_bytes = 1 << 20;
  made.wait_ms = 1'000;
  made.min_records = 1;
  return made;
}

/// Keeps what is pushed to it.
struct Pushed {
  std::mutex mutex;
  std::vector<std::string> values;
  sluice_status failed = SLUICE_OK;
  size_t most = SIZE_MAX;      // then it ends the subscription
  sluice_handle releases = 0;  // a subscription, in its first call
  std::atomic<int> gone{0};

  static uint32_t push(void* context, sluice_handle page, const sluice_polled* polled, const sluice_failure* failure) {
    auto& self = *static_cast<Pushed*>(context);
    const std::scoped_lock lock(self.mutex);
    if (failure != nullptr) {
      EXPECT_EQ(page, 0U);
      EXPECT_EQ(polled, nullptr);
      self.failed = failure->code;
      return 1;
    }
    const sluice_record* records = nullptr;
    uint64_t count = 0;
    EXPECT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
    EXPECT_EQ(polled->records, count);
    for (uint64_t i = 0; i < count; ++i) self.values.emplace_back(view(records[i].value));
    sluice_release(page, nullptr);
    if (self.releases != 0) sluice_release(self.releases, nullptr);
    return self.values.size() < self.most ? 1 : 0;
  }
  static void is_gone(void* context) { ++static_cast<Pushed*>(context)->gone; }
  size_t count() {
    const std::scoped_lock lock(mutex);
    return values.size();
  }
};

class SubscriptionFace : public ::testing::Test {
 protected:
  SubscriptionFace() {
    open_by(&sluice_memory_open, R"({"id": "m"})", memory_);
    open_consumer(fmt::format(R"({{"sources": [{{"kind": "memory", "memory": {}}}]}})", memory_.handle), "", consumer_);
  }
  void append(int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string value = fmt::format("{}", i);
      sluice_record record{};
      record.value = span(value);
      ASSERT_EQ(sluice_memory_append(memory_, &record, 1, nullptr, nullptr), SLUICE_OK);
    }
  }
  void subscribe(Pushed& pushed, Owned& subscription) {
    const auto wanted = request();
    Failure failure;
    ASSERT_EQ(
        sluice_subscribe(consumer_, &wanted, &Pushed::push, &Pushed::is_gone, &pushed, &subscription.handle, &failure),
        SLUICE_OK)
        << failure.text;
  }
  /// A subscription ends on a thread of its own: what it has of the test's stays until it says that it is gone.
  static void end(Pushed& pushed, sluice_handle subscription) {
    EXPECT_EQ(sluice_release(subscription, nullptr), SLUICE_OK);
    EXPECT_TRUE(comes_true([&] { return pushed.gone == 1; }));
  }
  Owned memory_;
  Owned consumer_;
};

TEST_F(SubscriptionFace, pages_are_pushed_until_the_shards_end) {
  Pushed pushed;
  Owned subscription;
  append(0, 25);
  subscribe(pushed, subscription);
  EXPECT_TRUE(comes_true([&] { return pushed.count() == 25; }));
  ASSERT_EQ(sluice_subscription_pause(subscription, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_subscription_resume(subscription, nullptr), SLUICE_OK);
  append(25, 30);
  EXPECT_EQ(sluice_memory_seal(memory_, nullptr), SLUICE_OK);
  uint32_t running = 1;
  EXPECT_TRUE(comes_true([&] {
    EXPECT_EQ(sluice_subscription_running(subscription, &running, nullptr), SLUICE_OK);
    return running == 0;
  }));
  EXPECT_EQ(pushed.count(), 30U);
  EXPECT_EQ(pushed.failed, SLUICE_OK);
  EXPECT_EQ(sluice_subscription_stop(subscription, 10'000, nullptr), SLUICE_OK);
  EXPECT_EQ(pushed.gone, 0);
  end(pushed, subscription);
}

TEST_F(SubscriptionFace, the_function_ends_it) {
  Pushed pushed;
  pushed.most = 10;
  Owned subscription;
  append(0, 25);
  subscribe(pushed, subscription);
  EXPECT_EQ(sluice_subscription_stop(subscription, 60'000, nullptr), SLUICE_OK);
  EXPECT_LE(pushed.count(), 10U);
  end(pushed, subscription);
}

TEST_F(SubscriptionFace, S16_it_may_be_released_from_within) {
  Pushed pushed;
  append(0, 25);
  {
    // The function waits for the handle by the mutex.
    const std::scoped_lock lock(pushed.mutex);
    const auto wanted = request();
    ASSERT_EQ(sluice_subscribe(consumer_, &wanted, &Pushed::push, &Pushed::is_gone, &pushed, &pushed.releases, nullptr),
              SLUICE_OK);
  }
  EXPECT_TRUE(comes_true([&] { return pushed.gone == 1; }));
  EXPECT_EQ(sluice_release(pushed.releases, nullptr), SLUICE_NOT_FOUND);
  EXPECT_EQ(pushed.count(), 10U);
}

TEST_F(SubscriptionFace, a_closed_consumer_says_so_last) {
  Pushed pushed;
  Owned subscription;
  subscribe(pushed, subscription);
  EXPECT_EQ(sluice_release(consumer_, nullptr), SLUICE_OK);
  uint32_t running = 1;
  EXPECT_TRUE(comes_true([&] {
    EXPECT_EQ(sluice_subscription_running(subscription, &running, nullptr), SLUICE_OK);
    return running == 0;
  }));
  EXPECT_EQ(pushed.failed, SLUICE_FENCED);
  end(pushed, subscription);
}

TEST_F(SubscriptionFace, a_page_for_which_there_is_no_handle_is_not_passed) {
  Pushed pushed;
  Owned subscription;
  {
    AllHandles all;
    all.leave_one();
    subscribe(pushed, subscription);
    append(0, 5);
    uint32_t running = 1;
    EXPECT_TRUE(comes_true([&] {
      EXPECT_EQ(sluice_subscription_running(subscription, &running, nullptr), SLUICE_OK);
      return running == 0;
    }));
  }
  EXPECT_EQ(pushed.failed, SLUICE_BUSY);
  end(pushed, subscription);
  std::vector<std::string> values;
  EXPECT_TRUE(comes_true([&] {  // the end of the subscription wakes a poll
    for (auto& value : values_of(consumer_, 5, 10)) values.push_back(std::move(value));
    return values.size() >= 5;
  }));
  EXPECT_EQ(values, (std::vector<std::string>{"0", "1", "2", "3", "4"}));
}

TEST_F(SubscriptionFace, wrong_arguments_are_told) {
  Failure failure;
  sluice_handle made = 0;
  auto wanted = request();
  EXPECT_EQ(sluice_subscribe(consumer_, &wanted, nullptr, nullptr, nullptr, &made, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_subscribe(memory_, &wanted, &Pushed::push, nullptr, nullptr, &made, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_subscribe(consumer_, nullptr, &Pushed::push, nullptr, nullptr, &made, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_subscribe(consumer_, &wanted, &Pushed::push, nullptr, nullptr, nullptr, &failure), SLUICE_INVALID);
}

TEST_F(SubscriptionFace, B01_calls_race_with_stop_and_release) {
  Pushed pushed;
  int rounds = 0;
  race_with_release(
      30,
      [&] {
        sluice_handle subscription = 0;
        const auto wanted = request();
        EXPECT_EQ(
            sluice_subscribe(consumer_, &wanted, &Pushed::push, &Pushed::is_gone, &pushed, &subscription, nullptr),
            SLUICE_OK);
        append(rounds, rounds + 5);
        ++rounds;
        return subscription;
      },
      [](sluice_handle subscription) {
        uint32_t running = 0;
        sluice_subscription_pause(subscription, nullptr);
        sluice_subscription_resume(subscription, nullptr);
        return sluice_subscription_running(subscription, &running, nullptr);
      },
      [](sluice_handle subscription) { EXPECT_EQ(sluice_subscription_stop(subscription, 60'000, nullptr), SLUICE_OK); },
      [](sluice_status) { return false; });
  EXPECT_TRUE(comes_true([&] { return pushed.gone == rounds; }));
}

}  // namespace
}  // namespace sluice::c::testing
