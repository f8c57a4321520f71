// SPDX-License-Identifier: Apache-2.0
// The graceful end of a server, and requests that outlive it.
#include "net_fixture.hpp"

namespace sluice::net {
namespace {

TEST_F(ServerTest, StopAnswersWhatWasBegun) {
  serve();
  const Client busy(port()), idle(port());
  ASSERT_TRUE(busy.send(frame_of("hold 1") + frame_of("hold 2")));
  ASSERT_TRUE(eventually([&] { return held_.size() == 2; }));
  bool clean = false;
  std::thread stopper([&] { clean = server_->stop(kPatienceMs); });
  EXPECT_TRUE(idle.at_end());
  EXPECT_TRUE(eventually([&] { return !Client(port()).connected(); }));
  static_cast<void>(busy.send_frame("late"));  // not begun any more
  ASSERT_TRUE(held_.answer("hold 2", "two"));
  ASSERT_TRUE(held_.answer("hold 1", "one"));
  EXPECT_EQ(busy.receive_frame(), "one");
  EXPECT_EQ(busy.receive_frame(), "two");
  EXPECT_TRUE(busy.at_end());
  stopper.join();
  EXPECT_TRUE(clean);
  EXPECT_EQ(metrics().requests, 2u);
}

TEST_F(ServerTest, StopTellsWhoWaits) {
  serve({}, [&](Request request) -> Task<Response> {
    co_await suspend_until<int>(request.loop(),
                                [&](Resumer<int> resume) { request.connection->on_close([resume] { resume(0); }); });
    Response response;
    response.segments.append(request.bytes, request.frame);
    co_return response;
  });
  const Client client(port());
  ASSERT_TRUE(client.send_frame("a long fetch"));
  ASSERT_TRUE(eventually([&] { return metrics().requests_in_flight == 1; }));
  EXPECT_TRUE(server_->stop(kPatienceMs));
  EXPECT_EQ(client.receive_frame(), "a long fetch");
}

TEST_F(ServerTest, StopFlushesWhatAPeerIsSlowToRead) {
  const auto block = std::make_shared<std::string>(16 << 20, 'r');
  serve({}, [&](Request) -> Task<Response> {
    Response response;
    response.segments.append(as_bytes(*block), block);
    co_return response;
  });
  const Client client(port(), 64 << 10);
  ASSERT_TRUE(client.send_frame("all"));
  ASSERT_TRUE(eventually([&] { return metrics().bytes_out != 0; }));
  bool clean = false;
  std::thread stopper([&] { clean = server_->stop(kPatienceMs); });
  EXPECT_TRUE(client.receive_frame() == *block);
  stopper.join();
  EXPECT_TRUE(clean);
}

TEST_F(ServerTest, StopCutsOffAfterItsDeadlineAndLateAnswersAreHarmless) {
  std::atomic<bool> ended{false};
  serve({}, [&](Request request) -> Task<Response> {
    Response response = co_await held_.hold(std::move(request));
    ended = true;
    co_return response;
  });
  const Client client(port());
  ASSERT_TRUE(client.send_frame("hold"));
  ASSERT_TRUE(eventually([&] { return held_.size() == 1; }));
  EXPECT_FALSE(server_->stop(50));
  EXPECT_FALSE(server_->stop(50));
  EXPECT_TRUE(client.at_end());
  server_.reset();
  EXPECT_TRUE(held_.answer("hold", "nobody hears"));
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

TEST_F(ServerTest, StopWithoutConnectionsIsImmediate) {
  serve();
  EXPECT_TRUE(server_->stop(0));
}

TEST_F(ServerTest, StopInTheMiddleOfTraffic) {
  serve();
  std::vector<std::thread> clients;
  std::atomic<int> answered{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, to = port()] {
      const Client client(to);
      while (client.send_frame("x") && client.receive_frame()) ++answered;
    });
  }
  ASSERT_TRUE(eventually([&] { return answered > 100; }));
  EXPECT_TRUE(server_->stop(kPatienceMs));
  for (auto& client : clients) client.join();
  EXPECT_EQ(metrics().connections, 0);
}

}  // namespace
}  // namespace sluice::net
