// SPDX-License-Identifier: Apache-2.0
#include "partition/read_ahead.hpp"

#include <algorithm>
#include <cstring>

#include "base/bytes.hpp"
#include "records/batch.hpp"

namespace sluice::partition {
namespace {

// Looks at the headers of batches that lie in slices one after the other.
class SliceCursor {
 public:
  explicit SliceCursor(const std::vector<host::Slice>& slices) : slices_(slices) {}

  /// The next `size` bytes, without moving on; false: there are fewer.
  bool peek(uint8_t* to, size_t size) const {
    size_t slice = slice_;
    uint64_t at = at_;
    while (size > 0) {
      if (slice == slices_.size()) return false;
      const uint64_t here = std::min<uint64_t>(slices_[slice].length - at, size);
      if (here > 0) std::memcpy(to, slices_[slice].data + at, here);
      to += here;
      size -= here;
      at = 0;
      ++slice;
    }
    return true;
  }
  /// False, and nothing is moved: there are fewer.
  bool skip(uint64_t size) {
    size_t slice = slice_;
    uint64_t at = at_;
    while (slice < slices_.size() && slices_[slice].length - at <= size) {
      size -= slices_[slice++].length - at;
      at = 0;
    }
    if (size > 0 && slice == slices_.size()) return false;
    slice_ = slice;
    at_ = at + size;
    return true;
  }
  size_t slice() const { return slice_; }
  uint64_t at() const { return at_; }

 private:
  const std::vector<host::Slice>& slices_;
  size_t slice_ = 0;
  uint64_t at_ = 0;  // in it
};

// Splits off what fits: whole batches that end at or below `limit`. A first one that is too large fits if `any_size`.
host::ReadResult split(host::ReadResult& read, int64_t limit, uint64_t room, bool any_size) {
  host::ReadResult front;
  SliceCursor cursor(read.slices);
  uint8_t header[records::kBatchHeaderBytes];
  while (cursor.peek(header, sizeof header)) {
    const auto length = load_be<int32_t>(header + records::layout::kBatchLength);
    const auto delta = load_be<int32_t>(header + records::layout::kLastOffsetDelta);
    const uint64_t size = records::kLengthPrefixBytes + static_cast<uint64_t>(std::max(length, 0));
    const auto base = load_be<int64_t>(header + records::layout::kBaseOffset);
    const bool fits = front.bytes + size <= room || (any_size && front.bytes == 0);
    if (size < sizeof header || delta < 0 || base >= limit - delta || !fits || !cursor.skip(size)) break;
    front.bytes += size;
    front.next = base + delta + 1;
  }
  if (front.bytes == 0) return front;
  const auto whole = static_cast<ptrdiff_t>(cursor.slice());
  front.slices.assign(read.slices.begin(), read.slices.begin() + whole);
  read.slices.erase(read.slices.begin(), read.slices.begin() + whole);
  if (cursor.at() > 0) {
    host::Slice& parted = read.slices.front();
    front.slices.push_back(parted);
    front.slices.back().length = cursor.at();
    parted.data += cursor.at();
    parted.length -= cursor.at();
  }
  front.lease = read.lease;
  front.start = read.start;
  front.end = read.end;
  read.bytes -= front.bytes;
  return front;
}

}  // namespace

void append_read(host::ReadResult& total, host::ReadResult piece) {
  if (total.slices.empty()) {
    total.slices = std::move(piece.slices);
    total.lease = std::move(piece.lease);
  } else {
    total.slices.insert(total.slices.end(), piece.slices.begin(), piece.slices.end());
    auto both = std::make_shared<std::pair<host::Lease, host::Lease>>(std::move(total.lease), std::move(piece.lease));
    total.lease = host::Lease(std::move(both));
  }
  total.bytes += piece.bytes;
  total.skipped += piece.skipped;
}

// ---- Shares

std::shared_ptr<AheadShare> AheadShares::of(const std::string& storage) {
  const std::lock_guard lock(mutex_);
  auto& share = shares_[storage];
  if (!share) share = std::make_shared<AheadShare>();
  return share;
}

std::map<std::string, std::shared_ptr<AheadShare>> AheadShares::all() const {
  const std::lock_guard lock(mutex_);
  return shares_;
}

std::optional<AheadBytes> AheadBytes::take(std::shared_ptr<AheadShare> share, uint64_t bytes) {
  const auto amount = static_cast<int64_t>(bytes);
  if (share->bytes.fetch_add(amount) + amount > AheadShare::kMaxBytes) {
    share->bytes.fetch_sub(amount);
    return std::nullopt;
  }
  AheadBytes taken;
  taken.share_ = std::move(share);
  taken.bytes_ = bytes;
  return taken;
}

void AheadBytes::resize(uint64_t bytes) {
  if (share_) share_->bytes.fetch_add(static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_));
  bytes_ = bytes;
}

// ---- Runs

