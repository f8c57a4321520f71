// SPDX-License-Identifier: Apache-2.0
// Asks sentinels where the master is now. Thread: reactor.
#pragma once

#include <string>
#include <vector>

#include "redis/link.hpp"

namespace sluice::redis {

class SentinelFinder final : public Finder {
 public:
  explicit SentinelFinder(Common& common) : common_(common), sentinels_(common.settings.addresses) {}

  /// The address that the first sentinel gives that can be asked and knows the name. Several may be under way at once.
  Task<Result<std::vector<Address>>> find(int64_t deadline_ns) override;
  void give_up() override;

 private:
  // One conversation with one sentinel.
  struct Talk {
    explicit Talk(Common& common)
        : connection(*common.reactor, common.settings.silence_ms, [](const Status&) {}),
          dialer(*common.reactor, common.reactor) {}
    Connection connection;
    Dialer dialer;
  };
  Task<Result<Address>> ask(Talk& talk, Address sentinel, int64_t deadline_ns);

  Common& common_;
  std::vector<Address> sentinels_;  // the one that answered last comes first
  std::vector<Talk*> talks_;
};

}  // namespace sluice::redis
