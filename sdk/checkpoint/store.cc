// SPDX-License-Identifier: Apache-2.0
// DIRECTORY/GROUP/ID.checkpoint, DIRECTORY/GROUP/lock. The lock is held while a commit looks at what is there, writes
// and prunes, so that ids follow each other and one temporary name suffices. What is pruned gets that name, and the
// next commit writes into it. Readers take no lock: a file that a commit prunes, or writes over, under them makes them
// look again.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <optional>

#include "checkpoint/files.hpp"
#include "checkpoint/format.hpp"
#include "sluice/checkpoint.hpp"
#include "telemetry/attributes.hpp"

namespace sluice {

using namespace checkpoint;

namespace {

constexpr int64_t kMaxLockTimeoutMs = 600'000;
constexpr int kMaxLooks = 100;  // at a directory that others keep changing
constexpr std::string_view kLockName = "lock";
constexpr std::string_view kTemporaryName = "next.tmp";
constexpr std::string_view kTelemetrySystem = "sluice.checkpoint";
constexpr std::string_view kOperation = "commit";

int64_t system_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

Status check_settings(const CheckpointSettings& settings) {
  const auto invalid = [](std::string text) { return Status(StatusCode::invalid, std::move(text)); };
  if (settings.directory.empty()) return invalid("checkpoint.directory: empty");
  if (settings.keep < 1 || settings.keep > kMaxKeptCheckpoints) {
    return invalid(fmt::format("checkpoint.keep: {} is not from 1 to {}", settings.keep, kMaxKeptCheckpoints));
  }
  if (settings.lock_timeout_ms < 1 || settings.lock_timeout_ms > kMaxLockTimeoutMs) {
    return invalid(
        fmt::format("checkpoint.lock_timeout_ms: {} is not from 1 to {}", settings.lock_timeout_ms, kMaxLockTimeoutMs));
  }
  if (settings.name.empty() || settings.name.size() > kMaxCheckpointNameBytes) {
    return invalid(
        fmt::format("checkpoint.name: {} bytes, not from 1 to {}", settings.name.size(), kMaxCheckpointNameBytes));
  }
  return {};
}

}  // namespace

struct CheckpointStore::Impl {
  CheckpointSettings settings;
  std::optional<OperationMeter> meter;
  std::atomic<uint64_t> commits{0};
  std::atomic<uint64_t> written_bytes{0};  // in them
  Observing observing;                     // last, so that it ends first

  void observe() {
    if (!settings.telemetry) return;
    meter = settings.telemetry->meter(kOperation, kTelemetrySystem, settings.name);
    observing = settings.telemetry->observe([this](Observations& to) {
      const Attributes of = telemetry::named(kTelemetrySystem, semconv::kDestinationName, settings.name);
      to.counter("sluice.checkpoint.commits", commits.load(std::memory_order_relaxed), of, "{commit}");
      to.counter("sluice.checkpoint.written", written_bytes.load(std::memory_order_relaxed), of, "By");
    });
  }

  Result<uint64_t> commit(std::string_view group, uint64_t after, std::string_view cursor,
                          const CheckpointMetadata& metadata);

  std::string directory_of(std::string_view group) const { return settings.directory + "/" + directory_name(group); }

  // Ids that have a file, the newest first.
  static Result<std::vector<uint64_t>> ids_in(const std::string& directory) {
    const Result<std::vector<std::string>> names = names_in(directory);
    if (!names) return fail(names.error());
    std::vector<uint64_t> ids;
    for (const std::string& name : *names) {
      if (const auto id = id_of(name)) ids.push_back(*id);
    }
    std::sort(ids.begin(), ids.end(), std::greater<>());
    return ids;
  }

  static Result<Checkpoint> read(const std::string& directory, std::string_view group, uint64_t id) {
    const std::string path = directory + "/" + file_name(id);
    const Result<Buffer> file = read_file(path, kMaxFileBytes);
    if (!file) return fail(file.error());
    Result<Checkpoint> found = decode(*file);
    if (found && (found->id != id || found->group != group)) {
      found = fail(StatusCode::corrupt, fmt::format("byte {}: is checkpoint {} of group '{}', under another's name",
                                                    kHeaderBytes, found->id, found->group));
    }
    // No name is given twice: what still has its own was not written over while we read.
    if (!found && !is_there(path)) return fail(StatusCode::not_found, "pruned meanwhile");
    return found;
  }

  // NOT_FOUND also where a file vanished while we looked.
  static Result<Checkpoint> newest_of(const std::string& directory, std::string_view group,
                                      const std::vector<uint64_t>& ids) {
    Status damage;
    uint32_t damaged = 0;
    for (const uint64_t id : ids) {
      Result<Checkpoint> found = read(directory, group, id);
      if (found) {
        found->damaged_newer = damaged;
        return found;
      }
      const Status why = found.error().in(directory + "/" + file_name(id));
      if (why.code() != StatusCode::corrupt) return fail(why);
      if (damaged++ == 0) damage = why;
    }
    if (damaged != 0) return fail(damage.in(fmt::format("none of {} checkpoints is valid", damaged)));
    return fail(StatusCode::not_found, fmt::format("group '{}' has no checkpoint", group));
  }

