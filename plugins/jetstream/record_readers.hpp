// SPDX-License-Identifier: Apache-2.0
// Who reads on in a stream, and the consumers that deliver to them: what each message is asked for by itself costs the
// server several times as much. A consumer is a short cut and never needed. It lives in the server's memory, nothing is
// acknowledged to it, and it goes when its reader comes to the end, turns elsewhere or closes, or by itself when nobody
// asks it. What fails is left for a growing while. Only streams that keep their messages whoever reads them have
// consumers of ours. Loop thread, but for the constructor.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/task.hpp"
#include "jetstream/engine.hpp"
#include "jetstream/stream.hpp"

namespace sluice::jetstream {

/// Readers of one log that are told from each other, and so the consumers that it may have.
inline constexpr size_t kMostReaders = 4;
/// A consumer that nobody asks is removed by the server after this.
inline constexpr int64_t kConsumerIdleMs = 10'000;
/// How far the end must be for a consumer to be made, and at which distance it goes; records.
inline constexpr int64_t kLeastBacklog = 256;
inline constexpr int64_t kCaughtUp = 64;
/// What a read must still want for one to be made; records.
inline constexpr uint64_t kLeastPulled = 128;
/// Records above this are asked for one by one: what a question costs does not matter to them; bytes.
inline constexpr uint64_t kLargestPulled = uint64_t{64} << 10;
/// What subjects and headers add to a record, as far as is foreseen; bytes.
inline constexpr uint64_t kPulledFrameBytes = 512;
/// What one question to a consumer asks for, and all of a storage at once: a server hangs up on who has more than 64
/// MiB to take.
inline constexpr size_t kMostPulled = 16'384;
inline constexpr uint64_t kMostPulledBytes = uint64_t{4} << 20;
inline constexpr uint64_t kMostPulledBytesOfAll = uint64_t{32} << 20;
/// A question takes at most this part of what is left of that, so that there is some for others; and asks for so much
/// at least, or is not asked.
inline constexpr uint64_t kPulledShare = 4;
inline constexpr uint64_t kLeastPulledBytes = uint64_t{256} << 10;
/// Records that are asked for one by one before a consumer is made for a reader not known before: how large they are
/// says whether it is worth it.
inline constexpr size_t kFirstLook = 16;
/// Holes in one answer that are checked one by one.
inline constexpr size_t kMostHoles = 8;
/// Pauses behind a failure: the first and the longest; and behind one that was made for a reader not known before.
inline constexpr int64_t kFirstConsumerPauseMs = 2'000;
inline constexpr int64_t kLongestConsumerPauseMs = 300'000;
inline constexpr int64_t kNewReaderPauseMs = 1'000;

struct RecordReader {
  int64_t next = -1;  // the offset where its next read is expected
  bool busy = false;
  uint64_t used = 0;  // a count: larger is later
  int64_t used_ns = 0;
  std::string consumer;   // empty: none
  uint64_t epoch = 0;     // of the connection that it was made on
  uint64_t position = 0;  // the sequence that it delivers next, or later

  /// Whether the consumer goes on exactly there.
  bool stands_at(uint64_t sequence) const { return !consumer.empty() && position == sequence; }
  /// How many messages from there on it has delivered before, in vain.
  uint64_t is_ahead_by(uint64_t sequence) const {
    return consumer.empty() || position <= sequence ? 0 : position - sequence;
  }
};

class RecordReaders {
 public:
  /// Any thread.
  RecordReaders(Engine& engine, Stream& stream) : engine_(engine), stream_(stream) {}

  /// Whoever reads from `offset` on, until leave(); nullptr: too many read at once. `known`: it read up to there.
  RecordReader* enter(int64_t offset, bool& known);
  void leave(RecordReader& reader, int64_t next);

  /// Whether streams of this configuration may have consumers of ours.
  static bool allowed(const nlohmann::json& config);
  /// Makes a consumer for the reader if it may be time for one.
  Task<void> equip(RecordReader& reader, bool known, uint64_t sequence, int64_t deadline_ns);
  /// Lets the reader's consumer go.
  void retire(RecordReader& reader);
  /// ... and makes none for a while; `denied`: none on this connection.
  void fail(RecordReader& reader, bool denied);
  /// What a question may ask for at the moment, in bytes; 0: none may be asked.
  uint64_t room_to_pull() const;
  /// A consumer did what it is for.
  void succeeded() { pause_ms_ = kFirstConsumerPauseMs; }
  /// Those of all, and no more are made.
  void close();

 private:
  static Task<void> remove(Engine& engine, std::string stream, std::string consumer);
  void wait_after_failure();

  Engine& engine_;
  Stream& stream_;
  std::array<RecordReader, kMostReaders> readers_;
  uint64_t uses_ = 0;
  int64_t not_before_ns_ = 0;          // no consumer is made
  int64_t not_for_new_before_ns_ = 0;  // ... for a reader that was not known
  int64_t pause_ms_ = kFirstConsumerPauseMs;
  uint64_t denied_epoch_ = 0;  // on this connection the account may not
  bool closed_ = false;
};

}  // namespace sluice::jetstream
