// SPDX-License-Identifier: Apache-2.0
// What the consumer does with shards that come and go, fail, stall or were trimmed, and with filters that throw.
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>

#include "consumer/consuming.hpp"
#include "sluice/memory_source.hpp"

namespace sluice::testing {
namespace {

/// Keeps answers back until it is told to give them, also those of reads that were woken.
class LateSource final : public Source {
 public:
  explicit LateSource(std::shared_ptr<Source> inner) : inner_(std::move(inner)) {}
  const std::string& id() const override { return inner_->id(); }
  void read(const PageRequest& request, PageCallback done) override {
    if (going_on_) return inner_->read(request, std::move(done));
    request_ = request;
    done_ = std::move(done);
    page_.reset();
  }
  void bounds(BoundsCallback done) override { inner_->bounds(std::move(done)); }
  void locate(int64_t time_ns, PositionCallback done) override { inner_->locate(time_ns, std::move(done)); }
  void wake() override {
    if (!done_) return inner_->wake();
    if (page_) return;
    page_.emplace();
    page_->next = page_->end = request_->from;
  }
  bool reading() const { return request_.has_value(); }
  /// The read under way finds what is there now.
  void read_now() {
    request_->wait_ms = 0;
    inner_->read(*request_, [this](Result<Page> page) { page_ = std::move(*page); });
  }
  void answer() {
    if (!page_) read_now();
    request_.reset();
    Page page = std::move(*page_);
    std::exchange(done_, {})(std::move(page));
  }
  /// Keeps nothing back any more.
  void go_on() {
    going_on_ = true;
    if (request_) answer();
  }

