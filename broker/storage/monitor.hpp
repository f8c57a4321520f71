// SPDX-License-Identifier: Apache-2.0
// Watches how the storages are: a thread for each asks it for its health again and again, and starts it where it is not
// started, so that one that hangs keeps nobody else waiting. An engine that does not answer, and completes nothing
// either, is held off: calls on its logs are refused at once, instead of filling the broker with requests that wait for
// it, until it answers again. One that loses what it acknowledged, again and again, is told to be not well; its topics
// hold off by themselves. The storage of the broker's own logs is not held off when it hangs: without it nothing works
// anyway. It is when it was DURABLE and is no more, while another still is: then nothing may be acknowledged there.
//
// Any thread asks; start and stop belong to one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/status.hpp"
#include "storage/storages.hpp"

namespace sluice::storage {

/// How a storage was when it was last asked.
struct StorageHealth {
  bool well = false;
  bool held_off = false;
  std::string reason;     // why it is not well; empty when it is
  int64_t silent_ms = 0;  // since when it has not answered; 0: it has
};

struct MonitorOptions {
  int64_t well_pause_ms = 1'000;     // between two questions to a storage that is well
  int64_t ill_pause_ms = 100;        // ... that is not; what is back serves again within so much
  int64_t start_pause_ms = 500;      // between two tries to start one
  int64_t refused_pause_ms = 5'000;  // ... that refused it: its configuration, its credentials, another cluster's
  int64_t patience_ms = 2'000;       // an answer that takes longer: it is not well
  int64_t stall_ms = 5'000;          // ... and nothing else is answered meanwhile: it is held off
  int64_t tick_ms = 100;             // how often the two above are looked at
  uint64_t losses_failing = 3;       // reports that records are lost, ...
  int64_t losses_kept_ms =
      60'000;  // ... each within so long of the one before: it is failing, until none came for so long
};

class StorageMonitor {
 public:
  /// Ties a storage that came up late to the cluster, on the storage's own thread. [blocks] May run for as long as the
  /// storage hangs, also after stop().
  using Bind = std::function<Status(host::Storage& storage)>;

  /// `storages` outlives the constructor.
  StorageMonitor(Storages& storages, Bind bind, std::function<void(int level, const std::string& text)> log,
                 MonitorOptions options = {});
  ~StorageMonitor();
  StorageMonitor(const StorageMonitor&) = delete;
  StorageMonitor& operator=(const StorageMonitor&) = delete;

  void start();
  /// [blocks] Waits for questions under way for at most `deadline_ms`; threads of storages that do not answer are left
  /// to themselves, with what they need.
  void stop(int64_t deadline_ms);

  /// NOT well, with the reason, for a name that is not there.
  StorageHealth health(std::string_view storage) const;

 private:
  struct Watched;
  struct Shared;
  static void ask_forever(const std::shared_ptr<Shared>& shared, const std::shared_ptr<Watched>& watched);
  static void try_to_start(Shared& shared, Watched& watched);
  static void ask(Shared& shared, Watched& watched);
  static Status fits(const Shared& shared, const Watched& watched);
  static std::string count_losses(const MonitorOptions& options, Watched& watched);
  void tick_forever();

  const std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Watched>> watched_;
  std::thread ticker_;
};

}  // namespace sluice::storage
