// SPDX-License-Identifier: Apache-2.0
// The example that merges a Redis stream, a JetStream stream and a Kafka topic, as a process that is killed and started
// again. What a start has to bring is known to the record: everything at and above the place that was saved when the
// one before was killed, and nothing below it.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "../kafka/native_client.hpp"
#include "sluice/checkpoint.hpp"
#include "sluice/cursor.hpp"
#include "sluice/kafka_source.hpp"
#include "support/kafka_server.hpp"
#include "support/nats_server.hpp"
#include "support/redis_server.hpp"
#include "support/server_process.hpp"
#include "world.hpp"

namespace sluice::test {
namespace {

constexpr int kPartitions = 2;
constexpr int kToKafka = 2'000;  // records of a round, more than one response has
constexpr int kToRedis = 20;
constexpr int kToNats = 6;
constexpr auto kFilter = "value.wanted = true";

int64_t now_ms() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch()).count();
}

class MergeThree : public testing::Test {
 protected:
  struct Entry {
    std::string shard;
    int64_t position;
    std::string value;
  };

  MergeThree()
      : kafka_([] {
          KafkaSettings settings;
          settings.program = SLUICE_TEST_BROKER;
          return settings;
        }()) {}

  void SetUp() override {
    ASSERT_TRUE(redis_.start());
    ASSERT_TRUE(nats_.start());
    ASSERT_TRUE(kafka_.start());
    native_.emplace(kafka_.address());
    ASSERT_EQ(native_->create_topic("orders", kPartitions), RD_KAFKA_RESP_ERR_NO_ERROR);
    as_nats("stream add ORDERS --subjects orders --defaults");
    auto opened = CheckpointStore::open({directory_});
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }

  std::vector<std::string> command() const {
    return {example("SLUICE_MERGE_THREE", SLUICE_TEST_MERGE_THREE),
            redis_.address(),
            nats_.url(),
            kafka_.address(),
            directory_,
            kFilter};
  }

  void as_nats(const std::string& arguments) const {
    const std::string line = fmt::format("NATS_URL={} {} {} > /dev/null", nats_.url(), SLUICE_TEST_NATS, arguments);
    EXPECT_EQ(std::system(line.c_str()), 0) << line;
  }

  /// Every second record passes the filter.
  std::string value(const char* engine) {
    const int number = written_++;
    return fmt::format(R"({{"engine":"{}","n":{},"wanted":{}}})", engine, number, number % 2 == 0);
  }

  void write() {
    for (int i = 0; i < kToRedis; ++i) redis_.cli({"XADD", "orders", "*", "value", value("redis")});
    for (int i = 0; i < kToNats; ++i) as_nats(fmt::format("pub orders '{}'", value("nats")));
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      std::vector<NativeRecord> records(kToKafka / kPartitions);
      for (NativeRecord& record : records) {
        record.timestamp = now_ms();
        record.value = value("kafka");
      }
      native_->produce("orders", partition, std::move(records));
    }
    read_all();
  }

  /// What the engines have, with the positions that cursors count in.
  void read_all() {
    entries_.clear();
    const auto add = [&](Source& source) {
      for (const Kept& record : drain(source).records)
        entries_.push_back({source.id(), record.position, *record.value});
    };
    const auto redis = open_storage("redis", "", {{"address", redis_.address()}, {"layout", "record"}});
    const auto nats = open_storage("jetstream", "", {{"servers", nats_.url()}, {"layout", "record"}}, true, "nats");
    const auto kafka = KafkaCluster::make({"kafka", kafka_.address()});
    ASSERT_TRUE(kafka) << kafka.error().describe();
    add(**make_native_source(redis, {"orders"}));
    add(**make_native_source(nats, {"ORDERS"}));
    for (int32_t i = 0; i < kPartitions; ++i) add(**(*kafka)->source("orders", i));
    ASSERT_EQ(entries_.size(), static_cast<size_t>(written_));
  }

  /// The place that a start goes on from.
  Cursor saved() const {
    const auto newest = store_->newest("orders");
    if (!newest) {
      EXPECT_EQ(newest.error().code(), StatusCode::not_found) << newest.error().describe();
      return {};
    }
    auto cursor = Cursor::decode(newest->cursor);
    EXPECT_TRUE(cursor) << cursor.error().describe();
    return cursor ? *cursor : Cursor();
  }

  /// Lines of wanted records: those that a place has still to bring, and those that it covers.
  std::set<std::string> lines_from(const Cursor& place) const { return lines(place, false); }
  std::set<std::string> lines_below(const Cursor& place) const { return lines(place, true); }
  std::set<std::string> lines(const Cursor& place, bool covered) const {
    std::set<std::string> lines;
    for (const Entry& each : entries_) {
      const bool is_covered = each.position < place.next(each.shard).value_or(0);
      if (is_covered == covered && each.value.ends_with("true}")) lines.insert(each.value);
    }
    return lines;
  }

  /// What a process printed, whole lines of records; none of them twice.
  static std::set<std::string> printed_by(const ServerProcess& process) {
    std::set<std::string> lines;
    std::istringstream stream(process.log());
    for (std::string line; std::getline(stream, line);) {
      if (line.starts_with("{") && line.ends_with("}")) {
        EXPECT_TRUE(lines.insert(line).second) << "twice in one run: " << line;
      }
    }
    return lines;
  }

  RedisServer redis_;
  NatsServer nats_;
  KafkaServer kafka_;
  std::optional<NativeClient> native_;
  Folder folder_;
  const std::string directory_ = folder_.in("places");
  std::unique_ptr<CheckpointStore> store_;
  std::vector<Entry> entries_;
  int written_ = 0;
};

