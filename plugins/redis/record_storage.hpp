// SPDX-License-Identifier: Apache-2.0
// The layout `record`, kind NATIVE: topics are streams that other programs may have made and may write to. Beside each
// stream that a topic stands for lies a marker.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "redis/record_log.hpp"
#include "redis/storage.hpp"

namespace sluice::redis {

/// How long one call looks through keys before it says how far it has come, and how long the next may take to go on
/// from there. Servers may hold hundreds of millions.
inline constexpr int64_t kListStepMs = 5'000;
inline constexpr int64_t kListKeptMs = 60'000;

class RecordStorage final : public Storage {
 public:
  using Storage::Storage;

  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  /// Looks through all keys of the servers. Where that takes longer than kListStepMs: BUSY, and the next call goes on
  /// from there; it then tells what was there all the time since the first.
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 private:
  class Handle;
  struct Wanted {
    Uuid id;
    std::string native;
    int32_t partition = 0;
    bool adopted = false;
    RecordKeys keys;
  };
  Result<Wanted> wanted(const sluice_log_descriptor& descriptor) const;
  Task<Status> check_ids(const Wanted& wanted, int64_t deadline_ns);
  Task<Status> stand(Wanted wanted, int64_t deadline_ns);
  Task<Status> leave(Wanted wanted, int64_t deadline_ns);
  // A listing that is under way.
  struct Listing {
    // All keys of one type on one server.
    struct Pass {
      Server* server = nullptr;
      uint64_t generation = 0;  // cursors mean nothing to another server
      bool markers = false;     // else streams
      std::string cursor;
    };
    struct Ours {
      Uuid id;
      std::string native;
      int32_t partition = 0;
    };
    std::vector<Server*> servers;
    std::vector<Pass> left;
    std::map<std::string, Ours> ours;  // by stream; a scan may tell a key twice
    std::set<std::string> streams;
    uint64_t changes = 0;      // changes_ when it began
    uint64_t keys = 0;         // that the servers hold, twice, as there are two passes
    uint64_t looked_at = 0;    // about
    int64_t paused_at_ns = 0;  // 0: never
  };
  Task<Status> list(sluice_log_list& result, int64_t deadline_ns);
  Task<Result<Listing>> begin_listing(int64_t deadline_ns);
  bool goes_on(const Listing& listing) const;
  Task<Status> step(Listing& listing, int64_t deadline_ns);
  void lend(const Listing& listing, sluice_log_list& result) const;

  // Both on the reactor's thread alone.
  std::optional<Listing> unfinished_;
  uint64_t changes_ = 0;  // of which logs there are, by this process
};

}  // namespace sluice::redis
