// SPDX-License-Identifier: Apache-2.0
#include "sources/chunk.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "records/codec.hpp"

namespace sluice::sources {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;

/// All slices one after the other, file ranges read.
Status copy_slices(const host::ReadResult& read, MutableBytes to) {
  for (const host::Slice& slice : read.slices) {
    if (slice.data != nullptr) std::memcpy(to.data(), slice.data, slice.length);
    for (uint64_t done = slice.data != nullptr ? slice.length : 0; done < slice.length;) {
      const ssize_t got =
          ::pread(slice.fd, to.data() + done, slice.length - done, static_cast<off_t>(slice.position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        return Status(StatusCode::internal, fmt::format("a lent range of a file: {}", std::strerror(errno)), errno);
      if (got == 0) return Status(StatusCode::corrupt, "a lent range of a file goes beyond the file's end");
      done += static_cast<uint64_t>(got);
    }
    to = to.subspan(slice.length);
  }
  return {};
}

}  // namespace

int64_t timestamp_ns_of(int64_t timestamp_ms) {
  if (timestamp_ms == records::kNoTimestamp) return kNoTimestamp;
  int64_t ns = 0;
  if (!__builtin_mul_overflow(timestamp_ms, kNsPerMs, &ns)) return ns;
  return timestamp_ms < 0 ? INT64_MIN + 1 : INT64_MAX;
}

int64_t ceil_ms(int64_t timestamp_ns) {
  const int64_t whole = timestamp_ns / kNsPerMs;
  return timestamp_ns % kNsPerMs > 0 ? whole + 1 : whole;
}

Result<std::unique_ptr<Chunk>> Chunk::make(host::ReadResult read, int64_t from, const ChunkRules& rules) {
  auto made = std::make_unique<Chunk>();
  Chunk& chunk = *made;
  chunk.rules_ = rules;
  chunk.first_ = from;
  chunk.next_ = read.next;
  chunk.end_ = read.end;
  chunk.skipped_ = read.skipped;
  chunk.memory_ = std::make_shared<Memory>(rules.spare);
  const bool has_files =
      std::any_of(read.slices.begin(), read.slices.end(), [](const host::Slice& each) { return each.data == nullptr; });
  if (has_files) {
    Buffer& bytes = chunk.memory_->read = rules.spare->take(read.bytes);
    if (Status copied = copy_slices(read, bytes.mutable_view()); !copied.ok()) return fail(std::move(copied));
    chunk.segments_.push_back(bytes.view());
  } else {
    for (const host::Slice& slice : read.slices) chunk.segments_.emplace_back(slice.data, slice.length);
    chunk.memory_->lease = std::move(read.lease);
  }
  chunk.rewind(from);
  return made;
}

void Chunk::rewind(int64_t position) {
  segment_ = 0;
  rest_ = segments_.empty() ? Bytes{} : segments_.front();
  position_ = position;
  batch_.reset();
  records_.reset();
  held_.reset();
  unpacked_.reset();
}

/// The rest of this segment and all that follow become one: a batch spans them. What is before stays, for rewind().
void Chunk::join() {
  Buffer joined = Buffer::copy_of(rest_);
  for (size_t i = segment_ + 1; i < segments_.size(); ++i) joined.append(segments_[i]);
  const Bytes passed = segments_[segment_].first(segments_[segment_].size() - rest_.size());
  segments_.resize(segment_);
  if (!passed.empty()) segments_.push_back(passed);
  segment_ = segments_.size();
  segments_.push_back(joined.view());
  rest_ = segments_.back();
  memory_->joined.push_back(std::move(joined));
}

/// The header of a damaged batch is not believed where it would hide others: the batch after it decides.
int64_t Chunk::behind_damage() const {
  Bytes following = rest_;
  if (following.empty() && segment_ + 1 < segments_.size()) following = segments_[segment_ + 1];
  if (following.empty()) return next_;
  const auto header = records::parse_batch_header(following);
  return header ? std::clamp(header->base_offset, position_, next_) : next_;
}

uint64_t Chunk::claimed_records() const {
  const int32_t count = batch_->records_count();
  return count > 0 && count - 1 <= batch_->last_offset_delta() ? static_cast<uint64_t>(count) : 1;
}

/// How many records there may be from batch_ on, if those behind it are like it. Never more than their bytes can hold.
size_t Chunk::expected_records() const {
  size_t left = rest_.size();
  for (size_t i = segment_ + 1; i < segments_.size(); ++i) left += segments_[i].size();
  const uint64_t batches = 1 + (left + batch_->size() - 1) / batch_->size();
  const uint64_t most = (batch_->size() + left) / records::kMinRecordBytes;
  const auto records = static_cast<uint64_t>(std::max(batch_->records_count(), 1));
  return static_cast<size_t>(batch_->codec() == records::Codec::none ? std::min(records * batches, most) : records);
}

/// Goes on to the next batch with records; false at the chunk's end.
bool Chunk::open_batch(uint64_t& corrupt) {
  for (;;) {
    if (rest_.empty()) {
      if (segment_ + 1 >= segments_.size()) {
        position_ = std::max(position_, next_);
        return false;
      }
      rest_ = segments_[++segment_];
      continue;
    }
    const auto taken = records::take_batch(rest_);
    if (!taken && taken.error() == records::BatchError::too_short && segment_ + 1 < segments_.size()) {
      join();
      continue;
    }
    if (!taken) {
      // Where the next batch begins is not known.
      ++corrupt;
      segments_.resize(segment_ + 1);
      rest_ = {};
      continue;
    }
    batch_ = *taken;
    seen_ = 0;
    if (batch_->next_offset() <= position_) continue;
    if (batch_->is_control()) {
      position_ = batch_->next_offset();
      continue;
    }
    const bool damaged = rules_.verify_checksums && batch_->compute_crc() != batch_->crc();
    if (!damaged) {
      Result<Bytes> section = batch_->records_section();
      unpacked_.reset();
      if (batch_->codec() != records::Codec::none) {
        unpacked_ = std::make_shared<Buffer>();
        section = records::uncompressed_records(*batch_, rules_.max_batch_bytes, *unpacked_);
      }
      if (section) {
        records_.emplace(*section, *batch_);
        return true;
      }
    }
    corrupt += claimed_records();
    position_ = behind_damage();
  }
}

/// The next record at or after position_; false at the chunk's end.
bool Chunk::next_record(records::RecordView& record, uint64_t& corrupt) {
  for (;;) {
    if (held_) {
      record = *held_;
      held_.reset();
      return true;
    }
    if (!records_ && !open_batch(corrupt)) return false;
    while (records_->next(record)) {
      ++seen_;
      if (record.offset(*batch_) >= position_) return true;
    }
    if (records_->damaged()) {
      corrupt += std::max<uint64_t>(claimed_records(), seen_ + 1) - seen_;
      position_ = behind_damage();
    } else {
      position_ = std::max(position_, batch_->next_offset());
    }
    records_.reset();
  }
}

void Chunk::fill(const PageRequest& request, Page& page) {
  if (request.from != position_) rewind(request.from);
  page.corrupt += std::exchange(skipped_, 0);
  std::vector<std::shared_ptr<Buffer>> unpacked;
  uint64_t bytes = 0;
  records::RecordView record;
  while (page.records.size() < request.max_records && next_record(record, page.corrupt)) {
    const uint64_t size = (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0) +
                          record.headers_section.size();
    if (!page.records.empty() && bytes + size > request.max_bytes) {
      held_ = record;
      break;
    }
    bytes += size;
    if (page.records.empty()) page.records.reserve(std::min<size_t>(request.max_records, expected_records()));
    const int64_t position = record.offset(*batch_);
    // Every field in its place at once: filling a record that was cleared first would take three times as long.
    page.records.emplace_back(position, timestamp_ns_of(record.timestamp(*batch_)), rules_.partition, record.key,
                              record.value, Headers(record.headers_section, record.headers_count));
    position_ = position + 1;
    if (unpacked_ && (unpacked.empty() || unpacked.back() != unpacked_)) unpacked.push_back(unpacked_);
  }
  page.next = position_;
  page.end = std::max(end_, position_);
  if (unpacked.empty()) {
    page.lease = memory_;
  } else {
    page.lease = std::make_shared<const std::pair<std::shared_ptr<Memory>, std::vector<std::shared_ptr<Buffer>>>>(
        memory_, std::move(unpacked));
  }
}

std::optional<int64_t> Chunk::find(int64_t from, int64_t timestamp_ms) {
  rewind(from);
  uint64_t corrupt = 0;
  records::RecordView record;
  while (next_record(record, corrupt)) {
    if (record.timestamp(*batch_) >= timestamp_ms) return record.offset(*batch_);
    position_ = record.offset(*batch_) + 1;
  }
  return std::nullopt;
}

}  // namespace sluice::sources
