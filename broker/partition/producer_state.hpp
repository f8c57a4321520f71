// SPDX-License-Identifier: Apache-2.0
// What a partition remembers of its idempotent producers (KIP-98): epoch and the last five batches of each, so that a
// retried batch gets the offset of the first try. Batches that are queued but not yet acknowledged count as pending:
// they decide what comes next, and are dropped together when the log refuses one.
//
// No I/O, no clock, no lock: the partition guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.hpp"
#include "base/unique_function.hpp"
#include "errors/error_code.hpp"
#include "records/validate.hpp"

namespace sluice::partition {

/// The answer to a producer.
struct ProduceOutcome {
  ErrorCode error = ErrorCode::kNone;
  std::string message;
  int64_t base_offset = -1;
  int64_t log_append_time_ms = -1;
  int64_t log_start = -1;
};
using ProduceDone = UniqueFunction<void(ProduceOutcome)>;

/// One batch of a producer.
struct ProducerBatch {
  int32_t first_sequence = 0;
  int32_t last_sequence = 0;
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t timestamp_ms = 0;  // its log append time, or -1
};

struct Producer {
  int64_t id = 0;
  int16_t epoch = -1;
  int64_t last_seen_ms = 0;            // wall time of its last batch
  std::vector<ProducerBatch> batches;  // acknowledged, oldest first, at most kRememberedBatches
};

class ProducerStates {
 public:
  static constexpr size_t kRememberedBatches = 5;
  /// Beyond this many producers in one partition the one that was quiet longest is forgotten.
  static constexpr size_t kMaxProducers = 100'000;

  /// How many batches in a row may be told to wait for the retry of one that was refused: several times what clients
  /// have in flight. Beyond, the gap is the client's.
  static constexpr uint32_t kMaxBehindRefused = 32;

  /// A judgement of a batch that wants to be appended.
  struct Verdict {
    enum class Kind {
      accept,
      duplicate,
      pending_duplicate,
      behind_refused,  // it was sent behind a batch that its client tries again: so must this one be, later
      refuse
    } kind = Kind::accept;
    ErrorCode error = ErrorCode::kNone;  // refuse
    ProducerBatch first;                 // duplicate: where the first try went
  };
  /// OUT_OF_ORDER_SEQUENCE_NUMBER is for gaps that the client made. To librdkafka it means that the broker forgot
  /// something, wherever in its queue the batch is: it goes on under a new producer epoch, and what was stored without
  /// an answer comes a second time.
  Verdict check(const records::BatchInfo& batch);

  /// The batch was queued at `base_offset` in `generation` of the log.
  void add_pending(const records::BatchInfo& batch, int64_t base_offset, int64_t timestamp_ms, uint64_t generation);
  /// Gives `done` the fate of the pending batch that `batch` repeats. Only after check() said pending_duplicate.
  void wait_for(const records::BatchInfo& batch, ProduceDone done);
  /// The pending batch of this producer at `base_offset` is acknowledged. Gives those that wait for it.
  std::vector<ProduceDone> commit(const records::BatchInfo& batch, int64_t base_offset, int64_t now_ms);
  /// What is pending of `generation` and before, at `from_offset` and above, is dropped: below it the log has it, and
  /// will say so. Gives those that wait for it. Counts as refused.
  std::vector<ProduceDone> drop_pending(uint64_t generation, int64_t from_offset = 0);

  /// The batch was answered with an error that its client retries. What was sent behind it waits for that, and is not
  /// taken for the producer's beginning if nothing is known of it yet.
  void refused(const records::BatchInfo& batch);
  /// Takes over what was refused, of the state before a load.
  void inherit_refused(ProducerStates& before) { refused_.swap(before.refused_); }

  /// A batch found in the log (replay), which came at `seen_ms`.
  void replay(const records::BatchHeader& batch, int64_t seen_ms);
  /// From a snapshot.
  void restore(Producer producer);
  /// Forgets producers that were last seen before `before_ms`.
  void expire(int64_t before_ms);
  void clear();

  std::vector<Producer> all() const;
  size_t size() const { return producers_.size(); }

 private:
  struct Pending {
    ProducerBatch batch;
    int16_t epoch;
    uint64_t generation;
    std::vector<ProduceDone> waiting;
  };
  struct State {
    Producer producer;
    std::deque<Pending> pending;
  };
  struct Refused {
    int16_t epoch;
    int32_t first_sequence;
    uint32_t followers = 0;  // told to wait since it was refused
  };
  Verdict check_first(const records::BatchInfo& batch);
  /// For a batch that does not follow what is known.
  Verdict gap_before(const records::BatchInfo& batch);
  void note_refused(int64_t id, Refused batch);
  /// A batch up to `last_sequence` is stored: it is the retry of what was refused, or comes behind it.
  void forget_refused(int64_t id, int16_t epoch, int32_t last_sequence);
  State& state_of(int64_t id, int64_t now_ms);
  static void remember(Producer& producer, int16_t epoch, const ProducerBatch& batch, int64_t now_ms);

  std::unordered_map<int64_t, State> producers_;
  std::unordered_map<int64_t, Refused> refused_;  // by producer, what must come first; at most kMaxProducers
};

}  // namespace sluice::partition