 private:
  const std::shared_ptr<Source> inner_;
  std::optional<PageRequest> request_;
  PageCallback done_;
  std::optional<Page> page_;
  bool going_on_ = false;
};

TEST(Consumer, B29_a_removed_shard_is_read_to_its_end) {
  auto kept = std::make_shared<ScriptedSource>("kept");
  for (const bool end_known : {true, false}) {
    auto shard = std::make_shared<ScriptedSource>("removed");
    shard->limit_page(7);
    shard->add_records(100);
    if (!end_known) shard->hide_end();
    ConsumerConfig config;
    config.read_wait_ms = 20;
    auto consumer = consume(config, {kept, shard});
    PollRequest request;
    request.max_records = 10;
    size_t records = consumer->poll(request)->records.size();
    ASSERT_TRUE(consumer->remove_shard("removed"));
    bool finished = false;
    for (int i = 0; i < 100 && !finished; ++i) {
      const auto response = consumer->poll(request);
      ASSERT_TRUE(response);
      records += response->records.size();
      for (const ShardNote& note : response->notes) {
        finished |= note.condition == ShardCondition::finished && note.id == "removed";
      }
    }
    EXPECT_TRUE(finished);
    EXPECT_EQ(records, 100u);
    EXPECT_EQ(consumer->cursor().next("removed"), 100);
    EXPECT_EQ(consumer->remove_shard("removed").code(), StatusCode::not_found);
  }
}

TEST(Consumer, B29_a_removed_shard_is_read_to_its_end_whatever_the_read_under_way_knows) {
  // A read that waits, and is woken to nothing; one that answers with the end before the shard grew.
  for (const bool grows : {false, true}) {
    auto shard = std::make_shared<MemorySource>("removed");
    auto late = std::make_shared<LateSource>(shard);
    Record record;
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(shard->append(record));
    Cursor from;
    ASSERT_TRUE(from.set("removed", 0));
    auto consumer = consume({}, {late}, from);
    PollRequest at_once;
    at_once.wait_ms = 0;
    ASSERT_TRUE(consumer->poll(at_once));
    ASSERT_TRUE(late->reading());
    if (grows) {
      late->answer();
      ASSERT_TRUE(late->reading());
      late->read_now();  // finds the end
    }
    for (int i = 0; i < 90; ++i) ASSERT_TRUE(shard->append(record));
    ASSERT_TRUE(consumer->remove_shard("removed"));
    late->answer();
    late->go_on();
    bool finished = false;
    for (int i = 0; i < 100 && !finished; ++i) {
      const auto response = consumer->poll();
      ASSERT_TRUE(response);
      for (const ShardNote& note : response->notes) finished |= note.condition == ShardCondition::finished;
    }
    EXPECT_TRUE(finished);
    EXPECT_EQ(consumer->cursor().next("removed"), 100);
  }
}

TEST(Consumer, B02_a_shard_that_is_dropped_and_added_again_within_a_poll_repeats_nothing) {
  for (const bool named : {true, false}) {
    const auto make = [] {
      auto shard = std::make_shared<ScriptedSource>("shard");
      shard->limit_page(10);
      shard->add_records(50);
      shard->seal();
      return shard;
    };
    MergingConsumer* inside = nullptr;
    Cursor from;
    if (named) {
      ASSERT_TRUE(from.set("shard", 0));
    }
    auto consumer = consume({}, {make()}, from, [&](const Record& record) {
      // By then records are in the response that no cursor tells yet.
      if (record.position == 25 && inside != nullptr) {
        MergingConsumer* const once = std::exchange(inside, nullptr);
        EXPECT_TRUE(once->drop_shard("shard"));
        EXPECT_TRUE(once->add_shard(make()));
      }
      return true;
    });
    inside = consumer.get();
    std::multiset<int64_t> positions;
    PollRequest request;
    request.min_records = 1'000;
    request.wait_ms = 30'000;
    const auto see = [&](const Response& response) {
      for (const MergedRecord& each : response.records) positions.insert(each->position);
    };
    poll_to_end(*consumer, see, request);
    EXPECT_EQ(inside, nullptr);
    EXPECT_EQ(positions.size(), 50u);
    EXPECT_EQ(std::set<int64_t>(positions.begin(), positions.end()).size(), 50u);
    EXPECT_EQ(consumer->cursor().next("shard"), 50);
  }
}

TEST(Consumer, B29_a_cursor_keeps_shards_that_are_away) {
  auto all = shards(3, 50);
  auto consumer = consume({}, as_sources(all));
  PollRequest request;
  request.max_records = 60;
  auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  size_t records = response->records.size();
  const Cursor before = response->cursor;
  consumer = nullptr;

  consumer = consume({}, {all[0]}, before);  // fewer shards
  response = consumer->poll();
  ASSERT_TRUE(response);
  records += response->records.size();
  EXPECT_EQ(response->cursor.next("shard-2"), before.next("shard-2"));
  for (const size_t back : {1, 2}) ASSERT_TRUE(consumer->add_shard(all[back]));
  EXPECT_EQ(records + count_rest(*consumer), 150u);
}

TEST(Consumer, B30_the_cursor_is_keyed_by_the_shard_that_was_asked) {
  auto all = shards(2, 20);
  all[0]->claim_partition(1);
  all[1]->claim_partition(0);
  all[1]->add_records(0);
  const auto drained = drain({}, as_sources(all), 3, true);
  EXPECT_EQ(drained.records, all_of(2, 20));
}

TEST(Consumer, B32_a_failed_shard_is_named_and_keeps_its_place) {
  auto all = shards(2, 30);
  all[1]->fail_next(Status(StatusCode::denied, "no entry", 13));
  Cursor from;
  ASSERT_TRUE(from.set("shard-1", 0));
  auto consumer = consume({}, as_sources(all), from);
  std::multiset<Where> records;
  poll_to_end(*consumer, [&](const Response& response) {
    for (const MergedRecord& each : response.records) records.emplace(each.shard, each->position);
    const auto failed = std::find_if(response.notes.begin(), response.notes.end(),
                                     [](const ShardNote& note) { return note.condition == ShardCondition::failed; });
    ASSERT_NE(failed, response.notes.end());
    EXPECT_EQ(failed->id, "shard-1");
    EXPECT_EQ(failed->position, 0);
    EXPECT_EQ(response.cursor.next("shard-1"), 0);
    if (response.done) {
      EXPECT_FALSE(response.has_more);
    }
  });
  EXPECT_EQ(records, all_of(1, 30));

  ASSERT_TRUE(consumer->resume("shard-1"));
  records.merge(rest_of(*consumer));
  EXPECT_EQ(records, all_of(2, 30));
}

TEST(Consumer, B32_capped_shards_are_named_and_has_more_means_progress) {
  auto all = shards(3, 30);
  auto consumer = consume({}, as_sources(all));
  PollRequest request;
  request.max_records = 4;
  auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  std::set<std::string> capped;
  for (const ShardNote& note : response->notes) {
    if (note.condition == ShardCondition::capped) capped.insert(note.id);
  }
  EXPECT_EQ(capped, (std::set<std::string>{"shard-0", "shard-1", "shard-2"}));
  EXPECT_TRUE(response->has_more);
  // A shard that does not answer has more, as far as anybody knows; but nothing came.
  auto silent = std::make_shared<ScriptedSource>("silent");
  silent->hold(true);
  auto waiting = consume({}, {silent});
  PollRequest at_once;
  at_once.wait_ms = 0;
  const auto nothing = waiting->poll(at_once);
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->has_more);
  silent->hold(false);
  // Nothing comes while all are paused: no progress, and so no promise, although there is more.
  consumer->pause();
  request.wait_ms = 0;
  response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->records.empty());
  EXPECT_FALSE(response->has_more);
}

