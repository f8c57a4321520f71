// SPDX-License-Identifier: Apache-2.0
// Dropping from the front.
#include <algorithm>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

std::vector<Batch> fill(Log& log, size_t units, size_t size = 300) {
  std::vector<Batch> all;
  int64_t end = 0;
  for (size_t i = 0; i < units; ++i) {
    const Unit unit{make_batch(end, end + 2, 1'000, size), make_batch(end + 4, end + 4, 1'000, size)};
    end = log.must_append(0, end, unit);
    all.insert(all.end(), unit.begin(), unit.end());
  }
  return all;
}

// After a trim to `offset`: all at or above it is there, the start is at most it and at least the old one.
int64_t verify_trimmed(Log& log, const std::vector<Batch>& all, int64_t offset, int64_t start_before) {
  const int64_t end = all.back().last + 1;
  const BoundsAnswer bounds = log.bounds();
  expect_status(SLUICE_OK, bounds, "bounds");
  const int64_t most = std::max(start_before, std::min(offset, end));
  require(bounds.start <= most, "a trim to {} moved the start to {}", offset, bounds.start);
  require(bounds.start >= start_before, "a trim to {} moved the start back from {} to {}", offset, start_before,
          bounds.start);
  require(bounds.end == end, "a trim moved the end from {} to {}", end, bounds.end);
  std::vector<Batch> left(all.begin() + static_cast<ptrdiff_t>(first_at(all, most)), all.end());
  verify_content(log, left, most, end);
  if (bounds.start > 0) {
    expect_status(SLUICE_OUT_OF_RANGE, log.read(bounds.start - 1), "read below the start");
  }
  expect_status(SLUICE_OK, log.read(bounds.start), "read at the start");
  return bounds.start;
}

void moves(Context& context) {
  FreshLog log(context);
  const std::vector<Batch> all = fill(*log, 30);
  int64_t start = 0;
  for (const int64_t offset : {int64_t{0}, int64_t{3}, int64_t{5}, int64_t{6}, int64_t{9}, int64_t{71}, int64_t{100}}) {
    expect_status(SLUICE_OK, log->trim(0, offset), "trim");
    start = verify_trimmed(*log, all, offset, start);
  }
}

void never_back(Context& context) {
  FreshLog log(context);
  const std::vector<Batch> all = fill(*log, 10);
  expect_status(SLUICE_OK, log->trim(0, 20), "trim");
  int64_t start = verify_trimmed(*log, all, 20, 0);
  for (const int64_t offset : {int64_t{10}, int64_t{0}, int64_t{-5}}) {
    expect_status(SLUICE_OK, log->trim(0, offset), "trim to below the start");
    start = verify_trimmed(*log, all, offset, start);
  }
}

void never_past_end(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all = fill(*log, 10);
  const int64_t end = all.back().last + 1;
  expect_status(SLUICE_OK, log->trim(0, kMaxOffset), "trim to INT64_MAX");
  const BoundsAnswer bounds = log->bounds();
  require(bounds.end == end && bounds.start <= end,
          "after a trim to INT64_MAX the log goes from {} to {}, its end was {}", bounds.start, bounds.end, end);
  expect_status(SLUICE_OK, log->read(end), "read at the end of a log that was trimmed to it");
  expect_status(SLUICE_CONFLICT, log->append(0, 0, make_unit(0, 1)), "append at 0 of a log that was trimmed");
  const Unit unit = make_unit(end, 2);
  log->must_append(0, end, unit);
  verify_content(*log, unit, end, end + 2);
}

void tokens(Context& context) {
  FreshLog log(context);
  const std::vector<Batch> all = fill(*log, 10);
  expect_status(SLUICE_OK, log->fence(5), "fence");
  for (const uint64_t token : {uint64_t{0}, uint64_t{4}, uint64_t{6}}) {
    expect_status(SLUICE_FENCED, log->trim(token, 25), "trim with another token");
    const BoundsAnswer bounds = log->bounds();
    require(bounds.start == 0, "a fenced trim moved the start to {}", bounds.start);
  }
  verify_content(*log, all, 0, all.back().last + 1);
  expect_status(SLUICE_OK, log->trim(5, 25), "trim with the token in force");
}

void large(Context& context) {
  FreshLog log(context);
  const std::vector<Batch> all = fill(*log, 60, 40'000);
  int64_t start = 0;
  for (int64_t offset = 7; offset < 300; offset += 41) {
    expect_status(SLUICE_OK, log->trim(0, offset), "trim");
    start = verify_trimmed(*log, all, offset, start);
  }
}

constexpr Check kChecks[] = {
    {"trim.moves", "Whole batches below `offset` may go; the start moves to at most `offset`; all else stays.", &moves},
    {"trim.never_back", "The start never moves back.", &never_back},
    {"trim.never_past_end", "The start never moves past the end; the end is kept when the log is empty.",
     &never_past_end},
    {"trim.tokens", "Token as for append.", &tokens},
    {"trim.large", "... over more data than one block or segment of most engines.", &large},
};

}  // namespace

std::span<const Check> trim_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
