// SPDX-License-Identifier: Apache-2.0
// Making a bus, its shards' coming and going, waiting for them, and its end.
#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>

#include "base/thread.hpp"
#include "bus/bus_impl.hpp"
#include "bus/metrics.hpp"
#include "bus/validate.hpp"

namespace sluice {

using bus::SinkGate;
using bus::Table;

namespace {

int64_t deadline_ns(int64_t timeout_ms) {
  return bus::monotonic_ns() + timeout_ms * 1'000'000;
}

Status check_wait(const bus::Context* context, int64_t timeout_ms) {
  if (timeout_ms < 0 || timeout_ms > Bus::kMaxWaitMs) {
    return Status(StatusCode::invalid,
                  fmt::format("timeout_ms: {} is not between 0 and {}", timeout_ms, Bus::kMaxWaitMs));
  }
  if (bus::Pump::is_current(context)) {
    return Status(StatusCode::invalid, "a thread that delivers cannot wait for deliveries");
  }
  return {};
}

// As Outcome::no_memory. The text is so short that it needs none itself.
Status no_memory() {
  return Status(StatusCode::unavailable, "no memory");
}

Status late(std::string_view what) {
  return Status(StatusCode::busy, fmt::format("{} in time", what));
}

}  // namespace

Bus::Impl::Impl(BusOptions options, uint64_t first_sequence)
    : context_(std::make_shared<bus::Context>(std::move(options))),
      options_(context_->options),
      first_sequence_(first_sequence),
      by_key_(options_.routing == Route::by_key),
      short_end_(options_.routing == Route::custom || options_.when_full == WhenFull::sample
                     ? 0
                     : uint64_t{std::min(Shard::inline_bytes(options_), options_.max_event_bytes)} + 1),
      clock_(options_.clock),
      table_(nullptr),
      scaler_(options_.scale, bus::monotonic_ns() / 1'000'000) {}

Result<std::unique_ptr<Bus::Impl>> Bus::Impl::create(BusOptions options, uint64_t first_sequence) {
  try {
    return try_create(std::move(options), first_sequence);
  } catch (const std::bad_alloc&) {
    return fail(no_memory().in("bus"));
  } catch (const std::system_error& error) {
    return fail(StatusCode::unavailable, fmt::format("bus: no thread: {}", error.what()), error.code().value());
  }
}

Result<std::unique_ptr<Bus::Impl>> Bus::Impl::try_create(BusOptions options, uint64_t first_sequence) {
  if (Status status = bus::validate(options); !status) return fail(std::move(status));
  std::shared_ptr<Sink> sink = std::move(options.sink);
  auto sink_for_shard = std::move(options.sink_for_shard);
  std::unique_ptr<Impl> impl(new Impl(std::move(options), first_sequence));
  impl->sink_for_shard_ = std::move(sink_for_shard);
  const BusOptions& o = impl->options_;
  uint64_t nonce = 0;
  if (!o.state_file.empty()) {
    auto identity = IdentityFile::open(o.state_file);
    if (!identity) return fail(identity.error().in("bus.state_file"));
    impl->identity_ = std::move(*identity);
    impl->context_->epoch = impl->identity_->epoch();
    nonce = impl->identity_->nonce();
  } else {
    if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce) return fail(StatusCode::internal, "bus: no random numbers");
    impl->context_->epoch = static_cast<uint64_t>(std::max<int64_t>(impl->clock_.now_ns(), 1));
  }
  impl->source_prefix_ = fmt::format("bus/{}/{:016x}/", o.name, nonce);
  impl->publish_table(false, std::make_unique<Table>());
  Impl* self = impl.get();
  for (uint32_t i = 0; i < o.threads; ++i) {
    impl->pumps_.push_back(std::make_unique<bus::Pump>(
        impl->context_, [self](const std::shared_ptr<Shard>& shard) { self->shard_finished(shard); }));
  }
  if (sink) impl->gate_ = impl->make_gate(std::move(sink));
  impl->control_thread_ = start_thread("sluice-bus-ctl", [self] { self->control(); });
  for (uint32_t i = 0; i < o.shards; ++i) {
    if (auto added = impl->add_shard(); !added) {
      static_cast<void>(impl->shutdown(0));
      return fail(added.error().in("bus.shards"));
    }
  }
  if (o.telemetry) {
    impl->observing_ = o.telemetry->observe(
        [self](Observations& to) { bus::report(self->options_.name, self->stats(), self->health().level, to); });
  }
  return impl;
}

