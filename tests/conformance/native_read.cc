// SPDX-License-Identifier: Apache-2.0
// NATIVE: reads, bounds, locate, trim and watch.
#include <chrono>
#include <thread>

#include "conformance/native_world.hpp"

namespace sluice::conformance {
namespace {

std::vector<PlacedRecord> fill(NativeLog& log, int units, size_t records, size_t size = 0) {
  std::vector<PlacedRecord> all;
  for (int i = 0; i < units; ++i) {
    const auto placed = log.must_append(numbered(fmt::format("u{}", i), records, size));
    all.insert(all.end(), placed.begin(), placed.end());
  }
  return all;
}

std::vector<PlacedRecord> from(const std::vector<PlacedRecord>& all, int64_t offset) {
  std::vector<PlacedRecord> rest;
  for (const PlacedRecord& placed : all) {
    if (placed.offset >= offset) rest.push_back(placed);
  }
  return rest;
}

void every_offset(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 6, 5);
  for (const PlacedRecord& placed : all) {
    expect_records(from(all, placed.offset), log->read_all(placed.offset), "read from every offset");
    const NativeReadAnswer answer = log->must_read(placed.offset);
    require(!answer.records.empty(), "a read at {}, where a record is, gave nothing", placed.offset);
  }
  // Where a gap is, the next record comes.
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i].offset == all[i - 1].offset + 1) continue;
    const NativeReadAnswer answer = log->must_read(all[i].offset - 1);
    require(!answer.records.empty() && answer.records.front().offset == all[i].offset,
            "a read in the gap before {} did not give what follows", all[i].offset);
    break;
  }
}

void reading_on(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 30, 20, 100);
  for (const uint64_t max_bytes : {uint64_t{1}, uint64_t{1'000}, uint64_t{64} << 10, kNoMaximum}) {
    expect_records(all, log->read_all(all.front().offset, max_bytes), "reading on from `next`");
  }
}

void limit(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 3, 4);
  for (size_t i = 0; i < all.size(); i += 3) {
    for (size_t j = i; j < all.size(); j += 2) {
      const NativeReadAnswer answer = log->must_read(all[i].offset, all[j].offset);
      for (const PlacedRecord& placed : answer.records) {
        require(placed.offset < all[j].offset, "the record at {} came, the limit was {}", placed.offset, all[j].offset);
      }
      if (i == j)
        require(answer.records.empty() && answer.next == all[i].offset, "a limit at the offset gave something");
      if (i < j) require(!answer.records.empty(), "nothing came from {} below {}", all[i].offset, all[j].offset);
    }
  }
}

void sizes(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 4, 10, 2'000);
  for (const uint64_t max_bytes : {uint64_t{0}, uint64_t{1}, uint64_t{2'500}, uint64_t{10'000}, kNoMaximum}) {
    const NativeReadAnswer answer = log->must_read(all.front().offset, kNoLimit, max_bytes);
    require(!answer.records.empty(), "with {} bytes asked for nothing came: at least one batch comes", max_bytes);
  }
}

void at_end(Context& context) {
  FreshNative log(context);
  const BoundsAnswer empty = log->must_bounds();
  require(empty.start == empty.end, "a new log is not empty: {} to {}", empty.start, empty.end);
  NativeReadAnswer answer = log->read(empty.end);
  expect_status(SLUICE_OK, answer, "read of an empty log");
  require(answer.records.empty() && answer.next == empty.end, "a read of an empty log gave something, or moved");
  const auto all = fill(*log, 2, 3);
  const int64_t end = log->must_bounds().end;
  require(end > all.back().offset, "the end {} is not behind the last record, at {}", end, all.back().offset);
  answer = log->read(end);
  expect_status(SLUICE_OK, answer, "read at the end");
  require(answer.records.empty() && answer.next == end, "a read at the end gave something, or moved");
  // ... and what comes then is found from there.
  const auto more = log->must_append(numbered("more", 2));
  const NativeReadAnswer found = log->must_read(end);
  require(!found.records.empty() && found.records.front().offset == more.front().offset,
          "what was appended at the end is not found by reading on from there");
}