  // What was there before the last commits, beyond the number to keep; what stays is pruned by a later commit. The room
  // of one of them is kept for the next.
  void prune(const std::string& directory, const std::vector<uint64_t>& older) const {
    const std::string spare = fmt::format("{}/{}", directory, kTemporaryName);
    bool spared = false;
    for (size_t i = settings.keep - 1; i < older.size(); ++i) {
      const std::string path = directory + "/" + file_name(older[i]);
      if (!spared)
        spared = ::rename(path.c_str(), spare.c_str()) == 0;
      else
        ::unlink(path.c_str());
    }
  }
};

CheckpointStore::CheckpointStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointStore::~CheckpointStore() = default;

Result<std::unique_ptr<CheckpointStore>> CheckpointStore::open(CheckpointSettings settings) {
  if (Status status = check_settings(settings); !status) return fail(std::move(status));
  while (settings.directory.size() > 1 && settings.directory.ends_with('/')) settings.directory.pop_back();
  const size_t slash = settings.directory.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : settings.directory.substr(0, slash + 1);
  if (Status status = make_directory(settings.directory, parent); !status) {
    return fail(status.in("checkpoint.directory"));
  }
  if (!settings.now_ns) settings.now_ns = system_now_ns;
  auto impl = std::make_unique<Impl>();
  impl->settings = std::move(settings);
  impl->observe();
  return std::unique_ptr<CheckpointStore>(new CheckpointStore(std::move(impl)));
}

Result<uint64_t> CheckpointStore::commit(std::string_view group, uint64_t after, std::string_view cursor,
                                         const CheckpointMetadata& metadata) {
  if (!impl_->meter) return impl_->commit(group, after, cursor, metadata);
  const int64_t started = impl_->meter->start();
  Result<uint64_t> id = impl_->commit(group, after, cursor, metadata);
  id ? impl_->meter->succeed(started) : impl_->meter->fail(started, id.error());
  return id;
}

Result<uint64_t> CheckpointStore::Impl::commit(std::string_view group, uint64_t after, std::string_view cursor,
                                               const CheckpointMetadata& metadata) {
  if (Status status = check(group, cursor, metadata); !status) return fail(std::move(status));
  const std::string directory = directory_of(group);
  if (Status status = make_directory(directory, settings.directory); !status) return fail(std::move(status));
  const Result<FileLock> lock = lock_file(fmt::format("{}/{}", directory, kLockName), settings.lock_timeout_ms);
  if (!lock) return fail(lock.error());

  const Result<std::vector<uint64_t>> ids = ids_in(directory);
  if (!ids) return fail(ids.error());
  const Result<Checkpoint> newest = newest_of(directory, group, *ids);
  // That all are damaged is what the caller was told by newest(), and begins anew from 0.
  const bool none =
      !newest && (newest.error().code() == StatusCode::not_found || newest.error().code() == StatusCode::corrupt);
  if (!newest && !none) return fail(newest.error());
  const uint64_t current = newest ? newest->id : 0;
  if (current != after) {
    return fail(StatusCode::conflict, fmt::format("group '{}' is at checkpoint {}, not {}", group, current, after));
  }
  // Above damaged ones too: an id names one commit for ever.
  const uint64_t last = ids->empty() ? 0 : ids->front();
  if (last == std::numeric_limits<uint64_t>::max()) {
    return fail(StatusCode::out_of_range, fmt::format("group '{}' has used its last id", group));
  }
  Checkpoint next;
  next.group = group;
  next.id = last + 1;
  next.created_ns = settings.now_ns();
  next.cursor = cursor;
  next.metadata = metadata;
  const Buffer bytes = encode(next);
  const Status written = write_durably(directory, fmt::format("{}/{}", directory, kTemporaryName),
                                       directory + "/" + file_name(next.id), bytes);
  if (!written) return fail(written);
  commits.fetch_add(1, std::memory_order_relaxed);
  written_bytes.fetch_add(bytes.size(), std::memory_order_relaxed);
  prune(directory, *ids);
  return next.id;
}

Result<Checkpoint> CheckpointStore::newest(std::string_view group) const {
  if (Status status = check(group, {}, {}); !status) return fail(std::move(status));
  const std::string directory = impl_->directory_of(group);
  for (int look = 0; look < kMaxLooks; ++look) {
    const Result<std::vector<uint64_t>> ids = Impl::ids_in(directory);
    if (!ids && ids.error().code() == StatusCode::not_found) return Impl::newest_of(directory, group, {});
    if (!ids) return fail(ids.error());
    Result<Checkpoint> found = Impl::newest_of(directory, group, *ids);
    const bool vanished = !found && found.error().code() == StatusCode::not_found && !ids->empty();
    if (!vanished) return found;
  }
  return fail(StatusCode::busy, fmt::format("checkpoints of group '{}' are replaced faster than read", group));
}

Result<CheckpointList> CheckpointStore::list(std::string_view group) const {
  if (Status status = check(group, {}, {}); !status) return fail(std::move(status));
  const std::string directory = impl_->directory_of(group);
  CheckpointList all;
  const Result<std::vector<uint64_t>> ids = Impl::ids_in(directory);
  if (!ids && ids.error().code() == StatusCode::not_found) return all;
  if (!ids) return fail(ids.error());
  for (const uint64_t id : *ids) {
    Result<Checkpoint> found = Impl::read(directory, group, id);
    if (found) {
      all.checkpoints.push_back(std::move(*found));
    } else if (found.error().code() != StatusCode::not_found) {  // pruned while we looked
      all.damaged.push_back({directory + "/" + file_name(id), found.error()});
    }
  }
  return all;
}

Result<std::vector<std::string>> CheckpointStore::groups() const {
  const Result<std::vector<std::string>> names = names_in(impl_->settings.directory);
  if (!names) return fail(names.error());
  std::vector<std::string> groups;
  for (const std::string& name : *names) {
    if (auto group = group_of(name)) groups.push_back(std::move(*group));
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

}  // namespace sluice
