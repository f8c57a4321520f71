// SPDX-License-Identifier: Apache-2.0
#include "storage/monitor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "../support/folder.hpp"

namespace sluice::storage {
namespace {

using testing::HasSubstr;

class MonitorTest : public testing::Test {
 protected:
  MonitorTest() {
    options_.well_pause_ms = options_.ill_pause_ms = options_.start_pause_ms = options_.tick_ms = 5;
    options_.refused_pause_ms = 20;
    options_.patience_ms = 100;
    options_.stall_ms = 150;
  }
  ~MonitorTest() override {
    remove("hang");
    if (monitor_) monitor_->stop(20'000);
    monitor_.reset();
    if (storages_) static_cast<void>(storages_->stop(20'000));
  }

  /// "a" is the storage of the broker's own logs; `options` are those of "b".
  void watch(const std::string& options) {
    const std::string b = R"("b": {"library": "unruly", "required": false, "options": {)" + options + "}}";
    auto config =
        parse_plugins_config(R"({"storages": {"a": {"library": "unruly", "options": {"hang": ")" + path("hang") +
                                 R"(", "durable": ")" + path("durable-a") + R"("}},)" + b + R"(}, "default": "a"})",
                             "plugins.json");
    ASSERT_TRUE(config) << config.error().text();
    StoragesOptions storages;
    storages.data_directory = folder_.path();
    storages.plugin_directory = SLUICE_TEST_ADAPTERS;
    storages.log = [](int, const std::string&) {};
    auto opened = Storages::open(std::move(*config), std::move(storages));
    ASSERT_TRUE(opened) << opened.error().text();
    storages_ = std::move(*opened);
    ASSERT_TRUE(storages_->start().ok());
    monitor_ = std::make_unique<StorageMonitor>(
        *storages_, [this](host::Storage& storage) { return bind(storage); },
        [this](int, const std::string& text) {
          const std::lock_guard lock(mutex_);
          lines_ += text + "\n";
        },
        options_);
    monitor_->start();
  }
  std::string path(const std::string& file) const { return folder_.path() + "/" + file; }
  void create(const std::string& file) const { folder_.write(file, "."); }
  void remove(const std::string& file) const { std::filesystem::remove(path(file)); }
  static bool eventually(const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  std::string lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  Status bind(host::Storage& storage) {
    EXPECT_TRUE(storage.held_off()) << "somebody could use it before it is known whose it is";
    ++binds_;
    return foreign_ ? Status(StatusCode::denied, "it belongs to another cluster") : Status();
  }

  test::Folder folder_;
  MonitorOptions options_;
  std::unique_ptr<Storages> storages_;
  std::unique_ptr<StorageMonitor> monitor_;
  std::atomic<int> binds_{0};
  std::atomic<bool> foreign_{false};

 private:
  std::mutex mutex_;
  std::string lines_;
};

TEST_F(MonitorTest, WhatDidNotStartIsStartedAndTied) {
  watch(R"("failures": 3)");
  EXPECT_TRUE(eventually([&] { return monitor_->health("a").well; }));
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").well; }));
  EXPECT_TRUE(storages_->find("b")->started());
  EXPECT_FALSE(storages_->find("b")->held_off());
  EXPECT_EQ(binds_, 1);
  EXPECT_THAT(lines(), HasSubstr("storage \"b\" is back, on nothing 1.0"));
  EXPECT_THAT(lines(), HasSubstr("the engine is away"));
  EXPECT_FALSE(monitor_->health("c").well);
}

TEST_F(MonitorTest, AStorageOfAnotherClusterIsNotUsed) {
  foreign_ = true;
  watch(R"("failures": 1)");
  ASSERT_TRUE(eventually([&] { return binds_ >= 2; }));
  EXPECT_FALSE(monitor_->health("b").well);
  foreign_ = false;
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").well; }));
  const std::string said = lines();
  const size_t first = said.find("it belongs to another cluster");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(said.find("it belongs to another cluster", first + 1), std::string::npos) << "said once";
}

TEST_F(MonitorTest, AnIllStorageIsNamedAndItsCallsGoOn) {
  watch(R"("ill": ")" + path("ill") + '"');
  create("ill");
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").reason.find("the engine is ill") != std::string::npos; }));
  EXPECT_FALSE(monitor_->health("b").well);
  EXPECT_FALSE(storages_->find("b")->held_off()) << "it answers: so do its calls";
  EXPECT_TRUE(eventually([&] { return monitor_->health("a").well; }));
  remove("ill");
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").well; }));
  EXPECT_THAT(lines(), HasSubstr("storage \"b\" is well again"));
}

