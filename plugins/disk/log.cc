// SPDX-License-Identifier: Apache-2.0
#include "disk/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

namespace sluice::disk {

namespace {

/// How many jobs of one log run before others get their turn.
constexpr int kMaxJobsPerTurn = 16;

}  // namespace

void Engine::mark_dirty(std::shared_ptr<Log> log) {
  if (log->dirty_.exchange(true)) return;
  std::lock_guard lock(dirty_mutex_);
  dirty_.insert(std::move(log));
}

std::unordered_set<std::shared_ptr<Log>> Engine::take_dirty() {
  std::lock_guard lock(dirty_mutex_);
  return std::exchange(dirty_, {});
}

// ---- The queue ----

void Log::submit(Job job) {
  Pool pool;
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (turning_) return;
    turning_ = true;
    pool = phase_ == Phase::found ? Pool::io : jobs_.front().pool;
  }
  post_turn(pool);
}

void Log::continue_with(Job job) {
  std::lock_guard lock(mutex_);
  jobs_.push_front(std::move(job));
}

void Log::post_turn(Pool pool) {
  Workers& workers = pool == Pool::io ? engine_.io : engine_.writers;
  workers.post([self = shared_from_this(), pool] { self->turn(pool); });
}

void Log::turn(Pool pool) {
  for (int done = 0; done < kMaxJobsPerTurn; ++done) {
    Job job;
    bool load = false;
    {
      std::unique_lock lock(mutex_);
      if (jobs_.empty()) {
        turning_ = false;
        return;
      }
      load = phase_ == Phase::found;
      const Pool needed = load ? Pool::io : jobs_.front().pool;
      if (needed != pool) {
        lock.unlock();
        return post_turn(needed);
      }
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    if (load) load_now();
    job.run();
  }
  post_turn(pool);
}

void Log::beside(UniqueFunction<void()> job) {
  engine_.io.post([self = shared_from_this(), run = std::move(job)]() mutable { run(); });
}

// ---- Being there ----

void Log::found(std::string directory_name) {
  std::lock_guard lock(mutex_);
  directory_name_ = std::move(directory_name);
  phase_ = Phase::found;
}

void Log::lost() {
  std::lock_guard lock(mutex_);
  directory_name_.clear();
  phase_ = Phase::absent;
}

bool Log::is_loaded() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::loaded;
}

bool Log::is_forgettable() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::absent && !turning_ && removal_synced_;
}

bool Log::has_unfinished_recovery() const {
  std::lock_guard lock(mutex_);
  return !unfinished_.ok();
}

std::string Log::directory_name() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::absent ? std::string() : directory_name_;
}

Status Log::missing() const {
  if (phase_ == Phase::absent) return Status(StatusCode::not_found, fmt::format("no log {}", hex(id_.bytes)));
  return load_failure_;
}

void Log::load_now() {
  auto recovered = recover_log(engine_, directory());
  if (recovered && recovered->state.deleted) {  // its removal had begun
    remove_tree(engine_.files, directory());
    return lost();
  }
  {
    std::lock_guard lock(mutex_);
    if (!recovered) {
      load_failure_ = recovered.error();
      if (load_failure_.code() == StatusCode::not_found) phase_ = Phase::absent;
      return;
    }
    descriptor_ = std::move(recovered->descriptor);
    state_ = std::move(recovered->state);
    segments_ = std::move(recovered->segments);
    start_ = recovered->start;
    end_ = recovered->end;
    max_timestamp_ = state_.max_timestamp_floor;
    changed_ = false;
    if (!segments_.empty()) {
      const Segment& last = *segments_.back();
      max_timestamp_ = std::max({max_timestamp_, last.header.max_timestamp_before, last.commit.max_timestamp});
      changed_ = last.indexed_to < last.commit.committed;
    }
    failed_ = Status();
    unfinished_ = recovered->unfinished;
    // Whether what is there was synced is not known; where it has to be, it is synced before anybody sees it.
    state_synced_ = false;
    phase_ = Phase::loaded;
  }
  if (always_syncs()) static_cast<void>(sync());
  if (engine_.settings.sync == SyncMode::interval) engine_.mark_dirty(shared_from_this());
}

Status Log::create(plugin::Call& call, plugin::LogDescriptor descriptor) {
  submit({Pool::io, [this, answer = Answer(engine_, call), descriptor = std::move(descriptor)]() mutable {
            answer(create_now(descriptor));
          }});
  return plugin::pending();
}

Status Log::create_now(const plugin::LogDescriptor& descriptor) {
  if (phase_ == Phase::found) return load_failure_;
  if (phase_ == Phase::loaded) {
    if (descriptor_.same_log(descriptor)) return {};
    return Status(StatusCode::exists, fmt::format("log {} is there with another descriptor", hex(id_.bytes)));
  }
  if (Status made = make_directory(descriptor); !made) return made;
  std::lock_guard lock(mutex_);
  directory_name_ = log_directory_name(descriptor);
  descriptor_ = descriptor;
  descriptor_.settings.clear();
  state_ = LogState{};
  state_.start = state_.end_floor = start_ = end_ = descriptor.start_offset;
  max_timestamp_ = kNoTimestamp;
  segments_.clear();
  failed_ = unfinished_ = Status();
  changed_ = false;
  state_synced_ = always_syncs();
  phase_ = Phase::loaded;
  return {};
}

