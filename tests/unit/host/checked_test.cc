// SPDX-License-Identifier: Apache-2.0
// Checked mode: adapters that break the contract are found out, call by call, and the process lives on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/bytes.hpp"
#include "host/checker.hpp"
#include "log_fixture.hpp"

namespace sluice::host::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckedTest : public LogFixture {
 protected:
  void SetUp() override {
    StorageOptions options = engine.options();
    options.checked = true;
    options.on_breach = [this](const Breach& breach) {
      (breach.warning ? warnings : breaches).push_back(breach.call + ": " + breach.text);
    };
    open(std::move(options));
    acquire(1);
  }
  void TearDown() override {
    engine.on_outcome = nullptr;
    LogFixture::TearDown();
  }
  /// Changes what a call of that name ends with.
  void spoil(const std::string& name, std::function<sluice_status(Command&, sluice_status)> with) {
    engine.on_outcome = [name, with = std::move(with)](Command& c, sluice_status status) {
      return c.name == name ? with(c, status) : status;
    };
  }
  /// ... of a call with a result struct.
  template <class Result>
  void spoil_result(const std::string& name, std::function<void(Result&)> with) {
    spoil(name, [with = std::move(with)](Command& c, sluice_status status) {
      with(*static_cast<Result*>(c.result));
      return status;
    });
  }
  auto read(int64_t offset = 0, int64_t limit = INT64_MAX, uint64_t most = 1 << 20) {
    return wait(log->read(offset, limit, most, loop));
  }
  void fill(int batches = 3) {
    for (int i = 0; i < batches; ++i) ASSERT_TRUE(append(2).ok());
    log->send();
    settle();
    ASSERT_EQ(outcomes.size(), static_cast<size_t>(batches));
  }

  std::vector<std::string> breaches;
  std::vector<std::string> warnings;
};

TEST_F(CheckedTest, AGoodAdapterHasNothingToFear) {
  for (const auto mode : {FakeEngine::Mode::inline_final, FakeEngine::Mode::inline_pending}) {
    engine.mode = mode;
    outcomes.clear();
    fill();
    read();
    read(3, 5, 1);
    read(6);
    read(100);
    wait(log->bounds(loop));
    wait(log->locate(5, loop));
    EXPECT_TRUE(wait(log->save("a", "b", loop)).ok());
    wait(log->load("a", loop));
    wait(storage->list_logs(loop));
  }
  EXPECT_THAT(breaches, IsEmpty());
  EXPECT_EQ(storage->metrics().breaches.load(), 0u);
}

TEST_F(CheckedTest, CompletedTwice) {
  engine.mode = FakeEngine::Mode::manual;
  sluice::start(log->bounds(loop), [](Result<Bounds>) {});
  const size_t index = engine.waiting("bounds").front();
  engine.carry_out_and_reply(index);
  settle();
  engine.reply(index);
  EXPECT_THAT(breaches, ElementsAre("bounds: was completed twice"));
  EXPECT_EQ(storage->metrics().breaches.load(), 1u);
}

TEST_F(CheckedTest, CompletedAfterAFinalReturnAndBefore) {
  sluice_ticket* ticket = nullptr;
  spoil("bounds", [&](Command& c, sluice_status status) {
    ticket = c.ticket;
    return status;
  });
  wait(log->bounds(loop));
  engine.host->complete(engine.host, ticket, SLUICE_OK);
  EXPECT_THAT(breaches, ElementsAre("bounds: was completed after a final return"));
  breaches.clear();
  spoil("bounds", [&](Command& c, sluice_status status) {
    engine.host->complete(engine.host, c.ticket, status);
    return status;
  });
  EXPECT_TRUE(wait(log->bounds(loop)).has_value());
  EXPECT_THAT(breaches, ElementsAre("bounds: was completed, and then returned a final status too"));
  EXPECT_EQ(storage->metrics().tickets_pending.load(), 0);
}

