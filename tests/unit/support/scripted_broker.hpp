// SPDX-License-Identifier: Apache-2.0
// Metadata and partitions of one broker on storages that a test scripts: "meta" holds the broker's own logs, "data" the
// topics, and "other" is where they may go. One thread; loop, timers and clocks move only when the test says so, so that a run can be told again from
// its seed. The engines outlive the broker, as a disk does: stop() and start() are a restart.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/manual_loop.hpp"
#include "fake_adapter.hpp"
#include "host/timers.hpp"
#include "partition/partition.hpp"
#include "partition/partitions.hpp"
#include "support/batches.hpp"

namespace sluice::testing {

/// Nothing as long as an append is under way.
using ProduceAnswer = std::shared_ptr<std::optional<partition::ProduceOutcome>>;

class ScriptedBroker {
 public:
  /// Of loop time, in which everything that a test waits for must have happened.
  static constexpr int64_t kPatienceMs = 600'000;

  ScriptedBroker() = default;
  ScriptedBroker(const ScriptedBroker&) = delete;
  ScriptedBroker& operator=(const ScriptedBroker&) = delete;
  ~ScriptedBroker() { stop(); }

  Status start() {
    auto config = storage::parse_plugins_config(
        R"({"storages": {"meta": {"library": "fake"}, "data": {"library": "fake"}, "other": {"library": "fake"}},
            "default": "data", "internal": "meta"})",
        "plugins.json");
    EXPECT_TRUE(config) << config.error().describe();
    storages = storage::Storages::of(std::move(*config), {}, {open(meta, "meta"), open(data, "data"), open(other, "other")});
    cluster::ClusterOptions options;
    options.random = [this] { return random(); };
    options.clock = &clock;
    options.log = [this](int, const std::string& text) { lines.push_back(text); };
    cluster = std::make_unique<cluster::Cluster>(*storages, loop, std::move(options));
    if (Status bound = cluster->bind(); !bound.ok()) return bound;
    context.reset(new partition::PartitionContext{*cluster, clock, {}});
    partitions = std::make_unique<partition::Partitions>(*context);
    cluster->on_change([this](const auto& before, const auto& after) { partitions->changed(before, after); });
    return wait(cluster->start());
  }

  /// As a process ends: calls that nobody answered are answered UNKNOWN, and whoever waits is told.
  void stop() {
    if (!storages) return;
    EXPECT_TRUE(storages->stop(5'000).ok());
    advance_ms(kPausesMs);
    for (int64_t waited = 0; waited < kPatienceMs && (settle() > 0 || loop.timers() > 0); waited += kStepMs)
      advance_ms(kStepMs);
    partitions.reset();
    context.reset();
    cluster.reset();
    storages.reset();
    settle();
  }
  Status restart() {
    stop();
    return start();
  }

  /// Runs all that can run now.
  size_t settle() {
    size_t ran = 0;
    for (size_t now = 1; now > 0; ran += now) now = loop.run_until_idle() + timers.run_due();
    return ran;
  }
  void advance_ms(int64_t by) {
    settle();
    for (int64_t left = by; left > 0; left -= kStepMs) {
      const int64_t step = std::min(left, kStepMs);
      clock.advance_ms(step);
      timers.advance_ms(step);
      loop.advance_ms(step);
      settle();
    }
  }

  /// Runs a task to its end; time passes where it waits for that.
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    sluice::start(std::move(task), [&](T value) { result.emplace(std::move(value)); });
    settle();
    for (int64_t waited = 0; !result && waited < kPatienceMs; waited += kStepMs) advance_ms(kStepMs);
    if (!result) {
      ADD_FAILURE() << "never ended";
      std::abort();
    }
    return std::move(*result);
  }
  void wait(Task<void> task) {
    wait([](Task<void> inner) -> Task<bool> {
      co_await std::move(inner);
      co_return true;
    }(std::move(task)));
  }

  cluster::ClusterResult<cluster::TopicPtr> create(const std::string& name, int32_t count = 1,
                                                   cluster::Configs configs = {}) {
    cluster::NewTopic topic;
    topic.name = name;
    topic.partitions = count;
    topic.configs = std::move(configs);
    return wait(cluster->create_topic(std::move(topic), loop));
  }
  /// Sets one setting of a topic, or removes it.
  ErrorCode alter(const std::string& topic, const std::string& name, std::optional<std::string> value) {
    auto change = [&](const cluster::Configs& present) -> cluster::ClusterResult<cluster::Configs> {
      cluster::Configs next = present;
      if (value) {
        next[name] = *value;
      } else {
        next.erase(name);
      }
      return next;
    };
    auto altered = wait(cluster->alter_topic(topic, change, false, loop));
    if (!altered) lines.push_back(altered.error().text);
    return altered ? ErrorCode::kNone : altered.error().code;
  }
  std::shared_ptr<partition::Partition> partition(const std::string& topic = "t", int32_t index = 0) {
    return partitions->find(cluster->state().topic(topic), index);
  }
  /// Queues `request` in partition 0 of "t"; the answer comes when the storage gives it.
  ProduceAnswer queue(partition::AppendRequest request) {
    auto answer = std::make_shared<std::optional<partition::ProduceOutcome>>();
    request.executor = &loop;
    request.done = [answer](partition::ProduceOutcome outcome) {
      EXPECT_FALSE(answer->has_value()) << "answered twice";
      *answer = std::move(outcome);
    };
    partition()->append(std::move(request), loop);
    settle();
    return answer;
  }
  /// ... and waits for it.
  partition::ProduceOutcome append(partition::AppendRequest request) {
    const ProduceAnswer answer = queue(std::move(request));
    for (int64_t waited = 0; waited < kAnswerMs && !answer->has_value(); waited += kStepMs) advance_ms(kStepMs);
    EXPECT_TRUE(answer->has_value()) << "never answered";
    return answer->value_or(partition::ProduceOutcome{});
  }
  /// What the data storage has of that partition.
  host::testing::StoredLog& stored(const std::string& topic = "t", int32_t index = 0) {
    return data.log(
        cluster->state().topic_in_any_state(topic)->partitions[static_cast<size_t>(index)].extents.back().log);
  }
  size_t lines_with(std::string_view text) const {
    size_t count = 0;
    for (const std::string& line : lines) count += line.find(text) != std::string::npos ? 1 : 0;
    return count;
  }

  ManualLoop loop;
  host::ManualTimers timers;
  ManualClock clock{kTestTimeMs};
  std::mt19937_64 random{7};
  host::testing::FakeEngine meta;
  host::testing::FakeEngine data;
  host::testing::FakeEngine other;
  std::vector<std::string> lines;  // for the operator
  std::unique_ptr<storage::Storages> storages;
  std::unique_ptr<cluster::Cluster> cluster;
  std::unique_ptr<partition::PartitionContext> context;
  std::unique_ptr<partition::Partitions> partitions;

 private:
  static constexpr int64_t kStepMs = 50;
  static constexpr int64_t kAnswerMs = 100'000;
  static constexpr int64_t kPausesMs = 3'000;  // more than the host waits between two fences

  std::shared_ptr<host::Storage> open(host::testing::FakeEngine& engine, const std::string& name) {
    host::StorageOptions options = engine.options();
    options.name = name;
    options.timers = &timers;
    options.log = [this](int, const std::string& text) { lines.push_back(text); };
    auto storage = engine.start(std::move(options));
    EXPECT_NE(storage, nullptr);
    return storage;
  }
};

}  // namespace sluice::testing
