// SPDX-License-Identifier: Apache-2.0
// The edge: what an adapter may do wrong, and what the host sees of it.
#include "plugin/adapter.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

namespace sluice::plugin {
namespace {

enum class Does { answer, defer, defer_and_throw, throw_error, run_out_of_memory, forget_to_defer };
Does does = Does::answer;
Pending kept;

class TestLog final : public LogAdapter {
 public:
  Status append(Call& call, const sluice_append&, sluice_append_result&) override {
    switch (does) {
      case Does::answer:
        return Status(StatusCode::conflict, "not the end");
      case Does::defer:
        kept = call.defer();
        return pending();
      case Does::defer_and_throw:
        kept = call.defer();
        throw std::runtime_error("after the call was taken");
      case Does::throw_error:
        throw std::runtime_error("went wrong");
      case Does::run_out_of_memory:
        throw std::bad_alloc();
      case Does::forget_to_defer:
        return pending();
    }
    return {};
  }
  Status read(Call&, const sluice_read&, sluice_read_result&) override { return {}; }
  Status bounds(Call&, sluice_bounds&) override { return {}; }
  Status locate(Call&, int64_t, sluice_locate_result&) override { return {}; }
  Status trim(Call&, uint64_t, int64_t) override { return {}; }
};

class TestStorage final : public StorageAdapter {
 public:
  using StorageAdapter::StorageAdapter;
  Status start(int64_t, Condition& condition) override {
    condition.server = std::string(200, 's');
    condition.advice = "none";
    return {};
  }
  Status stop(int64_t) override { throw 7; }
  Status health(int64_t, Condition&) override { return Status(StatusCode::unavailable, "away"); }
  Status create_log(Call&, const sluice_log_descriptor&) override { return {}; }
  Status delete_log(Call&, const sluice_log_descriptor&) override { return {}; }
  Status list_logs(Call&, sluice_log_list&) override { return {}; }
  Result<std::unique_ptr<LogAdapter>> open(const sluice_log_descriptor&) override {
    return std::make_unique<TestLog>();
  }
};

std::vector<sluice_status> completed;

class Edges : public testing::Test {
 protected:
  Edges() {
    completed.clear();
    host_.size = sizeof host_;
    host_.complete = [](const sluice_host*, sluice_ticket*, sluice_status status) { completed.push_back(status); };
    error_.size = sizeof error_;
    error_.text = text_;
    error_.text_capacity = sizeof text_;
    ticket_.size = sizeof ticket_;
    ticket_.error = &error_;
    sluice_create request{};
    request.size = sizeof request;
    request.host = &host_;
    request.name = "test";
    request.data_directory = "/";
    const auto made = create_storage(
        &request, &storage_, &error_,
        [](const CreateRequest& wanted) -> Result<std::unique_ptr<StorageAdapter>> {
          return std::make_unique<TestStorage>(wanted.host);
        },
        nullptr, 0);
    EXPECT_EQ(made, SLUICE_OK);
    sluice_log_descriptor descriptor{};
    descriptor.size = sizeof descriptor;
    descriptor.topic = "t";
    EXPECT_EQ(Edge::open(storage_, &descriptor, &log_, &error_), SLUICE_OK);
  }
  ~Edges() override {
    Edge::close(log_);
    Edge::destroy(storage_);
  }

  sluice_status append(uint32_t flags = 0) {
    static const uint8_t kBytes[61] = {};
    sluice_batch batch{};
    batch.data = kBytes;
    batch.size = sizeof kBytes;
    sluice_append request{};
    request.size = sizeof request;
    request.flags = flags;
    request.batches = &batch;
    request.batch_count = 1;
    request.bytes = sizeof kBytes;
    sluice_append_result result{};
    result.size = sizeof result;
    return Edge::append(log_, &ticket_, &request, &result);
  }

  sluice_host host_{};
  char text_[128] = {};
  sluice_error error_{};
  sluice_ticket ticket_{};
  sluice_storage* storage_ = nullptr;
  sluice_log* log_ = nullptr;
};

TEST_F(Edges, AFinalAnswerCarriesItsText) {
  does = Does::answer;
  EXPECT_EQ(append(), SLUICE_CONFLICT);
  EXPECT_STREQ(text_, "not the end");
  EXPECT_TRUE(completed.empty());
}

TEST_F(Edges, ADeferredCallIsAnsweredByItsPendingAlone) {
  for (const Does how : {Does::defer, Does::defer_and_throw}) {
    does = how;
    completed.clear();
    EXPECT_EQ(append(), SLUICE_PENDING);
    EXPECT_TRUE(completed.empty());
    kept.complete();
    EXPECT_EQ(completed, std::vector<sluice_status>{SLUICE_OK});
  }
}

TEST_F(Edges, ExceptionsBecomeInternal) {
  does = Does::throw_error;
  EXPECT_EQ(append(), SLUICE_INTERNAL);
  EXPECT_STREQ(text_, "went wrong");
  does = Does::run_out_of_memory;
  EXPECT_EQ(append(), SLUICE_INTERNAL);
  EXPECT_STREQ(text_, "out of memory");
  EXPECT_EQ(Edge::stop(storage_, 0, &error_), SLUICE_INTERNAL);
}

TEST_F(Edges, PendingWithoutTakingTheCallIsAFault) {
  does = Does::forget_to_defer;
  EXPECT_EQ(append(), SLUICE_INTERNAL);
}

TEST_F(Edges, BadRequestsDoNotArrive) {
  does = Does::throw_error;
  EXPECT_EQ(append(0x8000), SLUICE_INVALID);
}

TEST_F(Edges, ConditionTextsAreCut) {
  sluice_condition condition{};
  condition.size = sizeof condition;
  EXPECT_EQ(Edge::start(storage_, 0, &condition, &error_), SLUICE_OK);
  EXPECT_EQ(std::strlen(condition.server), sizeof condition.server - 1);
  EXPECT_STREQ(condition.advice, "none");
  EXPECT_EQ(Edge::health(storage_, 0, &condition, &error_), SLUICE_UNAVAILABLE);
}

TEST_F(Edges, WhatAKindDoesNotOfferIsUnsupported) {
  sluice_fence_result fence{};
  fence.size = sizeof fence;
  EXPECT_EQ(Edge::fence(log_, &ticket_, 1, &fence), SLUICE_UNSUPPORTED);
  EXPECT_EQ(Edge::watch(log_, &ticket_, 1), SLUICE_UNSUPPORTED);
}

}  // namespace
}  // namespace sluice::plugin
