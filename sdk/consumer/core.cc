// SPDX-License-Identifier: Apache-2.0
#include "consumer/core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <tuple>

#include "telemetry/attributes.hpp"

namespace sluice::consumer {
namespace {

constexpr int64_t kMillisecondNs = 1'000'000;
constexpr int64_t kWakeAgainMs = 20;  // while close() waits
constexpr size_t kMaxNamesTold = 3;
constexpr std::string_view kTelemetrySystem = "sluice.consumer";
constexpr std::string_view kReadOperation = "receive";

Status closed_status() {
  return Status(StatusCode::fenced, "consumer: closed");
}

MergeLimits merge_limits(const ConsumerConfig& config) {
  MergeLimits limits;
  limits.order = config.order;
  limits.lateness_ns = config.order == MergeOrder::by_time ? config.lateness_ms * kMillisecondNs : 0;
  limits.idle_hold_ns = config.idle_hold_ms * kMillisecondNs;
  limits.stall_hold_ns = config.stall_hold_ms * kMillisecondNs;
  return limits;
}

ReadLimits read_limits(const ConsumerConfig& config) {
  ReadLimits limits;
  limits.budget_bytes = config.read_ahead_bytes;
  limits.page_bytes = std::min(config.page_bytes, config.read_ahead_bytes / 2);
  limits.page_records = config.page_records;
  limits.wait_ms = config.read_wait_ms;
  limits.deadline_ms = config.read_deadline_ms;
  limits.retry = config.retry;
  limits.pass_lost = config.pass_lost;
  return limits;
}

}  // namespace

Core::Core(const ConsumerConfig& config, const Cursor& from, RecordPredicate filter, Clock& clock, uint64_t seed)
    : config_(config),
      clock_(clock),
      filter_(std::move(filter)),
      merge_(merge_limits(config), from),
      plan_(read_limits(config), seed),
      names_(from),
      cursor_(from) {}

Result<uint32_t> Core::add_shard(std::shared_ptr<Source> source, Place place) {
  if (source == nullptr) return fail(StatusCode::invalid, "consumer: a source is null");
  std::lock_guard lock(mutex_);
  if (closed_) return fail(closed_status());
  const std::string id = source->id();
  if (ids_.contains(id)) return fail(StatusCode::exists, "consumer: a shard \"" + id + "\" is there already");
  if (place.kind == Place::Kind::position && place.value < 0) {
    return fail(StatusCode::invalid, fmt::format("consumer: position {} of {} is negative", place.value, id));
  }
  // Whether the cursor can hold one more is known now, not when a record of it is delivered.
  if (!names_.find(id)) {
    if (const Status status = names_.set(id, 0); !status) return fail(status);
  }
  const auto number = static_cast<uint32_t>(slots_.size());
  slots_.push_back(std::make_unique<Slot>());
  Slot& slot = *slots_.back();
  slot.id = id;
  slot.source = std::move(source);
  if (config_.telemetry) slot.meter = config_.telemetry->meter(kReadOperation, kTelemetrySystem, id);
  ids_.emplace(id, number);
  if (const auto known = cursor_.next(id)) place = Place::position(*known);
  plan_.add(number, place);
  Event event{};
  event.kind = Event::Kind::add;
  event.shard = number;
  event.generation = plan_.generation(number);
  event.id = id;
  event.position = place.kind == Place::Kind::position ? place.value : -1;
  events_.push_back(std::move(event));
  if (all_paused_) pause_locked(number, true);
  changed_.notify_all();
  return number;
}

Result<uint32_t> Core::find_locked(std::string_view id) const {
  if (closed_) return fail(closed_status());
  const auto found = ids_.find(std::string(id));
  if (found == ids_.end()) return fail(StatusCode::not_found, fmt::format("consumer: no shard \"{}\"", id));
  return found->second;
}

Status Core::remove_shard(std::string_view id) {
  std::shared_ptr<Source> gone;
  std::shared_ptr<Source> asleep;
  {
    std::lock_guard lock(mutex_);
    const auto number = find_locked(id);
    if (!number) return number.error();
    Slot& slot = *slots_[*number];
    if (slot.finished) {
      gone = forget_locked(*number);
    } else {
      slot.removed = true;
      plan_.drain(*number);
      if (plan_.in_flight(*number)) asleep = slot.source;
    }
    changed_.notify_all();
  }
  if (asleep != nullptr) asleep->wake();
  return {};
}

Status Core::drop_shard(std::string_view id) {
  std::shared_ptr<Source> gone;
  std::shared_ptr<Source> asleep;
  {
    std::lock_guard lock(mutex_);
    const auto number = find_locked(id);
    if (!number) return number.error();
    if (slots_[*number]->calls > 0) asleep = slots_[*number]->source;
    gone = forget_locked(*number);
    Event event{};
    event.kind = Event::Kind::drop;
    event.shard = *number;
    events_.push_back(std::move(event));
    changed_.notify_all();
  }
  if (asleep != nullptr) asleep->wake();
  return {};
}

Status Core::forget(std::string_view id) {
  std::lock_guard lock(mutex_);
  if (closed_) return closed_status();
  if (ids_.contains(std::string(id))) {
    return Status(StatusCode::exists, fmt::format("consumer: shard \"{}\" is still there", id));
  }
  names_.erase(id);
  cursor_.erase(id);
  Event event{};
  event.kind = Event::Kind::forget;
  event.id = id;
  events_.push_back(std::move(event));
  return {};
}

// Gives the source back, to be let go without the mutex, unless a call is under way: then its answer does so.
std::shared_ptr<Source> Core::forget_locked(uint32_t number) {
  Slot& slot = *slots_[number];
  ids_.erase(slot.id);
  plan_.drop(number);
  slot.gone = true;
  return slot.calls == 0 ? std::move(slot.source) : nullptr;
}

void Core::place_locked(uint32_t number, Place place) {
  Slot& slot = *slots_[number];
  slot.finished = false;
  Event event{};
  event.kind = place.kind == Place::Kind::position ? Event::Kind::place : Event::Kind::displace;
  event.shard = number;
  event.generation = plan_.place(number, place);
  event.position = place.value;
  event.id = slot.id;
  if (place.kind == Place::Kind::position) std::ignore = cursor_.set(slot.id, place.value);
  events_.push_back(std::move(event));
  Event restart{};
  restart.kind = Event::Kind::restart_order;
  events_.push_back(std::move(restart));
  changed_.notify_all();
}

Status Core::seek(const Cursor& cursor) {
  std::lock_guard lock(mutex_);
  if (closed_) return closed_status();
  Cursor names = names_;
  for (size_t i = 0; i < cursor.size(); ++i) {
    const Cursor::Entry entry = cursor.at(i);
    if (!names.find(entry.id)) {
      if (Status status = names.set(entry.id, 0); !status) return status;
    }
  }
  names_ = std::move(names);
  for (size_t i = 0; i < cursor.size(); ++i) {
    const Cursor::Entry entry = cursor.at(i);
    if (const auto shard = ids_.find(std::string(entry.id)); shard != ids_.end()) {
      place_locked(shard->second, Place::position(entry.next));
      continue;
    }
    std::ignore = cursor_.set(entry.id, entry.next);
    Event event{};
    event.kind = Event::Kind::absent;
    event.id = entry.id;
    event.position = entry.next;
    events_.push_back(std::move(event));
  }
  return {};
}

Status Core::seek(Place place) {
  if (place.kind == Place::Kind::position) {
    return Status(StatusCode::invalid, "consumer: a position is one shard's; seek shards one by one, or to a cursor");
  }
  std::lock_guard lock(mutex_);
  if (closed_) return closed_status();
  for (const auto& [id, number] : ids_) place_locked(number, place);
  return {};
}

Status Core::seek(std::string_view id, Place place) {
  if (place.kind == Place::Kind::position && place.value < 0) {
    return Status(StatusCode::invalid, fmt::format("consumer: position {} of {} is negative", place.value, id));
  }
  std::lock_guard lock(mutex_);
  const auto number = find_locked(id);
  if (!number) return number.error();
  place_locked(*number, place);
  return {};
}

void Core::pause_locked(uint32_t number, bool paused) {
  slots_[number]->paused = paused;
  plan_.pause(number, paused);
  Event event{};
  event.shard = number;
  event.kind = paused ? Event::Kind::pause : Event::Kind::resume;
  events_.push_back(std::move(event));
  if (!paused && plan_.revive(number)) {
    Event revived{};
    revived.shard = number;
    revived.kind = Event::Kind::revived;
    events_.push_back(std::move(revived));
  }
  changed_.notify_all();
}

Status Core::pause(std::string_view id, bool paused) {
  std::lock_guard lock(mutex_);
  const auto number = find_locked(id);
  if (!number) return number.error();
  pause_locked(*number, paused);
  return {};
}

void Core::pause_all(bool paused) {
  std::lock_guard lock(mutex_);
  all_paused_ = paused;
  for (const auto& [id, number] : ids_) pause_locked(number, paused);
}

void Core::wake() {
  std::lock_guard lock(mutex_);
  wake_ = true;
  changed_.notify_all();
}

Cursor Core::cursor() const {
  std::lock_guard lock(mutex_);
  return cursor_;
}

uint64_t Core::buffered_bytes() const {
  std::lock_guard lock(mutex_);
  return plan_.buffered_bytes();
}

bool Core::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

Status Core::close(int64_t deadline_ms) {
  using std::chrono::milliseconds;
  using Time = std::chrono::steady_clock;
  const Time::time_point until = Time::now() + milliseconds(std::clamp<int64_t>(deadline_ms, 0, kMaxConsumerWaitMs));
  std::vector<std::shared_ptr<Source>> sources;
  std::unique_lock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  const bool within = polling_ && poller_ == std::this_thread::get_id();
  const auto over = [&] { return calls_ == 0 && (!polling_ || within); };
  while (!over()) {
    // Again and again: a read that was on its way to its source when that was woken would wait.
    for (const auto& slot : slots_) {
      if (slot->calls > 0 && slot->source != nullptr) sources.push_back(slot->source);
    }
    lock.unlock();
    for (const auto& source : sources) source->wake();
    sources.clear();
    lock.lock();
    if (changed_.wait_until(lock, std::min(until, Time::now() + milliseconds(kWakeAgainMs)), over)) break;
    if (Time::now() >= until) return late_status_locked(deadline_ms);
  }
  for (const auto& slot : slots_) {
    if (slot->source != nullptr) sources.push_back(std::move(slot->source));
  }
  lock.unlock();
  return {};
}

// Who keeps close() waiting.
Status Core::late_status_locked(int64_t deadline_ms) const {
  if (calls_ == 0) return Status(StatusCode::unavailable, "consumer: close: a poll has not returned yet");
  std::string names;
  size_t reading = 0;
  for (const auto& slot : slots_) {
    if (slot->calls > 0 && ++reading <= kMaxNamesTold) names += " " + slot->id;
  }
  return Status(StatusCode::unavailable,
                fmt::format("consumer: close: {} shards have not answered after {} ms:{}{}", reading, deadline_ms,
                            names, reading > kMaxNamesTold ? " ..." : ""));
}

// ---- reading

void Core::order_due(std::vector<ReadOrder>& orders) {
  if (closed_) return;
  plan_.due(clock_.monotonic_ns(), orders);
  for (const ReadOrder& order : orders) {
    if (order.kind == ReadOrder::Kind::wake) continue;
    ++slots_[order.shard]->calls;
    ++calls_;
  }
}

// One thread at a time is inside a source. An answer that comes there orders the next read, which then waits until the
// thread is out again: however many answers come at once, the stack does not grow.
void Core::issue(ReadOrder order) {
  std::shared_ptr<Source> source;
  const OperationMeter* meter = nullptr;
  {
    std::lock_guard lock(mutex_);
    Slot& slot = *slots_[order.shard];
    source = slot.source;
    if (source == nullptr) return;
    if (slot.meter) meter = &*slot.meter;
    if (order.kind != ReadOrder::Kind::wake) {
      if (slot.issuing) {
        slot.pending = order;
        return;
      }
      slot.issuing = true;
    }
  }
  if (order.kind == ReadOrder::Kind::wake) return source->wake();
  for (;;) {
    call(*source, order, meter);
    std::lock_guard lock(mutex_);
    Slot& slot = *slots_[order.shard];
    if (!slot.pending) {
      slot.issuing = false;
      return;
    }
    order = *slot.pending;
    slot.pending.reset();
  }
}

// `meter` lives as long as the core.
void Core::call(Source& source, const ReadOrder& order, const OperationMeter* meter) {
  auto self = shared_from_this();
  const int64_t started = meter == nullptr ? 0 : meter->start();
  const auto tell = [meter, started](const auto& result) {
    if (meter != nullptr) result ? meter->succeed(started) : meter->fail(started, result.error());
  };
  switch (order.kind) {
    case ReadOrder::Kind::read:
      source.read(order.request, [self = std::move(self), order, tell](Result<Page> page) {
        tell(page);
        self->on_page(order, std::move(page));
      });
      return;
    case ReadOrder::Kind::bounds: {
      source.bounds([self = std::move(self), order, tell](Result<SourceBounds> bounds) {
        tell(bounds);
        if (!bounds) return self->on_position(order, fail(bounds.error()));
        self->on_position(order, order.at_end ? bounds->end : bounds->start);
      });
      return;
    }
    case ReadOrder::Kind::locate:
      source.locate(order.timestamp_ns, [self = std::move(self), order, tell](Result<int64_t> position) {
        tell(position);
        self->on_position(order, std::move(position));
      });
      return;
    case ReadOrder::Kind::wake:
      return;
  }
}

Status check_page(const Page& page, int64_t from, uint64_t& bytes, int64_t& newest_ns) {
  bytes = page.records.size() * sizeof(Record);
  newest_ns = kNoTimestamp;
  int64_t least = from;
  for (const Record& record : page.records) {
    if (record.position < least) {
      return Status(StatusCode::internal,
                    fmt::format("the source gave position {} where at least {} was due", record.position, least));
    }
    least = record.position + 1;
    newest_ns = std::max(newest_ns, record.timestamp_ns);
    bytes += record.bytes();
  }
  if (page.next < least) {
    return Status(StatusCode::internal, fmt::format("the source would read on at {} after {}", page.next, least - 1));
  }
  return {};
}

void Core::on_page(const ReadOrder& order, Result<Page> result) {
  Event event{};
  event.kind = Event::Kind::page;
  event.shard = order.shard;
  event.generation = order.generation;
  event.page.from = order.request.from;
  Status status;
  if (result) {
    status = check_page(*result, order.request.from, event.page.bytes, event.page.newest_ns);
    event.page.page = std::make_shared<const Page>(std::move(*result));
  } else {
    status = std::move(result.error());
  }
  const int64_t now_ns = clock_.monotonic_ns();
  std::unique_lock lock(mutex_);
  const ReadNews news = status ? plan_.answered(order.shard, order.generation, order.request.from, *event.page.page,
                                                event.page.bytes, now_ns)
                               : plan_.failed(order.shard, order.generation, status, now_ns);
  event.page.caught_up = news.caught_up;
  event.page.finished = news.finished;
  event.page.pooled = news.pooled;
  if (news.kind == ReadNews::Kind::given_up) event.kind = Event::Kind::given_up;
  const bool has_news = news.kind != ReadNews::Kind::nothing;
  if (has_news) events_.push_back(std::move(event));
  end_call(lock, order.shard, has_news);
}

void Core::on_position(const ReadOrder& order, Result<int64_t> position) {
  const int64_t now_ns = clock_.monotonic_ns();
  if (position && *position < 0) position = fail(StatusCode::internal, "the source gave a negative position");
  std::unique_lock lock(mutex_);
  const ReadNews news = position ? plan_.located(order.shard, order.generation, *position)
                                 : plan_.failed(order.shard, order.generation, position.error(), now_ns);
  Event event{};
  event.shard = order.shard;
  event.generation = order.generation;
  event.position = news.position;
  if (news.kind == ReadNews::Kind::placed) event.kind = Event::Kind::located;
  if (news.kind == ReadNews::Kind::given_up) event.kind = Event::Kind::given_up;
  if (news.kind == ReadNews::Kind::passed) {
    event.kind = Event::Kind::page;
    Page page;
    page.next = news.next;
    event.page.page = std::make_shared<const Page>(std::move(page));
    event.page.from = news.position;
    event.page.lost = static_cast<uint64_t>(news.next - news.position);
  }
  const bool has_news = news.kind != ReadNews::Kind::nothing;
  if (has_news) {
    event.id = slots_[order.shard]->id;
    events_.push_back(std::move(event));
  }
  end_call(lock, order.shard, has_news);
}

// What every answer ends with: the next read of the shard, or letting go of the source.
void Core::end_call(std::unique_lock<std::mutex>& lock, uint32_t number, bool news) {
  Slot& slot = *slots_[number];
  --slot.calls;
  --calls_;
  std::optional<ReadOrder> next;
  std::shared_ptr<Source> gone;
  if (!closed_) next = plan_.next(number, clock_.monotonic_ns());
  if (next && next->kind != ReadOrder::Kind::wake) {
    ++slot.calls;
    ++calls_;
  }
  if (slot.gone && slot.calls == 0) gone = std::move(slot.source);
  if (news || !next || closed_) changed_.notify_all();
  lock.unlock();
  if (next) issue(*next);
}

// ---- delivering

void Core::inspect(Event& event) {
  Inspected& inspected = event.page;
  const std::vector<Record>& records = inspected.page->records;
  inspected.all = !filter_ || records.empty();
  if (inspected.all || !merge_.has(event.shard))
    return merge_.push(event.shard, event.generation, std::move(inspected));
  Status status;
  try {
    for (uint32_t i = 0; i < records.size(); ++i) {
      if (filter_(records[i])) inspected.matches.push_back(i);
    }
    return merge_.push(event.shard, event.generation, std::move(inspected));
  } catch (const std::exception& thrown) {
    status = Status(StatusCode::internal, std::string("the filter threw: ") + thrown.what());
  } catch (...) {
    status = Status(StatusCode::internal, "the filter threw");
  }
  std::lock_guard lock(mutex_);
  if (slots_[event.shard]->gone || plan_.generation(event.shard) != event.generation) return;
  merge_.set_generation(event.shard, plan_.halt(event.shard, inspected.from, status, clock_.monotonic_ns()));
  merge_.set_given_up(event.shard, true);
}

// A shard that was dropped and is back goes on behind what was delivered of it, also when no response has told that
// yet.
void Core::admit(Event& event) {
  if (const auto known = merge_.cursor().next(event.id); known && *known != event.position) {
    const std::lock_guard lock(mutex_);
    event.position = *known;
    if (slots_[event.shard]->gone) {
      event.generation = 0;  // dropped again: nothing of it comes
    } else if (plan_.generation(event.shard) == event.generation) {
      event.generation = plan_.place(event.shard, Place::position(*known));
    } else {
      event.generation = plan_.generation(event.shard);  // sought since
    }
  }
  merge_.add(event.shard, std::move(event.id), event.generation);
  if (event.position >= 0) merge_.place(event.shard, event.generation, event.position);
}

void Core::apply(Event& event) {
  switch (event.kind) {
    case Event::Kind::add:
      return admit(event);
    case Event::Kind::located:
      if (!merge_.has(event.shard) || merge_.generation(event.shard) != event.generation) return;
      return merge_.place(event.shard, event.generation, event.position);
    case Event::Kind::place:
    case Event::Kind::displace:
      if (!merge_.has(event.shard)) merge_.add(event.shard, std::move(event.id), event.generation);
      if (event.kind == Event::Kind::displace) {
        merge_.displace(event.shard, event.generation);
      } else {
        merge_.place(event.shard, event.generation, event.position);
      }
      return;
    case Event::Kind::absent:
      return merge_.set_absent(event.id, event.position);
    case Event::Kind::page:
      return inspect(event);
    case Event::Kind::given_up:
      if (merge_.has(event.shard) && merge_.generation(event.shard) == event.generation) {
        merge_.set_given_up(event.shard, true);
      }
      return;
    case Event::Kind::revived:
      if (merge_.has(event.shard)) merge_.set_given_up(event.shard, false);
      return;
    case Event::Kind::pause:
    case Event::Kind::resume:
      if (merge_.has(event.shard)) merge_.pause(event.shard, event.kind == Event::Kind::pause);
      return;
    case Event::Kind::drop:
      return merge_.drop(event.shard);
    case Event::Kind::forget:
      return merge_.forget(event.id);
    case Event::Kind::restart_order:
      return merge_.restart_order();
  }
}

// Gives back memory, and lets go of shards that are at their end.
void Core::settle_locked(std::vector<std::shared_ptr<Source>>& gone) {
  for (const Released& each : merge_.take_released())
    plan_.released(each.shard, each.generation, each.bytes, each.pooled);
  for (const uint32_t number : merge_.take_finished()) {
    Slot& slot = *slots_[number];
    if (slot.gone || !plan_.finished(number)) continue;  // dropped or sought in the meantime
    finished_.push_back(number);
    slot.finished = true;
    if (slot.removed) gone.push_back(forget_locked(number));
  }
}

bool Core::done_locked() const {
  return std::all_of(ids_.begin(), ids_.end(), [&](const Ids::value_type& each) {
    return slots_[each.second]->finished || plan_.given_up(each.second);
  });
}

void Core::finish_locked(Response& response, bool moved, int64_t start_ns) {
  const int64_t now_ns = clock_.monotonic_ns();
  response.cursor = cursor_ = merge_.cursor();
  for (const Event& event : events_) {
    if (event.kind == Event::Kind::forget) cursor_.erase(event.id);
    if (event.kind == Event::Kind::absent || (event.kind == Event::Kind::place && event.position >= 0)) {
      std::ignore = cursor_.set(event.id, event.position);
    }
  }
  plan_.note(now_ns, response.notes);
  merge_.note(now_ns, response.notes);
  for (const uint32_t number : finished_) {
    ShardNote note{};
    note.shard = number;
    note.condition = ShardCondition::finished;
    note.elapsed_ns = std::max<int64_t>(now_ns - start_ns, 1);
    response.notes.push_back(std::move(note));
  }
  finished_.clear();
  for (ShardNote& note : response.notes) {
    note.id = slots_[note.shard]->id;
    note.position = merge_.has(note.shard) ? merge_.position(note.shard) : response.cursor.next(note.id).value_or(-1);
  }
  totals_.delivered += response.records.size();
  totals_.rejected += response.rejected;
  totals_.corrupt += response.corrupt;
  totals_.late += response.late;
  totals_.lost += response.lost;
  response.done = !merge_.has_records() && events_.empty() && done_locked();
  const bool more = merge_.has_records() || !events_.empty() ||
                    std::any_of(ids_.begin(), ids_.end(), [&](const Ids::value_type& each) {
                      return !slots_[each.second]->paused && plan_.has_more(each.second);
                    });
  response.has_more = (moved || !response.records.empty()) && more;
  response.elapsed_ns = std::max<int64_t>(now_ns - start_ns, 1);
}

void Core::report(Observations& to) const {
  Totals totals;
  uint64_t buffered = 0;
  size_t shards = 0;
  std::vector<ShardNote> notes;
  {
    const std::lock_guard lock(mutex_);
    totals = totals_;
    buffered = plan_.buffered_bytes();
    shards = ids_.size();
    plan_.note(clock_.monotonic_ns(), notes);
  }
  const Attributes named = telemetry::named(kTelemetrySystem, semconv::kConsumerGroup, config_.name);
  to.counter(semconv::kConsumedMessages, totals.delivered,
             telemetry::with(named, semconv::kOperationName, kReadOperation));
  to.counter("sluice.consumer.rejected", totals.rejected, named);
  to.counter("sluice.consumer.corrupt", totals.corrupt, named);
  to.counter("sluice.consumer.late", totals.late, named);
  to.counter("sluice.consumer.lost", totals.lost, named);
  to.gauge("sluice.consumer.buffered", static_cast<int64_t>(buffered), named, "By");
  to.gauge("sluice.consumer.shards", static_cast<int64_t>(shards), named, "{shard}");
  for (const ShardCondition condition : {ShardCondition::failed, ShardCondition::retrying, ShardCondition::stalled}) {
    const auto in_it =
        std::count_if(notes.begin(), notes.end(), [&](const ShardNote& note) { return note.condition == condition; });
    to.gauge("sluice.consumer.troubled", in_it, telemetry::with(named, "sluice.condition", condition_name(condition)),
             "{shard}");
  }
}

Result<Response> Core::poll(const PollRequest& request) {
  if (Status status = validate(request); !status) return fail(std::move(status));
  const int64_t start_ns = clock_.monotonic_ns();
  const int64_t deadline_ns = start_ns + request.wait_ms * kMillisecondNs;
  const size_t wanted = std::min(request.min_records, request.max_records);
  Response response;
  bool moved = false;
  std::vector<Event> events;
  std::vector<ReadOrder> orders;
  std::vector<std::shared_ptr<Source>> gone;

  std::unique_lock lock(mutex_);
  if (closed_) return fail(closed_status());
  if (polling_) return fail(StatusCode::busy, "consumer: another poll is under way");
  if (ids_.empty() && finished_.empty()) return fail(StatusCode::not_found, "consumer: there are no shards");
  polling_ = true;
  poller_ = std::this_thread::get_id();
  for (;;) {
    events.swap(events_);
    // A place that was found for a seek which another one followed must not be in any cursor.
    std::erase_if(events, [&](const Event& event) {
      return event.kind == Event::Kind::located &&
             (slots_[event.shard]->gone || plan_.generation(event.shard) != event.generation);
    });
    order_due(orders);
    lock.unlock();
    for (const ReadOrder& order : orders) issue(order);
    orders.clear();
    for (Event& event : events) apply(event);
    const bool nothing_new = events.empty();
    events.clear();
    moved |= merge_.take(request.max_records, request.max_bytes, clock_.monotonic_ns(), response);
    gone.clear();
    lock.lock();
    settle_locked(gone);
    const bool capped = !response.records.empty() && merge_.limit_reached();
    if (closed_ || response.records.size() >= wanted || capped) break;
    response.woken = std::exchange(wake_, false);
    if (response.woken) break;
    const bool pending = !events_.empty();
    if (!pending && !merge_.has_records() && done_locked()) break;
    const int64_t now_ns = clock_.monotonic_ns();
    if (now_ns >= deadline_ns && (!pending || moved)) break;
    if (pending || !nothing_new) continue;  // what was applied may have freed memory to read into
    const int64_t until_ns = std::min({deadline_ns, plan_.next_time_ns(), merge_.next_time_ns()});
    if (until_ns > now_ns) changed_.wait_for(lock, std::chrono::nanoseconds(until_ns - now_ns));
  }
  polling_ = false;
  if (closed_ && response.records.empty()) {
    changed_.notify_all();
    lock.unlock();
    return fail(closed_status());
  }
  finish_locked(response, moved, start_ns);
  order_due(orders);  // what was delivered made room
  changed_.notify_all();
  lock.unlock();
  for (const ReadOrder& order : orders) issue(order);
  return response;
}

}  // namespace sluice::consumer
