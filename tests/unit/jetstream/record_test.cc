// SPDX-License-Identifier: Apache-2.0
// The layout `record` on a real server: topics that others write to, found, adopted, read and left as they were.
#include "records/record.hpp"

#include <fmt/format.h>

#include "jetstream/record_message.hpp"
#include "records/builder.hpp"
#include "support.hpp"

namespace sluice::jetstream::testing {
namespace {

constexpr int64_t kTimeMs = 1'600'000'000'000;

struct Seen {
  int64_t offset = 0;
  std::string key, value, headers;
  bool operator==(const Seen&) const = default;
};

class JetstreamRecord : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server.start().ok());
    stranger.emplace(server.url());
  }

  std::unique_ptr<Broker> broker(host::OptionInputs more = {}) {
    more.try_emplace("layout", std::string("record"));
    auto made = std::make_unique<Broker>(server.url(), std::move(more));
    const auto started = made->storage->start();
    EXPECT_TRUE(started) << started.error().describe();
    if (started) {
      EXPECT_EQ(started->kind, SLUICE_KIND_NATIVE);
      EXPECT_EQ(started->capabilities & SLUICE_CAP_ATOMIC, 0u);
    }
    return made;
  }
  static host::LogDescriptor descriptor(uint8_t id, const std::string& topic, const std::string& adopts = {},
                                        int32_t partition = 0) {
    host::LogDescriptor made;
    made.id[15] = id;
    made.topic = topic;
    made.partition = partition;
    if (!adopts.empty()) made.settings.emplace_back("sluice.native.name", adopts);
    return made;
  }
  static Status create(Broker& broker, host::LogDescriptor descriptor) {
    return wait<Status>(broker.loop, [&] { return broker.storage->create_log(descriptor, broker.loop); });
  }
  static Status remove(Broker& broker, host::LogDescriptor descriptor) {
    return wait<Status>(broker.loop, [&] { return broker.storage->delete_log(descriptor, broker.loop); });
  }
  static std::shared_ptr<host::Log> open(Broker& broker, host::LogDescriptor descriptor) {
    auto log = *broker.storage->open(std::move(descriptor));
    EXPECT_TRUE(broker.acquire(*log, 0));
    return log;
  }
  static Status trim(Broker& broker, host::Log& log, int64_t offset) {
    return wait<Status>(broker.loop, [&] { return log.trim(offset, broker.loop); });
  }
  static Buffer batch(const std::vector<std::string>& values, const char* key = nullptr, int32_t sequence = -1) {
    records::BatchOptions options;
    if (sequence >= 0) {
      options.producer_id = 7;
      options.producer_epoch = 0;
      options.base_sequence = sequence;
    }
    records::BatchBuilder builder(options);
    for (const std::string& value : values) {
      records::NewRecord record;
      record.timestamp = kTimeMs;
      if (key != nullptr) record.key = as_bytes(key);
      record.value = as_bytes(value);
      EXPECT_TRUE(builder.add(record).ok());
    }
    return std::move(*builder.build());
  }
  static host::AppendOutcome append(Broker& broker, host::Log& log, const Buffer& bytes) {
    auto promise = std::make_shared<std::promise<host::AppendOutcome>>();
    host::AppendEntry entry;
    entry.bytes = bytes.view();
    const auto header = records::parse_batch_header(bytes.view());
    entry.last_offset = header->last_offset_delta;
    entry.max_timestamp = header->max_timestamp;
    entry.record_count = static_cast<uint32_t>(header->records_count);
    entry.done = [promise](host::AppendOutcome outcome) { promise->set_value(std::move(outcome)); };
    if (Status queued = log.enqueue(std::move(entry), log.position().generation, broker.loop); !queued.ok())
      return {queued};
    log.send();
    return promise->get_future().get();
  }
  static tl::expected<host::ReadResult, host::ReadError> read(Broker& broker, host::Log& log, int64_t offset,
                                                              uint64_t max_bytes = 1 << 20, int64_t limit = INT64_MAX) {
    return wait<tl::expected<host::ReadResult, host::ReadError>>(
        broker.loop, [&] { return log.read(offset, limit, max_bytes, broker.loop); });
  }
  /// Everything from `offset` on, in as many reads as it takes; how many messages were passed.
  static std::vector<Seen> read_all(Broker& broker, host::Log& log, int64_t offset, uint64_t max_bytes = 1 << 20,
                                    uint64_t* skipped = nullptr) {
    std::vector<Seen> all;
    while (true) {
      const auto got = read(broker, log, offset, max_bytes);
      EXPECT_TRUE(got) << got.error().status.describe();
      if (!got || got->next == offset) return all;
      if (skipped != nullptr) *skipped += got->skipped;
      const std::string bytes = *host::gather(*got);
      Bytes rest = as_bytes(bytes);
      while (!rest.empty()) {
        const auto taken = records::take_batch(rest);
        EXPECT_TRUE(taken);
        if (!taken) return all;
        records::RecordIterator records(taken->records_section(), *taken);
        for (records::RecordView record; records.next(record);) {
          Seen seen{record.offset(*taken), record.key ? std::string(as_text(*record.key)) : "null",
                    record.value ? std::string(as_text(*record.value)) : "null", ""};
          records::HeaderIterator headers = record.headers();
          for (records::HeaderView header; headers.next(header);) {
            seen.headers += fmt::format("{}={};", as_text(header.key), as_text(header.value.value_or(Bytes())));
          }
          all.push_back(std::move(seen));
        }
      }
      offset = got->next;
    }
  }
  static host::Bounds bounds(Broker& broker, host::Log& log) {
    const auto found = wait<Result<host::Bounds>>(broker.loop, [&] { return log.bounds(broker.loop); });
    EXPECT_TRUE(found) << found.error().describe();
    return found.value_or(host::Bounds{});
  }
  static std::vector<host::LogEntry> listed(Broker& broker) {
    auto found =
        wait<Result<std::vector<host::LogEntry>>>(broker.loop, [&] { return broker.storage->list_logs(broker.loop); });
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

  test::NatsServer server;
  std::optional<Stranger> stranger;
};

