// SPDX-License-Identifier: Apache-2.0
#include "partition/extents.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/extents.hpp"
#include "partition/read_ahead.hpp"

namespace sluice::partition {
Extents::Extents(cluster::Cluster& cluster, std::atomic<uint64_t>& lost_logs, cluster::TopicPtr topic, int32_t index)
    : cluster_(cluster), lost_logs_(lost_logs), index_(index), topic_(std::move(topic)) {}

void Extents::note(int level, const std::string& text) const {
  const auto& log = cluster_.options().log;
  if (!log) return;
  log(level, fmt::format("{}-{}: {}", topic()->name, index_, text));
}

void Extents::adopt(const cluster::TopicPtr& topic) {
  std::map<host::LogId, Handle> gone;  // closed without the lock
  std::lock_guard lock(mutex_);
  if (topic->version < topic_->version) return;
  topic_ = topic;
  std::map<host::LogId, Handle> kept;
  cluster::for_each_log(topic->partitions[static_cast<size_t>(index_)], [&](const cluster::Extent& extent) {
    if (auto node = handles_.extract(extent.log)) kept.insert(std::move(node));
  });
  gone.swap(handles_);
  handles_.swap(kept);
}

cluster::TopicPtr Extents::topic() const {
  std::lock_guard lock(mutex_);
  return topic_;
}

std::vector<cluster::Extent> Extents::list() const {
  return topic()->partitions[static_cast<size_t>(index_)].extents;
}

cluster::Extent Extents::open_extent() const {
  return topic()->partitions[static_cast<size_t>(index_)].extents.back();
}

std::string Extents::storage_at(int64_t offset) const {
  const cluster::TopicPtr now = topic();
  const auto& extents = now->partitions[static_cast<size_t>(index_)].extents;
  const auto found = std::find_if(extents.begin(), extents.end(),
                                  [&](const cluster::Extent& extent) { return extent.to < 0 || offset < extent.to; });
  return found != extents.end() ? found->storage : std::string();
}

bool Extents::is_listed(const host::LogId& log) const {
  const auto extents = list();
  return std::any_of(extents.begin(), extents.end(), [&](const cluster::Extent& extent) { return extent.log == log; });
}

Result<std::shared_ptr<host::Log>> Extents::open(const cluster::Extent& extent) {
  std::lock_guard lock(mutex_);
  if (auto found = handles_.find(extent.log); found != handles_.end()) return found->second.log;
  auto storage = cluster_.storages().find(extent.storage);
  if (!storage || !storage->started())
    return fail(StatusCode::unavailable, fmt::format("storage \"{}\" is not available", extent.storage));
  auto opened = storage->open(cluster::Cluster::describe_log(*topic_, index_, extent));
  if (!opened) return fail(opened.error());
  handles_[extent.log].log = *opened;
  return *opened;
}

void Extents::close(const host::LogId& log) {
  std::lock_guard lock(mutex_);
  handles_.erase(log);
}

Task<Result<std::shared_ptr<host::Log>>> Extents::sealed(cluster::Extent extent, int32_t leader_epoch, Loop& loop) {
  {
    std::lock_guard lock(mutex_);
    auto found = handles_.find(extent.log);
    if (found != handles_.end() && found->second.checked_epoch == leader_epoch) co_return found->second.log;
  }
  if (!is_listed(extent.log)) co_return fail(StatusCode::conflict, "the extent is not the partition's any more");
  auto log = open(extent);
  if (!log) co_return log;
  auto position = co_await (*log)->acquire(leader_epoch, loop);
  if (!position && position.error().code() == StatusCode::not_found) {
    Status fate = co_await not_there(extent, position.error(), loop);
    co_return fail(fate);
  }
  if (!position) co_return fail(position.error());
  if (position->end < extent.to) co_return fail(lost_tail(extent, position->end));
  {
    std::lock_guard lock(mutex_);
    auto found = handles_.find(extent.log);
    if (found != handles_.end()) found->second.checked_epoch = leader_epoch;
  }
  co_return log;
}

/// A sealed log ends too early, whether or not it was whole before. Said once.
Status Extents::lost_tail(const cluster::Extent& extent, int64_t end) {
  bool tell = false;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = handles_.find(extent.log); found != handles_.end()) {
      found->second.checked_epoch = -1;
      tell = !std::exchange(found->second.told, true);
    }
  }
  Status damage(
      StatusCode::corrupt,
      fmt::format("a log on storage \"{}\" was sealed at {} and ends at {} now: acknowledged records are gone",
                  extent.storage, extent.to, end));
  if (tell) note(SLUICE_LOG_ERROR, "DATA LOSS: " + damage.text());
  return damage;
}