Bus::Impl::~Impl() {
  {
    const std::lock_guard lock(control_mutex_);
    stop_ = true;
    control_turn_.notify_all();
  }
  if (control_thread_.joinable()) control_thread_.join();
  pumps_.clear();
  uint64_t lost = 0;
  for (const auto& shard : all_shards()) lost += shard->abandon();
  if (lost != 0) context_->warn(fmt::format("destroyed with {} events undelivered: they are lost", lost));
  lost_events_.fetch_add(lost, std::memory_order_relaxed);
  // Answers that are still to come keep shards and gates, and must not be what destroys a sink: that is done here.
  for (const auto& shard : all_shards()) {
    if (shard->gate()) shard->gate()->let_go();
  }
  if (gate_) gate_->let_go();
}

void Bus::Impl::end_unasked() {
  const uint64_t pending = stats().pending;
  const Status status = shutdown(kDestructionMs);
  context_->warn(fmt::format("destroyed without shutdown, with {} events pending: {}", pending,
                             status ? "all are delivered" : status.describe()));
}

std::shared_ptr<SinkGate> Bus::Impl::make_gate(std::shared_ptr<Sink> sink) {
  std::vector<std::shared_ptr<bus::Signal>> signals;
  for (const auto& pump : pumps_) signals.push_back(pump->signal());
  return std::make_shared<SinkGate>(std::move(sink), context_->retry, [signals = std::move(signals)] {
    for (const auto& signal : signals) signal->notify();
  });
}

// --- shards ---

/// Whatever is thrown in it, by the application's function too, is an error: who asks may be a thread of the bus.
Result<std::shared_ptr<bus::Shard>> Bus::Impl::make_shard() {
  try {
    return try_make_shard();
  } catch (const std::bad_alloc&) {
    return fail(no_memory());
  } catch (const std::exception& error) {
    return fail(StatusCode::internal, error.what());
  } catch (...) {
    return fail(StatusCode::internal, "thrown");
  }
}

Result<std::shared_ptr<bus::Shard>> Bus::Impl::try_make_shard() {
  uint64_t id = 0;
  size_t pump = 0;
  {
    const std::lock_guard lock(id_mutex_);
    if (identity_) {
      const auto reserved = identity_->reserve(1);
      if (!reserved) return fail(reserved.error());
      id = *reserved;
    } else {
      id = next_id_++;
    }
    pump = next_pump_++ % pumps_.size();
  }
  std::shared_ptr<SinkGate> gate = gate_;
  if (sink_for_shard_) {
    auto sink = sink_for_shard_(id);
    if (!sink) return fail(sink.error());
    if (!*sink) return fail(StatusCode::invalid, "bus.sink_for_shard: gave no sink");
    gate = make_gate(std::move(*sink));
  }
  return std::make_shared<Shard>(id, source_prefix_ + std::to_string(id), context_, std::move(gate),
                                 static_cast<bool>(sink_for_shard_), pump, pumps_[pump]->signal(), first_sequence_);
}

Result<uint64_t> Bus::Impl::add_shard() {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return fail(describe(Outcome::shutting_down));
    if (live_.size() + shards_being_made_ >= kMaxBusShards) {
      return fail(StatusCode::busy, fmt::format("there are {} shards, as many as can be", kMaxBusShards));
    }
    ++shards_being_made_;
  }
  const auto made = make_shard();
  Status status = made ? Status() : made.error();
  {
    const std::lock_guard lock(mutex_);
    --shards_being_made_;
    if (status && closing_) status = describe(Outcome::shutting_down);
    if (status) status = put_to_work(*made);
    if (status) no_more_shards_ = Status();
  }
  if (!status) return fail(std::move(status));
  announce(ShardChange::What::added, (*made)->id());
  return (*made)->id();
}

