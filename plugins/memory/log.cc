// SPDX-License-Identifier: Apache-2.0
#include "log.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "plugin/lease.hpp"

namespace sluice::memory {
namespace {

using plugin::set;

constexpr uint64_t kPeakBatches = 256;

Status not_found() {
  return Status(StatusCode::not_found, "no such log");
}
Status no_space() {
  return Status(StatusCode::no_space, "max_bytes is reached");
}

}  // namespace

MemoryLog::MemoryLog(plugin::LogDescriptor descriptor, std::shared_ptr<Pool> pool, Reservation counted)
    : descriptor_(std::move(descriptor)),
      pool_(std::move(pool)),
      counted_(std::move(counted)),
      start_(descriptor_.start_offset),
      end_(descriptor_.start_offset) {}

MemoryLog::~MemoryLog() {
  pool_->release(index_bytes_);
}

Status MemoryLog::judge(uint64_t token) const {
  if (removed_) return not_found();
  if (token != token_) return Status(StatusCode::fenced, "another token is in force");
  return {};
}

Status MemoryLog::judge(const sluice_append& request, sluice_append_result& result) const {
  Status status = judge(request.token);
  if (status.ok() && request.at != end_) status = Status(StatusCode::conflict, "the end is not `at`");
  if (status.code() == StatusCode::fenced || status.code() == StatusCode::conflict) {
    set(result, &sluice_append_result::end, end_);
    set(result, &sluice_append_result::token, token_);
  }
  return status;
}

// Takes blocks until the unit fits behind the tail, and counts its index entries. Leaves nothing behind when it fails.
Status MemoryLog::make_room(const sluice_append& request) {
  if (request.bytes > pool_->max_bytes()) return Status(StatusCode::too_large, "the unit is larger than max_bytes");
  const uint64_t index_bytes = request.batch_count * sizeof(Batch);
  if (!pool_->reserve(index_bytes)) return no_space();
  index_bytes_ += index_bytes;
  try {
    uint64_t room_end = blocks_.empty() ? tail_ : blocks_.back().end();
    while (room_end - tail_ < request.bytes) {
      const uint64_t missing = request.bytes - (room_end - tail_);
      const uint64_t grown = blocks_.empty() ? kMinBlockBytes : 2 * blocks_.back().block->size();
      const uint64_t wanted = std::max(grown, missing >= kMaxBlockBytes ? kMaxBlockBytes : std::bit_ceil(missing));
      auto block = pool_->take(std::min<uint64_t>(wanted, kMaxBlockBytes));
      // Near the limit a smaller one may still do.
      if (block == nullptr)
        block = pool_->take(std::clamp<uint64_t>(std::bit_ceil(missing), kMinBlockBytes, kMaxBlockBytes));
      if (block == nullptr) {
        undo_room(request);
        return no_space();
      }
      const uint64_t size = block->size();
      blocks_.push_back({std::move(block), room_end});
      room_end += size;
    }
  } catch (...) {
    undo_room(request);
    throw;
  }
  return {};
}

void MemoryLog::undo_room(const sluice_append& request) {
  while (!blocks_.empty() && blocks_.back().position >= tail_) blocks_.pop_back();
  index_bytes_ -= request.batch_count * sizeof(Batch);
  pool_->release(request.batch_count * sizeof(Batch));
}

// Counts a unit whose bytes are in place. All or nothing, also when memory runs out.
void MemoryLog::add_batches(const sluice_append& request) {
  uint64_t position = tail_;
  size_t added = 0;
  const size_t peaks_before = peaks_.size();
  const int64_t last_peak = peaks_.empty() ? 0 : peaks_.back();
  try {
    for (uint32_t i = 0; i < request.batch_count; ++i) {
      const sluice_batch& batch = request.batches[i];
      const uint64_t number = dropped_ + batches_.size();
      const uint64_t chunk = number / kPeakBatches - dropped_ / kPeakBatches;
      if (chunk == peaks_.size()) {
        peaks_.push_back(batch.max_timestamp);
      } else {
        peaks_[chunk] = std::max(peaks_[chunk], batch.max_timestamp);
      }
      batches_.push_back({batch.base_offset, batch.last_offset, batch.max_timestamp, position, batch.size});
      ++added;
      position += batch.size;
    }
  } catch (...) {
    batches_.erase(batches_.end() - static_cast<ptrdiff_t>(added), batches_.end());
    peaks_.erase(peaks_.begin() + static_cast<ptrdiff_t>(peaks_before), peaks_.end());
    if (!peaks_.empty()) peaks_.back() = last_peak;
    undo_room(request);
    throw;
  }
  tail_ = position;
  end_ = batches_.back().last_offset + 1;
}

std::vector<MemoryLog::Piece> MemoryLog::pieces(uint64_t position, uint64_t size) const {
  std::vector<Piece> found;
  for (size_t i = block_at(position); size > 0; ++i) {
    const Placed& placed = blocks_[i];
    const uint64_t offset = position - placed.position;
    const uint64_t part = std::min<uint64_t>(size, placed.block->size() - offset);
    found.push_back({placed.block, offset, part});
    position += part;
    size -= part;
  }
  return found;
}

size_t MemoryLog::block_at(uint64_t position) const {
  const auto after = std::upper_bound(blocks_.begin(), blocks_.end(), position,
                                      [](uint64_t wanted, const Placed& placed) { return wanted < placed.position; });
  return static_cast<size_t>(after - blocks_.begin()) - 1;
}

namespace {

// Copies the batches of a unit, one behind the other, over the pieces.
template <class Pieces>
void copy_unit(const sluice_append& request, const Pieces& pieces) {
  auto piece = pieces.begin();
  uint64_t filled = 0;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    const uint8_t* from = request.batches[i].data;
    uint64_t left = request.batches[i].size;
    while (left > 0) {
      if (filled == piece->size) {
        ++piece;
        filled = 0;
      }
      const uint64_t part = std::min(left, piece->size - filled);
      std::memcpy(piece->block->data() + piece->offset + filled, from, part);
      from += part;
      left -= part;
      filled += part;
    }
  }
}

}  // namespace