TEST_F(MonitorTest, OneThatLosesAgainAndAgainIsFailingUntilItStops) {
  options_.losses_kept_ms = 300;
  watch("");
  host::Storage& storage = *storages_->find("b");
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").well; }));
  // Each time again, since a busy machine may let the time for it pass.
  ASSERT_TRUE(eventually([&] {
    storage.metrics().data_losses.fetch_add(1);
    return lines().find("losses of acknowledged records") != std::string::npos;
  }));
  EXPECT_FALSE(monitor_->health("b").well);
  EXPECT_FALSE(storage.held_off()) << "its other topics go on";
  EXPECT_TRUE(eventually([&] { return monitor_->health("a").well && monitor_->health("b").well; }));
}

TEST_F(MonitorTest, OneThatAnswersNothingIsHeldOffUntilItDoes) {
  watch(R"("hang": ")" + path("hang-b") + '"');
  create("hang-b");
  host::Storage& storage = *storages_->find("b");
  ASSERT_TRUE(eventually([&] { return storage.held_off(); }));
  const StorageHealth health = monitor_->health("b");
  EXPECT_FALSE(health.well);
  EXPECT_TRUE(health.held_off);
  EXPECT_THAT(health.reason, HasSubstr("calls are held off"));
  EXPECT_TRUE(storage.started());
  EXPECT_TRUE(eventually([&] { return monitor_->health("a").well; })) << "others are asked all the same";
  remove("hang-b");
  ASSERT_TRUE(eventually([&] { return !storage.held_off() && monitor_->health("b").well; }));
}

TEST_F(MonitorTest, OneThatIsAtWorkIsNotHeldOff) {
  options_.stall_ms = 500;
  watch(R"("hang": ")" + path("hang-b") + '"');
  create("hang-b");
  host::Storage& storage = *storages_->find("b");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'500);
  while (std::chrono::steady_clock::now() < until) {
    storage.metrics().appends.fetch_add(1);
    ASSERT_FALSE(storage.held_off());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  remove("hang-b");
}

TEST_F(MonitorTest, TheStorageOfTheBrokersOwnLogsIsNeverHeldOff) {
  watch("");
  create("hang");
  ASSERT_TRUE(eventually([&] { return monitor_->health("a").silent_ms > 2 * options_.stall_ms; }));
  EXPECT_FALSE(storages_->find("a")->held_off());
  EXPECT_FALSE(monitor_->health("a").well);
  remove("hang");
  EXPECT_TRUE(eventually([&] { return monitor_->health("a").well; }));
}

TEST_F(MonitorTest, OneThatIsDurableDoesNotJoinWhereTheBrokersOwnLogsAreNot) {
  create("durable-b");
  watch(R"("failures": 1, "durable": ")" + path("durable-b") + '"');
  ASSERT_TRUE(eventually([&] { return lines().find("would be orphaned by a restart") != std::string::npos; }));
  EXPECT_FALSE(monitor_->health("b").well);
  EXPECT_FALSE(storages_->find("b")->started());
  EXPECT_EQ(binds_, 0) << "it belongs to nobody yet";
  EXPECT_FALSE(storages_->find("a")->held_off());
  create("durable-a");
  ASSERT_TRUE(eventually([&] { return monitor_->health("b").well; }));
  EXPECT_TRUE(monitor_->health("a").well);
}

TEST_F(MonitorTest, TheStorageOfTheBrokersOwnLogsIsHeldOffWhileItForgetsAndItDidNot) {
  create("durable-a");
  create("durable-b");
  watch(R"("durable": ")" + path("durable-b") + '"');
  ASSERT_TRUE(eventually([&] { return monitor_->health("a").well && monitor_->health("b").well; }));
  host::Storage& own = *storages_->find("a");
  remove("durable-a");
  ASSERT_TRUE(eventually([&] { return own.held_off() && !monitor_->health("a").well; }));
  EXPECT_THAT(monitor_->health("a").reason, HasSubstr("may not be on storage \"a\""));
  EXPECT_TRUE(monitor_->health("b").well);
  remove("durable-b");
  ASSERT_TRUE(eventually([&] { return !own.held_off() && monitor_->health("a").well; })) << "nothing needs it now";
  create("durable-b");
  ASSERT_TRUE(eventually([&] { return own.held_off(); }));
  create("durable-a");
  ASSERT_TRUE(eventually([&] { return !own.held_off() && monitor_->health("a").well; }));
}

TEST_F(MonitorTest, StopsInTimeWhoeverHangs) {
  watch(R"("hang": ")" + path("hang-b") + '"');
  create("hang-b");
  ASSERT_TRUE(eventually([&] { return storages_->find("b")->held_off(); }));
  const auto began = std::chrono::steady_clock::now();
  monitor_->stop(20);
  monitor_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  remove("hang-b");
}

}  // namespace
}  // namespace sluice::storage
