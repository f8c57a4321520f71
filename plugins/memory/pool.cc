// SPDX-License-Identifier: Apache-2.0
#include "pool.hpp"

#include <cstdlib>
#include <new>

namespace sluice::memory {

Block::~Block() {
  pool_->give_back(data_, size_);
}

Pool::~Pool() {
  for (uint8_t* data : recycled_) std::free(data);
}

bool Pool::reserve(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > max_bytes_ - used_) return false;
  used_ += bytes;
  // What waits for reuse is resident too: it makes way.
  while (!recycled_.empty() && used_ + recycled_.size() * kMaxBlockBytes > max_bytes_) {
    std::free(recycled_.back());
    recycled_.pop_back();
  }
  return true;
}

void Pool::release(uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  used_ -= bytes;
}

uint8_t* Pool::reuse_or_reserve(size_t size, bool& refused) {
  refused = false;
  {
    const std::lock_guard lock(mutex_);
    if (size == kMaxBlockBytes && !recycled_.empty() && size <= max_bytes_ - used_) {
      used_ += size;
      uint8_t* data = recycled_.back();
      recycled_.pop_back();
      return data;
    }
  }
  refused = !reserve(size);
  return nullptr;
}

std::shared_ptr<Block> Pool::take(size_t size) {
  bool refused = false;
  uint8_t* data = reuse_or_reserve(size, refused);
  if (refused) return nullptr;
  if (data == nullptr) data = static_cast<uint8_t*>(std::malloc(size));
  if (data == nullptr) {
    release(size);
    throw std::bad_alloc();
  }
  try {
    return std::make_shared<Block>(shared_from_this(), data, size);
  } catch (...) {
    give_back(data, size);
    throw;
  }
}

void Pool::give_back(uint8_t* data, size_t size) noexcept {
  {
    const std::lock_guard lock(mutex_);
    used_ -= size;
    const uint64_t pooled = (recycled_.size() + 1) * kMaxBlockBytes;
    if (size == kMaxBlockBytes && pooled <= kMaxPooledBytes && used_ + pooled <= max_bytes_) {
      try {
        recycled_.push_back(data);
        return;
      } catch (const std::bad_alloc&) {
        // Then it is freed below.
      }
    }
  }
  std::free(data);
}

}  // namespace sluice::memory
