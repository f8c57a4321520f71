// SPDX-License-Identifier: Apache-2.0
// Configurations are judged whole before anything is opened (invariant B03): each case names a storage whose address
// listens, and after the fault was told, nobody may have knocked there.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::StartsWith;

/// An address at which connections are noticed, and never answered.
class Door {
 public:
  Door() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
  }
  ~Door() { ::close(socket_); }
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  const std::string& address() const { return address_; }
  /// Whether anybody connected, ever: none is accepted.
  bool knocked() const {
    pollfd waiting{socket_, POLLIN, 0};
    return ::poll(&waiting, 1, 0) != 0;
  }

 private:
  const int socket_;
  std::string address_;
};

struct Case {
  std::string config;
  const char* expected;  // what the failure begins with
  sluice_status status = SLUICE_INVALID;
};

class Validation : public ::testing::Test {
 protected:
  /// A storage that would be connected.
  std::string storage(const std::string& name, const std::string& more = "") const {
    return fmt::format(
        R"({{"name": "{}", "library": "redis", "lifecycle_timeout_ms": 1000, "options": {{"address": "{}"}}{}}})", name,
        door_.address(), more);
  }
  template <class Open>
  void expect_refused(Open&& open, const Case& wrong) const {
    sluice_handle made = 0;
    Failure failure;
    EXPECT_EQ(open(wrong.config.data(), wrong.config.size(), &made, &failure), wrong.status) << wrong.config;
    EXPECT_THAT(std::string(failure.text), StartsWith(wrong.expected)) << wrong.config;
    EXPECT_EQ(made, 0U);
    EXPECT_FALSE(door_.knocked()) << wrong.config;
    if (made != 0) sluice_release(made, nullptr);
  }

  const Door door_;
  const Folder folder_;
};

sluice_status open_from_start(const char* config, uint64_t size, sluice_handle* consumer, sluice_failure* failure) {
  return sluice_consumer_open(config, size, nullptr, 0, consumer, failure);
}

TEST_F(Validation, a_right_configuration_does_knock) {
  const std::string config = fmt::format(
      R"({{"storages": [{}], "sources": [{{"kind": "native", "storage": "r", "stream": "s"}}]}})", storage("r"));
  sluice_handle consumer = 0;
  Failure failure;
  EXPECT_EQ(open_from_start(config.data(), config.size(), &consumer, &failure), SLUICE_UNAVAILABLE) << failure.text;
  EXPECT_TRUE(door_.knocked());
}

