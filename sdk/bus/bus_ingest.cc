// SPDX-License-Identifier: Apache-2.0
// The way of an event into its shard. A thread is "inside" (thread_token.hpp) only between choosing a shard and
// committing the slot; it leaves before anything that may wait, and then chooses again, since the shard may be gone.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "bus/bus_impl.hpp"
#include "bus/key_hash.hpp"

namespace sluice {

using bus::Ring;
using bus::Table;
using bus::ThreadToken;

namespace {

constexpr uint32_t kGroupEvents = 256;  // of a batch, routed and claimed together
constexpr uint32_t kUnchosen = UINT32_MAX;

/// Memory of a spilled event until a slot owns it.
struct Spill {
  uint8_t* memory = nullptr;
  Spill() = default;
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;
  ~Spill() {
    if (memory != nullptr) std::free(memory);
  }
  uint8_t* release() { return std::exchange(memory, nullptr); }
};

}  // namespace

inline Bus::Impl::Sized Bus::Impl::size_of(const Event& event) const {
  Sized sized;
  uint64_t payload = (event.key ? event.key->size() : 0);
  if (payload > kMaxEventBytes) return {.outcome = Outcome::invalid};
  if (event.value) {
    if (event.value->size() > kMaxEventBytes) return {.outcome = Outcome::invalid};
    payload += event.value->size();
  }
  if (!event.headers.empty()) [[unlikely]] {
    if (event.headers.size() > kMaxEventHeaders) return {.outcome = Outcome::invalid};
    for (const Header& header : event.headers) {
      if (header.name.size() > kMaxEventBytes || (header.value && header.value->size() > kMaxEventBytes)) {
        return {.outcome = Outcome::invalid};
      }
    }
    const size_t header_bytes = bus::encoded_header_bytes(event.headers);
    payload += header_bytes;
    if (payload > options_.max_event_bytes) return {.outcome = Outcome::too_large};
    sized.header_bytes = static_cast<uint32_t>(header_bytes);
  }
  if (payload > options_.max_event_bytes) return {.outcome = Outcome::too_large};
  sized.payload = static_cast<uint32_t>(payload);
  return sized;
}

/// Asks the application's function, outside. False: it names no shard.
bool Bus::Impl::ask_route(const Event& event, uint32_t& count, uint32_t& choice) const {
  choice = options_.route(event, count);
  return choice < count;
}

inline bus::Shard* Bus::Impl::choose(const Table& table, const Event& event, ThreadToken& me, uint64_t hash,
                                     uint32_t custom) const {
  if (by_key_ && event.key) [[likely]]
    return table.shards[bus::pick(hash, table.count)];
  if (options_.routing == Route::custom) return table.shards[custom];
  return table.shards[me.next_turn() % table.count];
}

/// In mode `sample`: this event is one of those that are left out.
bool Bus::Impl::sample_out(Shard& shard, ThreadToken& me) const {
  const uint64_t used = shard.ring.claimed() - shard.ring.released();
  return used * 2 >= shard.ring.capacity() && me.next_sample() % options_.sample_one_in != 0;
}

/// The short way: an event without headers that fits into its slot, room in its shard, nobody to ask. Everything else
/// goes the long way, by a call that comes last and takes nothing over: so the short way keeps nothing ready for it.
Outcome Bus::Impl::ingest(const Event& event) {
  Bytes key;
  Bytes value;
  if (event.key) [[likely]]
    key = *event.key;
  if (event.value) [[likely]]
    value = *event.value;
  if (key.size() >= short_end_ || value.size() >= short_end_ - key.size() || !event.headers.empty()) [[unlikely]]
    return ingest_long(event);
  ThreadToken& me = ThreadToken::current();
  const int64_t timestamp_ns = clock_.now_ns();
  me.enter();
  const Table& table = *table_.load(std::memory_order_acquire);
  if (table.count == 0) [[unlikely]] {
    me.leave();
    return ingest_long(event);
  }
  const uint32_t chosen =
      by_key_ && event.key ? bus::pick(bus::hash_key(key), table.count) : me.next_turn() % table.count;
  Shard& shard = *table.shards[chosen];
  Ring& ring = shard.ring;
  uint64_t at;
  if (!ring.claim_one(me, at)) [[unlikely]] {
    me.leave();
    return ingest_long(event);
  }
  bus::Frame& frame = ring.slot(at);
  ring.prefetch_behind(frame);
  frame.timestamp_ns = timestamp_ns;
  bus::write_event(event, 0, nullptr, frame);
  Ring::commit(frame, at);
  if (ring.should_wake(at)) [[unlikely]]
    shard.notify();
  me.leave();
  return Outcome::queued;
}

[[gnu::noinline]] Outcome Bus::Impl::ingest_long(const Event& event) {
  const Sized sized = size_of(event);
  if (sized.outcome != Outcome::queued) return sized.outcome;
  int64_t until_ns = -1;
  return ingest_sized(event, sized, ThreadToken::current(), until_ns);
}

Outcome Bus::Impl::ingest_sized(const Event& event, const Sized& sized, ThreadToken& me, int64_t& until_ns) {
  const uint64_t hash = by_key_ && event.key ? bus::hash_key(*event.key) : 0;
  Spill spill;
  uint32_t custom = 0;
  uint32_t custom_count = kUnchosen;
  for (;;) {
    me.enter();
    const Table& table = *table_.load(std::memory_order_acquire);
    if (table.count == 0) [[unlikely]] {
      const bool closed = table.closed;
      me.leave();
      count_unrouted();
      return closed ? Outcome::shutting_down : Outcome::no_route;
    }
    if (options_.routing == Route::custom && custom_count != table.count) [[unlikely]] {
      custom_count = table.count;
      me.leave();
      if (!ask_route(event, custom_count, custom)) return count_unrouted(), Outcome::no_route;
      continue;
    }
    Shard& shard = *choose(table, event, me, hash, custom);
    Ring& ring = shard.ring;
    const bool spills = sized.payload > ring.inline_bytes();
    if (spills) [[unlikely]] {
      if (spill.memory == nullptr) {
        me.leave();
        spill.memory = static_cast<uint8_t*>(std::malloc(sized.payload));
        if (spill.memory == nullptr)
          return refused_unqueued_.fetch_add(1, std::memory_order_relaxed), Outcome::no_memory;
        continue;
      }
    }
    if (options_.when_full == WhenFull::sample && sample_out(shard, me)) [[unlikely]] {
      shard.dropped_sampled.fetch_add(1, std::memory_order_relaxed);
      me.leave();
      return Outcome::dropped;
    }
    const int64_t timestamp_ns = clock_.now_ns();
    Ring::Claimed claimed;
    Ring::Claim claim = Ring::Claim::full;
    if (!spills || shard.spilled_bytes.load(std::memory_order_relaxed) + sized.payload <= options_.max_spilled_bytes)
        [[likely]] {
      claim = ring.claim(me, 1, claimed);
    }
    if (claim == Ring::Claim::granted) [[likely]] {
      bus::Frame& frame = ring.slot(claimed.first);
      ring.prefetch_behind(frame);
      frame.timestamp_ns = timestamp_ns;
      if (spills) [[unlikely]] {
        shard.spilled_bytes.fetch_add(sized.payload, std::memory_order_relaxed);
        shard.spilled_events.fetch_add(1, std::memory_order_relaxed);
      }
      bus::write_event(event, sized.header_bytes, spill.release(), frame);
      Ring::commit(frame, claimed.first);
      const bool wake = ring.should_wake(claimed.first);
      if (wake) [[unlikely]]
        shard.notify();
      me.leave();
      return Outcome::queued;
    }
    // What follows may wait: outside, with the shard held.
    std::shared_ptr<Shard> held = shard.shared_from_this();
    me.leave();
    if (claim == Ring::Claim::contended) {
      held->ring.settle_ownership(me);
      continue;
    }
    if (claim == Ring::Claim::exhausted) {
      held->refused.fetch_add(1, std::memory_order_relaxed);
      return Outcome::exhausted;
    }
    const Outcome outcome = make_room(std::move(held), spills ? sized.payload : 0, until_ns);
    if (outcome != Outcome::queued) return outcome;
  }
}

/// What WhenFull says about a full shard. `queued`: try again.
Outcome Bus::Impl::make_room(std::shared_ptr<Shard> shard, uint64_t spilled_bytes, int64_t& until_ns) {
  const auto refuse = [&](Outcome outcome) {
    shard->refused.fetch_add(1, std::memory_order_relaxed);
    return outcome;
  };
  switch (options_.when_full) {
    case WhenFull::fail:
      return refuse(Outcome::full);
    case WhenFull::sample:
      shard->dropped_sampled.fetch_add(1, std::memory_order_relaxed);
      return Outcome::dropped;
    case WhenFull::drop_newest:
      shard->dropped_newest.fetch_add(1, std::memory_order_relaxed);
      return Outcome::dropped;
    case WhenFull::drop_oldest: {
      // For bytes of large events too, the oldest go one by one until there is room.
      const uint64_t used = shard->ring.claimed() - shard->ring.released();
      const auto wanted = static_cast<uint32_t>(used >= shard->ring.capacity() ? 1 : shard->ring.capacity() - used + 1);
      // Otherwise the oldest one is still being written, or room came by itself.
      if (!shard->ring.evict(wanted, shard->dropped_oldest, shard->spilled_bytes)) sched_yield();
      return Outcome::queued;
    }
    case WhenFull::block:
      break;
  }
  const int64_t now_ns = bus::monotonic_ns();
  if (until_ns < 0) until_ns = now_ns + int64_t{options_.block_ms} * 1'000'000;
  // A thread that delivers would wait for itself.
  if (now_ns >= until_ns || bus::Pump::is_current(context_.get())) return refuse(Outcome::timed_out);
  shard->room.wait(until_ns, [&] {
    return shard->ring.claimed() - shard->ring.released() < shard->ring.capacity() &&
           (spilled_bytes == 0 ||
            shard->spilled_bytes.load(std::memory_order_relaxed) + spilled_bytes <= options_.max_spilled_bytes);
  });
  return Outcome::queued;
}

BatchOutcome Bus::Impl::ingest(std::span<const Event> events) {
  BatchOutcome result;
  result.index = events.size();
  ThreadToken& me = ThreadToken::current();
  std::array<uint8_t, kGroupEvents> left_over;
  int64_t until_ns = -1;
  // A batch of one group is checked while it is routed, before anything is claimed; others, and what is not simple,
  // beforehand.
  if (events.size() <= kGroupEvents && ingest_group(events, me, result, left_over)) {
    for (size_t i = 0; result.queued != events.size() && i < events.size(); ++i) {
      if (left_over[i] != 0) ingest_one_of(events, i, me, until_ns, result);
    }
    return result;
  }
  for (size_t i = 0; i < events.size(); ++i) {
    const Sized sized = size_of(events[i]);
    if (sized.outcome != Outcome::queued) [[unlikely]] {
      return {.outcome = sized.outcome, .index = i};
    }
  }
  for (size_t at = 0; at < events.size(); at += kGroupEvents) {
    const size_t count = std::min<size_t>(events.size() - at, kGroupEvents);
    if (!ingest_group(events.subspan(at, count), me, result, left_over)) left_over.fill(1);
    for (size_t i = 0; i < count; ++i) {
      if (left_over[i] != 0) ingest_one_of(events, at + i, me, until_ns, result);
    }
  }
  return result;
}

void Bus::Impl::ingest_one_of(std::span<const Event> events, size_t i, ThreadToken& me, int64_t& until_ns,
                              BatchOutcome& result) {
  const Outcome outcome = ingest_sized(events[i], size_of(events[i]), me, until_ns);
  // Who waited in vain once waits no more in this call, or a sink that hangs would hold it for each event anew.
  if (outcome == Outcome::queued && result.outcome != Outcome::timed_out) until_ns = -1;
  result.queued += outcome == Outcome::queued;
  result.dropped += outcome == Outcome::dropped;
  if (outcome == Outcome::queued || outcome == Outcome::dropped || result.outcome != Outcome::queued) return;
  result.outcome = outcome;
  result.index = i;
}

/// Takes in what of one group can be claimed at once; `left_over` tells what stays behind. False: it has events that
/// must go the long way, or there is no shard; nothing was taken.
bool Bus::Impl::ingest_group(std::span<const Event> events, ThreadToken& me, BatchOutcome& result,
                             std::span<uint8_t> left_over) {
  if (short_end_ == 0) return false;
  std::array<uint8_t, kGroupEvents> chosen;
  std::array<Share, kMaxBusShards> shares;
  me.enter();
  const Table& table = *table_.load(std::memory_order_acquire);
  const bool routed = route_group(events, table, me, chosen, shares);
  if (routed) {
    if (claim_group(events.size(), table, me, shares)) {
      result.queued += write_all(events, chosen, shares);
      std::fill_n(left_over.begin(), events.size(), uint8_t{0});
    } else {
      result.queued += write_some(events, chosen, shares, left_over);
    }
    for (uint32_t s = 0; s < table.count; ++s) {
      if (shares[s].written && shares[s].ring->should_wake(shares[s].next - 1)) table.shards[s]->notify();
    }
  }
  me.leave();
  return routed;
}

/// Where each event goes, and how many each shard gets. False: there is no shard, or an event needs more than a slot.
inline bool Bus::Impl::route_group(std::span<const Event> events, const Table& table, ThreadToken& me,
                                   std::span<uint8_t> chosen, std::span<Share> shares) const {
  if (table.count == 0) return false;
  for (uint32_t s = 0; s < table.count; ++s) shares[s] = {&table.shards[s]->ring, 0, 0, 0, false};
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    const size_t payload = (event.key ? event.key->size() : 0) + (event.value ? event.value->size() : 0);
    if (payload >= short_end_ || !event.headers.empty()) [[unlikely]]
      return false;
    const uint32_t shard =
        by_key_ && event.key ? bus::pick(bus::hash_key(*event.key), table.count) : me.next_turn() % table.count;
    chosen[i] = static_cast<uint8_t>(shard);
    ++shares[shard].wanted;
  }
  return true;
}

