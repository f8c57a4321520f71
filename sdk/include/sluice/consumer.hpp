// SPDX-License-Identifier: Apache-2.0
// Many shards as one stream that can be left and taken up again at any place. A consumer reads its sources at the same
// time and ahead, gives their records to a filter, merges what passes, and hands out responses. The cursor of a
// response covers the records in it and those that the filter refused before them in their shard, and nothing else:
// whoever stores it once the records are dealt with neither misses one nor sees one twice.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/cursor.hpp"
#include "sluice/export.hpp"
#include "sluice/filter.hpp"
#include "sluice/retry.hpp"
#include "sluice/source.hpp"

namespace sluice {

class Telemetry;

enum class MergeOrder {
  unordered,    // each shard in its order, shards in turns
  by_time,      // by timestamp; each shard must be in order up to `lateness_ms` itself
  by_position,  // by position, for shards that count the same thing
};

/// Where to begin.
struct Place {
  enum class Kind { start, end, time, position };
  Kind kind = Kind::start;
  int64_t value = 0;  // time: nanoseconds since the epoch, the first record at or after it; position: itself

  static Place start() { return {}; }
  static Place end() { return {Kind::end, 0}; }
  static Place time(int64_t timestamp_ns) { return {Kind::time, timestamp_ns}; }
  static Place position(int64_t position) { return {Kind::position, position}; }
};

struct ConsumerConfig {
  MergeOrder order = MergeOrder::unordered;
  /// Ordered by time: no record comes after one that is newer by more than this. One that cannot keep this is delivered
  /// at once and counted as late. A record without timestamp goes with the one before it in its shard.
  int64_t lateness_ms = 0;
  /// How long an order waits at most for a shard that has nothing at the moment, and for one that does not answer. Then
  /// it goes on without it, and says so (ShardCondition::passed_over), until the shard has something again.
  int64_t idle_hold_ms = 100;
  int64_t stall_hold_ms = 5'000;
  int64_t read_deadline_ms = 10'000;     // a read unanswered for longer makes its shard `stalled`
  int64_t read_wait_ms = 1'000;          // how long one read waits at the end of a shard
  uint64_t read_ahead_bytes = 64 << 20;  // of pages read and not delivered, of all shards, + two records of each
  uint64_t page_bytes = 1 << 20;         // at most read_ahead_bytes
  uint32_t page_records = 1'024;
  RetryPolicy retry{};     // of reads; a shard whose retries are used up has `failed`
  Place start{};           // for shards that the cursor does not name
  bool pass_lost = false;  // retention was faster: go on at the shard's start, counting `lost`, instead of failing
  std::string name = "consumer";  // in telemetry: 1 to kMaxConsumerNameBytes
  /// Hears of every call of a source how long it took, its wait at the end of a shard included, and why it failed; asks
  /// for what the responses counted when a snapshot is taken (sluice.consumer.*, semconv::kConsumedMessages). Null:
  /// none.
  std::shared_ptr<Telemetry> telemetry{};
};

/// Judges one record: true to have it. Called on the thread that polls, without any lock, once for each record that is
/// read. One that throws makes the shard fail, and nothing of the page that it saw is passed.
using RecordPredicate = UniqueFunction<bool(const Record&)>;

/// A filter (sluice/filter.hpp) as such a function.
inline RecordPredicate predicate_of(Filter filter) {
  return [evaluator = FilterEvaluator(std::move(filter))](const Record& record) mutable {
    return evaluator.passes(record);
  };
}

enum class ShardCondition {
  failed,       // given up: `cause`; its place is kept; resume() or seek() tries again
  retrying,     // the last read failed: `cause`; another will be tried
  stalled,      // the last read is unanswered beyond its deadline
  passed_over,  // the order goes on without it
  holding,      // the order waits for it, records of others are at hand
  capped,       // the limit cut it off: more of it is at hand
  finished,     // sealed, or removed and read to its end; said once
};
SLUICE_API std::string_view condition_name(ShardCondition condition);

struct ShardNote {
  uint32_t shard;
  std::string id;
  ShardCondition condition;
  Status cause;            // failed, retrying: why
  int64_t position = 0;    // where it stands
  int64_t elapsed_ns = 0;  // since the read was asked, the first failure, the order began to wait; > 0
  uint32_t attempts = 0;   // failed, retrying: reads tried without success
};

struct MergedRecord {
  const Record* record;  // lives as long as the response
  uint32_t shard;        // number of the shard in this consumer, never used for another
  bool late;
  const Record& operator*() const { return *record; }
  const Record* operator->() const { return record; }
};

struct Response {
  std::vector<MergedRecord> records;
  Cursor cursor;                 // the place after exactly these
  std::vector<ShardNote> notes;  // every shard of which there is something to say
  bool has_more = false;         // this one made progress, and shards have more
  bool done = false;             // every shard is finished or failed: nothing comes by itself any more
  uint64_t rejected = 0;         // records that the filter refused and that the cursor passed
  uint64_t corrupt = 0;          // entries in pages that the cursor passed which could not be decoded
  uint64_t late = 0;             // of `records`
  uint64_t lost = 0;             // positions that retention took before they were read (pass_lost)
  int64_t elapsed_ns = 0;
  std::vector<std::shared_ptr<const void>> leases;  // what keeps the records' bytes
  bool woken = false;                               // wake() ended the wait
};

struct PollRequest {
  size_t max_records = 1'000;     // at least 1; any number
  uint64_t max_bytes = 16 << 20;  // of keys, values and headers; one record comes whatever its size
  int64_t wait_ms = 1'000;        // for min_records; 0: what is there now
  size_t min_records = 1;         // at least 1
};

inline constexpr size_t kMaxConsumerShards = kMaxCursorShards;
inline constexpr int64_t kMaxConsumerWaitMs = 24ll * 3600 * 1000;  // of every time in a configuration or request
inline constexpr uint64_t kMinReadAheadBytes = 64 << 10;
inline constexpr uint64_t kMaxReadAheadBytes = 1ull << 40;
inline constexpr uint64_t kMinPageBytes = 1 << 10;
inline constexpr uint32_t kMaxPageRecords = 1 << 20;
inline constexpr size_t kMaxConsumerNameBytes = 200;

/// Every function from any thread, also from within the filter; what changes shards or places is seen by the next poll.
class SLUICE_API MergingConsumer {
 public:
  /// Validates all of `config`, then begins to read. `invalid` names the field ("consumer.page_bytes: ..."), or the
  /// source whose id is malformed or there twice.
  static Result<std::unique_ptr<MergingConsumer>> create(const ConsumerConfig& config,
                                                         std::vector<std::shared_ptr<Source>> sources,
                                                         const Cursor& from = {}, RecordPredicate filter = {});
  /// close(), waiting for reads that are under way for a second at most; sources live on until theirs have ended.
  ~MergingConsumer();

