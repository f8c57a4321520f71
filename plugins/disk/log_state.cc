// SPDX-License-Identifier: Apache-2.0
// What changes in a log besides its batches: the token in force, the start, saved values. Small things go into the file
// "log", in place and in turns, so that they need no space: a full disk can still be fenced, trimmed and emptied.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "disk/log.hpp"

namespace sluice::disk {

using plugin::set;

namespace {

constexpr uint64_t kLargestValueFile = SLUICE_LARGEST_VALUE + 4096;

Status not_here(std::string_view what) {
  return Status(StatusCode::invalid, fmt::format("a log of several writers has no {}", what));
}

}  // namespace

Status Log::check_token(uint64_t token) const {
  if (phase_ != Phase::loaded) return missing();
  if (token == state_.token) return {};
  return Status(StatusCode::fenced, fmt::format("token {:#x} is in force, not {:#x}", state_.token, token));
}

Status Log::change_state(LogState next, bool durable) {
  next.sequence = state_.sequence + 1;
  const auto slot = encode_state(next);
  if (!slot) return Status(StatusCode::too_large, "the state does not fit its slot");
  const std::string path = directory() + "/" + std::string(kLogFileName);
  const int fd = engine_.files.open(path, O_RDWR);
  if (fd < 0) return io_error(fd, "open", path);
  const int wrote = write_fully(engine_.files, fd, *slot, state_slot_position(next.sequence));
  const int synced = wrote == 0 && durable ? engine_.files.sync_data(fd) : 0;
  engine_.files.close(fd);
  if (wrote < 0) return io_error(wrote, "write", path);
  if (synced < 0) {
    const Status failure = fail_sync(io_error(synced, "sync", path));
    return Status(StatusCode::unknown, failure.text(), failure.native_code());
  }
  {
    std::lock_guard lock(mutex_);
    state_ = std::move(next);
    state_synced_ = durable;
  }
  if (!durable && engine_.settings.sync == SyncMode::interval) engine_.mark_dirty(shared_from_this());
  return {};
}

// ---- Fence ----

Status Log::fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) {
  submit({Pool::io,
          [this, answer = Answer(engine_, call), token, &result]() mutable { answer(fence_now(token, result)); }});
  return plugin::pending();
}

Status Log::fence_now(uint64_t token, sluice_fence_result& result) {
  if (phase_ != Phase::loaded) return missing();
  if (descriptor_.several_writers()) return not_here("fence");
  set(result, &sluice_fence_result::end, end_);
  set(result, &sluice_fence_result::token, state_.token);
  if (token < state_.token) {
    return Status(StatusCode::fenced, fmt::format("token {:#x} is in force, above {:#x}", state_.token, token));
  }
  if (Status repaired = repair(); !repaired) return repaired;
  if (token > state_.token) {
    LogState next = state_;
    next.token = token;
    if (Status changed = change_state(std::move(next), always_syncs()); !changed) return changed;
  }
  set(result, &sluice_fence_result::token, state_.token);
  return {};
}

// ---- Trim ----

Status Log::trim(plugin::Call& call, uint64_t token, int64_t offset) {
  submit_trim(Answer(engine_, call), token, offset, false);
  return plugin::pending();
}

void Log::submit_trim(Answer answer, uint64_t token, int64_t offset, bool synced) {
  submit({Pool::io, [this, answer = std::move(answer), token, offset, synced]() mutable {
            trim_now(std::move(answer), token, offset, synced);
          }});
}

void Log::trim_now(Answer answer, uint64_t token, int64_t offset, bool synced) {
  if (const Status checked = check_token(token); !checked) return answer(checked);
  const auto start = trimmed_start(offset);
  if (!start) return answer(start.error());
  if (*start <= start_) return answer(Status());
  size_t dropped = 0;
  while (dropped < segments_.size()) {
    const bool last = dropped + 1 == segments_.size();
    if ((last ? end_ : segments_[dropped + 1]->base_offset()) > *start) break;
    ++dropped;
  }
  if (dropped == 0 || synced) return answer(drop_below(*start, dropped));
  // What is dropped may be on the disk; then what is left must be, too. Appends go on meanwhile.
  beside([this, answer = std::move(answer), token, offset]() mutable {
    if (const Status durable = sync(); !durable) return answer(durable);
    submit_trim(std::move(answer), token, offset, true);
  });
}

