// SPDX-License-Identifier: Apache-2.0
#include "net/frame.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

namespace sluice::net {

namespace {

uint8_t* map_pages(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // A huge page would take 2 MiB for the first byte that arrives.
  ::madvise(memory, bytes, MADV_NOHUGEPAGE);
  return static_cast<uint8_t*>(memory);
}

constexpr size_t kPageBytes = 4096;

}  // namespace

static_assert(FramePool::kMinPooledBytes << 9 == FramePool::kMaxKeptFrameBytes, "kClasses says how many there are");

Frame::~Frame() {
  if (mapped_bytes_ == 0) {
    std::free(data_);
  } else {
    pool_->put_back(data_, mapped_bytes_);
  }
  if (accounted_ != 0) pool_->budget_->release(accounted_);
  if (overdrawn_) pool_->budget_->end_overdraft();
}

std::shared_ptr<FramePool> FramePool::create(std::shared_ptr<MemoryBudget> budget) {
  return std::shared_ptr<FramePool>(new FramePool(std::move(budget)));
}

FramePool::~FramePool() {
  for (size_t i = 0; i < kClasses; ++i) {
    for (uint8_t* data : classes_[i].idle) ::munmap(data, kMinPooledBytes << i);
  }
}

size_t FramePool::class_of(size_t mapped_bytes) {
  return static_cast<size_t>(std::bit_width(mapped_bytes / kMinPooledBytes)) - 1;
}

FramePtr FramePool::take(size_t size) {
  uint8_t* data = nullptr;
  size_t mapped_bytes = 0;
  if (size < kMinPooledBytes) {
    data = static_cast<uint8_t*>(std::malloc(size == 0 ? 1 : size));
  } else if (size > kMaxKeptFrameBytes) {
    mapped_bytes = (size + kPageBytes - 1) / kPageBytes * kPageBytes;
    data = map_pages(mapped_bytes);
  } else {
    mapped_bytes = std::bit_ceil(size);
    {
      const std::lock_guard lock(mutex_);
      SizeClass& of = classes_[class_of(mapped_bytes)];
      if (!of.idle.empty()) {
        data = of.idle.back();
        of.idle.pop_back();
        of.least_idle = std::min(of.least_idle, of.idle.size());
        idle_bytes_ -= mapped_bytes;
      }
    }
    if (data == nullptr) data = map_pages(mapped_bytes);
  }
  if (data == nullptr) return nullptr;
  return FramePtr(new Frame(shared_from_this(), data, size, mapped_bytes));
}

void FramePool::put_back(uint8_t* data, size_t mapped_bytes) {
  if (mapped_bytes <= kMaxKeptFrameBytes) {
    const std::lock_guard lock(mutex_);
    if (idle_bytes_ + mapped_bytes <= kMaxIdleBytes) {
      classes_[class_of(mapped_bytes)].idle.push_back(data);
      idle_bytes_ += mapped_bytes;
      return;
    }
  }
  ::munmap(data, mapped_bytes);
}

void FramePool::trim() {
  std::vector<std::pair<uint8_t*, size_t>> surplus;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < kClasses; ++i) {
      SizeClass& of = classes_[i];
      for (size_t n = (of.least_idle + 1) / 2; n > 0; --n) {
        surplus.emplace_back(of.idle.front(), kMinPooledBytes << i);
        of.idle.erase(of.idle.begin());  // the coldest
        idle_bytes_ -= kMinPooledBytes << i;
      }
      of.least_idle = of.idle.size();
    }
  }
  for (const auto& [data, bytes] : surplus) ::munmap(data, bytes);
}

size_t FramePool::idle_bytes() const {
  const std::lock_guard lock(mutex_);
  return idle_bytes_;
}

}  // namespace sluice::net
