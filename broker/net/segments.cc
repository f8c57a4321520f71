// SPDX-License-Identifier: Apache-2.0
#include "net/segments.hpp"

#include <utility>

namespace sluice::net {

void SegmentChain::append(Buffer bytes) {
  if (bytes.empty()) return;
  segments_.push_back({.data = bytes.data(), .length = bytes.size()});
  size_ += bytes.size();
  owned_.push_back(std::move(bytes));
}

void SegmentChain::append(Bytes bytes, std::shared_ptr<const void> keep_alive) {
  if (bytes.empty()) return;
  segments_.push_back({.data = bytes.data(), .length = bytes.size()});
  size_ += bytes.size();
  keep(std::move(keep_alive));
}

void SegmentChain::append_file(int fd, uint64_t position, uint64_t length, std::shared_ptr<const void> keep_alive) {
  if (length == 0) return;
  segments_.push_back({.length = length, .position = position, .fd = fd});
  size_ += length;
  keep(std::move(keep_alive));
}

void SegmentChain::keep(std::shared_ptr<const void> owner) {
  if (owner != nullptr) keep_alive_.push_back(std::move(owner));
}

}  // namespace sluice::net
