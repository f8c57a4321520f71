// SPDX-License-Identifier: Apache-2.0
// The state of a partition as it is saved beside its log: two snapshots in turn, the older of which stays until the newer
// is whole.
#include <fmt/format.h>

#include "partition/log_partition.hpp"

namespace sluice::partition {
namespace {

constexpr size_t kSnapshotsKept = 2;
constexpr uint32_t kMaxParts = 4'096;

std::string part_name(const std::string& snapshot, uint32_t part) {
  return fmt::format("{}.part.{}", snapshot, part);
}

}  // namespace

std::string snapshot_name(int number) {
  return fmt::format("state.{}", number);
}

Task<Status> write_snapshot(std::shared_ptr<host::Log> log, std::string name, std::string bytes, Loop& loop) {
  uint32_t parts = 0;
  if (bytes.size() > LogPartition::kSavedPartBytes) {
    // Parts first, the root last: a root never names parts of another snapshot than its own (the checksum is over all).
    for (size_t at = 0; at < bytes.size(); at += LogPartition::kSavedPartBytes, ++parts) {
      Status status = co_await log->save(part_name(name, parts), bytes.substr(at, LogPartition::kSavedPartBytes), loop);
      if (!status.ok()) co_return status;
    }
    bytes.clear();
  }
  std::string root(sizeof(uint32_t), '\0');
  store_be<uint32_t>(reinterpret_cast<uint8_t*>(root.data()), parts);
  root += bytes;
  co_return co_await log->save(name, std::move(root), loop);
}

Task<Result<int>> LogPartition::load_newest_snapshot(Loop& loop, cluster::Extent extent, int64_t end,
                                                     PartitionState& state, int64_t& lost_up_to) {
  auto log = extents_.open(extent);
  if (!log) co_return fail(log.error());
  int best = -1;
  for (int i = 0; i < static_cast<int>(kSnapshotsKept); ++i) {
    auto snapshot = co_await load_snapshot(loop, *log, snapshot_name(i), extent.from, end);
    if (!snapshot) {
      const StatusCode code = snapshot.error().code();
      // One that is damaged, of a later version, or reflects another history, is not used; the other one, or the log
      // itself, is there.
      if (code == StatusCode::unsupported)
        note(SLUICE_LOG_WARNING, fmt::format("rebuilding its state: {}", snapshot.error().describe()));
      if (code == StatusCode::not_found || code == StatusCode::corrupt || code == StatusCode::conflict ||
          code == StatusCode::unsupported) {
        continue;
      }
      co_return fail(snapshot.error());
    }
    if (snapshot->end > end) {
      if (extent.to >= 0) continue;
      // The log is shorter than when this was saved. Removed, so that a loss is told once.
      lost_up_to = std::max(lost_up_to, snapshot->end);
      Status removed = co_await (*log)->save(snapshot_name(i), "", loop);
      if (!removed.ok()) co_return fail(removed);
      continue;
    }
    if (best >= 0 && snapshot->end <= state.end) continue;
    best = i;
    state = std::move(*snapshot);
  }
  co_return best;
}

Task<Result<PartitionState>> LogPartition::load_snapshot(Loop& loop, std::shared_ptr<host::Log> log, std::string name,
                                                         int64_t from, int64_t end) {
  auto root = co_await log->load(name, loop);
  if (!root) co_return fail(root.error());
  if (!root->has_value()) co_return fail(StatusCode::not_found, "");
  // The root is the number of parts, then the state itself or nothing where it is in parts.
  if ((*root)->size() < sizeof(uint32_t)) co_return fail(StatusCode::corrupt, "");
  const auto parts = load_be<uint32_t>(as_bytes(**root).data());
  std::string bytes = (*root)->substr(sizeof(uint32_t));
  if (parts > kMaxParts) co_return fail(StatusCode::corrupt, "");
  for (uint32_t i = 0; i < parts; ++i) {
    auto part = co_await log->load(part_name(name, i), loop);
    if (!part) co_return fail(part.error());
    if (!part->has_value()) co_return fail(StatusCode::corrupt, "");
    bytes += **part;
  }
  auto state = decode_state(bytes);
  if (!state) co_return fail(state.error());
  if (state->end < from) co_return fail(StatusCode::conflict, "");
  // One that was saved before the log was written has no batch to compare with: it reflects what came before the log.
  if (state->last_epoch >= 0 && state->end > from && state->end <= end) {
    auto last = co_await log->read(state->end - 1, end, 1, loop);
    if (!last) {
      // Trimmed away: nothing to compare with, and nothing that contradicts it.
      if (last.error().status.code() == StatusCode::out_of_range) co_return std::move(*state);
      co_return fail(last.error().status);
    }
    auto batch = host::gather(*last);
    if (!batch) co_return fail(batch.error());
    auto header = records::parse_batch_header(as_bytes(*batch));
    if (!header || header->leader_epoch != state->last_epoch || header->crc != state->last_crc)
      co_return fail(StatusCode::conflict, "");
  }
  co_return std::move(*state);
}

Task<void> LogPartition::save_state(Loop& loop) {
  auto keep = shared_from_this();
  {
    std::lock_guard lock(mutex_);
    if (stage_ != Stage::ready || !dirty_ || saving_) co_return;
    saving_ = true;
  }
  Status status = co_await save_snapshot(loop);
  std::lock_guard lock(mutex_);
  saving_ = false;
  if (!status.ok() && status.code() != StatusCode::fenced)
    note(SLUICE_LOG_WARNING, fmt::format("state not saved: {}", status.describe()));
}

Task<Status> LogPartition::save_snapshot(Loop& loop) {
  std::string bytes;
  std::string name;
  std::shared_ptr<host::Log> log;
  uint64_t covered = 0;
  {
    std::lock_guard lock(mutex_);
    bytes = encode_state(state_);
    name = snapshot_name(next_snapshot_);
    log = log_;
    covered = bytes_since_snapshot_;
    dirty_ = false;
  }
  Status status = co_await write_snapshot(std::move(log), std::move(name), std::move(bytes), loop);
  std::lock_guard lock(mutex_);
  if (status.ok()) {
    next_snapshot_ = 1 - next_snapshot_;
    bytes_since_snapshot_ -= std::min(covered, bytes_since_snapshot_);
    context_.metrics.snapshots.fetch_add(1, std::memory_order_relaxed);
  } else {
    dirty_ = true;
  }
  co_return status;
}

}  // namespace sluice::partition
