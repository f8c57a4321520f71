// SPDX-License-Identifier: Apache-2.0
#include "storage/replayed_log.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::storage {

using host::AppendOutcome;

namespace {

/// Worth reading again: the storage is away, or the log was trimmed while it was read.
bool is_passing(const Status& status) {
  return status_class(status.code()) == 300 || status_class(status.code()) == 400 ||
         status.code() == StatusCode::out_of_range;
}

}  // namespace

ReplayedLog::ReplayedLog(std::shared_ptr<host::Log> log, StateMachine& machine, Loop& loop, ReplayedLogOptions options)
    : log_(std::move(log)), machine_(machine), loop_(loop), options_(std::move(options)) {}

Status ReplayedLog::failure() const {
  return failed_.load(std::memory_order_acquire) ? failure_ : Status();
}

void ReplayedLog::fail_for_good(Status status) {
  if (failed_.load(std::memory_order_relaxed)) return;
  if (options_.report && !closing_) options_.report(fmt::format("{} stops: {}", options_.name, status.describe()));
  failure_ = std::move(status);
  failed_.store(true, std::memory_order_release);
}

void ReplayedLog::answer(Waiting& waiting, const Status& status) {
  waiting.executor->post([done = std::move(waiting.done), status]() mutable { done(status); });
}

// ---- Reading

Task<Status> ReplayedLog::load() {
  auto keep = shared_from_this();
  if (!options_.several_writers) {
    auto position = co_await log_->acquire(options_.leader_epoch, loop_);
    if (!position) co_return position.error().in(options_.name);
  }
  Status status = co_await reload();
  for (int i = 1; i < kMaxReplays && status.code() == StatusCode::out_of_range; ++i) status = co_await reload();
  if (!status.ok()) co_return status;
  // A writer that opens the log again goes on counting, or replay would take its units for repeats.
  sequence_ = std::max(sequence_, landed_sequence_);
  for (const WriterProgress& p : progress_) {
    if (p.writer == options_.writer) sequence_ = std::max(sequence_, p.sequence);
  }
  loaded_ = true;
  co_return Status();
}

Task<Status> ReplayedLog::reload() {
  auto bounds = co_await log_->bounds(loop_);
  if (!bounds) co_return bounds.error().in(options_.name);
  machine_.reset();
  progress_.clear();
  partial_.reset();
  snapshots_.clear();
  bytes_since_snapshot_ = 0;
  crc_known_ = bounds->start == 0;
  last_crc_ = 0;
  based_ = bounds->start == 0;
  end_ = bounds->start;
  Status status = co_await replay(bounds->start, bounds->end);
  if (status.ok() && !based_) {
    status = Status(StatusCode::corrupt,
                    fmt::format("{}: no whole snapshot from offset {} on", options_.name, bounds->start));
  }
  co_return status;
}

Task<Status> ReplayedLog::replay(int64_t from, int64_t to) {
  int64_t at = from;
  while (at < to) {
    auto read = co_await log_->read(at, INT64_MAX, kReadBytes, loop_);
    if (!read) co_return read.error().status.in(fmt::format("{}, reading at {}", options_.name, at));
    auto bytes = host::gather(*read);
    if (!bytes) co_return bytes.error().in(options_.name);
    Bytes rest = as_bytes(*bytes);
    if (rest.empty())
      co_return Status(StatusCode::corrupt, fmt::format("{}: nothing at {}, end {}", options_.name, at, to));
    while (!rest.empty()) {
      auto batch = records::take_batch(rest);
      if (!batch) {
        co_return Status(StatusCode::corrupt,
                         fmt::format("{}: {} at {}", options_.name, records::batch_error_name(batch.error()), at));
      }
      Status status = take_batch(*batch);
      if (!status.ok()) co_return status.in(options_.name);
      at = batch->next_offset();
      end_ = at;
    }
  }
  co_return Status();
}

Task<Status> ReplayedLog::read_news() {
  auto bounds = co_await log_->bounds(loop_);
  if (!bounds) co_return bounds.error().in(options_.name);
  if (bounds->end < end_) {
    // Only what was acknowledged is counted in end_. What was applied since is not true any more, and others have seen
    // it.
    co_return Status(
        StatusCode::corrupt,
        fmt::format("{}: DATA LOSS: its storage acknowledged everything below {}, and the log ends at {} now",
                    options_.name, end_, bounds->end));
  }
  if (bounds->start > end_) co_return co_await reload();
  if (bounds->end > end_) {
    Status status = co_await replay(end_, bounds->end);
    // Another history than the one that was read so far: read it all.
    if (status.code() == StatusCode::corrupt) status = co_await reload();
    co_return status;
  }
  co_return Status();
}

