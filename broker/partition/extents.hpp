// SPDX-License-Identifier: Apache-2.0
// The logs that one partition lies in: sealed ones that are only read and trimmed, and at the end the open one, which
// the partition writes. Readers see one log: what they ask for is found in whichever extent has it, and goes on in the
// next.
//
// Each log is opened once, whatever for, because two writers of one leader epoch could not tell their tokens apart; its
// handle is kept as long as metadata names the log. A sealed log is fenced before its first use under a leader epoch,
// and must still reach to where it was sealed: a lower end is damage, never an end of data. One that a storage forgot,
// as storages that are not durable do, is taken out of metadata, loudly; what it held is a gap from then on.
//
// Thread-safe; its mutex is held for arithmetic only.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "cluster/cluster.hpp"
#include "host/log.hpp"

namespace sluice::partition {

class Extents {
 public:
  /// Looks at metadata again so often where a log is not there any more.
  static constexpr int kMaxLooks = 4;

  /// `lost_logs` counts sealed logs that were found to be lost.
  Extents(cluster::Cluster& cluster, std::atomic<uint64_t>& lost_logs, cluster::TopicPtr topic, int32_t index);

  /// Metadata as it is now. What is older than what was adopted before changes nothing.
  void adopt(const cluster::TopicPtr& topic);
  /// In order of offsets; the last is open.
  std::vector<cluster::Extent> list() const;
  cluster::Extent open_extent() const;
  /// Where the open extent begins: what is below it is in sealed ones.
  int64_t open_from() const { return open_extent().from; }
  /// The name of the storage that has what is at `offset`.
  std::string storage_at(int64_t offset) const;

  /// The handle on a log that metadata names for this partition. No I/O. UNAVAILABLE: its storage is not there.
  Result<std::shared_ptr<host::Log>> open(const cluster::Extent& extent);
  /// Lets go of a handle, for a log that is to be opened with another beginning.
  void close(const host::LogId& log);
  /// A sealed extent's log, fenced and whole. CONFLICT: it is not one of the partition's any more. CORRUPT: it ends too
  /// early.
  Task<Result<std::shared_ptr<host::Log>>> sealed(cluster::Extent extent, int32_t leader_epoch, Loop& loop);

  /// Whole batches from `offset` on, below `limit`, from as many extents as it takes; as Log::read otherwise. `next` is
  /// behind gaps that were passed, so that it may have moved without bytes. The open extent must have been acquired.
  Task<tl::expected<host::ReadResult, Status>> read(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                    int32_t leader_epoch, Loop& loop);
  /// Base offset of the first batch whose greatest timestamp is >= `timestamp`; none: the open log's end.
  Task<Result<int64_t>> locate(int64_t timestamp, int32_t leader_epoch, Loop& loop);

 private:
  struct Handle {
    std::shared_ptr<host::Log> log;
    int32_t checked_epoch = -1;  // under which it was found to be whole
    bool told = false;           // that it is not
  };
  Task<tl::expected<host::ReadResult, Status>> read_listed(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                           int32_t leader_epoch, Loop& loop);
  /// Says what became of a log that its storage does not have.
  Task<Status> not_there(const cluster::Extent& extent, Status why, Loop& loop);
  Status lost_tail(const cluster::Extent& extent, int64_t end);
  cluster::TopicPtr topic() const;
  bool is_listed(const host::LogId& log) const;
  void note(int level, const std::string& text) const;

  cluster::Cluster& cluster_;
  std::atomic<uint64_t>& lost_logs_;
  const int32_t index_;
  mutable std::mutex mutex_;
  cluster::TopicPtr topic_;                // guarded by mutex_
  std::map<host::LogId, Handle> handles_;  // guarded by mutex_
};

}  // namespace sluice::partition
