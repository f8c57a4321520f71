// SPDX-License-Identifier: Apache-2.0
// What the checks talk in: storages, logs, batches and answers, over the raw table. Waiting calls throw Failure when an
// answer is lost. A Log or Storage is used by any thread; an answer belongs to whoever got it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "conformance/harness.hpp"
#include "conformance/run.hpp"
#include "host/library.hpp"
#include "host/options.hpp"

namespace sluice::conformance {

inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kMaxOffset = std::numeric_limits<int64_t>::max();
inline constexpr uint64_t kNoMaximum = std::numeric_limits<uint64_t>::max();

using Id = std::array<uint8_t, 16>;

struct Batch {
  int64_t base = 0;
  int64_t last = 0;
  int64_t timestamp = 0;
  uint32_t records = 0;
  std::vector<uint8_t> bytes;
};
using Unit = std::vector<Batch>;

inline constexpr size_t kSmallestBatchBytes = 61;
/// A v2 record batch with a right header and checksum, `size` bytes (61 at least), and content of its own.
Batch make_batch(int64_t base, int64_t last, int64_t timestamp = 1'000, size_t size = 200, int32_t records = -1);
/// `count` batches of one record each, from `base` on.
Unit make_unit(int64_t base, size_t count, size_t size = 200, int64_t timestamp = 1'000);

struct Descriptor {
  Id id{};
  uint32_t flags = 0;
  int64_t start_offset = 0;
  std::string topic = "conformance";
  Id topic_id{};
  int32_t partition = 0;
  int32_t partition_count = 1;
  std::vector<std::pair<std::string, std::string>> settings;

  const sluice_log_descriptor* in(Call& call) const;
};

/// What a read lent. Released once, at the latest on destruction.
class Lease {
 public:
  Lease() = default;
  Lease(const sluice_slice* slices, uint32_t count, void* owner, void (*release_owner)(void*))
      : slices_(slices), count_(count), owner_(owner), release_(release_owner) {}
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  bool empty() const { return count_ == 0; }
  /// A copy of what it shows now, ranges of files included.
  std::vector<uint8_t> bytes() const;
  /// Of slices that are memory.
  uint64_t memory_bytes() const;
  void release();

 private:
  const sluice_slice* slices_ = nullptr;
  uint32_t count_ = 0;
  void* owner_ = nullptr;
  void (*release_)(void*) = nullptr;
};

struct Answer {
  sluice_status status = 0;
  std::string text;
  bool ok() const { return status == SLUICE_OK; }
};
struct AppendAnswer : Answer {
  int64_t end = 0;
  uint64_t token = 0;
};
struct ReadAnswer : Answer {
  int64_t next = 0;
  int64_t start = 0;
  int64_t end = 0;
  uint64_t pinned = 0;
  Lease lease;
};
struct BoundsAnswer : Answer {
  int64_t start = 0;
  int64_t end = 0;
  uint64_t token = 0;
  int64_t bytes = 0;
  int64_t newest_timestamp = 0;
  uint64_t largest_unit = 0;
  uint64_t capabilities = 0;
};
struct LocateAnswer : Answer {
  int64_t offset = 0;
  int64_t end = 0;
};
struct FenceAnswer : Answer {
  int64_t end = 0;
  uint64_t token = 0;
};
struct LoadAnswer : Answer {
  bool present = false;
  std::string value;
};
struct ListEntry {
  Id id{};
  std::string topic;
  int32_t partition = 0;
  uint32_t flags = 0;
};
struct ListAnswer : Answer {
  std::vector<ListEntry> entries;
};
struct ConditionAnswer : Answer {
  uint32_t kind = 0;
  uint64_t capabilities = 0;
  uint64_t largest_unit = 0;
  uint32_t appends_in_flight = 0;
  std::string server;
  std::string advice;
};

/// An error buffer for a call without ticket.
struct LifecycleError {
  LifecycleError() {
    error.size = sizeof error;
    error.text = text;
    error.text_capacity = sizeof text;
  }
  LifecycleError(const LifecycleError&) = delete;
  LifecycleError& operator=(const LifecycleError&) = delete;
  sluice_error error{};
  char text[256] = {};
};

class Context;

/// A storage that was created; destroyed at the end, unless a call on it was lost.
class Storage {
 public:
  /// Throws Failure if create refuses.
  Storage(Context& context, const host::OptionInputs& inputs, std::string data_directory);
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  ConditionAnswer start();
  Answer stop();
  ConditionAnswer health();
  /// `id`: in and out.
  Answer bind(Id& id, uint32_t flags = 0);
  Answer create_log(const Descriptor& descriptor);
  Answer delete_log(const Descriptor& descriptor);
  ListAnswer list_logs();

  /// start(), or Failure.
  void must_start();
  /// create_log(), or Failure.
  void must_create(const Descriptor& descriptor);

  Context& context() { return context_; }
  sluice_storage* raw() const { return storage_; }
  const sluice_storage_api& api() const { return *api_; }

 private:
  ConditionAnswer condition_of(const char* name,
                               sluice_status (*function)(sluice_storage*, int64_t, sluice_condition*, sluice_error*));

  Context& context_;
  const sluice_storage_api* api_;
  sluice_storage* storage_ = nullptr;
  bool started_ = false;
};

/// An append that was sent and not waited for.
class SentAppend {
 public:
  SentAppend(std::shared_ptr<Call> call, sluice_append_result* result) : call_(std::move(call)), result_(result) {}
  AppendAnswer wait();
  bool was_pending() const { return call_->was_pending(); }
  bool answered() const { return call_->answered(); }

 private:
  std::shared_ptr<Call> call_;
  sluice_append_result* result_;
};

/// A handle. Closed on destruction, unless one of the calls that were made through it was lost.
class Log {
 public:
  Log(Storage& storage, const Descriptor& descriptor);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  SentAppend send(uint64_t token, int64_t at, const Unit& unit, uint32_t flags = 0, int64_t deadline_ns = 0);
  AppendAnswer append(uint64_t token, int64_t at, const Unit& unit, uint32_t flags = 0) {
    return send(token, at, unit, flags).wait();
  }
  /// OK, or Failure; returns the new end.
  int64_t must_append(uint64_t token, int64_t at, const Unit& unit);
  ReadAnswer read(int64_t offset, int64_t limit = kNoLimit, uint64_t max_bytes = kNoMaximum, uint32_t flags = 0);
  BoundsAnswer bounds();
  LocateAnswer locate(int64_t timestamp);
  Answer trim(uint64_t token, int64_t offset);
  FenceAnswer fence(uint64_t token);
  Answer save(uint64_t token, const std::string& name, const std::string& value);
  LoadAnswer load(const std::string& name);

  Storage& storage() { return storage_; }
  sluice_log* raw() const { return log_; }
  void close();

 private:
  std::shared_ptr<Call> begin(const char* name);

  Storage& storage_;
  sluice_log* log_ = nullptr;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Call>> calls_;  // guarded by mutex_; those that may be unanswered
};

/// One check's surroundings.
class Context {
 public:
  Context(std::shared_ptr<const host::Library> library, host::OptionInputs inputs, RunOptions options,
          std::string directory, uint64_t seed);

  /// The check's own storage, made and started when first asked for.
  Storage& storage();
  /// Another storage object on the same options and folder.
  std::unique_ptr<Storage> another();
  /// ... with one option changed, in a folder of its own.
  std::unique_ptr<Storage> with_option(const std::string& name, const host::OptionInput& value);
  /// Stops and destroys the check's storage, if there is one.
  void drop_storage();

  Descriptor descriptor();
  std::shared_ptr<Call> call(std::string name) { return book_.make(std::move(name), options_.call_timeout_ms); }
  CallBook& book() { return book_; }
  std::mt19937_64& random() { return random_; }
  const host::Library& library() const { return *library_; }
  const sluice_plugin& plugin() const { return library_->plugin(); }
  const host::OptionInputs& inputs() const { return inputs_; }
  const RunOptions& options() const { return options_; }
  const std::string& directory() const { return directory_; }
  /// Throws Inapplicable unless start reported all of `capabilities`.
  void need_capability(uint64_t capabilities, const char* name);
  const ConditionAnswer& condition();
  /// At most what one append may carry, and `wanted`.
  size_t unit_bytes(size_t wanted);

  void note_condition(const ConditionAnswer& condition) { condition_ = condition; }
  const ConditionAnswer* known_condition() const { return condition_ ? &*condition_ : nullptr; }

 private:
  const std::shared_ptr<const host::Library> library_;
  const host::OptionInputs inputs_;
  const RunOptions options_;
  const std::string directory_;
  std::mt19937_64 random_;
  CallBook book_;
  std::optional<ConditionAnswer> condition_;
  std::unique_ptr<Storage> storage_;
};

/// A new log on the check's storage, and a handle on it.
struct FreshLog {
  explicit FreshLog(Context& context, int64_t start = 0, uint32_t flags = 0);
  Log& operator*() { return *log; }
  Log* operator->() { return &*log; }
  Descriptor descriptor;
  std::optional<Log> log;
};

/// Fails unless the log holds exactly `batches` between `start` and its end, read on from `next` with units of
/// `max_bytes`.
void verify_content(Log& log, const std::vector<Batch>& batches, int64_t start, int64_t end,
                    uint64_t max_bytes = kNoMaximum);
/// Fails unless `bytes` is batches[first], batches[first + 1], ...; returns how many.
size_t match_batches(const std::vector<uint8_t>& bytes, const std::vector<Batch>& batches, size_t first,
                     const char* what);
/// The index of the first batch whose last offset is at or above `offset`.
size_t first_at(const std::vector<Batch>& batches, int64_t offset);

void expect_status(sluice_status wanted, const Answer& answer, const char* what);

}  // namespace sluice::conformance
