// SPDX-License-Identifier: Apache-2.0
// A Kafka storage as the host sees it: topics of another cluster. Its life, its partitions, and calls that are passed
// on to the reader, the writer and the pool. Any thread unless said otherwise; lifecycle calls one at a time.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "kafka/calls.hpp"
#include "kafka/cluster.hpp"
#include "kafka/reader.hpp"
#include "kafka/settings.hpp"
#include "kafka/writer.hpp"
#include "plugin/adapter.hpp"

namespace sluice::kafka {

/// The most that any cluster offers.
inline constexpr uint64_t kCapabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK | SLUICE_CAP_SHARED;
/// The setting of a topic that says which one of the cluster it is.
inline constexpr const char* kNativeName = "sluice.native.name";

class Storage final : public plugin::StorageAdapter {
 public:
  Storage(plugin::Host host, Settings settings);
  ~Storage() override;

  Status start(int64_t deadline_ns, plugin::Condition& condition) override;
  Status stop(int64_t deadline_ns) override;
  Status health(int64_t deadline_ns, plugin::Condition& condition) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 private:
  class Handle;

  PartitionPtr partition(const std::string& topic, int32_t index);
  Status examine(int64_t deadline_ns, plugin::Condition& condition);
  void report(const plugin::Condition& condition);
  void let_go(std::shared_ptr<Client> client);

  const Settings settings_;
  const Say say_;
  Calls calls_;
  std::unique_ptr<Pool> pool_;
  Cluster cluster_;
  Reader reader_;
  Writer writer_;
  bool running_ = false;                      // the threads
  std::atomic<uint64_t> largest_message_{0};  // as is known
  std::atomic<uint64_t> capabilities_{0};
  std::string reported_;  // what was last said of the condition
  std::mutex mutex_;
  std::map<std::pair<std::string, int32_t>, std::weak_ptr<Partition>> partitions_;  // guarded by mutex_
  size_t partitions_before_sweep_ = 1024;                                           // guarded by mutex_
};

}  // namespace sluice::kafka
