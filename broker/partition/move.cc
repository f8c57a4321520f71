// SPDX-License-Identifier: Apache-2.0
// A partition on its way to another storage. First the switch: appends wait, the log is fenced, a new one on the target
// begins at its end with all that a partition needs to go on there, and one command makes it the log that is written.
// Then the copy: what was sealed is copied behind, byte for byte, and takes the place of what it was copied from once
// it is whole and durable.
//
// Metadata names every log before it is made, and holds how far a migration is; so each step may be repeated, by this
// broker or by the one that comes after it.
#include <fmt/format.h>

#include "cluster/extents.hpp"
#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

Status to_status(const cluster::ClusterError& error) {
  return Status(StatusCode::unavailable, error.text);
}

bool is_on(const cluster::Extent& extent, const cluster::TopicInfo& topic) {
  return !topic.migration || extent.storage == topic.migration->target;
}

/// The log that was recorded cannot be used: another is recorded in its place.
bool wants_another_log(const Status& status) {
  return status.code() == StatusCode::exists || status.code() == StatusCode::fenced ||
         status.code() == StatusCode::conflict;
}

/// Runs `task` for at most `ms`: then UNAVAILABLE, `late` is set, and it goes on by itself, so it refers to nothing of
/// the caller's.
Task<Status> within(Task<Status> task, int64_t ms, bool& late, Loop& loop) {
  auto result = std::make_shared<std::optional<Status>>();
  TimerId timer = 0;
  co_await suspend_until<bool>(loop, [&](Resumer<bool> resume) {
    timer = loop.call_after(ms, [resume] { resume(false); });
    start(std::move(task), [result, resume](Status status) {
      *result = std::move(status);
      resume(true);
    });
  });
  loop.cancel(timer);
  late = !result->has_value();
  co_return late ? Status(StatusCode::unavailable, fmt::format("no answer within {} ms", ms)) : **result;
}

/// Units of a copy that were sent and are not answered. One loop.
class Flight {
 public:
  explicit Flight(Loop& loop) : loop_(loop) {}
  void sent(uint64_t bytes) { bytes_ += bytes; }
  void answered(uint64_t bytes, const host::AppendOutcome& outcome) {
    bytes_ -= bytes;
    if (!outcome.status.ok() && first_error_.ok()) first_error_ = outcome.status;
    if (auto waiter = std::exchange(waiter_, std::nullopt)) (*waiter)(true);
  }
  /// Waits until no more than `bytes` are under way.
  Task<void> down_to(uint64_t bytes) {
    while (bytes_ > bytes) co_await suspend_until<bool>(loop_, [this](Resumer<bool> resume) { waiter_ = resume; });
  }
  const Status& first_error() const { return first_error_; }

 private:
  Loop& loop_;
  uint64_t bytes_ = 0;
  Status first_error_;
  std::optional<Resumer<bool>> waiter_;
};

/// A read that was begun, and goes on while its caller does something else. One loop.
class BegunRead {
 public:
  using Answer = tl::expected<host::ReadResult, Status>;
  BegunRead(int64_t at, Task<Answer> read, Loop& loop) : at_(at), loop_(loop), state_(std::make_shared<State>()) {
    start(std::move(read), [state = state_](Answer answer) {
      state->answer = std::move(answer);
      if (state->waiter) (*state->waiter)(true);
    });
  }
  /// The offset from which it reads.
  int64_t at() const { return at_; }
  /// Once. A turn of the loop in any case: copies must not keep each other from theirs.
  Task<Answer> answer() {
    if (state_->answer) co_await hop(loop_);
    co_await suspend_until<bool>(loop_, [this](Resumer<bool> resume) {
      if (state_->answer) return resume(true);
      state_->waiter = resume;
    });
    co_return std::move(*state_->answer);
  }

