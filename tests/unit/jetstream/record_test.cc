// SPDX-License-Identifier: Apache-2.0
// The layout `record` on a real server: topics that others write to, found, adopted, read and left as they were.
#include "records/record.hpp"

#include <fmt/format.h>

#include <set>
#include <thread>

#include "jetstream/record_message.hpp"
#include "jetstream/record_readers.hpp"
#include "support.hpp"
#include "support/native_world.hpp"

namespace sluice::jetstream::testing {
namespace {

using test::descriptor;
using test::native_batch;
using test::NativeBroker;
using test::see_records;
using test::Seen;

class JetstreamRecord : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server.start().ok());
    stranger.emplace(server.url());
  }

  std::unique_ptr<NativeBroker> broker(host::OptionInputs more = {}) {
    more.try_emplace("layout", std::string("record"));
    more.try_emplace("servers", server.url());
    auto made = std::make_unique<NativeBroker>("jetstream", std::move(more));
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    if (started) {
      EXPECT_EQ(started->kind, SLUICE_KIND_NATIVE);
      EXPECT_EQ(started->capabilities & SLUICE_CAP_ATOMIC, 0u);
    }
    return made;
  }
  static std::vector<host::LogEntry> listed(NativeBroker& broker) {
    auto found = broker.list();
    EXPECT_TRUE(found) << found.error().describe();
    return found ? std::move(*found) : std::vector<host::LogEntry>();
  }
  void make_stream(const std::string& name, const std::string& subject, nlohmann::json more = {}) {
    nlohmann::json config = {{"name", name}, {"subjects", {subject}}};
    if (more.is_object()) config.update(more);
    const auto made = stranger->ask_json("$JS.API.STREAM.CREATE." + name, config.dump());
    EXPECT_FALSE(made.contains("error")) << made.dump();
  }
  /// As any client does; false: nothing stored it.
  bool publish(const std::string& subject, const std::string& body, const Headers& headers = {}) {
    return stranger->publish(subject, body, headers);
  }
  int64_t messages(const std::string& stream) {
    const auto info = stranger->ask_json("$JS.API.STREAM.INFO." + stream);
    return info.contains("state") ? info["state"].value("messages", int64_t{-1}) : -1;
  }

  /// The names of a stream's consumers.
  std::vector<std::string> consumers(const std::string& stream) {
    const auto reply = stranger->ask_json("$JS.API.CONSUMER.NAMES." + stream);
    return reply.value("consumers", std::vector<std::string>());
  }
  /// A log of records "0", "1", ... from `first` on, written by Sluice.
  static void fill(NativeBroker& broker, host::Log& log, int first, int count) {
    constexpr int kInBatch = 500;
    for (int i = first; i < first + count; i += kInBatch) {
      std::vector<std::string> values;
      for (int k = i; k < std::min(i + kInBatch, first + count); ++k) values.push_back(fmt::format("{}", k));
      const auto outcome = broker.append(log, native_batch(values, "k"));
      ASSERT_TRUE(outcome.status.ok()) << outcome.status.describe();
    }
  }
  /// What fill() wrote, without `without`.
  static std::vector<Seen> filled(int count, const std::set<int>& without = {}) {
    std::vector<Seen> all;
    for (int i = 0; i < count; ++i) {
      if (!without.contains(i)) all.push_back({i, "k", fmt::format("{}", i), ""});
    }
    return all;
  }
  void delete_message(const std::string& stream, int offset) {
    const auto gone =
        stranger->ask_json("$JS.API.STREAM.MSG.DELETE." + stream, fmt::format(R"({{"seq":{}}})", offset + 1));
    ASSERT_TRUE(gone.value("success", false)) << gone.dump();
  }
  /// Reads to the end as read_all() does, calling `between(offset)` before each read.
  template <class F>
  static std::vector<Seen> read_on(NativeBroker& broker, host::Log& log, uint64_t max_bytes, F between) {
    std::vector<Seen> all;
    int64_t offset = 0;
    for (;;) {
      between(offset);
      const auto got = broker.read(log, offset, max_bytes);
      EXPECT_TRUE(got) << got.error().status.describe();
      if (!got || got->next == offset) return all;
      see_records(*got, [&](const records::RecordView& record, const records::BatchView& batch) {
        all.push_back(
            {record.offset(batch), std::string(as_text(*record.key)), std::string(as_text(*record.value)), {}});
      });
      offset = got->next;
    }
  }

  test::NatsServer server;
  std::optional<Stranger> stranger;
};

// Small enough that many reads are needed, large enough for a consumer to be made.
constexpr uint64_t kSomeBytes = 8'000;
constexpr int kMany = 5'000;

