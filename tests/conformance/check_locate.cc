// SPDX-License-Identifier: Apache-2.0
// Finding batches by time.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// What the contract says, the slow way.
int64_t expected(const std::vector<Batch>& batches, int64_t timestamp, int64_t end) {
  for (const Batch& batch : batches) {
    if (batch.timestamp >= timestamp) return batch.base;
  }
  return end;
}

void verify(Log& log, const std::vector<Batch>& batches, const std::vector<int64_t>& times, int64_t end) {
  for (const int64_t time : times) {
    const LocateAnswer answer = log.locate(time);
    expect_status(SLUICE_OK, answer, "locate");
    const int64_t wanted = expected(batches, time, end);
    require(answer.offset == wanted,
            "locate({}) gave {}: the first batch whose greatest timestamp is >= it begins at {}{}", time, answer.offset,
            wanted, wanted == end ? " (none: the end)" : "");
    require(answer.end == end, "locate says the log ends at {}, it ends at {}", answer.end, end);
  }
}

void rising(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  for (int i = 0; i < 300; ++i) {
    const Unit unit{make_batch(end + i % 2, end + i % 2 + i % 3, 10'000 + 10 * i)};
    end = log->must_append(0, end, unit);
    all.push_back(unit.front());
  }
  std::vector<int64_t> times{INT64_MIN, 0, 9'999, INT64_MAX};
  for (int64_t time = 10'000; time < 13'010; time += 5) times.push_back(time);
  verify(*log, all, times, end);
}

void not_monotone(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  const std::vector<int64_t> stamps{500, 100, 900, 200, 900, 950, 10, 940, 2'000, 1, 1'999, 2'001};
  int64_t end = 0;
  for (const int64_t stamp : stamps) {
    const Unit unit{make_batch(end, end + 2, stamp)};
    end = log->must_append(0, end, unit);
    all.push_back(unit.front());
  }
  std::vector<int64_t> times;
  for (const int64_t stamp : stamps) times.insert(times.end(), {stamp - 1, stamp, stamp + 1});
  verify(*log, all, times, end);
}

void random_times(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  std::vector<int64_t> times;
  for (int i = 0; i < 100; ++i) {
    Unit unit;
    for (int k = 0; k < 8; ++k) {
      const auto base = end + k;
      unit.push_back(make_batch(base, base, 1'000 + i * 20 + static_cast<int64_t>(context.random()() % 1'000), 100));
    }
    end = log->must_append(0, end, unit);
    all.insert(all.end(), unit.begin(), unit.end());
    times.push_back(1'000 + i * 30);
  }
  verify(*log, all, times, end);
}

void empty(Context& context) {
  FreshLog log(context, 42);
  verify(*log, {}, {0, 1'000, INT64_MAX}, 42);
}

void after_trim(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  // The greatest of all is among what goes.
  for (const int64_t stamp : {100, 9'000, 200, 300, 250, 400, 50}) {
    const Unit unit{make_batch(end, end, stamp)};
    end = log->must_append(0, end, unit);
    all.push_back(unit.front());
  }
  expect_status(SLUICE_OK, log->trim(0, 2), "trim");
  const BoundsAnswer bounds = log->bounds();
  const std::vector<Batch> left(all.begin() + bounds.start, all.end());
  verify(*log, left, {0, 200, 201, 251, 301, 400, 401, 9'000, 9'001}, end);
}

constexpr Check kChecks[] = {
    {"locate.rising",
     "The base offset of the first batch whose greatest timestamp is >= the one asked for; none: the end.", &rising},
    {"locate.not_monotone", "... also where timestamps do not rise with offsets.", &not_monotone},
    {"locate.random", "... and in units of several batches.", &random_times},
    {"locate.empty", "An empty log: OK with the end.", &empty},
    {"locate.after_trim", "Only batches that are there count.", &after_trim},
};

}  // namespace

std::span<const Check> locate_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
