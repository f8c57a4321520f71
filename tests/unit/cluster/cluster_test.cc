// SPDX-License-Identifier: Apache-2.0
// A broker that ends at any step of making, growing and deleting topics, and what the next one makes of it: everything
// is finished or undone, no log is left over, and no topic gets the log of an older one of its name.
#include "cluster/cluster.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <set>

#include "support/scripted_broker.hpp"

namespace sluice::cluster {
namespace {

using host::testing::Command;
using host::testing::FakeEngine;
using sluice::testing::ScriptedBroker;

class ClusterCrash : public ::testing::Test {
 protected:
  void SetUp() override {
    for (FakeEngine* engine : {&broker.meta, &broker.data}) {
      engine->refuse = [this](const Command& c) { return before(c); };
      engine->on_outcome = [this](Command& c, sluice_status status) { return after(c, status); };
    }
    ASSERT_TRUE(broker.start().ok());
  }

  /// From call `number` on, of those that change something, the storages hear nothing more of this broker. `landed`:
  /// that call itself is carried out, and only its answer is lost.
  void crash_at(int number, bool landed) {
    calls_ = 0;
    crash_at_ = number;
    landed_ = landed;
    crashed_ = cut_ = false;
  }
  bool crashed() const { return crashed_; }
  void never_crash() { crash_at(-1, false); }

  std::optional<sluice_status> before(const Command& c) {
    if (crashed_) return SLUICE_UNAVAILABLE;
    const bool changes = c.name == "append" || c.name == "create_log" || c.name == "delete_log";
    if (!changes || calls_++ != crash_at_) return std::nullopt;
    if (!landed_) {
      crashed_ = true;
      return SLUICE_UNAVAILABLE;
    }
    cut_ = true;
    return std::nullopt;
  }
  sluice_status after(Command&, sluice_status status) {
    if (!std::exchange(cut_, false)) return status;
    crashed_ = true;
    return SLUICE_UNKNOWN;
  }

  ErrorCode create(const std::string& name, int32_t count = 3) {
    auto made = broker.create(name, count);
    return made ? ErrorCode::kNone : made.error().code;
  }
  ErrorCode remove(const std::string& name) {
    const TopicPtr topic = broker.cluster->state().topic(name);
    return topic ? broker.wait(broker.cluster->delete_topic(topic->id, broker.loop)).code
                 : ErrorCode::kUnknownTopicOrPartition;
  }
  ErrorCode grow(const std::string& name, int32_t count) {
    return broker.wait(broker.cluster->add_partitions(name, count, false, broker.loop)).code;
  }
  /// So that a log can be told from a new one of the same topic.
  void write_into_all(const std::string& name) {
    for (const auto& partition : broker.cluster->state().topic(name)->partitions) {
      auto& log = broker.data.log(partition.extents.back().log);
      log.batches.push_back({host::testing::make_batch(0, 1), 0, 0, 0});
      log.end = 1;
    }
  }
  bool exists(const std::string& name) { return broker.cluster->state().topic(name) != nullptr; }

  /// The next broker, and what it does every few seconds.
  void recover() {
    happened_ = crashed_;
    never_crash();
    ASSERT_TRUE(broker.restart().ok());
    broker.wait(broker.cluster->maintain());
  }

  /// Nothing is half done, every log that metadata names is there, and no other.
  void expect_converged() {
    const ClusterState& state = broker.cluster->state();
    EXPECT_TRUE(state.unfinished().empty());
    std::set<host::LogId> named;
    for (const TopicPtr& topic : state.topics(true)) {
      EXPECT_EQ(topic->ready_partitions, static_cast<int32_t>(topic->partitions.size()));
      for (const auto& partition : topic->partitions) {
        for (const Extent& extent : partition.extents)
          EXPECT_TRUE(named.insert(extent.log).second) << "a log of two partitions";
      }
    }
    std::set<host::LogId> there;
    for (const auto& [id, log] : broker.data.logs) there.insert(id);
    EXPECT_EQ(there, named);
  }

  /// A topic of that name can be had, and is empty if it was not there.
  void expect_fresh(const std::string& name) {
    ASSERT_EQ(create(name), ErrorCode::kNone);
    for (const auto& partition : broker.cluster->state().topic(name)->partitions) {
      EXPECT_EQ(broker.data.log(partition.extents.back().log).end, 0) << "the log of an older topic";
    }
    expect_converged();
  }

  /// Runs it with a crash at each step, until there are no more steps. It calls recover().
  void for_every_crash(const std::function<void(int step, bool landed)>& run) {
    for (const bool landed : {false, true}) {
      happened_ = true;
      for (int step = 0; happened_ && !HasFatalFailure(); ++step) {
        SCOPED_TRACE(::testing::Message() << (landed ? "after" : "before") << " step " << step);
        ASSERT_LT(step, 100) << "endless";
        run(step, landed);
      }
    }
  }

  ScriptedBroker broker;

