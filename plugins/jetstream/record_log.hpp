// SPDX-License-Identifier: Apache-2.0
// The layout `record`: one stream whose messages are records, ours and those of other programs. An offset is a
// message's sequence less one. Nothing is known for good: every call asks the server what the stream is now, and
// whether it still stands for this log. Loop thread, but for the constructor.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/log_limiter.hpp"
#include "base/task.hpp"
#include "jetstream/engine.hpp"
#include "jetstream/record_message.hpp"
#include "jetstream/record_names.hpp"
#include "jetstream/record_readers.hpp"
#include "jetstream/stream.hpp"
#include "native/assembler.hpp"
#include "native/unit.hpp"
#include "plugin/adapter.hpp"

namespace sluice::jetstream {

/// What one append takes; a record of it must fit into one message.
inline constexpr uint64_t kLargestRecordUnit = uint64_t{16} << 20;
/// Messages, and their bytes, that an append sends before it waits for their acknowledgements.
inline constexpr size_t kMostUnacknowledged = 256;
inline constexpr uint64_t kMostUnacknowledgedBytes = uint64_t{4} << 20;
/// What a stream takes for a message beside its subject, headers and payload, at least as much as any server does.
inline constexpr uint64_t kMessageFrameInStreamBytes = 64;
/// Messages that one step of a read asks for, and that one read looks at, at most.
inline constexpr size_t kMostRecordsAtOnce = 256;
inline constexpr uint64_t kMostRecordsLookedAt = 16'384;
/// What one read gives at most, whatever was asked for.
inline constexpr uint64_t kMostReadBytes = uint64_t{16} << 20;
/// What a message is taken for before one was seen; bytes.
inline constexpr uint64_t kAssumedRecordBytes = 1024;
/// How much later than the time that its producer gave it a record may be taken for stored at least.
inline constexpr int64_t kClockSlackMs = 1'000;
/// Pauses between two looks at the end of a watched stream: the first and the longest; and how many of them look whose
/// the stream is.
inline constexpr int64_t kFirstRecordWatchMs = 5;
inline constexpr int64_t kLongestRecordWatchMs = 50;
inline constexpr int kLooksToOwnership = 8;

class RecordLog {
 public:
  /// Any thread.
  RecordLog(Engine& engine, std::string stream, const Uuid& id);

  // The calls of the contract. Requests and results stay until the task ends; `this` too.
  Task<Status> append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns);
  Task<Status> read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns);
  Task<Status> bounds(sluice_bounds& result, int64_t deadline_ns);
  Task<Status> locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns);
  Task<Status> trim(int64_t offset, int64_t deadline_ns);
  /// `closed` ends it.
  Task<Status> watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns);
  /// Whoever had it open has closed it.
  void close() { readers_.close(); }

 private:
  struct Shape {
    int64_t start = 0;
    int64_t end = 0;
    std::string subject;  // that records are written to; empty: none can be
    StreamInfo info;
  };
  /// What became of the messages of an append.
  struct Sending {
    std::vector<int64_t> offsets;  // of those that landed, in order
    size_t unsure = 0;
    Status refusal;
  };
  /// What is on its way at once. Where a stream may refuse one message and take a smaller one behind it, that is only
  /// what fits in any case, or one message.
  struct Burst {
    std::vector<Outgoing> messages;
    uint64_t bytes = 0;  // in the stream
    size_t most_messages = kMostUnacknowledged;
    uint64_t most_bytes = kMostUnacknowledgedBytes;
    bool has_room(uint64_t more) const { return messages.size() < most_messages && bytes + more <= most_bytes; }
  };
  /// A message as a record; views into the message and into this.
  struct Decoding {
    StoredMessage message;
    DecodedRecord decoded;
  };
  /// A read under way.
  struct Reading {
    const Shape& shape;
    int64_t next;        // what was read up to
    const int64_t stop;  // exclusive
    uint64_t budget;     // bytes
    native::Assembler assembler;
    RecordReader* reader = nullptr;
    bool known = false;
    Decoding decoding = {};
    uint64_t skipped = 0;
    uint64_t looked_at = 0;
    bool full = false;
    Status error = {};  // what ended it

    uint64_t left() const { return budget - std::min(budget, assembler.bytes()); }
    uint64_t sequence() const { return static_cast<uint64_t>(next) + 1; }
    bool over() const { return full || next >= stop || looked_at >= kMostRecordsLookedAt; }
  };
  Task<Result<Shape>> look(int64_t deadline_ns);
  Result<Shape> shape_of(StreamInfo info);
  Status may_write(const Shape& shape) const;
  Result<Outgoing> message_of(const native::UnpackedBatch& batch, const records::RecordView& record, int32_t index,
                              const std::string& subject) const;
  Status fits(const native::UnpackedUnit& unit, const Shape& shape) const;
  Task<void> send(Burst& burst, Sending& sending, int64_t deadline_ns);
  Task<Status> limit(Burst& burst, size_t landed, int64_t deadline_ns);
  void settle(Reading& reading, uint64_t sequence);
  Task<void> read_each(Reading& reading, int64_t deadline_ns);
  Task<bool> pull(Reading& reading, int64_t deadline_ns);
  Task<bool> pass_hole(Reading& reading, uint64_t sequence, int64_t deadline_ns);
  bool may_be_worth_pulling(const Reading& reading) const;
  Task<bool> may_pull(Reading& reading, int64_t deadline_ns);
  Task<Result<uint64_t>> next_message(uint64_t sequence, int64_t deadline_ns);
  /// As the last ones were.
  uint64_t records_in(uint64_t bytes) const;
  size_t messages_for(uint64_t bytes) const;
  void tell_skipped(uint64_t sequence);

  Engine& engine_;
  const Uuid id_;
  Stream stream_;
  Stream markers_;
  const std::string marker_query_;
  uint64_t usual_bytes_ = kAssumedRecordBytes;  // of a record, in a batch
  bool was_full_ = false;                       // the last append was refused for want of space
  LogLimiter skipped_;
  RecordReaders readers_;
};

}  // namespace sluice::jetstream
