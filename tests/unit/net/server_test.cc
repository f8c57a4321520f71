// SPDX-License-Identifier: Apache-2.0
// Requests and responses over real sockets: order, framing, and what bad peers get.
#include "net/server.hpp"

#include "net_fixture.hpp"

namespace sluice::net {
namespace {

TEST_F(ServerTest, AnswersARequest) {
  serve();
  const Client client(port());
  ASSERT_TRUE(client.send_frame("hello"));
  EXPECT_EQ(client.receive_frame(), "hello");
  EXPECT_EQ(metrics().requests, 1u);
  EXPECT_EQ(metrics().bytes_in, 9u);
  EXPECT_TRUE(eventually([&] { return metrics().bytes_out == 9; }));
}

TEST_F(ServerTest, RequestsOfOneConnectionBeginInOrderAndAreAnsweredInOrder) {
  std::vector<std::string> begun;  // the loop's until the responses are there
  serve({}, [&](Request request) {
    begun.emplace_back(as_text(request.bytes));
    return held_.hold(std::move(request));
  });
  const Client client(port());
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += frame_of("r" + std::to_string(i));
  ASSERT_TRUE(client.send(requests));
  ASSERT_TRUE(eventually([&] { return held_.size() == 20; }));
  for (int i = 19; i >= 0; --i) EXPECT_TRUE(held_.answer("r" + std::to_string(i), "a" + std::to_string(i)));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.receive_frame(), "a" + std::to_string(i));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(begun[static_cast<size_t>(i)], "r" + std::to_string(i));
}

TEST_F(ServerTest, AResponseDoesNotWaitForLaterRequests) {
  serve();
  const Client client(port());
  ASSERT_TRUE(client.send(frame_of("first") + frame_of("hold") + frame_of("last")));
  EXPECT_EQ(client.receive_frame(), "first");
  ASSERT_TRUE(eventually([&] { return held_.answer("hold", "held"); }));
  EXPECT_EQ(client.receive_frame(), "held");
  EXPECT_EQ(client.receive_frame(), "last");
}

TEST_F(ServerTest, ResponsesOfOneTurnLeaveInOneWrite) {
  constexpr int kCount = 20;
  const auto name = [](int i) { return "hold" + std::to_string(i); };
  serve({}, [&](Request request) -> Task<Response> {
    if (as_text(request.bytes) != "go") co_return co_await held_.hold(std::move(request));
    for (int i = 0; i < kCount; ++i) held_.answer(name(i), name(i));
    Response none;
    none.none = true;
    co_return none;
  });
  const Client client(port());
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(client.send_frame(name(i)));
  ASSERT_TRUE(eventually([&] { return held_.size() == kCount; }));
  ASSERT_TRUE(client.send_frame("go"));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(client.receive_frame(), name(i));
  EXPECT_TRUE(eventually([&] { return metrics().writes == 1; })) << metrics().writes;
}

TEST_F(ServerTest, ByteAtATime) {
  serve();
  const Client client(port());
  const std::string bytes = frame_of("one") + frame_of("two") + frame_of(std::string(300, 'x'));
  for (const char byte : bytes) ASSERT_TRUE(client.send({&byte, 1}));
  EXPECT_EQ(client.receive_frame(), "one");
  EXPECT_EQ(client.receive_frame(), "two");
  EXPECT_EQ(client.receive_frame(), std::string(300, 'x'));
}

TEST_F(ServerTest, FramesOfManySizesComeBackIdentical) {
  serve();
  const Client client(port());
  std::vector<std::string> bodies;
  for (const size_t size : {1, 2, 1019, 1020, 1021, 4096, 16383, 16384, 16385, 32767, 32768, 65532, 65536, 131071,
                            131072, 131073, 262144, 1000000, 3000000}) {
    std::string body(size, '\0');
    for (size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 31 + size);
    bodies.push_back(std::move(body));
  }
  std::thread sender([&] {
    std::string all;
    for (const auto& body : bodies) all += frame_of(body);
    EXPECT_TRUE(client.send(all));
  });
  for (const auto& body : bodies) {
    const auto got = client.receive_frame();
    ASSERT_TRUE(got.has_value());
    EXPECT_TRUE(*got == body) << body.size();
  }
  sender.join();
  EXPECT_TRUE(eventually([&] { return server_->request_memory_bytes() == 0; }));
}

TEST_F(ServerTest, ManySmallRequestsAtOnce) {
  serve({.max_pipelined_requests = 16});
  const Client client(port());
  std::string all;
  for (int i = 0; i < 5'000; ++i) all += frame_of("request " + std::to_string(i));
  std::thread sender([&] { EXPECT_TRUE(client.send(all)); });
  for (int i = 0; i < 5'000; ++i) ASSERT_EQ(client.receive_frame(), "request " + std::to_string(i));
  sender.join();
}

TEST_F(ServerTest, NoneIsPassedAndCloseIsTheLast) {
  serve();
  const Client client(port());
  ASSERT_TRUE(
      client.send(frame_of("none 1") + frame_of("a") + frame_of("none 2") + frame_of("bye") + frame_of("late")));
  EXPECT_EQ(client.receive_frame(), "a");
  EXPECT_EQ(client.receive_frame(), "bye");
  EXPECT_TRUE(client.at_end());
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(metrics().closed_by_dispatch, 1u);
  EXPECT_EQ(metrics().requests, 4u) << "what comes late is not begun";
}

TEST_F(ServerTest, BadSizesCloseTheConnectionWithOneLineAndACounter) {
  serve({.max_frame_bytes = 1000});
  const Client other(port());
  ASSERT_TRUE(other.send_frame("hold"));
  const struct {
    int32_t size;
    const NetMetrics::Counter& counter;
    const char* says;
  } cases[] = {{-1, metrics().frames_negative, "size -1"},
               {INT32_MIN, metrics().frames_negative, "size -2147483648"},
               {0, metrics().frames_empty, "size 0"},
               {1001, metrics().frames_too_large, "1001 bytes, above socket.request.max.bytes (1000)"},
               {INT32_MAX, metrics().frames_too_large, "2147483647 bytes"}};
  size_t lines = 0;
  for (const auto& c : cases) {
    const uint64_t before = c.counter;
    const Client client(port());
    std::string prefix(4, '\0');
    store_be(reinterpret_cast<uint8_t*>(prefix.data()), c.size);
    ASSERT_TRUE(client.send(frame_of("good") + prefix + "rest"));
    EXPECT_EQ(client.receive_frame(), "good");  // what came before is answered
    EXPECT_TRUE(client.at_end());
    EXPECT_EQ(c.counter, before + 1);
    ASSERT_EQ(log().size(), ++lines);
    EXPECT_NE(log().back().find(c.says), std::string::npos) << log().back();
  }
  ASSERT_TRUE(held_.answer("hold", "undisturbed"));
  EXPECT_EQ(other.receive_frame(), "undisturbed");
}

TEST_F(ServerTest, TheLargestFrameIsAccepted) {
  serve({.max_frame_bytes = 1000});
  const Client client(port());
  ASSERT_TRUE(client.send_frame(std::string(1000, 'x')));
  EXPECT_EQ(client.receive_frame(), std::string(1000, 'x'));
}

TEST_F(ServerTest, AHalfClosedPeerGetsItsAnswers) {
  serve({}, [&](Request request) -> Task<Response> {
    // A handler that waits, but not for somebody who has gone.
    const std::string name(as_text(request.bytes));
    co_await suspend_until<int>(request.loop(),
                                [&](Resumer<int> resume) { request.connection->on_close([resume] { resume(0); }); });
    Response response;
    response.segments.append(Buffer::copy_of(as_bytes(name)));
    co_return response;
  });
  const Client client(port());
  ASSERT_TRUE(client.send(frame_of("one") + frame_of("two")));
  client.half_close();
  EXPECT_EQ(client.receive_frame(), "one");
  EXPECT_EQ(client.receive_frame(), "two");
  EXPECT_TRUE(client.at_end());
  EXPECT_TRUE(all_closed());
  EXPECT_TRUE(log().empty());
}

TEST_F(ServerTest, ADepartedPeerFreesItsWaiters) {
  std::atomic<int> freed{0};
  serve({}, [&](Request request) -> Task<Response> {
    co_await suspend_until<int>(request.loop(),
                                [&](Resumer<int> resume) { request.connection->on_close([resume] { resume(0); }); });
    EXPECT_TRUE(request.connection->closed());
    ++freed;
    co_return Response{};
  });
  Client polite(port()), rude(port());
  ASSERT_TRUE(polite.send_frame("wait"));
  ASSERT_TRUE(rude.send_frame("wait"));
  ASSERT_TRUE(eventually([&] { return metrics().requests_in_flight == 2; }));
  polite.close();
  EXPECT_TRUE(eventually([&] { return freed == 1; }));
  rude.reset();
  EXPECT_TRUE(eventually([&] { return freed == 2; }));
  EXPECT_TRUE(all_closed());
  EXPECT_TRUE(eventually([&] { return metrics().requests_in_flight == 0; }));
}

TEST_F(ServerTest, OnCloseCanBeTakenBackAndComesLateToo) {
  std::shared_ptr<Connection> connection;
  std::atomic<bool> seen{false};
  serve({}, [&](Request request) -> Task<Response> {
    connection = request.connection;
    seen = true;
    co_return Response{};
  });
  Client client(port());
  ASSERT_TRUE(client.send_frame("x"));
  ASSERT_TRUE(eventually([&] { return seen.load(); }));
  std::atomic<int> calls{0};
  std::atomic<bool> done{false};
  connection->loop().post([&] {
    const CloseId id = connection->on_close([&] { calls += 100; });
    connection->on_close([&] { ++calls; });
    EXPECT_TRUE(connection->forget(id));
    EXPECT_FALSE(connection->forget(id));
    done = true;
  });
  ASSERT_TRUE(eventually([&] { return done.load(); }));
  client.close();
  ASSERT_TRUE(eventually([&] { return calls == 1; }));
  ASSERT_TRUE(all_closed());
  connection->loop().post([&] {
    connection->on_close([&] { ++calls; });
    EXPECT_EQ(calls, 1);  // not before this returns
  });
  EXPECT_TRUE(eventually([&] { return calls == 2; }));
}

TEST_F(ServerTest, APeerThatLeavesInMidFrameIsOneLineAndACounter) {
  serve();
  Client polite(port()), rude(port()), other(port());
  ASSERT_TRUE(polite.send(frame_of("whole") + frame_of("partial").substr(0, 7)));
  EXPECT_EQ(polite.receive_frame(), "whole");
  ASSERT_TRUE(rude.send(frame_of("whole") + frame_of("partial").substr(0, 2)));
  EXPECT_EQ(rude.receive_frame(), "whole");
  polite.close();
  rude.reset();
  EXPECT_TRUE(eventually([&] { return metrics().frames_cut == 2; }));
  EXPECT_TRUE(eventually([&] { return log().size() == 2; }));
  ASSERT_TRUE(other.send_frame("fine"));
  EXPECT_EQ(other.receive_frame(), "fine");
}

TEST_F(ServerTest, AnswersFromAnotherThreadFindTheirWay) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  serve({}, [&](Request request) -> Task<Response> {
    // Resumes on a thread that is no loop.
    struct Elsewhere : Executor {
      std::vector<std::thread>& threads;
      std::mutex& mutex;
      Elsewhere(std::vector<std::thread>& t, std::mutex& m) : threads(t), mutex(m) {}
      void post(Job job) override {
        const std::lock_guard lock(mutex);
        threads.emplace_back(std::move(job));
      }
    } elsewhere(threads, mutex);
    co_await hop(elsewhere);
    Response response;
    response.segments.append(request.bytes, request.frame);
    co_return response;
  });
  const Client client(port());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.send_frame(std::to_string(i)));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.receive_frame(), std::to_string(i));
  for (auto& thread : threads) thread.join();
}

