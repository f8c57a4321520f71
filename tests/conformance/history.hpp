// SPDX-License-Identifier: Apache-2.0
// What writers of one log did and were told, and what that allows the log to hold. Every batch carries a number of its
// own, in its timestamp, so that it is known wherever it turns up. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "conformance/world.hpp"

namespace sluice::conformance {

class History {
 public:
  enum class Fate {
    open,          // sent, and not answered for certain
    acknowledged,  // OK, or found by a fence
    refused,       // promised that it has not landed and never will
    lost,          // acknowledged, and told to be gone by a fence, where that may happen
  };

  /// A unit of `count` batches of about `size` bytes at `at`, to be sent. Its number is that of its first batch.
  Unit begin(int64_t at, size_t count, size_t size);
  void tell(const Unit& unit, Fate fate);
  /// A fence found the log to end at `end`: what was open is there or never will be. Failure when acknowledged batches
  /// are missing and `may_lose` is false, or when the end is none of those that are possible.
  void fenced(int64_t end, bool may_lose);
  /// What a reader saw must stay. Failure when it may not be there.
  void saw(const Batch& batch);

  size_t acknowledged() const;
  /// Where the log ends for all that is known, unless something is open.
  int64_t end() const;

  /// Reads the log and judges it: Failure with what was lost, doubled, reordered or invented.
  void verify(Log& log) const;
  /// ... what was read of it.
  void verify(const std::vector<Batch>& found) const;

 private:
  struct Entry {
    Batch batch;
    size_t unit = 0;  // number of the first batch of its unit
    Fate fate = Fate::open;
    bool seen = false;
  };
  Entry& known(const Batch& batch);

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // by number
  int64_t end_ = 0;
};

/// The batches that bytes of a read hold; Failure for a piece of one.
std::vector<Batch> batches_in(const std::vector<uint8_t>& bytes);

/// Reads all of a log from its start: whole batches, as they come.
std::vector<Batch> read_whole(Log& log);

/// Writes one log under one history: fences where that is due, and finds out what became of what nobody answered for
/// certain. One thread.
class HistoryWriter {
 public:
  HistoryWriter(Log& log, History& history, uint64_t first_token) : log_(log), history_(history), token_(first_token) {}

  /// Appends one unit, fencing first where an append before failed. What it was told in the end: OK, FENCED (for good),
  /// or another status, with which the unit is not there.
  sluice_status append(size_t count, size_t size);
  /// Fences with a higher token until that is OK, within `within_ms`; FENCED when another writer holds the log.
  sluice_status settle(int64_t within_ms);
  /// From now on a fence may find that acknowledged batches are gone.
  void allow_loss(bool may) { may_lose_ = may; }
  uint64_t token() const { return token_; }
  bool settled() const { return settled_; }
  /// The next append fences first.
  void doubt() { settled_ = false; }
  /// How long appends try to find out what became of them.
  static constexpr int64_t kSettleMs = 30'000;

 private:
  Log& log_;
  History& history_;
  uint64_t token_;
  bool settled_ = false;
  bool may_lose_ = false;
};

}  // namespace sluice::conformance