/// Claims what each shard is to get; false if some got less.
inline bool Bus::Impl::claim_group(size_t count, const Table& table, ThreadToken& me, std::span<Share> shares) const {
  size_t granted = 0;
  for (uint32_t s = 0; s < table.count; ++s) {
    Share& share = shares[s];
    Ring::Claimed claimed;
    if (share.wanted == 0 || share.ring->claim(me, share.wanted, claimed) != Ring::Claim::granted) continue;
    share.next = claimed.first;
    share.left = claimed.count;
    share.written = true;
    granted += claimed.count;
  }
  return granted == count;
}

inline size_t Bus::Impl::write_all(std::span<const Event> events, std::span<const uint8_t> chosen,
                                   std::span<Share> shares) {
  const int64_t timestamp_ns = clock_.now_ns();
  for (size_t i = 0; i < events.size(); ++i) {
    Share& share = shares[chosen[i]];
    bus::Frame& frame = share.ring->slot(share.next);
    share.ring->prefetch_behind(frame);
    frame.timestamp_ns = timestamp_ns + static_cast<int64_t>(i);
    bus::write_event(events[i], 0, nullptr, frame);
    Ring::commit(frame, share.next++);
  }
  return events.size();
}

/// What finds no room stays behind, and what follows it in its shard too.
size_t Bus::Impl::write_some(std::span<const Event> events, std::span<const uint8_t> chosen, std::span<Share> shares,
                             std::span<uint8_t> left_over) {
  const int64_t timestamp_ns = clock_.now_ns();
  size_t written = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    Share& share = shares[chosen[i]];
    left_over[i] = share.left == 0 ? 1 : 0;
    if (left_over[i] != 0) continue;
    --share.left;
    bus::Frame& frame = share.ring->slot(share.next);
    frame.timestamp_ns = timestamp_ns + static_cast<int64_t>(i);
    bus::write_event(events[i], 0, nullptr, frame);
    Ring::commit(frame, share.next++);
    ++written;
  }
  return written;
}

Outcome Bus::ingest(const Event& event) {
  return impl_->ingest(event);
}
BatchOutcome Bus::ingest(std::span<const Event> events) {
  return impl_->ingest(events);
}

}  // namespace sluice
