// SPDX-License-Identifier: Apache-2.0
#include "bus/retention.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace sluice::bus {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

Block::Block(uint32_t slot_bytes)
    : slots_(static_cast<uint8_t*>(::operator new(size_t{kEvents} * slot_bytes, kAlignment))),
      slot_bytes_(slot_bytes) {}

Block::~Block() {
  clear();
  ::operator delete(slots_, kAlignment);
}

void Block::take(Frame& from) {
  uint8_t* at = slots_ + size_t{count_} * slot_bytes_;
  Frame& to = *new (at) Frame();
  to.commit.store(from.commit.load(std::memory_order_relaxed), std::memory_order_relaxed);
  to.timestamp_ns = from.timestamp_ns;
  to.key_bytes = from.key_bytes;
  to.value_bytes = from.value_bytes;
  to.header_bytes = from.header_bytes;
  to.header_count = from.header_count;
  to.spilled = from.spilled;
  const size_t inside = from.spilled ? sizeof(uint8_t*) : static_cast<size_t>(payload_bytes(from));
  std::memcpy(at + sizeof(Frame), reinterpret_cast<const uint8_t*>(&from) + sizeof(Frame), inside);
  if (from.spilled) spilled_bytes_ += payload_bytes(from);
  from.spilled = false;
  ++count_;
}

void Block::clear() {
  for (uint32_t i = 0; i < count_; ++i) release_event(*reinterpret_cast<Frame*>(slots_ + size_t{i} * slot_bytes_));
  count_ = 0;
  spilled_bytes_ = 0;
}

std::shared_ptr<Block> BlockPool::get() {
  std::unique_ptr<Block> block;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      block = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!block) block = std::make_unique<Block>(slot_bytes_);
  return {block.release(), [pool = weak_from_this()](Block* used) {
            std::unique_ptr<Block> owned(used);
            if (const auto alive = pool.lock()) alive->put_back(std::move(owned));
          }};
}

void BlockPool::put_back(std::unique_ptr<Block> block) {
  block->clear();
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(block));
}

void Retention::publish(const std::shared_ptr<Block>& block, uint32_t count) {
  std::list<Waiter> ready;
  std::vector<std::shared_ptr<Block>> given_up;  // freed outside of the lock
  {
    const std::lock_guard lock(mutex_);
    if (held_.empty() || held_.back().block != block) held_.push_back({block, 0, 0, 0});
    spilled_bytes_ += block->spilled_bytes() - held_.back().spilled_bytes;
    held_.back().spilled_bytes = block->spilled_bytes();
    retained_ += count - held_.back().published;
    held_.back().published = count;
    end_ = block->sequence(count - 1) + 1;
    // Bytes are only freed by whole blocks.
    while (retained_ > max_events_ || (spilled_bytes_ > max_spilled_bytes_ && held_.size() > 1)) {
      Held& oldest = held_.front();
      const uint32_t left = oldest.published - oldest.skipped;
      const uint64_t surplus = retained_ > max_events_ ? retained_ - max_events_ : left;
      const auto step = static_cast<uint32_t>(std::min<uint64_t>(surplus, left));
      oldest.skipped += step;
      retained_ -= step;
      start_ = oldest.block->sequence(oldest.skipped - 1) + 1;
      if (oldest.skipped < oldest.published || held_.size() == 1) break;
      spilled_bytes_ -= oldest.spilled_bytes;
      given_up.push_back(std::move(oldest.block));
      held_.pop_front();
    }
    ready.swap(waiters_);
  }
  answer(std::move(ready));
}

void Retention::finish(uint64_t end) {
  std::list<Waiter> ready;
  {
    const std::lock_guard lock(mutex_);
    end_ = end;
    finished_ = true;
    ready.swap(waiters_);
  }
  answer(std::move(ready));
}

void Retention::answer(std::list<Waiter> waiters) {
  for (Waiter& waiter : waiters) {
    waiter.request.wait_ms = 0;
    read(waiter.who, waiter.request, std::move(waiter.done));
  }
}

int64_t Retention::expire(int64_t now_ns) {
  std::list<Waiter> over;
  int64_t next_ns = INT64_MAX;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = waiters_.begin(); at != waiters_.end();) {
      const auto next = std::next(at);
      if (at->until_ns <= now_ns) {
        over.splice(over.end(), waiters_, at);
      } else {
        next_ns = std::min(next_ns, at->until_ns);
      }
      at = next;
    }
  }
  answer(std::move(over));
  return next_ns;
}

