// SPDX-License-Identifier: Apache-2.0
#include "partition/migrator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/extents.hpp"

namespace sluice::partition {

/// Paces the copies of one topic together.
class Migrator::Pace final : public CopyPace {
 public:
  Pace(Migrator& migrator, Uuid id, std::string target, int32_t index, std::shared_ptr<Progress> progress)
      : migrator_(migrator), id_(id), target_(std::move(target)), index_(index), progress_(std::move(progress)) {}

  void begin(int64_t bytes_in_all, int64_t bytes_there) override {
    std::lock_guard lock(migrator_.mutex_);
    progress_->partitions[index_] = {bytes_in_all, bytes_there};
  }
  Task<bool> admit(uint64_t bytes) override {
    for (;;) {
      const auto wait_ms = take(bytes);
      if (!wait_ms) co_return false;
      // Not waiting is a turn of the loop too: copies must not keep each other from theirs.
      const bool go = co_await migrator_.options_.pause(std::min(*wait_ms, kLongestWaitMs));
      if (!go) co_return false;
      if (*wait_ms == 0) co_return true;
    }
  }
  bool admit_now(uint64_t bytes) override { return take(bytes) == 0; }
  void copied(uint64_t bytes) override {
    std::lock_guard lock(migrator_.mutex_);
    progress_->partitions[index_].there += static_cast<int64_t>(bytes);
    progress_->rate.copied(bytes, migrator_.loop_.now_ms());
  }

 private:
  /// 0: `bytes` are taken; else in how many milliseconds to ask again. Nothing: the copy is to rest.
  std::optional<int64_t> take(uint64_t bytes) {
    const cluster::TopicPtr topic = migrator_.going_on(id_, target_);
    if (!topic) return std::nullopt;
    const int64_t limit = migrator_.cluster_.settings_of(*topic).migration_max_bytes_per_second;
    std::lock_guard lock(migrator_.mutex_);
    return progress_->rate.take(bytes, limit, migrator_.loop_.now_ms());
  }