 private:
  struct State {
    std::optional<Answer> answer;
    std::optional<Resumer<bool>> waiter;
  };
  int64_t at_;
  Loop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace

// ---- The switch

Task<Status> LogPartition::switch_storage(Loop& loop) {
  auto keep = shared_from_this();
  Status status;
  bool again = true;
  for (int attempt = 0; attempt < kMaxSwitchAttempts && again; ++attempt) {
    again = false;
    const ErrorCode error = co_await ready(loop);
    if (error != ErrorCode::kNone)
      co_return Status(StatusCode::unavailable, fmt::format("the partition is not available: {}", error_name(error)));
    cluster::TopicPtr topic = context_.cluster.state().topic_in_any_state(topic_->id);
    if (!topic || topic->deleting) co_return Status(StatusCode::not_found, "the topic is gone");
    const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index_)];
    if (is_on(info.extents.back(), *topic)) co_return Status();
    std::optional<cluster::Extent> next = info.next;
    if (attempt > 0 || !next || next_left_behind_) {
      auto recorded = co_await context_.cluster.record_next(topic->id, index_, loop);
      if (!recorded) co_return to_status(recorded.error());
      next_left_behind_ = false;
      next = (*recorded)->partitions[static_cast<size_t>(index_)].next;
    }
    // A target that hangs is to hold up nobody.
    if (next) status = co_await probe(*next, loop);
    if (!status.ok()) co_return status;
    // The log start must not move either.
    co_await take_start_turn(loop);
    bool began = false;
    {
      std::lock_guard lock(mutex_);
      began = stage_locked() == Stage::ready && !saving_;
      if (began) {
        stage_ = Stage::loading;
        saving_ = true;
        read_ahead_.drop_all();
      }
    }
    if (!began) {
      end_start_turn();
      co_return Status(StatusCode::unavailable, "the partition is busy");
    }
    const int64_t began_ms = context_.clock.monotonic_ms();
    co_await appends_answered(loop);
    bool intact = false;
    status = co_await switch_log(loop, again, intact);
    {
      std::lock_guard lock(mutex_);
      saving_ = false;
    }
    // Whatever became of it: metadata says which log is written, and those who waited go on there.
    if (intact) {
      end_loading(Status());
    } else {
      co_await load(loop);
    }
    end_start_turn();  // not before it is known beside which log the start is saved
    if (status.ok()) {
      const cluster::Extent open = extents_.open_extent();
      note(SLUICE_LOG_INFO, fmt::format("is written on storage \"{}\" from offset {} on; appends waited {} ms",
                                        open.storage, open.from, context_.clock.monotonic_ms() - began_ms));
    }
  }
  co_return status;
}

Task<Status> LogPartition::probe(cluster::Extent extent, Loop& loop) {
  auto log = extents_.open(extent);
  if (!log) co_return log.error();
  auto bounds = co_await (*log)->bounds(loop);
  extents_.close(extent.log);
  if (bounds || bounds.error().code() == StatusCode::not_found) co_return Status();
  co_return bounds.error();
}

