// SPDX-License-Identifier: Apache-2.0
// Writers against an engine whose messages are late, lost and reordered, at random, one seed per run. A writer may be
// superseded and go on as a zombie; the engine may restart and lose its tail. Whatever happens:
//
//   what was acknowledged is there, at the offset that was told, once, unless a loss was reported
//   what was refused is not there, and does not appear later
//   each batch is answered once, in the order of enqueue
//   offsets rise without overlap
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

constexpr int64_t kCallTimeoutMs = 1'000;

struct Rules {
  bool zombies = false;
  bool losses = false;
  bool equal_fence_refused = false;
};

class World {
 public:
  World(uint64_t seed, Rules rules) : random_(seed), rules_(rules) {
    engine_.mode = FakeEngine::Mode::manual;
    engine_.equal_fence_refused = rules.equal_fence_refused;
    engine_.logs.try_emplace(make_descriptor().id);
    engine_.refuse = [this](const Command& c) -> std::optional<sluice_status> {
      if (c.name == "append" && unfenced_) return SLUICE_UNAVAILABLE;
      if (chance(3)) return c.name == "append" ? SLUICE_NO_SPACE : SLUICE_UNAVAILABLE;
      return std::nullopt;
    };
    add_writer();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      settle();
      check();
    }
    finish();
  }

 private:
  struct Writer {
    std::shared_ptr<Storage> storage;
    std::shared_ptr<Log> log;
    int32_t epoch = 0;
    std::vector<int64_t> queued;  // ids, in order
    size_t answered = 0;
    uint64_t losses_known = 0;
    std::set<int64_t> acknowledged_by_it;
    bool owed_a_report = false;  // a batch that this writer acknowledged was lost
  };

  bool chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  size_t pick(size_t count) { return static_cast<size_t>(random_() % count); }
  StoredLog& stored() { return engine_.log(make_descriptor().id); }

  void add_writer() {
    auto writer = std::make_unique<Writer>();
    StorageOptions options = engine_.options();
    options.timers = &timers_;
    options.call_timeout_ms = kCallTimeoutMs;
    writer->storage = engine_.start(std::move(options));
    writer->log = *writer->storage->open(make_descriptor());
    writer->epoch = ++last_epoch_;
    writers_.push_back(std::move(writer));
    acquire(*writers_.back());
  }
  void acquire(Writer& writer) {
    sluice::start(writer.log->acquire(writer.epoch, loop_), [](Result<WritePosition>) {});
  }

  void append(Writer& writer) {
    const WritePosition position = writer.log->position();
    const int64_t base = position.end + (chance(10) ? static_cast<int64_t>(pick(3)) : 0);
    const auto records = static_cast<int32_t>(1 + pick(3));
    const int64_t id = ++last_id_;
    AppendEntry entry = make_entry(std::make_shared<std::string>(make_batch(base, records, id)), base, records, id);
    entry.done = [this, &writer, id](AppendOutcome outcome) { answered(writer, id, outcome); };
    if (writer.log->enqueue(std::move(entry), position.generation, loop_).ok()) {
      writer.queued.push_back(id);
    } else {
      refused_.insert(id);
    }
    if (chance(80)) writer.log->send();
  }

  void answered(Writer& writer, int64_t id, const AppendOutcome& outcome) {
    ASSERT_LT(writer.answered, writer.queued.size());
    ASSERT_EQ(writer.queued[writer.answered], id) << "out of order";
    ++writer.answered;
    switch (outcome.status.code()) {
      case StatusCode::ok:
        if (writer.owed_a_report) {
          ASSERT_GT(writer.storage->metrics().data_losses.load(), writer.losses_known) << "a loss went unnoticed";
          writer.losses_known = writer.storage->metrics().data_losses.load();
          writer.owed_a_report = false;
        }
        acknowledged_[id] = outcome.first_offset;
        writer.acknowledged_by_it.insert(id);
        ++acks_;
        break;
      case StatusCode::unknown:
      case StatusCode::fenced:
        break;  // nothing is promised
      default:
        refused_.insert(id);
        break;
    }
  }

  void step() {
    Writer& writer = *writers_[chance(70) ? writers_.size() - 1 : pick(writers_.size())];
    const size_t what = pick(100);
    if (what < 35) return append(writer);
    if (what < 75) return deliver();
    if (what < 82) return late();
    if (what < 88) return timers_.advance_ms(static_cast<int64_t>(pick(1'500)));
    if (what < 92) return writer.log->send();
    if (what < 94) return acquire(writer);
    if (what < 96 && rules_.zombies && writers_.size() < 4) return add_writer();
    if (what < 98 && rules_.losses) return restart_engine();
  }

  void deliver() {
    const std::vector<size_t> waiting = engine_.waiting();
    if (waiting.empty()) return;
    const size_t index = waiting[pick(waiting.size())];
    const Command& command = *engine_.commands[index];
    const size_t what = pick(100);
    if (!command.outcome) {
      if (what < 10) return;                                       // goes on waiting, until it is overdue
      if (what < 20) return engine_.reply(index, SLUICE_UNKNOWN);  // may be carried out later
      carry_out(index);
      if (what < 30) return;  // carried out, the reply is late or lost
    }
    engine_.reply(index, what < 40 ? std::optional(SLUICE_UNKNOWN) : std::nullopt);
  }
  /// A command whose reply has gone, or will never be believed, arrives after all.
  void late() {
    std::vector<size_t> candidates;
    for (size_t i = lost_before_; i < engine_.commands.size(); ++i) {
      if (!engine_.commands[i]->outcome) candidates.push_back(i);
    }
    if (!candidates.empty()) carry_out(candidates[pick(candidates.size())]);
  }
  void carry_out(size_t index) {
    if (engine_.carry_out(index) == SLUICE_OK && engine_.commands[index]->name == "fence") unfenced_ = false;
  }

  /// The engine comes back without its last batches; what was on its way is gone; it wants to be fenced.
  void restart_engine() {
    for (const size_t index : engine_.waiting()) {
      if (!engine_.commands[index]->outcome) engine_.commands[index]->outcome = SLUICE_UNKNOWN;
      engine_.reply(index, SLUICE_UNKNOWN);
    }
    lost_before_ = engine_.commands.size();
    unfenced_ = true;
    size_t lose = pick(3);
    while (lose-- > 0 && !stored().batches.empty()) {
      const int64_t id = stored().batches.back().max_timestamp;
      acknowledged_.erase(id);
      for (const auto& writer : writers_) {
        if (writer->acknowledged_by_it.count(id) != 0) writer->owed_a_report = true;
      }
      lost_.insert(id);
      stored().end = stored().batches.back().base_offset;
      stored().batches.pop_back();
    }
  }

  void settle() {
    while (loop_.run_until_idle() + timers_.run_due() > 0) {
    }
  }

  void check() {
    std::map<int64_t, int64_t> there;
    int64_t end = 0;
    for (const StoredBatch& batch : stored().batches) {
      ASSERT_GE(batch.base_offset, end) << "overlap";
      end = batch.last_offset + 1;
      ASSERT_TRUE(there.emplace(batch.max_timestamp, batch.base_offset).second)
          << "batch " << batch.max_timestamp << " twice";
      ASSERT_EQ(refused_.count(batch.max_timestamp), 0u)
          << "batch " << batch.max_timestamp << " was refused, and is there";
    }
    for (const auto& [id, offset] : acknowledged_) {
      const auto it = there.find(id);
      ASSERT_NE(it, there.end()) << "acknowledged batch " << id << " is gone";
      ASSERT_EQ(it->second, offset);
    }
  }

  void finish() {
    // Everything that can still arrive arrives, and then everything is answered.
    for (int round = 0; round < 50; ++round) {
      late();
      for (const size_t index : engine_.waiting()) {
        if (!engine_.commands[index]->outcome) carry_out(index);
        engine_.reply(index);
      }
      timers_.advance_ms(2'000);
      settle();
      for (const auto& writer : writers_) writer->log->send();
      settle();
      check();
    }
    engine_.reply_to_all(SLUICE_UNKNOWN);
    settle();
    for (const auto& writer : writers_) {
      EXPECT_EQ(writer->answered, writer->queued.size()) << "a batch was never answered";
      EXPECT_EQ(writer->storage->metrics().bytes_in_flight.load(), 0);
      EXPECT_EQ(writer->storage->metrics().tickets_pending.load(), 0);
    }
    check();
  }

 public:
  size_t acks() const { return acks_; }

 private:
  std::mt19937_64 random_;
  const Rules rules_;
  FakeEngine engine_;
  ManualLoop loop_;
  ManualTimers timers_;
  std::vector<std::unique_ptr<Writer>> writers_;
  int32_t last_epoch_ = 0;
  int64_t last_id_ = 0;
  size_t lost_before_ = 0;  // commands before this index died with an engine
  bool unfenced_ = false;
  std::map<int64_t, int64_t> acknowledged_;
  std::set<int64_t> refused_;
  std::set<int64_t> lost_;
  size_t acks_ = 0;
};

void run_seeds(Rules rules) {
  // SLUICE_TEST_SEEDS=N runs more of them.
  const char* more = std::getenv("SLUICE_TEST_SEEDS");
  const uint64_t seeds = more != nullptr ? std::strtoull(more, nullptr, 10) : 40;
  constexpr int kSteps = 200;
  size_t acks = 0;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed, rules);
    world.run(kSteps);
    acks += world.acks();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(acks, seeds * 5) << "the test has lost its teeth";
}

TEST(LogModel, OneWriter) {
  run_seeds({});
}
TEST(LogModel, Zombies) {
  run_seeds({.zombies = true});
}
TEST(LogModel, EqualFencesRefused) {
  run_seeds({.zombies = true, .equal_fence_refused = true});
}
TEST(LogModel, AnEngineThatLosesItsTail) {
  run_seeds({.losses = true});
}

}  // namespace
}  // namespace sluice::host::testing
