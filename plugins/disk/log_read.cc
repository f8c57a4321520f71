// SPDX-License-Identifier: Apache-2.0
// Reading a log beside its queue. The mutex is held for looks into memory only. What a process wrote or checked itself
// is lent as a range of the file; what it did not is read, checked, and lent from memory, once.
#include <fmt/format.h>

#include <algorithm>

#include "disk/log.hpp"

namespace sluice::disk {

using plugin::set;

namespace {

/// How much is read and checked at a time.
constexpr uint64_t kCheckedReadBytes = 1024 * 1024;

Status would_wait() {
  return Status(StatusCode::pending);
}

uint64_t saturating_add(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

}  // namespace

Status Log::not_loaded() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::absent ? missing() : Status();
}

Status Log::read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) {
  if (is_loaded()) {
    Status status = try_read(request, result, false);
    if (status.code() != StatusCode::pending) return status;
    beside([this, answer = Answer(engine_, call), &request, &result]() mutable {
      Status found = try_read(request, result, true);
      if (found.code() != StatusCode::not_found) return answer(found);
      submit_read(std::move(answer), request, result);
    });
    return plugin::pending();
  }
  if (Status absent = not_loaded(); !absent) return absent;
  submit_read(Answer(engine_, call), request, result);
  return plugin::pending();
}

void Log::submit_read(Answer answer, const sluice_read& request, sluice_read_result& result) {
  submit({Pool::io, [this, answer = std::move(answer), &request, &result]() mutable {
            answer(explain_absence(try_read(request, result, true)));
          }});
}

Status Log::try_read(const sluice_read& request, sluice_read_result& result, bool may_wait) {
  int64_t start, end;
  {
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::loaded) return missing();
    start = start_;
    end = end_;
  }
  set(result, &sluice_read_result::start, start);
  set(result, &sluice_read_result::end, end);
  set(result, &sluice_read_result::next, request.offset);
  if (request.offset < start || request.offset > end) {
    return Status(StatusCode::out_of_range,
                  fmt::format("offset {} is not within {} to {}", request.offset, start, end));
  }
  const int64_t limit = std::min(request.limit, end);
  if (request.offset >= limit) return {};

  const auto first = find(request.offset, may_wait);
  {
    // What was trimmed or removed since the look at the start is not what was found.
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::loaded) return missing();
    if (request.offset < start_) {
      set(result, &sluice_read_result::start, start_);
      set(result, &sluice_read_result::end, end_);
      return Status(StatusCode::out_of_range, fmt::format("offset {} is below {}", request.offset, start_));
    }
  }
  if (!first) return first.error();
  if (first->damaged_next >= 0) {
    engine_.counters.damaged_batches += 1;
    set(result, &sluice_read_result::next, first->damaged_next);
    return Status(StatusCode::corrupt,
                  fmt::format("{} is damaged at {}", first->segment->path(), first->batch.position));
  }
  if (!first->segment || first->batch.last_offset >= limit) return {};

  bool trusted = true;
  uint64_t max_bytes = request.max_bytes;
  if (engine_.settings.verify_reads) {
    std::lock_guard lock(mutex_);
    const uint64_t target = std::min(saturating_add(first->batch.position, max_bytes), first->commit.committed);
    trusted = first->segment->is_trusted(first->batch.position, std::max(target, first->batch.end()));
  }
  if (!trusted) {
    if (!may_wait) return would_wait();
    max_bytes = std::min(max_bytes, kCheckedReadBytes);
  }
  const auto part = stretch(*first, limit, max_bytes, may_wait);
  if (!part) return part.error();
  return trusted ? lend(*first, part->to, part->next, result) : lend_checked(*first, part->to, part->next, result);
}

