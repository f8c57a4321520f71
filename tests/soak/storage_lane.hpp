// SPDX-License-Identifier: Apache-2.0
// Buses one after the other that deliver into one storage while its engine dies, hangs and comes back; after each, what
// the storage holds is compared with what was told.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "common.hpp"
#include "engines.hpp"
#include "ledger.hpp"

namespace sluice::soak {

class StorageLane {
 public:
  using Make = std::function<std::unique_ptr<Engine>()>;

  /// `rate`: events per second.
  StorageLane(std::string name, Terms terms, Make make, double rate)
      : name_(std::move(name)), terms_(terms), make_(std::move(make)), rate_(rate), random_(terms.seed) {}

  /// Until the time is over. The engine lives within.
  void run();

  const std::string& name() const { return name_; }
  const Tally& tally() const { return tally_; }
  Clock::time_point last_end() const { return last_end_; }

 private:
  void live_and_end(Engine& engine);
  BusOptions options();
  void disturb(Engine& engine, Bus& bus, Figures& figures);
  void outage(Engine& engine, Figures& figures);
  void end(Engine& engine, std::unique_ptr<Bus> bus, const Ledger& ledger, Figures& figures);
  void check_counts(const BusStats& stats, const LedgerSums& sums, const Status& ended);
  void compare(Engine& engine, Figures& figures);
  /// Counts a failure of what must work; true if it was one.
  bool failed(const Status& status, const char* where);

  const std::string name_;
  const Terms terms_;
  const Make make_;
  const double rate_;
  Random random_;
  Tally tally_;
  uint32_t buses_ = 0;
  std::deque<std::shared_ptr<Ledger>> ledgers_;  // of the last buses, the newest last
  std::atomic<Clock::time_point> last_end_{Clock::now()};
};

}  // namespace sluice::soak
