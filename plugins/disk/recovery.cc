// SPDX-License-Identifier: Apache-2.0
#include "disk/recovery.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace sluice::disk {

namespace {

constexpr uint64_t kLargestIndexBytes = uint64_t{256} << 20;

/// What became of one segment that had to be looked into.
enum class Verdict { whole, cut, nothing };

class Recovery {
 public:
  Recovery(Engine& engine, std::string directory) : engine_(engine), directory_(std::move(directory)) {}

  Result<RecoveredLog> run() {
    auto log = read_log_file(engine_, directory_);
    if (!log) return log;
    if (Status listed = list(); !listed) return fail(listed);
    if (Status examined = examine_tail(); !examined) return fail(examined);
    settle_bounds(*log);
    log->segments = std::move(segments_);
    log->unfinished = std::move(unfinished_);
    return log;
  }

 private:
  Status list() {
    std::vector<std::string> leftovers;
    const int result = engine_.files.list(directory_, [&](std::string_view name) {
      if (const auto segment = offset_of_name(name, kSegmentSuffix)) {
        segments_.push_back(std::make_shared<Segment>(engine_, directory_, *segment));
      } else if (const auto index = offset_of_name(name, kIndexSuffix)) {
        indexes_.insert(*index);
      } else if (name.ends_with(kTemporarySuffix)) {
        leftovers.emplace_back(name);
      }
    });
    if (result < 0) return io_error(result, "list", directory_);
    for (const std::string& name : leftovers) engine_.files.unlink(directory_ + "/" + name);
    std::ranges::sort(segments_, {}, &Segment::base_offset);
    for (auto index = indexes_.begin(); index != indexes_.end();) {
      const bool owned = std::ranges::binary_search(segments_, *index, {}, &Segment::base_offset);
      if (!owned) engine_.files.unlink(directory_ + "/" + index_name(*index));
      index = owned ? std::next(index) : indexes_.erase(index);
    }
    return {};
  }

  /// Segments are sealed in order, so those without an index are the last ones; and the last one grows in any case.
  Status examine_tail() {
    if (segments_.empty()) return {};
    size_t first = segments_.size() - 1;
    while (first > 0 && !indexes_.contains(segments_[first - 1]->base_offset())) --first;
    if (first > 0) {
      auto page = segments_[first - 1]->read_page();
      if (!page) return page.error();
      segments_[first - 1]->adopt(*page);
    }
    for (size_t i = first; i < segments_.size(); ++i) {
      const auto verdict = examine(*segments_[i], i > 0 ? segments_[i - 1].get() : nullptr);
      if (!verdict) return verdict.error();
      if (*verdict == Verdict::nothing) {
        drop_from(i);
        break;
      }
      if (*verdict == Verdict::cut) {
        drop_from(i + 1);
        break;
      }
    }
    report();
    return {};
  }

  Result<Verdict> examine(Segment& segment, const Segment* before) {
    const auto opened = segment.file(true);
    if (!opened) return fail(opened.error());
    Buffer page(kSegmentHeaderBytes);
    const ssize_t got = read_fully(engine_.files, (*opened)->fd(), page.mutable_view(), 0);
    if (got < 0) return fail(io_error(static_cast<int>(got), "read", segment.path()));
    page.resize(static_cast<size_t>(got));
    const auto header = decode_segment_header(page);
    std::optional<IndexFile> index = read_index(segment, header);
    if (!header || header->base_offset != segment.base_offset()) return without_page(segment, std::move(index));
    if (before != nullptr && !follows(*before, *header)) return Verdict::nothing;

    segment.header = *header;
    const Commits commits = decode_commits(page, header->nonce);
    Commit newest;
    newest.end_offset = header->base_offset;
    if (commits.newest) newest = *commits.newest;
    segment.sequence = newest.sequence;
    if (index && index->covered > newest.committed) index.reset();
    return check(segment, *opened, commits, newest, std::move(index));
  }

