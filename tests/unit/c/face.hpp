// SPDX-License-Identifier: Apache-2.0
// What tests of the C face need of C structs.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <latch>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../support/folder.hpp"
#include "c/handle_table.hpp"
#include "sluice/sluice.h"

namespace sluice::c::testing {

struct Failure : sluice_failure {
  Failure() : sluice_failure{} {
    size = sizeof(sluice_failure);
    index = -1;
  }
};

inline sluice_span span(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view view(const sluice_span& bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size};
}

inline sluice_event event(std::string_view key, std::string_view value) {
  sluice_event made{};
  made.size = sizeof made;
  made.key = span(key);
  made.value = span(value);
  return made;
}

/// Releases its handle at the end.
class Owned {
 public:
  Owned() = default;
  ~Owned() { sluice_release(handle, nullptr); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  operator sluice_handle() const { return handle; }  // NOLINT(google-explicit-constructor)
  sluice_handle handle = 0;
};

/// Takes every handle that is left until it ends.
class AllHandles {
 public:
  AllHandles() {
    for (;;) {
      const auto handle = handles().insert(std::make_unique<Nothing>());
      if (!handle) return;
      taken_.push_back(*handle);
    }
  }
  ~AllHandles() {
    while (!taken_.empty()) leave_one();
  }
  AllHandles(const AllHandles&) = delete;
  AllHandles& operator=(const AllHandles&) = delete;
  void leave_one() {
    EXPECT_EQ(sluice_release(taken_.back(), nullptr), SLUICE_OK);
    taken_.pop_back();
  }

 private:
  struct Nothing final : Object {
    Nothing() : Object(Kind::cursor) {}
  };
  std::vector<uint64_t> taken_;
};

using test::comes_true;
using test::Folder;

/// What a function writes to a buffer, by asking for the length first.
template <class Call>
std::string text_from(Call&& call) {
  uint64_t needed = 0;
  if (call(nullptr, 0, &needed) == SLUICE_OK) return "";
  std::string text(needed, ' ');
  EXPECT_EQ(call(text.data(), text.size(), &needed), SLUICE_OK);
  text.resize(needed);
  return text;
}

/// Opens by a configuration: `open` is a sluice_..._open that takes nothing else.
template <class Open>
void open_by(Open&& open, std::string_view config, Owned& owned) {
  Failure failure;
  ASSERT_EQ(open(config.data(), config.size(), &owned.handle, &failure), SLUICE_OK) << failure.text;
}

/// Invariant B01: threads call `call` on a handle until it says that this is over, while another closes and releases
/// it. `open` gives the handle; nothing but SLUICE_OK, SLUICE_NOT_FOUND and what `expected` says may come back.
template <class Open, class Call, class Close, class Expected>
void race_with_release(int rounds, Open&& open, Call&& call, Close&& close, Expected&& expected) {
  constexpr int kThreads = 4;
  std::atomic<int> wrong{0};
  for (int round = 0; round < rounds; ++round) {
    const sluice_handle handle = open();
    ASSERT_NE(handle, 0U);
    std::latch ready(kThreads + 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        ready.arrive_and_wait();
        for (;;) {
          const sluice_status status = call(handle);
          if (status == SLUICE_NOT_FOUND) return;
          wrong += status != SLUICE_OK && !expected(status);
        }
      });
    }
    ready.arrive_and_wait();
    close(handle);
    EXPECT_EQ(sluice_release(handle, nullptr), SLUICE_OK);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sluice_release(handle, nullptr), SLUICE_NOT_FOUND);
  }
  EXPECT_EQ(wrong, 0);
}

inline void open_bus(const std::string& config, Owned& bus) {
  Failure failure;
  ASSERT_EQ(sluice_bus_open(config.data(), config.size(), &bus.handle, &failure), SLUICE_OK) << failure.text;
}

inline void open_consumer(const std::string& config, const std::string& cursor, Owned& consumer) {
  Failure failure;
  ASSERT_EQ(
      sluice_consumer_open(config.data(), config.size(), cursor.data(), cursor.size(), &consumer.handle, &failure),
      SLUICE_OK)
      << failure.text;
}

/// Values of what is there now: polls until nothing comes for `wait_ms`, or the shards are done, or there are `most`.
inline std::vector<std::string> values_of(sluice_handle consumer, size_t most, int64_t wait_ms) {
  std::vector<std::string> values;
  sluice_poll poll{};
  poll.size = sizeof poll;
  poll.max_records = 1'000;
  poll.max_bytes = 1 << 20;
  poll.min_records = 1;
  poll.wait_ms = wait_ms;
  sluice_polled polled{};
  polled.size = sizeof polled;
  do {
    Owned page;
    Failure failure;
    const sluice_status status = sluice_consumer_poll(consumer, &poll, &page.handle, &polled, &failure);
    EXPECT_EQ(status, SLUICE_OK) << failure.text;
    if (status != SLUICE_OK) return values;
    const sluice_record* records = nullptr;
    uint64_t count = 0;
    EXPECT_EQ(sluice_page_records(page, &records, &count, nullptr), SLUICE_OK);
    for (uint64_t i = 0; i < count; ++i) values.emplace_back(view(records[i].value));
  } while ((polled.records > 0 || polled.has_more != 0) && polled.done == 0 && values.size() < most);
  return values;
}

}  // namespace sluice::c::testing