TEST(Consumer, B32_a_stalled_shard_is_named) {
  auto all = shards(2, 5);
  all[1]->hold(true);
  ConsumerConfig config;
  config.read_deadline_ms = 20;
  auto consumer = consume(config, as_sources(all));
  PollRequest request;
  request.wait_ms = 50;
  request.min_records = 10;
  const auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->records.size(), 5u);
  const auto stalled = std::find_if(response->notes.begin(), response->notes.end(),
                                    [](const ShardNote& note) { return note.condition == ShardCondition::stalled; });
  ASSERT_NE(stalled, response->notes.end());
  EXPECT_EQ(stalled->id, "shard-1");
  EXPECT_GE(stalled->elapsed_ns, 20'000'000);
  all[1]->hold(false);
}

TEST(Consumer, B21_retries_obey_the_class_of_the_error) {
  ConsumerConfig config;
  config.retry.max_retries = 3;
  config.retry.first_delay_ms = 1;
  const std::pair<StatusCode, uint32_t> cases[] = {{StatusCode::internal, 1}, {StatusCode::unavailable, 4}};
  for (const auto& [code, attempts] : cases) {
    auto shard = std::make_shared<ScriptedSource>("shard");
    shard->fail_next(Status(code, "scripted"), 10);
    shard->hold(true);
    // The place is known, so that every call is a read.
    Cursor from;
    ASSERT_TRUE(from.set("shard", 0));
    auto consumer = consume(config, {shard}, from);
    shard->hold(false);
    PollRequest request;
    request.wait_ms = 30'000;
    const auto response = consumer->poll(request);
    ASSERT_TRUE(response);
    EXPECT_TRUE(response->done);
    ASSERT_EQ(response->notes.size(), 1u);
    EXPECT_EQ(response->notes[0].attempts, attempts);
    EXPECT_EQ(shard->reads(), attempts);
  }
}

TEST(Consumer, S15_failures_carry_cause_place_and_duration) {
  auto shard = std::make_shared<ScriptedSource>("orders/3");
  shard->add_records(5);
  auto consumer = consume({}, {shard});
  ASSERT_EQ(consumer->poll()->records.size(), 5u);
  shard->fail_next(Status(StatusCode::corrupt, "segment 7 is damaged", 42));
  shard->wake();
  PollRequest request;
  request.wait_ms = 30'000;
  const auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  ASSERT_EQ(response->notes.size(), 1u);
  const ShardNote& note = response->notes[0];
  EXPECT_EQ(note.condition, ShardCondition::failed);
  EXPECT_EQ(note.cause.code(), StatusCode::corrupt);
  EXPECT_EQ(note.cause.text(), "segment 7 is damaged");
  EXPECT_EQ(note.cause.native_code(), 42);
  EXPECT_EQ(note.id, "orders/3");
  EXPECT_EQ(note.position, 5);
  EXPECT_GT(note.elapsed_ns, 0);
}

TEST(Consumer, S16_a_filter_may_call_everything) {
  auto all = shards(2, 20);
  auto extra = std::make_shared<ScriptedSource>("extra");
  MergingConsumer* inside = nullptr;
  int calls = 0;
  auto consumer = consume({}, as_sources(all), {}, [&](const Record&) {
    if (inside == nullptr || ++calls > 5) return true;
    EXPECT_EQ(inside->poll().error().code(), StatusCode::busy);
    inside->wake();
    std::ignore = inside->cursor();
    std::ignore = inside->buffered_bytes();
    std::ignore = inside->add_shard(extra);
    std::ignore = inside->pause("extra");
    std::ignore = inside->resume("extra");
    std::ignore = inside->seek("extra", Place::start());
    std::ignore = inside->remove_shard("extra");
    std::ignore = inside->drop_shard("extra");
    inside->resume();
    return true;
  });
  inside = consumer.get();
  EXPECT_EQ(rest_of(*consumer), all_of(2, 20));
}

