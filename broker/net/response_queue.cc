// SPDX-License-Identifier: Apache-2.0
#include "net/response_queue.hpp"

namespace sluice::net {

uint64_t ResponseQueue::open() {
  slots_.emplace_back();
  ++in_flight_;
  return first_ + slots_.size() - 1;
}

void ResponseQueue::finish(uint64_t place, Response response) {
  if (place < first_ || place - first_ >= slots_.size()) return;
  Slot& slot = slots_[place - first_];
  if (slot.done) return;
  slot.response = std::move(response);
  slot.done = true;
  will_close_ = will_close_ || slot.response.close_connection;
  store_be<int32_t>(slot.prefix.data(), static_cast<int32_t>(slot.response.segments.size()));
  queued_bytes_ += slot.size();
  --in_flight_;
}

void ResponseQueue::advance(uint64_t bytes) {
  queued_bytes_ -= bytes;
  written_ += bytes;
  while (ready() && written_ >= slots_.front().size() && !closing_) {
    written_ -= slots_.front().size();
    closing_ = slots_.front().response.close_connection;
    slots_.pop_front();
    ++first_;
  }
}

void ResponseQueue::drop() {
  first_ += slots_.size();
  slots_.clear();
  written_ = queued_bytes_ = 0;
  in_flight_ = 0;
}

}  // namespace sluice::net
