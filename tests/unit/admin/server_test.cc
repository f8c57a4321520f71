// SPDX-License-Identifier: Apache-2.0
#include "admin/server.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>

namespace sluice::admin {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// Sends `request`, gives all that comes until the server closes.
std::string ask(uint16_t port, const std::string& request) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    char piece[4096];
    for (ssize_t n = 0; (n = ::recv(fd, piece, sizeof piece, 0)) > 0;) answer.append(piece, static_cast<size_t>(n));
  }
  ::close(fd);
  return answer;
}

std::string get(uint16_t port, const std::string& path) {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
}

nlohmann::json body_of(const std::string& answer) {
  return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false);
}

class AdminServerTest : public testing::Test {
 protected:
  void SetUp() override {
    const Status status = server_.start();
    ASSERT_TRUE(status.ok()) << status.describe();
    ASSERT_NE(server_.port(), 0);
  }

  std::vector<Component> components_;
  Readiness readiness_;
  Registry registry_;
  AdminServer server_{registry_,
                      {.port = 0, .health = [this] { return components_; }, .ready = [this] { return readiness_; }}};
};

TEST_F(AdminServerTest, HealthIsThatOfTheWorstComponent) {
  EXPECT_THAT(get(server_.port(), "/health"), StartsWith("HTTP/1.1 200 OK\r\n"));
  components_ = {{.name = "storage disk"},
                 {.name = "storage redis", .health = Health::degraded, .detail = "slow \"today\""}};
  std::string answer = get(server_.port(), "/health");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  auto body = body_of(answer);
  EXPECT_EQ(body["status"], "degraded");
  EXPECT_EQ(body["components"][0], (nlohmann::json{{"name", "storage disk"}, {"status", "ok"}}));
  EXPECT_EQ(body["components"][1]["detail"], "slow \"today\"");
  components_.push_back({.name = "metadata", .health = Health::down, .detail = "\xff not UTF-8"});
  answer = get(server_.port(), "/health");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(body_of(answer)["status"], "down");
}

TEST(AdminPages, AnswerForThemselvesAndWhatIsBelow) {
  Registry registry;
  AdminOptions options;
  options.port = 0;
  options.pages.push_back({"/things", [](const std::string& rest) -> Result<std::string> {
                             if (rest == "none") return fail(StatusCode::not_found, "there is no none");
                             if (rest == "bad") return fail(StatusCode::invalid, "bad");
                             if (rest == "away") return fail(StatusCode::unavailable, "away");
                             return "{\"rest\": \"" + rest + "\"}";
                           }});
  AdminServer server(registry, std::move(options));
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(body_of(get(server.port(), "/things"))["rest"], "");
  EXPECT_EQ(body_of(get(server.port(), "/things/a%20b/c?x=1"))["rest"], "a b/c");
  EXPECT_THAT(get(server.port(), "/things/none"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(body_of(get(server.port(), "/things/none"))["error"].get<std::string>(), HasSubstr("there is no none"));
  EXPECT_THAT(get(server.port(), "/things/bad"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get(server.port(), "/things/away"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(get(server.port(), "/thingsandmore"), HasSubstr("There are /health, /ready, /metrics, /things."));
  EXPECT_THAT(ask(server.port(), "POST /things HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
}

TEST_F(AdminServerTest, ReadyOrNot) {
  readiness_ = {.ready = false, .reason = "replaying"};
  std::string answer = get(server_.port(), "/ready?verbose");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(body_of(answer), (nlohmann::json{{"ready", false}, {"reason", "replaying"}}));
  readiness_ = {.ready = true};
  answer = get(server_.port(), "/ready");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(body_of(answer), (nlohmann::json{{"ready", true}}));
}

TEST_F(AdminServerTest, Metrics) {
  registry_.show([](Exposition& out) {
    out.family("sluice_things_total", "Things.", MetricType::counter);
    out.sample(7);
  });
  const std::string answer = get(server_.port(), "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("\nsluice_things_total 7\n"));
  const std::string head = ask(server_.port(), "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: "));
  EXPECT_THAT(head, Not(HasSubstr("sluice_things_total")));
}

TEST_F(AdminServerTest, EverythingElse) {
  EXPECT_THAT(get(server_.port(), "/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get(server_.port(), "/healthy"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get(server_.port(), "/../etc/passwd"), StartsWith("HTTP/1.1 404 "));
  const std::string post = ask(server_.port(), "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(post, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(post, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(ask(server_.port(), "nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(server_.port(), "GET " + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n"),
              Not(StartsWith("HTTP/1.1 200")));
  EXPECT_THAT(get(server_.port(), "/health"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(AdminServerTest, ManyAtOnce) {
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += get(server_.port(), "/metrics").starts_with("HTTP/1.1 200 OK");
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, 160);
}

TEST_F(AdminServerTest, AnAddressInUseIsAStatus) {
  AdminServer twin(registry_, {.port = server_.port(), .health = {}, .ready = {}});
  const Status status = twin.start();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_THAT(status.text(), HasSubstr("admin cannot listen on 127.0.0.1:" + std::to_string(server_.port())));
  EXPECT_EQ(twin.port(), 0);
}

TEST_F(AdminServerTest, StopsAndStopsAgain) {
  const uint16_t port = server_.port();
  server_.stop();
  server_.stop();
  EXPECT_EQ(get(port, "/health"), "");
}

TEST(AdminServer, AThrowingSourceIsAnErrorPage) {
  const Registry registry;
  AdminServer server(registry, {.port = 0,
                                .health = []() -> std::vector<Component> { throw std::runtime_error("broken source"); },
                                .ready = {}});
  ASSERT_TRUE(server.start().ok());
  const std::string answer = get(server.port(), "/health");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(answer, HasSubstr("broken source"));
}

}  // namespace
}  // namespace sluice::admin