TEST(Consumer, what_retention_took_fails_or_is_counted) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(10);
  shard->trim(4);
  shard->seal();
  Cursor from;
  ASSERT_TRUE(from.set("shard", 1));
  auto consumer = consume({}, {shard}, from);
  auto response = consumer->poll();
  ASSERT_TRUE(response);
  ASSERT_EQ(response->notes.size(), 1u);
  EXPECT_EQ(response->notes[0].cause.code(), StatusCode::out_of_range);
  consumer = nullptr;

  ConsumerConfig config;
  config.pass_lost = true;
  consumer = consume(config, {shard}, from);
  uint64_t lost = 0;
  size_t records = 0;
  poll_to_end(*consumer, [&](const Response& each) {
    lost += each.lost;
    records += each.records.size();
  });
  EXPECT_EQ(lost, 3u);
  EXPECT_EQ(records, 6u);
  consumer = nullptr;

  ASSERT_TRUE(from.set("shard", 11));  // beyond the end: nothing was lost, somebody is wrong
  consumer = consume(config, {shard}, from);
  response = consumer->poll();
  ASSERT_TRUE(response);
  ASSERT_EQ(response->notes.size(), 1u);
  EXPECT_EQ(response->notes[0].condition, ShardCondition::failed);
}

/// Answers no read once its bounds were asked.
class ShowsOnlyBounds final : public Source {
 public:
  explicit ShowsOnlyBounds(std::shared_ptr<ScriptedSource> inner) : inner_(std::move(inner)) {}
  const std::string& id() const override { return inner_->id(); }
  void read(const PageRequest& request, PageCallback done) override { inner_->read(request, std::move(done)); }
  void bounds(BoundsCallback done) override {
    inner_->hold(true);
    inner_->bounds(std::move(done));
  }
  void locate(int64_t time_ns, PositionCallback done) override { inner_->locate(time_ns, std::move(done)); }
  void wake() override { inner_->wake(); }

 private:
  const std::shared_ptr<ScriptedSource> inner_;
};

TEST(Consumer, B32_behind_what_retention_took_from_the_end_of_a_shard_there_is_more) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(100);
  ConsumerConfig config;
  config.pass_lost = true;
  Cursor from;
  ASSERT_TRUE(from.set("shard", 0));
  auto consumer = consume(config, {std::make_shared<ShowsOnlyBounds>(shard)}, from);
  ASSERT_EQ(consumer->poll()->records.size(), 100u);
  ASSERT_TRUE(consumer->pause("shard"));
  shard->wake();
  shard->add_records(150);
  shard->trim(200);
  ASSERT_TRUE(consumer->resume("shard"));
  PollRequest at_once;
  at_once.wait_ms = 0;
  const auto response = consumer->poll(at_once);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->lost, 100u);
  EXPECT_EQ(response->cursor.next("shard"), 200);
  EXPECT_TRUE(response->has_more);
  shard->hold(false);
  EXPECT_EQ(consumer->poll()->records.size(), 50u);
}

TEST(Consumer, a_shard_that_lost_all_up_to_its_end_is_waited_for_as_one_at_its_end) {
  auto emptied = std::make_shared<ScriptedSource>("emptied");
  emptied->add_records(100, 0, 1);
  ConsumerConfig config;
  config.pass_lost = true;
  config.order = MergeOrder::by_time;
  config.idle_hold_ms = 1;
  config.stall_hold_ms = kMaxConsumerWaitMs;
  auto consumer = consume(config, {emptied});
  ASSERT_EQ(consumer->poll()->records.size(), 100u);
  ASSERT_TRUE(consumer->pause("emptied"));
  emptied->wake();
  emptied->add_records(100, 0, 1);
  emptied->trim(200);
  ASSERT_TRUE(consumer->resume("emptied"));
  auto other = std::make_shared<ScriptedSource>("other");
  other->add_records(1, 1'000'000);
  ASSERT_TRUE(consumer->add_shard(other));
  PollRequest request;
  request.wait_ms = 20'000;
  const auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->lost, 100u);
  EXPECT_EQ(response->records.size(), 1u);
}

