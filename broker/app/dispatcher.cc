// SPDX-License-Identifier: Apache-2.0
#include "app/dispatcher.hpp"

#include <fmt/format.h>

namespace sluice::app {
namespace {

constexpr size_t kLengthPrefixBytes = 4;

/// A connection of the network as handlers see it.
class Client final : public handlers::ClientConnection {
 public:
  explicit Client(std::shared_ptr<net::Connection> connection) : connection_(std::move(connection)) {}
  uint64_t id() const override { return connection_->id(); }
  const std::string& advertised_host() const override { return connection_->listener().advertised_host; }
  uint16_t advertised_port() const override { return connection_->listener().advertised_port; }
  std::string peer() const override { return fmt::format("{}:{}", connection_->peer_host(), connection_->peer_port()); }
  uint64_t on_close(Job job) override { return connection_->on_close(std::move(job)); }
  void forget(uint64_t id) override { connection_->forget(id); }
  bool closed() const override { return connection_->closed(); }

 private:
  std::shared_ptr<net::Connection> connection_;
};

net::Response to_response(handlers::Reply reply) {
  net::Response response;
  response.close_connection = reply.close_connection;
  if (!reply.output) {
    response.none = true;
    return response;
  }
  auto output = std::make_shared<protocol::Output>(std::move(*reply.output));
  // The network puts the length before each response itself.
  size_t skip = kLengthPrefixBytes;
  for (const auto& segment : output->segments()) {
    if (segment.fd >= 0) {
      response.segments.append_file(segment.fd, segment.file_position, segment.file_length);
      continue;
    }
    const size_t dropped = std::min(skip, segment.size());
    skip -= dropped;
    response.segments.append(Bytes(reinterpret_cast<const uint8_t*>(segment.data()) + dropped, segment.size() - dropped));
  }
  response.segments.keep(std::move(output));
  return response;
}

Task<net::Response> answer(handlers::Broker& broker, net::Request request) {
  handlers::RequestContext context;
  context.broker = &broker;
  context.loop = &request.loop();
  // Kept for the length of the connection: requests of one client share it.
  if (!request.connection->slot().has_value()) {
    request.connection->slot() = std::make_shared<std::weak_ptr<handlers::ClientConnection>>();
  }
  auto& slot = *std::any_cast<std::shared_ptr<std::weak_ptr<handlers::ClientConnection>>&>(request.connection->slot());
  context.connection = slot.lock();
  if (!context.connection) {
    context.connection = std::make_shared<Client>(request.connection);
    slot = context.connection;
  }
  context.frame = request.frame;
  context.bytes = std::as_writable_bytes(std::span(request.bytes.data(), request.bytes.size()));
  co_return to_response(co_await handlers::dispatch(std::move(context)));
}

}  // namespace

net::Dispatch make_dispatch(handlers::Broker& broker) {
  return [&broker](net::Request request) { return answer(broker, std::move(request)); };
}

}  // namespace sluice::app
