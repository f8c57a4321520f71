// SPDX-License-Identifier: Apache-2.0
#include "partition/producer_state.hpp"

#include <algorithm>
#include <limits>

namespace sluice::partition {
namespace {

int32_t next_sequence(int32_t last) {
  return last == std::numeric_limits<int32_t>::max() ? 0 : last + 1;
}

/// Whether a producer sends `sequence` after `other`, not long after.
bool is_behind(int32_t sequence, int32_t other) {
  constexpr uint32_t kSequenceBits = 0x7fffffff;
  const uint32_t distance = (static_cast<uint32_t>(sequence) - static_cast<uint32_t>(other)) & kSequenceBits;
  return distance != 0 && distance <= kSequenceBits / 2;
}

bool same(const ProducerBatch& known, const records::BatchInfo& batch) {
  return known.first_sequence == batch.base_sequence && known.last_sequence == batch.last_sequence();
}

}  // namespace

ProducerStates::Verdict ProducerStates::check(const records::BatchInfo& batch) {
  auto refuse = [](ErrorCode error) { return Verdict{Verdict::Kind::refuse, error, {}}; };
  auto found = producers_.find(batch.producer_id);
  if (found == producers_.end()) return check_first(batch);
  const State& state = found->second;
  const int16_t epoch = state.pending.empty() ? state.producer.epoch : state.pending.back().epoch;
  if (batch.producer_epoch < epoch) return refuse(ErrorCode::kInvalidProducerEpoch);
  if (epoch < 0) return check_first(batch);
  if (batch.producer_epoch > epoch) return batch.base_sequence == 0 ? Verdict{} : gap_before(batch);
  for (const Pending& pending : state.pending) {
    if (pending.epoch == batch.producer_epoch && same(pending.batch, batch))
      return {Verdict::Kind::pending_duplicate, ErrorCode::kNone, {}};
  }
  if (state.producer.epoch == batch.producer_epoch) {
    for (const ProducerBatch& known : state.producer.batches) {
      if (!same(known, batch)) continue;
      forget_refused(batch.producer_id, batch.producer_epoch, known.last_sequence);  // the retry has come
      return {Verdict::Kind::duplicate, ErrorCode::kNone, known};
    }
  }
  const ProducerBatch* last = nullptr;
  if (!state.pending.empty()) {
    last = &state.pending.back().batch;
  } else if (!state.producer.batches.empty()) {
    last = &state.producer.batches.back();
  }
  if (last != nullptr && batch.base_sequence != next_sequence(last->last_sequence)) return gap_before(batch);
  return {};
}

/// A producer that is not known, or not any more, may begin anywhere (KIP-360), but not behind what was refused.
ProducerStates::Verdict ProducerStates::check_first(const records::BatchInfo& batch) {
  auto found = refused_.find(batch.producer_id);
  if (found == refused_.end() || found->second.epoch != batch.producer_epoch ||
      found->second.first_sequence == batch.base_sequence)
    return {};
  return gap_before(batch);
}

ProducerStates::Verdict ProducerStates::gap_before(const records::BatchInfo& batch) {
  auto found = refused_.find(batch.producer_id);
  if (found != refused_.end() && found->second.epoch == batch.producer_epoch &&
      is_behind(batch.base_sequence, found->second.first_sequence) && found->second.followers < kMaxBehindRefused) {
    ++found->second.followers;
    return {Verdict::Kind::behind_refused, ErrorCode::kNone, {}};
  }
  return {Verdict::Kind::refuse, ErrorCode::kOutOfOrderSequenceNumber, {}};
}

void ProducerStates::refused(const records::BatchInfo& batch) {
  if (batch.has_producer_id()) note_refused(batch.producer_id, {batch.producer_epoch, batch.base_sequence});
}

void ProducerStates::note_refused(int64_t id, Refused batch) {
  if (refused_.size() >= kMaxProducers) refused_.clear();
  const auto [entry, fresh] = refused_.try_emplace(id, batch);
  if (fresh) return;
  Refused& known = entry->second;
  if (batch.epoch < known.epoch) return;
  if (batch.epoch > known.epoch || !is_behind(batch.first_sequence, known.first_sequence)) known = batch;
}

ProducerStates::State& ProducerStates::state_of(int64_t id, int64_t now_ms) {
  auto [found, fresh] = producers_.try_emplace(id);
  if (fresh) {
    found->second.producer.id = id;
    found->second.producer.last_seen_ms = now_ms;
    if (producers_.size() > kMaxProducers) {
      auto oldest = producers_.end();
      for (auto it = producers_.begin(); it != producers_.end(); ++it) {
        if (it->first == id || !it->second.pending.empty()) continue;
        if (oldest == producers_.end() || it->second.producer.last_seen_ms < oldest->second.producer.last_seen_ms)
          oldest = it;
      }
      if (oldest != producers_.end()) producers_.erase(oldest);
      return producers_.at(id);
    }
  }
  return found->second;
}

void ProducerStates::add_pending(const records::BatchInfo& batch, int64_t base_offset, int64_t timestamp_ms,
                                 uint64_t generation) {
  State& state = state_of(batch.producer_id, std::numeric_limits<int64_t>::max());
  ProducerBatch entry{batch.base_sequence, batch.last_sequence(), base_offset, base_offset + batch.last_offset_delta,
                      timestamp_ms};
  state.pending.push_back({entry, batch.producer_epoch, generation, {}});
}

void ProducerStates::wait_for(const records::BatchInfo& batch, ProduceDone done) {
  for (Pending& pending : producers_.at(batch.producer_id).pending) {
    if (pending.epoch == batch.producer_epoch && same(pending.batch, batch)) {
      pending.waiting.push_back(std::move(done));
      return;
    }
  }
}

void ProducerStates::remember(Producer& producer, int16_t epoch, const ProducerBatch& batch, int64_t now_ms) {
  if (producer.epoch != epoch) producer.batches.clear();
  producer.epoch = epoch;
  producer.last_seen_ms = now_ms;
  producer.batches.push_back(batch);
  if (producer.batches.size() > kRememberedBatches) producer.batches.erase(producer.batches.begin());
}

std::vector<ProduceDone> ProducerStates::commit(const records::BatchInfo& batch, int64_t base_offset, int64_t now_ms) {
  auto found = producers_.find(batch.producer_id);
  if (found == producers_.end()) return {};
  State& state = found->second;
  if (state.pending.empty() || state.pending.front().batch.base_offset != base_offset) return {};
  Pending first = std::move(state.pending.front());
  state.pending.pop_front();
  remember(state.producer, first.epoch, first.batch, now_ms);
  forget_refused(batch.producer_id, first.epoch, first.batch.last_sequence);
  return std::move(first.waiting);
}

void ProducerStates::forget_refused(int64_t id, int16_t epoch, int32_t last_sequence) {
  const auto refused = refused_.find(id);
  if (refused == refused_.end() || refused->second.epoch > epoch) return;
  if (refused->second.epoch == epoch && is_behind(refused->second.first_sequence, last_sequence)) return;
  refused_.erase(refused);
}

std::vector<ProduceDone> ProducerStates::drop_pending(uint64_t generation, int64_t from_offset) {
  std::vector<ProduceDone> waiting;
  for (auto it = producers_.begin(); it != producers_.end();) {
    State& state = it->second;
    std::erase_if(state.pending, [&](Pending& pending) {
      if (pending.generation > generation || pending.batch.base_offset < from_offset) return false;
      for (auto& done : pending.waiting) waiting.push_back(std::move(done));
      note_refused(it->first, {pending.epoch, pending.batch.first_sequence});
      return true;
    });
    it = state.pending.empty() && state.producer.epoch < 0 ? producers_.erase(it) : std::next(it);
  }
  return waiting;
}

void ProducerStates::replay(const records::BatchHeader& batch, int64_t seen_ms) {
  if (batch.producer_id < 0 || (batch.attributes & records::kControlBit) != 0) return;
  State& state = state_of(batch.producer_id, seen_ms);
  int64_t last_sequence = static_cast<int64_t>(batch.base_sequence) + batch.last_offset_delta;
  if (last_sequence > std::numeric_limits<int32_t>::max())
    last_sequence -= static_cast<int64_t>(std::numeric_limits<int32_t>::max()) + 1;
  const bool append_time = (batch.attributes & records::kLogAppendTimeBit) != 0;
  remember(state.producer, batch.producer_epoch,
           {batch.base_sequence, static_cast<int32_t>(last_sequence), batch.base_offset,
            batch.base_offset + batch.last_offset_delta, append_time ? batch.max_timestamp : -1},
           seen_ms);
}

void ProducerStates::restore(Producer producer) {
  const int64_t id = producer.id;
  producers_[id].producer = std::move(producer);
}

void ProducerStates::expire(int64_t before_ms) {
  std::erase_if(producers_, [&](const auto& entry) {
    if (!entry.second.pending.empty() || entry.second.producer.last_seen_ms >= before_ms) return false;
    refused_.erase(entry.first);
    return true;
  });
}

void ProducerStates::clear() {
  producers_.clear();
  refused_.clear();
}

std::vector<Producer> ProducerStates::all() const {
  std::vector<Producer> result;
  for (const auto& [id, state] : producers_) {
    if (state.producer.epoch >= 0) result.push_back(state.producer);
  }
  return result;
}

}  // namespace sluice::partition
