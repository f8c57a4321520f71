// SPDX-License-Identifier: Apache-2.0
// The layout `record`, kind NATIVE: topics are streams that other programs may have made and may write to. Beside each
// stream that a topic stands for lies a marker.
#pragma once

#include "redis/record_log.hpp"
#include "redis/storage.hpp"

namespace sluice::redis {

class RecordStorage final : public Storage {
 public:
  using Storage::Storage;

  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  /// Looks through all keys of the servers.
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
  Task<Status> stand(Wanted wanted, int64_t deadline_ns);
  Task<Status> leave(Wanted wanted, int64_t deadline_ns);
  Task<Status> list(sluice_log_list& result, int64_t deadline_ns);
  /// All keys of this type whose names match, on one server.
  Task<Result<std::vector<std::string>>> scan(Server& server, std::string pattern, std::string type,
                                              int64_t deadline_ns);
};

}  // namespace sluice::redis
