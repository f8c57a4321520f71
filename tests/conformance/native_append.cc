// SPDX-License-Identifier: Apache-2.0
// NATIVE: what is appended is there as records, at the offsets that the result tells.
#include "conformance/native_world.hpp"

namespace sluice::conformance {
namespace {

using records::Codec;

std::string every_byte() {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  return all;
}

std::vector<Record> odd_records() {
  std::vector<Record> all;
  all.push_back({1'600'000'000'001, "key", "value", {}});
  all.push_back({1'600'000'000'002, std::nullopt, "no key", {}});
  all.push_back({1'600'000'000'003, "no value", std::nullopt, {}});
  all.push_back({1'600'000'000'004, std::nullopt, std::nullopt, {}});
  all.push_back({1'600'000'000'005, "", "", {}});
  all.push_back({1'600'000'000'006, every_byte(), every_byte(), {}});
  all.push_back({1'600'000'000'007, "null", "null", {}});
  all.push_back({1'600'000'000'008, "invalid UTF-8 \xff\xfe", "\xc3\x28", {}});
  all.push_back({1, "an early time", "one millisecond", {}});
  all.push_back({1'600'000'000'000, "an earlier time than before", "", {}});
  return all;
}

void opaque(Context& context) {
  FreshNative log(context);
  const auto placed = log->must_append(odd_records());
  expect_records(placed, log->read_all(placed.front().offset), "round trip");
}

void headers(Context& context) {
  FreshNative log(context);
  std::vector<Record> all;
  all.push_back({1'600'000'000'001, "k", "v", {{"traceparent", "00-4bf9-01"}, {"tenant", "a"}, {"b", "c"}}});
  all.push_back({1'600'000'000'002, "k", "v", {{"same", "1"}, {"other", "2"}, {"same", "3"}, {"same", "1"}}});
  all.push_back({1'600'000'000'003, "k", "v", {{"null", std::nullopt}, {"empty", ""}, {"", "no name"}}});
  all.push_back({1'600'000'000'004, "k", "v", {{"bytes", every_byte()}, {"lines", "a\r\nb: c\r\n\r\n"}}});
  all.push_back({1'600'000'000'005,
                 "k",
                 "v",
                 {{"Case", "1"}, {"case", "2"}, {"with: colon", "3"}, {"\xc3\xa4\xe2\x82\xac", "4"}}});
  all.push_back({1'600'000'000'006, std::nullopt, std::nullopt, {{"z", "1"}, {"a", "2"}, {"m", "3"}}});
  Record many{1'600'000'000'007, "k", "v", {}};
  for (int i = 0; i < 100; ++i) many.headers.emplace_back(fmt::format("h{}", (i * 37) % 100), std::to_string(i));
  all.push_back(many);
  const auto placed = log->must_append(all);
  expect_records(placed, log->read_all(placed.front().offset), "headers");
}

void codecs(Context& context) {
  FreshNative log(context);
  std::vector<PlacedRecord> all;
  for (const Codec codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    auto records = numbered(fmt::format("codec{}", static_cast<int>(codec)), 50, 300);
    records.front().headers = {{"a", "b"}, {"a", std::nullopt}};
    const auto placed = log->must_append(records, codec);
    all.insert(all.end(), placed.begin(), placed.end());
  }
  expect_records(all, log->read_all(all.front().offset), "compressed batches");
}

void results(Context& context) {
  FreshNative log(context);
  std::vector<PlacedRecord> all;
  int64_t last = -1;
  for (int unit = 0; unit < 5; ++unit) {
    Unit batches;
    std::vector<std::vector<Record>> records;
    for (int i = 0; i < 4; ++i) {
      records.push_back(numbered(fmt::format("{}.{}", unit, i), static_cast<size_t>(1 + 3 * i)));
      batches.push_back(make_native_batch(records.back()));
    }
    const NativeAppendAnswer answer = log->append(batches);
    expect_status(SLUICE_OK, answer, "append");
    for (size_t i = 0; i < batches.size(); ++i) {
      const sluice_batch_result& result = answer.batches[i];
      require(result.applied == records[i].size(), "batch {}: {} of {} records applied, and the append was OK", i,
              result.applied, records[i].size());
      require(result.first_offset > last, "batch {} begins at {}, the one before ended at {}", i, result.first_offset,
              last);
      require(result.last_offset - result.first_offset + 1 >= static_cast<int64_t>(records[i].size()),
              "batch {} has {} records and the offsets {} to {}", i, records[i].size(), result.first_offset,
              result.last_offset);
      last = result.last_offset;
      // What lies there is what was appended.
      std::vector<Record> found;
      for (int64_t offset = result.first_offset; offset <= result.last_offset;) {
        const NativeReadAnswer read = log->must_read(offset, result.last_offset + 1);
        for (const PlacedRecord& placed : read.records) found.push_back(placed.record);
        offset = read.next;
      }
      require(found == records[i], "the offsets {} to {} do not hold the records of batch {}", result.first_offset,
              result.last_offset, i);
    }
    require(answer.end == last + 1, "append: the end is {}, the unit ended at {}", answer.end, last);
  }
}

void large(Context& context) {
  FreshNative log(context);
  const size_t largest = context.unit_bytes(size_t{1} << 20);
  std::vector<PlacedRecord> all;
  for (const size_t size : {size_t{1'000}, size_t{70'000}, largest - largest / 8}) {
    const auto placed = log->must_append({{1'600'000'000'000, "k", std::string(size, 'x'), {{"h", "v"}}}});
    all.insert(all.end(), placed.begin(), placed.end());
  }
  const auto small = log->must_append(numbered("many", 2'000, 100));
  all.insert(all.end(), small.begin(), small.end());
  expect_records(all, log->read_all(all.front().offset), "large records");
  expect_records(all, log->read_all(all.front().offset, 10'000), "large records, read in small steps");
}

void too_large(Context& context) {
  const uint64_t largest = context.condition().largest_unit;
  if (largest == 0 || largest > (uint64_t{256} << 20)) throw Inapplicable("no limit, or too large to try");
  FreshNative log(context);
  const NativeAppendAnswer answer =
      log->append({make_native_batch({{1'600'000'000'000, "k", std::string(largest, 'x'), {}}})});
  expect_status(SLUICE_TOO_LARGE, answer, "append above the largest unit");
  const auto placed = log->must_append(numbered("small", 3));
  expect_records(placed, log->read_all(log->must_bounds().start), "after TOO_LARGE");
}

void invalid(Context& context) {
  FreshNative log(context);
  expect_status(SLUICE_INVALID, log->append({}), "append of an empty unit");
  expect_status(SLUICE_INVALID, log->send({make_native_batch(numbered("a", 1))}, 0x80).wait(),
                "append with an unknown flag");
  const BoundsAnswer bounds = log->must_bounds();
  require(bounds.end == bounds.start, "an append that was INVALID landed");
}

/// Its checksum is right and its records do not unpack.
Batch undecodable_batch() {
  Batch bad = make_native_batch(numbered("bad", 3), Codec::none);
  for (size_t i = records::kBatchHeaderBytes; i < bad.bytes.size(); ++i) bad.bytes[i] = 0xff;
  store_be<uint32_t>(bad.bytes.data() + records::layout::kCrc, records::BatchView::parse(bad.bytes)->compute_crc());
  return bad;
}

// Nothing of its unit may land.
void undecodable(Context& context) {
  FreshNative log(context);
  const Batch bad = undecodable_batch();
  const NativeAppendAnswer answer = log->append({make_native_batch(numbered("good", 3)), bad});
  require(!answer.ok(), "a batch whose records do not parse was acknowledged");
  require(answer.status != SLUICE_UNKNOWN, "a batch whose records do not parse is UNKNOWN");
  const BoundsAnswer bounds = log->must_bounds();
  require(bounds.end == bounds.start, "a part of a refused unit landed");
}

void many(Context& context) {
  FreshNative log(context);
  std::vector<PlacedRecord> all;
  for (int i = 0; i < 200; ++i) {
    const auto placed = log->must_append(numbered(fmt::format("unit{}", i), static_cast<size_t>(1 + i % 5)));
    if (!all.empty()) {
      require(placed.front().offset > all.back().offset, "a unit at {} came behind one that ended at {}",
              placed.front().offset, all.back().offset);
    }
    all.insert(all.end(), placed.begin(), placed.end());
  }
  expect_records(all, log->read_all(all.front().offset), "many units");
}

uint32_t appends_in_flight(Context& context) {
  const uint32_t most = context.condition().appends_in_flight;
  if (most < 2) throw Inapplicable("it takes one append of a handle at a time");
  return most;
}

// A large one first, so that it shows if those behind it do not wait.
void under_way(Context& context) {
  constexpr size_t kRounds = 20;
  const uint32_t most = appends_in_flight(context);
  FreshNative log(context);
  std::vector<std::string> wanted;
  int64_t last = -1;
  for (size_t round = 0; round < kRounds; ++round) {
    std::vector<NativeLog::Sent> sent;
    std::vector<size_t> counts;
    for (uint32_t i = 0; i < most; ++i) {
      const auto records = numbered(fmt::format("{}.{}", round, i), i == 0 ? 2'000 : 3);
      for (const Record& record : records) wanted.push_back(record.value.value());
      counts.push_back(records.size());
      sent.push_back(log->send({make_native_batch(records)}, 0, 1));
    }
    for (size_t i = 0; i < sent.size(); ++i) {
      const NativeAppendAnswer answer = sent[i].wait();
      expect_status(SLUICE_OK, answer, "one of several appends under way");
      const sluice_batch_result& batch = answer.batches.front();
      require(batch.applied == counts[i], "append: OK, and {} of {} records were applied", batch.applied, counts[i]);
      require(batch.first_offset > last, "append {} under way: a unit at {} came behind one that ended at {}", i,
              batch.first_offset, last);
      last = batch.last_offset;
    }
  }
  const auto found = log->read_all(log->must_bounds().start);
  require(found.size() == wanted.size(), "{} records were appended, {} are there", wanted.size(), found.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    require(found[i].record.value == wanted[i], "record {} was expected, {} came at {}", wanted[i],
            describe(found[i].record), found[i].offset);
  }
}

void run_ends(Context& context) {
  appends_in_flight(context);
  FreshNative log(context);
  auto before = log->send({make_native_batch(numbered("before", 2))}, 0, 1);
  auto bad = log->send({undecodable_batch()}, 0, 1);
  expect_status(SLUICE_OK, before.wait(), "an append before one that fails");
  const NativeAppendAnswer failed = bad.wait();
  require(!failed.ok(), "a batch whose records do not parse was acknowledged");
  // The host may have sent it before it heard.
  const NativeAppendAnswer behind = log->send({make_native_batch(numbered("behind", 2))}, 0, 1).wait();
  require(!behind.ok(), "an append behind one that failed was acknowledged: they are of one run");
  const NativeAppendAnswer next = log->send({make_native_batch(numbered("next", 2))}, 0, 2).wait();
  expect_status(SLUICE_OK, next, "an append of the next run");
  std::vector<Record> wanted = numbered("before", 2);
  for (const Record& record : numbered("next", 2)) wanted.push_back(record);
  std::vector<Record> found;
  for (const PlacedRecord& placed : log->read_all(log->must_bounds().start)) found.push_back(placed.record);
  require(found == wanted, "of a run that a failure ended there are {} records, {} were expected", found.size(),
          wanted.size());
}

constexpr uint32_t kNative = SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"native.opaque", "B34: keys and values are bytes: every value, nothing, null, no UTF-8; timestamps stay.", &opaque,
     kNative},
    {"native.headers", "S02: all headers survive, in order, duplicates, nulls and any bytes too.", &headers, kNative},
    {"native.codecs", "Batches may be compressed with any codec of the protocol.", &codecs, kNative},
    {"native.results",
     "The result tells for each batch first and last offset and how many records were applied; the order is kept.",
     &results, kNative},
    {"native.large", "A record may be nearly as large as the largest unit.", &large, kNative},
    {"native.too_large", "S12: Larger than the largest unit: TOO_LARGE; nothing lands.", &too_large, kNative},
    {"native.invalid", "Unknown flags and empty units are INVALID; nothing lands.", &invalid, kNative},
    {"native.undecodable", "A unit with a batch that does not parse is refused whole.", &undecodable, kNative},
    {"native.many_units", "Units follow each other.", &many, kNative},
    {"native.under_way", "appends_in_flight: so many appends of a handle are stored in the order of the calls.",
     &under_way, kNative},
    {"native.run_ends", "Behind an append that failed those of its run that the engine does not have are refused.",
     &run_ends, kNative},
};

}  // namespace

std::span<const Check> native_append_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
