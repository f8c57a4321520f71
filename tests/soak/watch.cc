// SPDX-License-Identifier: Apache-2.0
#include "watch.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace sluice::soak {
namespace {

constexpr double kMostWarmUpSeconds = 300;
constexpr double kMebibyte = 1 << 20;

}  // namespace

Taking taking_now() {
  Taking now;
  std::ifstream memory("/proc/self/statm");
  uint64_t pages = 0;
  memory >> pages >> pages;
  now.rss_bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto entries = [](const char* folder) {
    uint64_t count = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) ++count;
    return count;
  };
  now.threads = entries("/proc/self/task");
  now.descriptors = entries("/proc/self/fd");
  return now;
}

std::string thread_names() {
  std::string names;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/task", error), end; !error && at != end;
       at.increment(error)) {
    std::ifstream file(at->path() / "comm");
    std::string name;
    file >> name;
    names += " " + name;
  }
  return names;
}

Watch::Watch(double seconds, bool brisk) : warm_up_s_(std::min(seconds / 10, kMostWarmUpSeconds)), brisk_(brisk) {}

void Watch::look(double at_s) {
  if (at_s < warm_up_s_) return;
  malloc_trim(0);  // what the allocator keeps for later is no growth
  const Taking now = taking_now();
  after_.push_back(now);
  most_.rss_bytes = std::max(most_.rss_bytes, now.rss_bytes);
  most_.threads = std::max(most_.threads, now.threads);
  most_.descriptors = std::max(most_.descriptors, now.descriptors);
}

Watch::Medians Watch::medians() const {
  const size_t third = after_.size() / 3;
  const auto median = [&](size_t from, size_t to, uint64_t Taking::*what) -> uint64_t {
    std::vector<uint64_t> values;
    for (size_t i = from; i < to; ++i) values.push_back(after_[i].*what);
    if (values.empty()) return 0;
    std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  Medians made;
  for (const auto what : {&Taking::rss_bytes, &Taking::threads, &Taking::descriptors}) {
    made.first.*what = median(0, third, what);
    made.last.*what = median(after_.size() - third, after_.size(), what);
  }
  return made;
}

void Watch::check(Verdict& verdict) const {
  const Medians at = medians();
  const auto grew = [&](const char* what, uint64_t first, uint64_t last, uint64_t limit) {
    if (last > first + limit) {
      verdict.violated("process", fmt::format("{} grew from {} to {}, by more than {}", what, first, last, limit));
    }
  };
  grew("memory", at.first.rss_bytes, at.last.rss_bytes, brisk_ ? kMaxBriskGrowthBytes : kMaxGrowthBytes);
  if (brisk_) return;  // too short for lanes to come and go evenly; what is left at the end is looked at all the same
  grew("threads", at.first.threads, at.last.threads, kMaxMoreThreads);
  grew("descriptors", at.first.descriptors, at.last.descriptors, kMaxMoreDescriptors);
}

std::string Watch::text() const {
  const Medians at = medians();
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / kMebibyte; };
  return fmt::format(
      "memory {:.1f} MiB after the warm-up, {:.1f} at the end (medians of thirds), {:.1f} at most; threads {}, {}, {}; "
      "descriptors {}, {}, {}",
      mib(at.first.rss_bytes), mib(at.last.rss_bytes), mib(most_.rss_bytes), at.first.threads, at.last.threads,
      most_.threads, at.first.descriptors, at.last.descriptors, most_.descriptors);
}

}  // namespace sluice::soak