Task<Status> LogPartition::switch_log(Loop& loop, bool& again, bool& intact) {
  cluster::TopicPtr topic = context_.cluster.state().topic_in_any_state(topic_->id);
  if (!topic || topic->deleting) co_return Status(StatusCode::not_found, "the topic is gone");
  std::shared_ptr<host::Log> log;
  int32_t epoch = 0;
  int64_t end = 0;
  {
    std::lock_guard lock(mutex_);
    extents_.adopt(topic);
    log = log_;
    epoch = loaded_epoch_;
    end = high_watermark_;
  }
  const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index_)];
  const cluster::Extent open = info.extents.back();
  if (!topic->migration || !info.next || open.log != log->descriptor().id || info.leader_epoch != epoch)
    co_return Status(StatusCode::unavailable, "the partition was changed meanwhile");
  // A fence, unless this writer's own is in force and nothing is in doubt: from here on the log ends where it ends.
  auto position = co_await log->acquire(epoch, loop);
  if (!position) co_return position.error();
  if (position->end != end)
    co_return Status(StatusCode::unavailable, fmt::format("the log ends at {} and not at {}", position->end, end));
  intact = true;

  cluster::Extent fresh = *info.next;
  fresh.from = end;
  auto storage = context_.cluster.storages().find(fresh.storage);
  if (!storage || !storage->started())
    co_return Status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", fresh.storage));
  extents_.close(fresh.log);  // of an earlier attempt that began elsewhere
  Status status;
  if (auto opened = extents_.open(fresh); opened) {
    // A target that hangs now must not keep producers waiting: the source goes on, and the log is left behind.
    status = co_await within(make_log(*opened, cluster::Cluster::describe_log(*topic, index_, fresh), end, epoch, loop),
                             kMaxTargetMs, next_left_behind_, loop);
  } else {
    status = opened.error();
  }
  if (!status.ok()) {
    extents_.close(fresh.log);
    again = wants_another_log(status);
    co_return status.in(fmt::format("making a log on storage \"{}\"", fresh.storage));
  }
  intact = false;
  cluster::Command command = cluster::SwitchExtent{topic->id, index_, epoch, open.log, fresh.log, end};
  auto switched = co_await context_.cluster.change_topic(std::move(command), loop);
  if (switched) context_.metrics.switches.fetch_add(1, std::memory_order_relaxed);
  if (switched) co_return Status();
  if (!context_.cluster.health().ok()) {
    std::lock_guard lock(mutex_);
    switch_unknown_ = true;
  }
  co_return to_status(switched.error());
}

Task<Status> LogPartition::make_log(std::shared_ptr<host::Log> log, host::LogDescriptor descriptor, int64_t end,
                                    int32_t epoch, Loop& loop) {
  const auto keep = shared_from_this();
  Status status = co_await log->storage().create_log(descriptor, loop);
  if (!status.ok()) co_return status;
  co_return co_await prepare_log(log, end, epoch, loop);
}

Task<Status> LogPartition::prepare_log(std::shared_ptr<host::Log> log, int64_t end, int32_t epoch, Loop& loop) {
  auto position = co_await log->acquire(epoch, loop);
  if (!position) co_return position.error();
  // It was made for another attempt.
  if (position->end != end)
    co_return Status(StatusCode::conflict, fmt::format("the new log begins at {} and not at {}", position->end, end));
  std::string state;
  int64_t start = 0;
  {
    std::lock_guard lock(mutex_);
    state = encode_state(state_);
    start = log_start_;
  }
  Status status = co_await write_log_start(log, start, loop);
  if (!status.ok()) co_return status;
  co_return co_await write_snapshot(log, snapshot_name(0), std::move(state), loop);
}

// ---- The copy

int64_t LogPartition::bytes_between(int64_t from, int64_t to) const {
  std::lock_guard lock(mutex_);
  return state_.bytes_between(std::max(from, log_start_), to);
}

