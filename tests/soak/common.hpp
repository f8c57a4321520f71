// SPDX-License-Identifier: Apache-2.0
// What all parts of the soak share: chance from one seed, the verdict that every check goes to, and the figures that
// are added up.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>

#include "sluice/bus.hpp"

namespace sluice::soak {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// One thread.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  /// Evenly, both ends included.
  int64_t between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(engine_() % static_cast<uint64_t>(most - least + 1));
  }
  bool one_in(uint64_t n) { return engine_() % n == 0; }
  template <class T>
  T of(std::initializer_list<T> choices) {
    return choices.begin()[engine_() % choices.size()];
  }
  uint64_t seed() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

/// What was promised and did not hold. Any thread.
class Verdict {
 public:
  static constexpr uint64_t kMostTold = 50;  // beyond, violations are only counted

  /// A violation of `who`'s, as text.
  void violated(const std::string& who, const std::string& what);
  template <class A, class B>
  void expect_equal(const std::string& who, const char* what, const A& is, const B& should) {
    if (!(is == static_cast<A>(should))) violated(who, fmt::format("{}: {} instead of {}", what, is, should));
  }
  uint64_t all() const { return all_; }
  uint64_t of(const std::string& who) const;

 private:
  std::atomic<uint64_t> all_{0};
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> by_;  // guarded by mutex_
};

/// What a lane did; sums.
struct Figures {
  uint64_t buses = 0, offered = 0, accepted = 0, delivered = 0, refused = 0, unrouted = 0;
  Dropped dropped;
  uint64_t scaled_up = 0, scaled_down = 0;
  uint64_t ended_in_time = 0, ended_late = 0, destroyed = 0;  // shutdowns: at once, after BUSY, none
  uint64_t kills = 0, stops = 0, restarts = 0;                // of engines: SIGKILL, SIGSTOP, stopped and started
  uint64_t read_back = 0, undecided = 0;                      // records; of them those that nobody promised
  uint64_t subscribed = 0, passed = 0;  // events that subscribers got, and those that gave way before
  double seconds = 0;                   // of producing

  void add(const BusStats& stats);
  void add(const Figures& other);
  std::string text() const;
};

/// A lane's figures, which its thread adds to and others read.
class Tally {
 public:
  void add(const Figures& figures) {
    const std::lock_guard lock(mutex_);
    sum_.add(figures);
  }
  Figures get() const {
    const std::lock_guard lock(mutex_);
    return sum_;
  }
  /// What there was until now; begins anew.
  Figures take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(sum_, Figures{});
  }
  std::atomic<uint64_t> offered_now{0};  // grows while a bus lives

 private:
  mutable std::mutex mutex_;
  Figures sum_;
};

/// What every lane is given.
struct Terms {
  uint64_t seed = 0;
  Clock::time_point until;
  bool brisk = false;  // a short run: short lives, short outages
  Verdict* verdict = nullptr;
};

/// Accepted, delivered and dropped as they must be at any time.
void check_sums(Verdict& verdict, const std::string& who, const BusStats& stats);

/// Lets a bus go, and gives what was lost by that. One bus of the process at a time.
uint64_t destroy(std::unique_ptr<Bus> bus);

}  // namespace sluice::soak
