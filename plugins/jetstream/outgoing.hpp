// SPDX-License-Identifier: Apache-2.0
// What goes to the server: a message whose payload may lie in several places. Refers to them, copies nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "jetstream/event_loop.hpp"

namespace sluice::jetstream {

/// Bytes in order, in one place or in several.
class Pieces {
 public:
  Pieces() = default;
  Pieces(Bytes one) { add(one); }  // NOLINT(google-explicit-constructor): bytes in one place

  void add(Bytes piece) {
    if (piece.empty()) return;
    list_.push_back(piece);
    size_ += piece.size();
  }
  size_t size() const { return size_; }
  const std::vector<Bytes>& list() const { return list_; }

  /// `size` bytes from `from` on, fewer where it ends before.
  Pieces part(size_t from, size_t size) const {
    Pieces some;
    for (const Bytes piece : list_) {
      const size_t skipped = std::min(from, piece.size());
      const size_t taken = std::min(piece.size() - skipped, size);
      some.add(piece.subspan(skipped, taken));
      from -= skipped;
      size -= taken;
    }
    return some;
  }
  Buffer copy() const {
    Buffer whole;
    whole.reserve(size_);
    for (const Bytes piece : list_) whole.append(piece);
    return whole;
  }

 private:
  std::vector<Bytes> list_;
  size_t size_ = 0;
};

/// Everything it refers to stays until the reply.
struct Outgoing {
  std::string subject;
  std::vector<std::pair<std::string, std::string>> headers;
  Pieces payload;
  int64_t deadline_ns = kNoDeadlineNs;
};

}  // namespace sluice::jetstream
