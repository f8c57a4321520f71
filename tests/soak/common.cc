// SPDX-License-Identifier: Apache-2.0
#include "common.hpp"

#include <cstdio>
#include <memory>

namespace sluice::soak {

void Verdict::violated(const std::string& who, const std::string& what) {
  if (++all_ <= kMostTold) {
    fmt::print("VIOLATION {}: {}\n", who, what);
    std::fflush(stdout);
  }
  const std::lock_guard lock(mutex_);
  ++by_[who];
}

uint64_t Verdict::of(const std::string& who) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_.find(who);
  return found == by_.end() ? 0 : found->second;
}

void Figures::add(const BusStats& stats) {
  Figures more;
  more.offered = stats.offered;
  more.accepted = stats.accepted;
  more.delivered = stats.delivered;
  more.refused = stats.refused;
  more.unrouted = stats.unrouted;
  more.dropped = stats.dropped;
  more.scaled_up = stats.scaled_up;
  more.scaled_down = stats.scaled_down;
  add(more);
}

void Figures::add(const Figures& other) {
  buses += other.buses;
  offered += other.offered;
  accepted += other.accepted;
  delivered += other.delivered;
  refused += other.refused;
  unrouted += other.unrouted;
  dropped.newest += other.dropped.newest;
  dropped.oldest += other.dropped.oldest;
  dropped.sampled += other.dropped.sampled;
  dropped.refused += other.dropped.refused;
  dropped.failed += other.dropped.failed;
  dropped.abandoned += other.dropped.abandoned;
  scaled_up += other.scaled_up;
  scaled_down += other.scaled_down;
  ended_in_time += other.ended_in_time;
  ended_late += other.ended_late;
  destroyed += other.destroyed;
  kills += other.kills;
  stops += other.stops;
  restarts += other.restarts;
  read_back += other.read_back;
  undecided += other.undecided;
  subscribed += other.subscribed;
  passed += other.passed;
  seconds += other.seconds;
}

std::string Figures::text() const {
  std::string out = fmt::format(
      "{} buses, {} up, {} down; {} offered, {} accepted = {} delivered + dropped ({} newest, {} oldest, {} sampled, "
      "{} "
      "refused, {} failed, {} abandoned); {} not accepted; ended {} in time, {} late, {} destroyed",
      buses, scaled_up, scaled_down, offered, accepted, delivered, dropped.newest, dropped.oldest, dropped.sampled,
      dropped.refused, dropped.failed, dropped.abandoned, refused + unrouted, ended_in_time, ended_late, destroyed);
  if (kills + stops + restarts > 0) {
    out += fmt::format("; engine killed {}, stopped {}, restarted {}", kills, stops, restarts);
  }
  if (read_back > 0) out += fmt::format("; {} read back, {} of them undecided before", read_back, undecided);
  if (subscribed > 0) out += fmt::format("; subscribers got {}, {} gave way before", subscribed, passed);
  return out;
}

void check_sums(Verdict& verdict, const std::string& who, const BusStats& stats) {
  verdict.expect_equal(who, "accepted is not pending + delivered + dropped", stats.accepted,
                       stats.pending + stats.delivered + stats.dropped.all());
  verdict.expect_equal(who, "offered is not accepted + refused + unrouted", stats.offered,
                       stats.accepted + stats.refused + stats.unrouted);
}

uint64_t destroy(std::unique_ptr<Bus> bus) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const uint64_t before = Bus::lost_at_destruction();
  bus.reset();
  return Bus::lost_at_destruction() - before;
}

}  // namespace sluice::soak