size_t count_missing(const std::set<std::string>& wanted, const std::set<std::string>& there,
                     const std::set<std::string>& or_there = {}) {
  return static_cast<size_t>(std::count_if(wanted.begin(), wanted.end(), [&](const std::string& each) {
    return !there.contains(each) && !or_there.contains(each);
  }));
}

TEST_F(MergeThree, is_killed_and_goes_on_by_its_cursor) {
  std::set<std::string> seen;
  Cursor from;
  for (int round = 0; round < 3; ++round) {
    ASSERT_NO_FATAL_FAILURE(write());
    ServerProcess process("merge");
    ASSERT_TRUE(process.launch(command()));
    // Halted again and again, and killed as soon as it has saved a place beyond more lines, whatever it does by then.
    Cursor place;
    std::set<std::string> printed;
    ASSERT_TRUE(comes_true([&] {
      if (process.has_ended()) return true;
      process.pause();
      place = saved();
      printed = printed_by(process);
      EXPECT_EQ(count_missing(lines_below(place), seen, printed), 0u) << "the saved place covers what nobody has seen";
      if (lines_below(place).size() > lines_below(from).size()) return true;
      process.resume();
      return false;
    }));
    process.kill();
    ASSERT_EQ(Cursor::compare(from, place), CursorOrder::before) << process.log();
    EXPECT_EQ(count_missing(printed, lines_from(from)), 0u) << "what was covered by the saved place came again";
    seen.insert(printed.begin(), printed.end());
    from = place;
  }
  ASSERT_NO_FATAL_FAILURE(write());
  const std::set<std::string> due = lines_from(from);
  ServerProcess last("merge");
  ASSERT_TRUE(last.launch(command()));
  ASSERT_TRUE(comes_true([&] { return lines_from(saved()).empty() || last.has_ended(); }));
  last.kill();
  EXPECT_EQ(printed_by(last), due) << "neither more nor less comes from a saved place on";
}

TEST_F(MergeThree, a_place_that_cannot_be_read_is_not_the_start) {
  ASSERT_NO_FATAL_FAILURE(write());
  {
    ServerProcess first("merge");
    ASSERT_TRUE(first.launch(command()));
    ASSERT_TRUE(comes_true([&] { return lines_from(saved()).empty() || first.has_ended(); }));
    first.kill();
  }
  size_t emptied = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory_)) {
    if (!file.is_regular_file() || file.file_size() == 0) continue;
    std::filesystem::resize_file(file.path(), 0);
    ++emptied;
  }
  ASSERT_GT(emptied, 0u);
  ServerProcess second("merge");
  ASSERT_TRUE(second.launch(command()));
  EXPECT_TRUE(comes_true([&] { return second.has_ended(); }));
  EXPECT_TRUE(printed_by(second).empty());
  EXPECT_NE(second.log().find("corrupt"), std::string::npos) << second.log();
}

}  // namespace
}  // namespace sluice::test
