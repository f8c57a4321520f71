// SPDX-License-Identifier: Apache-2.0
#include "conformance/history.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "base/bytes.hpp"

namespace sluice::conformance {
namespace {

constexpr size_t kMaxTimestampAt = 35;
constexpr uint64_t kReadBytes = 4 << 20;
constexpr auto kFencePause = std::chrono::milliseconds(20);

int64_t number_of(const Batch& batch) {
  return batch.timestamp;
}

}  // namespace

Unit History::begin(int64_t at, size_t count, size_t size) {
  const std::lock_guard lock(mutex_);
  const size_t first = entries_.size();
  Unit unit;
  for (size_t i = 0; i < count; ++i) {
    const int64_t offset = at + static_cast<int64_t>(i);
    // Sizes differ from number to number, and so does the content.
    Batch batch = make_batch(offset, offset, static_cast<int64_t>(first + i), size + (first + i) % 61);
    entries_.push_back({batch, first, Fate::open, false});
    unit.push_back(std::move(batch));
  }
  return unit;
}

History::Entry& History::known(const Batch& batch) {
  const int64_t number = number_of(batch);
  require(number >= 0 && static_cast<size_t>(number) < entries_.size(), "the batch at {} was invented", batch.base);
  return entries_[static_cast<size_t>(number)];
}

void History::tell(const Unit& unit, Fate fate) {
  const std::lock_guard lock(mutex_);
  for (const Batch& batch : unit) known(batch).fate = fate;
  if (fate == Fate::acknowledged) end_ = std::max(end_, unit.back().last + 1);
}

void History::fenced(int64_t end, bool may_lose) {
  const std::lock_guard lock(mutex_);
  int64_t open_at = -1;
  int64_t open_end = -1;
  for (Entry& entry : entries_) {
    if (entry.fate != Fate::open) continue;
    if (open_at < 0) open_at = entry.batch.base;
    open_end = entry.batch.last + 1;
  }
  const bool applied = open_at == end_ && end >= open_end;
  require(open_at < 0 || end <= open_at || applied,
          "the fence says the log ends at {}, inside a unit from {} to {}: appends are all or nothing", end, open_at,
          open_end);
  for (Entry& entry : entries_) {
    if (entry.fate == Fate::open) entry.fate = applied ? Fate::acknowledged : Fate::refused;
  }
  if (applied) end_ = open_end;
  require(end <= end_, "the fence says the log ends at {}, and nothing was appended behind {}: it was invented", end,
          end_);
  require(end == end_ || may_lose, "LOST: the fence says the log ends at {}, {} was acknowledged", end, end_);
  for (Entry& entry : entries_) {
    if (entry.fate == Fate::acknowledged && entry.batch.base >= end) entry.fate = Fate::lost;
  }
  end_ = end;
}

void History::saw(const Batch& batch) {
  const std::lock_guard lock(mutex_);
  Entry& entry = known(batch);
  require(entry.batch.bytes == batch.bytes, "the bytes of the batch at {} are not those that were appended",
          batch.base);
  require(entry.fate != Fate::refused, "the batch at {} was read, and it was refused", batch.base);
  entry.seen = true;
}

size_t History::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::ranges::count(entries_, Fate::acknowledged, &Entry::fate));
}

int64_t History::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void History::verify(Log& log) const {
  verify(read_whole(log));
}

void History::verify(const std::vector<Batch>& found) const {
  const std::lock_guard lock(mutex_);
  std::vector<bool> there(entries_.size());
  int64_t before = -1;
  for (const Batch& batch : found) {
    const int64_t number = number_of(batch);
    require(number >= 0 && static_cast<size_t>(number) < entries_.size(), "INVENTED: the batch at {}", batch.base);
    const Entry& entry = entries_[static_cast<size_t>(number)];
    require(!there[static_cast<size_t>(number)], "DOUBLED: the batch at {} is there twice", entry.batch.base);
    require(batch.base > before && batch.base == entry.batch.base, "REORDERED: the batch at {} stands at {}, behind {}",
            entry.batch.base, batch.base, before);
    require(batch.bytes == entry.batch.bytes, "the bytes of the batch at {} are not those that were appended",
            batch.base);
    require(entry.fate == Fate::acknowledged || entry.fate == Fate::open,
            "INVENTED: the batch at {} was refused for good, and is there", batch.base);
    there[static_cast<size_t>(number)] = true;
    before = batch.last;
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    require(entry.fate != Fate::acknowledged || there[i], "LOST: the batch at {} was acknowledged", entry.batch.base);
    require(entry.fate == Fate::lost || !entry.seen || there[i], "LOST: the batch at {} was read, and is gone",
            entry.batch.base);
    require(there[i] == there[entry.unit] || entry.fate == Fate::lost || entries_[entry.unit].fate == Fate::lost,
            "a part of the unit at {} is missing", entries_[entry.unit].batch.base);
  }
}

