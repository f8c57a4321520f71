// SPDX-License-Identifier: Apache-2.0
// Does the judge of histories notice what it is there for?
#include "conformance/history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sluice::conformance {
namespace {

using Fate = History::Fate;

class HistoryTest : public ::testing::Test {
 protected:
  // Three units of two: acknowledged, refused, acknowledged.
  HistoryTest() {
    first_ = history_.begin(0, 2, 200);
    history_.tell(first_, Fate::acknowledged);
    refused_ = history_.begin(2, 2, 200);
    history_.tell(refused_, Fate::refused);
    second_ = history_.begin(2, 2, 300);
    history_.tell(second_, Fate::acknowledged);
    sound_ = first_;
    sound_.insert(sound_.end(), second_.begin(), second_.end());
  }
  std::string verdict(const std::vector<Batch>& found) const {
    return said([&] { history_.verify(found); });
  }
  static std::string said(const std::function<void()>& check) {
    try {
      check();
      return "";
    } catch (const Failure& failure) {
      return failure.what();
    }
  }
  static bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  History history_;
  Unit first_, refused_, second_;
  std::vector<Batch> sound_;
};

TEST_F(HistoryTest, ASoundLogPasses) {
  EXPECT_EQ(verdict(sound_), "");
  EXPECT_EQ(history_.acknowledged(), 4u);
  EXPECT_EQ(history_.end(), 4);
}

TEST_F(HistoryTest, WhatIsLostDoubledReorderedOrInventedIsNoticed) {
  auto lost = sound_;
  lost.pop_back();
  EXPECT_TRUE(says(verdict(lost), "LOST")) << verdict(lost);
  auto doubled = sound_;
  doubled.push_back(sound_.back());
  EXPECT_TRUE(says(verdict(doubled), "DOUBLED")) << verdict(doubled);
  auto reordered = sound_;
  std::swap(reordered[1], reordered[2]);
  EXPECT_TRUE(says(verdict(reordered), "REORDERED")) << verdict(reordered);
  auto refused = first_;
  refused.insert(refused.end(), refused_.begin(), refused_.end());
  EXPECT_TRUE(says(verdict(refused), "INVENTED")) << verdict(refused);
  auto foreign = sound_;
  foreign.push_back(make_batch(4, 4, 1'000, 200));
  EXPECT_TRUE(says(verdict(foreign), "INVENTED")) << verdict(foreign);
  auto changed = sound_;
  changed[1].bytes.back() ^= 1;
  EXPECT_TRUE(says(verdict(changed), "are not those that were appended")) << verdict(changed);
}

TEST_F(HistoryTest, AFenceSettlesWhatIsOpen) {
  const Unit open = history_.begin(4, 2, 200);
  EXPECT_TRUE(says(said([&] { history_.fenced(5, false); }), "all or nothing"));
  history_.fenced(6, false);
  EXPECT_EQ(history_.end(), 6);
  EXPECT_TRUE(says(verdict(sound_), "LOST")) << "it counts as acknowledged";
  const Unit absent = history_.begin(6, 1, 200);
  history_.fenced(6, false);
  sound_.insert(sound_.end(), open.begin(), open.end());
  EXPECT_EQ(verdict(sound_), "");
  sound_.insert(sound_.end(), absent.begin(), absent.end());
  EXPECT_TRUE(says(verdict(sound_), "INVENTED")) << "what a fence found absent never lands";
}

TEST_F(HistoryTest, AFenceMayTellALossOnlyWhereThatMayHappen) {
  EXPECT_TRUE(says(said([&] { history_.fenced(2, false); }), "LOST"));
  history_.fenced(2, true);
  EXPECT_EQ(history_.end(), 2);
  EXPECT_EQ(verdict(first_), "");
  EXPECT_FALSE(verdict(sound_).empty()) << "what was told to be gone is there again";
  EXPECT_TRUE(says(said([&] { history_.fenced(3, true); }), "invented"));
}

TEST_F(HistoryTest, WhatAReaderSawStays) {
  const Unit open = history_.begin(4, 1, 200);
  history_.saw(open.front());
  EXPECT_TRUE(says(verdict(sound_), "was read, and is gone")) << verdict(sound_);
  EXPECT_TRUE(says(said([&] { history_.saw(refused_.front()); }), "it was refused"));
  EXPECT_TRUE(says(said([&] { history_.saw(make_batch(9, 9, 1'000, 200)); }), "invented"));
}

}  // namespace
}  // namespace sluice::conformance