Task<Status> Extents::not_there(const cluster::Extent& extent, Status why, Loop& loop) {
  const cluster::TopicPtr known = topic();
  if (auto now = cluster_.state().topic_in_any_state(known->id)) adopt(now);
  if (!is_listed(extent.log)) co_return Status(StatusCode::conflict, "the extent is not the partition's any more");
  auto storage = cluster_.storages().find(extent.storage);
  if (!storage || !storage->started()) co_return why;
  if ((storage->condition().capabilities & SLUICE_CAP_DURABLE) != 0) {
    co_return Status(StatusCode::corrupt, fmt::format("storage \"{}\" says that a sealed log is not there, although it "
                                                      "is durable",
                                                      extent.storage));
  }
  cluster::Command command = cluster::DropExtent{known->id, index_, extent.log};
  auto dropped = co_await cluster_.change_topic(std::move(command), loop);
  if (!dropped) co_return Status(StatusCode::unavailable, dropped.error().text);
  lost_logs_.fetch_add(1, std::memory_order_relaxed);
  note(SLUICE_LOG_WARNING,
       fmt::format("storage \"{}\" forgot the records from {} to {}", extent.storage, extent.from, extent.to));
  adopt(*dropped);
  co_return Status(StatusCode::conflict, "the extent was lost");
}

Task<tl::expected<host::ReadResult, Status>> Extents::read(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                           int32_t leader_epoch, Loop& loop) {
  for (int look = 1;; ++look) {
    auto result = co_await read_listed(offset, limit, max_bytes, leader_epoch, loop);
    if (result || result.error().code() != StatusCode::conflict || look == kMaxLooks) co_return result;
  }
}

Task<tl::expected<host::ReadResult, Status>> Extents::read_listed(int64_t offset, int64_t limit, uint64_t max_bytes,
                                                                  int32_t leader_epoch, Loop& loop) {
  host::ReadResult total;
  total.next = offset;
  const cluster::TopicPtr now = topic();
  for (const cluster::Extent& extent : now->partitions[static_cast<size_t>(index_)].extents) {
    const bool is_open = extent.to < 0;
    if (!is_open && extent.to <= total.next) continue;
    const int64_t at = std::max(total.next, extent.from);
    const int64_t below = is_open ? limit : std::min(limit, extent.to);
    if (at >= limit) {
      total.next = std::max(total.next, limit);
      break;
    }
    auto log = is_open ? open(extent) : Result<std::shared_ptr<host::Log>>();
    if (!is_open) log = co_await sealed(extent, leader_epoch, loop);
    Status status = log ? Status() : log.error();
    if (status.ok()) {
      auto piece = co_await (*log)->read(at, below, max_bytes - std::min(max_bytes, total.bytes), loop);
      if (piece) {
        // Only the first batch of a read may be larger than what was asked for.
        if (total.bytes > 0 && total.bytes + piece->bytes > max_bytes) break;
        total.start = piece->start;
        total.end = piece->end;
        const int64_t next = piece->next;
        const bool nothing = piece->bytes == 0;
        append_read(total, std::move(*piece));
        total.next = nothing ? at : next;
        if (!is_open && nothing) {
          if (total.end < extent.to) {  // it lost what it had when it was looked at
            if (total.bytes > 0) break;
            co_return tl::unexpected(lost_tail(extent, total.end));
          }
          total.next = below;  // a gap up to where it was sealed
        }
        if (is_open || total.next < below || total.bytes >= max_bytes) break;
        continue;
      }
      status = piece.error().status;
      if (!is_open && status.code() == StatusCode::not_found) status = co_await not_there(extent, status, loop);
    }
    if (total.bytes > 0) break;
    co_return tl::unexpected(status);
  }
  co_return total;
}

Task<Result<int64_t>> Extents::locate(int64_t timestamp, int32_t leader_epoch, Loop& loop) {
  for (int look = 1;; ++look) {
    Status again;
    for (const cluster::Extent& extent : list()) {
      const bool is_open = extent.to < 0;
      auto log = is_open ? open(extent) : Result<std::shared_ptr<host::Log>>();
      if (!is_open) log = co_await sealed(extent, leader_epoch, loop);
      if (!log && log.error().code() == StatusCode::conflict) {
        again = log.error();
        break;
      }
      if (!log) co_return fail(log.error());
      auto located = co_await (*log)->locate(timestamp, loop);
      if (!located || is_open || *located < extent.to) co_return located;
    }
    if (again.ok() || look == kMaxLooks)
      co_return fail(again.ok() ? Status(StatusCode::internal, "no open extent") : again);
  }
}

}  // namespace sluice::partition
