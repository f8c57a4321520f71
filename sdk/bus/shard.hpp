// SPDX-License-Identifier: Apache-2.0
// One shard: the ring that producers fill, and how its events leave it. One thread, its pump's, calls step(): it takes
// what was committed, forms batches, gives them to the sink in order, settles what came back, and frees the ring.
//
// Events are lent to the sink where they lie in the ring, until they are settled. If subscribers retain them, or
// producers may evict the oldest ones, they are moved to blocks first, which leaves the ring at once.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/log_limiter.hpp"
#include "bus/retention.hpp"
#include "bus/ring.hpp"
#include "bus/signal.hpp"
#include "bus/sink_gate.hpp"
#include "sluice/bus.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::bus {

/// What the shards of one bus share, and what outlives the bus as long as a sink still owes an answer. Any thread.
class Context {
 public:
  explicit Context(BusOptions bus_options);

  const BusOptions options;
  const RetryPolicy retry;
  uint64_t epoch = 1;  // set before there are shards

  /// Writes a warning, unless there were too many like it.
  void warn(std::string line);
  /// `events` will never be delivered; why, with where and for how long.
  void record_failure(uint64_t events, Status why);
  /// What failed since the last call: OK, or the first failure with how many events there were in all.
  Status take_failure();
  /// Wakes those who wait for shards to get on.
  void made_progress();
  /// Asks `reached` (with a lock held: it must not call back) whenever shards got on, until it is true. False: not by
  /// `until_ns`.
  template <class Predicate>
  bool await(int64_t until_ns, Predicate reached);

 private:
  std::mutex mutex_;
  std::condition_variable progress_;
  std::atomic<uint32_t> waiting_{0};
  uint64_t failed_events_ = 0;  // guarded by mutex_, as what follows
  uint64_t failures_ = 0;
  Status first_failure_;
  LogLimiter limiter_;
};

class Shard : public std::enable_shared_from_this<Shard> {
 public:
  /// `gate`: null if subscribers are all there is. `own_sink`: closed with the shard.
  Shard(uint64_t id, const std::string& source_id, std::shared_ptr<Context> context, std::shared_ptr<SinkGate> gate,
        bool own_sink, size_t pump, std::shared_ptr<Signal> signal, uint64_t first_sequence);

  /// What of an event's payload fits into its slot.
  static uint32_t inline_bytes(const BusOptions& options);

  uint64_t id() const { return id_; }
  ShardCounts counts() const;
  const std::shared_ptr<Retention>& retention() const { return retention_; }
  const std::shared_ptr<SinkGate>& gate() const { return gate_; }
  /// Its own sink was asked to close and did not answer: nobody but the bus may let that sink go.
  bool waits_for_its_sink() const { return gate_ && own_sink_ && gate_->state() == SinkGate::State::closing; }
  /// Which of the bus's pumps serves it.
  size_t pump() const { return pump_; }
  /// What keeps it from delivering: OK if nothing does.
  Status trouble() const;
  void notify() { signal_->notify(); }

  // --- producers ---
  Ring ring;
  RoomSignal room;
  std::atomic<uint64_t> dropped_newest{0}, dropped_oldest{0}, dropped_sampled{0}, refused{0};
  std::atomic<uint64_t> spilled_events{0};  // of all
  std::atomic<uint64_t> spilled_bytes{0};   // in the ring

  // --- control, any thread ---
  /// Nobody will claim any more: delivers the rest, and is finished then.
  void begin_drain();
  /// Delivers what is there now without waiting for more.
  void hurry();
  bool is_draining() const { return draining_.load(std::memory_order_acquire); }
  bool is_finished() const { return finished_.load(std::memory_order_acquire); }
  /// Everything below is delivered or dropped.
  uint64_t settled() const { return settled_.load(std::memory_order_acquire); }
  /// The pump has stopped for ever: counts what is left as abandoned, and returns how much that is.
  uint64_t abandon();

  // --- the pump's thread ---
  struct Step {
    bool progress = false;
    int64_t due_ns = INT64_MAX;  // when to call again, if nothing else happens
  };
  Step step(int64_t now_ns);
  /// Events come so fast that it is better to look again soon than to be woken.
  bool is_busy() const { return rate_per_ns_ * kNapNs >= 1; }
  /// Before the pump sleeps: asks to be woken by what it waits for. False: that is already there. Between the two
  /// halves comes a heavy_fence().
  void arm();
  bool may_sleep();
  static constexpr int64_t kNapNs = 100'000;

