// SPDX-License-Identifier: Apache-2.0
// The JetStream adapter in a world of brokers, writers and real servers, and somebody else's client beside them.
#pragma once

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/uuid.hpp"
#include "jetstream/names.hpp"
#include "support/nats_server.hpp"
#include "support/storage_world.hpp"

namespace sluice::jetstream::testing {

using test::Clock;
using test::eventually;
using test::make_batch;
using test::wait;
using test::Writer;

class Broker : public test::Broker {
 public:
  explicit Broker(const std::string& urls, host::OptionInputs more = {}, int64_t call_timeout_ms = 10'000)
      : test::Broker("jetstream", with_servers(std::move(more), urls), call_timeout_ms) {}

 private:
  static host::OptionInputs with_servers(host::OptionInputs inputs, const std::string& urls) {
    inputs.try_emplace("servers", urls);
    return inputs;
  }
};

/// The id of the log that Broker::create(number) makes.
inline Uuid id_of(uint8_t number) {
  Uuid id;
  id.bytes[15] = number;
  return id;
}

/// Another client of the same servers.
class Stranger {
 public:
  explicit Stranger(const std::string& url) { EXPECT_EQ(natsConnection_ConnectTo(&connection_, url.c_str()), NATS_OK); }
  ~Stranger() { natsConnection_Destroy(connection_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  /// The reply's payload; nothing if none comes.
  std::optional<std::string> try_to_ask(const std::string& subject, const std::string& body = {},
                                        const std::string& header = {}) {
    natsMsg* message = nullptr;
    natsMsg* reply = nullptr;
    natsMsg_Create(&message, subject.c_str(), nullptr, body.data(), static_cast<int>(body.size()));
    if (!header.empty()) natsMsgHeader_Set(message, "Sluice", header.c_str());
    const natsStatus status = natsConnection_RequestMsg(&reply, connection_, message, 5'000);
    std::optional<std::string> text;
    if (status == NATS_OK) text.emplace(natsMsg_GetData(reply), static_cast<size_t>(natsMsg_GetDataLength(reply)));
    natsMsg_Destroy(message);
    natsMsg_Destroy(reply);
    return text;
  }
  /// A message with these headers; whether a stream stored it.
  bool publish(const std::string& subject, const std::string& body,
               const std::vector<std::pair<std::string, std::string>>& headers) {
    natsMsg* message = nullptr;
    natsMsg* reply = nullptr;
    natsMsg_Create(&message, subject.c_str(), nullptr, body.data(), static_cast<int>(body.size()));
    for (const auto& [name, value] : headers) natsMsgHeader_Add(message, name.c_str(), value.c_str());
    const natsStatus status = natsConnection_RequestMsg(&reply, connection_, message, 5'000);
    const std::string ack = status == NATS_OK ? natsMsg_GetData(reply) : "";
    natsMsg_Destroy(message);
    natsMsg_Destroy(reply);
    return ack.find("\"seq\"") != std::string::npos && ack.find("\"error\"") == std::string::npos;
  }
  std::string ask(const std::string& subject, const std::string& body = {}, const std::string& header = {}) {
    const auto reply = try_to_ask(subject, body, header);
    EXPECT_TRUE(reply) << "no answer to " << subject;
    return reply.value_or("");
  }
  nlohmann::json ask_json(const std::string& subject, const std::string& body = {}, const std::string& header = {}) {
    return nlohmann::json::parse(ask(subject, body, header), nullptr, false);
  }
  /// Publishes into the stream of log 1 as an adapter would; the message's sequence.
  uint64_t forge(const std::string& type, const std::string& body, const std::string& header) {
    const nlohmann::json ack = ask_json(log_subject("sluice", id_of(1)) + "." + type, body, header);
    EXPECT_TRUE(ack.contains("seq")) << ack.dump();
    return ack.value("seq", uint64_t{0});
  }
  nlohmann::json stream_info(uint8_t number = 1) {
    return ask_json("$JS.API.STREAM.INFO." + log_stream("sluice", id_of(number)));
  }

 private:
  natsConnection* connection_ = nullptr;
};

}  // namespace sluice::jetstream::testing
