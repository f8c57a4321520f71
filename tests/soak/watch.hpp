// SPDX-License-Identifier: Apache-2.0
// What the process takes of the machine, over time: memory, threads, descriptors. After a warm-up it must not grow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common.hpp"

namespace sluice::soak {

struct Taking {
  uint64_t rss_bytes = 0;
  uint64_t threads = 0;
  uint64_t descriptors = 0;
};
/// Of this process, now.
Taking taking_now();
/// Of this process's threads, each with a space before it.
std::string thread_names();

/// One thread.
class Watch {
 public:
  // How much the median of the last third of the time after the warm-up may be above that of its first third.
  static constexpr uint64_t kMaxGrowthBytes = 48ull << 20;
  static constexpr uint64_t kMaxBriskGrowthBytes = 256ull << 20;  // of a run that is over before all has been met
  static constexpr uint64_t kMaxMoreThreads = 8;
  static constexpr uint64_t kMaxMoreDescriptors = 16;

  /// `seconds`: how long the run is. The warm-up is a tenth of it, five minutes at most.
  Watch(double seconds, bool brisk);

  /// To be called again and again, with the seconds since the beginning.
  void look(double at_s);
  void check(Verdict& verdict) const;
  std::string text() const;

 private:
  struct Medians {
    Taking first, last;
  };
  Medians medians() const;

  const double warm_up_s_;
  const bool brisk_;
  std::vector<Taking> after_;  // the warm-up
  Taking most_;                // after it
};

}  // namespace sluice::soak
