// SPDX-License-Identifier: Apache-2.0
// What local subscribers read: the last events of one shard, in blocks that sinks and pages of subscribers share and
// that live as long as any of them. The shard's thread appends; the oldest events give way when there are too many.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bus/frame.hpp"
#include "bus/signal.hpp"
#include "sluice/source.hpp"

namespace sluice::bus {

/// Slots outside of a ring, written once from the front. One thread writes; others read what was published to them.
class Block {
 public:
  static constexpr uint32_t kEvents = 256;
  static constexpr uint64_t kSpilledBytes = 1 << 20;  // from which on it is full with fewer events

  explicit Block(uint32_t slot_bytes);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Takes the event over, its block included if it is a spilled one. There is room: count() < kEvents.
  void take(Frame& from);
  /// Gives up all events; nobody reads.
  void clear();
  uint32_t count() const { return count_; }
  uint64_t spilled_bytes() const { return spilled_bytes_; }
  bool is_full() const { return count_ == kEvents || spilled_bytes_ >= kSpilledBytes; }
  const uint8_t* slot(uint32_t i) const { return slots_ + size_t{i} * slot_bytes_; }
  const Frame& frame(uint32_t i) const { return *reinterpret_cast<const Frame*>(slot(i)); }
  uint64_t sequence(uint32_t i) const { return frame(i).commit.load(std::memory_order_relaxed) - 1; }

 private:
  uint8_t* slots_;
  uint32_t slot_bytes_;
  uint32_t count_ = 0;
  uint64_t spilled_bytes_ = 0;
};

/// Blocks that nobody uses any more, for use again. Any thread; held by shared_ptr.
class BlockPool : public std::enable_shared_from_this<BlockPool> {
 public:
  static constexpr size_t kMaxIdle = 16;
  explicit BlockPool(uint32_t slot_bytes) : slot_bytes_(slot_bytes) {}
  std::shared_ptr<Block> get();

 private:
  void put_back(std::unique_ptr<Block> block);
  const uint32_t slot_bytes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> idle_;  // guarded by mutex_
};

class Retention : public std::enable_shared_from_this<Retention> {
 public:
  /// `signal` wakes the thread that calls expire().
  Retention(std::string id, uint32_t max_events, uint64_t max_spilled_bytes, uint64_t first_sequence,
            std::shared_ptr<Signal> signal)
      : id_(std::move(id)),
        max_events_(max_events),
        max_spilled_bytes_(max_spilled_bytes),
        signal_(std::move(signal)),
        start_(first_sequence),
        end_(first_sequence) {}

  // --- the shard's thread ---
  /// The first `count` events of `block`, which is the last one published or a new one, can be read.
  void publish(const std::shared_ptr<Block>& block, uint32_t count);
  /// Nothing will come after what was published; sequences end at `end`.
  void finish(uint64_t end);
  /// Answers reads whose time is over; returns when the next one's is.
  int64_t expire(int64_t now_ns);

  // --- any thread ---
  std::unique_ptr<Source> subscribe();
  uint64_t retained() const;
  /// Somebody has read all of a finished shard.
  bool was_read_to_end() const;

 private:
  friend class ShardSource;
  struct Held {
    std::shared_ptr<Block> block;
    uint32_t published = 0;
    uint32_t skipped = 0;  // at the front, given way
    uint64_t spilled_bytes = 0;
  };
  struct Waiter {
    const void* who;
    PageRequest request;
    Source::PageCallback done;
    int64_t until_ns;
  };
  /// What one page is made of, taken under the lock and decoded outside.
  struct Piece {
    std::shared_ptr<Block> block;
    uint32_t from, to;
  };
  struct Found {
    std::vector<Piece> pieces;
    uint64_t end = 0;
    bool finished = false;
    Status status;
    bool empty() const { return pieces.empty(); }
  };

  Found find(uint64_t from, uint32_t max_records) const;
  static Result<Page> make_page(Found found, const PageRequest& request);
  void read(const void* who, const PageRequest& request, Source::PageCallback done);
  void wake(const void* who);
  SourceBounds bounds() const;
  int64_t locate(int64_t timestamp_ns) const;
  void answer(std::list<Waiter> waiters);

  const std::string id_;
  const uint64_t max_events_;
  const uint64_t max_spilled_bytes_;
  const std::shared_ptr<Signal> signal_;
  mutable std::mutex mutex_;
  std::deque<Held> held_;  // guarded by mutex_, as what follows
  uint64_t retained_ = 0;
  uint64_t spilled_bytes_ = 0;  // of blocks that are held
  uint64_t start_;
  uint64_t end_;
  bool finished_ = false;
  bool read_to_end_ = false;
  std::list<Waiter> waiters_;
};

}  // namespace sluice::bus