  Migrator& migrator_;
  const Uuid id_;
  const std::string target_;
  const int32_t index_;
  const std::shared_ptr<Progress> progress_;
};

Migrator::Migrator(cluster::Cluster& cluster, Partitions& partitions, Loop& loop, MigratorOptions options)
    : cluster_(cluster), partitions_(partitions), loop_(loop), options_(std::move(options)) {}

void Migrator::note(int level, const std::string& text) const {
  const auto& log = cluster_.options().log;
  if (log) log(level, text);
}

void Migrator::look() {
  loop_.post([this] {
    if (looking_) begin_new();
  });
}

void Migrator::begin_new() {
  for (const auto& topic : cluster_.state().migrating()) {
    const Uuid id = topic->id;
    {
      std::lock_guard lock(mutex_);
      if (!under_way_.try_emplace(id, std::make_shared<Progress>()).second) continue;
    }
    start(migrate(id), [this, id] {
      bool last = false;
      {
        std::lock_guard lock(mutex_);
        under_way_.erase(id);
        last = under_way_.empty();
      }
      if (last && all_ended_) std::exchange(all_ended_, nullptr)();
    });
  }
}

Task<void> Migrator::run() {
  looking_ = true;
  while (looking_) {
    begin_new();
    const bool go = co_await options_.pause(kLookMs);
    looking_ = go;
  }
  co_await suspend_until<bool>(loop_, [this](Resumer<bool> resume) {
    bool idle = false;
    {
      std::lock_guard lock(mutex_);
      idle = under_way_.empty();
    }
    if (idle) return resume(true);
    all_ended_ = [resume] { resume(true); };
  });
}

Task<void> Migrator::migrate(Uuid id) {
  std::shared_ptr<Progress> progress;
  {
    std::lock_guard lock(mutex_);
    progress = under_way_.at(id);
  }
  const int64_t began_ms = loop_.now_ms();
  int64_t retry_ms = kFirstRetryMs;
  std::string target;
  for (;;) {
    cluster::TopicPtr topic = cluster_.state().topic_in_any_state(id);
    if (!topic || topic->deleting || !topic->migration) break;
    if (target != topic->migration->target) {
      target = topic->migration->target;
      retry_ms = kFirstRetryMs;
      {
        std::lock_guard lock(mutex_);
        *progress = Progress();
      }
      note(SLUICE_LOG_INFO, fmt::format("topic \"{}\" migrates from storage \"{}\" to \"{}\"", topic->name,
                                        topic->migration->source, target));
    }
    int64_t pause_ms = kLookMs;
    if (going_on(id, target)) {
      Status status = co_await round(topic, progress);
      const bool failed = !status.ok() && going_on(id, target) != nullptr;  // not: was told to rest
      std::string said;
      {
        std::lock_guard lock(mutex_);
        said = std::exchange(progress->error, failed ? status.describe() : std::string());
      }
      if (failed) {
        if (said != status.describe())
          note(SLUICE_LOG_WARNING, fmt::format("topic \"{}\": its migration to storage \"{}\" does not go on: {}",
                                               topic->name, target, status.describe()));
        pause_ms = retry_ms;
        retry_ms = std::min(retry_ms * 2, kLongestRetryMs);
      } else {
        retry_ms = kFirstRetryMs;
      }
      if (status.ok()) {
        cluster::TopicPtr now = cluster_.state().topic_in_any_state(id);
        if (!now || !now->migration) {
          note(SLUICE_LOG_INFO, fmt::format("topic \"{}\" is wholly on storage \"{}\", after {} ms", topic->name, target,
                                            loop_.now_ms() - began_ms));
        }
      }
    }
    // In small steps: a pause that was meant for one state of things is not to outlast it.
    const cluster::TopicPtr before = cluster_.state().topic_in_any_state(id);
    bool go = true;
    for (int64_t waited = 0; go && waited < pause_ms; waited += kLookMs) {
      if (cluster_.state().topic_in_any_state(id) != before) break;
      go = co_await options_.pause(kLookMs);
    }
    if (!go) break;
  }
}

cluster::TopicPtr Migrator::going_on(const Uuid& id, const std::string& target) const {
  cluster::TopicPtr topic = cluster_.state().topic_in_any_state(id);
  const bool same = topic && !topic->deleting && topic->migration && topic->migration->target == target;
  return same && !cluster_.settings_of(*topic).migration_paused ? topic : nullptr;
}

Task<Status> Migrator::for_each_partition(int32_t count, Step step) {
  struct State {
    Status first;
    size_t left = 0;
  };
  auto state = std::make_shared<State>();
  for (int32_t i = 0; i < count; i += static_cast<int32_t>(kTogether)) {
    const int32_t end = std::min(count, i + static_cast<int32_t>(kTogether));
    co_await suspend_until<bool>(loop_, [&](Resumer<bool> resume) {
      auto arrive = [state, resume] {
        if (--state->left == 0) resume(true);
      };
      state->left = 1;
      for (int32_t j = i; j < end; ++j) {
        ++state->left;
        start(step(j), [state, arrive](Status status) {
          if (!status.ok() && state->first.ok()) state->first = std::move(status);
          arrive();
        });
      }
      arrive();
    });
  }
  co_return state->first;
}

Task<Status> Migrator::round(cluster::TopicPtr topic, std::shared_ptr<Progress> progress) {
  const Uuid id = topic->id;
  const std::string target = topic->migration->target;
  const int32_t count = topic->ready_partitions;
  Step move = [this, topic, target](int32_t index) -> Task<Status> {
    auto partition = partitions_.find(topic, index);
    if (!partition || !going_on(topic->id, target)) co_return Status(StatusCode::unavailable, "the migration rests");
    co_return co_await partition->switch_storage(loop_);
  };
  Status switched = co_await for_each_partition(count, move);
  // What is known now of what there is to copy.
  topic = cluster_.state().topic_in_any_state(id);
  if (!topic) co_return Status(StatusCode::not_found, "the topic is gone");
  for (int32_t i = 0; i < count; ++i) {
    auto partition = partitions_.find(topic, i);
    const auto run = cluster::run_to_copy(topic->partitions[static_cast<size_t>(i)], target);
    if (!partition || run.empty()) continue;
    const int64_t bytes = partition->bytes_between(run.front().from, run.back().to);
    std::lock_guard lock(mutex_);
    progress->partitions.try_emplace(i, Copied{bytes, 0});
  }
  Step copy = [this, id, target, progress](int32_t index) { return copy_all(id, target, index, progress); };
  Status copied = co_await for_each_partition(count, copy);
  if (!switched.ok()) co_return switched;
  if (!copied.ok()) co_return copied;
  Status deleted = co_await cluster_.delete_dropped_logs(id, loop_);
  if (!deleted.ok()) co_return deleted.in("logs that are not needed any more cannot be deleted");
  cluster::Command command = cluster::FinishMigration{id, target};
  auto finished = co_await cluster_.change_topic(std::move(command), loop_);
  if (!finished) co_return Status(StatusCode::unavailable, finished.error().text);
  co_return Status();
}

Task<Status> Migrator::copy_all(Uuid id, std::string target, int32_t index, std::shared_ptr<Progress> progress) {
  Pace pace(*this, id, target, index, progress);
  for (size_t i = 0; i < cluster::Cluster::kMaxExtents; ++i) {
    cluster::TopicPtr topic = going_on(id, target);
    if (!topic) co_return Status(StatusCode::unavailable, "the migration rests");
    const cluster::PartitionInfo& info = topic->partitions[static_cast<size_t>(index)];
    if (run_to_copy(info, target).empty()) break;
    auto partition = partitions_.find(topic, index);
    if (!partition) co_return Status(StatusCode::unavailable, "the partition is not there");
    Status status = co_await partition->copy_extents(pace, loop_);
    if (!status.ok()) co_return status.in(fmt::format("partition {}", index));
    // Old logs go as soon as nobody needs them: a small storage is what one migrates away from.
    (void)co_await cluster_.delete_dropped_logs(id, loop_);
  }
  std::lock_guard lock(mutex_);
  if (auto found = progress->partitions.find(index); found != progress->partitions.end())
    found->second.there = found->second.in_all;
  co_return Status();
}

std::string Migrator::describe(const cluster::TopicInfo& topic) const {
  if (!topic.migration) return {};
  const cluster::ExtentCount count = cluster::count_settled(topic, topic.migration->target);
  const bool paused = cluster_.settings_of(topic).migration_paused;
  nlohmann::ordered_json shown = {
      {"state", paused ? "paused" : count.switched < count.partitions ? "switching" : "copying"},
      {"from", topic.migration->source},
      {"to", topic.migration->target},
      {"partitions", count.partitions},
      {"switched", count.switched},
      {"copied", count.settled}};
  std::lock_guard lock(mutex_);
  const auto found = under_way_.find(topic.id);
  if (found == under_way_.end()) return shown.dump();
  const Progress& progress = *found->second;
  int64_t in_all = 0;
  int64_t there = 0;
  for (const auto& [index, copied] : progress.partitions) {
    in_all += copied.in_all;
    there += std::min(copied.there, copied.in_all);
  }
  const int64_t speed = progress.rate.bytes_per_second(loop_.now_ms());
  shown["bytes_total"] = in_all;
  shown["bytes_copied"] = there;
  shown["bytes_per_second"] = speed;
  shown["remaining_ms"] = nullptr;
  if (speed > 0) shown["remaining_ms"] = static_cast<int64_t>(static_cast<double>(in_all - there) * 1000 / static_cast<double>(speed));
  if (!progress.error.empty()) shown["error"] = progress.error;
  return shown.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sluice::partition