Retention::Found Retention::find(uint64_t from, uint32_t max_records) const {
  Found found;
  found.end = end_;
  found.finished = finished_;
  if (from < start_ || from > end_) {
    found.status = Status(StatusCode::out_of_range, id_ + ": position " + std::to_string(from) + " is not between " +
                                                        std::to_string(start_) + " and " + std::to_string(end_));
    return found;
  }
  // The last block that begins at or below `from` is the first that may hold it.
  auto held =
      std::partition_point(held_.begin(), held_.end(), [&](const Held& h) { return h.block->sequence(0) <= from; });
  if (held != held_.begin()) --held;
  for (uint32_t left = max_records; held != held_.end() && left != 0; ++held) {
    uint32_t low = held->skipped;
    uint32_t high = held->published;
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      held->block->sequence(middle) < from ? low = middle + 1 : high = middle;
    }
    if (low == held->published) continue;
    const uint32_t count = std::min(left, held->published - low);
    found.pieces.push_back({held->block, low, low + count});
    left -= count;
  }
  return found;
}

Result<Page> Retention::make_page(Found found, const PageRequest& request) {
  if (!found.status) return fail(std::move(found.status));
  Page page;
  page.end = static_cast<int64_t>(found.end);
  page.next = page.end;
  uint64_t bytes = 0;
  for (const Piece& piece : found.pieces) {
    for (uint32_t i = piece.from; i < piece.to && bytes <= request.max_bytes; ++i) {
      const Frame& frame = piece.block->frame(i);
      bytes += payload_bytes(frame);
      if (bytes <= request.max_bytes || page.records.empty()) page.records.push_back(record_of(frame));
    }
  }
  if (!page.records.empty()) page.next = page.records.back().position + 1;
  page.finished = found.finished && page.next == page.end;
  page.lease = std::make_shared<std::vector<Piece>>(std::move(found.pieces));
  return page;
}

void Retention::read(const void* who, const PageRequest& request, Source::PageCallback done) {
  Found found;
  {
    const std::lock_guard lock(mutex_);
    found = find(static_cast<uint64_t>(request.from), std::max<uint32_t>(request.max_records, 1));
    if (found.empty() && found.status && !finished_ && request.wait_ms > 0) {
      waiters_.push_back({who, request, std::move(done), monotonic_ns() + request.wait_ms * 1'000'000});
      signal_->notify();
      return;
    }
  }
  Result<Page> page = make_page(std::move(found), request);
  if (page && page->finished) {
    const std::lock_guard lock(mutex_);
    read_to_end_ = true;
  }
  done(std::move(page));
}

void Retention::wake(const void* who) {
  std::list<Waiter> woken;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = waiters_.begin(); at != waiters_.end();) {
      const auto next = std::next(at);
      if (at->who == who) woken.splice(woken.end(), waiters_, at);
      at = next;
    }
  }
  answer(std::move(woken));
}

SourceBounds Retention::bounds() const {
  const std::lock_guard lock(mutex_);
  return {static_cast<int64_t>(start_), static_cast<int64_t>(end_)};
}

int64_t Retention::locate(int64_t timestamp_ns) const {
  const std::lock_guard lock(mutex_);
  for (const Held& held : held_) {
    if (held.published == 0 || held.block->frame(held.published - 1).timestamp_ns < timestamp_ns) continue;
    for (uint32_t i = held.skipped; i < held.published; ++i) {
      if (held.block->frame(i).timestamp_ns >= timestamp_ns) return static_cast<int64_t>(held.block->sequence(i));
    }
  }
  return static_cast<int64_t>(end_);
}

uint64_t Retention::retained() const {
  const std::lock_guard lock(mutex_);
  return retained_;
}

bool Retention::was_read_to_end() const {
  const std::lock_guard lock(mutex_);
  return read_to_end_;
}

class ShardSource final : public Source {
 public:
  explicit ShardSource(std::shared_ptr<Retention> retention) : retention_(std::move(retention)) {}
  ~ShardSource() override { wake(); }
  const std::string& id() const override { return retention_->id_; }
  void read(const PageRequest& request, PageCallback done) override {
    retention_->read(this, request, std::move(done));
  }
  void bounds(BoundsCallback done) override { done(retention_->bounds()); }
  void locate(int64_t timestamp_ns, PositionCallback done) override { done(retention_->locate(timestamp_ns)); }
  void wake() override { retention_->wake(this); }

 private:
  const std::shared_ptr<Retention> retention_;
};

std::unique_ptr<Source> Retention::subscribe() {
  return std::make_unique<ShardSource>(shared_from_this());
}

}  // namespace sluice::bus
