// SPDX-License-Identifier: Apache-2.0
// The consumer as applications use it: what it delivers, where its cursor is, what it says of its shards. One thread,
// and time that is real only where waiting is what is tested.
#include "sluice/consumer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

#include "consumer/scripted_source.hpp"
#include "sluice/memory_source.hpp"

namespace sluice {
namespace {

using testing::ScriptedSource;
using Kind = ScriptedSource::Kind;
using Sources = std::vector<std::shared_ptr<Source>>;
using Where = std::pair<uint32_t, int64_t>;  // shard, position

std::unique_ptr<MergingConsumer> consume(const ConsumerConfig& config, Sources sources, const Cursor& from = {},
                                         RecordPredicate filter = {}) {
  auto consumer = MergingConsumer::create(config, std::move(sources), from, std::move(filter));
  EXPECT_TRUE(consumer) << (consumer ? "" : consumer.error().describe());
  return std::move(*consumer);
}

std::vector<std::shared_ptr<ScriptedSource>> shards(size_t count, size_t records, int64_t step_ns = 0) {
  std::vector<std::shared_ptr<ScriptedSource>> shards;
  for (size_t i = 0; i < count; ++i) {
    shards.push_back(std::make_shared<ScriptedSource>("shard-" + std::to_string(i)));
    shards.back()->add_records(records, step_ns == 0 ? kNoTimestamp : static_cast<int64_t>(i), step_ns);
    shards.back()->seal();
  }
  return shards;
}

Sources as_sources(const std::vector<std::shared_ptr<ScriptedSource>>& shards) {
  return {shards.begin(), shards.end()};
}

/// Polls until the consumer says that it is done, and shows each response to `see`. Ends at the first failure.
template <class See>
void poll_to_end(MergingConsumer& consumer, See&& see, const PollRequest& request = {}) {
  for (bool done = false; !done;) {
    const auto response = consumer.poll(request);
    ASSERT_TRUE(response) << response.error().describe();
    done = response->done;
    see(*response);
  }
}
std::multiset<Where> rest_of(MergingConsumer& consumer) {
  std::multiset<Where> records;
  poll_to_end(consumer, [&](const Response& response) {
    for (const MergedRecord& each : response.records) records.emplace(each.shard, each->position);
  });
  return records;
}
size_t count_rest(MergingConsumer& consumer) {
  return rest_of(consumer).size();
}

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

// Everything until the end, each response by a consumer of its own that starts from the text of the cursor before, or
// all by the same one.
struct Drained {
  std::vector<Where> order;
  std::multiset<Where> records;
  uint64_t rejected = 0, corrupt = 0, late = 0;
  size_t polls = 0;
  std::string cursor;
};

Drained drain(const ConsumerConfig& config, const Sources& sources, size_t limit, bool restart,
              const std::function<bool(const Record&)>& filter = {}) {
  Drained drained;
  std::unique_ptr<MergingConsumer> consumer;
  Cursor cursor;
  for (bool done = false; !done && drained.polls < 100'000; ++drained.polls) {
    if (consumer == nullptr || restart) {
      consumer = nullptr;
      consumer = consume(config, sources, cursor, filter ? RecordPredicate(filter) : RecordPredicate());
    }
    PollRequest request;
    request.max_records = limit;
    auto response = consumer->poll(request);
    EXPECT_TRUE(response) << response.error().describe();
    if (!response) break;
    EXPECT_LE(response->records.size(), limit);
    for (const MergedRecord& each : response->records) {
      drained.order.emplace_back(each.shard, each->position);
      drained.records.emplace(each.shard, each->position);
    }
    drained.rejected += response->rejected;
    drained.corrupt += response->corrupt;
    drained.late += response->late;
    drained.cursor = response->cursor.encode();
    cursor = *Cursor::decode(drained.cursor);
    done = response->done;
  }
  return drained;
}

std::multiset<Where> all_of(size_t count, int64_t records) {
  std::multiset<Where> all;
  for (uint32_t i = 0; i < count; ++i) {
    for (int64_t position = 0; position < records; ++position) all.emplace(i, position);
  }
  return all;
}

TEST(Consumer, B02_a_cursor_passes_only_what_was_delivered_or_refused) {
  const struct {
    size_t shards, records, limit;
  } cases[] = {{2, 30, 5}, {4, 250, 10}, {8, 1000, 100}};
  for (const auto& each : cases) {
    for (const bool restart : {false, true}) {
      const auto drained = drain({}, as_sources(shards(each.shards, each.records)), each.limit, restart);
      EXPECT_EQ(drained.records, all_of(each.shards, static_cast<int64_t>(each.records)));
    }
  }
}

TEST(Consumer, B23_matches_cut_off_by_the_limit_come_later_and_in_order) {
  auto first = std::make_shared<ScriptedSource>("first");
  auto second = std::make_shared<ScriptedSource>("second");
  first->add_records(30, 10, 10);
  second->add_records(30, 1000, 10);
  first->seal();
  second->seal();
  ConsumerConfig config;
  config.order = MergeOrder::by_time;
  for (const bool restart : {false, true}) {
    const auto drained = drain(config, {first, second}, 5, restart);
    EXPECT_EQ(drained.records, all_of(2, 30));
    EXPECT_TRUE(std::is_sorted(drained.order.begin(), drained.order.end()));  // all of the first, then the second
    EXPECT_EQ(drained.late, 0u);
  }
}

TEST(Consumer, B04_a_page_of_undecodable_records_still_advances) {
  for (const bool filtered : {false, true}) {
    auto shard = std::make_shared<ScriptedSource>("shard");
    for (int i = 1; i <= 100; ++i) shard->add(i >= 11 && i <= 40 ? Kind::corrupt : Kind::record);
    shard->seal();
    shard->limit_page(10);
    const auto drained = drain({}, {shard}, 10, false,
                               filtered ? [](const Record&) { return true; } : std::function<bool(const Record&)>());
    EXPECT_EQ(drained.records.size(), 70u);
    EXPECT_EQ(drained.corrupt, 30u);
    EXPECT_LT(drained.polls, 50u);
  }
}

TEST(Consumer, B11_limits_saturate_and_skips_are_counted) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  for (int i = 0; i < 150; ++i) shard->add(i % 3 == 1 ? Kind::corrupt : Kind::record);
  shard->seal();
  auto consumer = consume({}, {shard});
  PollRequest request;
  request.max_records = request.min_records = SIZE_MAX;
  request.max_bytes = UINT64_MAX;
  const auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->records.size(), 100u);
  EXPECT_EQ(response->corrupt, 50u);
  EXPECT_TRUE(response->done);
}

