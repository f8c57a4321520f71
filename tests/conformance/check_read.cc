// SPDX-License-Identifier: Apache-2.0
// What a read gives.
#include <algorithm>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// Offsets 3 to 60 with gaps in front, inside, and batches of several records.
struct Sample {
  explicit Sample(Context& context) : log(context) {
    const Unit first{make_batch(3, 5, 1'000, 200), make_batch(6, 6, 1'000, 300), make_batch(10, 19, 1'000, 61, 0)};
    const Unit second{make_batch(20, 20, 1'000, 5'000), make_batch(30, 44, 1'000, 250)};
    const Unit third{make_batch(45, 45, 1'000, 400), make_batch(46, 60, 1'000, 100)};
    int64_t at = 0;
    for (const Unit& unit : {first, second, third}) {
      at = log->must_append(0, at, unit);
      batches.insert(batches.end(), unit.begin(), unit.end());
    }
    end = at;
  }
  FreshLog log;
  std::vector<Batch> batches;
  int64_t end = 0;
};

void every_offset(Context& context) {
  Sample sample(context);
  for (int64_t offset = 0; offset < sample.end; ++offset) {
    for (const uint64_t max_bytes : {uint64_t{1}, uint64_t{1'000}, kNoMaximum}) {
      const ReadAnswer answer = sample.log->read(offset, kNoLimit, max_bytes);
      expect_status(SLUICE_OK, answer, "read");
      const size_t first = first_at(sample.batches, offset);
      require(!answer.lease.empty(), "read at {} gave nothing", offset);
      const size_t count = match_batches(answer.lease.bytes(), sample.batches, first, "read");
      require(answer.next == sample.batches[first + count - 1].last + 1, "read at {}: next is {}", offset, answer.next);
      require(answer.start == 0 && answer.end == sample.end, "read says the log goes from {} to {}", answer.start,
              answer.end);
    }
  }
}

void limit(Context& context) {
  Sample sample(context);
  for (int64_t offset = 0; offset <= sample.end; offset += 1) {
    const size_t first = first_at(sample.batches, offset);
    for (int64_t limit = 0; limit <= sample.end + 1; ++limit) {
      const ReadAnswer answer = sample.log->read(offset, limit);
      expect_status(SLUICE_OK, answer, "read");
      if (answer.lease.empty()) {
        require(answer.next == offset, "read at {} below {} gave nothing and next {}", offset, limit, answer.next);
        require(first == sample.batches.size() || sample.batches[first].last >= limit,
                "read at {} below {} gave nothing, but the batch {}..{} is wholly below", offset, limit,
                sample.batches[first].base, sample.batches[first].last);
        continue;
      }
      const size_t count = match_batches(answer.lease.bytes(), sample.batches, first, "read below a limit");
      const Batch& last = sample.batches[first + count - 1];
      require(last.last < limit, "read above the limit: limit {} is exclusive, and the batch {}..{} came", limit,
              last.base, last.last);
    }
  }
  const ReadAnswer all = sample.log->read(0, kMaxOffset);
  require(!all.lease.empty(), "a read with limit INT64_MAX gave nothing");
}

void sizes(Context& context) {
  Sample sample(context);
  for (const uint64_t max_bytes : {uint64_t{0}, uint64_t{1}, uint64_t{200}, uint64_t{499}, uint64_t{500}, uint64_t{561},
                                   uint64_t{5'561}, uint64_t{6'000}, uint64_t{100'000}, kNoMaximum}) {
    for (size_t first = 0; first < sample.batches.size(); ++first) {
      const ReadAnswer answer = sample.log->read(sample.batches[first].base, kNoLimit, max_bytes);
      expect_status(SLUICE_OK, answer, "read");
      const std::vector<uint8_t> bytes = answer.lease.bytes();
      const size_t count = match_batches(bytes, sample.batches, first, "read");
      require(count >= 1, "at least one batch comes, whatever its size; max_bytes {} gave none", max_bytes);
      require(count == 1 || bytes.size() <= max_bytes, "max_bytes is {}, {} batches with {} bytes came", max_bytes,
              count, bytes.size());
    }
  }
}

void at_end(Context& context) {
  Sample sample(context);
  for (const uint64_t max_bytes : {uint64_t{0}, kNoMaximum}) {
    const ReadAnswer answer = sample.log->read(sample.end, kNoLimit, max_bytes);
    expect_status(SLUICE_OK, answer, "read at the end");
    require(answer.lease.empty() && answer.next == sample.end, "read at the end: next is {}, or something came",
            answer.next);
  }
  FreshLog empty(context, 7);
  const ReadAnswer answer = empty->read(7);
  expect_status(SLUICE_OK, answer, "read of an empty log");
  require(answer.lease.empty() && answer.next == 7 && answer.start == 7 && answer.end == 7, "read of an empty log");
}

void out_of_range(Context& context) {
  FreshLog log(context, 100);
  log->must_append(0, 100, make_unit(100, 5));
  for (const int64_t offset : {int64_t{-1}, int64_t{0}, int64_t{99}, int64_t{106}, kMaxOffset}) {
    const ReadAnswer answer = log->read(offset);
    require(answer.status == SLUICE_OUT_OF_RANGE, "read at {} of a log from 100 to 105 answered {}", offset,
            status_text(answer.status));
    require(answer.start == 100 && answer.end == 105, "OUT_OF_RANGE carries {} to {}, the log goes from 100 to 105",
            answer.start, answer.end);
    require(answer.lease.empty(), "OUT_OF_RANGE lends something");
  }
}

void flags(Context& context) {
  FreshLog log(context);
  expect_status(SLUICE_INVALID, log->read(0, kNoLimit, kNoMaximum, 1), "read with an unknown flag");
}

void read_on(Context& context) {
  FreshLog log(context);
  std::vector<Batch> all;
  int64_t end = 0;
  for (int i = 0; i < 200; ++i) {
    Unit unit;
    int64_t base = end + static_cast<int64_t>(context.random()() % 3);
    const size_t count = 1 + context.random()() % 5;
    for (size_t k = 0; k < count; ++k) {
      const auto records = static_cast<int64_t>(1 + context.random()() % 7);
      unit.push_back(make_batch(base, base + records - 1, 1'000 + i, 61 + context.random()() % 9'000));
      base += records + static_cast<int64_t>(context.random()() % 2);
    }
    end = log->must_append(0, end, unit);
    all.insert(all.end(), unit.begin(), unit.end());
  }
  for (const uint64_t max_bytes : {uint64_t{0}, uint64_t{10'000}, uint64_t{300'000}, kNoMaximum}) {
    verify_content(*log, all, 0, end, max_bytes);
  }
}

constexpr Check kChecks[] = {
    {"read.every_offset",
     "Whole batches from the one that holds `offset`; in a gap: the next. `next` is where to read on.", &every_offset},
    {"read.limit",
     "limit is exclusive: only batches wholly below it come; nothing below it: OK, no slice, next = offset.", &limit},
    {"read.sizes", "B11: At least one batch comes, whatever its size; max_bytes else holds; UINT64_MAX is legal.",
     &sizes},
    {"read.at_end", "At the end: OK, no slice, next = offset.", &at_end},
    {"read.out_of_range", "Below the start or above the end: OUT_OF_RANGE, with start and end.", &out_of_range},
    {"read.flags", "An unknown flag is refused with SLUICE_INVALID.", &flags},
    {"read.on", "Reading on from `next` gives every batch once, in order.", &read_on},
};

}  // namespace

std::span<const Check> read_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