TEST_F(ServerTest, AThousandConnections) {
  serve();
  std::vector<Client> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(port());
    ASSERT_TRUE(clients.back().connected());
  }
  for (size_t i = 0; i < clients.size(); ++i) ASSERT_TRUE(clients[i].send_frame("c" + std::to_string(i)));
  for (size_t i = 0; i < clients.size(); ++i) ASSERT_EQ(clients[i].receive_frame(), "c" + std::to_string(i));
  EXPECT_EQ(metrics().connections, 1000);
  clients.clear();
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(metrics().accepted, 1000u);
}

TEST_F(ServerTest, ListenersAreBoundOrNothingIs) {
  serve({}, nullptr,
        {{.name = "A", .port = 0}, {.name = "B", .host = "localhost", .port = 0, .advertised_host = "broker.example"}});
  const auto bound = server_->listeners();
  ASSERT_EQ(bound.size(), 2u);
  EXPECT_NE(bound[0].port, 0);
  EXPECT_NE(bound[0].port, bound[1].port);
  EXPECT_EQ(bound[0].advertised_host, "127.0.0.1");
  EXPECT_EQ(bound[1].advertised_host, "broker.example");
  EXPECT_EQ(bound[1].advertised_port, bound[1].port);

  Server twin(loops_,
              {.listeners = {{.name = "C", .port = 0}, {.name = "D", .port = bound[0].port}}, .limits = {}, .log = {}},
              [this](Request request) { return answer(std::move(request)); });
  const Status status = twin.start();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_NE(status.text().find("listener D cannot"), std::string::npos) << status.text();
}

TEST_F(ServerTest, B03_EveryLimitIsCheckedBeforeAnythingIsOpened) {
  const auto start_with = [&](auto&& change) {
    ServerOptions options{.listeners = {{.port = 0}}, .limits = {}, .log = {}};
    change(options);
    Server server(loops_, options, [this](Request request) { return answer(std::move(request)); });
    const Status status = server.start();
    EXPECT_EQ(status.code(), StatusCode::invalid);
    EXPECT_TRUE(server.listeners().empty());
    return status.text();
  };
  EXPECT_NE(start_with([](auto& o) { o.limits.max_frame_bytes = 0; }).find("socket.request.max.bytes"),
            std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.limits.max_frame_bytes = INT64_MAX; }).find("socket.request.max.bytes"),
            std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.limits.max_request_memory_bytes = -1; }).find("queued.max.request.bytes"),
            std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.limits.max_pipelined_requests = 0; }).find("max_pipelined_requests"),
            std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.limits.min_frame_bytes_per_second = 0; }).find("min_frame_bytes"),
            std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.listeners.clear(); }).find("no listener"), std::string::npos);
  EXPECT_NE(start_with([](auto& o) { o.listeners.push_back(o.listeners[0]); }).find("named PLAINTEXT"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::net
