// SPDX-License-Identifier: Apache-2.0
#include "partition/native_producers.hpp"

#include <algorithm>

namespace sluice::partition {

bool NativeProducers::same(const Batch& known, const records::BatchInfo& batch) {
  return known.epoch == batch.producer_epoch && known.first_sequence == batch.base_sequence &&
         known.last_sequence == batch.last_sequence();
}

NativeProducers::Verdict NativeProducers::check(const records::BatchInfo& batch) const {
  const auto found = producers_.find(batch.producer_id);
  if (found == producers_.end() || batch.producer_epoch > found->second.epoch) return {};
  if (batch.producer_epoch < found->second.epoch) return {Verdict::Kind::fenced};
  for (const Batch& known : found->second.batches) {
    if (!same(known, batch)) continue;
    if (known.base_offset < 0) return {Verdict::Kind::pending_duplicate};
    return {Verdict::Kind::duplicate, known.base_offset};
  }
  return {};
}

void NativeProducers::add(const records::BatchInfo& batch, int64_t now_ms) {
  if (producers_.size() >= kMaxProducers && !producers_.contains(batch.producer_id)) make_room();
  Producer& producer = producers_[batch.producer_id];
  if (producer.epoch != batch.producer_epoch) {
    // Batches of the epoch before that are still under way keep their place: somebody may wait for them.
    std::erase_if(producer.batches, [](const Batch& known) { return known.base_offset >= 0; });
    producer.epoch = batch.producer_epoch;
  }
  producer.last_seen_ms = now_ms;
  producer.batches.push_back({batch.producer_epoch, batch.base_sequence, batch.last_sequence(), -1, {}});
  for (auto known = producer.batches.begin();
       producer.batches.size() > kRememberedBatches && known != producer.batches.end();) {
    known = known->base_offset >= 0 ? producer.batches.erase(known) : known + 1;
  }
}

NativeProducers::Batch* NativeProducers::find(const records::BatchInfo& batch) {
  const auto found = producers_.find(batch.producer_id);
  if (found == producers_.end()) return nullptr;
  const auto known = std::ranges::find_if(found->second.batches, [&](const Batch& b) { return same(b, batch); });
  return known == found->second.batches.end() ? nullptr : &*known;
}

void NativeProducers::wait_for(const records::BatchInfo& batch, ProduceDone done) {
  find(batch)->waiting.push_back(std::move(done));
}

std::vector<ProduceDone> NativeProducers::stored(const records::BatchInfo& batch, int64_t base_offset) {
  Batch* known = find(batch);
  if (known == nullptr) return {};
  known->base_offset = base_offset;
  return std::exchange(known->waiting, {});
}

std::vector<ProduceDone> NativeProducers::dropped(const records::BatchInfo& batch) {
  Batch* known = find(batch);
  if (known == nullptr) return {};
  std::vector<ProduceDone> waiting = std::move(known->waiting);
  std::erase_if(producers_[batch.producer_id].batches, [&](const Batch& b) { return same(b, batch); });
  return waiting;
}

void NativeProducers::expire(int64_t before_ms) {
  std::erase_if(producers_, [&](const auto& entry) {
    const Producer& producer = entry.second;
    return producer.last_seen_ms < before_ms &&
           std::ranges::none_of(producer.batches, [](const Batch& batch) { return batch.base_offset < 0; });
  });
}

void NativeProducers::make_room() {
  const auto idle = [](const auto& entry) {
    return std::ranges::none_of(entry.second.batches, [](const Batch& batch) { return batch.base_offset < 0; });
  };
  auto oldest = producers_.end();
  for (auto at = producers_.begin(); at != producers_.end(); ++at) {
    if (idle(*at) && (oldest == producers_.end() || at->second.last_seen_ms < oldest->second.last_seen_ms)) oldest = at;
  }
  if (oldest != producers_.end()) producers_.erase(oldest);
}

}  // namespace sluice::partition
