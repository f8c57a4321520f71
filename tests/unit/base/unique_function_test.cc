// SPDX-License-Identifier: Apache-2.0
#include "base/unique_function.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

namespace sluice {
namespace {

/// Counts its lives.
struct Counted {
  explicit Counted(int* alive) : alive_(alive) { ++*alive_; }
  Counted(Counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
  Counted(const Counted&) = delete;
  ~Counted() { --*alive_; }
  int* alive_;
};

TEST(UniqueFunction, EmptyOnesSayso) {
  UniqueFunction<void()> empty;
  EXPECT_FALSE(empty);
  UniqueFunction<void()> null = nullptr;
  EXPECT_FALSE(null);
  UniqueFunction<void()> full = [] {};
  EXPECT_TRUE(full);
  full = nullptr;
  EXPECT_FALSE(full);
}

TEST(UniqueFunction, OwnsWhatItCaptures) {
  auto value = std::make_unique<int>(41);
  UniqueFunction<int(int)> add = [value = std::move(value)](int by) { return *value + by; };
  EXPECT_EQ(add(1), 42);
  UniqueFunction<int(int)> moved = std::move(add);
  EXPECT_FALSE(add);
  EXPECT_EQ(moved(2), 43);
}

TEST(UniqueFunction, DestroysWhatItHoldsOnce) {
  int alive = 0;
  {
    UniqueFunction<void()> small = [counted = Counted(&alive)] {};
    EXPECT_EQ(alive, 1);
    UniqueFunction<void()> moved = std::move(small);
    EXPECT_EQ(alive, 1);
    std::array<char, 500> padding{};
    UniqueFunction<size_t()> large = [counted = Counted(&alive), padding] { return padding.size(); };
    EXPECT_EQ(alive, 2);
    EXPECT_EQ(large(), 500u);
    auto other = std::move(large);
    EXPECT_EQ(alive, 2);
    other = nullptr;
    EXPECT_EQ(alive, 1);
    moved = [counted = Counted(&alive)] {};
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(UniqueFunction, PassesReferencesAndMoveOnlyArguments) {
  UniqueFunction<std::string(std::unique_ptr<int>, std::string&)> f = [](std::unique_ptr<int> p, std::string& text) {
    text += "!";
    return text + std::to_string(*p);
  };
  std::string text = "a";
  EXPECT_EQ(f(std::make_unique<int>(7), text), "a!7");
  EXPECT_EQ(text, "a!");
}

TEST(UniqueFunction, KeepsStateBetweenCalls) {
  UniqueFunction<int()> next = [n = 0]() mutable { return ++n; };
  EXPECT_EQ(next(), 1);
  EXPECT_EQ(next(), 2);
}

TEST(UniqueFunction, SelfMoveIsHarmless) {
  UniqueFunction<int()> f = [] { return 5; };
  auto& same = f;
  f = std::move(same);
  EXPECT_EQ(f(), 5);
}

}  // namespace
}  // namespace sluice
