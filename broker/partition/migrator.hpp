// SPDX-License-Identifier: Apache-2.0
// Carries out the migrations that metadata asks for: every partition of a topic switches to the target first, then what
// they held before is copied behind, a few partitions at a time, at the speed that the topic's settings allow; at last
// what is left over is deleted. Nothing is kept here that a crash could lose: whoever starts next looks at metadata and
// goes on.
//
// It has a loop of its own, because copying reads files and checks sums. look() and describe() may be called by any
// thread; everything else belongs to the loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "partition/copy_rate.hpp"
#include "partition/partitions.hpp"

namespace sluice::partition {

struct MigratorOptions {
  /// True after so many milliseconds; false as soon as all is to end. On the migrator's loop.
  std::function<Task<bool>(int64_t ms)> pause;
};

class Migrator {
 public:
  static constexpr int64_t kLookMs = 500;          // between two looks at metadata, unless somebody asks for one
  static constexpr int64_t kFirstRetryMs = 1'000;  // after a failure, doubled each time
  static constexpr int64_t kLongestRetryMs = 30'000;
  static constexpr int64_t kLongestWaitMs = 1'000;  // for the rate: then settings are looked at again
  static constexpr size_t kTogether = 4;            // partitions of one topic

  /// All outlive it.
  Migrator(cluster::Cluster& cluster, Partitions& partitions, Loop& loop, MigratorOptions options);

  /// Until `pause` says false, and all that is under way has ended. Loop thread.
  Task<void> run();
  /// Metadata changed: what is to begin begins now, if run() goes on. Any thread.
  void look();

  /// How far a topic is: an object in JSON with "state" (switching, copying or paused), "from", "to", "partitions",
  /// "switched", "copied", "bytes_total", "bytes_copied", "bytes_per_second", "remaining_ms" (null: not known) and,
  /// where the last try failed, "error". Empty if the topic does not migrate. Any thread.
  std::string describe(const cluster::TopicInfo& topic) const;

 private:
  struct Copied {
    int64_t in_all = 0;
    int64_t there = 0;
  };
  /// Of one topic. What describe() shows is guarded by mutex_.
  struct Progress {
    std::map<int32_t, Copied> partitions;
    CopyRate rate;
    std::string error;
  };
  class Pace;
  using Step = std::function<Task<Status>(int32_t partition)>;

  void begin_new();
  Task<void> migrate(Uuid id);
  Task<Status> round(cluster::TopicPtr topic, std::shared_ptr<Progress> progress);
  Task<Status> copy_all(Uuid id, std::string target, int32_t index, std::shared_ptr<Progress> progress);
  /// Does `step` for all partitions, a few at a time. Gives the first failure.
  Task<Status> for_each_partition(int32_t count, Step step);
  /// The topic, if it still is on its way to `target` and not paused.
  cluster::TopicPtr going_on(const Uuid& id, const std::string& target) const;
  void note(int level, const std::string& text) const;

  cluster::Cluster& cluster_;
  Partitions& partitions_;
  Loop& loop_;
  const MigratorOptions options_;
  bool looking_ = false;             // run() goes on; loop thread
  std::function<void()> all_ended_;  // loop thread
  mutable std::mutex mutex_;
  std::map<Uuid, std::shared_ptr<Progress>> under_way_;  // guarded by mutex_
};

}  // namespace sluice::partition