TEST_F(JetstreamRecord, AStreamOfOthersIsFoundAdoptedAndLeft) {
  make_stream("ORDERS", "orders.*");
  ASSERT_TRUE(publish("orders.new", R"({"item":"book"})", {{"b", "2"}, {"a", "1"}}));
  ASSERT_TRUE(publish("orders.kafka", "plain", {{"Kafka-Key", "k1"}}));
  auto made = broker();
  const auto found = listed(*made);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found.front().foreign);
  EXPECT_EQ(found.front().topic, "ORDERS");

  EXPECT_EQ(made->make(descriptor(1, "mine", "no-such")).code(), StatusCode::not_found);
  EXPECT_EQ(made->make(descriptor(1, "mine", "no.such")).code(), StatusCode::not_found);
  EXPECT_EQ(made->make(descriptor(2, "ORDERS")).code(), StatusCode::exists) << "never taken silently";
  EXPECT_EQ(made->make(descriptor(2, "orders.new")).code(), StatusCode::exists) << "nor its subjects";
  EXPECT_EQ(made->make(descriptor(2, "a..b")).code(), StatusCode::invalid);
  const auto mine = descriptor(1, "mine", "ORDERS");
  ASSERT_TRUE(made->make(mine).ok());
  ASSERT_TRUE(made->make(mine).ok()) << "idempotent";
  EXPECT_EQ(made->make(descriptor(3, "other", "ORDERS")).code(), StatusCode::exists);
  auto log = made->opened(mine);
  const auto all = made->read_all(*log, 0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], (Seen{0, "orders.new", R"({"item":"book"})", "a=1;b=2;"})) << "the subject, where there is no key";
  EXPECT_EQ(all[1], (Seen{1, "k1", "plain", ""}));

  ASSERT_TRUE(made->append(*log, native_batch({"ours"}, "k")).status.ok());
  const auto stored = stranger->ask_json("$JS.API.STREAM.MSG.GET.ORDERS", R"({"seq":3})");
  EXPECT_EQ(stored["message"].value("subject", ""), "orders.kafka");
  EXPECT_EQ(made->read_all(*log, 2), (std::vector<Seen>{{2, "k", "ours", ""}}));

  ASSERT_TRUE(made->remove(mine).ok());
  EXPECT_EQ(messages("ORDERS"), 3) << "only untied";
  const auto gone = made->read(*log, 0);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().status.code(), StatusCode::not_found);
  EXPECT_EQ(made->append(*log, native_batch({"late"})).status.code(), StatusCode::not_found);
  EXPECT_EQ(messages("ORDERS"), 3);
  ASSERT_TRUE(made->make(descriptor(3, "other", "ORDERS")).ok()) << "free again";
}

TEST_F(JetstreamRecord, OffsetsAreStableAndReadFromEverywhere) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "a.topic")).ok());
  auto log = made->opened(descriptor(1, "a.topic"));
  EXPECT_EQ(made->bounds(*log).start, 0);
  EXPECT_EQ(made->bounds(*log).end, 0);
  std::vector<Seen> expected;
  for (int i = 0; i < 50; ++i) {
    const auto outcome = made->append(*log, native_batch({fmt::format("a{}", i), fmt::format("b{}", i)}, "k"));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.describe();
    ASSERT_TRUE(publish("a.topic", fmt::format("f{}", i)));
    const int64_t at = 3 * i;
    EXPECT_EQ(outcome.first_offset, at);
    EXPECT_EQ(outcome.last_offset, at + 1);
    expected.push_back({at, "k", fmt::format("a{}", i), ""});
    expected.push_back({at + 1, "k", fmt::format("b{}", i), ""});
    expected.push_back({at + 2, "null", fmt::format("f{}", i), ""});
  }
  EXPECT_EQ(made->read_all(*log, 0), expected);
  EXPECT_EQ(made->read_all(*log, 0, 1), expected) << "one record at a time";
  for (size_t i = 0; i < expected.size(); i += 17) {
    const std::vector<Seen> rest(expected.begin() + static_cast<std::ptrdiff_t>(i), expected.end());
    EXPECT_EQ(made->read_all(*log, static_cast<int64_t>(i)), rest);
  }
  const auto limited = made->read(*log, 0, 1 << 20, 4);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->next, 4);
  const auto beyond = made->read(*log, made->bounds(*log).end + 1);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().status.code(), StatusCode::out_of_range);
}