/// A batch boundary at or below `offset`: the batch that holds it stays. Where that is damaged, all of its segment
/// does.
Result<int64_t> Log::trimmed_start(int64_t offset) {
  if (offset >= end_) return end_;
  if (offset <= start_) return start_;
  const auto place = find(offset, true);
  if (!place) return fail(explain_absence(place.error()));
  if (place->damaged_next >= 0) return std::max(start_, place->segment->base_offset());
  return place->segment ? std::min(offset, place->batch.base_offset) : offset;
}

Status Log::drop_below(int64_t start, size_t segments) {
  LogState next = state_;
  next.start = start;
  if (segments > 0 && segments == segments_.size()) {
    const Segment& last = *segments_.back();
    next.end_floor = end_;
    next.bytes_floor = last.header.bytes_before + last.batch_bytes();
    next.max_timestamp_floor = max_timestamp_;
  }
  if (Status changed = change_state(std::move(next), segments > 0 || always_syncs()); !changed) return changed;
  std::vector<SharedSegment> gone;
  {
    std::lock_guard lock(mutex_);
    start_ = start;
    const auto behind = segments_.begin() + static_cast<ptrdiff_t>(segments);
    gone.assign(segments_.begin(), behind);
    segments_.erase(segments_.begin(), behind);
  }
  for (const SharedSegment& segment : gone) {
    engine_.files.unlink(segment->path());
    engine_.files.unlink(segment->index_path());
    engine_.counters.segments_removed += 1;
  }
  return {};
}

// ---- Saved values ----

Status Log::save(plugin::Call& call, const sluice_save& request) {
  submit({Pool::io, [this, answer = Answer(engine_, call), &request]() mutable { answer(save_now(request)); }});
  return plugin::pending();
}

Status Log::save_now(const sluice_save& request) {
  if (phase_ == Phase::loaded && descriptor_.several_writers()) return not_here("saved values");
  if (Status checked = check_token(request.token); !checked) return checked;
  const std::string name(request.name, request.name_size);
  const Bytes value(request.value, request.value_size);
  const std::string file_name = value_name(name);
  const std::string path = directory() + "/" + file_name;

  LogState next = state_;
  const bool was_small = std::erase_if(next.values, [&](const SmallValue& small) { return small.name == name; }) > 0;
  if (!value.empty() && value.size() <= kLargestInlineValue) {
    LogState with = next;
    with.values.push_back({name, {value.begin(), value.end()}});
    if (encode_state(with)) {
      // It comes before a file of the same name, which may then go.
      if (Status changed = change_state(std::move(with), always_syncs()); !changed) return changed;
      engine_.files.unlink(path);
      return {};
    }
  }
  if (!value.empty()) {
    if (Status replaced = replace_file(engine_.files, directory(), file_name, encode_value(value), always_syncs());
        !replaced) {
      return replaced;
    }
  } else if (const int removed = engine_.files.unlink(path); removed == 0 && always_syncs()) {
    const int synced = engine_.files.sync_directory(directory());
    if (synced < 0) return Status(StatusCode::unknown, io_error(synced, "sync", directory()).text(), -synced);
  } else if (removed < 0 && removed != -ENOENT) {
    return io_error(removed, "remove", path);
  }
  return was_small ? change_state(std::move(next), always_syncs()) : Status();
}

Status Log::load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) {
  submit({Pool::io, [this, answer = Answer(engine_, call), &request, &result]() mutable {
            answer(load_value_now(request, result));
          }});
  return plugin::pending();
}

Status Log::load_value_now(const sluice_load& request, sluice_load_result& result) {
  if (phase_ != Phase::loaded) return missing();
  const std::string_view name(request.name, request.name_size);
  for (const SmallValue& small : state_.values) {
    if (small.name != name) continue;
    auto copy = std::make_shared<std::vector<uint8_t>>(small.bytes);
    plugin::lend_value(*copy, copy, result);
    return {};
  }
  const std::string path = directory() + "/" + value_name(name);
  const auto content = read_small_file(engine_.files, path, kLargestValueFile);
  if (!content) {
    if (content.error().code() != StatusCode::not_found) return content.error();
    plugin::lend_nothing(result);
    return {};
  }
  auto value = decode_value(*content);
  if (!value) return Status(StatusCode::corrupt, fmt::format("{} is damaged", path));
  auto owned = std::make_shared<Buffer>(std::move(*value));
  plugin::lend_value(*owned, owned, result);
  return {};
}

}  // namespace sluice::disk