  /// Scans what the index does not cover, and takes the newest commit as true as far as that bears it out.
  Result<Verdict> check(Segment& segment, const SharedFile& file, const Commits& commits, const Commit& newest,
                        std::optional<IndexFile> index) {
    const uint64_t covered = index ? index->covered : kSegmentHeaderBytes;
    const int64_t covered_end = index ? index->end_offset : segment.base_offset();
    const int64_t covered_time = index ? index->max_timestamp : kNoTimestamp;
    const uint64_t durable = std::max(newest.synced, covered);
    auto entries = index ? std::move(index->entries) : std::vector<IndexEntry>();
    const auto fresh = [&] { return std::make_shared<SparseIndex>(engine_.settings.index_interval_bytes, entries); };

    segment.commit = newest;
    segment.active_index = fresh();
    auto scan = scan_batches(engine_, file, covered, newest.committed, covered_end, durable, *segment.active_index);
    if (!scan) return fail(scan.error());
    // A base offset is outside of the checksum; that of the last batch shows in the end.
    if (scan->valid_to == newest.committed && scan->end_offset != newest.end_offset && newest.committed > durable) {
      scan->valid_to = newest.committed - 1;
    }
    Verdict verdict = Verdict::whole;
    if (scan->valid_to < newest.committed && scan->valid_to >= durable) {
      const uint64_t cut = last_boundary(commits, scan->valid_to, covered);
      if (cut < scan->valid_to) {
        segment.active_index = fresh();
        scan = scan_batches(engine_, file, covered, cut, covered_end, durable, *segment.active_index);
        if (!scan) return fail(scan.error());
      }
      torn_bytes_ += newest.committed - cut;
      torn_ = true;
      segment.commit.committed = segment.commit.unit_start = cut;
      segment.commit.end_offset = scan->end_offset;
      take_back(segment, file);
      verdict = Verdict::cut;
    }
    if (scan->damaged > 0) {
      engine_.counters.damaged_batches += scan->damaged;
      engine_.report(LogLevel::error,
                     fmt::format("{} has {} damaged batches among those that were synced; they are kept, and "
                                 "reading them answers CORRUPT",
                                 segment.path(), scan->damaged));
    }
    segment.commit.max_timestamp = std::max(covered_time, scan->max_timestamp);
    segment.synced = index ? covered : 0;
    segment.indexed_to = index ? covered : 0;
    segment.written = segment.allocated = segment.commit.committed;
    segment.named = index.has_value();
    segment.trusted_from = scan->damaged > 0 ? segment.commit.committed : covered;
    segment.examined = true;
    return verdict;
  }

  /// The newest commit that lies within what is valid. Beyond the commits that are known, batches are all there is to
  /// go by.
  static uint64_t last_boundary(const Commits& commits, uint64_t valid_to, uint64_t covered) {
    if (commits.boundaries.empty() || valid_to < commits.boundaries.front().unit_start) return valid_to;
    uint64_t boundary = std::max(commits.boundaries.front().unit_start, covered);
    for (const Commit& commit : commits.boundaries) {
      if (commit.committed <= valid_to) boundary = std::max(boundary, commit.committed);
    }
    return boundary;
  }

  /// Commits the cut, so that what lies behind it cannot come back.
  void take_back(Segment& segment, const SharedFile& file) {
    Commit commit = segment.commit;
    commit.sequence = segment.sequence + 1;
    commit.synced = std::min(commit.synced, commit.committed);
    uint8_t slot[kCommitSlotBytes];
    encode_commit(commit, segment.header.nonce, slot);
    const int result = write_fully(engine_.files, file->fd(), slot, commit_slot_position(commit.sequence));
    if (result < 0) unfinished_ = io_error(result == -EBADF ? -EROFS : result, "commit to", segment.path());
    segment.sequence = commit.sequence;
    segment.commit = commit;
  }

