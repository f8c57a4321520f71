// SPDX-License-Identifier: Apache-2.0
// Offsets by time. The storage locates the batch where it can; where records before the log start are in its way,
// virtual segments tell which stretch to look through.
#include <algorithm>

#include "partition/log_partition.hpp"
#include "records/lookup.hpp"

namespace sluice::partition {

Task<tl::expected<std::vector<uint8_t>, Status>> LogPartition::read_batch(int64_t offset, Loop& loop) {
  int64_t limit = 0;
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    limit = high_watermark_;
    epoch = loaded_epoch_;
  }
  auto read = co_await extents_.read(offset, limit, 1, epoch, loop);
  if (!read) co_return tl::unexpected(read.error());
  auto bytes = host::gather(*read);
  if (!bytes) co_return tl::unexpected(bytes.error());
  co_return std::vector<uint8_t>(bytes->begin(), bytes->end());
}

Task<Status> LogPartition::look_through(int64_t from, int64_t to, std::function<bool(const records::BatchView&)> see,
                                        Loop& loop) {
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = loaded_epoch_;
  }
  while (from < to) {
    auto read = co_await extents_.read(from, to, kLookThroughBytes, epoch, loop);
    if (!read) co_return read.error();
    auto bytes = host::gather(*read);
    if (!bytes) co_return bytes.error();
    Bytes rest = as_bytes(*bytes);
    if (rest.empty()) break;
    while (!rest.empty()) {
      auto batch = records::take_batch(rest);
      if (!batch) co_return Status(StatusCode::corrupt, std::string(records::batch_error_name(batch.error())));
      if (see(*batch)) co_return Status();
      from = batch->next_offset();
    }
    co_await hop(loop);
  }
  co_return Status();
}

Task<tl::expected<int64_t, Status>> LogPartition::next_batch_since(int64_t timestamp, int64_t from, Loop& loop) {
  std::vector<VirtualSegment> segments;
  int64_t end = 0;
  {
    std::lock_guard lock(mutex_);
    segments = state_.segments;
    end = high_watermark_;
  }
  int64_t found = end;
  for (size_t i = 0; i < segments.size() && found == end; ++i) {
    const int64_t to = i + 1 < segments.size() ? segments[i + 1].base_offset : end;
    if (segments[i].max_timestamp < timestamp || to <= from) continue;
    const auto see = [&](const records::BatchView& batch) {
      if (batch.max_timestamp() < timestamp) return false;
      found = std::max(batch.base_offset(), from);
      return true;
    };
    Status status = co_await look_through(std::max(from, segments[i].base_offset), to, see, loop);
    if (!status.ok()) co_return tl::unexpected(status);
  }
  co_return found;
}

Task<OffsetAnswer> LogPartition::find_timestamp(int64_t timestamp, Loop& loop) {
  int64_t start = 0;
  int64_t end = 0;
  int32_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    start = log_start_;
    end = high_watermark_;
    epoch = loaded_epoch_;
  }
  auto located = co_await extents_.locate(timestamp, epoch, loop);
  if (!located) co_return OffsetAnswer{to_error_code(located.error())};
  int64_t at = *located;
  if (at < start) {
    auto next = co_await next_batch_since(timestamp, start, loop);
    if (!next) co_return OffsetAnswer{to_error_code(next.error())};
    at = *next;
  }
  while (at < end) {
    auto bytes = co_await read_batch(at, loop);
    if (!bytes) co_return OffsetAnswer{to_error_code(bytes.error())};
    auto batch = records::BatchView::parse(*bytes);
    if (!batch) co_return OffsetAnswer{ErrorCode::kCorruptMessage};
    if (!batch->is_control()) {
      auto record = records::find_timestamp(*batch, timestamp, kMaxDecompressedBytes, start);
      if (!record) co_return OffsetAnswer{ErrorCode::kCorruptMessage};
      if (record->has_value()) {
        co_return OffsetAnswer{ErrorCode::kNone, (*record)->offset, (*record)->timestamp, batch->leader_epoch()};
      }
    }
    // Its record of that time is before the log start, or was compacted away.
    auto next = co_await next_batch_since(timestamp, batch->next_offset(), loop);
    if (!next) co_return OffsetAnswer{to_error_code(next.error())};
    at = *next;
  }
  co_return OffsetAnswer{};
}

Task<OffsetAnswer> LogPartition::find_max_timestamp(Loop& loop) {
  int64_t greatest = -1;
  std::optional<VirtualSegment> first;
  int64_t start = 0;
  int64_t end = 0;
  {
    std::lock_guard lock(mutex_);
    start = log_start_;
    end = high_watermark_;
    for (const auto& segment : state_.segments) {
      if (segment.base_offset < start) {
        first = segment;
        if (state_.segments.size() > 1) end = state_.segments[1].base_offset;
      } else {
        greatest = std::max(greatest, segment.max_timestamp);
      }
    }
  }
  if (first && first->max_timestamp > greatest) {
    // Some of its records are deleted, and the greatest may be among them.
    VirtualSegment rest{start, 0, -1, first->created_ms, first->appended_ms};
    Status damage;
    const auto see = [&](const records::BatchView& batch) {
      rest.bytes += static_cast<int64_t>(batch.size());
      if (batch.base_offset() >= start) {
        rest.max_timestamp = std::max(rest.max_timestamp, batch.max_timestamp());
        return false;
      }
      const auto look = [&](const records::RecordView& record) {
        if (record.offset(batch) >= start) rest.max_timestamp = std::max(rest.max_timestamp, record.timestamp(batch));
        return true;
      };
      damage = records::visit_records(batch, kMaxDecompressedBytes, look);
      return !damage.ok();
    };
    Status status = co_await look_through(start, end, see, loop);
    if (!status.ok() || !damage.ok()) co_return OffsetAnswer{to_error_code(status.ok() ? damage : status)};
    greatest = std::max(greatest, rest.max_timestamp);
    std::lock_guard lock(mutex_);
    if (log_start_ == start && !state_.segments.empty() && state_.segments.front() == *first)
      state_.segments.front() = rest;
  }
  if (greatest < 0) co_return OffsetAnswer{};
  co_return co_await find_timestamp(greatest, loop);
}

}  // namespace sluice::partition
