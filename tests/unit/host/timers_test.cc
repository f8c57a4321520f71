// SPDX-License-Identifier: Apache-2.0
#include "host/timers.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
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

struct Flag final : Timers::Entry {
  std::atomic<bool> fired{false};
  void expired() override { fired = true; }
};

/// How often the thread of the process's timers went to sleep so far; -1: there is no such thread.
int64_t sleeps_of_the_watchdog() {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    if (name != "sluice-watchdog") continue;
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      constexpr std::string_view kSleeps = "voluntary_ctxt_switches:";
      if (line.starts_with(kSleeps)) return std::stoll(line.substr(kSleeps.size()));
    }
  }
  return -1;
}

TEST(Timers, OfTheProcessFireAndRunJobs) {
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

// Each wake would take a core from who waits for the call's answer.
TEST(Timers, OfTheProcessAreNotWokenForCallsThatEndInTime) {
  constexpr int kCalls = 2'000;
  constexpr int64_t kFarMs = 600'000;
  Timers& timers = process_timers();
  Flag first;
  timers.arm(first, timers.now_ns() + kFarMs * kNsPerMs);
  EXPECT_TRUE(timers.disarm(first));
  int64_t before = -1;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((before = sleeps_of_the_watchdog()) < 1) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  for (int i = 0; i < kCalls; ++i) {
    Flag call;
    timers.arm(call, timers.now_ns() + kFarMs * kNsPerMs);
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    EXPECT_TRUE(timers.disarm(call));
  }
  EXPECT_LT(sleeps_of_the_watchdog() - before, kCalls / 10);

  Flag soon;
  timers.arm(soon, timers.now_ns() + 2 * kNsPerMs);
  while (!soon.fired) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

}  // namespace
}  // namespace sluice::host
