// SPDX-License-Identifier: Apache-2.0
#include "cli/kafka.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice::cli {
namespace {

/// How much longer than a request may take its answer is waited for.
constexpr int kAnswerGraceMs = 2'000;

void on_log(const rd_kafka_t* client, int, const char* facility, const char* line) {
  auto& shared = *static_cast<Client::Shared*>(rd_kafka_opaque(client));
  std::lock_guard lock(shared.mutex);
  if (shared.debug) fmt::print(stderr, "librdkafka: {}: {}\n", facility, line);
  if (std::string_view(facility) != "FAIL") return;
  // "[thrd:HOST:PORT/bootstrap]: HOST:PORT/bootstrap: Connect to ... failed: Connection refused (after 0ms in state
  // CONNECT)"
  std::string reason = line;
  if (const size_t at = reason.rfind("failed: "); at != std::string::npos) reason.erase(0, at + 8);
  if (const size_t at = reason.find(" (after "); at != std::string::npos) reason.resize(at);
  if (const size_t at = reason.find("/bootstrap: "); at != std::string::npos) reason.erase(0, at + 12);
  shared.last_failure = std::move(reason);
}

// Errors of connections come back with the call that needs them.
void on_error(rd_kafka_t*, int, const char*, void*) {}

bool is_unreachable(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
         code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__RESOLVE ||
         code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
}

StatusCode status_code(rd_kafka_resp_err_t code) {
  if (is_unreachable(code)) return StatusCode::unavailable;
  switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
      return StatusCode::not_found;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return StatusCode::exists;
    default:
      return StatusCode::invalid;
  }
}

}  // namespace

Client::Client(std::unique_ptr<Shared> shared, rd_kafka_t* client, std::string bootstrap, int64_t timeout_ms)
    : shared_(std::move(shared)),
      client_(client),
      bootstrap_(std::move(bootstrap)),
      timeout_ms_(static_cast<int>(std::min<int64_t>(timeout_ms, std::numeric_limits<int>::max() - kAnswerGraceMs))) {}

Client::~Client() = default;

Result<Client> Client::open(rd_kafka_type_t type, const Common& common, const Pairs& settings, void* user,
                            const std::function<void(rd_kafka_conf_t*)>& prepare) {
  std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>> conf(rd_kafka_conf_new());
  char text[512];
  Pairs all = {{"bootstrap.servers", common.bootstrap}, {"client.id", "sluice-cli"}, {"socket.timeout.ms", "30000"}};
  if (type == RD_KAFKA_CONSUMER) all.emplace_back("allow.auto.create.topics", "false");
  all.insert(all.end(), settings.begin(), settings.end());
  for (const auto& [name, value] : all) {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK) {
      return fail(StatusCode::invalid, text);
    }
  }
  auto shared = std::make_unique<Shared>();
  shared->debug = common.debug;
  shared->user = user;
  rd_kafka_conf_set_opaque(conf.get(), shared.get());
  rd_kafka_conf_set_log_cb(conf.get(), &on_log);
  rd_kafka_conf_set_error_cb(conf.get(), &on_error);
  if (prepare) prepare(conf.get());
  rd_kafka_t* client = rd_kafka_new(type, conf.get(), text, sizeof text);
  if (client == nullptr) return fail(StatusCode::invalid, text);
  conf.release();  // the client's from here on
  return Client(std::move(shared), client, common.bootstrap, common.timeout_ms);
}

Status Client::error(rd_kafka_resp_err_t code, const char* text) const {
  std::string words = text != nullptr && *text != '\0' ? text : rd_kafka_err2str(code);
  if (is_unreachable(code)) {
    std::lock_guard lock(shared_->mutex);
    const std::string& why = shared_->last_failure;
    words = fmt::format("no answer from {} within {} ms: {}", bootstrap_, timeout_ms_, why.empty() ? words : why);
  }
  return Status(status_code(code), std::move(words), code);
}

Result<MetadataPtr> Client::metadata(const std::string& topic) const {
  const rd_kafka_metadata_t* raw = nullptr;
  std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>> handle;
  if (!topic.empty()) {
    handle.reset(rd_kafka_topic_new(get(), topic.c_str(), nullptr));
    if (handle == nullptr) return fail(error(rd_kafka_last_error()).in(topic));
  }
  const auto code = rd_kafka_metadata(get(), topic.empty() ? 1 : 0, handle.get(), &raw, timeout_ms_);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(error(code));
  MetadataPtr metadata(raw);
  if (!topic.empty()) {
    const bool there = raw->topic_cnt == 1 && raw->topics[0].err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!there) return fail(StatusCode::not_found, fmt::format("there is no topic {}", topic));
    if (raw->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(error(raw->topics[0].err).in(topic));
  }
  return metadata;
}

Result<EventPtr> Client::admin(
    rd_kafka_admin_op_t operation,
    const std::function<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& call) const {
  std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>> options(
      rd_kafka_AdminOptions_new(get(), operation));
  std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>> queue(rd_kafka_queue_new(get()));
  char text[256];
  auto code = rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms_, text, sizeof text);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(error(code, text));
  call(options.get(), queue.get());
  EventPtr event(rd_kafka_queue_poll(queue.get(), timeout_ms_ + kAnswerGraceMs));
  if (event == nullptr) return fail(error(RD_KAFKA_RESP_ERR__TIMED_OUT));
  code = rd_kafka_event_error(event.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(error(code, rd_kafka_event_error_string(event.get())));
  return event;
}

Status Client::offsets(rd_kafka_topic_partition_list_t& list, int64_t which) const {
  if (list.cnt == 0) return {};
  for (int i = 0; i < list.cnt; ++i) list.elems[i].offset = which;
  const auto code = rd_kafka_offsets_for_times(get(), &list, timeout_ms_);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return error(code);
  for (int i = 0; i < list.cnt; ++i) {
    const auto& each = list.elems[i];
    if (each.err != RD_KAFKA_RESP_ERR_NO_ERROR)
      return error(each.err).in(fmt::format("{} {}", each.topic, each.partition));
  }
  return {};
}

}  // namespace sluice::cli
