// SPDX-License-Identifier: Apache-2.0
// The broker put together: storages, metadata, partitions, groups, network, admin. The only place that knows everyone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/options.hpp"
#include "base/status.hpp"
#include "base/task.hpp"

namespace sluice::app {

/// start, then stop; both block and are called by one thread.
class BrokerApp {
 public:
  /// `log`: a line for the operator, level as in the storage ABI. Any thread.
  BrokerApp(Options options, std::function<void(int level, const std::string& text)> log);
  /// stop().
  ~BrokerApp();

  /// Up to here nothing listens; afterwards clients are served. The error says what to do about it.
  Status start();
  /// Clients are let go, state is saved, storages are stopped, within the deadline of the options. True if all went as it should.
  bool stop();

  /// What was bound. After start.
  std::vector<net::ListenerOptions> listeners() const;
  uint16_t admin_port() const;

 private:
  struct Parts;
  void start_background();
  Task<void> load_shards();
  Task<void> load_shard(size_t index);

  Options options_;
  std::function<void(int, const std::string&)> log_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace sluice::app
