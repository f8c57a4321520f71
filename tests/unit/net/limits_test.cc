// SPDX-License-Identifier: Apache-2.0
// What bounds a server: memory, pipelining, slow and silent peers, numbers of connections.
#include <fstream>

#include "net_fixture.hpp"

namespace sluice::net {
namespace {

/// Resident memory of this process in bytes.
int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

std::string prefix_of(int32_t size) {
  std::string prefix(4, '\0');
  store_be(reinterpret_cast<uint8_t*>(prefix.data()), size);
  return prefix;
}

TEST_F(ServerTest, S12_AClaimedSizeTakesNoMemory) {
  serve();
  const Client warm_up(port());
  ASSERT_TRUE(warm_up.send_frame("x"));
  EXPECT_EQ(warm_up.receive_frame(), "x");
  const int64_t before = resident_bytes();

  const Client liar(port());
  ASSERT_TRUE(liar.send(prefix_of(INT32_MAX) + "x"));
  EXPECT_TRUE(liar.at_end());
  EXPECT_EQ(metrics().frames_too_large, 1u);
  EXPECT_EQ(server_->request_memory_bytes(), 0);

  const Client slow(port());
  ASSERT_TRUE(slow.send(prefix_of(100 << 20) + "0123456789"));
  ASSERT_TRUE(eventually([&] { return server_->request_memory_bytes() != 0; }));
  ASSERT_TRUE(eventually([&] { return metrics().bytes_in == 5 + 5 + 14; }));
  EXPECT_LT(server_->request_memory_bytes(), 1 << 20);
  EXPECT_LT(resident_bytes() - before, 1 << 20);
}

TEST_F(ServerTest, MemoryIsAccountedAsItArrives) {
  serve();
  const Client client(port());
  ASSERT_TRUE(client.send(prefix_of(8 << 20)));
  const std::string piece(1 << 20, 'x');
  for (int i = 1; i <= 7; ++i) {
    ASSERT_TRUE(client.send(piece));
    ASSERT_TRUE(eventually([&] { return server_->request_memory_bytes() >= i << 20; }));
    EXPECT_LE(server_->request_memory_bytes(), (2 * i + 1) << 20);
  }
}

TEST_F(ServerTest, ASpentBudgetPausesReadingAndAllIsServedInTheEnd) {
  serve({.max_request_memory_bytes = 1 << 20});
  std::vector<Client> clients;
  for (int i = 0; i < 8; ++i) clients.emplace_back(port());
  const std::string body = "hold" + std::string(600'000, 'x');
  std::vector<std::thread> senders;
  for (auto& client : clients) senders.emplace_back([&] { EXPECT_TRUE(client.send_frame(body)); });
  std::atomic<size_t> most{0};
  // Requests are answered only when the budget is spent and reading pauses.
  ASSERT_TRUE(eventually([&] { return metrics().budget_waits != 0 && held_.size() != 0; }));
  size_t answered = 0;
  ASSERT_TRUE(eventually([&] {
    most = std::max(most.load(), held_.size());
    EXPECT_LE(server_->request_memory_bytes(), (1 << 20) + 2 * 600'004);
    if (held_.answer(body, "ok")) ++answered;
    return answered == clients.size();
  }));
  for (auto& sender : senders) sender.join();
  for (auto& client : clients) EXPECT_EQ(client.receive_frame(), "ok");
  EXPECT_LT(most, clients.size());
  EXPECT_TRUE(eventually([&] { return server_->request_memory_bytes() == 0; }));
}

TEST_F(ServerTest, HalfReadFramesCannotLockEachOtherOut) {
  serve({.max_request_memory_bytes = 256 << 10});
  std::vector<Client> clients;
  for (int i = 0; i < 16; ++i) clients.emplace_back(port());
  const std::string body(1'000'000, 'x');
  std::vector<std::thread> clients_at_work;
  for (auto& client : clients) {
    clients_at_work.emplace_back([&] {
      for (int round = 0; round < 4; ++round) {
        ASSERT_TRUE(client.send_frame(body));
        ASSERT_TRUE(client.receive_frame() == body);
      }
    });
  }
  for (auto& client : clients_at_work) client.join();
  EXPECT_TRUE(eventually([&] { return server_->request_memory_bytes() == 0; }));
}

TEST_F(ServerTest, APeerThatLeavesWhileItWaitsForMemoryGivesItsPlaceUp) {
  serve({.max_request_memory_bytes = 64 << 10, .max_frame_ms = 2'000, .min_frame_bytes_per_second = 1 << 20});
  const Client holder(port());
  const std::string body = "hold" + std::string(100'000, 'x');
  ASSERT_TRUE(holder.send_frame(body));
  ASSERT_TRUE(eventually([&] { return held_.size() == 1; }));
  Client leaver(port());
  ASSERT_TRUE(leaver.send_frame("abc"));
  ASSERT_TRUE(eventually([&] { return metrics().budget_waits == 1; }));
  leaver.reset();
  const Client patient(port());
  ASSERT_TRUE(patient.send_frame("def"));
  ASSERT_TRUE(held_.answer(body, "done"));
  EXPECT_EQ(patient.receive_frame(), "def");
  EXPECT_EQ(holder.receive_frame(), "done");
  EXPECT_TRUE(eventually([&] { return server_->request_memory_bytes() == 0; }));
}

TEST_F(ServerTest, RequestsInFlightAreCapped) {
  serve({.max_pipelined_requests = 8});
  const Client client(port());
  std::string all;
  for (int i = 0; i < 30; ++i) all += frame_of("hold" + std::to_string(i));
  ASSERT_TRUE(client.send(all));
  ASSERT_TRUE(eventually([&] { return metrics().pipeline_waits != 0; }));
  EXPECT_EQ(held_.size(), 8u);
  EXPECT_EQ(metrics().requests, 8u);
  for (int i = 0; i < 30; ++i) {
    const std::string name = "hold" + std::to_string(i);
    ASSERT_TRUE(eventually([&] { return held_.answer(name, name); }));
    EXPECT_EQ(client.receive_frame(), name);
  }
}

TEST_F(ServerTest, ASlowReaderIsNotServedAhead) {
  const auto block = std::make_shared<std::string>(1 << 20, 'r');
  serve({.max_pipelined_requests = 1000, .max_queued_response_bytes = 4 << 20, .send_buffer_bytes = 256 << 10},
        [&](Request) -> Task<Response> {
          Response response;
          response.segments.append(as_bytes(*block), block);
          co_return response;
        });
  const Client client(port(), 256 << 10);
  std::string all;
  for (int i = 0; i < 40; ++i) all += frame_of("more");
  ASSERT_TRUE(client.send(all));
  ASSERT_TRUE(eventually([&] { return metrics().pipeline_waits != 0; }));
  // At most what may be queued, one more, and what the socket took.
  EXPECT_LE(metrics().requests, 12u);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(client.receive_frame() == *block);
  EXPECT_EQ(metrics().requests, 40u);
}

TEST_F(ServerTest, APeerThatNeverReadsIsClosed) {
  const auto block = std::make_shared<std::string>(32 << 20, 'r');
  serve({.max_write_stall_ms = 100}, [&](Request) -> Task<Response> {
    Response response;
    response.segments.append(as_bytes(*block), block);
    co_return response;
  });
  const Client client(port(), 64 << 10);
  ASSERT_TRUE(client.send_frame("all of it"));
  EXPECT_TRUE(eventually([&] { return metrics().closed_stalled == 1; }));
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(block.use_count(), 1);
  EXPECT_EQ(log().size(), 1u);
}

TEST_F(ServerTest, AFrameThatTakesTooLongIsClosed) {
  serve({.max_frame_ms = 100});
  const Client prefix(port()), body(port()), idle(port());
  ASSERT_TRUE(prefix.send(frame_of("late").substr(0, 2)));
  ASSERT_TRUE(body.send(frame_of("late").substr(0, 6)));
  EXPECT_TRUE(prefix.at_end());
  EXPECT_TRUE(body.at_end());
  EXPECT_EQ(metrics().frames_late, 2u);
  EXPECT_EQ(log().size(), 2u);
  ASSERT_TRUE(idle.send_frame("between frames there is time"));
  EXPECT_TRUE(idle.receive_frame().has_value());
}

TEST_F(ServerTest, AnIdleConnectionIsClosedAndABusyOneIsNot) {
  serve({.max_idle_ms = 1'000});
  const Client idle(port()), busy(port());
  ASSERT_TRUE(busy.send_frame("hold"));
  EXPECT_TRUE(idle.at_end());
  EXPECT_EQ(metrics().closed_idle, 1u);
  ASSERT_TRUE(held_.answer("hold", "still here"));
  EXPECT_EQ(busy.receive_frame(), "still here");
  EXPECT_TRUE(busy.at_end());
}

TEST_F(ServerTest, ConnectionsAreCounted) {
  serve({.max_connections = 3});
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(port());
    ASSERT_TRUE(clients.back().send_frame("in"));
    EXPECT_EQ(clients.back().receive_frame(), "in");
  }
  const Client refused(port());
  EXPECT_TRUE(refused.at_end());
  EXPECT_EQ(metrics().refused_max_connections, 1u);
  EXPECT_EQ(log().size(), 1u);
  clients.pop_back();
  ASSERT_TRUE(eventually([&] { return metrics().connections == 2; }));
  const Client again(port());
  ASSERT_TRUE(again.send_frame("in"));
  EXPECT_EQ(again.receive_frame(), "in");
}

TEST_F(ServerTest, ConnectionsOfOneAddressAreCounted) {
  serve({.max_connections_per_ip = 2});
  const Client one(port()), two(port()), three(port());
  EXPECT_TRUE(three.at_end());
  EXPECT_EQ(metrics().refused_max_connections_per_ip, 1u);
  ASSERT_TRUE(one.send_frame("in"));
  EXPECT_EQ(one.receive_frame(), "in");
}

TEST_F(ServerTest, LogLinesOfAFloodAreCountedNotWritten) {
  serve();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; ++i) {
    const Client client(port());
    ASSERT_TRUE(client.send(prefix_of(-5)));
    EXPECT_TRUE(client.at_end());
  }
  EXPECT_EQ(metrics().frames_negative, 300u);
  // A burst, and some a second after it.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin);
  EXPECT_LE(log().size(), 60u + 10u * static_cast<size_t>(seconds.count() + 1));
}

}  // namespace
}  // namespace sluice::net
