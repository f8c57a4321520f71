// SPDX-License-Identifier: Apache-2.0
#include "partition/partition.hpp"

#include <fmt/format.h>

namespace sluice::partition {

bool FetchWaiter::notify(int64_t bytes) {
  if (fired()) return true;
  if (missing_.fetch_sub(bytes, std::memory_order_acq_rel) > bytes) return false;
  if (!fired_.exchange(true)) executor_.post(std::move(wake_));
  return true;
}

Partition::Partition(PartitionContext& context, cluster::TopicPtr topic, int32_t index)
    : context_(context),
      topic_(std::move(topic)),
      index_(index),
      leader_epoch_(topic_->partitions[static_cast<size_t>(index)].leader_epoch),
      settings_(context.cluster.settings_of(*topic_)) {}

cluster::TopicSettings Partition::settings() const {
  std::lock_guard lock(settings_mutex_);
  return settings_;
}

void Partition::take_settings(const cluster::TopicInfo& topic) {
  cluster::TopicSettings now = context_.cluster.settings_of(topic);
  std::lock_guard lock(settings_mutex_);
  settings_ = now;
}

Task<uint64_t> Partition::native_capabilities(Loop&) {
  co_return 0;
}

Task<Status> Partition::switch_storage(Loop&) {
  co_return Status(StatusCode::unsupported, "a partition of a NATIVE storage stays there");
}

Task<Status> Partition::copy_extents(CopyPace&, Loop&) {
  co_return Status(StatusCode::unsupported, "a partition of a NATIVE storage stays there");
}

ErrorCode Partition::check_epoch(int32_t current_leader_epoch) const {
  if (current_leader_epoch == -1) return ErrorCode::kNone;
  const int32_t ours = leader_epoch();
  if (current_leader_epoch < ours) return ErrorCode::kFencedLeaderEpoch;
  if (current_leader_epoch > ours) return ErrorCode::kUnknownLeaderEpoch;
  return ErrorCode::kNone;
}

void Partition::note(int level, const std::string& text) const {
  const auto& log = context_.cluster.options().log;
  if (log) log(level, fmt::format("{}-{}: {}", topic_->name, index_, text));
}

void Partition::tell_refusal(const Status& status) {
  const int32_t of = status_class(status.code());
  if (of != status_class(StatusCode::invalid) && of != status_class(StatusCode::denied)) return;
  auto line =
      refusals_.pass(fmt::format("an append was refused: {}", status.describe()), context_.clock.monotonic_ms());
  if (line) note(SLUICE_LOG_WARNING, *line);
}

}  // namespace sluice::partition
