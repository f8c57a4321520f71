// SPDX-License-Identifier: Apache-2.0
#include "admin/server.hpp"

#include <Poco/Exception.h>
#include <Poco/Net/HTTPRequestHandler.h>
#include <Poco/Net/HTTPRequestHandlerFactory.h>
#include <Poco/Net/HTTPServer.h>
#include <Poco/Net/HTTPServerParams.h>
#include <Poco/Net/HTTPServerRequest.h>
#include <Poco/Net/HTTPServerResponse.h>
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/SocketAddress.h>
#include <Poco/ThreadPool.h>
#include <Poco/Timespan.h>
#include <Poco/URI.h>
#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace sluice::admin {

namespace {

using Poco::Net::HTTPRequest;
using Poco::Net::HTTPResponse;
using Poco::Net::HTTPServerRequest;
using Poco::Net::HTTPServerResponse;
using Json = nlohmann::ordered_json;

constexpr int kBacklog = 16;

struct Page {
  HTTPResponse::HTTPStatus status = HTTPResponse::HTTP_OK;
  std::string content_type;
  std::string text;
};

Page json_page(HTTPResponse::HTTPStatus status, const Json& json) {
  // Details come from anywhere: what is not UTF-8 in them is replaced, not thrown over.
  return {status, "application/json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"};
}

std::string_view health_name(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::degraded:
      return "degraded";
    case Health::down:
      break;
  }
  return "down";
}

Page health_page(const AdminOptions& options) {
  const std::vector<Component> all = options.health ? options.health() : std::vector<Component>{};
  Health worst = Health::ok;
  Json components = Json::array();
  for (const Component& one : all) {
    worst = std::max(worst, one.health);
    Json entry = {{"name", one.name}, {"status", health_name(one.health)}};
    if (!one.detail.empty()) entry["detail"] = one.detail;
    components.push_back(std::move(entry));
  }
  return json_page(worst == Health::down ? HTTPResponse::HTTP_SERVICE_UNAVAILABLE : HTTPResponse::HTTP_OK,
                   {{"status", health_name(worst)}, {"components", std::move(components)}});
}

Page ready_page(const AdminOptions& options) {
  const Readiness readiness = options.ready ? options.ready() : Readiness{.ready = true};
  Json json = {{"ready", readiness.ready}};
  if (!readiness.reason.empty()) json["reason"] = readiness.reason;
  return json_page(readiness.ready ? HTTPResponse::HTTP_OK : HTTPResponse::HTTP_SERVICE_UNAVAILABLE, json);
}

HTTPResponse::HTTPStatus http_status(StatusCode code) {
  if (code == StatusCode::not_found) return HTTPResponse::HTTP_NOT_FOUND;
  if (code == StatusCode::invalid) return HTTPResponse::HTTP_BAD_REQUEST;
  return HTTPResponse::HTTP_SERVICE_UNAVAILABLE;
}

/// The page that `path` is or lies below, and what follows its slash.
std::pair<const JsonPage*, std::string_view> find_page(const AdminOptions& options, std::string_view path) {
  for (const JsonPage& page : options.pages) {
    if (!path.starts_with(page.path)) continue;
    const std::string_view rest = path.substr(page.path.size());
    if (rest.empty()) return {&page, rest};
    if (rest.front() == '/') return {&page, rest.substr(1)};
  }
  return {nullptr, {}};
}

Page other_page(const JsonPage& page, std::string_view rest) {
  std::string decoded;
  Poco::URI::decode(std::string(rest), decoded);
  auto text = page.answer(decoded);
  if (!text) {
    const Status& why = text.error();
    return json_page(http_status(why.code()), {{"error", why.text()}, {"code", status_name(why.code())}});
  }
  return {HTTPResponse::HTTP_OK, "application/json", *text + "\n"};
}

std::string known_pages(const AdminOptions& options) {
  std::string text = "There are /health, /ready, /metrics";
  for (const JsonPage& page : options.pages) text += ", " + page.path;
  return text + ".\n";
}

Page page_for(const std::string& method, std::string_view uri, const Registry& registry, const AdminOptions& options) {
  const std::string_view path = uri.substr(0, uri.find('?'));
  const auto [page, rest] = find_page(options, path);
  if (page == nullptr && path != "/health" && path != "/ready" && path != "/metrics") {
    return {HTTPResponse::HTTP_NOT_FOUND, "text/plain; charset=utf-8", known_pages(options)};
  }
  if (method != HTTPRequest::HTTP_GET && method != HTTPRequest::HTTP_HEAD) {
    return {HTTPResponse::HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "Only GET and HEAD.\n"};
  }
  if (page != nullptr) return other_page(*page, rest);
  if (path == "/health") return health_page(options);
  if (path == "/ready") return ready_page(options);
  return {HTTPResponse::HTTP_OK, std::string(Registry::kContentType), registry.expose()};
}

