// SPDX-License-Identifier: Apache-2.0
// The memory of one storage: blocks of bytes and a budget that counts everything a log costs. A block is counted until
// the last lease on it ends, so the budget bounds what is resident, not only what is stored. Full-sized blocks are
// recycled, because memory that was never touched is dear. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace sluice::memory {

inline constexpr size_t kMinBlockBytes = size_t{4} << 10;
inline constexpr size_t kMaxBlockBytes = size_t{1} << 20;
/// What is kept for reuse at most.
inline constexpr size_t kMaxPooledBytes = size_t{64} << 20;

class Pool;

/// Bytes of fixed size, written once each.
class Block {
 public:
  Block(std::shared_ptr<Pool> pool, uint8_t* data, size_t size) : pool_(std::move(pool)), data_(data), size_(size) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block();

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<Pool> pool_;
  uint8_t* data_;
  size_t size_;
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  explicit Pool(uint64_t max_bytes) : max_bytes_(max_bytes) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  /// A block of `size` bytes, uninitialised; nothing if the budget has no room. Throws std::bad_alloc.
  std::shared_ptr<Block> take(size_t size);

  /// Counts bytes that are kept elsewhere (indexes, values); false if there is no room.
  bool reserve(uint64_t bytes);
  void release(uint64_t bytes) noexcept;

  uint64_t max_bytes() const { return max_bytes_; }

 private:
  friend class Block;
  void give_back(uint8_t* data, size_t size) noexcept;
  uint8_t* reuse_or_reserve(size_t size, bool& refused);

  const uint64_t max_bytes_;
  std::mutex mutex_;
  uint64_t used_ = 0;               // guarded by mutex_
  std::vector<uint8_t*> recycled_;  // guarded by mutex_; blocks of kMaxBlockBytes, not counted in used_
};

/// Bytes of the budget, given back on destruction.
class Reservation {
 public:
  Reservation() = default;
  Reservation(std::shared_ptr<Pool> pool, uint64_t bytes) : pool_(std::move(pool)), bytes_(bytes) {}
  Reservation(Reservation&& other) noexcept : pool_(std::move(other.pool_)), bytes_(other.bytes_) {}
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation() {
    if (pool_ != nullptr) pool_->release(bytes_);
  }

 private:
  std::shared_ptr<Pool> pool_;
  uint64_t bytes_ = 0;
};

}  // namespace sluice::memory
