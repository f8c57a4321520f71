// SPDX-License-Identifier: Apache-2.0
// sluice produce: lines of standard input, or generated records, to a topic.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <random>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/kafka.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

using TopicPtr = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using HeadersPtr = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;

constexpr int kPollMs = 100;
constexpr size_t kPoolBytes = 1 << 20;

struct Tally {
  int64_t delivered = 0, failed = 0;
  uint64_t bytes = 0;
  rd_kafka_resp_err_t first_error = RD_KAFKA_RESP_ERR_NO_ERROR;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  Tally& tally = *static_cast<Tally*>(static_cast<Client::Shared*>(opaque)->user);
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++tally.delivered;
    tally.bytes += message->len + message->key_len;
    return;
  }
  if (tally.failed++ == 0) tally.first_error = message->err;
}

struct NewRecord {
  std::optional<std::string_view> key, value;
};
/// Gives the next record, or false at the end. What it gave is valid until the next call.
using Source = std::function<bool(NewRecord&)>;

Source lines(const Produce& command, Status& status) {
  return [&command, &status, line = std::string(), number = int64_t{0}](NewRecord& record) mutable {
    if (!std::getline(std::cin, line)) return false;
    ++number;
    std::string_view value = line;
    if (command.key) record.key = *command.key;
    if (!command.key_separator.empty()) {
      const size_t at = value.find(command.key_separator);
      if (at == std::string_view::npos) {
        status = Status(StatusCode::invalid, fmt::format("line {} has no key separator", number));
        return false;
      }
      record.key = value.substr(0, at);
      value.remove_prefix(at + command.key_separator.size());
    }
    record.value = value;
    if (command.tombstones && value.empty()) record.value.reset();
    return true;
  };
}

/// Printable, and no two alike soon, so that codecs have a fair task.
Source generated(const Produce& command) {
  const auto size = static_cast<size_t>(command.size);
  std::mt19937_64 random(1);
  std::string pool(std::max(kPoolBytes, 2 * size), '\0');
  for (char& c : pool) c = static_cast<char>('!' + random() % 94);
  return [&command, size, random, pool = std::move(pool), left = command.count](NewRecord& record) mutable {
    if (left-- == 0) return false;
    if (command.key) record.key = *command.key;
    record.value = std::string_view(pool).substr(random() % (pool.size() - size + 1), size);
    return true;
  };
}

rd_kafka_resp_err_t send(rd_kafka_t* client, const Produce& command, const NewRecord& record,
                         const rd_kafka_headers_t* headers) {
  const auto data = [](const auto& bytes) { return bytes ? const_cast<char*>(bytes->data()) : nullptr; };
  const auto size = [](const auto& bytes) { return bytes ? bytes->size() : 0; };
  // Null and empty differ in Kafka by the pointer alone.
  static char empty = 0;
  void* key = record.key && record.key->empty() ? &empty : data(record.key);
  void* value = record.value && record.value->empty() ? &empty : data(record.value);
  HeadersPtr copy(headers == nullptr ? nullptr : rd_kafka_headers_copy(headers));
  const auto code =
      rd_kafka_producev(client, RD_KAFKA_V_TOPIC(command.topic.c_str()), RD_KAFKA_V_PARTITION(command.partition),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, size(record.key)),
                        RD_KAFKA_V_VALUE(value, size(record.value)), RD_KAFKA_V_HEADERS(copy.get()), RD_KAFKA_V_END);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) copy.release();  // the client's
  return code;
}

Status send_all(const Client& client, const Produce& command, const Source& next, const rd_kafka_headers_t* headers,
                const Tally& tally, Progress& progress) {
  NewRecord record;
  while (!interrupted() && tally.failed == 0 && next(record)) {
    auto code = send(client.get(), command, record, headers);
    while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && tally.failed == 0 && !interrupted()) {
      rd_kafka_poll(client.get(), kPollMs);
      code = send(client.get(), command, record, headers);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
      return client.error(code).in(command.topic);
    rd_kafka_poll(client.get(), 0);
    progress.update(tally.delivered, tally.bytes);
    record = {};
  }
  return {};
}

}  // namespace

Status run(const Produce& command, const Common& common) {
  Tally tally;
  const Pairs settings = {{"compression.codec", command.codec},
                          {"acks", command.acks},
                          {"enable.idempotence", command.idempotent ? "true" : "false"},
                          {"message.timeout.ms", std::to_string(common.timeout_ms)}};
  auto client = Client::open(RD_KAFKA_PRODUCER, common, settings, &tally,
                             [](rd_kafka_conf_t* conf) { rd_kafka_conf_set_dr_msg_cb(conf, &on_delivery); });
  if (!client) return client.error();
  // Known before the connection is up, so that the first answer holds its partitions; else the next look is a second
  // later.
  const TopicPtr topic(rd_kafka_topic_new(client->get(), command.topic.c_str(), nullptr));
  if (topic == nullptr) return client->error(rd_kafka_last_error()).in(command.topic);
  HeadersPtr headers(command.headers.empty() ? nullptr : rd_kafka_headers_new(command.headers.size()));
  for (const auto& [name, value] : command.headers) {
    const auto code = rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()), value.data(),
                                          static_cast<ssize_t>(value.size()));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client->error(code).in(name);
  }

  catch_interrupts();
  std::ios::sync_with_stdio(false);
  const auto start = std::chrono::steady_clock::now();
  Progress progress("written: ", command.count);
  Status status;
  const Source next = command.count > 0 ? generated(command) : lines(command, status);
  if (Status sent = send_all(*client, command, next, headers.get(), tally, progress); !sent.ok()) status = sent;
  // Every record ends within message.timeout.ms, so this does too.
  while (rd_kafka_flush(client->get(), kPollMs) == RD_KAFKA_RESP_ERR__TIMED_OUT)
    progress.update(tally.delivered, tally.bytes);
  progress.clear();

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (common.json) {
    print_json({{"topic", command.topic},
                {"records", tally.delivered},
                {"bytes", tally.bytes},
                {"failed", tally.failed},
                {"seconds", seconds}});
  } else if (tally.delivered > 0) {
    fmt::print(stderr, "{} record{} ({}) written to {} in {:.2f} s\n", tally.delivered, tally.delivered == 1 ? "" : "s",
               human_bytes(tally.bytes), command.topic, seconds);
  }
  if (tally.failed > 0) {
    const Status first = client->error(tally.first_error);
    return Status(first.code(), fmt::format("{}: {} record{} not written: {}", command.topic, tally.failed,
                                            tally.failed == 1 ? "" : "s", first.text()));
  }
  if (status.ok() && interrupted()) return Status(StatusCode::unavailable, "interrupted");
  return status;
}

}  // namespace sluice::cli