std::optional<Status> MemoryLog::append_now(const sluice_append& request, sluice_append_result& result) {
  const std::lock_guard lock(mutex_);
  if (copying_) return std::nullopt;
  if (Status status = judge(request, result); !status.ok()) return status;
  if (Status status = make_room(request); !status.ok()) return status;
  copy_unit(request, pieces(tail_, request.bytes));
  add_batches(request);
  set(result, &sluice_append_result::end, end_);
  return Status();
}

Status MemoryLog::append_later(const sluice_append& request, sluice_append_result& result) {
  std::vector<Piece> target;
  {
    const std::lock_guard lock(mutex_);
    if (Status status = judge(request, result); !status.ok()) return status;
    if (Status status = make_room(request); !status.ok()) return status;
    target = pieces(tail_, request.bytes);
    copying_ = true;
  }
  copy_unit(request, target);
  const std::lock_guard lock(mutex_);
  copying_ = false;
  Status status = judge(request, result);
  if (!status.ok()) {
    undo_room(request);
    return status;
  }
  add_batches(request);
  set(result, &sluice_append_result::end, end_);
  return status;
}

Status MemoryLog::read(const sluice_read& request, sluice_read_result& result) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  set(result, &sluice_read_result::start, start_);
  set(result, &sluice_read_result::end, end_);
  set(result, &sluice_read_result::next, request.offset);
  if (request.offset < start_ || request.offset > end_)
    return Status(StatusCode::out_of_range, "not between start and end");

  const auto first = std::lower_bound(batches_.begin(), batches_.end(), request.offset,
                                      [](const Batch& batch, int64_t offset) { return batch.last_offset < offset; });
  if (first == batches_.end() || first->last_offset >= request.limit) return {};
  // Behind the last batch below the limit, then back to what fits: at least one batch.
  const auto below = std::lower_bound(first, batches_.end(), request.limit,
                                      [](const Batch& batch, int64_t limit) { return batch.last_offset < limit; });
  auto last = std::partition_point(first, below, [&](const Batch& batch) {
    return batch.position + batch.size - first->position <= request.max_bytes;
  });
  if (last == first) ++last;
  --last;

  auto lease = std::make_unique<plugin::Lease>();
  for (const Piece& piece : pieces(first->position, last->position + last->size - first->position)) {
    lease->add_memory({piece.block->data() + piece.offset, piece.size}, piece.block);
    lease->add_pinned(piece.block->size());
  }
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, last->last_offset + 1);
  return {};
}