Result<SharedFile> Log::prepare(const SharedSegment& segment, bool may_wait) {
  bool examined, indexed;
  {
    std::lock_guard lock(mutex_);
    examined = segment->examined;
    indexed = examined && segment->index_at_hand() != nullptr;
  }
  if (!may_wait) {
    if (!indexed) return fail(would_wait());
    auto file = segment->file(false);
    if (file && *file == nullptr) return fail(would_wait());
    return file;
  }
  if (!examined) {
    const auto page = segment->read_page();
    if (!page) return fail(page.error());
    std::lock_guard lock(mutex_);
    if (!segment->examined) segment->adopt(*page);
  }
  if (!indexed) {
    const auto loaded = segment->load_index();
    if (!loaded) return fail(loaded.error());
  }
  return segment->file(true);
}

Result<Log::Place> Log::find(int64_t offset, bool may_wait) {
  size_t tried = 0;  // segments that end before the offset
  for (;; ++tried) {
    Place place;
    {
      std::lock_guard lock(mutex_);
      auto above =
          std::ranges::upper_bound(segments_, offset, {}, [](const SharedSegment& s) { return s->base_offset(); });
      if (above != segments_.begin()) --above;
      if (static_cast<size_t>(segments_.end() - above) <= tried) return place;
      place.segment = *(above + static_cast<ptrdiff_t>(tried));
    }
    auto file = prepare(place.segment, may_wait);
    if (!file) return fail(file.error());
    place.file = std::move(*file);
    uint64_t from = kSegmentHeaderBytes;
    {
      std::lock_guard lock(mutex_);
      place.commit = place.segment->commit;
      if (offset >= place.commit.end_offset) continue;
      const auto index = place.segment->index_at_hand();
      if (index == nullptr) {  // dropped from the cache since prepare()
        if (!may_wait) return fail(would_wait());
      } else if (const IndexEntry* entry = index->at_or_below_offset(offset)) {
        from = entry->position;
      }
    }
    BatchWalker walker(place.file, from, place.commit.committed, !may_wait);
    auto outcome = walker.next();
    while (outcome == BatchWalker::Outcome::batch && walker.batch().last_offset < offset) outcome = walker.next();
    switch (outcome) {
      case BatchWalker::Outcome::batch:
        place.batch = walker.batch();
        return place;
      case BatchWalker::Outcome::end:
        continue;
      case BatchWalker::Outcome::not_cached:
        return fail(would_wait());
      case BatchWalker::Outcome::failed:
        return fail(io_error(walker.error(), "read", place.segment->path()));
      case BatchWalker::Outcome::damaged: {
        if (!may_wait) return fail(would_wait());
        std::lock_guard lock(mutex_);
        place.batch.position = walker.position();
        place.damaged_next = place.commit.end_offset;
        const auto index = place.segment->index_at_hand();
        const IndexEntry* behind = index ? index->behind_position(walker.position()) : nullptr;
        if (behind != nullptr && behind->offset > offset) place.damaged_next = behind->offset;
        return place;
      }
    }
  }
}

Result<Log::Stretch> Log::stretch(const Place& first, int64_t limit, uint64_t max_bytes, bool may_wait) {
  const uint64_t target = std::min(saturating_add(first.batch.position, max_bytes), first.commit.committed);
  if (limit >= first.commit.end_offset && target == first.commit.committed) {
    return Stretch{first.commit.committed, first.commit.end_offset};
  }
  Stretch part{first.batch.end(), first.batch.last_offset + 1};
  {
    std::lock_guard lock(mutex_);
    if (const auto index = first.segment->index_at_hand()) {
      const IndexEntry* by_size = index->at_or_below_position(target);
      const IndexEntry* by_limit = index->at_or_below_offset(limit);
      const IndexEntry* nearer =
          by_size != nullptr && by_limit != nullptr && by_limit->position < by_size->position ? by_limit : by_size;
      if (nearer != nullptr && nearer->position > part.to) part = {nearer->position, nearer->offset};
    }
  }
  BatchWalker walker(first.file, part.to, first.commit.committed, !may_wait);
  while (walker.next() == BatchWalker::Outcome::batch) {  // whatever ends the walk, what came before it is good
    if (walker.batch().end() > target || walker.batch().last_offset >= limit) break;
    part = {walker.batch().end(), walker.batch().last_offset + 1};
  }
  return part;
}

