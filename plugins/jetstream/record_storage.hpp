// SPDX-License-Identifier: Apache-2.0
// The layout `record`, kind NATIVE: topics are streams that other programs may have made and may write to. Which log
// stands for which stream is told by markers.
#pragma once

#include "jetstream/record_log.hpp"
#include "jetstream/record_markers.hpp"
#include "jetstream/storage.hpp"

namespace sluice::jetstream {

class RecordStorage final : public Storage {
 public:
  RecordStorage(plugin::Host host, Settings settings);

  Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id) override;
  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override;
  /// Every stream of the account, but for those of this adapter's layout `log` and of the servers themselves.
  Status list_logs(plugin::Call& call, sluice_log_list& list) override;
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override;

 private:
  class Handle;
  nlohmann::json own_stream() const override;
  void describe(const StreamInfo& own, plugin::Condition& condition) const override;
  Task<Status> stand(Marker wanted, int64_t deadline_ns);
  Task<Status> make_stream(Marker wanted, int64_t deadline_ns);
  Task<Status> leave(Marker wanted, int64_t deadline_ns);
  Task<Status> list(sluice_log_list& result, int64_t deadline_ns);
  Task<Result<std::vector<std::string>>> stream_names(int64_t deadline_ns);

  Markers markers_;
};

}  // namespace sluice::jetstream
