// SPDX-License-Identifier: Apache-2.0
// What the checks of the kind NATIVE talk in: records instead of bytes, since the engine keeps records and gives the
// offsets. An adapter may put them into other batches than they came in; what must come back are the records.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conformance/check.hpp"
#include "conformance/world.hpp"
#include "records/batch.hpp"

namespace sluice::conformance {

using OptionalText = std::optional<std::string>;

/// One record; any bytes.
struct Record {
  int64_t timestamp = 1'600'000'000'000;
  OptionalText key = std::nullopt;
  OptionalText value = std::nullopt;
  std::vector<std::pair<std::string, OptionalText>> headers = {};
  friend bool operator==(const Record&, const Record&) = default;
};
/// "1600000000000 key[3]=abc value=null 2 headers".
std::string describe(const Record& record);

struct PlacedRecord {
  int64_t offset = 0;
  Record record;
};

/// Adds the records of a batch; Failure where they do not parse.
void take_records(const records::BatchView& batch, std::vector<PlacedRecord>& out);

/// A v2 batch as a producer sends it: base offset 0.
Batch make_native_batch(const std::vector<Record>& records, records::Codec codec = records::Codec::none);
/// `count` records that are told apart by their value, "PREFIX-0" and so on, of `size` bytes at least.
std::vector<Record> numbered(const std::string& prefix, size_t count, size_t size = 0);

struct NativeAppendAnswer : Answer {
  int64_t end = 0;
  std::vector<sluice_batch_result> batches;
};
struct NativeReadAnswer : Answer {
  int64_t next = 0;
  int64_t start = 0;
  int64_t end = 0;
  uint64_t skipped = 0;
  uint64_t bytes = 0;
  size_t batches = 0;
  std::vector<PlacedRecord> records;
};

/// A handle on a native log.
class NativeLog {
 public:
  NativeLog(Storage& storage, const Descriptor& descriptor);
  NativeLog(const NativeLog&) = delete;
  NativeLog& operator=(const NativeLog&) = delete;

  /// An append that is not waited for.
  class Sent {
   public:
    Sent(std::shared_ptr<Call> call, sluice_append_result* result, size_t batches)
        : call_(std::move(call)), result_(result), batches_(batches) {}
    NativeAppendAnswer wait();

   private:
    std::shared_ptr<Call> call_;
    sluice_append_result* result_;
    size_t batches_;
  };
  /// `run`: as sluice_append has it; 0: alone. `deadline_ns`: the kit's own where nothing is said.
  Sent send(const Unit& unit, uint32_t flags = 0, uint64_t run = 0, std::optional<int64_t> deadline_ns = std::nullopt);
  NativeAppendAnswer append(const Unit& unit) { return send(unit).wait(); }
  /// One batch; OK and with offsets, or Failure. Its records with the offsets that the result tells.
  std::vector<PlacedRecord> must_append(const std::vector<Record>& records,
                                        records::Codec codec = records::Codec::none);

  /// What came is whole, sound v2 batches that rise, below `limit`, or Failure.
  NativeReadAnswer read(int64_t offset, int64_t limit = kNoLimit, uint64_t max_bytes = kNoMaximum);
  /// As read(), OK, and waiting for as long as nothing comes though `end` is above: other writers may be ahead.
  NativeReadAnswer must_read(int64_t offset, int64_t limit = kNoLimit, uint64_t max_bytes = kNoMaximum);
  /// Every record from `offset` to the end that bounds tells.
  std::vector<PlacedRecord> read_all(int64_t offset, uint64_t max_bytes = kNoMaximum);

  std::shared_ptr<Call> send_watch(int64_t offset);
  BoundsAnswer must_bounds();
  Log& raw() { return log_; }

 private:
  Storage& storage_;
  Log log_;
};

/// A new log on the check's storage, and a handle on it.
struct FreshNative {
  explicit FreshNative(Context& context, int32_t partitions = 1);
  NativeLog& operator*() { return *log; }
  NativeLog* operator->() { return &*log; }
  Descriptor descriptor;
  std::optional<NativeLog> log;
};

/// Fails unless `found` are exactly `wanted`, offsets and all.
void expect_records(const std::vector<PlacedRecord>& wanted, const std::vector<PlacedRecord>& found, const char* what);

/// The name by which the engine's own programs know the log: as configured, or as list_logs shows what was just made.
/// Throws Inapplicable where neither tells.
std::string native_name_of(Context& context, const Descriptor& descriptor);

// The checks, in the order in which they run.
std::span<const Check> native_append_checks();
std::span<const Check> native_read_checks();
std::span<const Check> native_topic_checks();
std::span<const Check> native_crowd_checks();
std::span<const Check> native_fault_checks();

}  // namespace sluice::conformance