TEST_F(JetstreamRecord, AStreamOfOthersIsFoundAdoptedAndLeft) {
  make_stream("ORDERS", "orders.*");
  ASSERT_TRUE(publish("orders.new", R"({"item":"book"})", {{"b", "2"}, {"a", "1"}}));
  ASSERT_TRUE(publish("orders.kafka", "plain", {{"Kafka-Key", "k1"}}));
  auto made = broker();
  const auto found = listed(*made);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found.front().foreign);
  EXPECT_EQ(found.front().topic, "ORDERS");

  EXPECT_EQ(create(*made, descriptor(1, "mine", "no-such")).code(), StatusCode::not_found);
  EXPECT_EQ(create(*made, descriptor(1, "mine", "no.such")).code(), StatusCode::not_found);
  EXPECT_EQ(create(*made, descriptor(2, "ORDERS")).code(), StatusCode::exists) << "never taken silently";
  EXPECT_EQ(create(*made, descriptor(2, "orders.new")).code(), StatusCode::exists) << "nor its subjects";
  EXPECT_EQ(create(*made, descriptor(2, "a..b")).code(), StatusCode::invalid);
  const auto mine = descriptor(1, "mine", "ORDERS");
  ASSERT_TRUE(create(*made, mine).ok());
  ASSERT_TRUE(create(*made, mine).ok()) << "idempotent";
  EXPECT_EQ(create(*made, descriptor(3, "other", "ORDERS")).code(), StatusCode::exists);
  auto log = open(*made, mine);
  const auto all = read_all(*made, *log, 0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], (Seen{0, "orders.new", R"({"item":"book"})", "a=1;b=2;"})) << "the subject, where there is no key";
  EXPECT_EQ(all[1], (Seen{1, "k1", "plain", ""}));

  ASSERT_TRUE(append(*made, *log, batch({"ours"}, "k")).status.ok());
  const auto stored = stranger->ask_json("$JS.API.STREAM.MSG.GET.ORDERS", R"({"seq":3})");
  EXPECT_EQ(stored["message"].value("subject", ""), "orders.kafka");
  EXPECT_EQ(read_all(*made, *log, 2), (std::vector<Seen>{{2, "k", "ours", ""}}));

  ASSERT_TRUE(remove(*made, mine).ok());
  EXPECT_EQ(messages("ORDERS"), 3) << "only untied";
  const auto gone = read(*made, *log, 0);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().status.code(), StatusCode::not_found);
  EXPECT_EQ(append(*made, *log, batch({"late"})).status.code(), StatusCode::not_found);
  EXPECT_EQ(messages("ORDERS"), 3);
  ASSERT_TRUE(create(*made, descriptor(3, "other", "ORDERS")).ok()) << "free again";
}