/// All of it or nothing. mutex_ is held.
Status Bus::Impl::put_to_work(const std::shared_ptr<Shard>& shard) {
  std::unique_ptr<Table> table;
  try {
    table = std::make_unique<Table>();
    live_.reserve(live_.size() + 1);
    pumps_[shard->pump()]->add(shard);
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
  live_.insert(std::upper_bound(live_.begin(), live_.end(), shard,
                                [](const auto& a, const auto& b) { return a->id() < b->id(); }),
               shard);
  unfinished_.fetch_add(1, std::memory_order_relaxed);
  publish_table(false, std::move(table));
  return {};
}

/// Puts a new table in place of the old one, which is given up when nobody sees it any more. mutex_ is held.
void Bus::Impl::publish_table(bool closed, std::unique_ptr<Table> table) {
  table->closed = closed;
  if (!closed) {
    for (const auto& shard : live_) table->shards[table->count++] = shard.get();
  }
  table_.store(table.get(), std::memory_order_seq_cst);
  const std::unique_ptr<const Table> old = std::exchange(current_, std::move(table));
  bus::ThreadToken::await_all_outside();
}

Status Bus::Impl::remove_shard(uint64_t id) {
  std::shared_ptr<Shard> shard;
  try {
    auto table = std::make_unique<Table>();
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(live_.begin(), live_.end(), [&](const auto& s) { return s->id() == id; });
    if (at == live_.end()) return Status(StatusCode::not_found, fmt::format("no live shard {}", id));
    shard = *at;
    draining_.push_back(shard);
    live_.erase(at);
    publish_table(closing_, std::move(table));
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
  announce(ShardChange::What::draining, id);
  // From here on nobody claims in it.
  shard->begin_drain();
  return {};
}

/// On the shard's pump.
void Bus::Impl::shard_finished(const std::shared_ptr<Shard>& shard) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(live_, shard);
    std::erase(draining_, shard);
    finished_.push_back(shard);
    forget_finished();
    unfinished_.fetch_sub(1, std::memory_order_release);
  }
  announce(ShardChange::What::finished, shard->id());
  context_->made_progress();
}

/// Keeps of finished shards what subscribers may still read, and those that a producer holds, which may still count a
/// refusal there, and those whose own sink has not answered yet. mutex_ is held, so that nobody new can get hold of
/// one.
void Bus::Impl::forget_finished() {
  size_t wanted = 0;
  for (auto at = finished_.end(); at != finished_.begin();) {
    const std::shared_ptr<Shard>& shard = *--at;
    if (shard->waits_for_its_sink()) continue;
    const auto& retention = shard->retention();
    if (shard.use_count() > 1) continue;
    if (retention && retention->retained() != 0 && !retention->was_read_to_end() && ++wanted <= kMaxFinishedShards)
      continue;
    std::atomic_thread_fence(std::memory_order_acquire);  // what was counted before the last holder let go
    add(forgotten_, shard->counts());
    forgotten_spilled_ += shard->spilled_events.load(std::memory_order_relaxed);
    at = finished_.erase(at);
  }
}

std::vector<std::shared_ptr<bus::Shard>> Bus::Impl::all_shards() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Shard>> all = live_;
  all.insert(all.end(), draining_.begin(), draining_.end());
  all.insert(all.end(), finished_.begin(), finished_.end());
  return all;
}

