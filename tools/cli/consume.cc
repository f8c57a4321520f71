// SPDX-License-Identifier: Apache-2.0
// sluice consume: records of a topic, printed as they come. In a group, what was printed, or rejected by --filter, is
// committed when it ends.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <set>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/kafka.hpp"
#include "cli/records.hpp"
#include "cli/text.hpp"
#include "sluice/filter.hpp"

namespace sluice::cli {
namespace {

constexpr int kPollMs = 100;
/// With --exit-at-end: how long the group may take to give partitions; members that died must first be missed.
constexpr std::chrono::seconds kMaxJoinTime{60};

/// Which partitions are read, and which of them have nothing more.
struct Assignment {
  bool given = false;
  std::set<int32_t> partitions, ended;

  void set(const rd_kafka_topic_partition_list_t& list) {
    given = true;
    partitions.clear();
    ended.clear();
    for (int i = 0; i < list.cnt; ++i) partitions.insert(list.elems[i].partition);
  }
  bool at_end() const { return given && ended.size() == partitions.size(); }
};

void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list, void* opaque) {
  auto& assignment = *static_cast<Assignment*>(static_cast<Client::Shared*>(opaque)->user);
  if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    assignment.set(*list);
    rd_kafka_assign(client, list);
  } else {
    assignment = {};
    rd_kafka_assign(client, nullptr);
  }
}

/// Reads all partitions, or the one asked for, without a group.
Status assign(const Client& client, const Consume& command, const rd_kafka_metadata_topic_t& topic,
              Assignment& assignment) {
  ListPtr list(rd_kafka_topic_partition_list_new(topic.partition_cnt));
  for (int i = 0; i < topic.partition_cnt; ++i) {
    const int32_t id = topic.partitions[i].id;
    if (command.partition >= 0 && id != command.partition) continue;
    auto* added = rd_kafka_topic_partition_list_add(list.get(), topic.topic, id);
    added->offset = command.offset >= 0 ? command.offset
                                        : (command.from_beginning ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END);
  }
  if (list->cnt == 0) {
    return Status(StatusCode::not_found,
                  fmt::format("{} has no partition {}: it has {} partition{}", command.topic, command.partition,
                              topic.partition_cnt, topic.partition_cnt == 1 ? "" : "s"));
  }
  assignment.set(*list);
  const auto code = rd_kafka_assign(client.get(), list.get());
  return code == RD_KAFKA_RESP_ERR_NO_ERROR ? Status() : client.error(code);
}

Status subscribe(const Client& client, const Consume& command) {
  ListPtr list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), command.topic.c_str(), RD_KAFKA_PARTITION_UA);
  const auto code = rd_kafka_subscribe(client.get(), list.get());
  return code == RD_KAFKA_RESP_ERR_NO_ERROR ? Status() : client.error(code);
}

RecordView view_of(const rd_kafka_message_t& message, const std::string& topic) {
  RecordView record;
  record.topic = topic;
  record.partition = message.partition;
  record.offset = message.offset;
  rd_kafka_timestamp_type_t type;
  record.timestamp = rd_kafka_message_timestamp(&message, &type);
  if (message.key != nullptr) record.key = std::string_view(static_cast<const char*>(message.key), message.key_len);
  if (message.payload != nullptr)
    record.value = std::string_view(static_cast<const char*>(message.payload), message.len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return record;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    std::optional<std::string_view> bytes;
    if (value != nullptr) bytes = std::string_view(static_cast<const char*>(value), size);
    record.headers.emplace_back(name, bytes);
  }
  return record;
}

/// What --filter lets pass; everything without it.
class Sieve {
 public:
  /// `text` has been found to be a filter.
  explicit Sieve(const std::string& text) {
    if (!text.empty()) evaluator_.emplace(*Filter::parse(text));
  }
  /// Tells on standard error what was seen.
  ~Sieve() {
    if (!evaluator_) return;
    const FilterCounts& counts = evaluator_->counts();
    std::string text = fmt::format("{} of {} records passed", counts.passed, counts.evaluated);
    if (counts.payloads_unreadable > 0) text += fmt::format("; {} values were no JSON", counts.payloads_unreadable);
    std::fputs((text + '\n').c_str(), stderr);
  }
  Sieve(const Sieve&) = delete;
  Sieve& operator=(const Sieve&) = delete;

  bool passes(const RecordView& record) { return !evaluator_ || evaluator_->passes(record_of(record, headers_)); }

 private:
  std::optional<FilterEvaluator> evaluator_;
  std::vector<Header> headers_;
};

Status read_all(const Client& client, const Consume& command, Assignment& assignment) {
  const auto start = std::chrono::steady_clock::now();
  // Where records go to the terminal themselves, they are the progress.
  const bool shown = ::isatty(STDOUT_FILENO) != 1;
  Sieve sieve(command.filter);
  Progress progress("read: ", command.count);
  int64_t count = 0;
  uint64_t bytes = 0;
  while (!interrupted() && (command.count == 0 || count < command.count) &&
         !(command.exit_at_end && assignment.at_end())) {
    const MessagePtr message(rd_kafka_consumer_poll(client.get(), kPollMs));
    if (message == nullptr) {
      if (std::fflush(stdout) != 0) return {};  // the caller says that it cannot be written
      const bool late = std::chrono::steady_clock::now() - start > kMaxJoinTime;
      if (command.exit_at_end && !assignment.given && late) {
        return Status(StatusCode::unavailable,
                      fmt::format("group {} gave no partitions within {} s", command.group, kMaxJoinTime.count()));
      }
      continue;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      assignment.ended.insert(message->partition);
      continue;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return client.error(message->err, rd_kafka_message_errstr(message.get())).in(command.topic);
    }
    assignment.ended.erase(message->partition);
    const RecordView record = view_of(*message, command.topic);
    if (!sieve.passes(record)) continue;
    const std::string line = command.json ? json_line(record) : text_line(record, command.show, command.separator);
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) return {};
    ++count;
    bytes += message->len + message->key_len;
    if (shown) progress.update(count, bytes);
  }
  return {};
}

}  // namespace

Status run(const Consume& command, const Common& common) {
  Assignment assignment;
  const bool grouped = !command.group.empty();
  const Pairs settings = {
      // librdkafka wants a name even where no group is joined.
      {"group.id", grouped ? command.group : "sluice-cli"},
      {"enable.auto.commit", grouped ? "true" : "false"},
      {"enable.partition.eof", "true"},
      // Without a group an offset that is not there is an error; in a group it is where nothing is committed.
      {"auto.offset.reset", !grouped ? "error" : (command.from_beginning ? "earliest" : "latest")},
  };
  auto client = Client::open(RD_KAFKA_CONSUMER, common, settings, &assignment, [&](rd_kafka_conf_t* conf) {
    if (grouped) rd_kafka_conf_set_rebalance_cb(conf, &on_rebalance);
  });
  if (!client) return client.error();
  const auto metadata = client->metadata(command.topic);
  if (!metadata) return metadata.error();
  rd_kafka_poll_set_consumer(client->get());
  catch_interrupts();
  Status status = grouped ? subscribe(*client, command) : assign(*client, command, (*metadata)->topics[0], assignment);
  if (status.ok()) status = read_all(*client, command, assignment);
  std::fflush(stdout);
  // Commits what was handed out, which is what was printed.
  const auto code = rd_kafka_consumer_close(client->get());
  if (status.ok() && code != RD_KAFKA_RESP_ERR_NO_ERROR) status = client->error(code).in("closing");
  return status;
}

}  // namespace sluice::cli