TEST_F(Validation, B03_a_consumer_is_judged_whole_before_its_first_storage_is_opened) {
  const auto with = [&](const std::string& fields, const std::string& storages, const std::string& sources) {
    return fmt::format(
        R"({{{} "storages": [{}{}], "sources": [{{"kind": "native", "storage": "r", "stream": "s"}}{}]}})", fields,
        storage("r"), storages, sources);
  };
  const auto field = [&](const char* text) { return with(std::string(text) + ",", "", ""); };
  const auto second = [&](const std::string& text) { return with("", ", " + text, ""); };
  const auto source = [&](const std::string& text) { return with("", "", ", " + text); };
  const auto of_clusters = [&](const std::string& cluster, const char* topic) {
    return with(fmt::format(R"("clusters": [{}],)", cluster), "",
                fmt::format(R"(, {{"kind": "kafka", "topic": "{}"}})", topic));
  };
  const auto both_of_kafka = [&](const char* one, const char* other) {
    return with(R"("clusters": [{"bootstrap": "127.0.0.1:1"}],)", "",
                fmt::format(R"(, {{"kind": "kafka", {}}}, {{"kind": "kafka", {}}})", one, other));
  };
  const std::string long_id(600, 'i');
  for (const Case& wrong : {
           Case{field(R"("order": "time", "lateness_ms": 86400001)"), "lateness_ms: "},
           Case{field(R"("read_ahead_bytes": 65536, "page_bytes": 65537)"), "page_bytes: "},
           Case{field(R"("page_records": 1048577)"), "page_records: "},
           Case{field(R"("read_deadline_ms": 86400001)"), "read_deadline_ms: "},
           Case{field(R"("name": "")"), "name: "},
           Case{field(R"("retry": {"first_delay_ms": 2, "max_delay_ms": 1})"), "retry.first_delay_ms: "},
           Case{second(R"({"name": "d", "library": "disk", "options": {"sink": 1}})"), "storages[1].options.sink: "},
           Case{second(R"({"name": "d", "library": "disk", "options": {"a": [1]}})"), "storages[1].options.a: "},
           // Only the adapter finds this one.
           Case{with("", R"(, {"name": "d", "library": "redis", "options": {"address": "[::1"}})",
                     R"(, {"kind": "native", "storage": "d", "stream": "s"})"),
                "storages[1].options: "},
           Case{second(R"({"name": "d", "library": "./d.so"})"), "storages[1].library: "},
           Case{second(R"({"name": "d", "library": "nosuch"})"), "storages[1].library: ", SLUICE_NOT_FOUND},
           Case{second(R"({"name": "a b", "library": "disk"})"), "storages[1].name: "},
           Case{second(R"({"name": "d", "library": "disk", "data_directory": "x"})"), "storages[1].data_directory: "},
           Case{second(R"({"name": "d", "library": "disk", "call_timeout_ms": 99})"), "storages[1].call_timeout_ms: "},
           Case{second(R"({"name": "d", "library": "disk", "max_bytes_leased": 1})"), "storages[1].max_bytes_leased: "},
           Case{second(R"({"name": "d", "handle": 9999999})"), "storages[1].handle: ", SLUICE_NOT_FOUND},
           Case{source(R"({"kind": "log", "storage": "r", "log_id": "x"})"), "sources[1].log: "},
           Case{source(R"({"kind": "log", "storage": "r", "log": "l"})"), "sources[1].log_id: "},
           Case{source(R"({"kind": "log", "storage": "r", "log": "l", "log_id": "x"})"), "sources[1].log_id: "},
           Case{source(R"({"kind": "log", "storage": "r", "log": "l", "state_directory": "x"})"),
                "sources[1].state_directory: "},
           Case{source(R"({"kind": "native", "storage": "r", "stream": "s", "read_bytes": 1})"),
                "sources[1].read_bytes: "},
           Case{source(R"({"kind": "native", "storage": "r", "stream": "s", "max_batch_bytes": 1})"),
                "sources[1].max_batch_bytes: "},
           Case{source(fmt::format(R"({{"kind": "native", "storage": "r", "stream": "s", "id": "{}"}})", long_id)),
                "sources[1].id: "},
           Case{source(fmt::format(R"({{"kind": "native", "storage": "r", "stream": "{}"}})", long_id)),
                "sources[1].stream: "},
           // Two of one id.
           Case{source(R"({"kind": "native", "storage": "r", "stream": "s"})"), "sources[1].stream: "},
           Case{source(R"({"kind": "native", "storage": "r", "stream": "t", "id": "i"},
                          {"kind": "native", "storage": "r", "stream": "u", "id": "i"})"),
                "sources[2].id: "},
           Case{both_of_kafka(R"("topic": "t")", R"("topic": "t")"), "sources[2].topic: "},
           Case{both_of_kafka(R"("topic": "t", "partition": 1)", R"("topic": "t", "partition": 1)"),
                "sources[2].partition: "},
           Case{both_of_kafka(R"("topic": "t")", R"("topic": "t", "partition": 1)"), "sources[2].partition: "},
           Case{both_of_kafka(R"("topic": "t", "partition": 1)", R"("topic": "t")"), "sources[2].topic: "},
           Case{source(R"({"kind": "bus", "bus": 9999999})"), "sources[1].bus: ", SLUICE_NOT_FOUND},
           Case{source(R"({"kind": "memory", "memory": 9999999})"), "sources[1].memory: ", SLUICE_NOT_FOUND},
           Case{source(R"({"kind": "calls", "source": 9999999})"), "sources[1].source: ", SLUICE_NOT_FOUND},
           Case{of_clusters(R"({"bootstrap": "127.0.0.1:1"})", "a b"), "sources[1].topic: "},
           Case{of_clusters(R"({"bootstrap": "127.0.0.1:1", "read_ahead_bytes": 1})", "t"),
                "clusters[0].read_ahead_bytes: "},
           Case{of_clusters(R"({"bootstrap": "127.0.0.1:1", "properties": {"group.id": "g"}})", "t"),
                "clusters[0].properties.group.id: "},
           // librdkafka takes each, and not both.
           Case{of_clusters(R"({"bootstrap": "127.0.0.1:1",
                    "properties": {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN"}})",
                            "t"),
                "clusters[0].properties: "},
           Case{of_clusters(R"({"name": "kafka", "handle": 9999999})", "t"), "clusters[0].handle: ", SLUICE_NOT_FOUND},
       }) {
    expect_refused(&open_from_start, wrong);
  }
  const std::string right = with("", "", "");
  sluice_handle consumer = 0;
  Failure failure;
  EXPECT_EQ(sluice_consumer_open(right.data(), right.size(), "slc1.!!", 7, &consumer, &failure), SLUICE_INVALID);
  EXPECT_FALSE(door_.knocked());
}

/// What is wrong with the storage and the log of a sink, for whatever has one.
std::vector<Case> sinks(const std::string& folder, const std::string& address) {
  const auto log = [&](const char* of_storage, const char* of_options, const char* of_sink) {
    return fmt::format(
        R"({{"sink": {{"kind": "log", "storage": {{"name": "r", "library": "redis", "lifecycle_timeout_ms": 1000{},
            "options": {{"address": "{}"{}}}}}, "log": "l", "state_directory": "{}"{}}}}})",
        of_storage, address, of_options, folder, of_sink);
  };
  return {
      {log(R"(, "call_timeout_ms": 1)", "", ""), "sink.storage.call_timeout_ms: "},
      {log("", R"(, "colour": 1)", ""), "sink.storage.options.colour: "},
      {log("", "", R"(, "compression": "tar")"), "sink.compression: "},
      {log("", "", R"(, "max_batch_bytes": 1)"), "sink.max_batch_bytes: "},
      {log("", "", R"(, "delivery_timeout_ms": 99)"), "sink.delivery_timeout_ms: "},
      {R"({"sink": {"kind": "kafka", "bootstrap": "127.0.0.1:1", "topic": "a b"}})", "sink.topic: "},
      {R"({"sink": {"kind": "kafka", "bootstrap": "127.0.0.1:1", "topic": "t", "delivery_timeout_ms": 99}})",
       "sink.delivery_timeout_ms: "},
      {R"({"sink": {"kind": "kafka", "bootstrap": "127.0.0.1:1", "topic": "t", "properties": {"acks": "1"}}})",
       "sink.properties.acks: "},
      {R"({"sink": {"kind": "kafka", "bootstrap": "127.0.0.1:1", "topic": "t", "properties": {
          "security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN"}}})",
       "sink.properties: "},
  };
}

