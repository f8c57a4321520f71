// SPDX-License-Identifier: Apache-2.0
// A consumer's inside: sources, the plan of reading and the merge, put together. It is shared by the consumer and by
// every read under way, so that an answer that comes after the consumer is gone finds what it needs.
//
// Threading: `mutex_` guards the plan, the inbox and all that is named there. The merge and the filter belong to
// whoever polls (`polling_`). Sources, filter and callbacks are called without the mutex. Answers come on any thread,
// go into the inbox, and order the shard's next read at once, so that reading goes on while nobody polls.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "consumer/merge_state.hpp"
#include "consumer/read_plan.hpp"
#include "sluice/consumer.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::consumer {

Status validate(const ConsumerConfig& config);
Status validate(const PollRequest& request);

/// What is wrong with a page that was read from `from`, if anything: a source that breaks its promises must not make
/// the consumer break its own. Also adds up what the page occupies and its newest timestamp.
Status check_page(const Page& page, int64_t from, uint64_t& bytes, int64_t& newest_ns);

class Core : public std::enable_shared_from_this<Core> {
 public:
  /// `config` is valid. `clock` must outlive every read.
  Core(const ConsumerConfig& config, const Cursor& from, RecordPredicate filter, Clock& clock, uint64_t seed);

  Result<uint32_t> add_shard(std::shared_ptr<Source> source, Place place);
  Status remove_shard(std::string_view id);
  Status drop_shard(std::string_view id);
  Status forget(std::string_view id);
  Status seek(const Cursor& cursor);
  Status seek(Place place);
  Status seek(std::string_view id, Place place);
  Status pause(std::string_view id, bool paused);
  void pause_all(bool paused);
  Result<Response> poll(const PollRequest& request);
  void wake();
  Cursor cursor() const;
  uint64_t buffered_bytes() const;
  Status close(int64_t deadline_ms);
  bool closed() const;
  /// What was delivered and passed so far, and how shards are.
  void report(Observations& to) const;

 private:
  struct Slot {
    std::shared_ptr<Source> source;  // null once the shard is gone and nothing is under way
    std::string id;
    uint32_t calls = 0;                // under way
    bool issuing = false;              // a thread is inside the source
    std::optional<ReadOrder> pending;  // for that thread to do next
    bool paused = false;
    bool removed = false;   // reported finished, then forgotten
    bool finished = false;  // reported already
    bool gone = false;
    std::optional<OperationMeter> meter;  // of calls; set once
  };
  /// Of all responses.
  struct Totals {
    uint64_t delivered = 0;
    uint64_t rejected = 0;
    uint64_t corrupt = 0;
    uint64_t late = 0;
    uint64_t lost = 0;
  };
  /// What the merge has to learn, in order.
  struct Event {
    enum class Kind {
      add,
      place,
      located,
      displace,
      absent,
      page,
      given_up,
      revived,
      pause,
      resume,
      drop,
      forget,
      restart_order
    };
    Kind kind;
    uint32_t shard = 0;
    uint64_t generation = 0;
    int64_t position = 0;
    std::string id;
    Inspected page;
  };
  using Ids = std::unordered_map<std::string, uint32_t>;

  void order_due(std::vector<ReadOrder>& orders);
  void issue(ReadOrder order);
  void call(Source& source, const ReadOrder& order, const OperationMeter* meter);
  void on_page(const ReadOrder& order, Result<Page> page);
  void on_position(const ReadOrder& order, Result<int64_t> position);
  void end_call(std::unique_lock<std::mutex>& lock, uint32_t shard, bool news);
  void place_locked(uint32_t shard, Place place);
  void pause_locked(uint32_t shard, bool paused);
  Result<uint32_t> find_locked(std::string_view id) const;
  std::shared_ptr<Source> forget_locked(uint32_t shard);
  void apply(Event& event);
  void admit(Event& event);
  void inspect(Event& event);
  bool take(const PollRequest& request, Response& response);
  void settle_locked(std::vector<std::shared_ptr<Source>>& gone);
  bool done_locked() const;
  Status late_status_locked(int64_t deadline_ms) const;
  void finish_locked(Response& response, bool moved, int64_t start_ns);

  const ConsumerConfig config_;
  Clock& clock_;

  // The poller's.
  RecordPredicate filter_;
  MergeState merge_;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  ReadPlan plan_;
  std::vector<std::unique_ptr<Slot>> slots_;  // by number
  Ids ids_;                                   // shards that are not gone
  Cursor names_;                              // every id that the cursor will have to hold
  Cursor cursor_;                             // after the last response
  Totals totals_;
  std::vector<Event> events_;
  std::vector<uint32_t> finished_;  // to be said in the next response
  uint32_t calls_ = 0;              // under way in all
  bool all_paused_ = false;
  bool polling_ = false;
  std::thread::id poller_;
  bool wake_ = false;
  bool closed_ = false;
};

}  // namespace sluice::consumer
