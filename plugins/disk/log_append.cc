// SPDX-License-Identifier: Apache-2.0
// Appending to a log, and making what was appended durable.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "disk/log.hpp"

namespace sluice::disk {

using plugin::set;

Status Log::append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) {
  if (request.bytes > kLargestUnitBytes) {
    return Status(StatusCode::too_large, fmt::format("a unit has at most {} bytes", kLargestUnitBytes));
  }
  const Pool pool = has_unfinished_recovery() ? Pool::io : Pool::writers;
  submit({pool, [this, answer = Answer(engine_, call), &request, &result]() mutable {
            append_now(std::move(answer), request, result);
          }});
  return plugin::pending();
}

Status Log::check(const sluice_append& request, sluice_append_result& result) const {
  if (phase_ != Phase::loaded) return missing();
  if (request.token != state_.token) {
    set(result, &sluice_append_result::end, end_);
    set(result, &sluice_append_result::token, state_.token);
    return Status(StatusCode::fenced, fmt::format("token {:#x} is in force, not {:#x}", state_.token, request.token));
  }
  if (request.at != end_) {
    set(result, &sluice_append_result::end, end_);
    set(result, &sluice_append_result::token, state_.token);
    return Status(StatusCode::conflict, fmt::format("the log ends at {}, not at {}", end_, request.at));
  }
  if (const Status failed = sync_failure(); !failed) return failed;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    // A batch that does not say of itself what the request says of it could not be found again.
    const sluice_batch& batch = request.batches[i];
    const auto found = batch_at({batch.data, batch.size}, 0, batch.size);
    if (!found || found->size != batch.size || found->base_offset != batch.base_offset ||
        found->last_offset != batch.last_offset) {
      return Status(StatusCode::invalid, fmt::format("batch {} of the unit is not what its header says", i));
    }
  }
  return {};
}

void Log::append_now(Answer answer, const sluice_append& request, sluice_append_result& result) {
  if (phase_ == Phase::loaded && !unfinished_.ok()) {
    // Nothing may be written over what recovery could not clear away; perhaps now it can.
    load_now();
    if (phase_ == Phase::loaded && !unfinished_.ok()) return answer(unfinished_);
  }
  if (const Status checked = check(request, result); !checked) return answer(checked);
  if (const Status prepared = prepare_segment(request.bytes); !prepared) return answer(prepared);

  Segment& segment = *segments_.back();
  const auto commit = writer_.write(segment, {{request.batches, request.batch_count}, request.bytes});
  if (!commit) {
    // NOT_FOUND would mean the log, and it is a file that somebody took away.
    if (commit.error().code() == StatusCode::not_found) {
      return answer(Status(StatusCode::corrupt, commit.error().text(), commit.error().native_code()));
    }
    if (commit.error().code() == StatusCode::unknown) static_cast<void>(fail_sync(commit.error()));
    return answer(commit.error());
  }
  {
    std::lock_guard lock(mutex_);
    segment.written = commit->committed;
    changed_ = true;
  }
  if (!always_syncs() && (request.flags & SLUICE_APPEND_SYNC) == 0) {
    publish(request, *commit);
    set(result, &sluice_append_result::end, end_);
    if (engine_.settings.sync == SyncMode::interval) engine_.mark_dirty(shared_from_this());
    return answer(Status());
  }
  continue_with({Pool::io, [this, answer = std::move(answer), &request, &result, commit = *commit]() mutable {
                   if (const Status synced = sync(); !synced) {
                     return answer(Status(StatusCode::unknown, synced.text(), synced.native_code()));
                   }
                   publish(request, commit);
                   set(result, &sluice_append_result::end, end_);
                   answer(Status());
                 }});
}

Status Log::prepare_segment(uint64_t unit_bytes) {
  SharedSegment last = segments_.empty() ? nullptr : segments_.back();
  if (last && (last->batch_bytes() == 0 || last->batch_bytes() + unit_bytes <= engine_.settings.segment_bytes))
    return {};
  SegmentHeader header;
  header.log = id_;
  header.base_offset = end_;
  header.bytes_before = last ? last->header.bytes_before + last->batch_bytes() : state_.bytes_floor;
  header.max_timestamp_before = max_timestamp_;
  auto made = make_segment(engine_, directory(), header, unit_bytes);
  if (!made) return made.error();
  {
    std::lock_guard lock(mutex_);
    segments_.push_back(*made);
  }
  if (last) seal_in_background(std::move(last));
  return {};
}

void Log::publish(const sluice_append& request, const Commit& commit) {
  std::lock_guard lock(mutex_);
  Segment& segment = *segments_.back();
  uint64_t position = commit.unit_start;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    const sluice_batch& batch = request.batches[i];
    segment.active_index->add(end_, batch.max_timestamp, position);
    position += batch.size;
    end_ = batch.last_offset + 1;
  }
  segment.commit = commit;
  max_timestamp_ = std::max(max_timestamp_, commit.max_timestamp);
}

void Log::seal_in_background(SharedSegment segment) {
  engine_.outstanding.begin();
  beside([this, segment = std::move(segment)] {
    seal(segment);
    engine_.outstanding.end();
  });
}

