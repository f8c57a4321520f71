// SPDX-License-Identifier: Apache-2.0
// One listening socket. Accepts on one loop and hands each connection to the loop that has fewest. For sources of this
// folder alone. Loop thread only, but for open().
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "base/status.hpp"
#include "net/shared.hpp"

namespace sluice::net {

class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(AsioLoop& loop, std::shared_ptr<Shared> shared, ListenerOptions listener);

  /// Binds and listens. Before anything else, from any thread.
  Status open();
  /// The listener with its bound port and advertised address. After open().
  const ListenerOptions& listener() const { return *listener_; }
  /// Begins to accept.
  void run();
  /// No connection comes after this.
  void close();

 private:
  void accept_some();
  void place(int fd);
  void try_later(int error);

  AsioLoop& loop_;
  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<ListenerOptions> listener_;
  boost::asio::ip::tcp::acceptor acceptor_;
  size_t next_shard_ = 0;
  bool closed_ = false;
};

}  // namespace sluice::net