 private:
  friend class Completion;
  /// A batch on its way.
  struct Flight {
    enum class Phase : uint8_t { waiting, flying, settled };
    EventBatch batch;              // what of it is not settled
    uint64_t end = 0;              // sequence behind it
    uint64_t spilled_bytes = 0;    // in the ring
    std::shared_ptr<Block> block;  // where it lies; null: in the ring
    Phase phase = Phase::waiting;  // the pump's own
    uint32_t retries = 0;
    int64_t begun_ns = 0;
    int64_t given_ns = 0;  // to the sink, by the meter's clock
    int64_t not_before_ns = 0;
    Delivery answer;  // written by who completes, read after `answered`
    std::atomic<bool> answered{false};
  };
  /// The batch that is being formed.
  struct Open {
    const uint8_t* slots = nullptr;
    uint64_t first = 0;
    uint64_t end = 0;
    uint32_t count = 0;
    uint64_t payload_bytes = 0;
    uint64_t spilled_bytes = 0;
    bool closed = false;  // cannot grow
    int64_t since_ns = 0;
    std::shared_ptr<Block> block;
  };

  Flight& flight(size_t i) { return *flights_[(first_flight_ + i) % flights_.size()]; }
  bool collect(int64_t now_ns);
  void settle(Flight& flight, int64_t now_ns);
  bool free_front();
  bool send(int64_t now_ns, int64_t& due_ns);
  void take(int64_t now_ns);
  void take_lent(int64_t now_ns);
  void take_moved(int64_t now_ns);
  bool is_ripe(int64_t now_ns) const;
  void launch(int64_t now_ns);
  uint64_t target_events() const;
  void measure(int64_t now_ns);
  void update_settled();
  bool advance_end(int64_t now_ns, int64_t& due_ns);
  void meter(const Flight& at, const Status& status) const;
  Status place(const Flight& at, const Status& why, int64_t now_ns) const;
  uint64_t events_to_wait_for() const;
  uint64_t next_to_take() const { return lends_ ? taken_ : ring.released(); }
  static void add(std::atomic<uint64_t>& counter, uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_release);
  }

  const uint64_t id_;
  const std::shared_ptr<Context> context_;
  const std::shared_ptr<SinkGate> gate_;
  const bool own_sink_;
  const size_t pump_;
  const bool lends_;  // events stay in the ring until they are settled
  const uint64_t first_sequence_;
  const std::shared_ptr<Signal> signal_;
  const std::shared_ptr<BlockPool> pool_;       // unless lends_
  const std::shared_ptr<Retention> retention_;  // null: no subscribers
  const std::optional<OperationMeter> meter_;
  uint32_t max_batch_events_;
  uint64_t max_batch_bytes_;

  std::atomic<bool> draining_{false};
  std::atomic<bool> finished_{false};
  std::atomic<uint64_t> hurry_until_;
  std::atomic<uint64_t> settled_;
  std::atomic<StatusCode> last_answer_{StatusCode::ok};
  // Written by the pump alone.
  std::atomic<uint64_t> delivered_{0}, dropped_refused_{0}, dropped_failed_{0}, abandoned_{0}, batches_{0}, retries_{0};

  // The pump's own.
  std::vector<std::unique_ptr<Flight>> flights_;  // a ring of them
  size_t first_flight_ = 0;
  size_t flying_ = 0;  // used entries, from first_flight_ on
  Open open_;
  uint64_t taken_;  // sequence behind the last event taken from the ring
  std::shared_ptr<Block> block_;
  int64_t last_timestamp_ns_ = INT64_MIN;
  double rate_per_ns_ = 0;
  int64_t measured_ns_ = 0;
  uint64_t measured_at_ = 0;
  int64_t close_begun_ns_ = -1;
  uint64_t random_ = 0;
};

template <class Predicate>
bool Context::await(int64_t until_ns, Predicate reached) {
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  std::unique_lock lock(mutex_);
  const int64_t left_ns = until_ns - monotonic_ns();
  const bool done = progress_.wait_for(lock, std::chrono::nanoseconds(left_ns > 0 ? left_ns : 0), reached);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return done;
}

}  // namespace sluice::bus