TEST_F(CheckedTest, StatusesThatACallNeverEndsWith) {
  const auto ends = [&](const std::string& name, sluice_status status) {
    spoil(name, [status](Command&, sluice_status) { return status; });
  };
  ends("bounds", SLUICE_FENCED);
  wait(log->bounds(loop));
  ends("locate", SLUICE_CONFLICT);
  wait(log->locate(0, loop));
  ends("load", -1);
  EXPECT_EQ(wait(log->load("a", loop)).error().code(), StatusCode::unknown);
  ends("trim", SLUICE_EXISTS);
  EXPECT_FALSE(wait(log->trim(0, loop)).ok());
  EXPECT_THAT(breaches, ElementsAre("bounds: ended with fenced, which this call never does",
                                    "locate: ended with conflict, which this call never does",
                                    "load: ended with -1, which is no status",
                                    "trim: ended with exists, which this call never does"));
  breaches.clear();
  engine.mode = FakeEngine::Mode::inline_pending;
  ends("bounds", SLUICE_PENDING);
  engine.mode = FakeEngine::Mode::manual;
  std::optional<Result<Bounds>> bounds;
  sluice::start(log->bounds(loop), [&](Result<Bounds> b) { bounds = std::move(b); });
  engine.reply(engine.waiting("bounds").front(), SLUICE_PENDING);
  settle();
  EXPECT_EQ(bounds->error().code(), StatusCode::unknown);
  EXPECT_THAT(breaches, ElementsAre("bounds: completed with PENDING"));
}

TEST_F(CheckedTest, WritesBehindAStruct) {
  spoil_result<sluice_bounds>("bounds", [](sluice_bounds& result) { std::memset(&result + 1, 0, 8); });
  wait(log->bounds(loop));
  spoil_result<sluice_fence_result>("fence", [](sluice_fence_result& result) { std::memset(&result + 1, 0, 1); });
  acquire(2);
  EXPECT_THAT(breaches, ElementsAre("bounds: wrote behind the end of its result struct",
                                    "fence: wrote behind the end of sluice_fence_result"));
}

TEST_F(CheckedTest, AppendsThatEndWrongly) {
  spoil_result<sluice_append_result>("append", [](sluice_append_result& result) { ++result.end; });
  fill(1);
  EXPECT_THAT(breaches, ElementsAre("append: OK with the end 3, the unit ends at 2"));
  breaches.clear();
  spoil("append", [](Command& c, sluice_status) {
    static_cast<sluice_append_result*>(c.result)->end = c.at;
    return SLUICE_CONFLICT;
  });
  ASSERT_TRUE(append(1).ok());
  log->send();
  EXPECT_THAT(breaches, ElementsAre("append: CONFLICT though the end is 2, as asked for"));
  breaches.clear();
  spoil("append", [](Command&, sluice_status) { return SLUICE_FENCED; });
  ASSERT_TRUE(append(1).ok());
  log->send();
  ASSERT_FALSE(breaches.empty());
  EXPECT_EQ(breaches.front(), "append: FENCED though the token in force is the one that was sent");
}

TEST_F(CheckedTest, FencesThatEndWrongly) {
  spoil_result<sluice_fence_result>("fence", [](sluice_fence_result& result) { --result.token; });
  acquire(2);
  EXPECT_THAT(breaches,
              ElementsAre(HasSubstr("fence: OK with the token 0x200000000 in force, 0x200000001 was asked for")));
}

TEST_F(CheckedTest, ReadsAreWalkedBatchByBatch) {
  fill();
  const auto spoiled = [&](std::function<void(sluice_read_result&)> with) {
    breaches.clear();
    spoil_result<sluice_read_result>("read", std::move(with));
    (void)read();
    return breaches.empty() ? std::string() : breaches.front();
  };
  const auto bytes = [](sluice_read_result& r, size_t slice) { return const_cast<uint8_t*>(r.slices[slice].data); };
  EXPECT_EQ(spoiled([](sluice_read_result&) {}), "");
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { bytes(r, 1)[70] ^= 1; }),
              HasSubstr("read: lent a batch at offset 2 whose CRC is wrong"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { bytes(r, 0)[16] = 1; }),
              HasSubstr("lent a batch whose magic is not 2 at byte 0"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { store_be<int32_t>(bytes(r, 0) + 8, 5); }),
              HasSubstr("impossible length"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { store_be<int64_t>(bytes(r, 1), 1); }),
              HasSubstr("lent a batch at 1 behind one that ends at 1"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { const_cast<sluice_slice*>(r.slices)[2].length -= 1; }),
              HasSubstr("lent part of a batch at byte"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { const_cast<sluice_slice*>(r.slices)[2].length = 3; }),
              HasSubstr("lent part of a batch's header"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { const_cast<sluice_slice*>(r.slices)[0].length = 0; }),
              HasSubstr("slice 0 is empty"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { const_cast<sluice_slice*>(r.slices)[0].data = nullptr; }),
              HasSubstr("slice 0 is neither memory nor"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { r.next = 3; }),
              HasSubstr("says to read on at 3, which was lent already (to 5)"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { r.next = 9; }),
              HasSubstr("says to read on at 9, the log ends at 6"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { r.end = r.next = 5; }),
              HasSubstr("the end 5 is below 6, which was shown before"));
  EXPECT_THAT(spoiled([&](sluice_read_result& r) { r.start = 7; }), HasSubstr("start 7 above end 6"));
}