TEST_F(JetstreamRecord, B04_WhatIsDeletedOrDamagedIsPassed) {
  for (const bool direct : {false, true}) {
    const std::string name = direct ? "DIRECT" : "LEADER";
    const std::string subject = direct ? "direct" : "leader";
    make_stream(name, subject, {{"allow_direct", direct}});
    auto made = broker();
    const auto adopted = descriptor(direct ? 1 : 2, "t", name);
    ASSERT_TRUE(made->make(adopted).ok());
    auto log = made->opened(adopted);
    std::vector<Seen> wanted;
    constexpr int kMessages = 700;  // above what one step of a read asks for
    for (int i = 0; i < kMessages; ++i) {
      const bool damaged = i == 5 || i == 6;
      const Headers headers = damaged ? Headers{{"Sluice", "1 record time=x"}} : Headers();
      ASSERT_TRUE(publish(subject, fmt::format("{}", i), headers));
      const bool deleted = i == 1 || (i > 10 && i < 600);
      if (!damaged && !deleted) wanted.push_back({i, "null", fmt::format("{}", i), ""});
    }
    for (int i = 0; i < kMessages; ++i) {
      if (i != 1 && (i <= 10 || i >= 600)) continue;
      const auto gone = stranger->ask_json("$JS.API.STREAM.MSG.DELETE." + name, fmt::format(R"({{"seq":{}}})", i + 1));
      ASSERT_TRUE(gone.value("success", false)) << gone.dump();
    }
    for (const uint64_t size : {uint64_t{1} << 20, uint64_t{1}}) {
      uint64_t skipped = 0;
      EXPECT_EQ(made->read_all(*log, 0, size, &skipped), wanted);
      EXPECT_EQ(skipped, 2u);
    }
    EXPECT_TRUE(made->said("message 6 of stream " + name + " is not readable"));
    EXPECT_EQ(made->bounds(*log).start, 0);
    EXPECT_EQ(made->bounds(*log).end, kMessages);
  }
}

TEST_F(JetstreamRecord, AnEmptyHeaderOfOthersSwallowsNothing) {
  make_stream("ORDERS", "orders", {{"allow_direct", true}});
  ASSERT_TRUE(publish("orders", "1", {{"empty", ""}, {"other", "x"}, {"url", "http://x"}}));
  ASSERT_TRUE(publish("orders", "2", {{"empty", ""}}));
  ASSERT_TRUE(publish("orders", "", {{"Status", "404"}, {"Nats-Sequence", "99"}, {"Nats-Subject", "forged"}}));
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t", "ORDERS")).ok());
  auto log = made->opened(descriptor(1, "t", "ORDERS"));
  const std::vector<Seen> wanted = {{0, "null", "1", "empty=;other=x;url=http://x;"},
                                    {1, "null", "2", "empty=;"},
                                    {2, "null", "", "Nats-Sequence=99;Nats-Subject=forged;Status=404;"}};
  EXPECT_EQ(made->read_all(*log, 0), wanted);
}

TEST_F(JetstreamRecord, AReaderAtTheBeginningOfNothingMissesNothing) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  const auto empty = made->read(*log, 0);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->next, 0);
  ASSERT_TRUE(publish("t", "first"));
  ASSERT_EQ(made->read_all(*log, 0).size(), 1u);
}

TEST_F(JetstreamRecord, TrimmedMessagesAreOutOfRange) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  ASSERT_TRUE(made->append(*log, native_batch({"a", "b", "c"})).status.ok());
  ASSERT_TRUE(made->trim(*log, 2).ok());
  EXPECT_EQ(made->bounds(*log).start, 2);
  EXPECT_EQ(made->read(*log, 0).error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(made->read_all(*log, 2).size(), 1u);
  stranger->ask("$JS.API.STREAM.PURGE.t");
  EXPECT_EQ(made->bounds(*log).start, 3);
  EXPECT_EQ(made->bounds(*log).end, 3);
  EXPECT_EQ(made->append(*log, native_batch({"d"})).first_offset, 3);
}

TEST_F(JetstreamRecord, OthersEndAWatch) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  auto watched = std::async(std::launch::async, [&] { return made->watch(*log, 0); });
  EXPECT_EQ(watched.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  ASSERT_TRUE(publish("t", "x"));
  EXPECT_TRUE(watched.get().ok());
  EXPECT_TRUE(made->watch(*log, 0).ok()) << "at once";
}

TEST_F(JetstreamRecord, ARetryIsKnownToAnotherBroker) {
  auto made = broker();
  auto other = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  auto elsewhere = other->opened(descriptor(1, "t"));
  const auto first = made->append(*log, native_batch({"a", "b"}, nullptr, 0));
  ASSERT_TRUE(first.status.ok()) << first.status.describe();
  const auto again = other->append(*elsewhere, native_batch({"a", "b"}, nullptr, 0));
  ASSERT_TRUE(again.status.ok()) << again.status.describe();
  EXPECT_EQ(again.first_offset, first.first_offset);
  EXPECT_EQ(messages("t"), 2);
  EXPECT_EQ(other->append(*elsewhere, native_batch({"c"}, nullptr, 2)).first_offset, 2);
  // Without a producer's id nothing is known.
  ASSERT_TRUE(made->append(*log, native_batch({"x"})).status.ok());
  ASSERT_TRUE(made->append(*log, native_batch({"x"})).status.ok());
  EXPECT_EQ(messages("t"), 5);
}