void out_of_range(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 1, 3);
  const BoundsAnswer bounds = log->must_bounds();
  std::vector<int64_t> wrong{bounds.end + 1, bounds.end + 1'000, INT64_MAX};
  if (bounds.start > 0) wrong.push_back(bounds.start - 1);
  for (const int64_t offset : wrong) {
    const NativeReadAnswer answer = log->read(offset);
    expect_status(SLUICE_OUT_OF_RANGE, answer, "read outside of the log");
    require(answer.start == bounds.start && answer.end == bounds.end,
            "OUT_OF_RANGE says {} to {}, the log is from {} to {}", answer.start, answer.end, bounds.start, bounds.end);
  }
  expect_records(all, log->read_all(all.front().offset), "after OUT_OF_RANGE");
}

void bounds(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 3, 3);
  const BoundsAnswer answer = log->must_bounds();
  require(answer.start <= all.front().offset, "the start {} is behind the first record", answer.start);
  require(answer.end == all.back().offset + 1, "the end is {}, the last record at {}", answer.end, all.back().offset);
  require((answer.capabilities & ~context.plugin().capabilities) == 0, "the log has more capabilities than the entry");
  const int64_t newest = all[2].record.timestamp;
  require(answer.newest_timestamp == SLUICE_UNKNOWN_NUMBER || answer.newest_timestamp == newest,
          "the newest timestamp is {}, it should be {} or unknown", answer.newest_timestamp, newest);
  require(answer.bytes == SLUICE_UNKNOWN_NUMBER || answer.bytes > 0, "a log of {} bytes", answer.bytes);
}

void locate(Context& context) {
  FreshNative log(context);
  std::vector<PlacedRecord> all;
  constexpr int64_t kFirst = 1'600'000'000'000;
  for (int i = 0; i < 10; ++i) {
    Record record{kFirst + i * 100, "k", fmt::format("{}", i), {}};
    const auto placed = log->must_append({record});
    all.push_back(placed.front());
  }
  const int64_t end = log->must_bounds().end;
  for (int64_t time = kFirst - 100; time <= kFirst + 1'000; time += 50) {
    int64_t wanted = end;
    for (const PlacedRecord& placed : all) {
      if (placed.record.timestamp >= time) {
        wanted = placed.offset;
        break;
      }
    }
    const LocateAnswer answer = log->raw().locate(time);
    expect_status(SLUICE_OK, answer, "locate");
    require(answer.offset == wanted, "locate({}) is {}, the first record at or after it is at {}", time, answer.offset,
            wanted);
  }
  FreshNative empty(context);
  const LocateAnswer answer = empty->raw().locate(kFirst);
  expect_status(SLUICE_OK, answer, "locate in an empty log");
  require(answer.offset == answer.end, "locate in an empty log is {}, its end {}", answer.offset, answer.end);
}

