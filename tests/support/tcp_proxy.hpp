// SPDX-License-Identifier: Apache-2.0
// A proxy between a client and a server, both on the loopback, that can keep requests and replies back, delay them,
// forget them, and cut connections. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluice::test {

class TcpProxy {
 public:
  /// Forwards connections to a port of the loopback.
  explicit TcpProxy(uint16_t target);
  /// Cuts everything.
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  uint16_t port() const { return port_; }
  /// What the server says from now on waits here, until it is let through, in order, or cut off with the connection.
  void hold_replies(bool hold) { hold_ = hold ? Hold::all : Hold::none; }
  /// ... only on connections whose client said `said` when it introduced itself.
  void hold_replies_to(const std::string& said);
  /// What the server says from now on takes so long to arrive; 0: no longer.
  void delay_replies(int64_t ms) { delay_ms_ = ms; }
  /// What clients say from now on, on connections that there are, waits here, also when they close them: as in the
  /// buffers of a server that is stopped. New connections pass.
  void hold_requests();
  /// ... and reaches the server now, late.
  void release_requests();
  /// Connections on which a server has not answered what was kept back.
  uint64_t owed() const { return owed_; }
  /// Connections that clients made, since the beginning; also those that the server did not take.
  uint64_t accepted() const { return accepted_; }
  /// Bytes that clients sent and that were passed on, since the beginning.
  uint64_t forwarded() const { return forwarded_; }
  /// Bytes of the server's that are kept back.
  uint64_t held() const { return held_; }
  /// Closes all connections, with what was kept back; new ones are taken.
  void cut();

 private:
  struct Pair {
    int client;
    int server;
    std::string opening;  // the first of what the client said
    std::atomic<bool> over{false};
    std::atomic<bool> stuck{false};  // requests are kept
    bool owed = false;               // requests were kept, and nothing came back since; only its thread's
    std::thread thread;
  };
  void accept_forever();
  void forward(Pair& pair);
  bool holds(const Pair& pair);

  const uint16_t target_;
  uint16_t port_ = 0;
  int listener_ = -1;
  enum class Hold { none, some, all };
  std::atomic<Hold> hold_{Hold::none};
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> delay_ms_{0};
  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> forwarded_{0};
  std::atomic<uint64_t> held_{0};
  std::atomic<uint64_t> owed_{0};
  std::mutex mutex_;
  std::list<Pair> pairs_;  // guarded by mutex_
  std::string held_name_;  // guarded by mutex_
  std::thread acceptor_;
};

}  // namespace sluice::test