TEST(Consumer, B20_no_shards_is_an_error) {
  auto consumer = consume({}, {});
  PollRequest request;
  request.wait_ms = 60'000;
  const auto response = consumer->poll(request);  // at once
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), StatusCode::not_found);
}

TEST(Consumer, B27_a_cursor_does_not_count_what_was_only_looked_at) {
  // Pages are larger than responses: what is read ahead and found to match has been looked at, and no more.
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(100);
  shard->seal();
  const auto every_tenth = [](const Record& record) { return record.position % 10 == 9; };
  for (const size_t limit : {1, 3, 9, 10}) {
    const auto drained = drain({}, {shard}, limit, true, every_tenth);
    EXPECT_EQ(drained.records.size(), 10u) << limit;
    EXPECT_EQ(drained.rejected, 90u) << limit;
  }
}

TEST(Consumer, B28_pages_without_matches_are_progress) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->limit_page(100);
  shard->add_records(10'001);
  ConsumerConfig config;
  config.read_wait_ms = 20;
  auto consumer = consume(config, {shard}, {}, [](const Record& record) { return record.position == 10'000; });
  PollRequest request;
  request.wait_ms = 30'000;
  auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  ASSERT_EQ(response->records.size(), 1u);
  EXPECT_EQ(response->rejected, 10'000u);
  EXPECT_EQ(response->cursor.next("shard"), 10'001);
}

TEST(Consumer, B28_an_empty_response_carries_the_progress) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  shard->add_records(500);
  auto consumer = consume({}, {shard}, {}, [](const Record&) { return false; });
  PollRequest request;
  request.wait_ms = 0;
  int64_t reached = 0;
  for (int i = 0; i < 1000 && reached < 500; ++i) {
    const auto response = consumer->poll(request);
    ASSERT_TRUE(response);
    EXPECT_TRUE(response->records.empty());
    reached = response->cursor.next("shard").value_or(0);
  }
  EXPECT_EQ(reached, 500);
}

TEST(Consumer, B28_the_end_is_no_busy_loop) {
  auto waits = std::make_shared<ScriptedSource>("waits");
  auto does_not = std::make_shared<ScriptedSource>("does not");
  does_not->never_wait();
  auto consumer = consume({}, {waits, does_not});
  PollRequest request;
  request.wait_ms = 300;
  ASSERT_TRUE(consumer->poll(request));
  EXPECT_LT(waits->reads(), 5u);
  EXPECT_LT(does_not->reads(), 40u);  // 1, 2, 4 ... 64 ms apart
}

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

TEST(Consumer, B34_payloads_come_back_identical) {
  std::string every(256, '\0');
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<char>(i);
  const std::vector<std::optional<std::string>> payloads = {std::nullopt, "", "null", every, "\xff\xfe broken \xc3"};
  auto shard = std::make_shared<MemorySource>("shard");
  for (const auto& key : payloads) {
    for (const auto& value : payloads) {
      Header headers[3] = {{"a", std::nullopt}, {"a", as_bytes("1")}, {"", Bytes{}}};
      if (value) headers[2].value = as_bytes(*value);
      Record record;
      if (key) record.key = as_bytes(*key);
      if (value) record.value = as_bytes(*value);
      record.headers = Headers(headers);
      ASSERT_TRUE(shard->append(record));
    }
  }
  shard->seal();
  auto consumer = consume({}, {shard});
  const auto response = consumer->poll();
  ASSERT_TRUE(response);
  ASSERT_EQ(response->records.size(), 25u);
  consumer = nullptr;
  shard = nullptr;  // bytes live as long as the response
  size_t at = 0;
  for (const auto& key : payloads) {
    for (const auto& value : payloads) {
      const Record& record = *response->records[at++];
      EXPECT_EQ(record.key.has_value(), key.has_value());
      EXPECT_EQ(record.value.has_value(), value.has_value());
      if (key) {
        EXPECT_EQ(as_text(*record.key), *key);
      }
      if (value) {
        EXPECT_EQ(as_text(*record.value), *value);
      }
      std::vector<std::pair<std::string, bool>> headers;
      record.headers.each([&](const Header& header) {
        headers.emplace_back(header.name, header.value.has_value());
        return true;
      });
      EXPECT_EQ(headers, (std::vector<std::pair<std::string, bool>>{{"a", false}, {"a", true}, {"", true}}));
    }
  }
}

TEST(Consumer, B36_order_by_time_holds_across_pages) {
  // Shards far apart in time, small pages, disorder within the stated lateness.
  constexpr int64_t kMillisecond = 1'000'000;
  std::vector<std::shared_ptr<ScriptedSource>> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(std::make_shared<ScriptedSource>("shard-" + std::to_string(i)));
    all.back()->limit_page(static_cast<uint32_t>(1 + i));
    for (int64_t j = 0; j < 200; ++j) {
      all.back()->add(Kind::record, (j * (i + 1) + 100 * i - (j % 3 == 0 ? 5 : 0)) * kMillisecond);
    }
    all.back()->seal();
  }
  ConsumerConfig config;
  config.order = MergeOrder::by_time;
  config.lateness_ms = 5;
  auto consumer = consume(config, as_sources(all));
  int64_t newest = -kMillisecond;
  size_t records = 0;
  PollRequest request;
  request.max_records = 7;
  const auto in_time = [&](const Response& response) {
    for (const MergedRecord& each : response.records) {
      EXPECT_GE(each->timestamp_ns, newest - 5 * kMillisecond);
      newest = std::max(newest, each->timestamp_ns);
    }
    EXPECT_EQ(response.late, 0u);
    records += response.records.size();
  };
  poll_to_end(*consumer, in_time, request);
  EXPECT_EQ(records, 1000u);
}

TEST(Consumer, B36_a_slow_shard_holds_the_order_until_a_deadline_and_is_named) {
  auto quick = std::make_shared<ScriptedSource>("quick");
  auto slow = std::make_shared<ScriptedSource>("slow");
  quick->add_records(10, 100, 1);
  slow->add_records(1, 50);
  slow->hold(true);
  ConsumerConfig config;
  config.order = MergeOrder::by_time;
  config.stall_hold_ms = 150;
  auto consumer = consume(config, {quick, slow});
  PollRequest request;
  request.wait_ms = 20;
  auto response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->records.empty());
  ASSERT_EQ(response->notes.size(), 1u);
  EXPECT_EQ(response->notes[0].condition, ShardCondition::holding);
  EXPECT_EQ(response->notes[0].id, "slow");

  request.wait_ms = 30'000;
  response = consumer->poll(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->records.size(), 10u);
  ASSERT_EQ(response->notes.size(), 1u);
  EXPECT_EQ(response->notes[0].condition, ShardCondition::passed_over);
  EXPECT_GE(response->notes[0].elapsed_ns, 150'000'000);

  slow->hold(false);
  response = consumer->poll(request);
  ASSERT_TRUE(response);
  ASSERT_EQ(response->records.size(), 1u);  // delivered, and counted as late
  EXPECT_TRUE(response->records[0].late);
  EXPECT_EQ(response->late, 1u);
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

TEST(Consumer, B03_a_configuration_is_validated_whole_and_errors_name_the_field) {
  const auto refused = [](auto&& change) -> std::string {
    ConsumerConfig config;
    change(config);
    auto source = std::make_shared<ScriptedSource>("s");
    auto consumer = MergingConsumer::create(config, {source});
    EXPECT_EQ(source->reads(), 0u);
    if (consumer) return "accepted";
    EXPECT_EQ(consumer.error().code(), StatusCode::invalid);
    return consumer.error().text().substr(0, consumer.error().text().find(':'));
  };
  for (const int64_t bad : {int64_t{-1}, INT64_MIN, INT64_MAX}) {
    EXPECT_EQ(refused([&](auto& c) { c.lateness_ms = bad; }), "consumer.lateness_ms");
    EXPECT_EQ(refused([&](auto& c) { c.idle_hold_ms = bad; }), "consumer.idle_hold_ms");
    EXPECT_EQ(refused([&](auto& c) { c.stall_hold_ms = bad; }), "consumer.stall_hold_ms");
    EXPECT_EQ(refused([&](auto& c) { c.read_deadline_ms = bad; }), "consumer.read_deadline_ms");
    EXPECT_EQ(refused([&](auto& c) { c.read_wait_ms = bad; }), "consumer.read_wait_ms");
    EXPECT_EQ(refused([&](auto& c) { c.retry.first_delay_ms = bad; }), "consumer.retry.first_delay_ms");
    EXPECT_EQ(refused([&](auto& c) { c.retry.max_delay_ms = bad; }), "consumer.retry.max_delay_ms");
  }
  for (const uint64_t bad : {uint64_t{0}, UINT64_MAX}) {
    EXPECT_EQ(refused([&](auto& c) { c.read_ahead_bytes = bad; }), "consumer.read_ahead_bytes");
    EXPECT_EQ(refused([&](auto& c) { c.page_bytes = bad; }), "consumer.page_bytes");
    EXPECT_EQ(refused([&](auto& c) { c.page_records = static_cast<uint32_t>(bad); }), "consumer.page_records");
  }
  EXPECT_EQ(refused([](auto& c) { c.read_deadline_ms = 0; }), "consumer.read_deadline_ms");
  EXPECT_EQ(refused([](auto& c) { c.retry.jitter_percent = 101; }), "consumer.retry.jitter_percent");
  EXPECT_EQ(refused([](auto& c) { c.retry.max_retries = UINT32_MAX; }), "consumer.retry.max_retries");
  EXPECT_EQ(refused([](auto& c) { c.order = static_cast<MergeOrder>(9); }), "consumer.order");
  EXPECT_EQ(refused([](auto& c) { c.start.kind = static_cast<Place::Kind>(9); }), "consumer.start.kind");
  EXPECT_EQ(refused([](auto& c) { c.start = Place::position(-1); }), "consumer.start.value");

  auto consumer = consume({}, {std::make_shared<ScriptedSource>("s")});
  PollRequest request;
  request.max_records = 0;
  EXPECT_EQ(consumer->poll(request).error().text(), "poll.max_records: 0 is not 1 to 18446744073709551615");
  EXPECT_EQ(consumer->add_shard(std::make_shared<ScriptedSource>("s")).error().code(), StatusCode::exists);
  EXPECT_EQ(consumer->add_shard(std::make_shared<ScriptedSource>("")).error().code(), StatusCode::invalid);
  EXPECT_EQ(consumer->add_shard(nullptr).error().code(), StatusCode::invalid);
}

TEST(Consumer, begins_where_it_is_told) {
  const auto first = [](Place start) {
    ConsumerConfig config;
    config.start = start;
    auto shard = std::make_shared<ScriptedSource>("shard");
    shard->add_records(10, 100, 10);
    auto consumer = consume(config, {shard});
    PollRequest request;
    request.wait_ms = 0;
    std::ignore = consumer->poll(request);
    shard->add_records(1, 1000);
    request.wait_ms = 30'000;
    EXPECT_TRUE(consumer->seek(start.kind == Place::Kind::position ? Place::start() : Place::end()));
    EXPECT_TRUE(consumer->seek("shard", start.kind == Place::Kind::end ? Place::position(10) : start));
    const auto response = consumer->poll(request);
    return response && !response->records.empty() ? response->records[0]->position : -1;
  };
  EXPECT_EQ(first(Place::start()), 0);
  EXPECT_EQ(first(Place::end()), 10);
  EXPECT_EQ(first(Place::time(135)), 4);
  EXPECT_EQ(first(Place::position(7)), 7);
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

TEST(Consumer, takes_a_filter) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  for (int i = 0; i < 100; ++i) shard->add(Kind::record, i, R"({"total": )" + std::to_string(i) + "}");
  shard->seal();
  const auto filter = Filter::parse("value.total >= 90");
  ASSERT_TRUE(filter) << filter.error().describe();
  auto consumer = consume({}, {shard}, {}, predicate_of(*filter));
  const auto response = consumer->poll();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->records.size(), 10u);
  EXPECT_EQ(response->rejected, 90u);
}

TEST(Consumer, memory_stays_under_its_budget) {
  ConsumerConfig config;
  config.read_ahead_bytes = 256 << 10;
  config.page_bytes = 64 << 10;
  std::vector<std::shared_ptr<ScriptedSource>> all;
  for (int i = 0; i < 64; ++i) {
    all.push_back(std::make_shared<ScriptedSource>("shard-" + std::to_string(i)));
    for (int j = 0; j < 100; ++j) all.back()->add(Kind::record, j, std::string(1000, 'x'));
    all.back()->seal();
  }
  config.order = MergeOrder::by_time;
  auto consumer = consume(config, as_sources(all));
  size_t records = 0;
  poll_to_end(*consumer, [&](const Response& response) {
    records += response.records.size();
    EXPECT_LE(consumer->buffered_bytes(), config.read_ahead_bytes + 64 * 2 * (1000 + sizeof(Record)));
  });
  EXPECT_EQ(records, 6400u);
}

TEST(Consumer, the_byte_limit_of_a_response_lets_one_record_through) {
  auto shard = std::make_shared<ScriptedSource>("shard");
  for (int i = 0; i < 10; ++i) shard->add(Kind::record, i, std::string(100, 'x'));
  shard->seal();
  auto consumer = consume({}, {shard});
  PollRequest request;
  request.max_bytes = 1;
  EXPECT_EQ(consumer->poll(request)->records.size(), 1u);
  request.max_bytes = 250;
  EXPECT_EQ(consumer->poll(request)->records.size(), 2u);
  request.max_bytes = 300;
  EXPECT_EQ(consumer->poll(request)->records.size(), 3u);
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
}  // namespace sluice