Status ReplayedLog::take_batch(const records::BatchView& batch) {
  auto unit = decode_unit(batch);
  if (!unit) return unit.error();
  if (crc_known_ && unit->header.previous_crc != last_crc_) {
    return Status(StatusCode::corrupt,
                  fmt::format("the unit at {} does not follow the one before it", batch.base_offset()));
  }
  bytes_since_snapshot_ += batch.size();
  if (unit->header.writer == options_.writer) landed_sequence_ = unit->header.sequence;
  Status status;
  if (unit->header.kind == UnitHeader::Kind::snapshot) {
    status = take_snapshot_part(*unit, batch);
  } else if (based_) {
    status = apply_commands(*unit);
  } else if (partial_) {
    partial_->commands_between.push_back(Buffer::copy_of(batch.bytes()));
  }
  // Commands before the first whole snapshot of a trimmed log are part of it: passed over.
  last_crc_ = batch.crc();
  crc_known_ = true;
  return status;
}

Status ReplayedLog::apply_commands(const Unit& unit) {
  auto known = std::find_if(progress_.begin(), progress_.end(),
                            [&](const WriterProgress& p) { return p.writer.broker == unit.header.writer.broker; });
  if (known == progress_.end()) {
    progress_.push_back({unit.header.writer, unit.header.sequence});
  } else {
    if (known->writer == unit.header.writer && unit.header.sequence <= known->sequence) return Status();  // a repeat
    *known = {unit.header.writer, unit.header.sequence};
  }
  int64_t offset = unit.first_record_offset;
  for (const auto& record : unit.records) {
    Status status = machine_.apply(record, offset, unit.timestamp_ms);
    if (!status.ok()) return status.in(fmt::format("offset {}", offset));
    ++offset;
  }
  return Status();
}

Status ReplayedLog::take_snapshot_part(const Unit& unit, const records::BatchView& batch) {
  if (unit.header.part == 0) {
    partial_ = PartialSnapshot();
    partial_->first_offset = batch.base_offset();
    partial_->head = unit.header;
  } else if (!partial_ || !(partial_->head.writer == unit.header.writer) || partial_->next_part != unit.header.part ||
             partial_->head.parts != unit.header.parts) {
    partial_.reset();  // the rest of a snapshot whose beginning is gone, or of a writer that gave up
    return Status();
  }
  partial_->next_part = unit.header.part + 1;
  if (!based_) {
    for (const auto& record : unit.records) partial_->records.emplace_back(record);
  }
  if (partial_->next_part != partial_->head.parts) return Status();

  PartialSnapshot whole = std::move(*partial_);
  partial_.reset();
  note_snapshot(whole.first_offset);
  if (based_) return Status();
  based_ = true;
  progress_ = whole.head.progress;
  for (const auto& record : whole.records) {
    Status status = machine_.apply(record, whole.first_offset, unit.timestamp_ms);
    if (!status.ok()) return status.in("snapshot");
  }
  for (const auto& buffer : whole.commands_between) {
    auto between = records::BatchView::parse(buffer.view());
    auto commands = decode_unit(*between);
    Status status = apply_commands(*commands);
    if (!status.ok()) return status;
  }
  return Status();
}

void ReplayedLog::note_snapshot(int64_t first_offset) {
  snapshots_.push_back(first_offset);
  while (snapshots_.size() > 2) snapshots_.pop_front();
  bytes_since_snapshot_ = 0;
}

// ---- Writing

void ReplayedLog::append(std::vector<std::string> records, Executor& executor, UniqueFunction<void(Status)> done) {
  Waiting waiting{std::move(records), 0, &executor, std::move(done), false};
  for (const auto& record : waiting.records) waiting.bytes += record.size() + 16;
  if (loop_.is_current()) {
    enqueue(std::move(waiting));
  } else {
    loop_.post([self = shared_from_this(), w = std::make_shared<Waiting>(std::move(waiting))]() mutable {
      self->enqueue(std::move(*w));
    });
  }
}

// Through the queue, because only one at a time may read what is new and apply it.
Task<Status> ReplayedLog::catch_up() {
  co_return co_await suspend_until<Status>(loop_, [this](Resumer<Status> resume) {
    enqueue(Waiting{{}, 0, &loop_, [resume](Status status) { resume(std::move(status)); }, true});
  });
}

