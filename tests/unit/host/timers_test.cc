// SPDX-License-Identifier: Apache-2.0
#include "host/timers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace sluice::host {
namespace {

struct Probe final : Timers::Entry {
  int64_t due_ms = 0;
  std::vector<Probe*>* fired = nullptr;
  void expired() override { fired->push_back(this); }
};

constexpr int64_t kNsPerMs = 1'000'000;

TEST(Timers, FireInOrderAndOnlyWhenDue) {
  ManualTimers timers;
  std::vector<Probe*> fired;
  std::vector<Probe> probes(3);
  const int64_t start = timers.now_ns();
  const int64_t due[] = {30, 10, 20};
  for (size_t i = 0; i < 3; ++i) {
    probes[i].fired = &fired;
    timers.arm(probes[i], start + due[i] * kNsPerMs);
  }
  timers.advance_ms(9);
  EXPECT_TRUE(fired.empty());
  timers.advance_ms(11);
  EXPECT_EQ(fired, (std::vector<Probe*>{&probes[1], &probes[2]}));
  EXPECT_FALSE(timers.disarm(probes[1]));
  EXPECT_TRUE(timers.disarm(probes[0]));
  EXPECT_FALSE(timers.disarm(probes[0]));
  timers.advance_ms(100);
  EXPECT_EQ(fired.size(), 2u);
}

TEST(Timers, ManyAreArmedAndDisarmedAtRandom) {
  std::mt19937 random(3);
  ManualTimers timers;
  std::vector<Probe*> fired;
  std::vector<std::unique_ptr<Probe>> probes;
  std::vector<bool> armed;
  const int64_t start = timers.now_ns();
  for (int i = 0; i < 1000; ++i) {
    auto& probe = probes.emplace_back(std::make_unique<Probe>());
    probe->fired = &fired;
    probe->due_ms = static_cast<int64_t>(random() % 500);
    timers.arm(*probe, start + probe->due_ms * kNsPerMs);
    armed.push_back(true);
    const size_t other = random() % probes.size();
    if (random() % 2 == 0 && armed[other]) {
      EXPECT_TRUE(timers.disarm(*probes[other]));
      armed[other] = false;
    }
  }
  timers.advance_ms(499);
  EXPECT_EQ(fired.size(), static_cast<size_t>(std::count(armed.begin(), armed.end(), true)));
  EXPECT_TRUE(
      std::is_sorted(fired.begin(), fired.end(), [](const Probe* a, const Probe* b) { return a->due_ms < b->due_ms; }));
}

TEST(Timers, OfTheProcessFireAndRunJobs) {
  struct Flag final : Timers::Entry {
    std::atomic<bool> fired{false};
    void expired() override { fired = true; }
  };
  Flag soon;
  Flag late;
  std::atomic<bool> ran{false};
  Timers& timers = process_timers();
  timers.arm(late, timers.now_ns() + 3'600'000 * kNsPerMs);
  timers.arm(soon, timers.now_ns() + 2 * kNsPerMs);
  timers.post([&] { ran = true; });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!soon.fired || !ran) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  EXPECT_TRUE(timers.disarm(late));
  EXPECT_FALSE(late.fired);
}

}  // namespace
}  // namespace sluice::host