  /// Waits until there are min_records, or until the deadline, or until there is nothing to wait for (`done`). Progress
  /// without records is progress: store the cursor. Errors: `busy`, another poll is under way; `not_found`, there are
  /// no shards; `invalid`, a request out of range; `fenced`, the consumer is closed.
  Result<Response> poll(const PollRequest& request = {});
  /// Ends a poll that waits, with what it has, `woken`; if there is none, the next one.
  void wake();
  /// The place after the last response, or where it was sought since.
  Cursor cursor() const;

  /// Adds a shard; one that the cursor names goes on there, another begins at `place`. Gives its number. `exists`: the
  /// id is in use. `too_large`: kMaxConsumerShards.
  Result<uint32_t> add_shard(std::shared_ptr<Source> source, Place place = {});
  /// Reads the shard to the end that it has now, which is asked of Source::bounds(), says `finished`, and lets the
  /// source go. Its place stays in the cursor.
  Status remove_shard(std::string_view id);
  /// Lets the source go at once. Its place stays in the cursor.
  Status drop_shard(std::string_view id);

  /// Takes the place of a shard that is gone out of the cursor, so that it does not grow for ever. `exists`: it is
  /// here.
  Status forget(std::string_view id);

  /// Goes to a place; shards that a cursor does not name stay. Ordering begins anew.
  Status seek(const Cursor& cursor);
  Status seek(Place place);
  Status seek(std::string_view id, Place place);

  /// Of one shard, or of all: nothing of it comes and nothing more is read until resumed. resume() also tries again
  /// what has failed.
  Status pause(std::string_view id);
  Status resume(std::string_view id);
  void pause();
  void resume();

  /// Bytes of pages that are read and not delivered; never above read_ahead_bytes + two records of each shard.
  uint64_t buffered_bytes() const;

  /// Ends polls that wait and waits for reads under way; calls are `fenced` from then on. `unavailable`: some are not
  /// over after `deadline_ms`, and the text names their shards; call again. Harmless when closed already.
  Status close(int64_t deadline_ms = 5'000);
  bool closed() const;

 private:
  struct SLUICE_LOCAL Impl;
  explicit MergingConsumer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
