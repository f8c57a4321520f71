// SPDX-License-Identifier: Apache-2.0
// The disk adapter as the host sees it: options, capabilities, and calls passed on to Storage and Log.
#include <fmt/format.h>
#include <sys/vfs.h>

#include <chrono>

#include "disk/storage.hpp"
#include "plugin/adapter.hpp"

namespace sluice::disk {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * kKiB;

constexpr sluice_option kOptions[] = {
    {"path", "The directory; by default one with the storage's name in the broker's data directory.", nullptr, nullptr,
     SLUICE_OPTION_PATH, 0, 0, 0},
    {"sync",
     "When an append is acknowledged: os (in the page cache: survives a kill of the broker), interval (the same, and "
     "synced within sync_interval), fsync (when it is on the disk).",
     "os", "os|interval|fsync", SLUICE_OPTION_CHOICE, 0, 0, 0},
    {"sync_interval", "With sync=interval: the longest that something acknowledged is not on the disk.", "1s", nullptr,
     SLUICE_OPTION_DURATION, 0, 2, 3'600'000},
    {"segment_bytes", "Size at which a new segment file is begun; what is trimmed goes in whole segments.", "128MiB",
     nullptr, SLUICE_OPTION_SIZE, 0, 64 * kKiB, 1024 * kMiB},
    {"index_interval_bytes", "Distance of index entries.", "16KiB", nullptr, SLUICE_OPTION_SIZE, 0, 512, kMiB},
    {"index_memory", "Indexes of segments that do not grow, kept in memory.", "32MiB", nullptr, SLUICE_OPTION_SIZE, 0,
     kMiB, 4096 * kMiB},
    {"max_open_files", "Segment files kept open.", "1024", nullptr, SLUICE_OPTION_INTEGER, 0, 8, 1'000'000},
    {"preallocate", "Space taken ahead of the end of a log, at most; 0: none.", "0", nullptr, SLUICE_OPTION_SIZE, 0, 0,
     256 * kMiB},
    {"verify_reads", "Check the checksums of what this process did not write itself, at its first read.", "true",
     nullptr, SLUICE_OPTION_BOOLEAN, 0, 0, 0},
    {"writer_threads", "Threads that write to the page cache.", "1", nullptr, SLUICE_OPTION_INTEGER, 0, 1, 64},
    {"io_threads", "Threads that wait for the disk: syncs, cold reads, recovery, removal.", "6", nullptr,
     SLUICE_OPTION_INTEGER, 0, 1, 256},
};

class DiskLog final : public plugin::LogAdapter {
 public:
  DiskLog(Storage& storage, std::shared_ptr<Log> log) : storage_(storage), log_(std::move(log)) {}
  ~DiskLog() override { storage_.released(std::move(log_)); }

  Status append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) override {
    return guarded([&] { return log_->append(call, request, result); });
  }
  Status read(plugin::Call& call, const sluice_read& request, sluice_read_result& result) override {
    return guarded([&] { return log_->read(call, request, result); });
  }
  Status bounds(plugin::Call& call, sluice_bounds& result) override {
    return guarded([&] { return log_->bounds(call, result); });
  }
  Status locate(plugin::Call& call, int64_t timestamp, sluice_locate_result& result) override {
    return guarded([&] { return log_->locate(call, timestamp, result); });
  }
  Status trim(plugin::Call& call, uint64_t token, int64_t offset) override {
    return guarded([&] { return log_->trim(call, token, offset); });
  }
  Status fence(plugin::Call& call, uint64_t token, sluice_fence_result& result) override {
    return guarded([&] { return log_->fence(call, token, result); });
  }
  Status save(plugin::Call& call, const sluice_save& request) override {
    return guarded([&] { return log_->save(call, request); });
  }
  Status load(plugin::Call& call, const sluice_load& request, sluice_load_result& result) override {
    return guarded([&] { return log_->load(call, request, result); });
  }

 private:
  template <class F>
  Status guarded(F&& call) {
    return storage_.while_started(std::forward<F>(call));
  }

  Storage& storage_;
  std::shared_ptr<Log> log_;
};

std::string file_system_name(const std::string& directory) {
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0) return "unknown file system";
  switch (static_cast<uint64_t>(info.f_type)) {
    case 0xef53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x9123683e:
      return "btrfs";
    case 0x01021994:
      return "tmpfs";
    case 0x794c7630:
      return "overlayfs";
    case 0x6969:
      return "nfs";
    case 0x2fc12fc1:
      return "zfs";
    default:
      return fmt::format("file system {:#x}", static_cast<uint64_t>(info.f_type));
  }
}

