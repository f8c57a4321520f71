// SPDX-License-Identifier: Apache-2.0
// What a handler gets with each request, and how handlers are found. Handlers read like the protocol: decode, look things up,
// call a state machine, encode. They know no network: the app adapts its connections to ClientConnection.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/log_limiter.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "cluster/cluster.hpp"
#include "group/coordinator.hpp"
#include "handlers/late_reads.hpp"
#include "partition/partitions.hpp"
#include "protocol/codec.hpp"

namespace sluice::handlers {

class FetchSessions;

/// The connection that a request came by. Loop thread only.
class ClientConnection {
 public:
  virtual ~ClientConnection() = default;
  virtual uint64_t id() const = 0;
  /// Where clients that came by this listener reach this broker.
  virtual const std::string& advertised_host() const = 0;
  virtual uint16_t advertised_port() const = 0;
  virtual std::string peer() const = 0;
  /// Runs `job` once when the peer is gone; forget() takes it back.
  virtual uint64_t on_close(Job job) = 0;
  virtual void forget(uint64_t id) = 0;
  virtual bool closed() const = 0;
};

struct HandlerOptions {
  bool auto_create_topics = true;        // auto.create.topics.enable
  bool delete_topic_enable = true;       // delete.topic.enable
  int32_t fetch_max_bytes = 57'671'680;  // fetch.max.bytes
  int32_t max_fetch_wait_ms = 300'000;   // a longer max_wait is cut to this
  size_t max_fetch_sessions = 1'000;     // max.incremental.fetch.session.cache.slots
};

/// A property of the broker, for DescribeConfigs.
struct BrokerSetting {
  std::string name;
  std::string value;
  cluster::ConfigType type = cluster::ConfigType::string;
  cluster::ConfigSource source = cluster::ConfigSource::defaults;
  std::string help;
};

struct HandlerMetrics {
  static constexpr size_t kApis = 96;
  static constexpr size_t kErrorCodes = 144;
  struct PerApi {
    std::atomic<uint64_t> requests{0}, nanoseconds{0};
    std::atomic<uint64_t> errors[kErrorCodes] = {};  // told in answers, by code + 1: the lowest code is -1
  };
  PerApi apis[kApis];  // by key
  std::atomic<uint64_t> malformed{0}, unsupported_versions{0}, refused_batches{0};
};

/// The broker, as handlers see it. Thread-safe parts all; outlives every request.
struct Broker {
  cluster::Cluster& cluster;
  partition::Partitions& partitions;
  group::GroupCoordinator& groups;
  Clock& clock;
  HandlerOptions options;
  FetchSessions& fetch_sessions;
  std::vector<BrokerSetting> settings;  // in order of names
  HandlerMetrics metrics;
  /// A line for the operator: level as in the storage ABI. Any thread.
  std::function<void(int level, const std::string& text)> log;
  /// For lines that clients cause.
  LogLimiter log_limiter{};
  /// How far a topic's migration is, an object in JSON; empty if it stays where it is. Any thread.
  std::function<std::string(const cluster::TopicInfo&)> migration{};
  LateReads late_reads{};
};

/// One request. Passed by value into coroutines: cheap pointers and views into `frame`.
struct RequestContext {
  Broker* broker = nullptr;
  Loop* loop = nullptr;
  std::shared_ptr<ClientConnection> connection;
  std::shared_ptr<void> frame;          // keeps `bytes` alive
  std::span<std::byte> bytes;           // header and body; mutable: batches are stamped in place
  protocol::IncomingRequest request;    // views into bytes
  int16_t version() const { return request.api_version; }
};

/// What goes back.
struct Reply {
  std::optional<protocol::Output> output;  // a whole frame, its length included; absent: nothing is sent
  bool close_connection = false;
};

using HandlerFunction = Task<Reply> (*)(RequestContext);

struct Handler {
  protocol::ApiKey key;
  HandlerFunction serve;
};

/// Every API that this broker serves. ApiVersions and dispatch() both come from here.
std::span<const Handler> all_handlers();

/// Answers one request. Unknown keys, malformed requests and versions that are not served close the connection with one log
/// line, except ApiVersions, which answers any version with its ranges. The connection's loop.
Task<Reply> dispatch(RequestContext context);

/// A warning about the sender of a request, "connection 7 from 10.0.0.1:4567 <what>", at a limited rate.
void say(const RequestContext& context, std::string_view what);

/// Counts an error that a request met with.
inline void count_error(const RequestContext& context, ErrorCode code, uint64_t times = 1) {
  auto& api = context.broker->metrics.apis[static_cast<size_t>(context.request.api->key)];
  api.errors[static_cast<size_t>(static_cast<int16_t>(code) + 1)].fetch_add(times, std::memory_order_relaxed);
}

/// Counts errors that `context` is answered with. Those that speak of a bad request rather than of the state of things are also
/// told in one line, at a limited rate.
void note_errors(const RequestContext& context, std::span<const protocol::ErrorCount> errors);

/// Encodes a response for `context`, its errors counted. What cannot be encoded closes the connection.
template <class M>
Reply encode(const RequestContext& context, const M& response) {
  auto output = protocol::encode_response(response, context.version(), context.request.correlation_id);
  Reply reply;
  if (output) {
    if (!output->errors().empty()) note_errors(context, output->errors());
    reply.output = std::move(*output);
  } else {
    if (context.broker->log) context.broker->log(3, "response not encodable: " + output.error().describe());
    reply.close_connection = true;
  }
  return reply;
}

/// The reply to a request that does not decode: the connection is closed, one line says why.
Reply malformed(const RequestContext& context, const Status& status);

/// Makes a HandlerFunction of `Task<Response> f(RequestContext, Request)`.
template <class Request, auto f>
Task<Reply> serve(RequestContext context) {
  auto request = protocol::decode_front<Request>(context.request.body, context.version());
  if (!request) co_return malformed(context, request.error());
  auto response = co_await f(context, std::move(*request));
  co_return encode(context, response);
}

}  // namespace sluice::handlers