TEST_F(JetstreamRecord, OffsetsAreStableAndReadFromEverywhere) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "a.topic")).ok());
  auto log = open(*made, descriptor(1, "a.topic"));
  EXPECT_EQ(bounds(*made, *log).start, 0);
  EXPECT_EQ(bounds(*made, *log).end, 0);
  std::vector<Seen> expected;
  for (int i = 0; i < 50; ++i) {
    const auto outcome = append(*made, *log, batch({fmt::format("a{}", i), fmt::format("b{}", i)}, "k"));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.describe();
    ASSERT_TRUE(publish("a.topic", fmt::format("f{}", i)));
    const int64_t at = 3 * i;
    EXPECT_EQ(outcome.first_offset, at);
    EXPECT_EQ(outcome.last_offset, at + 1);
    expected.push_back({at, "k", fmt::format("a{}", i), ""});
    expected.push_back({at + 1, "k", fmt::format("b{}", i), ""});
    expected.push_back({at + 2, "null", fmt::format("f{}", i), ""});
  }
  EXPECT_EQ(read_all(*made, *log, 0), expected);
  EXPECT_EQ(read_all(*made, *log, 0, 1), expected) << "one record at a time";
  for (size_t i = 0; i < expected.size(); i += 17) {
    const std::vector<Seen> rest(expected.begin() + static_cast<std::ptrdiff_t>(i), expected.end());
    EXPECT_EQ(read_all(*made, *log, static_cast<int64_t>(i)), rest);
  }
  const auto limited = read(*made, *log, 0, 1 << 20, 4);
  ASSERT_TRUE(limited);
  EXPECT_EQ(limited->next, 4);
  const auto beyond = read(*made, *log, bounds(*made, *log).end + 1);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().status.code(), StatusCode::out_of_range);
}

TEST_F(JetstreamRecord, WhatIsDeletedOrDamagedIsPassed) {
  for (const bool direct : {false, true}) {
    const std::string name = direct ? "DIRECT" : "LEADER";
    const std::string subject = direct ? "direct" : "leader";
    make_stream(name, subject, {{"allow_direct", direct}});
    auto made = broker();
    const auto adopted = descriptor(direct ? 1 : 2, "t", name);
    ASSERT_TRUE(create(*made, adopted).ok());
    auto log = open(*made, adopted);
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
      EXPECT_EQ(read_all(*made, *log, 0, size, &skipped), wanted);
      EXPECT_EQ(skipped, 2u);
    }
    EXPECT_TRUE(made->said("message 6 of stream " + name + " is not readable"));
    EXPECT_EQ(bounds(*made, *log).start, 0);
    EXPECT_EQ(bounds(*made, *log).end, kMessages);
  }
}

