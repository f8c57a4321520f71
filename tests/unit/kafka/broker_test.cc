// SPDX-License-Identifier: Apache-2.0
// The adapter on real brokers that are killed, stopped and cut off, and that other clients use meanwhile: on sluiced,
// and, where KAFKA_JARS says where its jars are, on Apache Kafka.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <map>
#include <set>
#include <vector>

#include "adapter_world.hpp"
#include "support/kafka_server.hpp"
#include "support/tcp_proxy.hpp"

namespace sluice::test {
namespace {

using records::Codec;

class KafkaBroker : public ::testing::TestWithParam<bool> {
 protected:
  void start_server(std::vector<std::string> more = {}) {
    KafkaSettings settings;
    if (GetParam()) {
      const char* jars = std::getenv("KAFKA_JARS");
      if (jars == nullptr) GTEST_SKIP() << "KAFKA_JARS is not set: Apache Kafka is not at hand";
      settings.program = SLUICE_TEST_APACHE_START;
      settings.jars = jars;
    } else {
      settings.program = SLUICE_TEST_BROKER;
      settings.arguments = {"--override", "auto.create.topics.enable=false"};
      settings.arguments.insert(settings.arguments.end(), more.begin(), more.end());
    }
    server = std::make_unique<KafkaServer>(settings);
    const Status started = server->start();
    ASSERT_TRUE(started) << started.describe();
    native = std::make_unique<NativeClient>(server->address());
  }
  std::unique_ptr<Adapter> adapter(host::OptionInputs inputs = {}, int64_t call_timeout_ms = 15'000) {
    auto made = std::make_unique<Adapter>(server->address(), std::move(inputs), call_timeout_ms);
    Result<host::Condition> started;
    EXPECT_TRUE(eventually([&] { return (started = made->start()).has_value(); }, 60'000))
        << started.error().describe();
    return made;
  }

  std::unique_ptr<KafkaServer> server;
  std::unique_ptr<NativeClient> native;
};

/// One batch as it is, by the protocol; true if the broker took it.
bool produce_raw(uint16_t port, const std::string& topic, int32_t partition, const std::string& batch) {
  Buffer body;
  ByteWriter writer(body);
  const auto text = [&](std::string_view value) {
    writer.write_be(static_cast<int16_t>(value.size()));
    writer.write_bytes(as_bytes(value));
  };
  writer.write_be(int32_t{0});   // the size, below
  writer.write_be(int16_t{0});   // Produce
  writer.write_be(int16_t{3});   // version
  writer.write_be(int32_t{1});   // correlation
  text("test");                  // client
  writer.write_be(int16_t{-1});  // no transaction
  writer.write_be(int16_t{-1});  // acks
  writer.write_be(int32_t{10'000});
  writer.write_be(int32_t{1});
  text(topic);
  writer.write_be(int32_t{1});
  writer.write_be(partition);
  writer.write_be(static_cast<int32_t>(batch.size()));
  writer.write_bytes(as_bytes(batch));
  store_be(body.data(), static_cast<int32_t>(body.size() - 4));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool taken = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  taken = taken && send(fd, body.data(), body.size(), 0) == static_cast<ssize_t>(body.size());
  // Size, correlation, topics, name, partitions, index, error.
  std::vector<uint8_t> answer(4 + 4 + 4 + 2 + topic.size() + 4 + 4 + 2);
  taken = taken && recv(fd, answer.data(), answer.size(), MSG_WAITALL) == static_cast<ssize_t>(answer.size());
  close(fd);
  return taken && load_be<int16_t>(answer.data() + answer.size() - 2) == 0;
}

std::string every_byte() {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  return all;
}

std::vector<NativeRecord> odd_records() {
  std::vector<NativeRecord> all(8);
  all[0].key = "key";
  all[0].value = "value";
  all[1].key = "a key and no value";
  all[2].value = "a value and no key";
  all[4].key = "";
  all[4].value = "";
  all[5].key = every_byte();
  all[5].value = every_byte();
  all[6].value = "headers";
  all[6].headers = {{"b", "1"}, {"a", "2"}, {"b", std::nullopt}, {"a", ""}, {"bytes", every_byte()}, {"", "x"}};
  all[7].value = std::string(500'000, 'x');
  for (size_t i = 0; i < all.size(); ++i) all[i].timestamp += static_cast<int64_t>(i * i) - 10;
  return all;
}

// ---- What others write and read

TEST_P(KafkaBroker, OursAreReadableByAnyClient) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  std::vector<NativeRecord> all;
  for (const Codec codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    const auto records = odd_records();
    const auto appended = one->append(*log, records, codec);
    ASSERT_TRUE(appended.status.ok()) << appended.status.describe();
    EXPECT_EQ(appended.first_offset, static_cast<int64_t>(all.size()));
    all.insert(all.end(), records.begin(), records.end());
    EXPECT_EQ(appended.last_offset, static_cast<int64_t>(all.size()) - 1);
  }
  expect_same(all, native->consume("orders", 0, 0, all.size()));
  expect_same(all, one->read_all(*log));
}

TEST_P(KafkaBroker, WhatAnyClientWritesIsRead) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  ASSERT_EQ(native->create_topic("theirs", 3), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto one = adapter();
  const auto log = one->ready(topic_of("theirs", 1, 3, true));
  std::vector<NativeRecord> all;
  for (const char* codec : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    const auto written = native->produce("theirs", 1, odd_records(), {{"compression.codec", codec}});
    all.insert(all.end(), written.begin(), written.end());
  }
  expect_same(all, one->read_all(*log));
  // From every offset.
  for (size_t i = 0; i < all.size(); i += 3) {
    const auto rest = one->read_all(*log, all[i].offset);
    ASSERT_EQ(rest.size(), all.size() - i);
    EXPECT_TRUE(rest.front().same_as(all[i]));
  }
  // Adoption leaves the topic where it is.
  EXPECT_TRUE(wait<Status>(one->loop, [&] {
                return one->storage->delete_log(topic_of("theirs", 1, 3, true), one->loop);
              }).ok());
  EXPECT_EQ(native->consume("theirs", 1, 0, all.size()).size(), all.size());
}

TEST_P(KafkaBroker, TwoWritersAtOnce) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  constexpr size_t kCount = 3'000;
  std::thread other([&] { native->produce("orders", 0, numbered("theirs", kCount), {{"linger.ms", "1"}}); });
  std::set<int64_t> ours;
  for (size_t i = 0; i < kCount; i += 50) {
    const auto appended = one->append(*log, numbered(fmt::format("ours{}", i), 50));
    ASSERT_TRUE(appended.status.ok()) << appended.status.describe();
    // Others may lie between: the offsets tell where the first and the last are.
    EXPECT_GE(appended.last_offset - appended.first_offset, 49);
    ours.insert(appended.first_offset);
  }
  other.join();
  const auto all = one->read_all(*log);
  ASSERT_EQ(all.size(), 2 * kCount);
  std::set<std::string> seen;
  size_t expected = 0;
  for (const NativeRecord& record : all) {
    EXPECT_TRUE(seen.insert(*record.value).second) << *record.value << " is there twice";
    if (record.value->starts_with("theirs")) {
      EXPECT_EQ(*record.value, fmt::format("theirs-{}", expected++));
    } else if (record.value->ends_with("-0")) {
      EXPECT_TRUE(ours.contains(record.offset))
          << "a batch begins at " << record.offset << ", the answer said otherwise";
    }
  }
}

TEST_P(KafkaBroker, AWatchHearsOfOthers) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  int64_t end = 0;
  for (int round = 0; round < 5; ++round) {
    auto woken = std::async(std::launch::async, [&] { return one->watch(*log, end); });
    EXPECT_EQ(woken.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    const auto written = native->produce("orders", 0, numbered(fmt::format("r{}", round), 2));
    ASSERT_EQ(woken.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    EXPECT_TRUE(woken.get().ok());
    EXPECT_EQ(one->read_all(*log, end).size(), 2u);
    end = written.back().offset + 1;
  }
}

TEST_P(KafkaBroker, ATopicThatGrows) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  ASSERT_EQ(native->create_topic("grows", 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto one = adapter();
  const auto log = one->ready(topic_of("grows", 0, 1, true));
  EXPECT_TRUE(one->append(*log, numbered("a", 1)).status.ok());
  EXPECT_EQ(one->make(topic_of("grows", 2, 3, true)).code(), StatusCode::not_found);
  ASSERT_EQ(native->grow_topic("grows", 3), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto third = one->ready(topic_of("grows", 2, 3, true));
  ASSERT_TRUE(one->append(*third, numbered("b", 2)).status.ok());
  EXPECT_EQ(native->consume("grows", 2, 0, 2).size(), 2u);
  const auto listed =
      wait<Result<std::vector<host::LogEntry>>>(one->loop, [&] { return one->storage->list_logs(one->loop); });
  ASSERT_TRUE(listed);
  size_t partitions = 0;
  for (const host::LogEntry& entry : *listed) {
    EXPECT_TRUE(entry.foreign);
    EXPECT_FALSE(entry.topic.starts_with("__")) << entry.topic;
    partitions += entry.topic == "grows" ? 1 : 0;
  }
  EXPECT_EQ(partitions, 3u);
  // One that we make grows by a descriptor of more partitions.
  const auto made = one->ready(topic_of("ours", 0, 1));
  const auto fourth = one->ready(topic_of("ours", 3, 4));
  EXPECT_TRUE(one->append(*fourth, numbered("c", 1)).status.ok());
}

// The second is told that the topic has these partitions, a moment before the cluster shows them.
TEST_P(KafkaBroker, SeveralThatLetATopicGrowAtOnce) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  constexpr int32_t kAtOnce = 4;
  std::vector<decltype(adapter())> all;
  for (int32_t i = 0; i < kAtOnce; ++i) all.push_back(adapter());
  for (int round = 0; round < 5; ++round) {
    const std::string topic = fmt::format("wide{}", round);
    ASSERT_TRUE(all.front()->ready(topic_of(topic)) != nullptr);
    std::vector<std::future<Status>> made;
    for (int32_t i = 0; i < kAtOnce; ++i) {
      made.push_back(std::async(std::launch::async, [&, i] {
        return all[static_cast<size_t>(i)]->make(topic_of(topic, kAtOnce - i, 1 + kAtOnce));
      }));
    }
    for (auto& one : made) {
      const Status status = one.get();
      EXPECT_TRUE(status.ok()) << "round " << round << ": " << status.describe();
    }
  }
}

// Apache Kafka shows a topic for a moment after it said that it is gone.
TEST_P(KafkaBroker, ADeletedTopicIsNotShownAnyMore) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  for (int round = 0; round < 5; ++round) {
    const host::LogDescriptor topic = topic_of("again", 0, 40);
    const auto log = one->ready(topic);
    ASSERT_TRUE(one->append(*log, numbered("a", 3)).status.ok()) << round;
    ASSERT_TRUE(one->remove(topic).ok());
    const auto listed =
        wait<Result<std::vector<host::LogEntry>>>(one->loop, [&] { return one->storage->list_logs(one->loop); });
    ASSERT_TRUE(listed);
    for (const host::LogEntry& entry : *listed) ASSERT_NE(entry.topic, "again") << "round " << round;
  }
}

// The cluster's own settings say nothing of a topic that has others.
TEST_P(KafkaBroker, WhatIsPromisedIsTheTopics) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  ASSERT_EQ(native->create_topic("keeps", 1, {{"min.insync.replicas", "2"}}), RD_KAFKA_RESP_ERR_NO_ERROR);
  ASSERT_EQ(
      native->create_topic("loses", 1, {{"min.insync.replicas", "2"}, {"unclean.leader.election.enable", "true"}}),
      RD_KAFKA_RESP_ERR_NO_ERROR);
  ASSERT_EQ(native->create_topic("plain", 1), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto one = adapter();
  const auto promised = [&](const std::string& topic) {
    const auto log = one->ready(topic_of(topic, 0, 1, true));
    const auto bounds = wait<Result<host::Bounds>>(one->loop, [&] { return log->bounds(one->loop); });
    EXPECT_TRUE(bounds) << bounds.error().describe();
    return bounds ? bounds->capabilities : 0;
  };
  constexpr uint64_t kAlways = SLUICE_CAP_DURABLE | SLUICE_CAP_SHARED;
  EXPECT_EQ(one->storage->condition().capabilities, kAlways);
  EXPECT_EQ(promised("keeps"), kAlways | SLUICE_CAP_NO_ROLLBACK);
  EXPECT_EQ(promised("loses"), kAlways);
  EXPECT_EQ(promised("plain"), kAlways);
}

TEST_P(KafkaBroker, WhatIsOutOfRangeAndWhatIsTrimmed) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  ASSERT_TRUE(one->append(*log, numbered("a", 10)).status.ok());
  EXPECT_EQ(one->read_all(*log).size(), 10u);  // a cursor is there
  auto above = one->read(*log, 11);
  ASSERT_FALSE(above);
  EXPECT_EQ(above.error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(above.error().start, 0);
  EXPECT_EQ(above.error().end, 10);
  const Status trimmed = one->trim(*log, 4);
  ASSERT_TRUE(trimmed.ok()) << trimmed.describe();
  auto below = one->read(*log, 3);
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().status.code(), StatusCode::out_of_range);
  EXPECT_EQ(below.error().start, 4);
  EXPECT_EQ(one->read_all(*log, 4).size(), 6u);
  EXPECT_TRUE(one->trim(*log, 1'000).ok());  // never past the end
  const auto bounds = one->try_bounds(*log);
  ASSERT_TRUE(bounds);
  EXPECT_EQ(bounds->start, 10);
  EXPECT_EQ(bounds->end, 10);
  // A record of another client's after the trim.
  const auto written = native->produce("orders", 0, numbered("b", 1));
  EXPECT_EQ(written.front().offset, 10);
  EXPECT_EQ(one->read_all(*log, 10).size(), 1u);
}

// What an aborted transaction left, and its markers, are passed; `next` moves beyond them.
TEST_P(KafkaBroker, Transactions) {
  if (!GetParam()) GTEST_SKIP() << "transactions are tried on Apache Kafka";
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  using Transaction = NativeClient::Transaction;
  auto wanted = native->produce("orders", 0, numbered("plain", 2));
  native->produce("orders", 0, numbered("aborted", 5), {}, Transaction::abort);
  const auto committed = native->produce("orders", 0, numbered("committed", 3), {}, Transaction::commit);
  wanted.insert(wanted.end(), committed.begin(), committed.end());
  expect_same(wanted, one->read_all(*log));
  // The log ends with a marker: a reader that stands before it gets on, and does not wait.
  const auto bounds = one->try_bounds(*log);
  ASSERT_TRUE(bounds);
  ASSERT_EQ(bounds->end, committed.back().offset + 2);
  const auto began = Clock::now();
  const auto at_marker = one->read(*log, committed.back().offset + 1);
  ASSERT_TRUE(at_marker) << at_marker.error().status.describe();
  EXPECT_EQ(at_marker->next, bounds->end);
  EXPECT_TRUE(Adapter::records_of(*at_marker).empty());
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(8));
  const auto after = one->append(*log, numbered("after", 1));
  ASSERT_TRUE(after.status.ok());
  EXPECT_EQ(after.first_offset, bounds->end);
  EXPECT_EQ(one->read_all(*log, bounds->end).size(), 1u);
}

// Compressed bytes that do not unpack, under a right checksum. Apache Kafka looks into them and takes none.
TEST_P(KafkaBroker, B04_UndecodableBatchesArePassed) {
  if (GetParam()) GTEST_SKIP() << "Apache Kafka lets no such batch in";
  ASSERT_NO_FATAL_FAILURE(start_server());
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  ASSERT_TRUE(one->append(*log, numbered("before", 3)).status.ok());
  // A producer of gzip whose bytes are spoilt on the way would be found out by its checksum: the batch is made here.
  auto batch = batch_of(numbered("bad", 4), Codec::gzip);
  for (size_t i = records::kBatchHeaderBytes + 10; i < batch.size(); ++i) batch[i] = '\x55';
  auto* bytes = reinterpret_cast<uint8_t*>(batch.data());
  store_be<uint32_t>(bytes + records::layout::kCrc,
                     crc32c({bytes + records::layout::kAttributes, batch.size() - records::layout::kAttributes}));
  ASSERT_TRUE(produce_raw(server->port(), "orders", 0, batch));
  ASSERT_TRUE(one->append(*log, numbered("after", 3)).status.ok());
  uint64_t skipped = 0;
  const auto all = one->read_all(*log, 0, &skipped);
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(*all[2].value, "before-2");
  EXPECT_EQ(*all[3].value, "after-0");
  EXPECT_EQ(all[3].offset, 7);
  EXPECT_EQ(skipped, 4u);
}

// ---- Brokers that go away

struct Told {
  std::future<host::AppendOutcome> future;
  host::AppendOutcome answer;
};

// Nothing acknowledged is lost, doubled or out of order; nothing refused is there.
void judge(Adapter& one, host::Log& log, std::vector<Told>& told) {
  const auto all = one.read_all(log);
  std::map<std::string, int64_t> found;
  int64_t last = -1;
  for (const NativeRecord& record : all) {
    // Some are filled up to a size.
    const std::string name = record.value->substr(0, record.value->find('x'));
    EXPECT_TRUE(found.emplace(name, record.offset).second) << *record.value << " is there twice";
    EXPECT_GT(record.offset, last);
    last = record.offset;
  }
  for (size_t i = 0; i < told.size(); ++i) {
    const StatusCode code = told[i].answer.status.code();
    const auto there = found.find(fmt::format("w{}-0", i));
    if (code == StatusCode::ok) {
      ASSERT_NE(there, found.end()) << i << " was acknowledged and is lost";
      if (told[i].answer.first_offset >= 0) {
        EXPECT_EQ(there->second, told[i].answer.first_offset) << i;
      }
    } else if (code != StatusCode::unknown) {
      EXPECT_EQ(there, found.end()) << i << " was refused (" << told[i].answer.status.describe() << ") and is there";
    }
  }
}

// A producer is introduced to a partition by the first append, and those behind it wait for that.
TEST_P(KafkaBroker, AppendsUnderWayKeepTheirOrderFromTheFirstOn) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  constexpr size_t kLogs = 8;
  constexpr size_t kAppends = 12;
  std::vector<std::shared_ptr<host::Log>> logs;
  for (size_t i = 0; i < kLogs; ++i) logs.push_back(one->ready(topic_of(fmt::format("t{}", i))));
  for (const auto& log : logs) {
    std::vector<std::future<host::AppendOutcome>> sent;
    std::vector<NativeRecord> wanted;
    for (size_t i = 0; i < kAppends; ++i) {
      const auto records = numbered(fmt::format("w{}", i), i == 0 ? 1'000 : 2);
      wanted.insert(wanted.end(), records.begin(), records.end());
      sent.push_back(one->send(*log, records));
    }
    for (auto& each : sent) {
      const auto told = each.get();
      EXPECT_TRUE(told.status.ok()) << told.status.describe();
    }
    const auto found = one->read_all(*log);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) ASSERT_EQ(found[i].value, wanted[i].value) << i;
  }
}

TEST_P(KafkaBroker, KilledWithAppendsInFlight) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  std::vector<Told> told;
  const auto send = [&](size_t count, size_t size) {
    for (size_t i = 0; i < count; ++i) {
      Told& each = told.emplace_back();
      each.future = one->send(*log, numbered(fmt::format("w{}", told.size() - 1), 1, size));
    }
  };
  const auto settle = [&] {
    for (Told& each : told) {
      if (!each.future.valid()) continue;
      ASSERT_EQ(each.future.wait_for(std::chrono::seconds(40)), std::future_status::ready) << "an append is lost";
      each.answer = each.future.get();
    }
  };
  for (int round = 0; round < 4; ++round) {
    send(20, round % 2 == 0 ? 100 : 100'000);
    ASSERT_EQ(told.back().future.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    send(20, 20'000);
    server->kill();
    send(5, 100);
    ASSERT_TRUE(server->start());
    ASSERT_NO_FATAL_FAILURE(settle());
    const auto back = Clock::now();
    ASSERT_TRUE(eventually([&] {
      send(1, 100);
      settle();
      return told.back().answer.status.ok();
    }));
    EXPECT_LT(Clock::now() - back, std::chrono::seconds(server->is_apache() ? 20 : 10)) << "service is back late";
  }
  judge(*one, *log, told);
  const size_t acknowledged = static_cast<size_t>(
      std::count_if(told.begin(), told.end(), [](const Told& each) { return each.answer.status.ok(); }));
  EXPECT_GE(acknowledged, 84u);
}

TEST_P(KafkaBroker, StoppedProcess) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter({}, 3'000);
  const auto log = one->ready(topic_of("orders"));
  ASSERT_TRUE(one->append(*log, numbered("w0", 1)).status.ok());
  EXPECT_EQ(one->read_all(*log).size(), 1u);
  server->pause();
  const auto began = Clock::now();
  const auto append = one->append(*log, numbered("w1", 1));
  EXPECT_EQ(append.status.code(), StatusCode::unknown) << append.status.describe();
  EXPECT_FALSE(one->try_bounds(*log));
  const auto elsewhere = one->read(*log, 0, 1);  // kept from the read before
  if (!elsewhere) {
    EXPECT_NE(elsewhere.error().status.code(), StatusCode::out_of_range);
  }
  EXPECT_FALSE(one->watch(*log, 5).ok());
  EXPECT_FALSE(one->make(topic_of("another")).ok());
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(25)) << "calls are not answered by their deadlines";
  server->resume();
  ASSERT_TRUE(eventually([&] { return one->append(*log, numbered("w2", 1)).status.ok(); }));
  const auto all = one->read_all(*log);
  EXPECT_GE(all.size(), 2u);
  std::set<std::string> seen;
  for (const NativeRecord& record : all) EXPECT_TRUE(seen.insert(*record.value).second) << *record.value;
}

// B16: stop keeps its deadline while the cluster hangs, and answers everything.
TEST_P(KafkaBroker, StopWhileTheClusterHangs) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  ASSERT_TRUE(one->append(*log, numbered("w0", 1)).status.ok());
  server->pause();
  auto append = one->send(*log, numbered("w1", 1));
  auto watch = std::async(std::launch::async, [&] { return one->watch(*log, 10); });
  auto bounds = std::async(std::launch::async, [&] { return one->try_bounds(*log); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto began = Clock::now();
  const Status stopped = one->storage->stop(2'000);
  EXPECT_TRUE(stopped.ok() || stopped.code() == StatusCode::unavailable) << stopped.describe();
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(6));
  ASSERT_EQ(append.wait_for(std::chrono::seconds(1)), std::future_status::ready);
  EXPECT_FALSE(append.get().status.ok());
  EXPECT_FALSE(watch.get().ok());
  EXPECT_FALSE(bounds.get());
  server->resume();
}

// B12: replies that are kept back, then lost with their connection: the producer sends again by itself, and the records
// are there once; those whose answer came too late are UNKNOWN.
TEST_P(KafkaBroker, B12_RepliesThatAreLost) {
  if (GetParam()) GTEST_SKIP() << "one broker suffices here";
  ASSERT_NO_FATAL_FAILURE(start_server());
  TcpProxy proxy(server->port());
  server->kill();
  server->set_arguments({"--advertise", fmt::format("127.0.0.1:{}", proxy.port())});
  ASSERT_TRUE(server->start());
  const auto one = std::make_unique<Adapter>(fmt::format("127.0.0.1:{}", proxy.port()), host::OptionInputs{}, 15'000);
  ASSERT_TRUE(one->start());
  const auto log = one->ready(topic_of("orders"));
  std::vector<Told> told;
  const auto append = [&](bool lose) {
    Told& each = told.emplace_back();
    each.future = one->send(*log, numbered(fmt::format("w{}", told.size() - 1), 1));
    if (lose) {
      EXPECT_TRUE(eventually([&] { return proxy.held() > 0; }));
      proxy.cut();
      proxy.hold_replies(false);
    }
    ASSERT_EQ(each.future.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    each.answer = each.future.get();
  };
  append(false);
  for (int round = 0; round < 10; ++round) {
    proxy.hold_replies(true);
    ASSERT_NO_FATAL_FAILURE(append(true));
    ASSERT_NO_FATAL_FAILURE(append(false));
  }
  for (const Told& each : told) EXPECT_TRUE(each.answer.status.ok()) << each.answer.status.describe();
  judge(*one, *log, told);
}

// An append that is given up comes before what its partition is given later; what other partitions were given meanwhile
// is there once, although its answer was lost too.
TEST_P(KafkaBroker, B12_WhatIsGivenUpComesOnceAndInItsPlace) {
  if (GetParam()) GTEST_SKIP() << "one broker suffices here";
  ASSERT_NO_FATAL_FAILURE(start_server());
  TcpProxy proxy(server->port());
  server->kill();
  server->set_arguments({"--advertise", fmt::format("127.0.0.1:{}", proxy.port())});
  ASSERT_TRUE(server->start());
  const auto one = std::make_unique<Adapter>(fmt::format("127.0.0.1:{}", proxy.port()),
                                             host::OptionInputs{{"delivery_timeout", std::string("3s")}}, 15'000);
  ASSERT_TRUE(one->start());
  const auto log = one->ready(topic_of("orders", 0, 2)), beside = one->ready(topic_of("orders", 1, 2));
  ASSERT_TRUE(one->append(*log, numbered("w0", 1)).status.ok());
  ASSERT_TRUE(one->append(*beside, numbered("b0", 1)).status.ok());
  proxy.hold_replies(true);
  auto first = one->send(*log, numbered("w1", 2));
  // So much later that it is not overdue yet when the first is.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  auto second = one->send(*beside, numbered("b1", 2));
  const auto told_first = first.get();
  EXPECT_EQ(told_first.status.code(), StatusCode::unknown) << told_first.status.describe();
  proxy.cut();
  proxy.hold_replies(false);
  const auto told_second = second.get();
  EXPECT_TRUE(told_second.status.ok() || told_second.status.code() == StatusCode::unknown)
      << told_second.status.describe();
  EXPECT_TRUE(eventually([&] {
    const auto told = one->append(*log, numbered("w2", 1));
    EXPECT_NE(told.status.code(), StatusCode::unknown) << told.status.describe();
    return told.status.ok();
  }));
  ASSERT_TRUE(one->append(*log, numbered("w3", 1)).status.ok());
  const auto values = [&](host::Log& of) {
    std::vector<std::string> all;
    for (const NativeRecord& record : one->read_all(of)) all.push_back(record.value.value_or(""));
    return all;
  };
  EXPECT_EQ(values(*log), (std::vector<std::string>{"w0-0", "w1-0", "w1-1", "w2-0", "w3-0"}));
  EXPECT_EQ(values(*beside), (std::vector<std::string>{"b0-0", "b1-0", "b1-1"}));
}

// What was not sent may be sent again: it is UNAVAILABLE, not UNKNOWN, and is not there afterwards.
TEST_P(KafkaBroker, WhatWasNotSentIsUnavailable) {
  if (GetParam()) GTEST_SKIP() << "one broker suffices here";
  ASSERT_NO_FATAL_FAILURE(start_server());
  const auto one = adapter({{"delivery_timeout", std::string("4s")}}, 15'000);
  const auto log = one->ready(topic_of("orders"));
  ASSERT_TRUE(one->append(*log, numbered("w0", 1)).status.ok());
  server->kill();
  const auto away = one->append(*log, numbered("w1", 1));
  EXPECT_EQ(away.status.code(), StatusCode::unavailable) << away.status.describe();
  ASSERT_TRUE(server->start());
  EXPECT_TRUE(eventually([&] { return one->append(*log, numbered("w2", 1)).status.ok(); }));
  const auto all = one->read_all(*log);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].value, "w2-0");
}

// ---- Limits and speed

TEST_P(KafkaBroker, AppendsBeyondTheBudgetAreBusy) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter({{"max_in_flight", std::string("2MiB")}});
  std::vector<std::shared_ptr<host::Log>> logs;
  for (int i = 0; i < 8; ++i) {
    logs.push_back(one->ready(topic_of(fmt::format("t{}", i))));
    ASSERT_TRUE(one->append(*logs.back(), numbered("first", 1)).status.ok());
  }
  server->pause();
  std::vector<std::future<host::AppendOutcome>> sent;
  for (const auto& log : logs) sent.push_back(one->send(*log, numbered("w", 1, 700'000)));
  size_t busy = 0;
  for (auto& each : sent) {
    if (each.wait_for(std::chrono::seconds(2)) != std::future_status::ready) continue;
    const auto answer = each.get();
    EXPECT_EQ(answer.status.code(), StatusCode::busy) << answer.status.describe();
    EXPECT_GT(answer.status.retry_after_ms(), 0);
    ++busy;
  }
  EXPECT_GE(busy, 5u);
  server->resume();
  for (auto& each : sent) {
    if (each.valid()) {
      EXPECT_TRUE(each.get().status.ok());
    }
  }
}

// Reading on seeks nothing: a log of many batches is read at a sane speed, also by several readers at other places.
TEST_P(KafkaBroker, SaneSpeed) {
  ASSERT_NO_FATAL_FAILURE(start_server());
  if (IsSkipped()) return;
  const auto one = adapter();
  const auto log = one->ready(topic_of("orders"));
  constexpr size_t kUnits = 100;
  constexpr size_t kRecords = 500;
  constexpr size_t kSize = 1'000;
  const auto began = Clock::now();
  std::vector<std::future<host::AppendOutcome>> sent;
  for (size_t i = 0; i < kUnits; ++i) {
    sent.push_back(one->send(*log, numbered(fmt::format("w{}", i), kRecords, kSize)));
  }
  for (auto& each : sent) ASSERT_TRUE(each.get().status.ok());
  const auto written = Clock::now();
  EXPECT_EQ(one->read_all(*log).size(), kUnits * kRecords);
  const auto read = Clock::now();
  const auto rate = [&](Clock::duration took) {
    return static_cast<double>(kUnits * kRecords * kSize) / 1e6 / std::chrono::duration<double>(took).count();
  };
  // The same by librdkafka alone.
  const auto theirs_begin = Clock::now();
  native->produce("orders", 0, numbered("theirs", kUnits * kRecords, kSize));
  const auto theirs_written = Clock::now();
  EXPECT_EQ(native->consume("orders", 0, 0, kUnits * kRecords).size(), kUnits * kRecords);
  const auto theirs_read = Clock::now();
  RecordProperty("append_mb_per_s", static_cast<int>(rate(written - began)));
  RecordProperty("read_mb_per_s", static_cast<int>(rate(read - written)));
  fmt::print("append {:.0f} MB/s, read {:.0f} MB/s; librdkafka alone: {:.0f} and {:.0f}\n", rate(written - began),
             rate(read - written), rate(theirs_written - theirs_begin), rate(theirs_read - theirs_written));
  EXPECT_LT(read - began, std::chrono::seconds(60));
}

TEST_P(KafkaBroker, WrongAddressesAndNames) {
  if (GetParam()) GTEST_SKIP() << "one broker suffices here";
  Adapter nobody("127.0.0.1:1", {{"request_timeout", std::string("3s")}});
  const auto began = Clock::now();
  const auto started = nobody.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), StatusCode::unavailable) << started.error().describe();
  EXPECT_NE(started.error().text().find("refused"), std::string::npos) << started.error().text();
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(15));
  EXPECT_THROW(Adapter("x:1", {{"properties", std::string("acks=1")}}), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Sluiced, KafkaBroker, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Apache, KafkaBroker, ::testing::Values(true));

}  // namespace
}  // namespace sluice::test
