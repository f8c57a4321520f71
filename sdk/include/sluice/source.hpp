// SPDX-License-Identifier: Apache-2.0
// A shard: anything with ordered positions that can be read from one of them onwards. The merging consumer knows
// sources by this interface alone: a partition of a Kafka cluster, a native stream or a log through an adapter, a shard
// of the event bus, a test's vector. Positions are numbers from 0 on that rise along the shard and mean nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sluice/record.hpp"
#include "sluice/status.hpp"
#include "sluice/unique_function.hpp"

namespace sluice {

struct PageRequest {
  int64_t from = 0;              // position of the first record wanted
  uint32_t max_records = 1'000;  // at least 1
  uint64_t max_bytes = 1 << 20;  // of keys, values and headers; one record comes whatever its size
  int64_t wait_ms = 0;           // how long to wait for the first record when there is none yet
};

/// What one read showed. Everything at or above `from` and below `next` was looked at: it is in `records`, or it is no
/// record (a gap), or it could not be decoded and is counted in `corrupt`.
struct Page {
  std::vector<Record> records;        // by rising position, all within [from, next)
  int64_t next = 0;                   // where to read on; > from unless the page is empty
  int64_t end = -1;                   // end of the shard as far as known; `next`: no more at present; -1: not known
  uint64_t corrupt = 0;               // entries passed because they could not be decoded
  bool finished = false;              // sealed: nothing will ever come at or above `next`
  std::shared_ptr<const void> lease;  // keeps the bytes of `records` alive
};

struct SourceBounds {
  int64_t start = 0;  // first position that can still be read
  int64_t end = 0;  // position that the next record will get, or a smaller bound of it: a removed shard is read so far
};

/// Calls come from one thread at a time. A call's callback is called exactly once, from any thread, possibly before the
/// call returns, and never with a lock of the source held. At most one read is in flight. Bytes of a page live as long
/// as its lease, also after the source is gone.
class Source {
 public:
  using PageCallback = UniqueFunction<void(Result<Page>)>;
  using BoundsCallback = UniqueFunction<void(Result<SourceBounds>)>;
  using PositionCallback = UniqueFunction<void(Result<int64_t>)>;

  virtual ~Source() = default;
  /// What names this shard in cursors and responses: unique within a consumer, stable across restarts, 1 to
  /// kMaxSourceIdBytes bytes.
  virtual const std::string& id() const = 0;
  /// Reads one page. An empty page whose `next` is `from` means that there is nothing yet. OUT_OF_RANGE: `from` is
  /// below the start (retention passed) or above the end. UNAVAILABLE, BUSY: later. FENCED: closed. Others: see there.
  virtual void read(const PageRequest& request, PageCallback done) = 0;
  virtual void bounds(BoundsCallback done) = 0;
  /// Position of the first record whose timestamp is >= `timestamp_ns`; none: the end. UNSUPPORTED where nobody knows.
  virtual void locate(int64_t timestamp_ns, PositionCallback done) = 0;
  /// Ends a read that waits, with an empty page or UNAVAILABLE. Any thread. Nothing else is given up.
  virtual void wake() = 0;
};

inline constexpr size_t kMaxSourceIdBytes = 512;

}  // namespace sluice