void trim(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 4, 5);
  const int64_t cut = all[7].offset;
  const Answer trimmed = log->raw().trim(0, cut);
  if (trimmed.status == SLUICE_UNSUPPORTED || trimmed.status == SLUICE_DENIED) throw Inapplicable(trimmed.text);
  expect_status(SLUICE_OK, trimmed, "trim");
  const BoundsAnswer after = log->must_bounds();
  require(after.start <= cut, "a trim to {} moved the start to {}", cut, after.start);
  require(after.end == all.back().offset + 1, "a trim moved the end to {}", after.end);
  expect_records(from(all, cut), log->read_all(cut), "after a trim");
  if (after.start > 0) {
    const NativeReadAnswer below = log->read(after.start - 1);
    expect_status(SLUICE_OUT_OF_RANGE, below, "read below the start");
    require(below.start == after.start, "OUT_OF_RANGE says that the start is {}, it is {}", below.start, after.start);
  }
  expect_status(SLUICE_OK, log->raw().trim(0, 0), "trim below the start");
  require(log->must_bounds().start == after.start, "the start moved back");
  expect_status(SLUICE_OK, log->raw().trim(0, after.end + 1'000), "trim beyond the end");
  const BoundsAnswer emptied = log->must_bounds();
  require(emptied.start <= emptied.end && emptied.end == after.end, "a trim beyond the end gave {} to {}",
          emptied.start, emptied.end);
  const auto more = log->must_append(numbered("more", 2));
  expect_records(more, log->read_all(more.front().offset), "after everything was trimmed");
  // Who has read all that went stands at what was the end, and misses nothing.
  expect_records(more, log->read_all(after.end), "read from where everything ended that was trimmed");
}

void watch(Context& context) {
  FreshNative log(context);
  const auto all = fill(*log, 1, 2);
  auto passed = log->send_watch(all.front().offset);
  const sluice_status first = passed->wait();
  if (first == SLUICE_UNSUPPORTED) throw Inapplicable(passed->text());
  require(first == SLUICE_OK, "a watch below the end answered {}: {}", status_text(first), passed->text());
  passed->retire();
  for (int round = 0; round < 3; ++round) {
    const int64_t at = log->must_bounds().end;
    auto here = log->send_watch(at);
    auto further = log->send_watch(at + 1);
    // Another storage object plays another process.
    auto other = context.another();
    other->must_start();
    NativeLog writer(*other, log.descriptor);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    require(!here->answered(), "a watch at the end was answered though nothing was written: {}", here->text());
    writer.must_append(numbered("one", 1));
    require(here->wait() == SLUICE_OK, "a watch answered {}: {}", status_text(here->wait()), here->text());
    here->retire();
    const NativeReadAnswer read = log->must_read(at);
    require(!read.records.empty(), "after a watch at {} nothing is to be read there", at);
    writer.must_append(numbered("two", 3));
    require(further->wait() == SLUICE_OK, "a watch behind the end answered {}", status_text(further->wait()));
    further->retire();
  }
}

void watch_ends(Context& context) {
  const auto ended = [](const std::shared_ptr<Call>& call, const char* by) {
    const sluice_status status = call->wait();
    require(status == SLUICE_UNAVAILABLE || (by[0] == 'd' && status == SLUICE_NOT_FOUND),
            "{} ended a watch with {}: {}", by, status_text(status), call->text());
    call->retire();
  };
  {
    FreshNative log(context);
    auto call = log->send_watch(log->must_bounds().end);
    if (call->answered() && call->wait() == SLUICE_UNSUPPORTED) throw Inapplicable(call->text());
    log.log->raw().close();
    ended(call, "close");
  }
  {
    FreshNative log(context);
    auto call = log->send_watch(log->must_bounds().end);
    expect_status(SLUICE_OK, context.storage().delete_log(log.descriptor), "delete_log");
    ended(call, "delete_log");
  }
  FreshNative log(context);
  auto call = log->send_watch(log->must_bounds().end);
  expect_status(SLUICE_OK, context.storage().stop(), "stop");
  ended(call, "stop");
}

constexpr uint32_t kNative = SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"native.read_every_offset", "Records from `offset` on; in a gap: the next.", &every_offset, kNative},
    {"native.reading_on", "B28: Reading on from `next` gives every record once, in order.", &reading_on, kNative},
    {"native.limit", "limit is exclusive; nothing below it: OK, no slice.", &limit, kNative},
    {"native.sizes", "B11: At least one batch comes, whatever its size; max_bytes else holds; UINT64_MAX is legal.",
     &sizes, kNative},
    {"native.at_end", "At the end: OK, no slice, next = offset; what is acknowledged is there to be read.", &at_end,
     kNative},
    {"native.out_of_range", "Below the start or above the end: OUT_OF_RANGE, with start and end.", &out_of_range,
     kNative},
    {"native.bounds", "bounds: start and end; bytes and newest timestamp exactly or as unknown.", &bounds, kNative},
    {"native.locate", "The first record at or after the time; none: the end.", &locate, kNative},
    {"native.trim", "The start moves to at most `offset`, never back, never past the end; all else stays.", &trim,
     kNative},
    {"native.watch", "watch completes with OK when the end passes `offset`, whoever wrote; at once if it has.", &watch,
     kNative},
    {"native.watch_ends", "watch ends on close, delete_log and stop with UNAVAILABLE.", &watch_ends, kNative},
};

}  // namespace

std::span<const Check> native_read_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