TEST_F(Validation, B03_a_bus_is_judged_whole_before_its_sink_is_opened) {
  const auto field = [&](const char* text) {
    return fmt::format(R"({{{}, "sink": {{"kind": "log", "storage": {}, "log": "l", "state_directory": "{}"}}}})", text,
                       storage("r"), folder_.path());
  };
  for (const Case& wrong :
       {Case{field(R"("capacity_events": 0)"), "capacity_events: "}, Case{field(R"("name": "")"), "name: "},
        Case{field(R"("retry": {"first_ms": 2, "longest_ms": 1})"), "retry.longest_ms: "},
        Case{field(R"("batch": {"max_bytes": 0})"), "batch.max_bytes: "},
        Case{field(R"("scale": {"enabled": true, "grow_above": 0.5, "shrink_below": 0.5})"), "scale.shrink_below: "},
        Case{"{}", "sink: there is none"}}) {
    expect_refused(&sluice_bus_open, wrong);
  }
  for (const Case& wrong : sinks(folder_.path(), door_.address())) expect_refused(&sluice_bus_open, wrong);
}

TEST_F(Validation, B03_a_dead_letter_queue_is_judged_whole_before_its_sink_is_opened) {
  const auto field = [&](const char* text) {
    return fmt::format(R"({{{}, "sink": {{"kind": "log", "storage": {}, "log": "l", "state_directory": "{}"}}}})", text,
                       storage("r"), folder_.path());
  };
  for (const Case& wrong :
       {Case{field(R"("max_records": 0)"), "max_records: "}, Case{field(R"("max_in_flight": 0)"), "max_in_flight: "},
        Case{field(R"("max_bytes": 0)"), "max_bytes: "}, Case{field(R"("name": "")"), "name: "},
        Case{field(R"("retry": {"first_delay_ms": 2, "max_delay_ms": 1})"), "retry.first_delay_ms: "}}) {
    expect_refused(&sluice_dead_letters_open, wrong);
  }
  for (const Case& wrong : sinks(folder_.path(), door_.address())) expect_refused(&sluice_dead_letters_open, wrong);
}

TEST_F(Validation, B03_what_is_opened_alone_names_fields_as_they_are_written) {
  expect_refused(&sluice_storage_open, {storage("r", R"(, "call_timeout_ms": 1)"), "call_timeout_ms: "});
  expect_refused(&sluice_storage_open,
                 {R"({"name": "d", "library": "disk", "options": {"sink": 1}})", "options.sink: "});
  expect_refused(&sluice_cluster_open, {R"({"bootstrap": "127.0.0.1:1", "request_timeout_ms": 1})",  //
                                        "request_timeout_ms: "});
  expect_refused(&sluice_log_open, {fmt::format(R"({{"storage": {}, "log": "l", "state_directory": "x"}})",  //
                                                storage("r")),
                                    "state_directory: "});
  expect_refused(&sluice_log_open, {fmt::format(R"({{"storage": {}, "log": "l", "state_directory": "/x"}})",  //
                                                storage("r", R"(, "max_bytes_in_flight": 1)")),
                                    "storage.max_bytes_in_flight: "});
  expect_refused(&sluice_limiter_open, {R"({"tokens": 0})", "tokens: "});
  expect_refused(&sluice_limiter_open, {R"({"kind": "redis", "tokens": 1, "burst": 1, "port": 0})", "port: "});
  expect_refused(&sluice_telemetry_open, {R"({"max_instruments": 0})", "max_instruments: "});
  expect_refused(&sluice_envelope_writer_open, {R"({"max_message_bytes": 0})", "max_message_bytes: "});
  expect_refused(&sluice_envelope_reader_open, {R"({"max_message_bytes": 0})", "max_message_bytes: "});
  expect_refused(&sluice_checkpoints_open, {R"({"directory": "/x", "keep": 0})", "keep: "});
}

}  // namespace
}  // namespace sluice::c::testing
