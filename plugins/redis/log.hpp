// SPDX-License-Identifier: Apache-2.0
// One log: what this process knows of it, and its calls. Thread: reactor, but for the constructor; so there are no
// locks.
//
// Who may write is decided by the stream's name, which carries the token in force: a fence renames it, and an append
// that was sent before, on whatever connection, finds nothing there. What the name does not say, the end, this process
// knows while it is the writer; it is asked for otherwise. Rules that follow, each from a loss that was seen:
//
//   - An append goes out only if the end that it must find is the one known, and alone: XADD compares ids and not ends,
//     and a lost entry would not be missed.
//   - It goes out only on the connection on which the log was fenced last. On a later one the end may be another, and
//   an
//     earlier append may be on its way yet: UNAVAILABLE until a fence with a higher token.
//   - FENCED, CONFLICT, OUT_OF_RANGE and "nothing there" are never said from memory: the server is asked first.
//   - Questions and appends go by different connections, whose replies come in any order: an answer that an append
//   overtook
//     is not believed, and nothing is read above the end that is known, because the reply to its append may not be
//     here.
//   - Logs of several writers have one token, 0; there a script compares the end.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/task.hpp"
#include "plugin/adapter.hpp"
#include "plugin/lease.hpp"
#include "redis/entry.hpp"
#include "redis/gate.hpp"
#include "redis/keys.hpp"
#include "redis/servers.hpp"

namespace sluice::redis {

/// Bytes and batches of the stretches that locate looks through, and that are noted in the sorted set.
inline constexpr uint64_t kStretchBytes = uint64_t{4} << 20;
inline constexpr uint64_t kStretchBatches = 8192;
/// Entries asked for at once, and bytes that they may have if they are as large as the largest that there may be.
inline constexpr int64_t kMaxReadEntries = 1024;
inline constexpr uint64_t kMaxReadBytes = uint64_t{64} << 20;
/// What entries are taken for before any was seen: Kafka's largest batch by default.
inline constexpr uint64_t kAssumedBatchBytes = uint64_t{1} << 20;
/// What the largest is taken for where others appended: the host gathers batches to units of up to as much.
inline constexpr uint64_t kAssumedUnitBytes = uint64_t{2} << 20;
/// How often the end of a watched log is looked at.
inline constexpr int64_t kWatchPauseMs = 10;
/// Entries that one step of a trim removes.
inline constexpr int64_t kTrimStep = 10'000;

/// What all logs of a storage use. Outlives them.
struct Engine {
  Common common;
  Servers servers{common};
  std::string prefix;
  uint64_t largest_unit = 0;
  uint64_t capabilities = 0;
  bool stopping = false;
};

class Log {
 public:
  /// Any thread.
  Log(std::shared_ptr<Engine> engine, const Uuid& id, uint32_t flags);

  // The calls of the contract. Requests and results stay until the task ends; `this` too.
  Task<Status> append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns);
  Task<Status> bounds(sluice_bounds& result, int64_t deadline_ns);
  Task<Status> locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns);
  Task<Status> trim(uint64_t token, int64_t offset, int64_t deadline_ns);
  Task<Status> fence(uint64_t token, sluice_fence_result& result, int64_t deadline_ns);
  Task<Status> save(const sluice_save& request, int64_t deadline_ns);
  Task<Status> load(const sluice_load& request, sluice_load_result& result, int64_t deadline_ns);
  /// `closed` ends it.
  Task<Status> watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns);

  /// It is going to be removed by this process: watches end.
  void begin_removal() { ++removals_; }
  /// Nothing is known of it any more.
  void forget();
  const LogKeys& keys() const { return keys_; }

 private:
  struct Known {
    uint64_t token = 0;
    int64_t start = 0;
    int64_t end = 0;
    bool foreign = false;  // the last entry is not ours: `end` is behind it, for reads alone
  };
  // What is not noted yet.
  struct Noting {
    int64_t first = 0;
    int64_t end = 0;
    uint64_t bytes = 0;
    uint64_t batches = 0;
    int64_t newest = INT64_MIN;
  };
  // Units that were appended with `token`, from the offset `from` on: all were sent from here.
  struct Counted {
    uint64_t token = 0;
    int64_t from = INT64_MAX;
    uint64_t largest = 0;  // bytes
  };
  struct Found {
    bool found = false;
    int64_t offset = 0;
  };

  bool several() const { return (flags_ & SLUICE_LOG_SEVERAL_WRITERS) != 0; }
  bool is_writer() const;
  bool must_be_fenced(uint64_t generation) const { return writes_on_ != 0 && (writes_on_ != generation || doubt_); }
  Task<Answer> call(Lane lane, const Command& command, int64_t deadline_ns, Follow follow = Follow::yes);
  Command script(Script script, std::initializer_list<std::string_view> keys, size_t arguments) const;
  Status answered(const Answer& answer, bool writes) const;
  Status said(ReplyView reply) const;

  Task<Status> look(int64_t deadline_ns);
  Task<Result<bool>> confirm(int64_t deadline_ns);
  Status gone() const;
  Status intruded(std::string_view last_id) const;

  Task<Status> append_alone(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> close_earlier(int64_t deadline_ns);
  Task<Status> append_exactly(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> admit(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> send_unit(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> explain(const sluice_append& request, sluice_append_result& result, ReplyView reply,
                       int64_t deadline_ns);
  void note(const sluice_append& request);

  int64_t entries_for(uint64_t bytes, uint64_t token, int64_t from) const;
  void saw(uint64_t bytes, size_t entries, uint64_t largest);
  Task<Result<Reply>> range(uint64_t token, int64_t from, int64_t limit, int64_t count, int64_t deadline_ns);
  Task<Result<Found>> search(uint64_t token, int64_t at, int64_t end, int64_t timestamp, int64_t deadline_ns);
  Task<Result<Found>> scan(uint64_t token, int64_t from, int64_t to, int64_t timestamp, int64_t deadline_ns);

  const std::shared_ptr<Engine> engine_;
  const LogKeys keys_;
  const uint32_t flags_;

  std::optional<Known> known_;
  bool owns_ = false;       // appended or fenced, so that known_ holds while the token does
  bool doubt_ = false;      // an append may land yet
  uint64_t writes_on_ = 0;  // the generation on which the log was fenced or first written to; 0: never
  uint64_t changes_ = 0;    // of known_ by calls that write
  uint64_t removals_ = 0;
  Gate gate_;  // one append at a time
  Noting noting_;
  uint64_t usual_bytes_ = kAssumedBatchBytes;   // of an entry
  uint64_t largest_bytes_ = kAssumedUnitBytes;  // that was seen, or may be expected
  Counted counted_;
};

}  // namespace sluice::redis