 private:
  int calls_ = 0;
  int crash_at_ = -1;
  bool landed_ = false;
  bool crashed_ = false;
  bool cut_ = false;
  bool happened_ = false;  // before the last recovery
};

TEST_F(ClusterCrash, HalfDoneCreationsAreFinished) {
  for_every_crash([&](int step, bool landed) {
    const std::string name = "t" + std::to_string(step) + (landed ? "a" : "b");
    crash_at(step, landed);
    const ErrorCode told = create(name);
    recover();
    expect_converged();
    if (told == ErrorCode::kNone) {
      EXPECT_TRUE(exists(name)) << "it was told to be made";
    }
    if (exists(name)) {
      EXPECT_EQ(create(name), ErrorCode::kTopicAlreadyExists);
      EXPECT_EQ(broker.cluster->state().topic(name)->partitions.size(), 3u);
    } else {
      expect_fresh(name);
    }
  });
  EXPECT_GT(broker.cluster->state().topics().size(), 8u);
}

TEST_F(ClusterCrash, HalfDoneDeletionsAreFinished) {
  for_every_crash([&](int step, bool landed) {
    const std::string name = "t" + std::to_string(step) + (landed ? "a" : "b");
    ASSERT_EQ(create(name), ErrorCode::kNone);
    write_into_all(name);
    const auto before = broker.cluster->state().topic(name);
    crash_at(step, landed);
    const ErrorCode told = remove(name);
    recover();
    expect_converged();
    if (told == ErrorCode::kNone) {
      EXPECT_FALSE(exists(name)) << "it was told to be deleted";
    }
    if (exists(name)) {
      EXPECT_EQ(broker.cluster->state().topic(name)->id, before->id);
      for (const auto& partition : before->partitions) EXPECT_EQ(broker.data.log(partition.extents.back().log).end, 1);
      EXPECT_EQ(remove(name), ErrorCode::kNone);
    }
    expect_fresh(name);
    ASSERT_EQ(remove(name), ErrorCode::kNone);
  });
}

TEST_F(ClusterCrash, HalfAddedPartitionsAreFinished) {
  for_every_crash([&](int step, bool landed) {
    const std::string name = "t" + std::to_string(step) + (landed ? "a" : "b");
    ASSERT_EQ(create(name, 2), ErrorCode::kNone);
    write_into_all(name);
    crash_at(step, landed);
    const ErrorCode told = grow(name, 5);
    EXPECT_EQ(broker.cluster->state().topic(name)->ready_partitions, told == ErrorCode::kNone ? 5 : 2);
    recover();
    expect_converged();
    const auto after = broker.cluster->state().topic(name);
    ASSERT_NE(after, nullptr);
    EXPECT_TRUE(after->partitions.size() == 5 || (after->partitions.size() == 2 && told != ErrorCode::kNone));
    for (size_t i = 0; i < after->partitions.size(); ++i) {
      EXPECT_EQ(broker.data.log(after->partitions[i].extents.back().log).end, i < 2 ? 1 : 0);
    }
  });
}

TEST_F(ClusterCrash, ARecoveryMayCrashToo) {
  for (const bool deletion : {false, true}) {
    for (const int first : {1, 3, 5}) {
      for_every_crash([&](int second, bool landed) {
        SCOPED_TRACE(first);
        const std::string name =
            "t" + std::to_string(first) + "." + std::to_string(second) + (landed ? "a" : "b") + (deletion ? "d" : "c");
        if (deletion) {
          ASSERT_EQ(create(name), ErrorCode::kNone);
          write_into_all(name);
        }
        crash_at(first, landed);
        (void)(deletion ? remove(name) : create(name));
        never_crash();
        broker.stop();
        crash_at(second, landed);
        if (broker.start().ok()) broker.wait(broker.cluster->maintain());
        recover();
        expect_converged();
        if (exists(name)) {
          EXPECT_EQ(remove(name), ErrorCode::kNone);
        }
        expect_fresh(name);
        ASSERT_EQ(remove(name), ErrorCode::kNone);
      });
    }
  }
}

TEST_F(ClusterCrash, ACreationThatLandsLateIsUndone) {
  // No answer to the creation of a log: the topic is taken back. Then it lands after all.
  broker.data.hold = [](const std::string& name) { return name == "create_log"; };
  std::optional<ErrorCode> told;
  NewTopic topic;
  topic.name = "t";
  topic.partitions = 2;
  start(broker.cluster->create_topic(topic, broker.loop),
        [&](auto made) { told = made ? ErrorCode::kNone : made.error().code; });
  broker.settle();
  const auto creations = broker.data.waiting("create_log");
  ASSERT_EQ(creations.size(), 2u);
  broker.data.hold = nullptr;
  for (const size_t index : creations) broker.data.reply(index, SLUICE_UNKNOWN);
  broker.settle();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(*told, ErrorCode::kRequestTimedOut);
  EXPECT_FALSE(exists("t"));
  EXPECT_TRUE(broker.data.logs.empty());
  broker.wait(broker.cluster->maintain());
  expect_fresh("t");
  broker.data.carry_out(creations[0]);
  EXPECT_EQ(broker.data.logs.size(), 4u);
  broker.advance_ms(Cluster::kListLogsEveryMs);
  broker.wait(broker.cluster->maintain());
  expect_converged();
  EXPECT_TRUE(exists("t"));
  // And one after this broker was restarted.
  broker.stop();
  broker.data.carry_out(creations[1]);
  ASSERT_TRUE(broker.start().ok());
  EXPECT_EQ(broker.data.logs.size(), 4u);
  broker.wait(broker.cluster->maintain());
  expect_converged();
}

TEST_F(ClusterCrash, UnknownLogsAreToldAndLeftAlone) {
  ASSERT_EQ(create("t"), ErrorCode::kNone);
  host::LogId stranger{};
  stranger[3] = 9;
  broker.data.logs[stranger];
  recover();
  broker.advance_ms(Cluster::kListLogsEveryMs);
  broker.wait(broker.cluster->maintain());
  EXPECT_TRUE(broker.data.logs.contains(stranger));
  EXPECT_EQ(broker.lines_with("holds a log that metadata does not know"), 1u);
}

TEST_F(ClusterCrash, AStorageThatIsAwayLeavesDeletionsToLater) {
  ASSERT_EQ(create("t"), ErrorCode::kNone);
  write_into_all("t");
  broker.data.refuse = [](const Command& c) -> std::optional<sluice_status> {
    return c.name == "delete_log" ? std::optional<sluice_status>(SLUICE_UNAVAILABLE) : std::nullopt;
  };
  EXPECT_EQ(remove("t"), ErrorCode::kNone) << "the name is free";
  EXPECT_FALSE(exists("t"));
  ASSERT_EQ(create("t"), ErrorCode::kNone);
  EXPECT_EQ(broker.data.logs.size(), 6u);
  never_crash();
  broker.data.refuse = nullptr;
  broker.wait(broker.cluster->maintain());
  expect_converged();
  EXPECT_TRUE(exists("t"));
}

TEST_F(ClusterCrash, AStateLogOpenedAgainHasANewEpoch) {
  class Words final : public storage::StateMachine {
   public:
    void reset() override { all.clear(); }
    Status apply(std::string_view record, int64_t, int64_t) override {
      all.emplace_back(record);
      return {};
    }
    std::vector<std::string> snapshot() const override { return all; }
    std::vector<std::string> all;
  } words;
  NewTopic wanted;
  wanted.name = "__state";
  wanted.partitions = 1;
  wanted.internal = true;
  auto topic = broker.wait(broker.cluster->create_topic(wanted, broker.loop));
  ASSERT_TRUE(topic);
  const auto append = [&](storage::ReplayedLog& log, const std::string& word) {
    std::optional<Status> answer;
    log.append({word}, broker.loop, [&](Status status) { answer = std::move(status); });
    for (int i = 0; i < 1'000 && !answer; ++i) broker.advance_ms(100);
    return answer.value_or(Status(StatusCode::internal, "never answered"));
  };
  auto first = broker.wait(broker.cluster->open_state_log(*topic, 0, words));
  ASSERT_TRUE(first) << first.error().describe();
  EXPECT_TRUE(append(**first, "a").ok());
  auto second = broker.wait(broker.cluster->open_state_log(broker.cluster->state().topic("__state"), 0, words));
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(words.all, std::vector<std::string>{"a"});
  EXPECT_FALSE(append(**first, "late").ok()) << "its epoch is over";
  EXPECT_TRUE(append(**second, "b").ok());
  EXPECT_EQ(words.all, (std::vector<std::string>{"a", "b"}));
}

/// Whatever is asked for, and wherever the broker ends.
class ClusterRandom : public ClusterCrash, public ::testing::WithParamInterface<int> {};

TEST_P(ClusterRandom, Converges) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  const auto below = [&](uint32_t limit) { return random() % limit; };
  for (int round = 0; round < 12; ++round) {
    crash_at(static_cast<int>(below(30)), below(2) == 0);
    for (int i = 0; i < 6 && !crashed(); ++i) {
      const std::string name = "t" + std::to_string(below(3));
      switch (below(4)) {
        case 0:
        case 1: {
          const ErrorCode told = create(name, static_cast<int32_t>(1 + below(3)));
          if (told == ErrorCode::kNone && !crashed()) {
            for (const auto& partition : broker.cluster->state().topic(name)->partitions) {
              EXPECT_EQ(broker.data.log(partition.extents.back().log).end, 0) << "the log of an older topic";
            }
            write_into_all(name);
          }
          break;
        }
        case 2:
          (void)remove(name);
          break;
        default:
          if (exists(name))
            (void)grow(name, static_cast<int32_t>(broker.cluster->state().topic(name)->partitions.size() + 1));
      }
    }
    recover();
    expect_converged();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterRandom, ::testing::Range(0, 10));

}  // namespace
}  // namespace sluice::cluster