class Handler final : public Poco::Net::HTTPRequestHandler {
 public:
  Handler(const Registry& registry, const AdminOptions& options) : registry_(registry), options_(options) {}

  void handleRequest(HTTPServerRequest& request, HTTPServerResponse& response) override {
    Page page;
    try {
      page = page_for(request.getMethod(), request.getURI(), registry_, options_);
    } catch (const std::exception& e) {
      page = {HTTPResponse::HTTP_INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", fmt::format("{}\n", e.what())};
    }
    response.setStatusAndReason(page.status);
    response.setContentType(page.content_type);
    response.set("Cache-Control", "no-store");
    if (page.status == HTTPResponse::HTTP_METHOD_NOT_ALLOWED) response.set("Allow", "GET, HEAD");
    response.setKeepAlive(false);
    if (request.getMethod() == HTTPRequest::HTTP_HEAD) {
      response.setContentLength64(static_cast<Poco::Int64>(page.text.size()));
      response.send();
    } else {
      response.sendBuffer(page.text.data(), page.text.size());
    }
  }

 private:
  const Registry& registry_;
  const AdminOptions& options_;
};

class Factory final : public Poco::Net::HTTPRequestHandlerFactory {
 public:
  Factory(const Registry& registry, const AdminOptions& options) : registry_(registry), options_(options) {}
  Poco::Net::HTTPRequestHandler* createRequestHandler(const HTTPServerRequest&) override {
    return new Handler(registry_, options_);
  }

 private:
  const Registry& registry_;
  const AdminOptions& options_;
};

}  // namespace

struct AdminServer::State {
  State(const Registry& r, AdminOptions o) : registry(r), options(std::move(o)) {}

  const Registry& registry;
  const AdminOptions options;
  // One idle thread waits; the other comes when it is needed.
  Poco::ThreadPool threads{"admin", 1, kMaxThreads, 10};
  Poco::Net::ServerSocket socket;
  std::unique_ptr<Poco::Net::HTTPServer> server;
  uint16_t port = 0;
};

AdminServer::AdminServer(const Registry& registry, AdminOptions options)
    : state_(std::make_unique<State>(registry, std::move(options))) {}

AdminServer::~AdminServer() {
  stop();
}

Status AdminServer::start() {
  State& s = *state_;
  if (s.server != nullptr) return Status(StatusCode::invalid, "the admin server was started before");
  try {
    s.socket = Poco::Net::ServerSocket();
    s.socket.bind(Poco::Net::SocketAddress(s.options.host, s.options.port), true, false);
    s.socket.listen(kBacklog);
    Poco::Net::HTTPServerParams::Ptr parameters = new Poco::Net::HTTPServerParams;
    parameters->setMaxThreads(kMaxThreads);
    parameters->setMaxQueued(kMaxQueuedConnections);
    parameters->setKeepAlive(false);
    parameters->setTimeout(Poco::Timespan(kRequestTimeoutMs * Poco::Timespan::MILLISECONDS));
    parameters->setSoftwareVersion("sluice");
    s.port = s.socket.address().port();
    s.server =
        std::make_unique<Poco::Net::HTTPServer>(new Factory(s.registry, s.options), s.threads, s.socket, parameters);
    s.server->start();
  } catch (const Poco::Exception& e) {
    s.server.reset();
    s.port = 0;
    return Status(StatusCode::unavailable,
                  fmt::format("admin cannot listen on {}:{}: {}", s.options.host, s.options.port, e.displayText()),
                  e.code());
  }
  return {};
}

void AdminServer::stop() {
  State& s = *state_;
  if (s.server == nullptr) return;
  // Wakes the accepting thread, which else looks only every 250 ms whether it shall stop.
  ::shutdown(s.socket.impl()->sockfd(), SHUT_RDWR);
  try {
    s.server->stopAll(false);
    s.threads.joinAll();
  } catch (const Poco::Exception&) {
    // A thread that does not end in time ends with the process.
  }
  s.server.reset();
}

uint16_t AdminServer::port() const {
  return state_->port;
}

}  // namespace sluice::admin
