// SPDX-License-Identifier: Apache-2.0
#include "net/timer_queue.hpp"

#include <limits>
#include <utility>

namespace sluice::net {

TimerId TimerQueue::add(int64_t deadline_ms, Job job) {
  uint32_t index = 0;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.job = std::move(job);
  slot.deadline_ms = deadline_ms;
  slot.order = next_order_++;
  heap_.push_back(index);
  slot.place = heap_.size() - 1;
  sift_up(slot.place);
  return (static_cast<TimerId>(slot.generation) << 32) | index;
}

bool TimerQueue::cancel(TimerId id) {
  const auto index = static_cast<uint32_t>(id);
  if (index >= slots_.size() || slots_[index].generation != id >> 32) return false;
  const Job job = remove(index);
  return true;
}

int64_t TimerQueue::next_deadline_ms() const {
  return heap_.empty() ? std::numeric_limits<int64_t>::max() : slots_[heap_.front()].deadline_ms;
}

std::optional<Job> TimerQueue::take_due(int64_t now_ms) {
  if (heap_.empty() || slots_[heap_.front()].deadline_ms > now_ms) return std::nullopt;
  return remove(heap_.front());
}

bool TimerQueue::before(uint32_t a, uint32_t b) const {
  const Slot &x = slots_[a], &y = slots_[b];
  return x.deadline_ms != y.deadline_ms ? x.deadline_ms < y.deadline_ms : x.order < y.order;
}

void TimerQueue::set(size_t place, uint32_t slot) {
  heap_[place] = slot;
  slots_[slot].place = place;
}

void TimerQueue::sift_up(size_t place) {
  const uint32_t slot = heap_[place];
  for (; place > 0 && before(slot, heap_[(place - 1) / 2]); place = (place - 1) / 2) set(place, heap_[(place - 1) / 2]);
  set(place, slot);
}

void TimerQueue::sift_down(size_t place) {
  const uint32_t slot = heap_[place];
  for (;;) {
    size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], slot)) break;
    set(place, heap_[child]);
    place = child;
  }
  set(place, slot);
}

Job TimerQueue::remove(uint32_t index) {
  Slot& slot = slots_[index];
  Job job = std::move(slot.job);
  slot.job = nullptr;
  if (++slot.generation == 0) slot.generation = 1;
  const size_t place = slot.place;
  const uint32_t last = heap_.back();
  heap_.pop_back();
  free_slots_.push_back(index);
  if (last != index) {
    set(place, last);
    sift_up(place);
    sift_down(slots_[last].place);
  }
  return job;
}

}  // namespace sluice::net
