// SPDX-License-Identifier: Apache-2.0
// What became of every event of one bus whose sink is a storage, as the sink told it, and what the storage holds:
//
//   delivered     there, once
//   not applied   not there
//   undecided     (UNKNOWN, or never answered) there once, or not
//   refused       one of a batch of which the sink said how many it refused, not which
//
// What a shard's events are in the log is in the order of their sequences. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common.hpp"
#include "sluice/sink.hpp"
#include "stamp.hpp"

namespace sluice::soak {

struct LedgerSums {
  uint64_t delivered = 0, refused = 0;  // as the sink counted
  uint64_t not_applied = 0, undecided = 0,
           mixed = 0;                       // events whose last word that is; mixed: of batches with refused ones
  uint64_t found = 0, found_undecided = 0;  // in the storage
};

class Ledger {
 public:
  Ledger(std::string who, uint32_t bus, Verdict& verdict) : who_(std::move(who)), bus_(bus), verdict_(verdict) {}

  uint32_t bus() const { return bus_; }
  /// A batch is given to the sink.
  void given(const EventBatch& batch);
  /// The sink's answer.
  void told(const EventBatch& batch, const Delivery& delivery);
  /// The storage holds this one, behind all that were found before in its part of the storage.
  void found(const Stamp& stamp);
  /// Everything was found that there is.
  void check_complete();

  LedgerSums sums() const;

 private:
  enum class State : uint8_t { absent, undecided, not_applied, mixed, delivered };
  struct Entry {
    uint64_t sequence = 0;
    uint32_t shard = 0;
    State state = State::absent;
    bool found = false;
  };
  Entry& entry(const Stamp& stamp);  // mutex_ is held
  void violated(const Stamp& stamp, const char* what);

  const std::string who_;
  const uint32_t bus_;
  Verdict& verdict_;
  mutable std::mutex mutex_;
  std::array<std::vector<Entry>, kMaxProducers> entries_;  // guarded by mutex_, as what follows
  std::map<uint32_t, uint64_t> next_found_;                // sequence, by shard
  uint64_t delivered_ = 0, refused_ = 0;
  uint64_t mixed_delivered_ = 0;  // of those in batches with refused ones
};

/// Passes everything on to another sink, and tells the ledger. As Sink says.
class LedgerSink final : public Sink {
 public:
  LedgerSink(std::shared_ptr<Sink> inner, std::shared_ptr<Ledger> ledger)
      : inner_(std::move(inner)), ledger_(std::move(ledger)) {}

  SinkTraits traits() const override { return inner_->traits(); }
  void open(Done done) override { inner_->open(std::move(done)); }
  void deliver(EventBatch batch, Delivered done) override;
  void flush(int64_t timeout_ms, Done done) override { inner_->flush(timeout_ms, std::move(done)); }
  void close(int64_t timeout_ms, Done done) override { inner_->close(timeout_ms, std::move(done)); }

 private:
  const std::shared_ptr<Sink> inner_;
  const std::shared_ptr<Ledger> ledger_;
};

}  // namespace sluice::soak
