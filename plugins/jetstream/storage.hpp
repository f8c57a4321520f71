// SPDX-License-Identifier: Apache-2.0
// The storage as the host sees it, and its handles on logs. Calls are handed to the loop; see log.hpp for what happens
// there.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "jetstream/engine.hpp"
#include "jetstream/log.hpp"
#include "plugin/adapter.hpp"

namespace sluice::jetstream {

/// The oldest server that answers direct reads.
constexpr int kLowestMajor = 2;
constexpr int kLowestMinor = 9;

/// The layout `log`, and what both layouts share.
class Storage : public plugin::StorageAdapter {
 public:
  Storage(plugin::Host host, Settings settings);
  ~Storage() override;

  Status start(int64_t deadline_ns, plugin::Condition& condition) override;
  Status stop(int64_t deadline_ns) override;
  Status health(int64_t deadline_ns, plugin::Condition& condition) override;
  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 protected:
  Engine& engine() const { return *engine_; }
  Task<Result<nlohmann::json>> ask(std::string what, std::string body, int64_t deadline_ns);
  /// The stream that says that this is a storage; made at start, where nothing shows that it was there before.
  virtual nlohmann::json own_stream() const;
  virtual void describe(const StreamInfo& own, plugin::Condition& condition) const;

 private:
  struct Listed {
    Uuid id;
    std::string topic;
    int32_t partition;
    int64_t created_ms;
  };
  /// All handles and calls of one log share it.
  std::shared_ptr<Log> log(const Uuid& id);
  Task<Status> inspect(bool starting, int64_t deadline_ns, plugin::Condition& condition);
  Task<Result<StreamInfo>> find_own(bool starting, int64_t deadline_ns);
  Task<Result<StreamInfo>> make_own(int64_t deadline_ns);
  Task<Status> check_ownerless(int64_t before_ms, int64_t deadline_ns);
  Task<Status> check_untied(int64_t deadline_ns);
  Task<Status> bind_on_loop(bool replace, Uuid& cluster_id, int64_t deadline_ns);
  Task<Result<std::vector<Listed>>> listed(int64_t deadline_ns);
  Task<Status> list_on_loop(sluice_log_list& list, int64_t deadline_ns);

  const std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::unordered_map<Uuid, std::weak_ptr<Log>> logs_;  // guarded by mutex_
  size_t prune_at_ = 64;                               // guarded by mutex_
  std::optional<Uuid> cluster_;                        // that it is tied to; the loop's thread
};

class Handle final : public plugin::LogAdapter {
 public:
  Handle(Engine& engine, std::shared_ptr<Log> log, bool several_writers)
      : engine_(engine), log_(std::move(log)), several_writers_(several_writers) {}
  ~Handle() override;

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override;
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override;
  Status bounds(plugin::Call& call, sluice_bounds& result) override;
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override;
  Status trim(plugin::Call& call, uint64_t token, int64_t offset) override;
  Status fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) override;
  Status save(plugin::Call& call, const sluice_save& request) override;
  Status load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) override;
  Status watch(plugin::Call& call, int64_t offset) override;

 private:
  Engine& engine_;
  const std::shared_ptr<Log> log_;
  const bool several_writers_;
};

}  // namespace sluice::jetstream