Task<Status> LogPartition::copy_extents(CopyPace& pace, Loop& loop) {
  auto keep = shared_from_this();
  const ErrorCode error = co_await ready(loop);
  if (error != ErrorCode::kNone)
    co_return Status(StatusCode::unavailable, fmt::format("the partition is not available: {}", error_name(error)));
  int32_t epoch = 0;
  int64_t start = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = loaded_epoch_;
    start = log_start_;
  }
  // What is wholly before the log start is not worth a copy.
  co_await take_start_turn(loop);
  const bool stale = extents_.list().front().to >= 0 && extents_.list().front().to <= start;
  Status status;
  if (stale) status = co_await trim_extents(start, epoch, loop);
  end_start_turn();
  if (!status.ok()) co_return status;

  cluster::TopicPtr topic;
  status = co_await plan_copy(topic, epoch, loop);
  if (!status.ok()) co_return status;
  const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index_)];
  if (!info.copy) co_return Status();
  const cluster::Extent copy = info.copy->extent;
  auto storage = context_.cluster.storages().find(copy.storage);
  if (!storage || !storage->started())
    co_return Status(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", copy.storage));
  status = co_await storage->create_log(cluster::Cluster::describe_log(*topic, index_, copy), loop);
  if (!status.ok()) co_return status;
  auto log = extents_.open(copy);
  if (!log) co_return log.error();
  auto position = co_await (*log)->acquire(epoch, loop);
  if (!position) co_return position.error();
  int64_t in_all = 0;
  int64_t there = 0;
  {
    std::lock_guard lock(mutex_);
    if (position->end < copy.to) {
      whole_copy_.reset();
    } else if (whole_copy_ != copy.log) {
      // Its end is there, and nobody knows how durably: the next round begins another copy.
      co_return Status(StatusCode::unavailable, "the end of the copy was written by somebody who was not told of it");
    }
    in_all = state_.bytes_between(copy.from, copy.to);
    there = state_.bytes_between(copy.from, std::min(position->end, copy.to));
  }
  pace.begin(in_all, there);
  status = co_await copy_into(*log, copy, *position, epoch, pace, loop);
  if (!status.ok()) co_return status;
  {
    std::lock_guard lock(mutex_);
    start = log_start_;
  }
  // Should the open log be lost, this one tells the log start.
  status = co_await write_log_start(*log, start, loop);
  if (!status.ok()) co_return status;
  cluster::Command command = cluster::NameCopy{topic->id, index_, epoch, copy.log};
  auto named = co_await context_.cluster.change_topic(std::move(command), loop);
  if (!named) co_return to_status(named.error());
  co_return Status();
}

/// Gives the topic with a copy recorded that can be begun or gone on with; without one if there is nothing to copy.
Task<Status> LogPartition::plan_copy(cluster::TopicPtr& topic, int32_t epoch, Loop& loop) {
  topic = context_.cluster.state().topic_in_any_state(topic_->id);
  if (!topic || topic->deleting) co_return Status(StatusCode::not_found, "the topic is gone");
  if (!topic->migration) co_return Status();
  const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index_)];
  const std::vector<cluster::Extent> run = cluster::run_to_copy(info, topic->migration->target);
  if (run.empty()) co_return Status();
  if (info.copy) {
    // Whether the last of it is durable is known only to whom that was told.
    auto log = extents_.open(info.copy->extent);
    if (!log) co_return log.error();
    auto bounds = co_await (*log)->bounds(loop);
    std::lock_guard lock(mutex_);
    const bool whole = bounds && bounds->end >= info.copy->extent.to;
    if (!whole || (whole_copy_ == info.copy->extent.log && bounds->end == info.copy->extent.to)) co_return Status();
  }
  int64_t from = run.front().from;
  {
    std::lock_guard lock(mutex_);
    from = std::max(from, log_start_);
  }
  auto read = co_await extents_.read(from, run.back().to, 1, epoch, loop);
  if (!read) co_return read.error();
  auto bytes = host::gather(*read);
  if (!bytes) co_return bytes.error();
  auto first = records::parse_batch_header(as_bytes(*bytes));
  if (!first)
    co_return Status(StatusCode::corrupt, fmt::format("no batch at {}, to be copied up to {}", from, run.back().to));
  auto recorded = co_await context_.cluster.record_copy(topic->id, index_, first->base_offset, loop);
  if (!recorded) co_return to_status(recorded.error());
  topic = *recorded;
  co_return Status();
}

