// SPDX-License-Identifier: Apache-2.0
#include "kafka/calls.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kafka/worker.hpp"

namespace sluice::kafka {
namespace {

/// A host that counts what it is told.
struct TestHost {
  TestHost() {
    table.size = sizeof table;
    table.complete = +[](const sluice_host* host, sluice_ticket* ticket, sluice_status status) {
      auto* self = reinterpret_cast<TestHost*>(const_cast<sluice_host*>(host));
      ticket->reserved = static_cast<uint32_t>(status);
      ++self->completed;
    };
  }
  sluice_ticket& ticket(int64_t in_ms) {
    sluice_ticket& made = tickets.emplace_back();
    made.size = sizeof made;
    made.deadline_ns = now_ns() + in_ms * 1'000'000;
    made.reserved = UINT32_MAX;
    return made;
  }
  sluice_host table{};  // first
  std::atomic<int> completed{0};
  std::deque<sluice_ticket> tickets;
};

TEST(KafkaCalls, AreAnsweredOnce) {
  TestHost host;
  Calls calls;
  calls.admit(true);
  sluice_ticket& raw = host.ticket(60'000);
  plugin::Call call(&host.table, &raw);
  const TicketPtr ticket = calls.open(call, CallKind::append);
  ASSERT_TRUE(ticket);
  EXPECT_TRUE(ticket->answer({}));
  EXPECT_FALSE(ticket->answer({}));
  EXPECT_FALSE(ticket->use([] {}));
  EXPECT_EQ(host.completed, 1);
  EXPECT_EQ(raw.reserved, static_cast<uint32_t>(SLUICE_OK));
  EXPECT_EQ(calls.open_count(), 0u);
}

TEST(KafkaCalls, EndAtTheirDeadlines) {
  TestHost host;
  Calls calls;
  calls.admit(true);
  sluice_ticket& append = host.ticket(30);
  sluice_ticket& question = host.ticket(10);
  sluice_ticket& later = host.ticket(60'000);
  plugin::Call first(&host.table, &append);
  plugin::Call second(&host.table, &question);
  plugin::Call third(&host.table, &later);
  const TicketPtr a = calls.open(first, CallKind::append);
  const TicketPtr b = calls.open(second, CallKind::question);
  const TicketPtr c = calls.open(third, CallKind::change);
  const int64_t until = now_ns() + 10'000'000'000;
  while (host.completed < 2 && now_ns() < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(append.reserved, static_cast<uint32_t>(SLUICE_UNKNOWN));
  EXPECT_EQ(question.reserved, static_cast<uint32_t>(SLUICE_UNAVAILABLE));
  EXPECT_TRUE(c->is_open());
  calls.end_all(false);
  EXPECT_EQ(later.reserved, static_cast<uint32_t>(SLUICE_UNKNOWN));
  EXPECT_TRUE(calls.wait_for_none(now_ns() + 1'000'000'000));
}

TEST(KafkaCalls, AreRefusedWhileClosed) {
  TestHost host;
  Calls calls;
  sluice_ticket& raw = host.ticket(60'000);
  plugin::Call call(&host.table, &raw);
  EXPECT_FALSE(calls.open(call, CallKind::question));
  EXPECT_FALSE(call.deferred());
  calls.admit(true);
  const TicketPtr ticket = calls.open(call, CallKind::append);
  calls.admit(false);
  calls.end_all(false);
  EXPECT_TRUE(ticket->is_open());  // appends may finish
  EXPECT_FALSE(calls.wait_for_none(now_ns() + 1'000'000));
  calls.end_all(true);
  EXPECT_EQ(raw.reserved, static_cast<uint32_t>(SLUICE_UNKNOWN));
}

// Whoever carries a call out keeps the deadline off while it uses the request.
TEST(KafkaCalls, UseKeepsTheDeadlineOff) {
  TestHost host;
  Calls calls;
  calls.admit(true);
  for (int i = 0; i < 200; ++i) {
    sluice_ticket& raw = host.ticket(1);
    plugin::Call call(&host.table, &raw);
    const TicketPtr ticket = calls.open(call, CallKind::append);
    const int before = host.completed;
    ticket->use([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(1'500));
      EXPECT_EQ(host.completed, before);
    });
    ticket->answer({});
  }
  EXPECT_TRUE(calls.wait_for_none(now_ns() + 5'000'000'000));
  EXPECT_EQ(host.completed, 200);
}

TEST(KafkaWorkers, RunJobsAndEndInOrder) {
  std::vector<int> ran;
  int served = 0;
  Worker worker("test", [](int32_t, const std::string&) {});
  worker.post([&] { ran.push_back(-1); });  // not started: dropped
  for (int round = 0; round < 2; ++round) {
    worker.start([&] {
      ++served;
      return Worker::kNever;
    });
    for (int i = 0; i < 100; ++i) worker.post([&ran, i] { ran.push_back(i); });
    worker.join();
  }
  ASSERT_EQ(ran.size(), 200u);
  EXPECT_EQ(ran[99], 99);
  EXPECT_GT(served, 0);
}

TEST(KafkaWorkers, WhatAJobThrowsIsTold) {
  std::atomic<int> told{0};
  Worker worker("test", [&](int32_t, const std::string&) { ++told; });
  worker.start([] { return Worker::kNever; });
  worker.post([] { throw std::runtime_error("out of something"); });
  std::atomic<bool> ran{false};
  worker.post([&] { ran = true; });
  worker.join();
  EXPECT_TRUE(ran);
  EXPECT_EQ(told, 1);
}

TEST(KafkaWorkers, APoolHasFewThreads) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  Pool pool("test", [](int32_t, const std::string&) {});
  for (int i = 0; i < 100; ++i) {
    pool.post([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    });
  }
  EXPECT_TRUE(pool.wait_idle(now_ns() + 20'000'000'000));
  const std::lock_guard lock(mutex);
  EXPECT_LE(threads.size(), Pool::kMaxThreads);
  EXPECT_GE(threads.size(), 1u);
}

}  // namespace
}  // namespace sluice::kafka
