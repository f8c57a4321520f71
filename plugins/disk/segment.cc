// SPDX-License-Identifier: Apache-2.0
#include "disk/segment.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace sluice::disk {

namespace {

constexpr size_t kScanWindowBytes = 1024 * 1024;
constexpr uint64_t kLargestIndexBytes = uint64_t{256} << 20;

uint64_t new_nonce() {
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator();
}

}  // namespace

std::optional<BatchAt> batch_at(Bytes bytes, uint64_t position, uint64_t limit) {
  const auto header = records::parse_batch_header(bytes);
  if (!header || header->last_offset_delta < 0 || header->base_offset < 0) return {};
  if (header->base_offset > INT64_MAX - 1 - header->last_offset_delta) return {};
  if (header->size() > limit - position) return {};
  return BatchAt{position, header->size(), header->base_offset, header->base_offset + header->last_offset_delta,
                 header->max_timestamp};
}

BatchWalker::Outcome BatchWalker::next() {
  if (position_ >= limit_) return Outcome::end;
  const uint64_t window_end = window_position_ + window_size_;
  if (position_ < window_position_ || position_ + records::kBatchHeaderBytes > window_end) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(kWindowBytes, limit_ - position_));
    const ssize_t got = read_fully(file_->files(), file_->fd(), {window_, want}, position_, only_cached_);
    if (got == -EAGAIN) return Outcome::not_cached;
    if (got < 0) {
      error_ = static_cast<int>(got);
      return Outcome::failed;
    }
    if (only_cached_ && static_cast<size_t>(got) < std::min(want, records::kBatchHeaderBytes))
      return Outcome::not_cached;
    window_position_ = position_;
    window_size_ = static_cast<size_t>(got);
  }
  const size_t at = static_cast<size_t>(position_ - window_position_);
  const auto found = batch_at(Bytes(window_, window_size_).subspan(at), position_, limit_);
  if (!found) return Outcome::damaged;
  batch_ = *found;
  position_ = found->end();
  return Outcome::batch;
}

Result<Scan> scan_batches(Engine& engine, const SharedFile& file, uint64_t from, uint64_t to, int64_t expected_offset,
                          uint64_t tolerated_below, SparseIndex& index) {
  Scan scan{from, expected_offset, kNoTimestamp, 0};
  Buffer window;
  uint64_t window_position = from;
  const auto load = [&](uint64_t position, uint64_t size) -> Result<Bytes> {
    if (position < window_position || position + size > window_position + window.size()) {
      const uint64_t want = std::min<uint64_t>(std::max<uint64_t>(size, kScanWindowBytes), to - position);
      window.clear();
      window.resize(want);
      const ssize_t got = read_fully(engine.files, file->fd(), window.mutable_view(), position);
      if (got < 0) return fail(io_error(static_cast<int>(got), "read", "a segment"));
      window.resize(static_cast<size_t>(got));
      window_position = position;
    }
    const size_t at = static_cast<size_t>(position - window_position);
    return Bytes(window).subspan(at, std::min<size_t>(window.size() - at, size));
  };
  while (scan.valid_to < to) {
    const auto head = load(scan.valid_to, std::min<uint64_t>(records::kBatchHeaderBytes, to - scan.valid_to));
    if (!head) return fail(head.error());
    const auto batch = batch_at(*head, scan.valid_to, to);
    if (!batch || batch->base_offset < scan.end_offset) {
      if (scan.valid_to < tolerated_below) ++scan.damaged;
      break;
    }
    const auto bytes = load(batch->position, batch->size);
    if (!bytes) return fail(bytes.error());
    const auto view = records::BatchView::parse(*bytes);
    if (!view || view->compute_crc() != view->crc()) {
      if (scan.valid_to >= tolerated_below) break;
      ++scan.damaged;
    }
    index.add(scan.end_offset, batch->max_timestamp, batch->position);
    scan.max_timestamp = std::max(scan.max_timestamp, batch->max_timestamp);
    scan.end_offset = batch->last_offset + 1;
    scan.valid_to = batch->end();
  }
  engine.counters.scanned_bytes += scan.valid_to - from;
  return scan;
}

Segment::Segment(Engine& engine, std::string directory, int64_t base_offset)
    : engine_(engine),
      directory_(std::move(directory)),
      base_offset_(base_offset),
      file_slot_(engine.open_files),
      index_slot_(engine.indexes) {}

Result<SharedFile> Segment::file(bool may_open) {
  if (SharedFile open = file_slot_.get()) return open;
  if (!may_open) return SharedFile();
  auto opened = open_file(engine_.files, path(), O_RDWR);
  const bool denied = !opened && opened.error().code() == StatusCode::denied;
  if (denied) opened = open_file(engine_.files, path(), O_RDONLY);
  opened_read_only_ = denied;
  if (opened) file_slot_.put(*opened, 1);
  return opened;
}

Result<SharedFile> Segment::file_for_writing() {
  if (!opened_read_only_) {
    auto opened = file(true);
    if (!opened || !opened_read_only_) return opened;
  }
  auto opened = open_file(engine_.files, path(), O_RDWR);
  if (!opened) return opened;
  opened_read_only_ = false;
  file_slot_.put(*opened, 1);
  return opened;
}