  std::optional<IndexFile> read_index(const Segment& segment, const std::optional<SegmentHeader>& header) {
    if (!indexes_.contains(segment.base_offset())) return {};
    const auto content = read_small_file(engine_.files, segment.index_path(), kLargestIndexBytes);
    auto index = content ? decode_index(*content) : std::nullopt;
    if (!index || (header && index->nonce != header->nonce)) {
      engine_.counters.rebuilt_indexes += 1;
      engine_.report(LogLevel::warning,
                     fmt::format("{} is damaged; it is made anew from the segment", segment.index_path()));
      return {};
    }
    return index;
  }

  /// A segment whose page is unreadable: an index that was synced still tells what it holds.
  Result<Verdict> without_page(Segment& segment, std::optional<IndexFile> index) {
    if (!index) return Verdict::nothing;
    engine_.report(LogLevel::warning,
                   fmt::format("{} has a damaged first page; its index is used instead", segment.path()));
    auto page = segment.read_page();
    if (!page) return fail(page.error());
    segment.adopt(*page);
    segment.active_index =
        std::make_shared<SparseIndex>(engine_.settings.index_interval_bytes, std::move(index->entries));
    return Verdict::whole;
  }

  static bool follows(const Segment& before, const SegmentHeader& header) {
    return header.base_offset >= before.commit.end_offset &&
           (before.header.log.is_zero() || header.bytes_before == before.header.bytes_before + before.batch_bytes());
  }

  /// Nothing may be kept behind a hole.
  void drop_from(size_t first) {
    for (size_t i = first; i < segments_.size(); ++i) {
      Segment& segment = *segments_[i];
      const auto page = segment.read_page();
      if (page && page->commit.committed > kSegmentHeaderBytes) {
        torn_bytes_ += page->commit.committed - kSegmentHeaderBytes;
        torn_ = true;
      }
      engine_.files.unlink(segment.index_path());
      const int result = engine_.files.unlink(segment.path());
      if (result < 0 && result != -ENOENT) unfinished_ = io_error(result, "remove", segment.path());
      engine_.counters.segments_removed += 1;
    }
    segments_.resize(first);
  }

  void report() {
    if (!torn_) return;
    engine_.counters.torn_tails += 1;
    engine_.counters.torn_bytes += torn_bytes_;
    engine_.report(LogLevel::warning,
                   fmt::format("{}: the tail was torn; {} bytes behind offset {} were cut off", directory_, torn_bytes_,
                               segments_.empty() ? 0 : segments_.back()->end_offset()));
  }

  void settle_bounds(RecoveredLog& log) {
    log.start = log.state.start;
    if (!segments_.empty()) log.start = std::max(log.start, segments_.front()->base_offset());
    log.end = std::max(log.start, log.state.end_floor);
    if (!segments_.empty()) log.end = std::max(log.end, segments_.back()->end_offset());
    // A trim that was interrupted.
    size_t below = 0;
    while (below + 1 < segments_.size() && segments_[below + 1]->base_offset() <= log.start) {
      engine_.files.unlink(segments_[below]->index_path());
      engine_.files.unlink(segments_[below]->path());
      engine_.counters.segments_removed += 1;
      ++below;
    }
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(below));
  }

  Engine& engine_;
  const std::string directory_;
  std::vector<SharedSegment> segments_;
  std::set<int64_t> indexes_;
  uint64_t torn_bytes_ = 0;
  bool torn_ = false;
  Status unfinished_;
};

}  // namespace

Result<RecoveredLog> read_log_file(Engine& engine, const std::string& directory) {
  const std::string path = directory + "/" + std::string(kLogFileName);
  const auto content = read_small_file(engine.files, path, kLogFileBytes);
  if (!content) return fail(content.error());
  auto descriptor = decode_descriptor(*content);
  auto state = decode_state(*content);
  if (!descriptor || !state) return fail(StatusCode::corrupt, fmt::format("{} is damaged", path));
  RecoveredLog log;
  log.descriptor = std::move(*descriptor);
  log.state = std::move(*state);
  return log;
}

Result<RecoveredLog> recover_log(Engine& engine, const std::string& directory) {
  return Recovery(engine, directory).run();
}

}  // namespace sluice::disk
