// SPDX-License-Identifier: Apache-2.0
// Memory of reads that nobody looks at any more, for the next ones: pages that are mapped already, and most likely
// still in a core's caches. Shared by the sources of a storage. Any thread.
#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/sanitizers.hpp"

namespace sluice::sources {

class SpareBuffers {
 public:
  static constexpr size_t kMaxKeptBytes = 8 << 20;  // of all that is kept
  static constexpr size_t kMinBufferBytes = 4096;   // less is not worth the search

  /// `size` bytes, uninitialised; the memory that was given back last, if it is no less and no more than twice as much.
  Buffer take(size_t size) {
    Buffer buffer = find(size);
    buffer.resize(size);
    return buffer;
  }

  /// Keeps `buffer`, or frees it where that would be too much, or it is too small.
  void give_back(Buffer buffer) {
    if (kNone || buffer.capacity() < kMinBufferBytes || buffer.capacity() > kMaxKeptBytes) return;
    const std::lock_guard lock(mutex_);
    if (kept_bytes_ + buffer.capacity() > kMaxKeptBytes) return;
    kept_bytes_ += buffer.capacity();
    kept_.push_back(std::move(buffer));
  }

  size_t count() const {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }

 private:
  // AddressSanitizer is to see who reads a page whose lease is gone: nothing is kept then.
  static constexpr bool kNone = SLUICE_ADDRESS_SANITIZER != 0;

  Buffer find(size_t size) {
    const std::lock_guard lock(mutex_);
    for (size_t i = kept_.size(); i-- > 0;) {
      if (kept_[i].capacity() < size || kept_[i].capacity() / 2 > size) continue;
      Buffer buffer = std::move(kept_[i]);
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
      kept_bytes_ -= buffer.capacity();
      return buffer;
    }
    return {};
  }

  mutable std::mutex mutex_;  // guards all below
  std::vector<Buffer> kept_;
  size_t kept_bytes_ = 0;
};

}  // namespace sluice::sources
