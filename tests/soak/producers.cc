// SPDX-License-Identifier: Apache-2.0
#include "producers.hpp"

#include <algorithm>
#include <chrono>

namespace sluice::soak {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::duration_cast;

constexpr double kMostBurstSeconds = 0.001;                  // between two looks at the clock
constexpr auto kMostBehind = std::chrono::milliseconds(20);  // beyond, what is missing is not made up for
constexpr auto kLeastNap = std::chrono::microseconds(100);

void count(Produced& sums, Outcome outcome, uint64_t mix) {
  ++sums.offered;
  switch (outcome) {
    case Outcome::queued:
      ++sums.queued;
      sums.sum += mix;
      return;
    case Outcome::dropped:
      ++sums.dropped;
      return;
    case Outcome::full:
    case Outcome::timed_out:
    case Outcome::no_memory:
    case Outcome::exhausted:
      ++sums.refused;
      return;
    case Outcome::no_route:
    case Outcome::shutting_down:
      ++sums.unrouted;
      return;
    case Outcome::invalid:
    case Outcome::too_large:
      ++sums.other;
  }
}

}  // namespace

void Produced::add(const Produced& more) {
  offered += more.offered;
  queued += more.queued;
  dropped += more.dropped;
  refused += more.refused;
  unrouted += more.unrouted;
  other += more.other;
  sum += more.sum;
  mixed_causes = mixed_causes || more.mixed_causes;
  sum_known = sum_known && more.sum_known;
}

Producers::Producers(Bus& bus, ProducerPlan plan, double rate, std::atomic<uint64_t>& offered_now)
    : bus_(bus), plan_(plan), rate_(rate), offered_now_(offered_now), each_(plan.threads) {
  for (size_t i = 0; i < plan_.threads; ++i) threads_.emplace_back([this, i] { run(i); });
}

Produced Producers::join() {
  stop_ = true;
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  Produced all;
  for (const Produced& one : each_) all.add(one);
  return all;
}

void Producers::run(size_t index) {
  Produced sums;
  const auto producer = static_cast<uint32_t>(index);
  std::vector<EventText> texts(plan_.group, EventText(plan_.bus, producer));
  std::vector<Event> events(plan_.group);
  uint64_t n = 0;
  Stamp stamp{plan_.bus, producer, 0};
  const auto put_one = [&] {
    stamp.n = n++;
    count(sums, bus_.ingest(texts[0].stamped(stamp.n)), mixed(stamp));
  };
  const auto put_group = [&] {
    uint64_t mix = 0;
    for (size_t i = 0; i < plan_.group; ++i) {
      stamp.n = n++;
      events[i] = texts[i].stamped(stamp.n);
      mix += mixed(stamp);
    }
    const BatchOutcome got = bus_.ingest(events);
    sums.offered += plan_.group;
    sums.queued += got.queued;
    sums.dropped += got.dropped;
    const size_t left = plan_.group - got.queued - got.dropped;
    if (got.queued == plan_.group) {
      sums.sum += mix;
    } else if (got.queued > 0) {
      sums.sum_known = false;
    }
    if (left > 1) sums.mixed_causes = true;
    if (got.outcome == Outcome::no_route || got.outcome == Outcome::shutting_down) {
      sums.unrouted += left;
    } else if (got.outcome == Outcome::invalid || got.outcome == Outcome::too_large) {
      sums.other += left;
    } else {
      sums.refused += left;
    }
  };
  Clock::time_point due = Clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    const double rate = rate_.load(std::memory_order_relaxed) / static_cast<double>(plan_.threads);
    const size_t burst =
        rate > 0 ? std::clamp<size_t>(static_cast<size_t>(rate * kMostBurstSeconds), 1, kMaxGroup) : kMaxGroup;
    size_t given = 0;
    while (given < burst) {
      plan_.group == 1 ? put_one() : put_group();
      given += plan_.group;
    }
    offered_now_.fetch_add(given, std::memory_order_relaxed);
    if (rate <= 0) continue;
    due += duration_cast<Clock::duration>(duration<double>(static_cast<double>(given) / rate));
    const auto now = Clock::now();
    if (due > now + kLeastNap) {
      std::this_thread::sleep_for(std::min<Clock::duration>(due - now, kMostBehind));
    } else if (now > due + kMostBehind) {
      due = now;
    }
  }
  each_[index] = sums;
}

}  // namespace sluice::soak