TEST_F(JetstreamRecord, AnEmptyHeaderOfOthersSwallowsNothing) {
  make_stream("ORDERS", "orders", {{"allow_direct", true}});
  ASSERT_TRUE(publish("orders", "1", {{"empty", ""}, {"other", "x"}, {"url", "http://x"}}));
  ASSERT_TRUE(publish("orders", "2", {{"empty", ""}}));
  ASSERT_TRUE(publish("orders", "", {{"Status", "404"}, {"Nats-Sequence", "99"}, {"Nats-Subject", "forged"}}));
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t", "ORDERS")).ok());
  auto log = open(*made, descriptor(1, "t", "ORDERS"));
  const std::vector<Seen> wanted = {{0, "null", "1", "empty=;other=x;url=http://x;"},
                                    {1, "null", "2", "empty=;"},
                                    {2, "null", "", "Nats-Sequence=99;Nats-Subject=forged;Status=404;"}};
  EXPECT_EQ(read_all(*made, *log, 0), wanted);
}

TEST_F(JetstreamRecord, AReaderAtTheBeginningOfNothingMissesNothing) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  const auto empty = read(*made, *log, 0);
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->next, 0);
  ASSERT_TRUE(publish("t", "first"));
  ASSERT_EQ(read_all(*made, *log, 0).size(), 1u);
}

TEST_F(JetstreamRecord, TrimmedMessagesAreOutOfRange) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  ASSERT_TRUE(append(*made, *log, batch({"a", "b", "c"})).status.ok());
  ASSERT_TRUE(trim(*made, *log, 2).ok());
  EXPECT_EQ(bounds(*made, *log).start, 2);
  EXPECT_EQ(read(*made, *log, 0).error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(read_all(*made, *log, 2).size(), 1u);
  stranger->ask("$JS.API.STREAM.PURGE.t");
  EXPECT_EQ(bounds(*made, *log).start, 3);
  EXPECT_EQ(bounds(*made, *log).end, 3);
  EXPECT_EQ(append(*made, *log, batch({"d"})).first_offset, 3);
}

TEST_F(JetstreamRecord, OthersEndAWatch) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  auto watched = std::async(std::launch::async,
                            [&] { return wait<Status>(made->loop, [&] { return log->watch(0, made->loop); }); });
  EXPECT_EQ(watched.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  ASSERT_TRUE(publish("t", "x"));
  EXPECT_TRUE(watched.get().ok());
  EXPECT_TRUE(wait<Status>(made->loop, [&] { return log->watch(0, made->loop); }).ok()) << "at once";
}

TEST_F(JetstreamRecord, ARetryIsKnownToAnotherBroker) {
  auto made = broker();
  auto other = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  auto elsewhere = open(*other, descriptor(1, "t"));
  const auto first = append(*made, *log, batch({"a", "b"}, nullptr, 0));
  ASSERT_TRUE(first.status.ok()) << first.status.describe();
  const auto again = append(*other, *elsewhere, batch({"a", "b"}, nullptr, 0));
  ASSERT_TRUE(again.status.ok()) << again.status.describe();
  EXPECT_EQ(again.first_offset, first.first_offset);
  EXPECT_EQ(messages("t"), 2);
  EXPECT_EQ(append(*other, *elsewhere, batch({"c"}, nullptr, 2)).first_offset, 2);
  // Without a producer's id nothing is known.
  ASSERT_TRUE(append(*made, *log, batch({"x"})).status.ok());
  ASSERT_TRUE(append(*made, *log, batch({"x"})).status.ok());
  EXPECT_EQ(messages("t"), 5);
}

TEST_F(JetstreamRecord, PartitionsAreStreamsOfTheirOwnAndGoWithTheTopic) {
  auto made = broker();
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(create(*made, descriptor(static_cast<uint8_t>(i + 1), "a.t", {}, i)).ok());
  }
  auto log = open(*made, descriptor(3, "a.t", {}, 2));
  ASSERT_TRUE(append(*made, *log, batch({"x"})).status.ok());
  EXPECT_EQ(messages("a_t-2"), 1);
  const auto found = listed(*made);
  ASSERT_EQ(found.size(), 3u);
  for (const auto& entry : found) {
    EXPECT_FALSE(entry.foreign);
    EXPECT_EQ(entry.topic, "a.t");
  }
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(remove(*made, descriptor(static_cast<uint8_t>(i + 1), "a.t", {}, i)).ok());
  }
  EXPECT_TRUE(listed(*made).empty());
  EXPECT_EQ(messages("sluice-native"), 0) << "nothing is left behind";
}