TEST_F(CheckedTest, ReadsBeyondWhatWasAskedFor) {
  fill();
  const auto asked = [&](int64_t offset, int64_t limit, uint64_t most) {
    breaches.clear();
    engine.on_call = [&](const Command&) {};
    (void)read(offset, limit, most);
    return breaches.empty() ? std::string() : breaches.front();
  };
  // The fake is right; so the request is judged against what another request would have brought.
  engine.on_outcome = nullptr;
  EXPECT_EQ(asked(2, 4, 1 << 20), "");
  StoredLog& stored = engine.log(log->descriptor().id);
  const auto real = stored.batches;
  for (StoredBatch& batch : stored.batches)
    batch.last_offset -= 1;  // the store takes batches for shorter than they are
  EXPECT_THAT(asked(0, 5, 1 << 20), HasSubstr("lent a batch that ends at 5, which is not below the limit 5"));
  stored.batches = real;
  for (StoredBatch& batch : stored.batches) batch.last_offset += 2;
  EXPECT_THAT(asked(2, INT64_MAX, 1), HasSubstr("read from 2 began with a batch that ends at 1"));
  stored.batches = real;
}

TEST_F(CheckedTest, ReadsThatFailOddly) {
  fill();
  sluice_read_result left{};
  spoil("read", [&](Command& c, sluice_status) {
    left = *static_cast<sluice_read_result*>(c.result);
    return SLUICE_UNAVAILABLE;
  });
  auto failed = read();
  ASSERT_FALSE(failed.has_value());
  EXPECT_THAT(breaches, ElementsAre("read: failed and left a lease behind"));
  left.release(left.owner);  // the host did not: what comes with an error is no result
}

TEST_F(CheckedTest, EndsNeverFall) {
  fill();
  read();
  spoil_result<sluice_bounds>("bounds", [](sluice_bounds& result) { result.end = 4; });
  wait(log->bounds(loop));
  EXPECT_THAT(breaches, ElementsAre("bounds: the end 4 is below 6, which was shown before"));
}

TEST_F(CheckedTest, WaitingInsideAnAsynchronousCallIsSuspicious) {
  engine.on_call = [](const Command& c) {
    if (c.name == "bounds") std::this_thread::sleep_for(std::chrono::microseconds(50));  // the fault that is tested
  };
  for (int i = 0; i < 20; ++i) wait(log->bounds(loop));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings.front(), HasSubstr("bounds: the calling thread waited inside"));
  EXPECT_THAT(breaches, IsEmpty());
}

TEST_F(CheckedTest, AReportThatContradictsTheEntry) {
  engine.kind = 7;
  (void)storage->health();
  EXPECT_THAT(breaches, ElementsAre(HasSubstr("reported the kind 7"),
                                    HasSubstr("reported a kind that its entry does not offer")));
  engine.kind = SLUICE_KIND_LOG;
}

TEST(Checker, StatusesByCall) {
  EXPECT_EQ(Checker::status_fault(CallKind::append, false, SLUICE_CONFLICT), "");
  EXPECT_NE(Checker::status_fault(CallKind::append, true, SLUICE_CONFLICT), "");
  EXPECT_NE(Checker::status_fault(CallKind::append, true, SLUICE_FENCED), "");
  EXPECT_EQ(Checker::status_fault(CallKind::read, false, SLUICE_OUT_OF_RANGE), "");
  EXPECT_NE(Checker::status_fault(CallKind::fence, false, SLUICE_OUT_OF_RANGE), "");
  EXPECT_NE(Checker::status_fault(CallKind::delete_log, false, SLUICE_NOT_FOUND), "");
  EXPECT_EQ(Checker::status_fault(CallKind::append, false, 377), "");  // a code of a later minor
  EXPECT_NE(Checker::status_fault(CallKind::append, false, 99), "");
  EXPECT_NE(Checker::status_fault(CallKind::append, false, SLUICE_PENDING), "");
}

}  // namespace
}  // namespace sluice::host::testing
