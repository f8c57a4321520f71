// SPDX-License-Identifier: Apache-2.0
// The events of one shard between producers and the one thread that delivers them: slots of one size, numbered by
// sequence.
//
// Producers claim sequences in order, write, and commit each slot by itself, so that one that is late holds up nobody
// but the reader. As long as one thread alone produces, it owns the ring and claims by plain stores; a second one takes
// that right away once, and from then on claims are compare-and-swaps, until one thread has been alone for long again.
//
//   released <= scanned (the reader's own) <= claimed <= released + capacity
//
// Sequences never wrap: there are none from kEndSequence on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "bus/frame.hpp"
#include "bus/one_at_a_time.hpp"
#include "bus/thread_token.hpp"

namespace sluice::bus {

inline constexpr uint64_t kEndSequence = UINT64_MAX;

class Ring {
 public:
  /// `capacity` events at most, 1 to 2^30; `slot_bytes` a multiple of 64. Throws std::bad_alloc. All memory is touched
  /// here, so that no producer pays for first use of a page.
  Ring(uint32_t capacity, uint32_t slot_bytes, uint64_t first_sequence);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // --- producers, inside (ThreadToken::enter) ---

  enum class Claim : uint8_t {
    granted,
    full,
    contended,  // leave, call settle_ownership(), and try again
    exhausted   // no sequence is left
  };
  struct Claimed {
    uint64_t first = 0;
    uint32_t count = 0;  // 1 to what was wanted
  };
  Claim claim(ThreadToken& me, uint32_t wanted, Claimed& claimed) {
    const uintptr_t owner = owner_.load(std::memory_order_acquire);
    if (owner != reinterpret_cast<uintptr_t>(&me)) [[unlikely]]
      return claim_shared(me, wanted, claimed, owner);
    const uint64_t at = claimed_.load(std::memory_order_relaxed);
    uint64_t room = limit_.load(std::memory_order_relaxed) - at;
    if (room < wanted) [[unlikely]] {
      room = find_room(at);
      if (room == 0) return at == kEndSequence ? Claim::exhausted : Claim::full;
      if (room < wanted) wanted = static_cast<uint32_t>(room);
    }
    claimed_.store(at + wanted, std::memory_order_release);
    claimed = {at, wanted};
    return Claim::granted;
  }
  /// Claims one event's slot. False: not granted; claim() says why.
  bool claim_one(ThreadToken& me, uint64_t& sequence) {
    if (owner_.load(std::memory_order_acquire) != reinterpret_cast<uintptr_t>(&me)) [[unlikely]]
      return claim_one_slowly(me, sequence);
    sequence = claimed_.load(std::memory_order_relaxed);
    if (limit_.load(std::memory_order_relaxed) == sequence) [[unlikely]]
      return claim_one_slowly(me, sequence);
    claimed_.store(sequence + 1, std::memory_order_release);
    return true;
  }
  Frame& slot(uint64_t sequence) {
    return *reinterpret_cast<Frame*>(slots_ + static_cast<size_t>(sequence & mask_) * slot_bytes_);
  }
  /// Fetches a slot somewhat behind this one, which this thread or another will write soon, with the right to write it.
  void prefetch_behind(const Frame& frame) const {
    // At the end of the ring this is nobody's memory, which is harmless.
    const uint8_t* at = reinterpret_cast<const uint8_t*>(&frame) + size_t{kPrefetchSlots} * slot_bytes_;
    prefetch_line(at);
    prefetch_line(at + 64);
    if (slot_bytes_ > 128) prefetch_line(at + 128);
  }
  static void commit(Frame& frame, uint64_t sequence) { frame.commit.store(sequence + 1, std::memory_order_release); }
  /// After a commit: true if the reader asked to be woken once there are events up to `sequence`. Says so once.
  bool should_wake(uint64_t sequence) {
    light_fence();
    if (static_cast<int64_t>(sequence + 1 - wake_at_.load(std::memory_order_relaxed)) < 0) [[likely]]
      return false;
    wake_at_.store(sequence + kNever, std::memory_order_relaxed);
    return true;
  }

