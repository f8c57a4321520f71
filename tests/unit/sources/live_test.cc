// SPDX-License-Identifier: Apache-2.0
// Streams of Redis and JetStream, written by other programs, as sources; and logs of our own on both.
#include <fmt/format.h>

#include <cstdlib>

#include "support/nats_server.hpp"
#include "support/redis_server.hpp"
#include "world.hpp"

namespace sluice::test {
namespace {

std::unique_ptr<Source> native(const std::shared_ptr<StorageHost>& host, const std::string& stream) {
  NativeSourceSettings settings;
  settings.stream = stream;
  auto source = make_native_source(host, std::move(settings));
  EXPECT_TRUE(source) << source.error().describe();
  return source ? std::move(*source) : nullptr;
}

class RedisSource : public testing::Test {
 protected:
  void SetUp() override {
    const Status started = server_.start();
    ASSERT_TRUE(started) << started.describe();
  }
  std::shared_ptr<StorageHost> open(StorageOptionMap more) {
    more["address"] = server_.address();
    return open_storage("redis", "", std::move(more));
  }
  RedisServer server_;
};

TEST_F(RedisSource, S02_a_stream_of_other_programs_is_read_and_waited_for) {
  for (int i = 0; i < 50; ++i) {
    server_.cli({"XADD", "orders", "*", "key", fmt::format("k{}", i), "value", fmt::format("v{}", i),
                 "header.traceparent", "00-1", "header.tenant", "a"});
  }
  const auto host = open({{"layout", std::string("record")}});
  const auto source = native(host, "orders");
  const Drained drained = drain(*source, 0, 7);
  ASSERT_EQ(drained.records.size(), 50u);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(drained.records[i].key, fmt::format("k{}", i));
    EXPECT_EQ(drained.records[i].value, fmt::format("v{}", i));
    const decltype(drained.records[i].headers) expected = {{"traceparent", "00-1"}, {"tenant", "a"}};
    EXPECT_EQ(drained.records[i].headers, expected);
    EXPECT_GT(drained.records[i].timestamp_ns, 1'700'000'000'000'000'000);
  }
  PageRequest request;
  request.from = drained.next;
  request.wait_ms = 60'000;
  auto waiting = begin_read(*source, request);
  server_.cli({"XADD", "orders", "*", "item", "book"});
  const auto page = value_of(waiting);
  ASSERT_TRUE(page) << page.error().describe();
  ASSERT_EQ(page->records.size(), 1u);
  EXPECT_EQ(as_text(*page->records[0].value), R"({"item":"book"})");
  // Another process, or run, reads the same stream under the same marker; and a missing one is told.
  const auto again = open({{"layout", std::string("record")}});
  EXPECT_EQ(drain(*native(again, "orders")).records.size(), 51u);
  EXPECT_EQ(read(*native(again, "absent"), 0).error().code(), StatusCode::not_found);
  const auto found = bounds(*native(again, "orders"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->end, page->next);
}

TEST_F(RedisSource, B26_a_log_is_read_by_another_and_survives_its_server) {
  Folder folder;
  LogWriterSettings settings;
  settings.log = "orders";
  settings.state_directory = folder.path();
  LogSourceSettings reading;
  reading.log = "orders";
  reading.state_directory = folder.path();
  const auto mine = open({});
  auto writer = LogWriter::open(mine, settings);
  ASSERT_TRUE(writer) << writer.error().describe();
  const auto others = open({});  // as if it were another process's
  auto source = make_log_source(others, reading);
  ASSERT_TRUE(source) << source.error().describe();
  PageRequest request;
  request.wait_ms = 60'000;
  auto waiting = begin_read(**source, request);
  write_values(**writer, {"first"});
  const auto page = value_of(waiting);
  ASSERT_TRUE(page) << page.error().describe();
  ASSERT_EQ(page->records.size(), 1u);
  // What is on its way when the server dies is there once, or not at all, and the writer knows.
  std::atomic<int> told{0}, written{0};
  const std::string value = "during";
  Record record;
  record.value = as_bytes(value);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE((*writer)
                    ->append({&record, 1},
                             [&](const Result<Written>& result) {
                               ++told;
                               if (result) ++written;
                             })
                    .ok());
    if (i == 100) {
      server_.kill();
      ASSERT_TRUE(server_.start());
    }
  }
  const Status flushed = (*writer)->flush(60'000);
  EXPECT_EQ(told, 200) << flushed.describe();
  EXPECT_EQ(written, 200) << flushed.describe();
  ASSERT_TRUE(comes_true([&] { return bounds(**source).has_value(); }));
  EXPECT_EQ(drain(**source).records.size(), 201u) << "none lost, none twice";
  writer->reset();
  writer = LogWriter::open(mine, settings);
  ASSERT_TRUE(writer) << writer.error().describe();
  for (int i = 0; i < 10; ++i) write_values(**writer, {"after"});
  EXPECT_EQ(drain(**source).records.size(), 211u) << "none discarded";
}

/// What another program does with the server.
void nats(const NatsServer& server, const std::string& arguments) {
  const std::string command = fmt::format("NATS_URL={} {} {} > /dev/null", server.url(), SLUICE_TEST_NATS, arguments);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

TEST(JetStreamSource, S02_a_stream_of_other_programs_and_a_log_of_ours) {
  NatsServer server;
  const Status up = server.start();
  ASSERT_TRUE(up) << up.describe();
  const auto logs = open_storage("jetstream", "", {{"servers", server.url()}});
  Folder folder;
  LogWriterSettings settings;
  settings.log = "orders";
  settings.state_directory = folder.path();
  const auto writer = LogWriter::open(logs, settings);
  ASSERT_TRUE(writer) << writer.error().describe();
  for (int i = 0; i < 20; ++i) write_values(**writer, {fmt::format("{}", i)});
  LogSourceSettings reading;
  reading.log = "orders";
  reading.log_id = (*writer)->log_id();
  auto source = make_log_source(logs, reading);
  ASSERT_TRUE(source) << source.error().describe();
  EXPECT_EQ(drain(**source, 0, 3).records.size(), 20u);
  const auto streams = open_storage("jetstream", "", {{"servers", server.url()}, {"layout", std::string("record")}});
  EXPECT_EQ(read(*native(streams, "absent"), 0).error().code(), StatusCode::not_found);
  nats(server, "stream add ORDERS --subjects orders --defaults");
  for (int i = 0; i < 20; ++i) nats(server, fmt::format("pub -H tenant:a -H tenant:b orders value-{}", i));
  const auto orders = native(streams, "ORDERS");
  const Drained drained = drain(*orders, 0, 3);
  ASSERT_EQ(drained.records.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(drained.records[i].value, fmt::format("value-{}", i));
    const decltype(drained.records[i].headers) expected = {{"tenant", "a"}, {"tenant", "b"}};
    EXPECT_EQ(drained.records[i].headers, expected);
  }
  PageRequest request;
  request.from = 20;
  request.wait_ms = 60'000;
  auto waiting = begin_read(*orders, request);
  nats(server, "pub orders late");
  const auto page = value_of(waiting);
  ASSERT_TRUE(page) << page.error().describe();
  EXPECT_EQ(page->records.size(), 1u);
}

}  // namespace
}  // namespace sluice::test
