// SPDX-License-Identifier: Apache-2.0
// The event bus beside a plain program, in one run, taking turns: 110-byte JSON events with a key, two shards, a sink
// that counts.
//
// The plain program is what one would write by hand for one producer: a ring of slots per shard, a hash of the key, a
// timestamp from the same clock, two copies, a release store per event or per group, and one thread that reads and
// counts. It has no second producer, no accounting, no backpressure but waiting, no shards that come and go.
//
//   bus_bench [events per round, default 4 million] [rounds, default 5]
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bus/bus_clock.hpp"
#include "bus/frame.hpp"
#include "bus/key_hash.hpp"
#include "bus/signal.hpp"
#include "sluice/bus.hpp"

namespace {

using namespace sluice;
using sluice::bus::monotonic_ns;

constexpr uint32_t kShards = 2;
constexpr uint32_t kCapacity = 16'384;
constexpr size_t kBatch = 256;
constexpr size_t kKeys = 1'024;

struct Load {
  std::vector<std::string> keys;
  std::vector<std::string> values;
  std::vector<Event> events;
};

Load make_load() {
  Load load;
  for (size_t i = 0; i < kKeys; ++i) {
    load.keys.push_back(fmt::format("user-{:05}", i));
    std::string value = fmt::format(
        R"({{"user":"user-{:05}","type":"page_view","path":"/products/{:06}","ms":{:04},"ok":true,"region":"eu-west-1")",
        i, i * 7, i);
    value.resize(108, ' ');
    load.values.push_back(value + " }");
  }
  for (size_t i = 0; i < kKeys; ++i)
    load.events.push_back({.key = as_bytes(load.keys[i]), .value = as_bytes(load.values[i])});
  return load;
}

/// What a run gave: millions of events per second, and what one event cost its producer in nanoseconds of CPU, which
/// says more on a busy machine.
struct Figures {
  double rate = 0;
  double cpu_ns = 0;
};

int64_t thread_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

/// The plain program's ring: one producer, one consumer.
struct PlainRing {
  static constexpr uint64_t kSlotBytes = 192;
  struct Slot {
    uint64_t sequence;
    int64_t timestamp_ns;
    uint32_t key_bytes, value_bytes;
  };
  std::unique_ptr<uint8_t[]> memory = std::make_unique<uint8_t[]>(kCapacity * kSlotBytes);
  alignas(64) std::atomic<uint64_t> head{0};
  uint64_t tail_seen = 0;
  uint64_t next = 0;
  alignas(64) std::atomic<uint64_t> tail{0};