std::vector<Batch> batches_in(const std::vector<uint8_t>& bytes) {
  std::vector<Batch> all;
  for (size_t at = 0; at < bytes.size();) {
    require(bytes.size() - at >= kSmallestBatchBytes, "a read gave a piece of a batch");
    const size_t size = 12 + static_cast<size_t>(load_be<uint32_t>(bytes.data() + at + 8));
    require(size >= kSmallestBatchBytes && size <= bytes.size() - at, "a read gave a piece of a batch");
    Batch batch;
    batch.base = load_be<int64_t>(bytes.data() + at);
    batch.last = batch.base + load_be<int32_t>(bytes.data() + at + 23);
    batch.timestamp = load_be<int64_t>(bytes.data() + at + kMaxTimestampAt);
    batch.bytes.assign(bytes.begin() + static_cast<ptrdiff_t>(at), bytes.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
    all.push_back(std::move(batch));
  }
  return all;
}

std::vector<Batch> read_whole(Log& log) {
  // Appends and reads may go by different connections, and one of them may not be back yet.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(HistoryWriter::kSettleMs);
  const auto again = [&](const Answer& answer) {
    if (answer.status != SLUICE_UNAVAILABLE || std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(kFencePause);
    return true;
  };
  BoundsAnswer bounds = log.bounds();
  while (again(bounds)) bounds = log.bounds();
  expect_status(SLUICE_OK, bounds, "bounds");
  std::vector<Batch> all;
  int64_t offset = bounds.start;
  while (offset < bounds.end) {
    const ReadAnswer answer = log.read(offset, bounds.end, kReadBytes);
    if (again(answer)) continue;
    expect_status(SLUICE_OK, answer, "read");
    std::vector<Batch> some = batches_in(answer.lease.bytes());
    require(!some.empty() && answer.next > offset, "read at {} gave nothing, the log ends at {}", offset, bounds.end);
    std::ranges::move(some, std::back_inserter(all));
    offset = answer.next;
  }
  return all;
}

sluice_status HistoryWriter::settle(int64_t within_ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(within_ms);
  for (;;) {
    const FenceAnswer fence = log_.fence(++token_);
    if (fence.ok()) {
      require(fence.token == token_, "a fence with {} left the token {} in force", token_, fence.token);
      history_.fenced(fence.end, may_lose_);
      settled_ = true;
      return SLUICE_OK;
    }
    if (fence.status == SLUICE_FENCED) return SLUICE_FENCED;
    require(fence.status == SLUICE_UNAVAILABLE || fence.status == SLUICE_UNKNOWN || fence.status == SLUICE_BUSY,
            "a fence while the server was attacked answered {}: {}", status_text(fence.status), fence.text);
    require(std::chrono::steady_clock::now() < until, "no fence was OK within {} ms; the last answered {}: {}",
            within_ms, status_text(fence.status), fence.text);
    std::this_thread::sleep_for(kFencePause);
  }
}

sluice_status HistoryWriter::append(size_t count, size_t size) {
  if (!settled_) {
    const sluice_status status = settle(kSettleMs);
    if (status != SLUICE_OK) return status;
  }
  const Unit unit = history_.begin(history_.end(), count, size);
  const AppendAnswer answer = log_.append(token_, unit.front().base, unit);
  switch (answer.status) {
    case SLUICE_OK:
      require(answer.end == unit.back().last + 1, "an append up to {} says the end is {}", unit.back().last,
              answer.end);
      history_.tell(unit, History::Fate::acknowledged);
      return SLUICE_OK;
    case SLUICE_UNKNOWN: {
      settled_ = false;
      const size_t before = history_.acknowledged();
      const sluice_status status = settle(kSettleMs);
      if (status != SLUICE_OK) return status;  // it stays open: the other writer may have found it there
      return history_.acknowledged() > before ? SLUICE_OK : SLUICE_UNKNOWN;
    }
    case SLUICE_UNAVAILABLE:
    case SLUICE_BUSY:
    case SLUICE_NO_SPACE:
      history_.tell(unit, History::Fate::refused);
      settled_ = answer.status != SLUICE_UNAVAILABLE && settled_;
      return answer.status;
    case SLUICE_FENCED:
    case SLUICE_CONFLICT:
      history_.tell(unit, History::Fate::refused);
      settled_ = false;
      // The engine went back in time, or somebody else writes: the fence tells.
      return answer.status == SLUICE_FENCED && answer.token > token_ ? SLUICE_FENCED : SLUICE_UNAVAILABLE;
    default:
      fail_check("an append while the server was attacked answered {}: {}", status_text(answer.status), answer.text);
  }
}

}  // namespace sluice::conformance
