// SPDX-License-Identifier: Apache-2.0
// A storage adapter in C++: derive StorageAdapter and LogAdapter, override what the engine does, and end one source
// file with SLUICE_PLUGIN. What each call must do is said in sluice/storage_abi.h alone; the comments here say what
// this layer adds to it.
//
//   - Requests are checked before a method sees them: unknown flags, empty or disordered units, names and values of a
//     wrong size never arrive.
//   - Exceptions, std::bad_alloc among them, stop here and become INTERNAL with their text. INTERNAL promises that the
//   call
//     did not and will not take effect, so a method that throws must not have applied anything.
//   - A ticket is completed exactly once: by the Status that is returned, or by the Pending that was taken.
//   - Structs of an older host are not written beyond their size, if they are written with set(), Lease and LogList.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "base/uuid.hpp"
#include "plugin/call.hpp"
#include "plugin/lease.hpp"
#include "plugin/options.hpp"
#include "sluice/storage_abi.h"

namespace sluice::plugin {

/// A copy of sluice_log_descriptor that can be kept.
struct LogDescriptor {
  Uuid id;
  uint32_t flags = 0;
  int64_t start_offset = 0;
  std::string topic;
  Uuid topic_id;
  int32_t partition = 0;
  int32_t partition_count = 0;
  std::vector<std::pair<std::string, std::string>> settings;

  static LogDescriptor copy_of(const sluice_log_descriptor& descriptor);
  bool several_writers() const { return (flags & SLUICE_LOG_SEVERAL_WRITERS) != 0; }
  bool sync() const { return (flags & SLUICE_LOG_SYNC) != 0; }
  /// Equal for create_log: all but partition_count and settings.
  bool same_log(const LogDescriptor& other) const;
};

Uuid log_id(const sluice_log_descriptor& descriptor);

/// What create hands over. `options` is a view: valid during create only.
struct CreateRequest {
  Host host;
  std::string data_directory;
  Options options;
};

/// What start and health report; `server` and `advice` are cut to 63 and 191 bytes.
struct Condition {
  uint32_t kind = SLUICE_KIND_LOG;
  uint64_t capabilities = 0;
  uint64_t largest_unit = 0;       // bytes; 0: no limit
  uint64_t preferred_unit = 0;     // bytes; 0: the host's choice
  uint32_t appends_in_flight = 0;  // NATIVE: of one handle; 0: one
  std::string server;
  std::string advice;
};

/// A handle on a log. Destroyed by close, when no call is pending on it. Any thread, several at once.
class LogAdapter {
 public:
  LogAdapter() = default;
  LogAdapter(const LogAdapter&) = delete;
  LogAdapter& operator=(const LogAdapter&) = delete;
  virtual ~LogAdapter() = default;

  /// The unit has at least one batch, `bytes` is their sum, offsets rise from `at` on (NATIVE: from anywhere) and end
  /// below INT64_MAX.
  virtual Status append(Call& call, const sluice_append& request, sluice_append_result& result) = 0;
  virtual Status read(Call& call, const sluice_read& request, sluice_read_result& result) = 0;
  virtual Status bounds(Call& call, sluice_bounds& result) = 0;
  virtual Status locate(Call& call, int64_t timestamp, sluice_locate_result& result) = 0;
  virtual Status trim(Call& call, uint64_t token, int64_t offset) = 0;
  virtual Status fence(Call& call, uint64_t token, sluice_fence_result& result);
  virtual Status save(Call& call, const sluice_save& request);
  virtual Status load(Call& call, const sluice_load& request, sluice_load_result& result);
  /// Taken calls must be completed with UNAVAILABLE by close (the destructor), delete_log and stop.
  virtual Status watch(Call& call, int64_t offset);

 private:
  friend struct Edge;
  const sluice_host* host_ = nullptr;
};

/// One storage. Destroyed after a failed start or a stop, with no lease out and no call pending.
class StorageAdapter {
 public:
  explicit StorageAdapter(Host host) : host_(std::move(host)) {}
  StorageAdapter(const StorageAdapter&) = delete;
  StorageAdapter& operator=(const StorageAdapter&) = delete;
  virtual ~StorageAdapter() = default;

  const Host& host() const { return host_; }

  // Lifecycle: one at a time, may block until `deadline_ns` (CLOCK_MONOTONIC).
  virtual Status start(int64_t deadline_ns, Condition& condition) = 0;
  virtual Status stop(int64_t deadline_ns) = 0;
  virtual Status health(int64_t deadline_ns, Condition& condition) = 0;
  /// `cluster_id`: in, the id wanted; out, the id that the storage is tied to. `replace`: SLUICE_BIND_REPLACE was
  /// given.
  virtual Status bind(int64_t deadline_ns, bool replace, Uuid& cluster_id);

  virtual Status create_log(Call& call, const sluice_log_descriptor& descriptor) = 0;
  virtual Status delete_log(Call& call, const sluice_log_descriptor& descriptor) = 0;
  virtual Status list_logs(Call& call, sluice_log_list& list) = 0;
  /// Inline: no I/O. The handle stays under 1 KiB.
  virtual Result<std::unique_ptr<LogAdapter>> open(const sluice_log_descriptor& descriptor) = 0;
  virtual void flush() {}

 private:
  Host host_;
};

using CreateFunction = Result<std::unique_ptr<StorageAdapter>> (*)(const CreateRequest& request);

/// The body of `create`: checks the request, calls `function`, stops exceptions.
sluice_status create_storage(const sluice_create* request, sluice_storage** storage, sluice_error* error,
                             CreateFunction function, const sluice_option* options, uint32_t option_count) noexcept;

/// What an adapter says of itself; see sluice_plugin. `name` and `version` are literals, `options` is static.
struct PluginInfo {
  const char* name;
  const char* version;
  const char* description;
  uint64_t capabilities = 0;
  uint32_t kinds = SLUICE_KIND_LOG;
  const sluice_option* options = nullptr;
  uint32_t option_count = 0;
};

}  // namespace sluice::plugin

#include "plugin/entry.hpp"