Status Log::lend(const Place& first, uint64_t to, int64_t next, sluice_read_result& result) {
  auto lease = std::make_unique<plugin::Lease>();
  lease->add_file(first.file->fd(), first.batch.position, to - first.batch.position, first.file);
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, next);
  return {};
}

Status Log::lend_checked(const Place& first, uint64_t to, int64_t next, sluice_read_result& result) {
  auto bytes = std::make_shared<Buffer>(to - first.batch.position);
  const ssize_t got = read_fully(engine_.files, first.file->fd(), bytes->mutable_view(), first.batch.position);
  if (got < 0) return io_error(static_cast<int>(got), "read", first.segment->path());
  bytes->resize(static_cast<size_t>(got));
  uint64_t good = 0;
  int64_t behind = first.batch.last_offset + 1;  // of the first batch that is not good
  bool damaged = bytes->size() < to - first.batch.position;
  int64_t expected = first.batch.base_offset;
  while (good < bytes->size()) {
    const auto batch = batch_at(bytes->view().subspan(good), good, bytes->size());
    const auto view = records::BatchView::parse(bytes->view().subspan(good));
    if (!batch || !view || batch->base_offset < expected || view->compute_crc() != view->crc()) {
      damaged = true;
      break;
    }
    expected = behind = batch->last_offset + 1;
    good = batch->end();
  }
  if (damaged) {
    engine_.counters.damaged_batches += 1;
    const std::string text = fmt::format("{} is damaged at {}", first.segment->path(), first.batch.position + good);
    engine_.report(LogLevel::error, text);
    if (good == 0) {
      set(result, &sluice_read_result::next, behind);
      return Status(StatusCode::corrupt, text);
    }
    next = behind;
  }
  {
    std::lock_guard lock(mutex_);
    first.segment->trust(first.batch.position, first.batch.position + good);
  }
  auto lease = std::make_unique<plugin::Lease>();
  lease->add_memory(bytes->view().first(good), bytes);
  lease->add_pinned(bytes->capacity());
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, next);
  return {};
}

Status Log::explain_absence(const Status& status) const {
  if (status.code() != StatusCode::not_found) return status;
  if (phase_ != Phase::loaded) return missing();
  return Status(StatusCode::corrupt, status.text(), status.native_code());
}

// ---- Bounds ----

Status Log::bounds(plugin::Call& call, sluice_bounds& result) {
  if (is_loaded()) return fill_bounds(result);
  if (Status absent = not_loaded(); !absent) return absent;
  submit({Pool::io, [this, answer = Answer(engine_, call), &result]() mutable { answer(fill_bounds(result)); }});
  return plugin::pending();
}

Status Log::fill_bounds(sluice_bounds& result) {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::loaded) return missing();
  set(result, &sluice_bounds::start, start_);
  set(result, &sluice_bounds::end, end_);
  set(result, &sluice_bounds::token, state_.token);
  int64_t bytes = 0;
  if (!segments_.empty()) {
    const Segment& first = *segments_.front();
    const Segment& last = *segments_.back();
    bytes = first.examined && !first.header.log.is_zero()
                ? static_cast<int64_t>(last.header.bytes_before + last.batch_bytes() - first.header.bytes_before)
                : SLUICE_UNKNOWN_NUMBER;
  }
  set(result, &sluice_bounds::bytes, bytes);
  set(result, &sluice_bounds::newest_timestamp, start_ == end_ ? SLUICE_UNKNOWN_NUMBER : max_timestamp_);
  set(result, &sluice_bounds::largest_unit, kLargestUnitBytes);
  uint64_t capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK;
  if (always_syncs()) capabilities |= SLUICE_CAP_POWER_SAFE;
  set(result, &sluice_bounds::capabilities, capabilities);
  return {};
}