void ReplayedLog::enqueue(Waiting waiting) {
  if (Status failed = failure(); !failed.ok()) return answer(waiting, failed);
  if (!loaded_) return answer(waiting, Status(StatusCode::unavailable, options_.name + " is not loaded"));
  queue_.push_back(std::move(waiting));
  if (!pumping_) {
    pumping_ = true;
    start(pump());
  }
}

Task<void> ReplayedLog::pump() {
  auto keep = shared_from_this();
  const std::vector<WriterProgress> no_progress;
  // What else is appended in this turn of the loop joins the first unit.
  co_await hop(loop_);
  while (!queue_.empty()) {
    if (queue_.front().news_only) {
      Waiting waiting = std::move(queue_.front());
      queue_.pop_front();
      Status status = failure();
      if (status.ok()) status = co_await read_news();
      if (status.code() == StatusCode::corrupt) fail_for_good(status);
      answer(waiting, status);
      continue;
    }
    std::vector<Waiting> unit;
    std::vector<std::string> records;
    uint64_t bytes = 0;
    while (!queue_.empty() && !queue_.front().news_only &&
           (unit.empty() || bytes + queue_.front().bytes <= kMaxUnitBytes)) {
      bytes += queue_.front().bytes;
      for (auto& record : queue_.front().records) records.push_back(std::move(record));
      queue_.front().records.clear();
      unit.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    Status status = failure();
    if (status.ok()) status = co_await write(UnitHeader::Kind::commands, records, 0, 0, no_progress);
    for (auto& waiting : unit) answer(waiting, status);
    if (failure().ok() && bytes_since_snapshot_ >= options_.snapshot_every_bytes) {
      Status written = co_await write_snapshot();
      if (!written.ok() && options_.report) {
        options_.report(fmt::format("{}: snapshot not written: {}", options_.name, written.describe()));
        bytes_since_snapshot_ = options_.snapshot_every_bytes / 2;  // not at once again
      }
    }
  }
  pumping_ = false;
}

Task<AppendOutcome> ReplayedLog::send_once(const Buffer& batch) {
  if (options_.several_writers) {
    std::vector<std::string> batches(1, std::string(as_text(batch.view())));
    co_return co_await log_->append_at(end_, std::move(batches), loop_);
  }
  const host::WritePosition position = log_->position();
  // Numbered behind what the log has not, or has not any more: it would be taken, with a gap that no replay passes.
  if (position.end != end_)
    co_return AppendOutcome{Status(StatusCode::conflict, "the log ends elsewhere"), -1, -1, position.end};
  const auto view = records::BatchView::parse(batch.view());
  host::AppendEntry entry;
  entry.bytes = batch.view();
  entry.base_offset = view->base_offset();
  entry.last_offset = view->last_offset();
  entry.max_timestamp = view->max_timestamp();
  entry.record_count = static_cast<uint32_t>(view->records_count());
  co_return co_await suspend_until<AppendOutcome>(loop_, [&](Resumer<AppendOutcome> resume) {
    entry.done = [resume](AppendOutcome outcome) { resume(std::move(outcome)); };
    Status queued = log_->enqueue(std::move(entry), position.generation, loop_);
    if (queued.ok()) {
      log_->send();
    } else {
      resume(AppendOutcome{std::move(queued)});
    }
  });
}

/// Reads until the state is as new as the log, so that has_landed() is the truth about all that was sent. As the one
/// writer the log is fenced first: what has not landed by then never will.
Task<Status> ReplayedLog::settle() {
  int64_t backoff_ms = kFirstBackoffMs;
  Status status;
  for (int attempt = 0; attempt < kMaxTries; ++attempt) {
    status = Status();
    if (!options_.several_writers) {
      auto position = co_await log_->acquire(options_.leader_epoch, loop_);
      status = position ? Status() : position.error();
    }
    if (status.ok()) status = co_await read_news();
    if (status.ok() || !is_passing(status)) co_return status;
    if (closing_) break;
    co_await sleep_for(loop_, backoff_ms);
    backoff_ms = std::min(backoff_ms * 2, kMaxBackoffMs);
  }
  co_return status.in("not settled");
}

bool ReplayedLog::has_landed(uint64_t sequence) const {
  return landed_sequence_ >= sequence || std::any_of(progress_.begin(), progress_.end(), [&](const WriterProgress& p) {
           return p.writer == options_.writer && p.sequence >= sequence;
         });
}

Task<Status> ReplayedLog::write(UnitHeader::Kind kind, const std::vector<std::string>& records, uint32_t part,
                                uint32_t parts, const std::vector<WriterProgress>& progress) {
  UnitHeader header;
  header.kind = kind;
  header.writer = options_.writer;
  header.sequence = ++sequence_;
  header.part = part;
  header.parts = parts;
  header.progress = progress;
  const int64_t first_at = end_;
  int64_t backoff_ms = kFirstBackoffMs;
  bool undecided = false;  // what was sent may still land: the same bytes at the same place, until it has or cannot
  Buffer batch;
  Status last(StatusCode::unavailable, options_.name);
  for (int attempt = 0; attempt < kMaxTries; ++attempt) {
    if (!undecided) {
      // A snapshot is the state before its first unit, and that has changed.
      if (kind == UnitHeader::Kind::snapshot && part == 0 && end_ != first_at)
        co_return Status(StatusCode::conflict, options_.name);
      header.previous_crc = last_crc_;
      auto encoded = encode_unit(header, records, end_, options_.leader_epoch, options_.clock->wall_ms());
      if (!encoded) co_return encoded.error();
      batch = std::move(*encoded);
    }
    AppendOutcome outcome = co_await send_once(batch);
    last = outcome.status;
    const StatusCode code = last.code();
    if (code == StatusCode::ok) {
      const auto view = records::BatchView::parse(batch.view());
      Status applied = take_batch(*view);
      end_ = view->next_offset();
      if (!applied.ok()) fail_for_good(applied);
      co_return applied;
    }
    if (code == StatusCode::conflict || (code == StatusCode::unknown && !options_.several_writers)) {
      Status settled = co_await settle();
      if (!settled.ok()) {
        // Passing and decided: it is not there, and whoever asked may ask again.
        if (!is_passing(settled) || undecided || code == StatusCode::unknown) fail_for_good(settled);
        co_return settled;
      }
      if (has_landed(header.sequence)) co_return Status();
      if (code == StatusCode::unknown) co_return Status(StatusCode::unavailable, options_.name + ": not applied");
      undecided = false;
    } else if (code == StatusCode::unknown) {
      undecided = true;
    } else if (code == StatusCode::fenced) {
      fail_for_good(last);
      co_return last;
    } else if (!undecided) {
      const bool again = status_class(code) == 300 && (options_.several_writers || attempt < kMaxUnavailableTries);
      if (!again) co_return last;
    }
    if (closing_) break;
    co_await sleep_for(loop_, backoff_ms);
    backoff_ms = std::min(backoff_ms * 2, kMaxBackoffMs);
  }
  // Never an answer: what was proposed may still land, so nothing more may be said about the state.
  if (undecided) fail_for_good(last);
  co_return last;
}

Task<Status> ReplayedLog::write_snapshot() {
  Status status;
  for (int i = 0; i < kMaxSnapshots && bytes_since_snapshot_ >= options_.snapshot_every_bytes; ++i) {
    status = co_await write_snapshot_once();
    if (status.code() != StatusCode::conflict) co_return status;
  }
  // Others were quicker, with a snapshot of their own or with commands; the next command tries again.
  co_return Status();
}

Task<Status> ReplayedLog::write_snapshot_once() {
  std::vector<std::vector<std::string>> parts(1);
  uint64_t bytes = 0;
  for (auto& record : machine_.snapshot()) {
    if (bytes + record.size() > kMaxUnitBytes && !parts.back().empty()) {
      parts.emplace_back();
      bytes = 0;
    }
    bytes += record.size() + 16;
    parts.back().push_back(std::move(record));
  }
  std::vector<WriterProgress> progress = progress_;
  const auto count = static_cast<uint32_t>(parts.size());
  const int64_t newest_before = snapshots_.empty() ? -1 : snapshots_.back();
  for (uint32_t i = 0; i < count; ++i) {
    Status status = co_await write(UnitHeader::Kind::snapshot, parts[i], i, count, progress);
    if (!status.ok()) co_return status;
    progress.clear();  // the first part carries it
  }
  if (snapshots_.size() == 2 && snapshots_.back() != newest_before) {
    const int64_t to = snapshots_.front();
    Status trimmed;
    if (options_.several_writers) {
      trimmed = co_await log_->trim_shared(to, loop_);
    } else {
      trimmed = co_await log_->trim(to, loop_);
    }
    if (!trimmed.ok() && options_.report)
      options_.report(fmt::format("{}: not trimmed: {}", options_.name, trimmed.describe()));
  }
  co_return Status();
}

}  // namespace sluice::storage
