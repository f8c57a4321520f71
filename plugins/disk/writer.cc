// SPDX-License-Identifier: Apache-2.0
#include "disk/writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace sluice::disk {

namespace {

constexpr uint64_t kFirstPreallocationBytes = 64 * 1024;

/// Errors that a file system gives before it has touched anything.
bool certainly_refused(int error) {
  return error == -ENOSPC || error == -EDQUOT || error == -EROFS || error == -EFBIG || error == -EBADF;
}

}  // namespace

Result<Commit> Writer::write(Segment& segment, const Unit& unit) {
  const auto file = segment.file_for_writing();
  if (!file) return fail(file.error());
  const int fd = (*file)->fd();
  const uint64_t position = segment.commit.committed;

  int result = make_room(segment, fd, position, unit.bytes);
  if (result < 0) return fail(io_error(result, "take space for", segment.path()));

  static thread_local std::vector<iovec> parts;
  parts.clear();
  for (const sluice_batch& batch : unit.batches) parts.push_back({const_cast<uint8_t*>(batch.data), batch.size});
  result = write_fully(engine_.files, fd, parts, position);
  if (result < 0) return fail(io_error(result, "write", segment.path()));

  Commit commit;
  commit.sequence = segment.sequence + 1;
  commit.committed = position + unit.bytes;
  commit.unit_start = position;
  commit.synced = segment.synced;
  commit.end_offset = unit.batches.back().last_offset + 1;
  commit.max_timestamp = segment.commit.max_timestamp;
  for (const sluice_batch& batch : unit.batches) {
    commit.max_timestamp = std::max(commit.max_timestamp, batch.max_timestamp);
  }
  result = write_commit(segment, fd, commit);
  if (result < 0) {
    Status status = io_error(result, "commit to", segment.path());
    if (!certainly_refused(result)) status = Status(StatusCode::unknown, status.text(), status.native_code());
    return fail(std::move(status));
  }
  return commit;
}

int Writer::write_commit(Segment& segment, int fd, const Commit& commit) {
  uint8_t slot[kCommitSlotBytes];
  encode_commit(commit, segment.header.nonce, slot);
  const int result = write_fully(engine_.files, fd, slot, commit_slot_position(commit.sequence));
  // Also after an error: a slot that may have been written must not be taken for an older one.
  segment.sequence = commit.sequence;
  return result;
}

Status Writer::take_back(Segment& segment, const Commit& boundary) {
  const auto file = segment.file_for_writing();
  if (!file) return file.error();
  Commit commit = boundary;
  commit.sequence = segment.sequence + 1;
  const int result = write_commit(segment, (*file)->fd(), commit);
  return result < 0 ? io_error(result, "commit to", segment.path()) : Status();
}

int Writer::make_room(Segment& segment, int fd, uint64_t from, uint64_t bytes) {
  const uint64_t limit = engine_.settings.preallocate_bytes;
  const uint64_t needed = from + bytes;
  if (limit == 0 || needed <= segment.allocated) return 0;
  const uint64_t ahead = std::clamp(segment.allocated, std::min(kFirstPreallocationBytes, limit), limit);
  int result = engine_.files.allocate(fd, segment.allocated, needed + ahead - segment.allocated);
  if (result == 0) {
    segment.allocated = needed + ahead;
    return 0;
  }
  if (result == -ENOSPC || result == -EDQUOT) {
    result = engine_.files.allocate(fd, segment.allocated, needed - segment.allocated);
    if (result == 0) segment.allocated = needed;
  }
  return result == -EOPNOTSUPP ? 0 : result;
}

Status Writer::sync(Segment& segment, bool name_too) {
  const auto file = segment.file(true);
  if (!file) return file.error();
  int result = engine_.files.sync_data((*file)->fd());
  if (result == 0 && name_too) result = engine_.files.sync_directory(segment.directory());
  return result < 0 ? io_error(result, "sync", segment.path()) : Status();
}

}  // namespace sluice::disk
