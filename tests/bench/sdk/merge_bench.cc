// SPDX-License-Identifier: Apache-2.0
// 64 shards in memory through the merging consumer, unordered and by time, beside plain programs that do the same to
// the same records: a walk over all shards in turns, and a heap of shards. Then what a poll adds to an append, by
// processor time where the poll comes after it, and by the clock on the wall where it waits on another thread, beside a
// plain hand-over between two threads; and the memory used.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "sluice/consumer.hpp"
#include "sluice/memory_source.hpp"

namespace sluice {
namespace {

constexpr size_t kShards = 64;
constexpr size_t kRecords = 20'000;  // of each
constexpr size_t kPollRecords = 4'096;
constexpr int kRounds = 9;

// Processor time of this thread, which does all the work here: what other programs do meanwhile does not count.
struct Clock {
  using time_point = double;
  static time_point now() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
};

double seconds_since(Clock::time_point start) {
  return Clock::now() - start;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

struct World {
  std::vector<std::shared_ptr<MemorySource>> sources;
  std::vector<std::vector<Record>> plain;  // the same records
};

World make_world() {
  World world;
  std::mt19937_64 random(1);
  static const std::string value(100, 'v');
  for (size_t i = 0; i < kShards; ++i) {
    world.sources.push_back(std::make_shared<MemorySource>(fmt::format("bench/{}", i)));
    world.plain.emplace_back();
    int64_t time = 0;
    for (size_t j = 0; j < kRecords; ++j) {
      Record record;
      record.position = static_cast<int64_t>(j);
      record.timestamp_ns = time += static_cast<int64_t>(random() % 1'000);
      record.value = as_bytes(value);
      if (!world.sources.back()->append(record)) std::abort();
      world.plain.back().push_back(record);
    }
    world.sources.back()->seal();
  }
  return world;
}

// What an application does with each record at the least.
uint64_t look_at(const Record& record) {
  return static_cast<uint64_t>(record.position) + record.value->size();
}

struct Run {
  double rate = 0;  // records/s
  uint64_t sum = 0;
  uint64_t most_buffered = 0;
};

Run consume(const World& world, MergeOrder order) {
  ConsumerConfig config;
  config.order = order;
  auto consumer = MergingConsumer::create(config, {world.sources.begin(), world.sources.end()});
  if (!consumer) std::abort();
  PollRequest request;
  request.max_records = kPollRecords;
  Run run;
  size_t records = 0;
  const auto start = Clock::now();
  for (bool done = false; !done;) {
    const auto response = (*consumer)->poll(request);
    if (!response) std::abort();
    for (const MergedRecord& each : response->records) run.sum += look_at(*each);
    records += response->records.size();
    run.most_buffered = std::max(run.most_buffered, (*consumer)->buffered_bytes());
    done = response->done;
  }
  run.rate = static_cast<double>(records) / seconds_since(start);
  if (records != kShards * kRecords) std::abort();
  return run;
}

Run walk_in_turns(const World& world) {
  Run run;
  std::vector<MergedRecord> response;
  response.reserve(kPollRecords);
  const auto start = Clock::now();
  for (size_t at = 0; at < kRecords; at += 64) {
    for (uint32_t shard = 0; shard < kShards; ++shard) {
      for (size_t i = at; i < std::min(at + 64, kRecords); ++i) {
        response.push_back({&world.plain[shard][i], shard, false});
        if (response.size() < kPollRecords) continue;
        for (const MergedRecord& each : response) run.sum += look_at(*each);
        response.clear();
      }
    }
  }
  for (const MergedRecord& each : response) run.sum += look_at(*each);
  run.rate = kShards * kRecords / seconds_since(start);
  return run;
}

Run heap_of_shards(const World& world) {
  Run run;
  std::vector<MergedRecord> response;
  response.reserve(kPollRecords);
  using Head = std::pair<int64_t, uint32_t>;
  std::priority_queue<Head, std::vector<Head>, std::greater<>> heap;
  std::vector<size_t> at(kShards, 0);
  const auto start = Clock::now();
  for (uint32_t shard = 0; shard < kShards; ++shard) heap.emplace(world.plain[shard][0].timestamp_ns, shard);
  while (!heap.empty()) {
    const uint32_t shard = heap.top().second;
    heap.pop();
    response.push_back({&world.plain[shard][at[shard]], shard, false});
    if (++at[shard] < kRecords) heap.emplace(world.plain[shard][at[shard]].timestamp_ns, shard);
    if (response.size() < kPollRecords) continue;
    for (const MergedRecord& each : response) run.sum += look_at(*each);
    response.clear();
  }
  for (const MergedRecord& each : response) run.sum += look_at(*each);
  run.rate = kShards * kRecords / seconds_since(start);
  return run;
}

void compare(const char* name, double aim, const std::function<Run()>& ours, const std::function<Run()>& plain) {
  std::vector<double> our_rates, plain_rates, ratios;
  uint64_t buffered = 0;
  for (int i = 0; i < kRounds; ++i) {
    const Run left = ours();
    const Run right = plain();
    if (left.sum != right.sum) std::abort();
    our_rates.push_back(left.rate);
    plain_rates.push_back(right.rate);
    ratios.push_back(left.rate / right.rate);
    buffered = std::max(buffered, left.most_buffered);
  }
  fmt::print(
      "{:10} {:6.1f} M records/s, plain {:6.1f}, ratio {:.2f} (aim: {:.0f} M/s); {:.1f} of {} MiB buffered at most\n",
      name, median(our_rates) / 1e6, median(plain_rates) / 1e6, median(ratios), aim,
      static_cast<double>(buffered) / (1 << 20), ConsumerConfig().read_ahead_bytes >> 20);
}

// From an append to the end of the poll that has the record, 64 shards, one thread.
void latency(MergeOrder order) {
  std::vector<std::shared_ptr<MemorySource>> sources;
  for (size_t i = 0; i < kShards; ++i) sources.push_back(std::make_shared<MemorySource>(fmt::format("latency/{}", i)));
  ConsumerConfig config;
  config.order = order;
  config.idle_hold_ms = 0;
  auto consumer = MergingConsumer::create(config, {sources.begin(), sources.end()});
  if (!consumer) std::abort();
  PollRequest request;
  request.wait_ms = 0;
  std::vector<double> added;
  Record record;
  for (int64_t i = 0; i < 20'000; ++i) {
    record.timestamp_ns = i;
    const auto start = Clock::now();
    if (!sources[static_cast<size_t>(i) % kShards]->append(record)) std::abort();
    for (size_t got = 0; got == 0;) {
      const auto response = (*consumer)->poll(request);
      if (!response) std::abort();
      got = response->records.size();
    }
    if (i >= 1'000) added.push_back(seconds_since(start) * 1e6);
  }
  std::sort(added.begin(), added.end());
  fmt::print("{:10} append to delivery p50 {:.1f} us, p99 {:.1f} us (aim: 20)\n",
             order == MergeOrder::unordered ? "unordered" : "by time", added[added.size() / 2],
             added[added.size() * 99 / 100]);
}

constexpr int kHandOvers = 3'000;
constexpr auto kUntilItWaits = std::chrono::microseconds(200);  // for the other thread to be asleep again

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void print_waits(const char* name, std::vector<double> waits_us) {
  std::sort(waits_us.begin(), waits_us.end());
  fmt::print("{:10} append to a poll that waits p50 {:.1f} us, p99 {:.1f} us\n", name, waits_us[waits_us.size() / 2],
             waits_us[waits_us.size() * 99 / 100]);
}

/// Gives a time to another thread again and again, once that waits, and has it say when it came.
template <class Give, class Take>
std::vector<double> hand_over(Give&& give, Take&& take) {
  std::vector<double> waits_us;
  std::atomic<int> taken{0};
  std::thread taker([&] {
    for (int i = 0; i < kHandOvers; ++i) {
      const int64_t given_ns = take();
      waits_us.push_back(static_cast<double>(wall_ns() - given_ns) / 1e3);
      taken.store(i + 1, std::memory_order_release);
    }
  });
  for (int i = 0; i < kHandOvers; ++i) {
    while (taken.load(std::memory_order_acquire) != i) std::this_thread::yield();
    std::this_thread::sleep_for(kUntilItWaits);
    give(wall_ns());
  }
  taker.join();
  return waits_us;
}

void waiting_latency(MergeOrder order) {
  std::vector<std::shared_ptr<MemorySource>> sources;
  for (size_t i = 0; i < kShards; ++i) sources.push_back(std::make_shared<MemorySource>(fmt::format("waiting/{}", i)));
  ConsumerConfig config;
  config.order = order;
  config.idle_hold_ms = 0;
  auto consumer = MergingConsumer::create(config, {sources.begin(), sources.end()});
  if (!consumer) std::abort();
  size_t next = 0;
  const auto give = [&](int64_t now_ns) {
    Record record;
    record.timestamp_ns = now_ns;
    if (!sources[next++ % kShards]->append(record)) std::abort();
  };
  const auto take = [&] {
    for (;;) {
      const auto response = (*consumer)->poll();
      if (!response) std::abort();
      if (!response->records.empty()) return response->records.front()->timestamp_ns;
    }
  };
  print_waits(order == MergeOrder::unordered ? "unordered" : "by time", hand_over(give, take));
}

void plain_waiting_latency() {
  std::mutex mutex;
  std::condition_variable came;
  int64_t given_ns = 0;
  const auto give = [&](int64_t now_ns) {
    const std::lock_guard lock(mutex);
    given_ns = now_ns;
    came.notify_one();
  };
  const auto take = [&] {
    std::unique_lock lock(mutex);
    came.wait(lock, [&] { return given_ns != 0; });
    return std::exchange(given_ns, 0);
  };
  print_waits("plain", hand_over(give, take));
}

}  // namespace
}  // namespace sluice

int main() {
  using namespace sluice;
  const World world = make_world();
  compare(
      "unordered", 10, [&] { return consume(world, MergeOrder::unordered); }, [&] { return walk_in_turns(world); });
  compare(
      "by time", 5, [&] { return consume(world, MergeOrder::by_time); }, [&] { return heap_of_shards(world); });
  latency(MergeOrder::unordered);
  latency(MergeOrder::by_time);
  waiting_latency(MergeOrder::unordered);
  waiting_latency(MergeOrder::by_time);
  plain_waiting_latency();
}