std::vector<uint64_t> Bus::Impl::subscribable() const {
  std::vector<uint64_t> ids;
  for (const auto& shard : all_shards()) {
    if (shard->retention() && !(shard->is_finished() && shard->retention()->was_read_to_end()))
      ids.push_back(shard->id());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<std::unique_ptr<Source>> Bus::Impl::subscribe(uint64_t id) {
  if (options_.retain_events == 0)
    return fail(StatusCode::unsupported, "bus.retain_events is 0: nothing is kept for subscribers");
  for (const auto& shard : all_shards()) {
    if (shard->id() == id) return shard->retention()->subscribe();
  }
  return fail(StatusCode::not_found, fmt::format("no shard {} that can be read", id));
}

// --- waiting, and the end ---

Status Bus::Impl::drain_until(int64_t until_ns) {
  struct Goal {
    std::shared_ptr<Shard> shard;
    uint64_t end;
  };
  std::vector<Goal> goals;
  for (const auto& shard : all_shards()) {
    goals.push_back({shard, shard->ring.claimed()});
    shard->hurry();
  }
  const bool reached = context_->await(until_ns, [&] {
    return std::all_of(goals.begin(), goals.end(),
                       [](const Goal& goal) { return static_cast<int64_t>(goal.shard->settled() - goal.end) >= 0; });
  });
  return reached ? Status() : late("not everything was delivered");
}

Status Bus::Impl::drain(int64_t timeout_ms) {
  if (Status status = check_wait(context_.get(), timeout_ms); !status) return status;
  return drain_until(deadline_ns(timeout_ms));
}

Status Bus::Impl::flush(int64_t timeout_ms) {
  if (Status status = check_wait(context_.get(), timeout_ms); !status) return status;
  const int64_t until_ns = deadline_ns(timeout_ms);
  if (Status status = drain_until(until_ns); !status) return status;
  std::vector<std::shared_ptr<SinkGate>> gates;
  if (gate_) gates.push_back(gate_);
  if (sink_for_shard_) {
    for (const auto& shard : all_shards()) gates.push_back(shard->gate());
  }
  Status first;
  for (const auto& gate : gates) {
    if (Status status = gate->flush(until_ns); !status && first) first = status.in("flush of a sink");
  }
  Status failure = context_->take_failure();
  return failure ? first : failure;
}

Status Bus::Impl::shutdown(int64_t timeout_ms) {
  if (Status status = check_wait(context_.get(), timeout_ms); !status) return status;
  const int64_t until_ns = deadline_ns(timeout_ms);
  if (shut_down_.load(std::memory_order_acquire)) return {};
  std::vector<std::shared_ptr<Shard>> ending;
  {
    const std::lock_guard lock(mutex_);
    if (!closing_) {
      closing_ = true;
      publish_table(true, std::make_unique<Table>());
    }
    ending = std::move(live_);
    live_.clear();
    draining_.insert(draining_.end(), ending.begin(), ending.end());
  }
  for (const auto& shard : ending) {
    announce(ShardChange::What::draining, shard->id());
    shard->begin_drain();
  }
  if (!context_->await(until_ns, [&] { return unfinished_.load(std::memory_order_acquire) == 0; })) {
    return late("not everything was delivered");
  }
  Status first;
  if (gate_) {
    Status status = gate_->flush(until_ns);
    if (!status && status.code() == StatusCode::busy && bus::monotonic_ns() >= until_ns) return status;
    if (!status) first = status.in("flush of the sink");
    status = gate_->close(until_ns);
    if (!status && status.code() == StatusCode::busy && bus::monotonic_ns() >= until_ns) return status;
    if (!status && first) first = status.in("close of the sink");
  }
  if (shut_down_.exchange(true, std::memory_order_acq_rel)) return {};
  Status failure = context_->take_failure();
  return failure ? first : failure;
}

// --- the control thread ---

void Bus::Impl::announce(ShardChange::What what, uint64_t shard) {
  if (!options_.on_change) return;
  try {
    const std::lock_guard lock(control_mutex_);
    changes_.push_back({what, shard});
    control_turn_.notify_all();
  } catch (const std::bad_alloc&) {  // the change itself is made
    context_->warn("a change of shards goes untold");
  }
}

void Bus::Impl::control() {
  std::unique_lock lock(control_mutex_);
  const auto due = [&] { return stop_ || !changes_.empty(); };
  while (!stop_) {
    if (options_.scale.enabled) {
      control_turn_.wait_for(lock, std::chrono::milliseconds(options_.scale.sample_ms), due);
    } else {
      control_turn_.wait(lock, due);
    }
    while (!changes_.empty() && !stop_) {
      const ShardChange change = changes_.front();
      changes_.pop_front();
      lock.unlock();
      options_.on_change(change);
      lock.lock();
    }
    if (stop_ || !options_.scale.enabled) continue;
    lock.unlock();
    try {
      scale(bus::monotonic_ns() / 1'000'000);
    } catch (const std::bad_alloc&) {  // the load is looked at again in a while
      context_->warn("no memory");
    }
    lock.lock();
  }
}

void Bus::Impl::scale(int64_t now_ms) {
  if (sampled_ms_ >= 0 && now_ms - sampled_ms_ < options_.scale.sample_ms) return;
  bus::LoadSample sample;
  uint64_t accepted = stats().accepted;
  uint64_t idlest = 0;
  uint64_t least = UINT64_MAX;
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    sample.shards = static_cast<uint32_t>(live_.size());
    for (const auto& shard : live_) {
      const uint64_t used = shard->ring.claimed() - shard->ring.released();
      sample.fill = std::max(sample.fill, static_cast<double>(used) / shard->ring.capacity());
      // Of equals the youngest goes.
      if (used <= least) {
        least = used;
        idlest = shard->id();
      }
    }
    // Who no longer needs another shard is not in trouble for want of one.
    if (sample.fill <= options_.scale.grow_above) no_more_shards_ = Status();
  }
  if (sampled_ms_ >= 0)
    sample.events_per_s =
        static_cast<double>(accepted - sampled_accepted_) * 1e3 / static_cast<double>(now_ms - sampled_ms_);
  const bool first = sampled_ms_ < 0;
  sampled_accepted_ = accepted;
  sampled_ms_ = now_ms;
  if (first) return;  // no rate yet
  const bus::ScaleDecision decision = scaler_.observe(sample, now_ms);
  if (decision == bus::ScaleDecision::stay) return;
  const bool grow = decision == bus::ScaleDecision::grow;
  Status status;
  if (grow) {
    if (const auto added = add_shard(); !added) status = added.error();
  } else {
    status = remove_shard(idlest);
  }
  scaler_.changed(now_ms);
  {
    const std::lock_guard lock(mutex_);
    if (status) {
      ++(grow ? scaled_up_ : scaled_down_);
    } else if (grow) {
      no_more_shards_ = status;
    }
  }
  if (!status) context_->warn("scaling: " + status.describe());
}

}  // namespace sluice
