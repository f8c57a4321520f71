// SPDX-License-Identifier: Apache-2.0
#include "storage_lane.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "producers.hpp"

namespace sluice::soak {
namespace {

constexpr int64_t kEndMs = 120'000;  // for a bus whose storage is up
constexpr size_t kLedgersKept = 2;   // a server may come upon what was sent to it long ago

}  // namespace

bool StorageLane::failed(const Status& status, const char* where) {
  if (status.ok()) return false;
  terms_.verdict->violated(name_, fmt::format("{}: {}", where, status.describe()));
  return true;
}

void StorageLane::run() {
  const std::unique_ptr<Engine> engine = make_();
  if (failed(engine->start(), "start")) return;
  while (Clock::now() < terms_.until) {
    live_and_end(*engine);
    last_end_ = Clock::now();
  }
}

BusOptions StorageLane::options() {
  BusOptions options;
  options.name = name_;
  options.shards = static_cast<uint32_t>(random_.between(1, 4));
  options.capacity_events = random_.of({1'024u, 16'384u});
  options.threads = random_.one_in(3) ? 2 : 1;
  options.when_full = std::array{WhenFull::block, WhenFull::drop_newest, WhenFull::drop_oldest, WhenFull::sample,
                                 WhenFull::fail}[buses_ % 5];
  options.block_ms = random_.of({10u, 10'000u});
  options.batch.max_events = random_.of({100u, 1'024u});
  options.retry.retries = random_.of({0u, 3u, 10u, 1'000u});
  options.retry.longest_ms = 500;
  options.scale.enabled = random_.one_in(2);
  options.scale.max_shards = 6;
  options.scale.sample_ms = 20;
  options.scale.grow_above = 0.3;
  options.scale.shrink_events_per_s = 1e9;
  options.scale.sustain_ms = 100;
  options.scale.warm_up_ms = 200;
  options.scale.cooldown_ms = 200;
  options.log = [](std::string_view) {};
  return options;
}

void StorageLane::outage(Engine& engine, Figures& figures) {
  if (failed(engine.take_down(random_, figures), "take_down")) return;
  std::this_thread::sleep_for(milliseconds(random_.between(0, terms_.brisk ? 500 : random_.of({200, 3'000, 9'000}))));
  failed(engine.bring_up(), "bring_up");
}

void StorageLane::disturb(Engine& engine, Bus& bus, Figures& figures) {
  switch (random_.between(0, 4)) {
    case 0:
    case 1:
      outage(engine, figures);
      break;
    case 2:
      static_cast<void>(bus.flush(random_.of({0, 100, 2'000})));  // fails when events did meanwhile
      break;
    case 3:
      static_cast<void>(bus.drain(random_.of({0, 100, 2'000})));
      break;
    default:
      if (bus.health().level == BusHealth::Level::stopped) {
        terms_.verdict->violated(name_, "a bus that lives calls itself stopped");
      }
  }
  check_sums(*terms_.verdict, name_, bus.stats());
  std::this_thread::sleep_for(milliseconds(random_.between(1, terms_.brisk ? 200 : 2'000)));
}

void StorageLane::live_and_end(Engine& engine) {
  Verdict& verdict = *terms_.verdict;
  const auto ledger = std::make_shared<Ledger>(name_, ++buses_, verdict);
  ledgers_.push_back(ledger);
  if (ledgers_.size() > kLedgersKept) ledgers_.pop_front();
  auto storage = engine.make_sink(random_);
  if (!storage) {
    failed(storage.error(), "make_sink");
    return;
  }
  BusOptions options = this->options();
  options.sink = std::make_shared<LedgerSink>(std::move(*storage), ledger);
  auto made = Bus::create(std::move(options));
  if (!made) {
    failed(made.error(), "create");
    return;
  }
  std::unique_ptr<Bus> bus = std::move(*made);
  Figures figures;
  figures.buses = 1;
  const auto began = Clock::now();
  {
    const ProducerPlan producing{buses_, static_cast<size_t>(random_.between(1, 2)), random_.of<size_t>({1, 1, 16})};
    Producers producers(*bus, producing, rate_, tally_.offered_now);
    const auto until = std::min(terms_.until, began + milliseconds(terms_.brisk ? random_.between(1'000, 3'000)
                                                                                : random_.between(3'000, 25'000)));
    while (Clock::now() < until) {
      producers.set_rate(rate_ * random_.of({0.2, 1.0, 1.0, 3.0}));
      disturb(engine, *bus, figures);
    }
    const Produced produced = producers.join();
    const BusStats stats = bus->stats();
    verdict.expect_equal(name_, "offered", stats.offered, produced.offered);
    verdict.expect_equal(name_, "accepted", stats.accepted, produced.queued + produced.dropped);
    verdict.expect_equal(name_, "not accepted", stats.refused + stats.unrouted, produced.refused + produced.unrouted);
  }
  figures.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  end(engine, std::move(bus), *ledger, figures);
  compare(engine, figures);
  tally_.add(figures);
}

/// In the middle of an outage, or when all is well; with a shutdown or without.
void StorageLane::end(Engine& engine, std::unique_ptr<Bus> bus, const Ledger& ledger, Figures& figures) {
  Verdict& verdict = *terms_.verdict;
  const bool down = random_.one_in(3);
  if (down) failed(engine.take_down(random_, figures), "take_down");
  BusStats stats;
  if (random_.one_in(4)) {
    stats = bus->stats();
    check_sums(verdict, name_, stats);
    const uint64_t lost = destroy(std::move(bus));
    if (lost > stats.pending)
      verdict.violated(name_, fmt::format("{} lost of {} that were pending", lost, stats.pending));
    figures.destroyed = 1;
    // What the bus settled while it was destroyed only the ledger knows.
    const LedgerSums sums = ledger.sums();
    const uint64_t gone = stats.pending - std::min(lost, stats.pending);
    const uint64_t delivered = std::min(sums.delivered - std::min(stats.delivered, sums.delivered), gone);
    stats.delivered += delivered;
    stats.dropped.failed += gone - delivered;
    stats.dropped.abandoned += lost;
    figures.add(stats);
    if (down) failed(engine.bring_up(), "bring_up");
    return;
  }
  if (random_.one_in(2)) static_cast<void>(bus->drain(random_.of({1, 1'000})));
  Status ended = bus->shutdown(random_.of({0, 10, 1'000}));
  if (down) failed(engine.bring_up(), "bring_up");
  const bool in_time = ended.code() != StatusCode::busy;
  ++(in_time ? figures.ended_in_time : figures.ended_late);
  if (!in_time) ended = bus->shutdown(kEndMs);
  stats = bus->stats();
  check_sums(verdict, name_, stats);
  figures.add(stats);
  if (ended.code() == StatusCode::busy) {
    failed(ended, "shutdown");
  } else {
    verdict.expect_equal(name_, "pending after shutdown", stats.pending, 0u);
    check_counts(stats, ledger.sums(), ended);
  }
  static_cast<void>(destroy(std::move(bus)));
}

/// Of a bus that ended.
void StorageLane::check_counts(const BusStats& stats, const LedgerSums& sums, const Status& ended) {
  Verdict& verdict = *terms_.verdict;
  verdict.expect_equal(name_, "delivered", stats.delivered, sums.delivered);
  verdict.expect_equal(name_, "dropped as refused", stats.dropped.refused, sums.refused);
  const uint64_t not_delivered = sums.not_applied + sums.undecided;
  // Those that failed once may give way to newer ones before they are tried again.
  const uint64_t most = stats.dropped.failed + stats.dropped.oldest;
  if (not_delivered < stats.dropped.failed || not_delivered > most) {
    verdict.violated(name_, fmt::format("{} events failed for ever, of {} that the sink did not take ({} evicted): {}",
                                        stats.dropped.failed, not_delivered, stats.dropped.oldest, ended.describe()));
  }
}

void StorageLane::compare(Engine& engine, Figures& figures) {
  const auto status = engine.read_back([&](const Record& record) {
    ++figures.read_back;
    const auto stamp = stamp_of(record);
    const auto of = std::find_if(ledgers_.begin(), ledgers_.end(),
                                 [&](const auto& ledger) { return stamp && ledger->bus() == stamp->bus; });
    if (of == ledgers_.end()) {
      terms_.verdict->violated(name_, fmt::format("the storage holds what no bus gave it now, at {}", record.position));
      return;
    }
    (*of)->found(*stamp);
  });
  if (failed(status, "read_back")) return;
  ledgers_.back()->check_complete();
  figures.undecided = ledgers_.back()->sums().found_undecided;
}

}  // namespace sluice::soak
