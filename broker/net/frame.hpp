// SPDX-License-Identifier: Apache-2.0
// One request's bytes: a mutable, reference-counted buffer that the connection fills as bytes arrive and that lives
// until the last user lets go. Its memory comes from a pool, because touching fresh memory is the dearest part of
// receiving, and is accounted to the memory budget as it is used, not as it is claimed by the sender.
//
// A large buffer is reserved as address space at its final size, so that it never moves, and the kernel gives it pages
// as bytes arrive: a sender that claims 100 MiB and sends 10 bytes costs one page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "net/memory_budget.hpp"

namespace sluice::net {

class FramePool;

/// Filled by one thread, then handed on. The last reference may go on any thread. What several holders may write at the
/// same time is theirs to agree.
class Frame {
 public:
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame();

  /// All bytes of the request, without the size prefix.
  MutableBytes bytes() { return {data_, size_}; }
  size_t size() const { return size_; }
  /// Adds to what goes back to the budget when the frame ends; the caller has reserved it.
  void account(int64_t bytes) { accounted_ += bytes; }
  /// It holds the budget's overdraft, which ends with it.
  void set_overdrawn() { overdrawn_ = true; }

 private:
  friend class FramePool;
  Frame(std::shared_ptr<FramePool> pool, uint8_t* data, size_t size, size_t mapped_bytes)
      : pool_(std::move(pool)), data_(data), size_(size), mapped_bytes_(mapped_bytes) {}

  std::shared_ptr<FramePool> pool_;
  uint8_t* data_;
  size_t size_;
  size_t mapped_bytes_;  // 0: from malloc
  int64_t accounted_ = 0;
  bool overdrawn_ = false;
};

using FramePtr = std::shared_ptr<Frame>;

/// Memory for frames, kept for the next one. Thread-safe. Lives until its last frame has ended.
class FramePool : public std::enable_shared_from_this<FramePool> {
 public:
  /// Frames below this come from malloc; from here on, from pooled pages in classes of powers of two.
  static constexpr size_t kMinPooledBytes = 32 << 10;
  /// Unused memory the pool keeps at most.
  static constexpr size_t kMaxIdleBytes = 64 << 20;
  /// Memory of larger frames goes back to the system at once.
  static constexpr size_t kMaxKeptFrameBytes = 16 << 20;

  /// `budget` gets back what a frame accounted for.
  static std::shared_ptr<FramePool> create(std::shared_ptr<MemoryBudget> budget);
  ~FramePool();

  /// A frame of `size` bytes, contents undefined, nothing accounted yet. Null if there is no memory. Any thread.
  FramePtr take(size_t size);
  /// Gives half of the memory that was idle since the last call back to the system: called every few seconds, it
  /// empties the pool of a quiet broker. Any thread.
  void trim();
  /// Memory that waits for its next frame, in bytes. Any thread.
  size_t idle_bytes() const;

 private:
  friend class Frame;
  /// Powers of two from kMinPooledBytes to kMaxKeptFrameBytes.
  static constexpr size_t kClasses = 10;

  explicit FramePool(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}
  static size_t class_of(size_t mapped_bytes);
  void put_back(uint8_t* data, size_t mapped_bytes);

  struct SizeClass {
    std::vector<uint8_t*> idle;
    size_t least_idle = 0;  // since the last trim()
  };

  const std::shared_ptr<MemoryBudget> budget_;
  mutable std::mutex mutex_;
  std::array<SizeClass, kClasses> classes_;  // guarded by mutex_
  size_t idle_bytes_ = 0;                    // guarded by mutex_
};

}  // namespace sluice::net