Task<Status> LogPartition::copy_into(std::shared_ptr<host::Log> log, cluster::Extent copy, host::WritePosition begin,
                                     int32_t epoch, CopyPace& pace, Loop& loop) {
  auto flight = std::make_shared<Flight>(loop);
  int64_t at = begin.end;
  const uint64_t largest = log->storage().condition().largest_unit;
  // What follows is read while what came is looked through and written.
  std::optional<BegunRead> ahead;
  Status status;
  while (at < copy.to && status.ok() && flight->first_error().ok()) {
    if (!ahead) {
      const bool go = co_await pace.admit(kCopyReadBytes);
      if (!go) {
        status = Status(StatusCode::unavailable, "the copy rests");
        break;
      }
      ahead.emplace(at, extents_.read(at, copy.to, kCopyReadBytes, epoch, loop), loop);
    }
    auto read = co_await ahead->answer();
    const int64_t from = std::exchange(ahead, std::nullopt)->at();
    if (from != at) continue;  // what came before it ended elsewhere than the storage had said
    if (!read && read.error().code() == StatusCode::out_of_range) {
      // The log start overtook the copy: what was dropped is a gap in it.
      std::lock_guard lock(mutex_);
      if (log_start_ > at && log_start_ < copy.to) {
        at = log_start_;
        continue;
      }
    }
    if (!read) {
      status = read.error();
      break;
    }
    if (read->next > at && read->next < copy.to && pace.admit_now(kCopyReadBytes))
      ahead.emplace(read->next, extents_.read(read->next, copy.to, kCopyReadBytes, epoch, loop), loop);
    auto gathered = host::gather(*read);
    if (!gathered) {
      status = gathered.error();
      break;
    }
    auto bytes = std::make_shared<const std::string>(std::move(*gathered));
    Bytes rest = as_bytes(*bytes);
    if (rest.empty() && read->next <= at)
      status = Status(StatusCode::corrupt, fmt::format("no batch at {}, to be copied up to {}", at, copy.to));
    if (rest.empty()) at = std::max(at, read->next);
    std::vector<host::AppendEntry> entries;
    while (!rest.empty() && status.ok()) {
      auto batch = records::take_batch(rest);
      if (!batch || batch->compute_crc() != batch->crc()) {
        status = Status(StatusCode::corrupt, fmt::format("the batch at {} is damaged", at));
      } else if (largest != 0 && batch->size() > largest) {
        status =
            Status(StatusCode::too_large, fmt::format("the batch at {} has {} bytes, storage \"{}\" takes {} at most",
                                                      at, batch->size(), copy.storage, largest));
      } else {
        auto& entry = entries.emplace_back();
        entry.bytes = {batch->bytes().data(), batch->bytes().size()};
        entry.base_offset = batch->base_offset();
        entry.last_offset = batch->next_offset() - 1;
        entry.max_timestamp = batch->max_timestamp();
        entry.record_count = static_cast<uint32_t>(std::max(batch->records_count(), 0));
        entry.owner = bytes;
        at = batch->next_offset();
      }
    }
    for (auto& entry : entries) {
      if (!status.ok()) break;
      entry.sync = at >= copy.to;  // the end of the copy, and with it all before
      const uint64_t size = entry.bytes.size();
      entry.done = [flight, size](host::AppendOutcome outcome) { flight->answered(size, outcome); };
      // Of the generation that this began in: behind an append that failed there would be a hole.
      status = log->enqueue(std::move(entry), begin.generation, loop);
      if (!status.ok()) break;
      flight->sent(size);
      pace.copied(size);
      context_.metrics.bytes_copied.fetch_add(size, std::memory_order_relaxed);
    }
    log->send();
    co_await flight->down_to(kCopyInFlightBytes);
  }
  if (ahead) (void)co_await ahead->answer();
  co_await flight->down_to(0);
  if (status.ok()) status = flight->first_error();
  if (!status.ok()) co_return status;
  const int64_t end = log->position().end;
  if (end != copy.to)
    co_return Status(StatusCode::corrupt, fmt::format("the copy ends at {} instead of {}", end, copy.to));
  std::lock_guard lock(mutex_);
  whole_copy_ = copy.log;
  co_return Status();
}

}  // namespace sluice::partition
