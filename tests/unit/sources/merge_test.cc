// SPDX-License-Identifier: Apache-2.0
// The example that merges a Redis stream, a JetStream stream and a Kafka topic, as a process that is killed and started
// again: nothing is missed, and what comes twice is at most what was shown and not yet stored.
#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <sstream>

#include "../kafka/native_client.hpp"
#include "support/kafka_server.hpp"
#include "support/nats_server.hpp"
#include "support/redis_server.hpp"
#include "support/server_process.hpp"
#include "world.hpp"

namespace sluice::test {
namespace {

std::map<std::string, int> lines_of(const std::string& text) {
  std::map<std::string, int> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("{")) ++lines[line];
  }
  return lines;
}

TEST(MergeThree, is_killed_and_goes_on_by_its_cursor) {
  RedisServer redis;
  NatsServer nats;
  KafkaServer kafka([] {
    KafkaSettings settings;
    settings.program = SLUICE_TEST_BROKER;
    return settings;
  }());
  ASSERT_TRUE(redis.start());
  ASSERT_TRUE(nats.start());
  ASSERT_TRUE(kafka.start());
  const NativeClient native(kafka.address());
  ASSERT_EQ(native.create_topic("orders", 2), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto as_nats = [&](const std::string& arguments) {
    const std::string command = fmt::format("NATS_URL={} {} {} > /dev/null", nats.url(), SLUICE_TEST_NATS, arguments);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  };
  as_nats("stream add ORDERS --subjects orders --defaults");

  std::map<std::string, int> wanted;
  const auto write = [&](int from, int to) {
    std::vector<NativeRecord> records;
    for (int i = from; i < to; ++i) {
      // Every second one passes the filter.
      const auto value = [&](const char* engine) { return fmt::format(R"({{"engine":"{}","n":{}}})", engine, i); };
      redis.cli({"XADD", "orders", "*", "value", value("redis")});
      as_nats(fmt::format("pub orders '{}'", value("nats")));
      records.emplace_back();
      records.back().value = value("kafka");
      if (i % 2 == 0) {
        for (const char* engine : {"redis", "nats", "kafka"}) wanted[value(engine)] = 1;
      }
    }
    native.produce("orders", from % 2, std::move(records));
  };
  const std::string filter = fmt::format("value.n in (0,2,4,6,8,10,12,14,16,18)");
  Folder folder;
  const std::vector<std::string> command = {SLUICE_TEST_MERGE_THREE, redis.address(),           nats.url(),
                                            kafka.address(),         folder.path() + "/cursor", filter};
  write(0, 10);
  std::map<std::string, int> seen;
  {
    ServerProcess first("merge");
    ASSERT_TRUE(first.launch(command));
    ASSERT_TRUE(comes_true([&] { return lines_of(first.log()).size() == wanted.size() || first.has_ended(); }));
    // Its last response is stored, or about to be.
    ASSERT_TRUE(comes_true([&] { return std::filesystem::exists(folder.path() + "/cursor"); })) << first.log();
    first.kill();
    seen = lines_of(first.log());
    EXPECT_EQ(seen, wanted) << first.log();
  }
  write(11, 20);
  ServerProcess second("merge");
  ASSERT_TRUE(second.launch(command));
  ASSERT_TRUE(comes_true([&] {
    std::map<std::string, int> all = seen;
    all.merge(lines_of(second.log()));
    return all.size() == wanted.size() || second.has_ended();
  }));
  second.kill();
  for (const auto& [line, count] : lines_of(second.log())) {
    EXPECT_EQ(count, 1) << line;
    seen[line] += count;
  }
  ASSERT_EQ(seen.size(), wanted.size()) << second.log();
  for (const auto& [line, count] : wanted) EXPECT_GE(seen[line], 1) << line;
}

}  // namespace
}  // namespace sluice::test