  // --- producers, outside ---

  /// Settles who may claim how, after `contended`.
  void settle_ownership(ThreadToken& me);
  /// Gives up as many of the oldest events as it takes to have room for `wanted`, if they are committed and not yet
  /// taken by the reader. Adds them to the counter, and takes off the bytes of blocks, before anybody can see that they
  /// are gone. Waits while the reader takes a group. False: there was nothing to give up.
  bool evict(uint32_t wanted, std::atomic<uint64_t>& events, std::atomic<uint64_t>& spilled_bytes);

  // --- the reader, one thread ---

  struct Run {
    uint64_t first = 0;
    uint32_t count = 0;
    uint64_t payload_bytes = 0;
    uint64_t spilled_bytes = 0;     // of those that lie in blocks of their own
    bool stopped_by_bytes = false;  // the next event is there, and too large
    bool at_wrap = false;           // the next event lies elsewhere in memory
  };
  /// The committed events from `from` on that lie one behind the other in memory: as many as there are, until
  /// `max_events` or `max_bytes` are reached (with `first`, one comes whatever its size). Makes timestamps rise above
  /// `last_timestamp_ns`.
  Run scan(uint64_t from, uint32_t max_events, uint64_t max_bytes, bool first, int64_t& last_timestamp_ns);
  bool is_committed(uint64_t sequence) { return slot(sequence).commit.load(std::memory_order_acquire) == sequence + 1; }
  /// Everything below `end` may be overwritten. `spilled`: some of them own blocks.
  void release(uint64_t end, bool spilled);
  /// Asks should_wake() to say so when `sequence` is committed. What was committed before must be looked for
  /// afterwards.
  void wake_at(uint64_t sequence) { wake_at_.store(sequence + 1, std::memory_order_relaxed); }
  void wake_never() { wake_at_.store(claimed() + kNever, std::memory_order_relaxed); }
  /// Held by a reader that shares the ring with evict() while it takes events and releases them.
  std::mutex& take_mutex() { return take_mutex_; }

  // --- anyone ---

  uint64_t claimed() const { return claimed_.load(std::memory_order_acquire); }
  uint64_t released() const { return released_.load(std::memory_order_acquire); }
  uint32_t capacity() const { return capacity_; }
  uint32_t slot_bytes() const { return slot_bytes_; }
  uint32_t inline_bytes() const { return slot_bytes_ - static_cast<uint32_t>(sizeof(Frame)); }

 private:
  static constexpr uint32_t kPrefetchSlots = 6;  // between a slot that is written and one that is fetched
  static constexpr uint64_t kNever = uint64_t{1} << 62;
  // Values of owner_ that are no token.
  static constexpr uintptr_t kNobody = 0;
  static constexpr uintptr_t kChanging = 1;
  static constexpr uintptr_t kShared = 2;
  static constexpr uint64_t kFirstStreakClaims = 4096;  // by one thread, before it may own a shared ring

  static void prefetch_line(const uint8_t* at) {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(*at));
#else
    __builtin_prefetch(at, 1);
#endif
  }
  Claim claim_shared(ThreadToken& me, uint32_t wanted, Claimed& claimed, uintptr_t owner);
  bool claim_one_slowly(ThreadToken& me, uint64_t& sequence);
  uint64_t find_room(uint64_t at);

  uint8_t* slots_;
  uint64_t mask_;
  uint32_t slot_bytes_;
  uint32_t capacity_;
  std::atomic<uintptr_t> owner_{kNobody};
  std::atomic<uint64_t> streak_wanted_{kFirstStreakClaims};

  alignas(64) std::atomic<uint64_t> claimed_;
  std::atomic<uint64_t> limit_;             // claims may go up to it; renewed when reached
  std::atomic<uintptr_t> last_claimer_{0};  // shared mode; with streak_ a hint, not a count
  std::atomic<uint64_t> streak_{0};

  alignas(64) std::atomic<uint64_t> wake_at_;
  alignas(64) std::atomic<uint64_t> released_;
  std::mutex take_mutex_;
  OneAtATime reader_;
};

}  // namespace sluice::bus
