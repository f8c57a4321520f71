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
constexpr uint32_t kPrefetchSlots = 6;  // between a slot that is written and one that is fetched
constexpr uint32_t kUnchosen = UINT32_MAX;

/// Memory of a spilled event until a slot owns it.
struct Spill {
  uint8_t* memory = nullptr;
  Spill() = default;
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;
  ~Spill() { std::free(memory); }
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
  if (options_.routing == Route::by_key && event.key) [[likely]]
    return table.shards[bus::pick(hash, table.count)];
  if (options_.routing == Route::custom) return table.shards[custom];
  return table.shards[me.next_turn() % table.count];
}

/// In mode `sample`: this event is one of those that are left out.
bool Bus::Impl::sample_out(Shard& shard, ThreadToken& me) const {
  const uint64_t used = shard.ring.claimed() - shard.ring.released();
  return used * 2 >= shard.ring.capacity() && me.next_sample() % options_.sample_one_in != 0;
}

Outcome Bus::Impl::ingest(const Event& event) {
  const Sized sized = size_of(event);
  if (sized.outcome != Outcome::queued) [[unlikely]]
    return sized.outcome;
  return ingest_sized(event, sized, ThreadToken::current());
}

Outcome Bus::Impl::ingest_sized(const Event& event, const Sized& sized, ThreadToken& me) {
  const uint64_t hash = options_.routing == Route::by_key && event.key ? bus::hash_key(*event.key) : 0;
  Spill spill;
  int64_t until_ns = -1;
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
      ring.prefetch(claimed.first + kPrefetchSlots);
      bus::Frame& frame = ring.slot(claimed.first);
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
      const bool for_spill =
          spilled_bytes != 0 && shard->ring.claimed() - shard->ring.released() < shard->ring.capacity();
      const uint32_t wanted = for_spill ? shard->ring.capacity() : 1;
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
  for (size_t i = 0; i < events.size(); ++i) {
    const Sized sized = size_of(events[i]);
    if (sized.outcome != Outcome::queued) [[unlikely]] {
      return {.outcome = sized.outcome, .index = i};
    }
  }
  ThreadToken& me = ThreadToken::current();
  for (size_t at = 0; at < events.size();) {
    const std::span<const Event> group = events.subspan(at, std::min<size_t>(events.size() - at, kGroupEvents));
    at += ingest_group(group, me, result, at);
  }
  return result;
}

/// Takes one group in, as many of its events as can be claimed at once that way, the others one by one; returns its
/// size.
size_t Bus::Impl::ingest_group(std::span<const Event> events, ThreadToken& me, BatchOutcome& result, size_t base) {
  const auto one_by_one = [&](size_t i) {
    const Outcome outcome = ingest_sized(events[i], size_of(events[i]), me);
    result.queued += outcome == Outcome::queued;
    result.dropped += outcome == Outcome::dropped;
    if (outcome == Outcome::queued || outcome == Outcome::dropped || result.outcome != Outcome::queued) return;
    result.outcome = outcome;
    result.index = base + i;
  };
  // What asks callbacks, draws lots, or needs memory goes the long way.
  bool plain = options_.routing != Route::custom && options_.when_full != WhenFull::sample;
  const uint32_t inline_bytes = bus::Shard::inline_bytes(options_);
  std::array<uint64_t, kGroupEvents> hashes;
  for (size_t i = 0; i < events.size() && plain; ++i) {
    const Event& event = events[i];
    plain = event.headers.empty() &&
            (event.key ? event.key->size() : 0) + (event.value ? event.value->size() : 0) <= inline_bytes;
    hashes[i] = options_.routing == Route::by_key && event.key ? bus::hash_key(*event.key) : 0;
  }
  if (!plain) {
    for (size_t i = 0; i < events.size(); ++i) one_by_one(i);
    return events.size();
  }
  struct Share {
    uint64_t next = 0;
    uint32_t left = 0;
  };
  std::array<uint8_t, kGroupEvents> chosen;
  std::array<Share, kMaxBusShards> shares;
  std::array<uint32_t, kMaxBusShards> wanted;
  size_t written = 0;
  bool partly = false;

  me.enter();
  const Table& table = *table_.load(std::memory_order_acquire);
  std::fill_n(wanted.begin(), table.count, 0U);
  for (size_t i = 0; i < events.size() && table.count != 0; ++i) {
    const bool hashed = options_.routing == Route::by_key && events[i].key;
    const uint32_t shard = hashed ? bus::pick(hashes[i], table.count) : me.next_turn() % table.count;
    chosen[i] = static_cast<uint8_t>(shard);
    ++wanted[shard];
  }
  partly = table.count == 0;
  for (uint32_t s = 0; s < table.count; ++s) {
    shares[s] = Share{};
    if (wanted[s] == 0) continue;
    Ring::Claimed claimed;
    if (table.shards[s]->ring.claim(me, wanted[s], claimed) == Ring::Claim::granted)
      shares[s] = {claimed.first, claimed.count};
    partly |= shares[s].left != wanted[s];
  }
  if (!partly) [[likely]] {
    const int64_t timestamp_ns = clock_.now_ns();
    for (; written < events.size(); ++written) {
      Share& share = shares[chosen[written]];
      Ring& ring = table.shards[chosen[written]]->ring;
      ring.prefetch(share.next + kPrefetchSlots);
      bus::Frame& frame = ring.slot(share.next);
      frame.timestamp_ns = timestamp_ns + static_cast<int64_t>(written);
      bus::write_event(events[written], 0, nullptr, frame);
      Ring::commit(frame, share.next++);
    }
  } else {
    // What found no room stays behind, all that follows it in its shard too.
    std::array<bool, kGroupEvents> left_over{};
    const int64_t timestamp_ns = clock_.now_ns();
    for (size_t i = 0; i < events.size(); ++i) {
      left_over[i] = table.count == 0 || shares[chosen[i]].left == 0;
      if (left_over[i]) continue;
      Share& share = shares[chosen[i]];
      --share.left;
      bus::Frame& frame = table.shards[chosen[i]]->ring.slot(share.next);
      frame.timestamp_ns = timestamp_ns;
      bus::write_event(events[i], 0, nullptr, frame);
      Ring::commit(frame, share.next++);
      ++written;
    }
    for (uint32_t s = 0; s < table.count; ++s) {
      if (shares[s].next != 0 && table.shards[s]->ring.should_wake(shares[s].next - 1)) table.shards[s]->notify();
    }
    me.leave();
    result.queued += written;
    for (size_t i = 0; i < events.size(); ++i) {
      if (left_over[i]) one_by_one(i);
    }
    return events.size();
  }
  for (uint32_t s = 0; s < table.count; ++s) {
    if (wanted[s] != 0 && table.shards[s]->ring.should_wake(shares[s].next - 1)) table.shards[s]->notify();
  }
  me.leave();
  result.queued += written;
  return events.size();
}

}  // namespace sluice
