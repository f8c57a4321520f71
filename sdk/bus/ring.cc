// SPDX-License-Identifier: Apache-2.0
#include "bus/ring.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace sluice::bus {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint64_t kScanAhead = 8;  // slots

}  // namespace

Ring::Ring(uint32_t capacity, uint32_t slot_bytes, uint64_t first_sequence)
    : mask_(std::bit_ceil(uint64_t{capacity}) - 1),
      slot_bytes_(slot_bytes),
      capacity_(capacity),
      claimed_(first_sequence),
      limit_(first_sequence),
      wake_at_(first_sequence + kNever),
      released_(first_sequence) {
  slots_ = static_cast<uint8_t*>(::operator new((mask_ + 1) * slot_bytes_, std::align_val_t{kPageBytes}));
  for (uint64_t i = 0; i <= mask_; ++i) {
    // A sequence that this slot cannot have next: its number is one lap behind.
    new (&slot(first_sequence + i)) Frame();
    slot(first_sequence + i).commit.store(first_sequence + i - mask_, std::memory_order_relaxed);
  }
}

Ring::~Ring() {
  for (uint64_t at = released(); at != claimed(); ++at) {
    if (is_committed(at)) release_event(slot(at));
  }
  ::operator delete(slots_, std::align_val_t{kPageBytes});
}

uint64_t Ring::find_room(uint64_t at) {
  const uint64_t used = at - released_.load(std::memory_order_acquire);
  // A claim of another thread that came between may make `used` larger than it is.
  const uint64_t room = std::min(used >= capacity_ ? 0 : capacity_ - used, kEndSequence - at);
  limit_.store(at + room, std::memory_order_relaxed);
  return room;
}

// A call of its own, so that nothing of what it needs weighs on who claims without it.
bool Ring::claim_one_slowly(ThreadToken& me, uint64_t& sequence) {
  Claimed claimed;
  if (claim(me, 1, claimed) != Claim::granted) return false;
  sequence = claimed.first;
  return true;
}

Ring::Claim Ring::claim_shared(ThreadToken& me, uint32_t wanted, Claimed& claimed, uintptr_t owner) {
  if (owner != kShared) return Claim::contended;
  const auto myself = reinterpret_cast<uintptr_t>(&me);
  if (last_claimer_.load(std::memory_order_relaxed) == myself) {
    const uint64_t streak = streak_.load(std::memory_order_relaxed) + 1;
    streak_.store(streak, std::memory_order_relaxed);
    if (streak >= streak_wanted_.load(std::memory_order_relaxed)) return Claim::contended;
  } else {
    last_claimer_.store(myself, std::memory_order_relaxed);
    streak_.store(0, std::memory_order_relaxed);
  }
  uint64_t at = claimed_.load(std::memory_order_relaxed);
  for (;;) {
    // `at` is no newer than released_ read after it, but it may be old: then the exchange fails.
    const uint64_t used = at - released_.load(std::memory_order_acquire);
    const uint64_t room = std::min(static_cast<int64_t>(used) < 0 ? capacity_
                                   : used >= capacity_            ? 0
                                                                  : capacity_ - used,
                                   kEndSequence - at);
    if (room == 0) {
      const uint64_t now = claimed_.load(std::memory_order_acquire);
      if (now == at) return at == kEndSequence ? Claim::exhausted : Claim::full;
      at = now;
      continue;
    }
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(room, wanted));
    if (claimed_.compare_exchange_weak(at, at + count, std::memory_order_acq_rel, std::memory_order_relaxed)) {
      claimed = {at, count};
      return Claim::granted;
    }
  }
}

void Ring::settle_ownership(ThreadToken& me) {
  uintptr_t owner = owner_.load(std::memory_order_acquire);
  const auto myself = reinterpret_cast<uintptr_t>(&me);
  if (owner == myself) return;
  if (owner == kChanging) {
    sched_yield();
    return;
  }
  if (owner == kNobody) {
    owner_.compare_exchange_strong(owner, myself, std::memory_order_acq_rel);
    return;
  }
  if (owner == kShared) {
    if (last_claimer_.load(std::memory_order_relaxed) != myself) return;
    if (!owner_.compare_exchange_strong(owner, kChanging, std::memory_order_acq_rel)) return;
    streak_.store(0, std::memory_order_relaxed);
    ThreadToken::await_all_outside();
    limit_.store(claimed_.load(std::memory_order_acquire), std::memory_order_relaxed);
    owner_.store(myself, std::memory_order_release);
    return;
  }
  if (!owner_.compare_exchange_strong(owner, kChanging, std::memory_order_acq_rel)) return;
  heavy_fence();
  reinterpret_cast<ThreadToken*>(owner)->await_outside();
  // Each time it was wrong to let one thread own the ring, it has to be alone for longer.
  const uint64_t streak = streak_wanted_.load(std::memory_order_relaxed);
  streak_wanted_.store(std::min<uint64_t>(streak * 4, uint64_t{1} << 40), std::memory_order_relaxed);
  streak_.store(0, std::memory_order_relaxed);
  owner_.store(kShared, std::memory_order_release);
}

bool Ring::evict(uint32_t wanted, std::atomic<uint64_t>& events, std::atomic<uint64_t>& spilled_bytes) {
  const std::lock_guard lock(take_mutex_);
  const uint64_t first = released_.load(std::memory_order_relaxed);
  const uint64_t end = claimed();
  uint64_t at = first;
  uint64_t spilled = 0;
  while (at != end && capacity_ - (end - at) < std::min(wanted, capacity_) && is_committed(at)) {
    if (slot(at).spilled) spilled += payload_bytes(slot(at));
    release_event(slot(at));
    ++at;
  }
  if (at == first) return false;
  events.fetch_add(at - first, std::memory_order_relaxed);
  spilled_bytes.fetch_sub(spilled, std::memory_order_relaxed);
  released_.store(at, std::memory_order_release);
  return true;
}

Ring::Run Ring::scan(uint64_t from, uint32_t max_events, uint64_t max_bytes, bool first, int64_t& last_timestamp_ns) {
  const auto use = reader_.use();
  Run run;
  run.first = from;
  const uint64_t until_wrap = mask_ + 1 - (from & mask_);
  // What nobody claimed is not looked at, nor fetched: that would take its lines away from who writes them next.
  const uint64_t end = claimed();
  const auto most = static_cast<uint32_t>(std::min({uint64_t{max_events}, until_wrap, end - from}));
  while (run.count < most) {
    const uint64_t sequence = from + run.count;
    if (run.count + kScanAhead < most) __builtin_prefetch(&slot(sequence + kScanAhead));
    Frame& frame = slot(sequence);
    if (frame.commit.load(std::memory_order_acquire) != sequence + 1) break;
    const uint64_t bytes = payload_bytes(frame);
    if (run.payload_bytes + bytes > max_bytes && !(first && run.count == 0)) {
      run.stopped_by_bytes = true;
      break;
    }
    if (frame.timestamp_ns <= last_timestamp_ns) [[unlikely]]
      frame.timestamp_ns = last_timestamp_ns + 1;
    last_timestamp_ns = frame.timestamp_ns;
    run.spilled_bytes += frame.spilled ? bytes : 0;
    run.payload_bytes += bytes;
    ++run.count;
  }
  run.at_wrap = run.count == until_wrap;
  return run;
}

void Ring::release(uint64_t end, bool spilled) {
  const auto use = reader_.use();
  if (spilled) {
    for (uint64_t at = released_.load(std::memory_order_relaxed); at != end; ++at) release_event(slot(at));
  }
  released_.store(end, std::memory_order_release);
}

}  // namespace sluice::bus