int64_t MemoryLog::greatest_timestamp() const {
  if (batches_.empty()) return SLUICE_UNKNOWN_NUMBER;
  // The first chunk may have lost some of its batches.
  const size_t in_first = std::min<size_t>(batches_.size(), kPeakBatches - dropped_ % kPeakBatches);
  int64_t greatest = batches_.front().max_timestamp;
  for (size_t i = 1; i < in_first; ++i) greatest = std::max(greatest, batches_[i].max_timestamp);
  for (size_t i = 1; i < peaks_.size(); ++i) greatest = std::max(greatest, peaks_[i]);
  return greatest;
}

Status MemoryLog::bounds(sluice_bounds& result) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  set(result, &sluice_bounds::start, start_);
  set(result, &sluice_bounds::end, end_);
  set(result, &sluice_bounds::token, token_);
  set(result, &sluice_bounds::bytes, batches_.empty() ? 0 : tail_ - batches_.front().position);
  set(result, &sluice_bounds::newest_timestamp, greatest_timestamp());
  set(result, &sluice_bounds::largest_unit, pool_->max_bytes());
  set(result, &sluice_bounds::capabilities, 0u);
  return {};
}

Status MemoryLog::locate(int64_t timestamp, sluice_locate_result& result) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  set(result, &sluice_locate_result::offset, end_);
  set(result, &sluice_locate_result::end, end_);
  for (size_t i = 0; i < batches_.size();) {
    const uint64_t number = dropped_ + i;
    const size_t chunk = number / kPeakBatches - dropped_ / kPeakBatches;
    if (number % kPeakBatches == 0 && peaks_[chunk] < timestamp) {
      i += kPeakBatches;
      continue;
    }
    if (batches_[i].max_timestamp >= timestamp) {
      set(result, &sluice_locate_result::offset, batches_[i].base_offset);
      break;
    }
    ++i;
  }
  return {};
}

void MemoryLog::forget_batches(size_t count) {
  const uint64_t chunks = (dropped_ + count) / kPeakBatches - dropped_ / kPeakBatches;
  batches_.erase(batches_.begin(), batches_.begin() + static_cast<ptrdiff_t>(count));
  peaks_.erase(peaks_.begin(), peaks_.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(chunks, peaks_.size())));
  dropped_ += count;
  index_bytes_ -= count * sizeof(Batch);
  pool_->release(count * sizeof(Batch));
  const uint64_t kept_from = batches_.empty() ? tail_ : batches_.front().position;
  while (!blocks_.empty() && blocks_.front().end() <= kept_from) blocks_.pop_front();
}

Status MemoryLog::trim(uint64_t token, int64_t offset, bool& more) {
  more = false;
  {
    const std::lock_guard lock(mutex_);
    if (Status status = judge(token); !status.ok()) return status;
    start_ = std::max(start_, std::min(offset, end_));
  }
  more = trim_step();
  return {};
}

bool MemoryLog::trim_step() {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  while (count < batches_.size() && count < kMaxTrimStep && batches_[count].last_offset < start_) ++count;
  forget_batches(count);
  return count == kMaxTrimStep;
}

Status MemoryLog::fence(uint64_t token, sluice_fence_result& result) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  if (descriptor_.several_writers()) return Status(StatusCode::invalid, "a log of several writers has no fence");
  const bool refused = token < token_;
  if (!refused) token_ = token;
  set(result, &sluice_fence_result::end, end_);
  set(result, &sluice_fence_result::token, token_);
  return refused ? Status(StatusCode::fenced, "a higher token is in force") : Status();
}

Status MemoryLog::save(uint64_t token, std::string name, std::shared_ptr<const Value> value) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  if (descriptor_.several_writers()) return Status(StatusCode::invalid, "a log of several writers saves nothing");
  if (Status status = judge(token); !status.ok()) return status;
  if (value == nullptr) {
    values_.erase(name);
  } else {
    values_.insert_or_assign(std::move(name), std::move(value));
  }
  return {};
}

Status MemoryLog::load(const std::string& name, sluice_load_result& result) {
  const std::lock_guard lock(mutex_);
  if (removed_) return not_found();
  const auto found = values_.find(name);
  if (found == values_.end()) {
    plugin::lend_nothing(result);
  } else {
    plugin::lend_value(found->second->bytes, found->second, result);
  }
  return {};
}

void MemoryLog::remove() {
  const std::lock_guard lock(mutex_);
  removed_ = true;
}

}  // namespace sluice::memory