/// Built where nobody looks, then moved to its place: so it is whole or not there.
Status Log::make_directory(const plugin::LogDescriptor& descriptor) {
  Files& files = engine_.files;
  const bool durable = engine_.settings.sync == SyncMode::fsync || descriptor.sync();
  const std::string building = fmt::format("{}/{}-{}", engine_.new_directory(), hex(id_.bytes), engine_.unique++);
  const std::string path = engine_.logs_directory() + "/" + log_directory_name(descriptor);
  const std::string log_path = building + "/" + std::string(kLogFileName);

  LogState state;
  state.start = state.end_floor = descriptor.start_offset;
  std::vector<uint8_t> content = encode_descriptor(descriptor);
  const auto slot = encode_state(state);
  content.insert(content.end(), slot->begin(), slot->end());
  content.resize(kLogFileBytes);

  int result = files.make_directory(building);
  if (result < 0) return io_error(result, "make", building);
  const int fd = result = files.open(log_path, O_WRONLY | O_CREAT | O_EXCL);
  if (fd >= 0) {
    result = write_fully(files, fd, content, 0);
    if (result == 0 && durable) result = files.sync_data(fd);
    files.close(fd);
  }
  if (result == 0 && durable) result = files.sync_directory(building);
  if (result == 0) result = files.rename(building, path);
  if (result < 0) {
    remove_tree(files, building);
    return io_error(result, "make", path);
  }
  if (durable) result = files.sync_directory(engine_.logs_directory());
  return result < 0 ? io_error(result, "sync", engine_.logs_directory()) : Status();
}

Status Log::remove(plugin::Call& call) {
  submit({Pool::io, [this, answer = Answer(engine_, call)]() mutable { answer(remove_now()); }});
  return plugin::pending();
}

Status Log::remove_now() {
  if (phase_ == Phase::absent) return sync_removal();
  std::lock_guard no_sync(sync_mutex_);  // one that is under way would miss its files
  Files& files = engine_.files;
  const std::string from = directory();
  const std::string to = fmt::format("{}/{}-{}", engine_.gone_directory(), hex(id_.bytes), engine_.unique++);
  const int result = files.rename(from, to);
  const bool to_be_synced = result == 0 && (phase_ != Phase::loaded || always_syncs());
  if (result == -ENOSPC && phase_ == Phase::loaded) {
    // Not even a directory entry can be made: a mark in a place that is there already, then what it stands for.
    LogState gone = state_;
    gone.deleted = true;
    gone.values.clear();
    if (Status marked = change_state(std::move(gone), true); !marked) return marked;
    remove_tree(files, from);
  } else if (result < 0) {
    return io_error(result, "remove", from);
  }
  std::vector<SharedSegment> segments;  // destroyed without the lock
  {
    std::lock_guard lock(mutex_);
    phase_ = Phase::absent;
    segments.swap(segments_);
    directory_name_.clear();
    removal_synced_ = !to_be_synced;
  }
  const Status synced = sync_removal();
  if (result == 0 && synced.ok()) {  // else the next start removes them
    engine_.outstanding.begin();
    engine_.io.post([&engine = engine_, to] {
      remove_tree(engine.files, to);
      engine.outstanding.end();
    });
  }
  return synced;
}

/// A log that is gone may come back with a loss of power until this is OK.
Status Log::sync_removal() {
  if (removal_synced_) return {};
  const int result = engine_.files.sync_directory(engine_.logs_directory());
  if (result < 0) {
    return Status(StatusCode::unknown, io_error(result, "sync", engine_.logs_directory()).text(), -result);
  }
  std::lock_guard lock(mutex_);
  removal_synced_ = true;
  return {};
}

Status Log::close() {
  Status status;
  if (is_loaded()) {
    if (changed_) status = sync();
    for (const SharedSegment& segment : segments_) {
      if (!status.ok() || !segment->active_index || segment->batch_bytes() == 0) continue;
      if (segment->indexed_to < segment->commit.committed) {
        status = segment->write_index(segment->commit, *segment->active_index, always_syncs());
      }
      if (segment->allocated > segment->commit.committed) {
        if (const auto file = segment->file(true)) engine_.files.truncate((*file)->fd(), segment->commit.committed);
      }
    }
  }
  std::vector<SharedSegment> segments;
  std::lock_guard lock(mutex_);
  segments.swap(segments_);
  if (phase_ == Phase::loaded) phase_ = Phase::found;
  state_ = LogState{};
  dirty_ = false;
  return status;
}

}  // namespace sluice::disk
