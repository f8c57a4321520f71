// SPDX-License-Identifier: Apache-2.0
// One log in memory: a stream of bytes over blocks, and an index entry per batch. Readers are lent the blocks
// themselves.
//
// Invariants: the bytes of the batches follow each other in the stream without gaps; a byte is written once, before the
// end moves past it; blocks hold the stream from the first kept batch on. Large copies run outside the lock: room is
// taken and the unit judged, then copied, then judged again (a fence may have come) and counted. `copying_` keeps other
// appends away meanwhile. All public functions: any thread, except append_later().
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "plugin/adapter.hpp"
#include "pool.hpp"

namespace sluice::memory {

/// What the contract allows to be copied on the caller's thread.
inline constexpr uint64_t kMaxInlineBytes = uint64_t{64} << 10;
/// Batches that one step of a trim drops under the lock.
inline constexpr size_t kMaxTrimStep = 4096;
/// What an empty log is counted for.
inline constexpr uint64_t kLogBytes = 4096;

struct Value {
  std::vector<uint8_t> bytes;
  Reservation counted;
};

class MemoryLog {
 public:
  /// `counted` covers kLogBytes.
  MemoryLog(plugin::LogDescriptor descriptor, std::shared_ptr<Pool> pool, Reservation counted);
  MemoryLog(const MemoryLog&) = delete;
  MemoryLog& operator=(const MemoryLog&) = delete;
  ~MemoryLog();

  const plugin::LogDescriptor& descriptor() const { return descriptor_; }

  /// Appends on the caller's thread; nothing if a larger copy is under way: then append_later() must do it.
  std::optional<Status> append_now(const sluice_append& request, sluice_append_result& result);
  /// Appends a unit of any size. One thread per storage calls this: its worker.
  Status append_later(const sluice_append& request, sluice_append_result& result);

  Status read(const sluice_read& request, sluice_read_result& result);
  Status bounds(sluice_bounds& result);
  Status locate(int64_t timestamp, sluice_locate_result& result);
  /// Moves the start and drops up to kMaxTrimStep batches; `more`: call trim_step() until it says false.
  Status trim(uint64_t token, int64_t offset, bool& more);
  bool trim_step();
  Status fence(uint64_t token, sluice_fence_result& result);
  /// `value` NULL removes.
  Status save(uint64_t token, std::string name, std::shared_ptr<const Value> value);
  Status load(const std::string& name, sluice_load_result& result);
  /// From now on every call answers NOT_FOUND. The bytes go when the log does.
  void remove();

 private:
  struct Batch {
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    uint64_t position;  // in the stream
    uint64_t size;
  };
  struct Placed {
    std::shared_ptr<Block> block;
    uint64_t position;  // of its first byte in the stream
    uint64_t end() const { return position + block->size(); }
  };
  struct Piece {
    std::shared_ptr<Block> block;
    uint64_t offset;
    uint64_t size;
  };

  // All with mutex_ held.
  Status judge(uint64_t token) const;
  Status judge(const sluice_append& request, sluice_append_result& result) const;
  Status make_room(const sluice_append& request);
  void undo_room(const sluice_append& request);
  void add_batches(const sluice_append& request);
  void forget_batches(size_t count);
  std::vector<Piece> pieces(uint64_t position, uint64_t size) const;
  size_t block_at(uint64_t position) const;
  int64_t greatest_timestamp() const;

  const plugin::LogDescriptor descriptor_;
  const std::shared_ptr<Pool> pool_;
  const Reservation counted_;

  std::mutex mutex_;
  bool removed_ = false;
  bool copying_ = false;
  int64_t start_;
  int64_t end_;
  uint64_t token_ = 0;
  uint64_t tail_ = 0;  // position behind the last counted byte
  std::deque<Placed> blocks_;
  std::deque<Batch> batches_;
  uint64_t dropped_ = 0;       // batches that were before the first of batches_
  std::deque<int64_t> peaks_;  // greatest timestamp of each kPeakBatches batches, counted from the log's first
  uint64_t index_bytes_ = 0;   // of the budget
  std::map<std::string, std::shared_ptr<const Value>, std::less<>> values_;
};

}  // namespace sluice::memory