TEST_F(JetstreamRecord, PartitionsAreStreamsOfTheirOwnAndGoWithTheTopic) {
  auto made = broker();
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(made->make(descriptor(static_cast<uint8_t>(i + 1), "a.t", {}, i)).ok());
  }
  auto log = made->opened(descriptor(3, "a.t", {}, 2));
  ASSERT_TRUE(made->append(*log, native_batch({"x"})).status.ok());
  EXPECT_EQ(messages("a_t-2"), 1);
  const auto found = listed(*made);
  ASSERT_EQ(found.size(), 3u);
  for (const auto& entry : found) {
    EXPECT_FALSE(entry.foreign);
    EXPECT_EQ(entry.topic, "a.t");
  }
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(made->remove(descriptor(static_cast<uint8_t>(i + 1), "a.t", {}, i)).ok());
  }
  EXPECT_TRUE(listed(*made).empty());
  EXPECT_EQ(messages("sluice-native"), 0) << "nothing is left behind";
}

TEST_F(JetstreamRecord, NothingOfWhatDoesNotFitIsStored) {
  make_stream("SMALL", "small", {{"max_msg_size", 1'000}});
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  ASSERT_TRUE(made->make(descriptor(2, "small-ones", "SMALL")).ok());
  auto log = made->opened(descriptor(1, "t"));
  auto small = made->opened(descriptor(2, "small-ones", "SMALL"));
  EXPECT_EQ(made->append(*log, native_batch({"a", std::string(1 << 20, 'x')})).status.code(), StatusCode::too_large);
  EXPECT_EQ(made->append(*log, native_batch({"a"}, std::string(70'000, 'k').c_str())).status.code(),
            StatusCode::too_large);
  EXPECT_EQ(made->append(*small, native_batch({"a", std::string(1'000, 'x')})).status.code(), StatusCode::too_large);
  EXPECT_EQ(messages("t"), 0);
  EXPECT_EQ(messages("SMALL"), 0);
  ASSERT_TRUE(made->append(*log, native_batch({"a", std::string((1 << 20) - 1'000, 'x')})).status.ok());
  ASSERT_TRUE(made->append(*small, native_batch({std::string(700, 'x')})).status.ok());
}

// What is refused because it is large must not be overtaken by what is small.
TEST_F(JetstreamRecord, NothingPassesARecordThatAFullStreamRefuses) {
  make_stream("FULL", "full", {{"discard", "new"}, {"max_bytes", 2'000'000}});
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t", "FULL")).ok());
  auto log = made->opened(descriptor(1, "t", "FULL"));
  const std::string large(500'000, 'x');
  for (int i = 0; i < 17; ++i) ASSERT_TRUE(publish("full", std::string(100'000, 'f')));
  std::vector<std::string> values(200, "small");
  values[0] = large;
  for (int i = 0; i < 2; ++i) {
    const auto refused = made->append(*log, native_batch(values));
    EXPECT_EQ(refused.status.code(), StatusCode::no_space) << refused.status.describe();
    EXPECT_EQ(messages("FULL"), 17) << "nothing landed";
  }
  std::swap(values[0], values[100]);
  const auto cut = made->append(*log, native_batch(values));
  EXPECT_EQ(cut.status.code(), StatusCode::unknown);
  EXPECT_NE(cut.status.text().find("100 of 200 records are stored; then: no_space"), std::string::npos)
      << cut.status.describe();
  EXPECT_EQ(messages("FULL"), 117);
  stranger->ask("$JS.API.STREAM.PURGE.FULL");
  const auto landed = made->append(*log, native_batch(values));
  ASSERT_TRUE(landed.status.ok()) << landed.status.describe();
  const auto all = made->read_all(*log, landed.first_offset);
  ASSERT_EQ(all.size(), 200u);
  EXPECT_EQ(all[100].value.size(), large.size());

  make_stream("FEW", "few", {{"discard", "new"}, {"max_msgs", 10}});
  ASSERT_TRUE(made->make(descriptor(2, "u", "FEW")).ok());
  auto few = made->opened(descriptor(2, "u", "FEW"));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(publish("few", "f"));
  EXPECT_EQ(made->append(*few, native_batch({"0", "1", "2", "3", "4", "5", "6", "7"})).status.code(),
            StatusCode::unknown);
  EXPECT_EQ(made->append(*few, native_batch({"8"})).status.code(), StatusCode::no_space);
  std::string stored;
  for (const Seen& seen : made->read_all(*few, 5)) stored += seen.value;
  EXPECT_EQ(stored, "01234");
}

// The room of an account is not the stream's to tell: what was refused once goes one by one.
TEST_F(JetstreamRecord, ARetryToAFullAccountIsNotOvertaken) {
  test::NatsServer limited({.extra =
                                "accounts { A { jetstream: { max_store: 2000000 }, users: [ { user: \"u\", password: "
                                "\"p\" } ] } }\nno_auth_user: u"});
  ASSERT_TRUE(limited.start().ok());
  stranger.emplace(limited.url());
  make_stream("FULL", "full");
  auto made = broker({{"servers", limited.url()}});
  ASSERT_TRUE(made->make(descriptor(1, "t", "FULL")).ok());
  auto log = made->opened(descriptor(1, "t", "FULL"));
  for (int i = 0; i < 17; ++i) ASSERT_TRUE(publish("full", std::string(100'000, 'f')));
  std::vector<std::string> values(100, "small");
  values[0] = std::string(500'000, 'x');
  EXPECT_FALSE(made->append(*log, native_batch(values)).status.ok());
  const int64_t before = messages("FULL");
  const auto again = made->append(*log, native_batch(values));
  EXPECT_EQ(again.status.code(), StatusCode::no_space) << again.status.describe();
  EXPECT_EQ(messages("FULL"), before);
  stranger->ask("$JS.API.STREAM.PURGE.FULL");
  ASSERT_TRUE(made->append(*log, native_batch(values)).status.ok());
  ASSERT_TRUE(made->append(*log, native_batch(values)).status.ok());
}

// As the server counts it: the headers too, those that are added among them.
TEST_F(JetstreamRecord, TheLargestMessageOfAStreamIsKnownToTheByte) {
  make_stream("SMALL", "small", {{"max_msg_size", 1'000}});
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t", "SMALL")).ok());
  auto log = made->opened(descriptor(1, "t", "SMALL"));
  int64_t stored = 0;
  bool refused = false;
  for (size_t size = 700; size <= 1'000 && !refused; ++size) {
    const auto outcome =
        made->append(*log, native_batch({"a", std::string(size, 'x')}, nullptr, 2 * static_cast<int>(size)));
    refused = outcome.status.code() == StatusCode::too_large;
    if (!refused) {
      ASSERT_TRUE(outcome.status.ok()) << size << ": " << outcome.status.describe();
      stored += 2;
    }
  }
  EXPECT_TRUE(refused);
  EXPECT_GT(stored, 0);
  EXPECT_EQ(messages("SMALL"), stored);
}

TEST_F(JetstreamRecord, WhatAStreamForbidsIsSaid) {
  make_stream("SILENT", "silent", {{"no_ack", true}});
  make_stream("KEPT", "kept", {{"deny_purge", true}});
  const auto mirror =
      stranger->ask_json("$JS.API.STREAM.CREATE.MIRROR", R"({"name":"MIRROR","mirror":{"name":"KEPT"}})");
  ASSERT_FALSE(mirror.contains("error")) << mirror.dump();
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "a", "SILENT")).ok());
  ASSERT_TRUE(made->make(descriptor(2, "b", "KEPT")).ok());
  ASSERT_TRUE(made->make(descriptor(3, "c", "MIRROR")).ok());
  EXPECT_EQ(made->append(*made->opened(descriptor(1, "a", "SILENT")), native_batch({"x"})).status.code(),
            StatusCode::unsupported);
  EXPECT_EQ(made->append(*made->opened(descriptor(3, "c", "MIRROR")), native_batch({"x"})).status.code(),
            StatusCode::unsupported);
  auto kept = made->opened(descriptor(2, "b", "KEPT"));
  ASSERT_TRUE(made->append(*kept, native_batch({"x"}, "k")).status.ok());
  EXPECT_EQ(made->trim(*kept, 1).code(), StatusCode::denied);
}

TEST_F(JetstreamRecord, StreamsThatOthersFillAreReadAndNotWritten) {
  make_stream("NEAR", "near");
  make_stream("FAR", "far");
  const std::pair<std::string, std::string> filled[] = {
      {"MIRROR", R"({"name":"MIRROR","mirror":{"name":"NEAR"}})"},
      {"GATHERED", R"({"name":"GATHERED","sources":[{"name":"NEAR"},{"name":"FAR"}]})"}};
  for (const auto& [name, config] : filled) {
    const auto created = stranger->ask_json("$JS.API.STREAM.CREATE." + name, config);
    ASSERT_FALSE(created.contains("error")) << created.dump();
  }
  ASSERT_TRUE(publish("near", "one", {{"Kafka-Key", "k"}}));
  auto made = broker();
  EXPECT_EQ(listed(*made).size(), 4u) << "found as any other";
  uint8_t id = 1;
  for (const auto& [name, config] : filled) {
    const auto wanted = descriptor(id++, "topic-" + name, name);
    ASSERT_TRUE(made->make(wanted).ok());
    auto log = made->opened(wanted);
    ASSERT_TRUE(eventually([&] { return made->bounds(*log).end >= 1; }));
    // What is gathered says where it is from, as the server has it.
    auto seen = made->read_all(*log, 0);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].headers.rfind("Nats-Stream-Source=NEAR", 0) == 0, name == "GATHERED") << seen[0].headers;
    seen[0].headers.clear();
    EXPECT_EQ(seen[0], (Seen{0, "k", "one", ""}));
    const auto refused = made->append(*log, native_batch({"x"}));
    EXPECT_EQ(refused.status.code(), StatusCode::unsupported);
    EXPECT_NE(refused.status.text().find(name == "MIRROR" ? "mirrors NEAR" : "gathers from NEAR, FAR"),
              std::string::npos)
        << refused.status.text();
  }
  // What comes to the origin wakes readers of both.
  ASSERT_TRUE(publish("near", "two", {{"Kafka-Key", "k"}}));
  for (uint8_t each = 1; each < id; ++each) {
    auto log = made->opened(descriptor(each, "topic-" + filled[each - 1].first, filled[each - 1].first));
    EXPECT_TRUE(eventually([&] { return made->bounds(*log).end >= 2; }));
    const auto seen = made->read_all(*log, 1);
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].offset, 1);
    EXPECT_EQ(seen[0].value, "two");
  }
  ASSERT_TRUE(made->remove(descriptor(1, "topic-MIRROR", "MIRROR")).ok());
  EXPECT_EQ(messages("MIRROR"), 2) << "only untied";
}

TEST_F(JetstreamRecord, AKilledServerLosesNothingAcknowledged) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string value = fmt::format("{}-{}", round, i);
      if (made->append(*log, native_batch({value})).status.ok()) acknowledged.push_back(value);
    }
    server.kill();
    EXPECT_FALSE(made->append(*log, native_batch({"lost"})).status.ok());
    ASSERT_TRUE(server.start().ok());
    ASSERT_TRUE(eventually([&] { return made->storage->health().has_value(); }));
  }
  EXPECT_GE(acknowledged.size(), 20u);
  std::vector<std::string> there;
  for (const Seen& seen : made->read_all(*log, 0)) there.push_back(seen.value);
  for (const std::string& value : acknowledged) {
    EXPECT_EQ(std::count(there.begin(), there.end(), value), 1) << value;
  }
}

// ---- Who reads on

TEST_F(JetstreamRecord, WhoReadsOnHasAConsumerUntilTheEnd) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  ASSERT_TRUE(made->read(*log, 1'000, 1'000));
  EXPECT_TRUE(consumers("t").empty()) << "not for one small read";
  size_t most = 0;
  const auto all = read_on(*made, *log, kSomeBytes, [&](int64_t) { most = std::max(most, consumers("t").size()); });
  EXPECT_EQ(all, filled(kMany));
  EXPECT_EQ(most, 1u) << "the reads were no test of it";
  EXPECT_TRUE(eventually([&] { return consumers("t").empty(); })) << "none is left behind";
  EXPECT_EQ(made->read_all(*log, 0, 16 << 20), filled(kMany)) << "in one read";
}

TEST_F(JetstreamRecord, ClosingALogRemovesItsConsumer) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  const auto first = made->read(*log, 0, kSomeBytes);
  ASSERT_TRUE(first);
  ASSERT_TRUE(made->read(*log, first->next, kSomeBytes));
  ASSERT_EQ(consumers("t").size(), 1u);
  const int64_t before_ns = monotonic_ns();
  log = nullptr;
  ASSERT_TRUE(eventually([&] { return consumers("t").empty(); }));
  EXPECT_LT(monotonic_ns() - before_ns, kConsumerIdleMs * kNsPerMs) << "the server removed it";
}

TEST_F(JetstreamRecord, WhoReadsOnPassesWhatIsDeleted) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  std::set<int> gone;
  const auto drop = [&](int offset) {
    delete_message("t", offset);
    gone.insert(offset);
  };
  for (const int offset : {1, 700, 701, 900, 2'000}) drop(offset);
  for (int i = 2'200; i < 2'600; ++i) drop(i);
  for (int i = 3'000; i < 3'400; i += 2) drop(i);  // more holes than are checked one by one
  for (int i = kMany - 300; i < kMany; ++i) drop(i);
  size_t most = 0;
  const auto all = read_on(*made, *log, kSomeBytes, [&](int64_t) { most = std::max(most, consumers("t").size()); });
  EXPECT_EQ(all, filled(kMany, gone));
  EXPECT_EQ(most, 1u);
  std::vector<Seen> singles;
  for (const int64_t at : {int64_t{699}, int64_t{1'999}, int64_t{2'199}, int64_t{3'101}}) {
    const auto one = made->read(*log, at, 1, at + 3);
    ASSERT_TRUE(one);
    see_records(*one, [&](const records::RecordView& record, const records::BatchView& batch) {
      EXPECT_FALSE(gone.contains(static_cast<int>(record.offset(batch))));
    });
  }
  EXPECT_EQ(made->read_all(*log, 0, 16 << 20), filled(kMany, gone)) << "in one read";
  // What goes right before it is read: never seen, though the consumer may have delivered it before.
  std::set<int> later = gone;
  const auto rest = read_on(*made, *log, kSomeBytes, [&](int64_t offset) {
    for (const int next : {static_cast<int>(offset), static_cast<int>(offset) + 7}) {
      if (offset == 0 || next >= 4'600 || !later.insert(next).second) continue;
      delete_message("t", next);
    }
  });
  EXPECT_GT(later.size(), gone.size());
  EXPECT_EQ(rest, filled(kMany, later));
}

TEST_F(JetstreamRecord, WhoReadsOnSeesWhatOthersWriteMeanwhile) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  constexpr int kForeign = 500;
  std::thread writer([&] {
    Stranger other(server.url());
    for (int i = 0; i < kForeign; ++i) {
      EXPECT_TRUE(other.publish("t", fmt::format("{}", kMany + i), {{"Kafka-Key", "k"}}));
    }
  });
  // Two who read on, and a third who jumps about.
  std::vector<Seen> all[2];
  int64_t next[2] = {0, 0};
  EXPECT_TRUE(eventually([&] {
    for (size_t i = 0; i < 2; ++i) {
      const auto got = made->read(*log, next[i], kSomeBytes + 3'000 * i);
      EXPECT_TRUE(got);
      if (!got) return true;
      see_records(*got, [&](const records::RecordView& record, const records::BatchView& batch) {
        all[i].push_back({record.offset(batch), "k", std::string(as_text(*record.value)), {}});
      });
      next[i] = got->next;
    }
    EXPECT_TRUE(made->read(*log, (next[0] * 7) % kMany, 2'000));
    return next[0] == kMany + kForeign && next[1] == next[0];
  }));
  writer.join();
  for (const auto& each : all) EXPECT_EQ(each, filled(kMany + kForeign));
}

TEST_F(JetstreamRecord, AConsumerThatSomebodyDeletesIsNotMissed) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  int deleted = 0;
  const auto all = read_on(*made, *log, kSomeBytes, [&](int64_t) {
    for (const std::string& name : consumers("t")) {
      stranger->ask("$JS.API.CONSUMER.DELETE.t." + name);
      ++deleted;
    }
  });
  EXPECT_GE(deleted, 1);
  EXPECT_EQ(all, filled(kMany));
}

// Somebody who takes messages away from our consumer: what it passes over is not what was deleted.
TEST_F(JetstreamRecord, MessagesThatAConsumerGaveToSomebodyElseAreNotLost) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  int taken = 0;
  const auto all = read_on(*made, *log, kSomeBytes, [&](int64_t) {
    for (const std::string& name : consumers("t")) {
      taken += stranger->try_to_ask("$JS.API.CONSUMER.MSG.NEXT.t." + name, R"({"batch":1,"no_wait":true})") ? 1 : 0;
    }
  });
  EXPECT_GE(taken, 1);
  EXPECT_EQ(all, filled(kMany));
}

TEST_F(JetstreamRecord, AServerThatComesBackIsReadOn) {
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
  auto log = made->opened(descriptor(1, "t"));
  fill(*made, *log, 0, kMany);
  bool restarted = false;
  const auto all = read_on(*made, *log, kSomeBytes, [&](int64_t offset) {
    if (restarted || offset < 1'000) return;
    restarted = true;
    server.kill();
    ASSERT_TRUE(server.start().ok());
    ASSERT_TRUE(eventually([&] { return made->storage->health().has_value(); }));
    stranger.emplace(server.url());
  });
  EXPECT_EQ(all, filled(kMany));
}

TEST_F(JetstreamRecord, StreamsThatAConsumerWouldChangeGetNone) {
  uint8_t id = 1;
  for (const char* retention : {"workqueue", "interest", "limits"}) {
    const bool counted = std::string_view(retention) == "limits";
    const std::string name = retention;
    nlohmann::json more = {{"retention", retention}, {"allow_direct", true}};
    if (counted) more["max_consumers"] = 1;
    make_stream(name, name, more);
    if (name == "interest") {  // or it keeps nothing
      const auto kept =
          stranger->ask_json("$JS.API.CONSUMER.DURABLE.CREATE.interest.d",
                             R"({"stream_name":"interest","config":{"durable_name":"d","ack_policy":"explicit"}})");
      ASSERT_FALSE(kept.contains("error")) << kept.dump();
    }
    const size_t before = consumers(name).size();
    auto made = broker();
    const auto adopted = descriptor(id++, "topic-" + name, name);
    ASSERT_TRUE(made->make(adopted).ok());
    auto log = made->opened(adopted);
    fill(*made, *log, 0, kMany);
    const auto all =
        read_on(*made, *log, kSomeBytes, [&](int64_t) { EXPECT_EQ(consumers(name).size(), before) << name; });
    EXPECT_EQ(all, filled(kMany)) << name;
    EXPECT_EQ(messages(name), kMany) << name;
  }
}

TEST_F(JetstreamRecord, WhoMayNotMakeConsumersReads) {
  for (const char* denied : {"$JS.API.CONSUMER.>", "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.DELETE.>"}) {
    test::NatsServer strict(
        {.extra = fmt::format("authorization {{ users: [ {{ user: u, password: p, permissions: {{ publish: {{ deny: "
                              "[\"{}\"] }} }} }}, {{ user: a, password: a }} ] }}",
                              denied)});
    ASSERT_TRUE(strict.start().ok());
    auto made = broker({{"servers", strict.url()}, {"user", std::string("u")}, {"password", std::string("p")}});
    ASSERT_TRUE(made->make(descriptor(1, "t")).ok());
    auto log = made->opened(descriptor(1, "t"));
    fill(*made, *log, 0, kMany);
    EXPECT_EQ(read_on(*made, *log, kSomeBytes, [](int64_t) {}), filled(kMany)) << denied;
    EXPECT_EQ(made->read_all(*log, 0, 16 << 20), filled(kMany)) << denied;
  }
}

TEST_F(JetstreamRecord, ConsumersDeliverWhatOthersWroteAsItIs) {
  make_stream("ORDERS", "orders.*", {{"allow_direct", true}});
  auto made = broker();
  ASSERT_TRUE(made->make(descriptor(1, "t", "ORDERS")).ok());
  auto log = made->opened(descriptor(1, "t", "ORDERS"));
  fill(*made, *log, 0, 1'000);
  const std::pair<const char*, Headers> strange[] = {
      {"1", {{"empty", ""}, {"other", "x"}}},
      {"2", {{"Status", "404"}, {"Nats-Sequence", "99"}, {"Nats-Subject", "forged"}, {"Nats-Stream", "other"}}},
      {"3", {{"Sluice", "1 record time=x"}}},
      {"4", {}}};
  for (const auto& [body, headers] : strange) ASSERT_TRUE(publish("orders.new", body, headers));
  fill(*made, *log, 1'004, 1'000);
  const auto values = [&](int64_t from, uint64_t bytes, uint64_t* skipped) {
    auto all = made->read_all(*log, from, bytes, skipped);
    std::erase_if(all, [](const Seen& seen) { return seen.offset < 1'000 || seen.offset > 1'003; });
    return all;
  };
  uint64_t skipped[2] = {0, 0};
  const auto singly = values(1'000, 1, &skipped[0]);
  const auto in_order = values(0, 1 << 20, &skipped[1]);
  ASSERT_EQ(singly.size(), 3u);
  EXPECT_EQ(singly, in_order);
  EXPECT_EQ(skipped[0], 1u);
  EXPECT_EQ(skipped[1], 1u);
  // The time of one that has none of its own is when it was stored, either way.
  std::vector<int64_t> times;
  size_t most = 0;
  for (const int64_t from : {int64_t{0}, int64_t{1'003}}) {
    for (int64_t offset = from; offset < 1'004;) {
      const auto got = made->read(*log, offset, kSomeBytes);
      ASSERT_TRUE(got);
      ASSERT_GT(got->next, offset);
      see_records(*got, [&](const records::RecordView& record, const records::BatchView& batch) {
        if (record.offset(batch) == 1'003) times.push_back(record.timestamp(batch));
      });
      offset = got->next;
      most = std::max(most, consumers("ORDERS").size());
    }
  }
  EXPECT_EQ(most, 1u);
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times[0], times[1]);
}

}  // namespace
}  // namespace sluice::jetstream::testing
