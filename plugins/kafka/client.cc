// SPDX-License-Identifier: Apache-2.0
#include "kafka/client.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "rdkafka/errors.hpp"
#include "rdkafka/requests.hpp"
#include "sluice/storage_abi.h"

namespace sluice::kafka {

Result<std::unique_ptr<Client>> Client::make(const Settings& settings, Role role, uint64_t largest_message, Say say) {
  auto conf = make_conf(settings, role, largest_message);
  if (!conf) return fail(conf.error());
  std::unique_ptr<Client> client(new Client(std::move(say)));
  rd_kafka_conf_set_opaque(conf->get(), client.get());
  rd_kafka_conf_set_log_cb(conf->get(), &Client::log);
  rd_kafka_conf_set_events(conf->get(), RD_KAFKA_EVENT_ERROR | (role == Role::writes ? RD_KAFKA_EVENT_DR : 0));
  if (role == Role::writes) count_produce_requests(*conf->get(), client->requests_sent_);
  std::array<char, 512> text{};
  client->client_ =
      rd_kafka_new(role == Role::writes ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf->get(), text.data(), text.size());
  if (client->client_ == nullptr) return fail(StatusCode::invalid, text.data());
  static_cast<void>(conf->release());  // librdkafka's now
  client->events_.reset(rd_kafka_queue_get_main(client->client_));
  return client;
}

Client::~Client() {
  events_.reset();
  if (client_ != nullptr) rd_kafka_destroy_flags(client_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void Client::log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  constexpr int kWarning = 4;  // syslog's levels
  constexpr int kError = 3;
  // Settings of one kind of client are given to all, and a connection that is lost is said once, as an error event.
  const std::string_view about = facility;
  if (about == "CONFWARN" || about == "FAIL" || about == "CONNECT") return;
  auto* self = client != nullptr ? static_cast<Client*>(rd_kafka_opaque(client)) : nullptr;
  if (self == nullptr) return;
  auto line = self->limiter_.pass(fmt::format("librdkafka: {}", text), now_ns() / 1'000'000);
  if (!line) return;
  for (char& each : *line) {
    if (each == '\n') each = ' ';
  }
  self->say_(level <= kError ? SLUICE_LOG_ERROR : level == kWarning ? SLUICE_LOG_WARNING : SLUICE_LOG_DEBUG, *line);
}

void Client::heard(const rd_kafka_event_t& event) {
  auto* raw = const_cast<rd_kafka_event_t*>(&event);
  if (rd_kafka_event_type(raw) != RD_KAFKA_EVENT_ERROR) return;
  const char* text = rd_kafka_event_error_string(raw);
  Status status = status_of(rd_kafka_event_error(raw), text != nullptr ? text : "");
  const std::lock_guard lock(mutex_);
  // The last of a row is "all brokers are down": what was said before is why.
  if (rd_kafka_event_error(raw) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !trouble_.ok()) return;
  // A refusal is worth more than what follows from it.
  if (trouble_.code() == StatusCode::denied && status.code() != StatusCode::denied) return;
  trouble_ = std::move(status);
}

void Client::drain() {
  while (EventHandle event{rd_kafka_queue_poll(events(), 0)}) heard(*event);
}

Status Client::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Client::forget_trouble() {
  const std::lock_guard lock(mutex_);
  trouble_ = Status();
}

bool Client::is_fatal() const {
  return rd_kafka_fatal_error(client_, nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

}  // namespace sluice::kafka
