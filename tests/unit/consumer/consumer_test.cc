// SPDX-License-Identifier: Apache-2.0
// The consumer as applications use it: what it delivers, in which order, and where its cursor is. One thread, and time
// that is real only where waiting is what is tested.
#include "sluice/consumer.hpp"

#include <gtest/gtest.h>

#include "consumer/consuming.hpp"
#include "sluice/memory_source.hpp"

namespace sluice::testing {
namespace {

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
  config.stall_hold_ms = 1'500;
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
  EXPECT_GE(response->notes[0].elapsed_ns, 1'500'000'000);

  slow->hold(false);
  response = consumer->poll(request);
  ASSERT_TRUE(response);
  ASSERT_EQ(response->records.size(), 1u);  // delivered, and counted as late
  EXPECT_TRUE(response->records[0].late);
  EXPECT_EQ(response->late, 1u);
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

}  // namespace
}  // namespace sluice::testing
