// SPDX-License-Identifier: Apache-2.0
#include "net/timer_queue.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice::net {
namespace {

TEST(TimerQueue, BehavesLikeASortedMap) {
  std::mt19937 random(42);
  TimerQueue queue;
  std::map<std::pair<int64_t, int>, TimerId> model;  // (deadline, order of adding)
  std::vector<int> fired;
  int next = 0;
  int64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 4) {
      case 0:
      case 1: {
        const int64_t deadline = now + static_cast<int64_t>(random() % 100);
        const int name = next++;
        model[{deadline, name}] = queue.add(deadline, [&fired, name] { fired.push_back(name); });
        break;
      }
      case 2: {
        if (model.empty()) break;
        const auto victim = std::next(model.begin(), static_cast<long>(random() % model.size()));
        EXPECT_TRUE(queue.cancel(victim->second));
        EXPECT_FALSE(queue.cancel(victim->second));
        model.erase(victim);
        break;
      }
      default: {
        now += static_cast<int64_t>(random() % 20);
        std::vector<int> expected;
        while (!model.empty() && model.begin()->first.first <= now) {
          expected.push_back(model.begin()->first.second);
          model.erase(model.begin());
        }
        fired.clear();
        while (auto job = queue.take_due(now)) (*job)();
        EXPECT_EQ(fired, expected);
      }
    }
    ASSERT_EQ(queue.size(), model.size());
    ASSERT_EQ(queue.next_deadline_ms(), model.empty() ? INT64_MAX : model.begin()->first.first);
  }
}

TEST(TimerQueue, AnIdIsNotItsPlacesNextOne) {
  TimerQueue queue;
  const TimerId first = queue.add(1, [] {});
  EXPECT_TRUE(queue.take_due(1).has_value());
  const TimerId second = queue.add(1, [] {});
  EXPECT_NE(first, second);
  EXPECT_FALSE(queue.cancel(first));
  EXPECT_TRUE(queue.cancel(second));
  EXPECT_FALSE(queue.cancel(0));
}

}  // namespace
}  // namespace sluice::net
