// SPDX-License-Identifier: Apache-2.0
#include "disk/storage.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <filesystem>

#include "base/thread.hpp"

namespace sluice::disk {

namespace {

constexpr std::string_view kFormatName = "format";
constexpr std::string_view kClusterName = "cluster";
constexpr std::string_view kOwnerName = "owner";
constexpr uint64_t kLargestSmallFile = 4096;

std::string this_process() {
  char host[HOST_NAME_MAX + 1] = {};
  ::gethostname(host, HOST_NAME_MAX);
  return fmt::format("process {} on {}", ::getpid(), host);
}

}  // namespace

Storage::~Storage() {
  if (started()) static_cast<void>(stop(std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  let_go();
}

Status Storage::start() {
  if (started()) return {};
  Status status = take_directory();
  if (status.ok()) status = check_format();
  if (status.ok()) status = find_logs();
  if (!status.ok()) {
    if (lock_fd_ >= 0) engine_.files.close(std::exchange(lock_fd_, -1));
    return status;
  }
  if (engine_.settings.sync == SyncMode::interval) {
    timer_stop_ = false;
    timer_ = start_thread("disk-sync", [this] { sync_periodically(); });
  }
  accepting_.store(true, std::memory_order_release);
  return {};
}

Status Storage::take_directory() {
  const std::string& directory = engine_.settings.directory;
  std::error_code ignored;  // what is wrong with the directory, opening it tells
  std::filesystem::create_directories(directory, ignored);
  const int fd = engine_.files.open(directory, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return io_error(fd, "open the directory", directory);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    engine_.files.close(fd);
    if (error != EWOULDBLOCK) return io_error(-error, "lock", directory);
    return Status(StatusCode::exists, fmt::format("{} is in use by {}: one broker at a time", directory, owner()),
                  error);
  }
  lock_fd_ = fd;
  write_owner();
  return {};
}

/// The lock decides who has the directory; this file only tells others who that is, so its errors do not matter.
void Storage::write_owner() {
  const std::string path = engine_.settings.directory + "/" + std::string(kOwnerName);
  const int fd = engine_.files.open(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) return;
  write_fully(engine_.files, fd, as_bytes(this_process() + "\n"), 0);
  engine_.files.close(fd);
}

std::string Storage::owner() const {
  const std::string path = engine_.settings.directory + "/" + std::string(kOwnerName);
  const auto content = read_small_file(engine_.files, path, kLargestSmallFile);
  std::string_view text = content ? as_text(*content) : std::string_view();
  text = text.substr(0, text.find('\n'));
  return text.empty() ? "another process" : std::string(text);
}

Status Storage::check_format() {
  const std::string& directory = engine_.settings.directory;
  read_only_ = false;
  for (const std::string& path : {engine_.logs_directory(), engine_.new_directory(), engine_.gone_directory()}) {
    const int made = engine_.files.make_directory(path);
    if (made == -EROFS) read_only_ = true;
    if (made < 0 && made != -EEXIST && made != -EROFS && made != -ENOSPC) return io_error(made, "make", path);
  }
  const std::string path = directory + "/" + std::string(kFormatName);
  const auto content = read_small_file(engine_.files, path, kLargestSmallFile);
  if (content) {
    const auto version = parse_format(*content);
    if (!version) return Status(StatusCode::corrupt, fmt::format("{} does not name a format", path));
    if (*version > kFormatVersion) {
      return Status(StatusCode::unsupported, fmt::format("{} has format {}; this adapter reads formats up to {}",
                                                         directory, *version, kFormatVersion));
    }
    return {};
  }
  if (content.error().code() != StatusCode::not_found) return content.error();
  bool used = false;
  engine_.files.list(engine_.logs_directory(), [&](std::string_view) { used = true; });
  if (used)
    return Status(StatusCode::corrupt,
                  fmt::format("{} has logs, but the file that names their format is gone", directory));
  return replace_file(engine_.files, directory, std::string(kFormatName), as_bytes(format_text(kFormatVersion)), true);
}

Status Storage::find_logs() {
  // Whatever was under way when the last process ended.
  for (const std::string& path : {engine_.new_directory(), engine_.gone_directory()}) {
    std::vector<std::string> names;
    engine_.files.list(path, [&](std::string_view name) { names.emplace_back(name); });
    if (names.empty()) continue;
    engine_.outstanding.begin();
    engine_.io.post([this, path, names = std::move(names)] {
      for (const std::string& name : names) remove_tree(engine_.files, path + "/" + name);
      engine_.outstanding.end();
    });
  }
  std::lock_guard lock(logs_mutex_);
  for (auto& [id, log] : logs_) log->lost();
  const int result = engine_.files.list(engine_.logs_directory(), [&](std::string_view name) {
    const auto parsed = parse_log_directory_name(name);
    if (!parsed)
      return engine_.report(LogLevel::warning, fmt::format("{}/{} is no log", engine_.logs_directory(), name));
    auto& log = logs_[parsed->id];
    if (!log) log = std::make_shared<Log>(engine_, parsed->id);
    log->found(std::string(name));
  });
  if (result == -ENOENT) return {};
  return result < 0 ? io_error(result, "list", engine_.logs_directory()) : Status();
}

void Storage::stop_timer() {
  if (!timer_.joinable()) return;
  {
    std::lock_guard lock(timer_mutex_);
    timer_stop_ = true;
  }
  timer_wake_.notify_all();
  timer_.join();
}

void Storage::let_go() {
  accepting_.store(false, std::memory_order_release);
  stop_timer();
  engine_.writers.join();
  engine_.io.join();
  if (lock_fd_ < 0) return;
  engine_.files.unlink(engine_.settings.directory + "/" + std::string(kOwnerName));
  // Not by closing alone: a process that is just being started has a copy of the descriptor, and the lock with it.
  ::flock(lock_fd_, LOCK_UN);
  engine_.files.close(std::exchange(lock_fd_, -1));
}

Status Storage::stop(std::chrono::steady_clock::time_point deadline) {
  accepting_.store(false, std::memory_order_release);
  if (lock_fd_ < 0) return {};
  stop_timer();
  if (!engine_.outstanding.wait_for_none(deadline)) {
    return Status(StatusCode::unavailable, fmt::format("{} calls are not finished", engine_.outstanding.count()));
  }
  engine_.take_dirty();
  if (Status closed = close_logs(deadline); !closed) return closed;
  let_go();
  return {};
}

Status Storage::close_logs(std::chrono::steady_clock::time_point deadline) {
  std::vector<std::shared_ptr<Log>> loaded;
  {
    std::lock_guard lock(logs_mutex_);
    for (const auto& [id, log] : logs_) {
      if (log->is_loaded()) loaded.push_back(log);
    }
  }
  auto failure = std::make_shared<std::pair<std::mutex, Status>>();
  for (const auto& log : loaded) {
    engine_.outstanding.begin();
    engine_.io.post([this, log, failure] {
      if (Status closed = log->close(); !closed) {
        std::lock_guard lock(failure->first);
        failure->second = closed;
      }
      engine_.outstanding.end();
    });
  }
  if (!engine_.outstanding.wait_for_none(deadline)) {
    return Status(StatusCode::unavailable,
                  fmt::format("{} logs are not synced yet; they are in the page cache", engine_.outstanding.count()));
  }
  std::lock_guard lock(failure->first);
  // Nothing more can be done for them; the next start looks at what is there.
  if (!failure->second.ok()) engine_.report(LogLevel::error, failure->second.text());
  return {};
}

Status Storage::health() const {
  if (started()) return {};
  return Status(StatusCode::unavailable, "the storage is stopped");
}

void Storage::sync_periodically() {
  std::unique_lock lock(timer_mutex_);
  // Twice in the interval, so that what came just after a round is synced within it.
  const auto period = std::chrono::milliseconds(std::max<int64_t>(1, engine_.settings.sync_interval_ms / 2));
  while (!timer_wake_.wait_for(lock, period, [&] { return timer_stop_; })) {
    for (const auto& log : engine_.take_dirty()) {
      engine_.outstanding.begin();
      engine_.io.post([this, log] {
        log->sync_in_background();
        engine_.outstanding.end();
      });
    }
  }
}

Status Storage::bind(Uuid& cluster, bool replace) {
  const std::string path = engine_.settings.directory + "/" + std::string(kClusterName);
  const auto content = read_small_file(engine_.files, path, kLargestSmallFile);
  if (!content && content.error().code() != StatusCode::not_found) return content.error();
  if (content) {
    std::string_view text = as_text(*content);
    if (text.ends_with('\n')) text.remove_suffix(1);
    const auto bytes = unhex(text);
    if (!bytes || bytes->size() != cluster.bytes.size()) {
      return Status(StatusCode::corrupt, fmt::format("{} does not name a cluster", path));
    }
    Uuid tied;
    std::ranges::copy(*bytes, tied.bytes.begin());
    if (!replace || tied == cluster) {
      cluster = tied;
      return {};
    }
    if (!list().empty()) {
      cluster = tied;
      return Status(StatusCode::exists, fmt::format("{} holds logs of another cluster", engine_.settings.directory));
    }
  }
  return replace_file(engine_.files, engine_.settings.directory, std::string(kClusterName),
                      as_bytes(hex(cluster.bytes) + "\n"), true);
}

std::shared_ptr<Log> Storage::log(const Uuid& id) {
  std::lock_guard lock(logs_mutex_);
  auto& log = logs_[id];
  if (!log) log = std::make_shared<Log>(engine_, id);
  return log;
}

void Storage::released(std::shared_ptr<Log> log) {
  constexpr long kHere = 2;  // the table's and ours
  std::lock_guard lock(logs_mutex_);
  if (log.use_count() == kHere && log->is_forgettable()) logs_.erase(log->id());
}

std::vector<Storage::Listed> Storage::list() {
  std::vector<std::shared_ptr<Log>> all;
  {
    std::lock_guard lock(logs_mutex_);
    for (const auto& [id, log] : logs_) all.push_back(log);
  }
  std::vector<Listed> listed;
  for (const auto& log : all) {
    const std::string name = log->directory_name();
    const auto parsed = parse_log_directory_name(name);
    if (!parsed) continue;
    Listed entry{parsed->id, parsed->topic, parsed->partition};
    if (!parsed->exact) {
      if (auto read = read_log_file(engine_, engine_.logs_directory() + "/" + name))
        entry.topic = read->descriptor.topic;
    }
    listed.push_back(std::move(entry));
  }
  return listed;
}

}  // namespace sluice::disk