Result<Segment::Page> Segment::read_page() {
  const auto opened = file(true);
  if (!opened) return fail(opened.error());
  Buffer page(kSegmentHeaderBytes);
  const ssize_t got = read_fully(engine_.files, (*opened)->fd(), page.mutable_view(), 0);
  if (got < 0) return fail(io_error(static_cast<int>(got), "read", path()));
  page.resize(static_cast<size_t>(got));
  if (const auto decoded = decode_segment_header(page); decoded && decoded->base_offset == base_offset_) {
    if (const auto commits = decode_commits(page, decoded->nonce); commits.newest)
      return Page{*decoded, *commits.newest};
  }
  // The page is damaged; an index that covers the segment says the same.
  const auto content = read_small_file(engine_.files, index_path(), kLargestIndexBytes);
  const auto decoded = content ? decode_index(*content) : std::nullopt;
  if (!decoded) return fail(StatusCode::corrupt, fmt::format("{} has a damaged first page and no index", path()));
  engine_.report(LogLevel::warning, fmt::format("{} has a damaged first page; its index is used instead", path()));
  Page known;
  known.header.base_offset = base_offset_;
  known.header.nonce = decoded->nonce;
  known.commit.committed = known.commit.unit_start = known.commit.synced = decoded->covered;
  known.commit.end_offset = decoded->end_offset;
  known.commit.max_timestamp = decoded->max_timestamp;
  return known;
}

void Segment::adopt(const Page& page) {
  header = page.header;
  commit = page.commit;
  sequence = commit.sequence;
  written = allocated = commit.committed;
  synced = commit.committed;
  trusted_from = commit.committed;
  examined = true;
}

Result<std::shared_ptr<SparseIndex>> Segment::load_index() {
  const auto content = read_small_file(engine_.files, index_path(), kLargestIndexBytes);
  if (content) {
    auto decoded = decode_index(*content);
    if (decoded && decoded->nonce == header.nonce && decoded->covered == commit.committed) {
      auto loaded = std::make_shared<SparseIndex>(engine_.settings.index_interval_bytes, std::move(decoded->entries));
      index_slot_.put(loaded, loaded->memory_bytes());
      return loaded;
    }
  } else if (content.error().code() != StatusCode::not_found) {
    return fail(content.error());
  }
  return build_index();
}

Result<std::shared_ptr<SparseIndex>> Segment::build_index() {
  engine_.counters.rebuilt_indexes += 1;
  engine_.report(LogLevel::warning,
                 fmt::format("{} is missing or damaged; it is made anew from the segment", index_path()));
  const auto opened = file(true);
  if (!opened) return fail(opened.error());
  auto built = std::make_shared<SparseIndex>(engine_.settings.index_interval_bytes);
  const auto scan =
      scan_batches(engine_, *opened, kSegmentHeaderBytes, commit.committed, base_offset_, commit.committed, *built);
  if (!scan) return fail(scan.error());
  if (scan->damaged > 0) {
    engine_.counters.damaged_batches += scan->damaged;
    engine_.report(LogLevel::error,
                   fmt::format("{} has {} damaged batches; reading them answers CORRUPT", path(), scan->damaged));
  }
  if (const Status stored = write_index(commit, *built, false); !stored)
    engine_.report(LogLevel::warning, stored.text());
  index_slot_.put(built, built->memory_bytes());
  return built;
}

Status Segment::write_index(const Commit& covered, const SparseIndex& built, bool durable) {
  const IndexFile content{header.nonce, covered.committed, covered.end_offset, covered.max_timestamp, built.entries()};
  return replace_file(engine_.files, directory_, index_name(base_offset_), encode_index(content), durable);
}

void Segment::release_active_index() {
  if (!active_index) return;
  index_slot_.put(active_index, active_index->memory_bytes());
  active_index = nullptr;
}

void Segment::trust(uint64_t from, uint64_t to) {
  if (from <= checked_to && to >= checked_from && checked_to != 0) {
    checked_from = std::min(checked_from, from);
    checked_to = std::max(checked_to, to);
  } else {
    checked_from = from;
    checked_to = to;
  }
  if (checked_to >= trusted_from && checked_from < trusted_from) trusted_from = checked_from;
}

Result<SharedSegment> make_segment(Engine& engine, const std::string& directory, const SegmentHeader& wanted,
                                   uint64_t first_unit_bytes) {
  auto segment = std::make_shared<Segment>(engine, directory, wanted.base_offset);
  SegmentHeader header = wanted;
  header.nonce = new_nonce();
  // One that is there already was never committed to: what is committed is known to its log.
  const auto opened = open_file(engine.files, segment->path(), O_RDWR | O_CREAT | O_TRUNC);
  if (!opened) return fail(opened.error());
  const int fd = (*opened)->fd();
  int result = 0;
  uint64_t allocated = 0;
  if (engine.settings.preallocate_bytes > 0) {
    allocated = kSegmentHeaderBytes + first_unit_bytes;
    result = engine.files.allocate(fd, 0, allocated);
    if (result == -EOPNOTSUPP) result = 0;
  }
  if (result == 0) result = write_fully(engine.files, fd, encode_segment_header(header), 0);
  if (result < 0) {
    engine.files.unlink(segment->path());
    return fail(io_error(result, "make", segment->path()));
  }
  segment->header = header;
  segment->commit.end_offset = header.base_offset;
  segment->synced = 0;
  segment->allocated = allocated;
  segment->named = false;
  segment->examined = true;
  segment->active_index = std::make_shared<SparseIndex>(engine.settings.index_interval_bytes);
  segment->set_file(*opened);
  engine.counters.segments_made += 1;
  return segment;
}

}  // namespace sluice::disk
