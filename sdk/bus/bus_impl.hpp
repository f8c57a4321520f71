// SPDX-License-Identifier: Apache-2.0
// What is behind sluice::Bus. Producers see one thing of it, the routing table, which is replaced as a whole; a table
// that was replaced, and shards that are no longer in one, are given up when every producer was seen outside since
// (thread_token.hpp). All else is under one mutex that is never held while a callback, a sink or a wait runs.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/identity_file.hpp"
#include "bus/bus_clock.hpp"
#include "bus/pump.hpp"
#include "bus/scaler.hpp"
#include "bus/shard.hpp"
#include "sluice/bus.hpp"
#include "sluice/telemetry.hpp"

namespace sluice {

namespace bus {

/// Where events go. Immutable.
struct Table {
  bool closed = false;
  uint32_t count = 0;
  std::array<Shard*, kMaxBusShards> shards;
};

}  // namespace bus

class Bus::Impl {
 public:
  using Shard = bus::Shard;

  /// `first_sequence`: of every shard; other than 0 in tests.
  static Result<std::unique_ptr<Impl>> create(BusOptions options, uint64_t first_sequence = 0);
  ~Impl();

  Outcome ingest(const Event& event);
  BatchOutcome ingest(std::span<const Event> events);
  Result<uint64_t> add_shard();
  Status remove_shard(uint64_t id);
  std::vector<uint64_t> subscribable() const;
  Result<std::unique_ptr<Source>> subscribe(uint64_t id);
  Status drain(int64_t timeout_ms);
  Status flush(int64_t timeout_ms);
  Status shutdown(int64_t timeout_ms);
  BusStats stats();
  BusHealth health() const;
  bool was_shut_down() const { return shut_down_.load(std::memory_order_acquire); }
  /// The bus is destroyed although nobody shut it down.
  void end_unasked();
  static uint64_t lost_events() { return lost_events_.load(std::memory_order_relaxed); }

 private:
  explicit Impl(BusOptions options, uint64_t first_sequence);

  // Ingesting (bus_ingest.cc).
  struct Sized {
    Outcome outcome = Outcome::queued;
    uint32_t payload = 0;
    uint32_t header_bytes = 0;
  };
  Sized size_of(const Event& event) const;
  Shard* choose(const bus::Table& table, const Event& event, bus::ThreadToken& me, uint64_t hash,
                uint32_t custom) const;
  bool ask_route(const Event& event, uint32_t& count, uint32_t& choice) const;
  Outcome ingest_long(const Event& event);
  /// `until_ns`: until when it may wait for room, -1 if it has not begun to wait.
  Outcome ingest_sized(const Event& event, const Sized& sized, bus::ThreadToken& me, int64_t& until_ns);
  Outcome make_room(std::shared_ptr<Shard> shard, uint64_t spilled_bytes, int64_t& until_ns);
  bool sample_out(Shard& shard, bus::ThreadToken& me) const;
  /// What one shard gets of a group. Without initialisers, since there is an array of them on the stack of which few
  /// are used.
  struct Share {
    bus::Ring* ring;
    uint64_t next;    // sequence of its next event
    uint32_t wanted;  // events
    uint32_t left;    // claimed and not written yet
    bool written;
  };
  void ingest_one_of(std::span<const Event> events, size_t i, bus::ThreadToken& me, int64_t& until_ns,
                     BatchOutcome& result);
  bool ingest_group(std::span<const Event> events, bus::ThreadToken& me, BatchOutcome& result,
                    std::span<uint8_t> left_over);
  bool route_group(std::span<const Event> events, const bus::Table& table, bus::ThreadToken& me,
                   std::span<uint8_t> chosen, std::span<Share> shares) const;
  bool claim_group(size_t count, const bus::Table& table, bus::ThreadToken& me, std::span<Share> shares) const;
  size_t write_all(std::span<const Event> events, std::span<const uint8_t> chosen, std::span<Share> shares);
  size_t write_some(std::span<const Event> events, std::span<const uint8_t> chosen, std::span<Share> shares,
                    std::span<uint8_t> left_over);
  void count_unrouted() { unrouted_.fetch_add(1, std::memory_order_relaxed); }

  // Control (bus_control.cc).
  static Result<std::unique_ptr<Impl>> try_create(BusOptions options, uint64_t first_sequence);
  Result<std::shared_ptr<Shard>> make_shard();
  Result<std::shared_ptr<Shard>> try_make_shard();
  Status put_to_work(const std::shared_ptr<Shard>& shard);
  void publish_table(bool closed, std::unique_ptr<bus::Table> table);
  void shard_finished(const std::shared_ptr<Shard>& shard);
  void forget_finished();
  std::vector<std::shared_ptr<Shard>> all_shards() const;
  std::shared_ptr<bus::SinkGate> make_gate(std::shared_ptr<Sink> sink);
  Status drain_until(int64_t until_ns);
  void announce(ShardChange::What what, uint64_t shard);
  void control();
  void scale(int64_t now_ms);
  static void add(BusCounts& to, const BusCounts& counts);

  const std::shared_ptr<bus::Context> context_;
  const BusOptions& options_;
  const uint64_t first_sequence_;
  const bool by_key_;
  /// An event without headers of less payload takes the short way: it is allowed and fits into a slot, and neither
  /// routing nor a full shard asks anybody. 0: none does.
  const uint64_t short_end_;
  bus::BusClock clock_;
  alignas(64) std::atomic<const bus::Table*> table_;
  alignas(64) std::atomic<uint64_t> unrouted_{0};
  std::atomic<uint64_t> refused_unqueued_{0};  // by no shard

  std::mutex id_mutex_;
  std::unique_ptr<IdentityFile> identity_;  // guarded by id_mutex_, as what follows
  uint64_t next_id_ = 0;                    // without a state file
  size_t next_pump_ = 0;
  std::string source_prefix_;
  std::vector<std::unique_ptr<bus::Pump>> pumps_;
  // What leads to sinks is here and in gates alone, so that they die with the bus, on the thread that destroys it.
  std::shared_ptr<bus::SinkGate> gate_;  // of all shards; null: each has its own, or there is none
  std::function<Result<std::shared_ptr<Sink>>(uint64_t shard)> sink_for_shard_;

  mutable std::mutex mutex_;
  std::unique_ptr<const bus::Table> current_;  // guarded by mutex_, as what follows
  std::vector<std::shared_ptr<Shard>> live_;   // by rising id
  std::vector<std::shared_ptr<Shard>> draining_;
  std::vector<std::shared_ptr<Shard>> finished_;  // with events that subscribers may still want
  BusCounts forgotten_;                           // of shards that are no longer held
  uint64_t forgotten_spilled_ = 0;
  uint64_t scaled_up_ = 0;
  uint64_t scaled_down_ = 0;
  size_t shards_being_made_ = 0;
  Status no_more_shards_;  // why scaling could not add the one that the load asked for; ok: it could, or need not
  bool closing_ = false;
  std::atomic<uint32_t> unfinished_{0};  // live and draining shards
  std::atomic<bool> shut_down_{false};

  // The control thread: tells about changes and scales.
  std::mutex control_mutex_;
  std::condition_variable control_turn_;
  std::deque<ShardChange> changes_;  // guarded by control_mutex_
  bool stop_ = false;                // likewise
  std::thread control_thread_;
  bus::Scaler scaler_;  // the thread's own
  static std::atomic<uint64_t> lost_events_;
  uint64_t sampled_accepted_ = 0;
  int64_t sampled_ms_ = -1;

  Observing observing_;  // last, so that it ends first
};

}  // namespace sluice