TEST(Consumer, a_filter_that_throws_passes_nothing) {
  auto all = shards(2, 10);
  bool angry = true;
  auto consumer = consume({}, as_sources(all), {}, [&](const Record& record) -> bool {
    if (angry && record.position == 5) throw std::runtime_error("five");
    return true;
  });
  auto response = consumer->poll();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->done);
  EXPECT_TRUE(response->records.empty());
  ASSERT_EQ(response->notes.size(), 2u);
  EXPECT_EQ(response->notes[0].cause.text(), "the filter threw: five");
  angry = false;
  consumer->resume();
  EXPECT_EQ(count_rest(*consumer), 20u);
}

TEST(Consumer, B32_a_filter_that_throws_with_an_earlier_page_at_hand_stops_nothing_for_good) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->limit_page(10);
  shard->add_records(100);
  shard->seal();
  bool angry = true;
  auto consumer = consume({}, {shard}, {}, [&](const Record& record) -> bool {
    if (angry && record.position == 15) throw std::runtime_error("fifteen");
    return true;
  });
  PollRequest request;
  request.max_records = 3;
  size_t records = 0;
  while (records < 10) {
    const auto response = consumer->poll(request);
    ASSERT_TRUE(response);
    ASSERT_FALSE(response->records.empty());
    records += response->records.size();
    EXPECT_LE(consumer->buffered_bytes(), 100 * 2 * sizeof(Record));
  }
  EXPECT_EQ(records, 10u);
  angry = false;
  consumer->resume();
  request.max_records = 100;
  request.wait_ms = 5'000;
  for (bool done = false; !done;) {
    const auto response = consumer->poll(request);
    ASSERT_TRUE(response);
    ASSERT_TRUE(response->done || !response->records.empty()) << "nothing comes any more";
    records += response->records.size();
    done = response->done;
  }
  EXPECT_EQ(records, 100u);
  EXPECT_EQ(consumer->buffered_bytes(), 0u);
}

TEST(Consumer, forgets_places_when_told) {
  auto all = shards(2, 1);
  auto consumer = consume({}, as_sources(all));
  ASSERT_TRUE(consumer->poll());
  EXPECT_EQ(consumer->forget("shard-0").code(), StatusCode::exists);
  ASSERT_TRUE(consumer->drop_shard("shard-0"));
  ASSERT_TRUE(consumer->poll());
  EXPECT_TRUE(consumer->cursor().find("shard-0"));
  ASSERT_TRUE(consumer->forget("shard-0"));
  ASSERT_TRUE(consumer->poll());
  EXPECT_FALSE(consumer->cursor().find("shard-0"));
}

TEST(MemorySource, keeps_the_rules_of_sources) {
  MemorySource shard("m", 1 << 20, 5);
  Record record;
  record.value = as_bytes("v");
  EXPECT_EQ(shard.append(record), 5);
  EXPECT_EQ(shard.append(record), 6);
  Result<Page> page;
  const auto read = [&](int64_t from, int64_t wait_ms) {
    page = fail(StatusCode::internal, "no answer");
    PageRequest request;
    request.from = from;
    request.wait_ms = wait_ms;
    shard.read(request, [&](Result<Page> answer) { page = std::move(answer); });
  };
  read(5, 0);
  EXPECT_EQ(page->records.size(), 2u);
  EXPECT_EQ(page->next, 7);
  read(4, 0);
  EXPECT_EQ(page.error().code(), StatusCode::out_of_range);
  read(8, 0);
  EXPECT_EQ(page.error().code(), StatusCode::out_of_range);
  read(7, 1000);
  EXPECT_EQ(page.error().text(), "no answer");
  EXPECT_EQ(shard.append(record), 7);
  EXPECT_EQ(page->records.size(), 1u);
  read(8, 1000);
  shard.wake();
  EXPECT_EQ(page->next, 8);
  EXPECT_FALSE(page->finished);
  shard.seal();
  read(8, 1000);
  EXPECT_TRUE(page->finished);
  EXPECT_EQ(shard.append(record).error().code(), StatusCode::invalid);
  shard.trim(7);
  read(6, 0);
  EXPECT_EQ(page.error().code(), StatusCode::out_of_range);
  MemorySource small("small", 100);
  record.value = as_bytes("0123456789012345678901234567890123456789012345678901234567890123456789");
  EXPECT_EQ(small.append(record), 0);
  EXPECT_EQ(small.append(record).error().code(), StatusCode::busy);
}

}  // namespace
}  // namespace sluice::testing
