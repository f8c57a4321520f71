// SPDX-License-Identifier: Apache-2.0
// The layout `record`: one stream whose entries are records, ours and those of other programs. Nothing is known for
// good but where it began when it was last looked at: every call asks the server, and whose stream it is stands in the
// marker beside it. Thread: reactor, but for the
// constructor.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/log_limiter.hpp"
#include "base/task.hpp"
#include "native/assembler.hpp"
#include "plugin/adapter.hpp"
#include "redis/gate.hpp"
#include "redis/log.hpp"
#include "redis/record_fields.hpp"
#include "redis/record_ids.hpp"

namespace sluice::redis {

/// Entries that one read asks for at most.
inline constexpr int64_t kMaxRecordEntries = 4096;
/// What an entry is taken for before one was seen; bytes.
inline constexpr uint64_t kAssumedRecordBytes = 1024;
/// Arguments of one command that a server takes, less a margin.
inline constexpr size_t kMaxCommandArguments = 1'000'000;
/// ... and those of one entry, which a script hands on together.
inline constexpr size_t kMaxEntryArguments = 7'000;
/// Entries without an offset that lie behind each other, and are looked at to find one that has one.
inline constexpr int kMaxStepsBack = 16;
/// Pauses between two looks at the end of a watched stream: the first and the longest.
inline constexpr int64_t kFirstRecordWatchMs = 5;
inline constexpr int64_t kLongestRecordWatchMs = 50;

/// One handle. Several of its appends may be under way: they go by one connection, which keeps their order, and none is
/// sent again while one behind it may have landed. When the server refuses one so that it should be sent again,
/// elsewhere or with its script, the next go one by one, until one landed at once.
class RecordLog {
 public:
  /// Any thread.
  RecordLog(std::shared_ptr<Engine> engine, RecordKeys keys, const Uuid& id);

  // The calls of the contract. Requests and results stay until the task ends; `this` too.
  Task<Status> append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns);
  Task<Status> bounds(sluice_bounds& result, int64_t deadline_ns);
  Task<Status> locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns);
  Task<Status> trim(int64_t offset, int64_t deadline_ns);
  /// `closed` ends it.
  Task<Status> watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns);

  const RecordKeys& keys() const { return keys_; }

 private:
  struct Borders {
    int64_t start = 0;
    int64_t end = 0;
    EntryId last;             // that was generated
    bool is_strange = false;  // `last` has no offset: `end` is behind the last entry that has one
  };
  /// What the server told of the stream last.
  struct Seen {
    int64_t added = 0;   // entries, ever
    int64_t length = 0;  // entries
    EntryId first;
    int64_t start = 0;
    int64_t end = 0;
  };
  int64_t start_since(const Seen& now, int64_t first_offset) const;
  Ids ids() const { return engine_->common.settings.ids; }
  FieldNames names() const { return {engine_->common.settings.key_field, engine_->common.settings.value_field}; }
  Task<Answer> call(Lane lane, const Command& command, int64_t deadline_ns, Follow follow = Follow::yes);
  Task<Status> add(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns, Follow follow,
                   bool& astray);
  bool has_failed(uint64_t run) const { return run != 0 && run <= failed_run_; }
  /// Whether the marker names this log.
  Status ours(ReplyView marker) const;
  Task<Result<Borders>> borders(ReplyView info, int64_t deadline_ns);
  Task<Result<Borders>> look(int64_t deadline_ns);
  Task<Result<uint64_t>> pass_strange_end(EntryId last, int64_t deadline_ns);
  void tell_passed(std::string_view id, std::string_view why);
  void ask_for_marker(Command& command) const;
  int64_t entries_for(uint64_t bytes) const;
  Result<int64_t> time_of(EntryId id) const;

  const std::shared_ptr<Engine> engine_;
  const RecordKeys keys_;
  const std::string id_;
  Gate gate_;                                   // while they go one by one
  bool one_by_one_ = false;                     // what came last was, or should have been, sent again
  uint64_t sent_ = 0;                           // appends
  uint64_t failed_run_ = 0;                     // the last of which an append was not OK
  uint64_t usual_bytes_ = kAssumedRecordBytes;  // of an entry
  std::optional<Seen> seen_;
  EntryId passed_;  // the last of the entries behind the end that were counted
  LogLimiter passed_lines_;
};

}  // namespace sluice::redis