TEST_F(JetstreamRecord, NothingOfWhatDoesNotFitIsStored) {
  make_stream("SMALL", "small", {{"max_msg_size", 1'000}});
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  ASSERT_TRUE(create(*made, descriptor(2, "small-ones", "SMALL")).ok());
  auto log = open(*made, descriptor(1, "t"));
  auto small = open(*made, descriptor(2, "small-ones", "SMALL"));
  EXPECT_EQ(append(*made, *log, batch({"a", std::string(1 << 20, 'x')})).status.code(), StatusCode::too_large);
  EXPECT_EQ(append(*made, *log, batch({"a"}, std::string(70'000, 'k').c_str())).status.code(), StatusCode::too_large);
  EXPECT_EQ(append(*made, *small, batch({"a", std::string(1'000, 'x')})).status.code(), StatusCode::too_large);
  EXPECT_EQ(messages("t"), 0);
  EXPECT_EQ(messages("SMALL"), 0);
  ASSERT_TRUE(append(*made, *log, batch({"a", std::string((1 << 20) - 1'000, 'x')})).status.ok());
  ASSERT_TRUE(append(*made, *small, batch({std::string(700, 'x')})).status.ok());
}

TEST_F(JetstreamRecord, WhatAStreamForbidsIsSaid) {
  make_stream("SILENT", "silent", {{"no_ack", true}});
  make_stream("KEPT", "kept", {{"deny_purge", true}});
  const auto mirror =
      stranger->ask_json("$JS.API.STREAM.CREATE.MIRROR", R"({"name":"MIRROR","mirror":{"name":"KEPT"}})");
  ASSERT_FALSE(mirror.contains("error")) << mirror.dump();
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "a", "SILENT")).ok());
  ASSERT_TRUE(create(*made, descriptor(2, "b", "KEPT")).ok());
  ASSERT_TRUE(create(*made, descriptor(3, "c", "MIRROR")).ok());
  EXPECT_EQ(append(*made, *open(*made, descriptor(1, "a", "SILENT")), batch({"x"})).status.code(), StatusCode::denied);
  EXPECT_EQ(append(*made, *open(*made, descriptor(3, "c", "MIRROR")), batch({"x"})).status.code(), StatusCode::denied);
  auto kept = open(*made, descriptor(2, "b", "KEPT"));
  ASSERT_TRUE(append(*made, *kept, batch({"x"}, "k")).status.ok());
  EXPECT_EQ(trim(*made, *kept, 1).code(), StatusCode::denied);
}

TEST_F(JetstreamRecord, AKilledServerLosesNothingAcknowledged) {
  auto made = broker();
  ASSERT_TRUE(create(*made, descriptor(1, "t")).ok());
  auto log = open(*made, descriptor(1, "t"));
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string value = fmt::format("{}-{}", round, i);
      if (append(*made, *log, batch({value})).status.ok()) acknowledged.push_back(value);
    }
    server.kill();
    EXPECT_FALSE(append(*made, *log, batch({"lost"})).status.ok());
    ASSERT_TRUE(server.start().ok());
    ASSERT_TRUE(eventually([&] { return made->storage->health().has_value(); }));
  }
  EXPECT_GE(acknowledged.size(), 20u);
  std::vector<std::string> there;
  for (const Seen& seen : read_all(*made, *log, 0)) there.push_back(seen.value);
  for (const std::string& value : acknowledged) {
    EXPECT_EQ(std::count(there.begin(), there.end(), value), 1) << value;
  }
}

}  // namespace
}  // namespace sluice::jetstream::testing