  Slot* slot(uint64_t at) { return reinterpret_cast<Slot*>(memory.get() + (at % kCapacity) * kSlotBytes); }
  void put(const Event& event, int64_t timestamp_ns) {
    while (next - tail_seen == kCapacity) {
      tail_seen = tail.load(std::memory_order_acquire);
      if (next - tail_seen == kCapacity) {
        publish();
        sched_yield();
      }
    }
    __builtin_prefetch(slot(next + 6), 1);
    __builtin_prefetch(reinterpret_cast<uint8_t*>(slot(next + 6)) + 64, 1);
    __builtin_prefetch(reinterpret_cast<uint8_t*>(slot(next + 6)) + 128, 1);
    Slot* s = slot(next);
    s->sequence = next;
    s->timestamp_ns = timestamp_ns;
    s->key_bytes = static_cast<uint32_t>(event.key->size());
    s->value_bytes = static_cast<uint32_t>(event.value->size());
    auto* at = bus::copy_bytes(*event.key, reinterpret_cast<uint8_t*>(s + 1));
    bus::copy_bytes(*event.value, at);
    ++next;
  }
  void publish() { head.store(next, std::memory_order_release); }
};

Figures plain(const Load& load, size_t events, bool batches) {
  std::array<PlainRing, kShards> rings;
  for (auto& ring : rings) std::fill_n(ring.memory.get(), kCapacity * PlainRing::kSlotBytes, uint8_t{1});
  std::atomic<bool> stop{false};
  uint64_t bytes = 0;
  std::thread consumer([&] {
    uint64_t seen = 0;
    while (seen < events) {
      const uint64_t before = seen;
      for (auto& ring : rings) {
        const uint64_t from = ring.tail.load(std::memory_order_relaxed);
        const uint64_t to = std::min(ring.head.load(std::memory_order_acquire), from + 1'024);
        for (uint64_t at = from; at != to; ++at) {
          __builtin_prefetch(ring.slot(at + 8));
          bytes += ring.slot(at)->key_bytes + ring.slot(at)->value_bytes;
        }
        ring.tail.store(to, std::memory_order_release);
        seen += to - from;
      }
      if (seen - before < 256) {
        const timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
      }
    }
  });
  bus::BusClock clock;
  const int64_t from_ns = monotonic_ns();
  const int64_t cpu_from_ns = thread_cpu_ns();
  size_t at = 0;
  for (size_t i = 0; i < events;) {
    const size_t group = batches ? std::min(kBatch, events - i) : 1;
    const int64_t timestamp_ns = clock.now_ns();
    for (size_t j = 0; j < group; ++j) {
      const Event& event = load.events[at];
      at = (at + 1) % kKeys;
      PlainRing& ring = rings[bus::pick(bus::hash_key(*event.key), kShards)];
      ring.put(event, timestamp_ns + static_cast<int64_t>(j));
      if (!batches) ring.publish();
    }
    if (batches) {
      for (auto& ring : rings) ring.publish();
    }
    i += group;
  }
  const int64_t cpu_ns = thread_cpu_ns() - cpu_from_ns;
  consumer.join();
  return {static_cast<double>(events) * 1e3 / static_cast<double>(monotonic_ns() - from_ns),
          static_cast<double>(cpu_ns) / static_cast<double>(events)};
}

class CountingSink final : public Sink {
 public:
  std::atomic<uint64_t> events{0}, bytes{0};
  void deliver(EventBatch batch, Delivered done) override {
    events.fetch_add(batch.size(), std::memory_order_relaxed);
    bytes.fetch_add(batch.payload_bytes(), std::memory_order_relaxed);
    done(Delivery());
  }
};

std::unique_ptr<Bus> make_bus(const std::shared_ptr<Sink>& sink) {
  BusOptions options;
  options.shards = kShards;
  options.capacity_events = kCapacity;
  options.sink = sink;
  auto made = Bus::create(std::move(options));
  if (!made) {
    fmt::print("{}\n", made.error().describe());
    std::exit(1);
  }
  return std::move(*made);
}

Figures through_bus(const Load& load, size_t events, bool batches, size_t producers) {
  const auto sink = std::make_shared<CountingSink>();
  const auto the_bus = make_bus(sink);
  const int64_t from_ns = monotonic_ns();
  std::vector<std::thread> threads;
  std::atomic<int64_t> cpu_ns{0};
  const auto produce = [&] {
    const int64_t cpu_from_ns = thread_cpu_ns();
    const size_t mine = events / producers;
    size_t at = 0;
    for (size_t i = 0; i < mine;) {
      if (batches) {
        const size_t group = std::min({kBatch, mine - i, kKeys - at});
        if (the_bus->ingest(std::span(load.events).subspan(at, group)).queued != group) std::abort();
        at = (at + group) % kKeys;
        i += group;
      } else {
        if (the_bus->ingest(load.events[at]) != Outcome::queued) std::abort();
        at = (at + 1) % kKeys;
        ++i;
      }
    }
    cpu_ns += thread_cpu_ns() - cpu_from_ns;
  };
  for (size_t i = 1; i < producers; ++i) threads.emplace_back(produce);
  produce();
  for (auto& thread : threads) thread.join();
  if (Status status = the_bus->flush(60'000); !status) fmt::print("{}\n", status.describe());
  const int64_t passed_ns = monotonic_ns() - from_ns;
  if (sink->events != events / producers * producers) fmt::print("counted {}\n", sink->events.load());
  static_cast<void>(the_bus->shutdown(60'000));
  return {static_cast<double>(events) * 1e3 / static_cast<double>(passed_ns),
          static_cast<double>(cpu_ns) / static_cast<double>(events)};
}

void latencies(const Load& load) {
  const auto sink = std::make_shared<CountingSink>();
  const auto the_bus = make_bus(sink);
  // At half of what the bus can do or less; the clock's own cost, measured beside it, is taken off.
  constexpr size_t kSamples = 400'000;
  std::vector<int64_t> took(kSamples);
  std::vector<int64_t> empty(kSamples);
  const auto now = [] { return monotonic_ns(); };
  for (size_t i = 0; i < kSamples; ++i) {
    const int64_t a = now();
    const int64_t b = now();
    static_cast<void>(the_bus->ingest(load.events[i % kKeys]));
    took[i] = now() - b;
    empty[i] = b - a;
    while (now() - b < 200) {
    }
  }
  std::sort(took.begin(), took.end());
  std::sort(empty.begin(), empty.end());
  const auto at = [](const std::vector<int64_t>& v, double q) {
    return v[static_cast<size_t>(q * static_cast<double>(v.size() - 1))];
  };
  const int64_t cost = at(empty, 0.5);
  fmt::print(
      "ingest one, ns without the clock's {}: p50 {}, p99 {}, p99.9 {}; two calls of the clock alone: p99 {}, p99.9 "
      "{}\n",
      cost, at(took, 0.5) - cost, at(took, 0.99) - cost, at(took, 0.999) - cost, at(empty, 0.99) - cost,
      at(empty, 0.999) - cost);
  static_cast<void>(the_bus->shutdown(60'000));
}

void idle() {
  const auto the_bus = make_bus(std::make_shared<CountingSink>());
  const auto cpu_ms = [] {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
  };
  const timespec settle{0, 200'000'000};
  nanosleep(&settle, nullptr);
  const double before = cpu_ms();
  const timespec second{1, 0};
  nanosleep(&second, nullptr);
  fmt::print("idle: {:.2f}% of a core\n", (cpu_ms() - before) / 10);
  static_cast<void>(the_bus->shutdown(60'000));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const size_t events = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4'000'000;
  const size_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5;
  const Load load = make_load();
  fmt::print("events of {} + {} bytes, {} shards of {}, M events/s, medians of {} rounds of {}\n", load.keys[0].size(),
             load.values[0].size(), kShards, kCapacity, rounds, events);
  struct Case {
    const char* name;
    bool batches;
    size_t producers;
  };
  for (const Case c : {Case{"one by one", false, 1}, Case{"batches of 256", true, 1}, Case{"one by one", false, 2},
                       Case{"one by one", false, 8}, Case{"batches of 256", true, 8}}) {
    std::vector<double> plains, buses, ratios, plain_cpu, bus_cpu, cpu_ratios;
    for (size_t i = 0; i < rounds; ++i) {
      const Figures beside = plain(load, events, c.batches);
      const Figures ours = through_bus(load, events, c.batches, c.producers);
      plains.push_back(beside.rate);
      buses.push_back(ours.rate);
      ratios.push_back(ours.rate / beside.rate);
      plain_cpu.push_back(beside.cpu_ns);
      bus_cpu.push_back(ours.cpu_ns);
      cpu_ratios.push_back(beside.cpu_ns / ours.cpu_ns);
    }
    fmt::print(
        "{:>15}, {} producers: bus {:6.2f} M/s, plain with 1 {:6.2f}, ratio {:.2f}; producer's CPU {:5.1f} and {:5.1f} "
        "ns, ratio {:.2f}\n",
        c.name, c.producers, median(buses), median(plains), median(ratios), median(bus_cpu), median(plain_cpu),
        median(cpu_ratios));
  }
  latencies(load);
  idle();
  return 0;
}