// ---- Locate ----

Status Log::locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) {
  if (is_loaded()) {
    Status status = try_locate(timestamp, result, false);
    if (status.code() != StatusCode::pending) return status;
    beside([this, answer = Answer(engine_, call), timestamp, &result]() mutable {
      Status found = try_locate(timestamp, result, true);
      if (found.code() != StatusCode::not_found) return answer(found);
      submit_locate(std::move(answer), timestamp, result);
    });
    return plugin::pending();
  }
  if (Status absent = not_loaded(); !absent) return absent;
  submit_locate(Answer(engine_, call), timestamp, result);
  return plugin::pending();
}

void Log::submit_locate(Answer answer, int64_t timestamp, sluice_locate_result& result) {
  submit({Pool::io, [this, answer = std::move(answer), timestamp, &result]() mutable {
            answer(explain_absence(try_locate(timestamp, result, true)));
          }});
}

Status Log::try_locate(int64_t timestamp, sluice_locate_result& result, bool may_wait) {
  int64_t start, end, newest;
  std::vector<SharedSegment> segments;
  {
    std::lock_guard lock(mutex_);
    if (phase_ != Phase::loaded) return missing();
    start = start_;
    end = end_;
    newest = max_timestamp_;
    if (timestamp <= newest) segments = segments_;
  }
  set(result, &sluice_locate_result::end, end);
  set(result, &sluice_locate_result::offset, end);
  if (segments.empty()) return {};

  // Each segment knows the greatest timestamp before it, which only rises. So the first one before whose successor it
  // is high enough brought it there, unless what did so was trimmed since; then those behind it are looked at in turn.
  size_t low = 0, high = segments.size() - 1;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (const auto ready = prepare(segments[middle + 1], may_wait); !ready) return ready.error();
    bool reached;
    {
      std::lock_guard lock(mutex_);
      reached = segments[middle + 1]->header.max_timestamp_before >= timestamp;
    }
    (reached ? high : low) = reached ? middle : middle + 1;
  }
  for (; low < segments.size(); ++low) {
    const auto found = first_at_time(segments[low], start, timestamp, may_wait);
    if (!found) return found.error();
    if (*found < 0) continue;
    set(result, &sluice_locate_result::offset, *found);
    return {};
  }
  return {};
}

Result<int64_t> Log::first_at_time(const SharedSegment& segment, int64_t from, int64_t timestamp, bool may_wait) {
  const auto file = prepare(segment, may_wait);
  if (!file) return fail(file.error());
  uint64_t position = kSegmentHeaderBytes;
  for (;;) {
    uint64_t stretch_end;
    {
      std::lock_guard lock(mutex_);
      if (segment->commit.max_timestamp < timestamp) return -1;
      stretch_end = segment->commit.committed;
      if (const auto index = segment->index_at_hand()) {
        const IndexEntry* entry = index->first_at_time(timestamp, position);
        if (entry == nullptr) return -1;
        position = std::max(position, entry->position);
        if (const IndexEntry* behind = index->behind_position(position)) stretch_end = behind->position;
      } else if (!may_wait) {
        return fail(would_wait());
      }
    }
    if (position >= stretch_end) return -1;
    BatchWalker walker(*file, position, stretch_end, !may_wait);
    for (auto outcome = walker.next(); outcome != BatchWalker::Outcome::end; outcome = walker.next()) {
      if (outcome == BatchWalker::Outcome::not_cached) return fail(would_wait());
      if (outcome == BatchWalker::Outcome::failed) return fail(io_error(walker.error(), "read", segment->path()));
      if (outcome == BatchWalker::Outcome::damaged) break;  // reading there will say so
      if (walker.batch().max_timestamp >= timestamp && walker.batch().last_offset >= from)
        return walker.batch().base_offset;
    }
    position = stretch_end;
  }
}

}  // namespace sluice::disk