class DiskStorage final : public plugin::StorageAdapter {
 public:
  DiskStorage(plugin::Host host, Settings settings)
      : StorageAdapter(std::move(host)),
        storage_(std::move(settings), system_files(), [this](LogLevel level, const std::string& text) {
          this->host().log(static_cast<int32_t>(level), text);
        }) {}

  Status start(int64_t, plugin::Condition& condition) override {
    if (Status started = storage_.start(); !started) return started;
    describe(condition);
    return {};
  }
  Status stop(int64_t deadline_ns) override {
    return storage_.stop(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
  }
  Status health(int64_t, plugin::Condition& condition) override {
    if (Status healthy = storage_.health(); !healthy) return healthy;
    describe(condition);
    return {};
  }
  Status bind(int64_t, bool replace, Uuid& cluster_id) override { return storage_.bind(cluster_id, replace); }

  Status create_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override {
    return storage_.while_started([&] {
      return storage_.log(plugin::log_id(descriptor))->create(call, plugin::LogDescriptor::copy_of(descriptor));
    });
  }
  Status delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) override {
    return storage_.while_started([&] { return storage_.log(plugin::log_id(descriptor))->remove(call); });
  }
  Status list_logs(plugin::Call& call, sluice_log_list& result) override {
    return storage_.while_started([&] {
      storage_.engine().io.post([this, answer = Answer(storage_.engine(), call), &result]() mutable {
        auto list = std::make_unique<plugin::LogList>();
        for (auto& log : storage_.list()) list->add(log.id, std::move(log.topic), log.partition);
        plugin::LogList::lend(std::move(list), result);
        answer(Status());
      });
      return plugin::pending();
    });
  }
  Result<std::unique_ptr<plugin::LogAdapter>> open(const sluice_log_descriptor& descriptor) override {
    return std::make_unique<DiskLog>(storage_, storage_.log(plugin::log_id(descriptor)));
  }

 private:
  void describe(plugin::Condition& condition) {
    const Settings& settings = storage_.engine().settings;
    condition.capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK;
    if (settings.sync == SyncMode::fsync) condition.capabilities |= SLUICE_CAP_POWER_SAFE;
    if (settings.sync != SyncMode::fsync) condition.advice = "\"sync\": \"fsync\" also survives loss of power";
    if (storage_.read_only()) condition.advice = "the file system is read-only: appends are refused";
    condition.largest_unit = kLargestUnitBytes;
    condition.server = file_system_name(settings.directory);
  }

  Storage storage_;
};

Result<std::unique_ptr<plugin::StorageAdapter>> create(const plugin::CreateRequest& request) {
  const plugin::Options& options = request.options;
  Settings settings;
  settings.directory = options.text("path", request.data_directory + "/" + request.host.storage_name());
  settings.sync = static_cast<SyncMode>(options.number("sync"));
  settings.sync_interval_ms = options.number("sync_interval");
  settings.segment_bytes = static_cast<uint64_t>(options.number("segment_bytes"));
  settings.index_interval_bytes = static_cast<uint64_t>(options.number("index_interval_bytes"));
  settings.index_memory_bytes = static_cast<uint64_t>(options.number("index_memory"));
  settings.max_open_files = static_cast<uint64_t>(options.number("max_open_files"));
  settings.preallocate_bytes = static_cast<uint64_t>(options.number("preallocate"));
  settings.verify_reads = options.boolean("verify_reads");
  settings.writer_threads = static_cast<size_t>(options.number("writer_threads"));
  settings.io_threads = static_cast<size_t>(options.number("io_threads"));
  return std::make_unique<DiskStorage>(request.host, std::move(settings));
}

constexpr plugin::PluginInfo kInfo{
    .name = "disk",
    .version = "0.1.0",
    .description = "Segments on the local disk, of one broker.",
    .capabilities = SLUICE_CAP_DURABLE | SLUICE_CAP_POWER_SAFE | SLUICE_CAP_NO_ROLLBACK,
    .options = kOptions,
    .option_count = std::size(kOptions),
};

}  // namespace
}  // namespace sluice::disk

SLUICE_PLUGIN(sluice::disk::kInfo, &sluice::disk::create);