void ReadAhead::remember(int64_t end) {
  recall(end);
  ends_[next_end_] = end;
  next_end_ = (next_end_ + 1) % kRememberedEnds;
}

bool ReadAhead::recall(int64_t end) {
  const auto found = std::find(ends_.begin(), ends_.end(), end);
  if (found == ends_.end()) return false;
  *found = -1;
  return true;
}

ReadAhead::RunPtr ReadAhead::find(int64_t offset) {
  for (const RunPtr& run : runs_) {
    if (run->position != offset) continue;
    ++run->uses;
    return run;
  }
  return nullptr;
}

void ReadAhead::take(Run& run, int64_t limit, uint64_t max_bytes, host::ReadResult& into) {
  while (!run.pieces.empty()) {
    Piece& piece = run.pieces.front();
    AheadShare* const share = piece.bytes.share();
    const uint64_t room = max_bytes - std::min(max_bytes, into.bytes);
    host::ReadResult given;
    if (piece.read.next <= limit && piece.read.bytes <= room) {
      given = std::move(piece.read);
      run.pieces.pop_front();
    } else {
      given = split(piece.read, limit, room, into.bytes == 0);
      if (given.bytes == 0) return;
      piece.bytes.resize(piece.read.bytes);
      if (piece.read.bytes == 0) run.pieces.pop_front();
    }
    if (share != nullptr) share->taken_bytes.fetch_add(given.bytes, std::memory_order_relaxed);
    run.held_bytes -= given.bytes;
    run.position = into.next = given.next;
    into.start = given.start;
    into.end = given.end;
    append_read(into, std::move(given));
  }
}

ReadAhead::RunPtr ReadAhead::begin(int64_t offset, int64_t next, int64_t limit, uint64_t max_bytes,
                                   Executor& executor) {
  if (!recall(offset) || next >= limit || runs_.size() >= kMaxRuns) {
    remember(next);
    return nullptr;
  }
  auto run = std::make_shared<Run>(executor);
  run->position = run->end = next;
  run->read_bytes = std::max(kMinReadBytes, kReadersWorth * std::min(max_bytes, kMaxReadBytes / kReadersWorth));
  runs_.push_back(run);
  return run;
}

std::optional<ReadAhead::Order> ReadAhead::order(const RunPtr& run, int64_t limit,
                                                 const std::shared_ptr<AheadShare>& share) {
  if (run->dropped || run->over || run->asked || run->end >= limit) return std::nullopt;
  if (run->held_bytes > 0 && run->held_bytes + run->read_bytes > kMaxRunBytes) return std::nullopt;
  auto bytes = AheadBytes::take(share, run->read_bytes);
  if (!bytes) {
    share->refused.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  share->reads.fetch_add(1, std::memory_order_relaxed);
  run->asked = true;
  run->asked_bytes = std::move(*bytes);
  return Order{run->end, limit, run->read_bytes};
}

void ReadAhead::arrived(const RunPtr& run, host::ReadResult* read, bool at_once) {
  AheadBytes bytes = std::move(run->asked_bytes);
  run->asked = false;
  if (read == nullptr || read->bytes == 0 || at_once) run->over = true;
  if (!run->dropped && read != nullptr && read->bytes > 0) {
    bytes.resize(read->bytes);
    run->end = read->next;
    run->held_bytes += read->bytes;
    run->pieces.push_back(Piece{std::move(*read), std::move(bytes)});
  } else if (read != nullptr && bytes.share() != nullptr) {
    bytes.share()->dropped_bytes.fetch_add(read->bytes, std::memory_order_relaxed);
  }
  for (const auto& resume : std::exchange(run->waiting, {})) resume(true);
  tidy(run);
}

void ReadAhead::tidy(const RunPtr& run) {
  if (run->dropped || run->asked || !run->pieces.empty()) return;
  run->dropped = true;
  std::erase(runs_, run);
  remember(run->position);
}

void ReadAhead::drop(const RunPtr& run) {
  if (run->dropped) return;
  run->dropped = true;
  for (const Piece& piece : run->pieces) {
    if (AheadShare* const share = piece.bytes.share())
      share->dropped_bytes.fetch_add(piece.read.bytes, std::memory_order_relaxed);
  }
  for (const auto& resume : std::exchange(run->waiting, {})) resume(true);
  if (!run->pieces.empty()) run->executor.post([pieces = std::move(run->pieces)] {});
  run->pieces.clear();
  run->held_bytes = 0;
  std::erase(runs_, RunPtr(run));
}

void ReadAhead::drop_all() {
  while (!runs_.empty()) drop(RunPtr(runs_.back()));
  ends_ = unknown_ends();
}

void ReadAhead::drop_below(int64_t offset) {
  for (const RunPtr& run : std::vector<RunPtr>(runs_)) {
    if (run->position < offset) drop(run);
  }
}

}  // namespace sluice::partition
