// SPDX-License-Identifier: Apache-2.0
// The seam between the network and whoever answers. The network hands over whole requests, in the order they came on
// their connection, and writes responses in that same order, whatever order they finish in.
#pragma once

#include <any>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "net/frame.hpp"
#include "net/segments.hpp"

namespace sluice::net {

/// Where to listen, and what to tell clients about it.
struct ListenerOptions {
  std::string name = "PLAINTEXT";
  std::string host = "127.0.0.1";    // an address, or a name that resolves to one
  uint16_t port = 9092;              // 0: any free one; a connection sees the one that was bound
  std::string advertised_host = {};  // empty: host
  uint16_t advertised_port = 0;      // 0: the bound port; a connection sees it filled in
};

using CloseId = uint64_t;

/// What handlers may know and keep about a connection. Outlives the socket for as long as somebody holds it. Loop
/// thread only, unless said otherwise.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection() = default;

  /// Unique in the life of the server, from 1. Any thread.
  uint64_t id() const { return id_; }
  /// The listener it came by, with bound port and advertised address filled in. Any thread.
  const ListenerOptions& listener() const { return *listener_; }
  /// A numeric address, without port ("127.0.0.1", "::1"). Any thread.
  const std::string& peer_host() const { return peer_host_; }
  uint16_t peer_port() const { return peer_port_; }
  /// The loop on which all of its requests run. Any thread.
  Loop& loop() const { return loop_; }

  /// A place for whoever answers requests: what is to be remembered for the length of the connection.
  std::any& slot() { return slot_; }

  /// The peer has stopped sending, or the connection is being closed: nobody may be there to hear an answer. What is
  /// answered at once may still arrive. Any thread.
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  /// Runs `job` once, on the loop, when closed() becomes true; at the next turn of the loop if it already is. At most
  /// one per waiting request makes sense: take it back with forget() when the request has its answer.
  CloseId on_close(Job job);
  /// Takes on_close() back. False if it ran, runs, or is not known.
  bool forget(CloseId id);

 protected:
  Connection(uint64_t id, std::shared_ptr<const ListenerOptions> listener, Loop& loop)
      : id_(id), listener_(std::move(listener)), loop_(loop) {}
  /// Sets closed() and runs what on_close() was given, which may call anything, this connection too. Later calls do
  /// nothing.
  void mark_closed();

  const uint64_t id_;
  const std::shared_ptr<const ListenerOptions> listener_;
  Loop& loop_;
  std::string peer_host_;
  uint16_t peer_port_ = 0;

 private:
  void run_close_jobs();

  std::any slot_;
  std::atomic<bool> closed_{false};
  CloseId next_close_id_ = 1;
  std::vector<std::pair<CloseId, Job>> on_close_;
};

/// One whole request. A view of `frame` may be kept for as long as a copy of the pointer is.
struct Request {
  FramePtr frame;
  MutableBytes bytes;  // the frame's bytes: request header and body, without the size prefix; never empty
  std::shared_ptr<Connection> connection;

  Loop& loop() const { return connection->loop(); }
};

/// The answer: response header and body, without the size prefix, which the network adds.
struct Response {
  SegmentChain segments;
  bool none = false;              // nothing is sent (produce with acks=0); its place in the order is simply passed
  bool close_connection = false;  // after this response has been sent; later requests of the connection go unanswered
};

/// Answers a request. Called on the connection's loop; runs there until it first waits, and only then (or when it has
/// ended) the next request of the connection is handed over. It should end on that loop; if it ends elsewhere, a post
/// is paid. Answers even when the connection has closed: the response is then dropped. It may outlive the server's
/// stop(), not the loops.
using Dispatch = std::function<Task<Response>(Request)>;

}  // namespace sluice::net