/// From then on the segment is known by its index: recovery looks at it no more.
void Log::seal(const SharedSegment& segment) {
  if (!sync().ok()) return;
  Commit commit;
  std::shared_ptr<SparseIndex> index;
  {
    std::lock_guard lock(mutex_);
    if (std::ranges::find(segments_, segment) == segments_.end()) return;
    commit = segment->commit;
    index = segment->active_index;
  }
  if (segment->allocated > commit.committed) {
    if (const auto file = segment->file(true)) engine_.files.truncate((*file)->fd(), commit.committed);
  }
  if (const Status written = segment->write_index(commit, *index, true); !written) {
    return engine_.report(LogLevel::warning, written.text());  // close() tries again; until then it stays in memory
  }
  std::lock_guard lock(mutex_);
  segment->indexed_to = commit.committed;
  segment->release_active_index();
}

// ---- Durability ----

Status Log::sync() {
  struct Item {
    SharedSegment segment;
    uint64_t written;
    bool name;
  };
  std::lock_guard one_at_a_time(sync_mutex_);
  std::vector<Item> items;
  std::string log_path;
  uint64_t state_sequence = 0;
  {
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::loaded) return {};
    if (!failed_.ok()) return failed_;
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
      if (!(*segment)->examined) break;  // what is known by name alone was synced
      if (!(*segment)->is_synced()) {
        items.push_back({*segment, (*segment)->written, !(*segment)->named});
      } else if (segment != segments_.rbegin()) {
        break;  // a sync takes all that is not synced: what came before one that grows no more was synced with it
      }
    }
    if (!state_synced_) log_path = directory() + "/" + std::string(kLogFileName);
    state_sequence = state_.sequence;
  }
  for (const Item& item : items) {
    const Status synced = writer_.sync(*item.segment, item.name);
    if (synced.ok()) continue;
    if (synced.code() == StatusCode::not_found) {
      std::lock_guard lock(mutex_);
      if (std::ranges::find(segments_, item.segment) == segments_.end()) continue;  // trimmed meanwhile
    }
    return fail_sync(synced);
  }
  if (!log_path.empty()) {
    const int fd = engine_.files.open(log_path, O_RDWR);
    const int result = fd < 0 ? fd : engine_.files.sync_data(fd);
    if (fd >= 0) engine_.files.close(fd);
    if (result < 0) return fail_sync(io_error(result, "sync", log_path));
  }
  std::lock_guard lock(mutex_);
  for (const Item& item : items) {
    item.segment->synced = std::max(item.segment->synced.load(), item.written);
    item.segment->named = true;
  }
  if (!log_path.empty() && state_.sequence == state_sequence) state_synced_ = true;
  return {};
}

Status Log::fail_sync(const Status& status) {
  engine_.counters.failed_syncs += 1;
  engine_.report(
      LogLevel::error,
      fmt::format("{}; the log takes no appends until it is fenced anew or the storage is restarted", status.text()));
  std::lock_guard lock(mutex_);
  failed_ = Status(StatusCode::internal, status.text(), status.native_code());
  return failed_;
}

Status Log::sync_failure() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

/// After a failed sync the kernel takes pages for clean that are not on the disk. Everything since the last good sync
/// is checked, written again and synced; a unit whose sync failed is taken back.
Status Log::repair() {
  if (sync_failure().ok()) return {};
  for (const SharedSegment& segment : segments_) {
    if (!segment->examined || segment->is_synced()) continue;
    if (Status rewritten = rewrite(segment); !rewritten) return rewritten;
  }
  {
    std::lock_guard lock(mutex_);
    failed_ = Status();
    state_synced_ = false;
  }
  return sync();
}

Status Log::rewrite(const SharedSegment& segment) {
  constexpr uint64_t kPieceBytes = 1024 * 1024;
  const auto file = segment->file_for_writing();
  if (!file) return file.error();
  const uint64_t from = std::max(segment->synced.load(), kSegmentHeaderBytes);
  const uint64_t to = segment->commit.committed;
  SparseIndex unused(kPieceBytes);
  const auto scan = scan_batches(engine_, *file, from, to, segment->base_offset(), 0, unused);
  if (!scan) return scan.error();
  if (scan->valid_to != to) return Status(StatusCode::internal, fmt::format("{} cannot be repaired", segment->path()));
  Buffer piece;
  for (uint64_t position = 0; position < to;) {
    if (position == kSegmentHeaderBytes) position = from;
    const uint64_t end = position < kSegmentHeaderBytes ? kSegmentHeaderBytes : to;
    piece.resize(std::min(kPieceBytes, end - position));
    if (piece.empty()) break;
    const ssize_t got = read_fully(engine_.files, (*file)->fd(), piece.mutable_view(), position);
    if (got < 0) return io_error(static_cast<int>(got), "read", segment->path());
    if (static_cast<size_t>(got) != piece.size())
      return Status(StatusCode::internal, segment->path() + " became shorter");
    const int wrote = write_fully(engine_.files, (*file)->fd(), piece, position);
    if (wrote < 0) return io_error(wrote, "write", segment->path());
    position += piece.size();
  }
  if (Status taken = writer_.take_back(*segment, segment->commit); !taken) return taken;
  std::lock_guard lock(mutex_);
  segment->written = to;
  segment->named = false;  // also where nothing but the page was written
  return {};
}

void Log::sync_in_background() {
  dirty_ = false;
  if (is_loaded()) static_cast<void>(sync());
}

}  // namespace sluice::disk
