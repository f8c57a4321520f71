// SPDX-License-Identifier: Apache-2.0
// Appends that must succeed.
#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void bytes_unchanged(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  for (const size_t size : {61, 62, 100, 4095, 4096, 4097, 65535, 65536, 65537, 100'000, 1 << 20, (1 << 20) + 1, 61}) {
    const Unit unit{make_batch(end, end, 1'000, context.unit_bytes(size))};
    end = log->must_append(0, end, unit);
    all.push_back(unit.front());
    verify_content(*log, all, 0, end);
  }
}

void whole_unit(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  for (const size_t count : {2, 3, 10, 200}) {
    const Unit unit = make_unit(end, count, 150);
    const AppendAnswer answer = log->append(0, end, unit);
    expect_status(SLUICE_OK, answer, "append");
    const int64_t behind = unit.back().last + 1;
    const BoundsAnswer bounds = log->bounds();
    require(bounds.end == behind,
            "a unit of {} batches was answered OK and applied in part: the log ends at {}, not at {}", count,
            bounds.end, behind);
    require(answer.end == behind, "append: the end behind the unit is {}, the answer says {}", behind, answer.end);
    all.insert(all.end(), unit.begin(), unit.end());
    end = behind;
    verify_content(*log, all, 0, end);
  }
}

void large_unit(Context& context) {
  FreshLog log(context);
  const size_t batch = size_t{1} << 20;
  const size_t count = context.unit_bytes(16 * batch) / batch;
  if (count < 2) throw Inapplicable("the largest unit is below 2 MiB");
  const Unit first = make_unit(0, count, batch);
  int64_t end = log->must_append(0, 0, first);
  const Unit second = make_unit(end, 3, 70'000);
  end = log->must_append(0, end, second);
  std::vector<Batch> all = first;
  all.insert(all.end(), second.begin(), second.end());
  verify_content(*log, all, 0, end);
  verify_content(*log, all, 0, end, batch * 3 / 2);
}

void gaps(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  // A gap in front, inside the unit, between units, and a large one.
  const Unit first{make_batch(5, 7), make_batch(8, 8), make_batch(20, 29)};
  int64_t end = log->must_append(0, 0, first);
  const Unit second{make_batch(30, 30)};
  end = log->must_append(0, end, second);
  const Unit third{make_batch(int64_t{1} << 40, (int64_t{1} << 40) + 3)};
  end = log->must_append(0, end, third);
  for (const Unit& unit : {first, second, third}) all.insert(all.end(), unit.begin(), unit.end());
  verify_content(*log, all, 0, end);
  for (const int64_t in_gap : {0, 4, 9, 19}) {
    const ReadAnswer answer = log->read(in_gap, kNoLimit, 1);
    expect_status(SLUICE_OK, answer, "read in a gap");
    match_batches(answer.lease.bytes(), all, first_at(all, in_gap), "read in a gap");
    require(!answer.lease.empty(), "read at {}, in a gap, gave nothing", in_gap);
  }
}

void empty_batches(Context& context) {
  FreshLog log(context);
  const Unit unit{make_batch(0, 9, 1'000, 61, 0), make_batch(10, 10), make_batch(11, 30, 2'000, 61, 0)};
  log->must_append(0, 0, unit);
  verify_content(*log, unit, 0, 31);
  verify_content(*log, unit, 25, 31);
}

void large_offsets(Context& context) {
  FreshLog log(context, kMaxOffset - 100);
  std::vector<Batch> all;
  int64_t end = kMaxOffset - 100;
  for (const int64_t last : {kMaxOffset - 100, kMaxOffset - 51, kMaxOffset - 50, kMaxOffset - 2, kMaxOffset - 1}) {
    const Unit unit{make_batch(end, last)};
    end = log->must_append(0, end, unit);
    all.push_back(unit.front());
  }
  require(end == kMaxOffset, "the log should end at INT64_MAX");
  verify_content(*log, all, kMaxOffset - 100, kMaxOffset);
  const ReadAnswer last = log->read(kMaxOffset - 1);
  expect_status(SLUICE_OK, last, "read at INT64_MAX - 1");
  match_batches(last.lease.bytes(), all, 4, "read at INT64_MAX - 1");
  require(!last.lease.empty() && last.next == kMaxOffset, "read at INT64_MAX - 1 gave nothing");
  expect_status(SLUICE_OUT_OF_RANGE, log->read(0), "read far below the start");
}

void one_batch_units(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  for (int64_t end = 0; end < 1'000; ++end) {
    const Unit unit = make_unit(end, 1, 80);
    log->must_append(0, end, unit);
    all.push_back(unit.front());
  }
  verify_content(*log, all, 0, 1'000, 10'000);
}

void sync_flag(Context& context) {
  FreshLog log(context);
  const Unit unit = make_unit(0, 2);
  expect_status(SLUICE_OK, log->append(0, 0, unit, SLUICE_APPEND_SYNC), "append with SYNC");
  verify_content(*log, unit, 0, 2);
}

void bounds(Context& context) {
  FreshLog log(context);
  const BoundsAnswer empty = log->bounds();
  require(empty.bytes == 0 || empty.bytes == SLUICE_UNKNOWN_NUMBER, "an empty log has {} bytes", empty.bytes);
  const Unit unit{make_batch(0, 4, 5'000, 300), make_batch(5, 5, 9'000, 200), make_batch(6, 8, 7'000, 100)};
  log->must_append(0, 0, unit);
  const BoundsAnswer answer = log->bounds();
  expect_status(SLUICE_OK, answer, "bounds");
  require(answer.start == 0 && answer.end == 9, "the log goes from {} to {}", answer.start, answer.end);
  require(answer.token == 0, "the token is {}", answer.token);
  require(answer.bytes == 600 || answer.bytes == SLUICE_UNKNOWN_NUMBER, "600 bytes are stored, bounds says {}",
          answer.bytes);
  require(answer.newest_timestamp == 9'000 || answer.newest_timestamp == SLUICE_UNKNOWN_NUMBER,
          "the greatest timestamp is 9000, bounds says {}", answer.newest_timestamp);
  require((answer.capabilities & ~context.condition().capabilities) == 0, "the log claims more than the storage");
}

constexpr Check kChecks[] = {
    {"append.bytes_unchanged", "B34: Stores a unit at the end, bytes unchanged; what a request points to is not kept.",
     &bytes_unchanged},
    {"append.whole_unit", "All or nothing: after OK the whole unit is there, and `end` is behind it.", &whole_unit},
    {"append.large_unit", "A unit may be as large as the largest unit; batches of 1 MiB are ordinary.", &large_unit},
    {"append.many_units", "Units follow each other at the end.", &one_batch_units},
    {"append.gaps", "A base offset above `at`, or above the last before, is a gap that is asked for.", &gaps},
    {"append.empty_batches", "A batch may hold no record; last_offset >= base_offset also then.", &empty_batches},
    {"append.large_offsets", "B11: Offsets go up to INT64_MAX - 1, the end to INT64_MAX.", &large_offsets},
    {"append.sync", "APPEND_SYNC is a known flag.", &sync_flag},
    {"bounds.values",
     "bounds: start, end, token; bytes and newest timestamp exactly or as unknown; capabilities of this log.", &bounds},
};

}  // namespace

std::span<const Check> append_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
