// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sources/read_request.hpp"
#include "sources/storage_source.hpp"

namespace sluice::sources {
namespace {

/// Reads change nothing: what is not known about one is that it gave nothing in time.
Status status_of_read(const Status& status) {
  if (status_class(status.code()) != 400) return status;
  return Status(StatusCode::unavailable, status.text(), status.native_code());
}

}  // namespace

StorageReader::StorageReader(std::shared_ptr<StorageHost::Core> core, std::unique_ptr<LogOpener> opener,
                             const StorageReadSettings& settings, int32_t partition)
    : core_(std::move(core)),
      opener_(std::move(opener)),
      read_bytes_(settings.read_bytes),
      rules_{partition, settings.max_batch_bytes, settings.verify_checksums, core_->spare} {}

// ---- Questions to the adapter

Task<Result<std::shared_ptr<host::Log>>> StorageReader::log() {
  {
    const Lock lock(mutex_);
    if (log_) co_return log_;
  }
  Result<std::shared_ptr<host::Log>> opened = co_await opener_->open(*core_);
  if (!opened) co_return fail(opened.error());
  const Lock lock(mutex_);
  if (!log_) log_ = *opened;
  co_return log_;
}

Task<StorageReader::Arrived> StorageReader::fetch(int64_t from, bool ahead) {
  Arrived arrived;
  arrived.from = from;
  arrived.ahead = ahead;
  const Result<std::shared_ptr<host::Log>> log = co_await this->log();
  if (!log) {
    arrived.status = log.error();
    co_return arrived;
  }
  auto read = co_await (*log)->read(from, INT64_MAX, read_bytes_, core_->loop);
  if (!read) {
    const host::ReadError& error = read.error();
    arrived.status = status_of_read(error.status);
    if (error.status.code() == StatusCode::corrupt) arrived.corrupt_next = error.next;
    if (error.status.code() == StatusCode::out_of_range && error.start >= 0) {
      arrived.status = Status(StatusCode::out_of_range,
                              fmt::format("position {} of a log that has {} to {}", from, error.start, error.end));
    }
    co_return arrived;
  }
  Result<std::unique_ptr<Chunk>> chunk = Chunk::make(std::move(*read), from, rules_);
  if (chunk) {
    arrived.chunk = std::move(*chunk);
  } else {
    arrived.status = chunk.error();
  }
  co_return arrived;
}

Task<Result<SourceBounds>> StorageReader::find_bounds() {
  const Result<std::shared_ptr<host::Log>> log = co_await this->log();
  if (!log) co_return fail(log.error());
  const Result<host::Bounds> bounds = co_await (*log)->bounds(core_->loop);
  if (!bounds) co_return fail(status_of_read(bounds.error()));
  co_return SourceBounds{bounds->start, bounds->end};
}

/// The adapter finds the batch, its records tell the rest.
Task<Result<int64_t>> StorageReader::find_time(int64_t timestamp_ms) {
  const Result<std::shared_ptr<host::Log>> log = co_await this->log();
  if (!log) co_return fail(log.error());
  const Result<int64_t> batch = co_await (*log)->locate(timestamp_ms, core_->loop);
  if (!batch) co_return fail(status_of_read(batch.error()));
  for (int64_t from = *batch;;) {
    Arrived arrived = co_await fetch(from, false);
    if (arrived.corrupt_next > from) {
      from = arrived.corrupt_next;
      continue;
    }
    if (!arrived.status.ok()) co_return fail(arrived.status);
    if (const auto found = arrived.chunk->find(from, timestamp_ms)) co_return *found;
    if (arrived.chunk->next() == from) co_return from;
    from = arrived.chunk->next();
  }
}

void StorageReader::bounds(Source::BoundsCallback done) {
  start(find_bounds(), [self = shared_from_this(), done = std::move(done)](Result<SourceBounds> bounds) mutable {
    done(std::move(bounds));
  });
}

void StorageReader::locate(int64_t timestamp_ns, Source::PositionCallback done) {
  start(find_time(ceil_ms(timestamp_ns)), [self = shared_from_this(), done = std::move(done)](
                                              Result<int64_t> position) mutable { done(std::move(position)); });
}

// ---- Reading

void StorageReader::read(const PageRequest& request, Source::PageCallback done) {
  if (Status bad = check(request); !bad.ok()) return done(fail(std::move(bad)));
  {
    Lock lock(mutex_);
    if (pending_ || closed_) {
      const bool closed = closed_;
      lock.unlock();
      return done(fail(not_now(closed)));
    }
    const int64_t now = core_->loop.now_ms();
    const int64_t deadline = wait_until(request, now);
    pending_ = Pending{request, std::move(done), deadline};
    poll_ms_ = 0;
  }
  advance();
}

void StorageReader::start_fetch(Lock& lock, int64_t from, bool ahead) {
  fetching_ = true;
  starting_ = true;
  fetch_from_ = from;
  grown_seen_ = grown_;
  lock.unlock();
  start(fetch(from, ahead), [self = shared_from_this()](Arrived arrived) { self->fetched(std::move(arrived)); });
  lock.lock();
  starting_ = false;
}

void StorageReader::fetched(Arrived arrived) {
  {
    const Lock lock(mutex_);
    fetching_ = false;
    came_at_once_ = starting_;
    if (arrived.chunk) end_ = std::max(end_, arrived.chunk->end());
    arrived_ = std::move(arrived);
  }
  advance();
}

/// With the lock, which it gives back for the callback.
void StorageReader::answer(Lock& lock, Result<Page> page) {
  Pending pending = std::move(*pending_);
  pending_.reset();
  waiting_ = false;
  lock.unlock();
  pending.done(std::move(page));
  lock.lock();
}

void StorageReader::advance() {
  Lock lock(mutex_);
  while (pending_ && !waiting_) {
    const PageRequest request = pending_->request;
    if (chunk_ && chunk_->covers(request.from)) {
      Pending pending = std::move(*pending_);
      pending_.reset();
      lock.unlock();
      Page page;
      chunk_->fill(request, page);
      pending.done(std::move(page));
      lock.lock();
      continue;
    }
    if (arrived_ && arrived_->from == request.from) {
      if (take_arrived(lock)) continue;
      return;
    }
    arrived_.reset();
    if (fetching_) return;  // fetched() goes on, from elsewhere if need be
    chunk_.reset();         // its memory may serve the next one
    start_fetch(lock, request.from, false);
  }
}

/// Uses what came for the pending read. False: it waits.
bool StorageReader::take_arrived(Lock& lock) {
  Arrived arrived = std::move(*arrived_);
  arrived_.reset();
  const int64_t from = arrived.from;
  if (arrived.ahead && (!arrived.chunk || arrived.chunk->next() == from)) return true;  // ask again: it was a while ago
  if (!arrived.chunk) {
    if (arrived.corrupt_next > from) {
      Page page;
      page.next = arrived.corrupt_next;
      page.end = end_;
      page.corrupt = 1;
      answer(lock, std::move(page));
    } else {
      answer(lock, fail(std::move(arrived.status)));
    }
    return true;
  }
  if (arrived.chunk->next() > from) {
    chunk_ = std::move(arrived.chunk);
    // What is answered at once is not asked for ahead: it would be done by this thread all the same, only earlier, and
    // drive what is about to be decoded out of the caches.
    const bool read_ahead = !came_at_once_ && chunk_->next() < chunk_->end();
    if (read_ahead && !fetching_) start_fetch(lock, chunk_->next(), true);
    return true;
  }
  return !has_to_wait(lock);
}

// ---- Waiting for the log to grow

/// Nothing is there. False: the read was answered, or there is something after all.
bool StorageReader::has_to_wait(Lock& lock) {
  if (grown_ != grown_seen_) return false;
  const int64_t from = pending_->request.from;
  if (pending_->deadline_ms <= core_->loop.now_ms()) {
    Page page;
    page.next = from;
    page.end = std::max(end_, from);
    answer(lock, std::move(page));
    return false;
  }
  waiting_ = true;
  if (has_watch_ && poll_ms_ == 0) {
    if (!watching_ || watch_from_ > from) watch(lock, from);
  } else {
    poll_ms_ = std::clamp(2 * poll_ms_, kPollFirstMs, kPollMostMs);
  }
  if (waiting_) arm(lock);
  return waiting_;
}

void StorageReader::watch(Lock& lock, int64_t from) {
  watching_ = true;
  watch_from_ = from;
  const std::shared_ptr<host::Log> log = log_;
  lock.unlock();
  // The task keeps the log, the callback this.
  start(log->watch(from, core_->loop),
        [self = shared_from_this(), log](const Status& status) { self->watched(status); });
  lock.lock();
}

void StorageReader::watched(const Status& status) {
  {
    Lock lock(mutex_);
    watching_ = false;
    if (status.code() == StatusCode::unsupported) has_watch_ = false;
    ++grown_;
    if (!waiting_) return;
    // What a failure means, a read tells; and the next look is by the clock.
    if (!status.ok()) poll_ms_ = std::max(poll_ms_, kPollFirstMs);
    waiting_ = false;
  }
  advance();
}

void StorageReader::log_grew() {
  {
    const Lock lock(mutex_);
    ++grown_;
    if (!waiting_) return;
    waiting_ = false;
  }
  advance();
}

/// Sees to it that somebody looks at the deadline, or when it is time to poll.
void StorageReader::arm(Lock&) {
  int64_t due = pending_->deadline_ms;
  if (poll_ms_ > 0) due = std::min(due, core_->loop.now_ms() + poll_ms_);
  if (due >= timer_due_ms_) return;
  timer_due_ms_ = due;
  core_->loop.post([weak = weak_from_this(), due] {
    const auto self = weak.lock();
    if (!self) return;
    Loop& loop = self->core_->loop;
    loop.call_after(std::max<int64_t>(due - loop.now_ms(), 0), [weak, due] {
      if (const auto alive = weak.lock()) alive->timer_fired(due);
    });
  });
}

void StorageReader::timer_fired(int64_t due_ms) {
  {
    Lock lock(mutex_);
    if (timer_due_ms_ != due_ms) return;  // another one was set for earlier
    timer_due_ms_ = INT64_MAX;
    if (!waiting_) return;
    const bool poll = poll_ms_ > 0;
    if (!poll && pending_->deadline_ms > core_->loop.now_ms()) return arm(lock);
    waiting_ = false;  // one more look, also when the time is over
  }
  advance();
}

void StorageReader::wake() {
  Lock lock(mutex_);
  if (!pending_) return;
  Page page;
  page.next = pending_->request.from;
  if (end_ >= page.next) page.end = end_;
  answer(lock, std::move(page));
}

void StorageReader::close() {
  Lock lock(mutex_);
  closed_ = true;
  if (pending_) answer(lock, fail(StatusCode::fenced, "the source is closed"));
}

}  // namespace sluice::sources
