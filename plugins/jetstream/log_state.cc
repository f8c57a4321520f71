// SPDX-License-Identifier: Apache-2.0
// What the log is: learnt from its last messages, kept as a cache, told to watchers.
#include <fmt/format.h>

#include <algorithm>

#include "jetstream/log.hpp"
#include "jetstream/names.hpp"
#include "jetstream/reply.hpp"
#include "jetstream/stream_config.hpp"
#include "plugin/call.hpp"

namespace sluice::jetstream {
namespace {

using plugin::set;

constexpr int64_t kShortestPollMs = 5;
constexpr int64_t kLongestPollMs = 200;
constexpr int64_t kPollDeadlineMs = 5'000;

}  // namespace

Log::Log(Engine& engine, const Uuid& id)
    : engine_(engine),
      id_(id),
      stream_(engine.client, engine.settings, log_stream(engine.settings.prefix, id)),
      unit_subject_(subject(EntryType::unit)),
      part_subject_(subject(EntryType::part)) {}

Log::Turn::~Turn() {
  if (log_.waiting_.empty()) {
    log_.busy_ = false;
    return;
  }
  const std::coroutine_handle<> next = log_.waiting_.front();
  log_.waiting_.pop_front();
  // Not from here: this turn's coroutine is being left. The turn stays taken until then.
  log_.engine_.loop.post([next] { next.resume(); });
}

std::string Log::subject(EntryType type) const {
  return fmt::format("{}.{}", log_subject(engine_.settings.prefix, id_), entry_type_name(type));
}

std::string Log::value_subject(std::string_view name) const {
  return fmt::format("{}.{}", subject(EntryType::value), hex(name));
}

Status Log::wrong_message(const Stored& stored) const {
  return Status(
      StatusCode::corrupt,
      fmt::format("message {} of stream {} (subject {}) is not Sluice's: remove it with `nats stream rmm {} {}`",
                  stored.sequence, stream_.name(), stored.subject, stream_.name(), stored.sequence));
}

// From the last message back to the last one that carries the state; the fences on the way may have raised the token.
Task<Result<Log::State>> Log::walk_back(StreamInfo info, int64_t deadline_ns) {
  State state;
  state.epoch = current_epoch();
  state.last = info.last;
  state.bytes = info.bytes;
  state.replicas = info.replicas;
  state.file = info.file;
  if (info.last == 0) co_return fail(StatusCode::not_found, "the log is not whole", kStreamNotFound);
  uint64_t token = 0;
  uint64_t at = info.last;
  for (size_t count = 1;; count = std::min<size_t>(4 * count, 64)) {
    count = std::min<size_t>(count, at);
    const uint64_t first = at - count + 1;
    auto found = co_await stream_.range(first, count, deadline_ns);
    if (!found) co_return fail(found.error());
    for (size_t i = count; i-- > 0;) {
      const std::optional<Stored>& stored = (*found)[i];
      if (!stored) continue;
      if (!stored->entry) co_return fail(wrong_message(*stored));
      const Entry& entry = *stored->entry;
      token = std::max(token, entry.token);
      if (entry.type == EntryType::fence) continue;
      state.anchor = stored->sequence;
      state.inside_unit = entry.type == EntryType::part;
      state.end = entry.end;
      state.start = entry.start;
      state.greatest = entry.greatest;
      state.token = token;
      if (entry.type == EntryType::unit) learn(*stored);
      co_return state;
    }
    at = first - 1;
    if (at == 0 || info.last - at > kLongestWalk) {
      co_return fail(StatusCode::corrupt,
                     fmt::format("stream {} has no message that says where the log ends", stream_.name()));
    }
  }
}

// Asks the server, whatever is known.
Task<Result<Log::State>> Log::inspect(int64_t deadline_ns) {
  auto info = co_await stream_.info(deadline_ns);
  if (!info) co_return fail(info.error());
  stream_.set_replicated(info->replicas > 1);
  seen_ = seen_ || info->last > 0;
  if (known() && info->last == state_.last) {
    State state = state_;
    state.bytes = info->bytes;
    state.replicas = info->replicas;
    co_return state;
  }
  const std::string wrong = config_difference(needed_shape(log_config(engine_.settings, id_, "", 0)), info->config);
  if (!wrong.empty()) {
    co_return fail(StatusCode::invalid,
                   fmt::format("stream {} is not as this adapter made it: {}", stream_.name(), wrong));
  }
  co_return co_await walk_back(std::move(*info), deadline_ns);
}

void Log::take(const State& state) {
  state_ = state;
  note_end();
}

// Asks the server beside writes that may be under way. An answer from before the last write is not taken.
Task<Status> Log::refresh(int64_t deadline_ns) {
  Result<State> state = co_await inspect(deadline_ns);
  if (!state) co_return state.error();
  if (!known() || state->last >= state_.last) {
    take(*state);
    co_return Status();
  }
  // Lower than what is known: old, or the server lost something. In turn with writes nothing is old.
  co_await turn();
  const Turn held(*this);
  state = co_await inspect(deadline_ns);
  if (!state) co_return state.error();
  take(*state);
  co_return Status();
}

Task<Status> Log::ensure(int64_t deadline_ns) {
  if (known()) co_return Status();
  co_return co_await refresh(deadline_ns);
}

Task<Status> Log::bounds(sluice_bounds& result, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  Status status = co_await refresh(deadline_ns);
  if (!status) co_return status;
  set(result, &sluice_bounds::start, state_.start);
  set(result, &sluice_bounds::end, state_.end);
  set(result, &sluice_bounds::token, state_.token);
  set(result, &sluice_bounds::bytes, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::newest_timestamp, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::largest_unit, engine_.largest_unit());
  const uint64_t kept = state_.file ? SLUICE_CAP_DURABLE | SLUICE_CAP_NO_ROLLBACK : 0;
  set(result, &sluice_bounds::capabilities, SLUICE_CAP_SHARED | kept);
  co_return Status();
}

// ---- Creating and deleting

namespace {

std::string descriptor_text(const plugin::LogDescriptor& descriptor) {
  nlohmann::json settings = nlohmann::json::object();
  for (const auto& [name, value] : descriptor.settings) settings[name] = value;
  const nlohmann::json text = {{"flags", descriptor.flags},
                               {"start_offset", descriptor.start_offset},
                               {"topic", descriptor.topic},
                               {"topic_id", descriptor.topic_id.to_string()},
                               {"partition", descriptor.partition},
                               {"partition_count", descriptor.partition_count},
                               {"settings", settings}};
  return text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool same_log(const std::string& mine, Bytes stored) {
  auto a = nlohmann::json::parse(mine, nullptr, false);
  auto b = nlohmann::json::parse(stored.begin(), stored.end(), nullptr, false);
  if (!a.is_object() || !b.is_object()) return false;
  for (const char* free : {"partition_count", "settings"}) {
    a.erase(free);
    b.erase(free);
  }
  return a == b;
}

}  // namespace

Task<Status> Log::create(plugin::LogDescriptor descriptor, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  co_await turn();
  const Turn held(*this);
  const auto config = log_config(engine_.settings, id_, descriptor.topic, descriptor.partition);
  Result<StreamInfo> made = co_await stream_.create(config, deadline_ns);
  std::string wrong;
  if (!made && made.error().code() == StatusCode::exists) {
    made = co_await stream_.info(deadline_ns);
    if (made) wrong = config_difference(config, made->config);
  } else if (made) {
    wrong = config_difference(config, made->config);
  }
  if (!made) co_return made.error();
  stream_.set_replicated(made->replicas > 1);

  const std::string text = descriptor_text(descriptor);
  Entry entry;
  entry.type = EntryType::create;
  entry.end = entry.start = descriptor.start_offset;
  Publishing publishing;
  publishing.subject = subject(EntryType::create);
  publishing.entry = encode_entry(entry);
  publishing.payload = as_bytes(text);
  publishing.expected_last_of_subject = 0;
  Result<std::optional<Stored>> first = std::optional<Stored>();
  const int64_t elected_by_ns = std::min(deadline_ns, monotonic_ns() + kElectionMs * kNsPerMs);
  for (;;) {
    Status landed(StatusCode::conflict);
    if (wrong.empty()) {
      const auto sequence =
          co_await stream_.publish(publishing, std::min(deadline_ns, monotonic_ns() + kAttemptMs * kNsPerMs));
      if (sequence) co_return Status();
      landed = sequence.error();
    }
    // A cluster says that a stream is made while its replicas are still choosing their leader (2.15). Nobody took it.
    if (landed.code() == StatusCode::unavailable && landed.native_code() == 503 && monotonic_ns() < elected_by_ns) {
      co_await sleep_for(engine_.loop, kElectionPauseMs);
      continue;
    }
    // A cluster may never answer one of several that come at once (2.9). It lands at most once, however often it is
    // sent.
    const bool silent = landed.code() == StatusCode::unknown && monotonic_ns() < deadline_ns;
    if (landed.code() != StatusCode::conflict && !silent) co_return landed;
    // There is one already, or a stream of another shape.
    first = co_await stream_.last_by_leader(publishing.subject, deadline_ns);
    if (!first) co_return first.error();
    if (*first || !silent) break;
  }
  if (*first && (*first)->entry && !same_log(text, (*first)->payload)) {
    co_return Status(StatusCode::exists, "the id is taken by a log with another descriptor");
  }
  if (*first && !(*first)->entry) co_return wrong_message(**first);
  if (!wrong.empty()) {
    co_return Status(StatusCode::invalid,
                     fmt::format("stream {} is there with another configuration: {}", stream_.name(), wrong));
  }
  co_return Status();
}

Task<Status> Log::remove(int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  // A poll that finds nothing before this is done is to tell watchers the same.
  seen_ = true;
  Status status = co_await stream_.remove(deadline_ns);
  if (!status) co_return status;
  stream_.abandon(log_subject(engine_.settings.prefix, id_) + ".");
  state_ = State();
  engine_.kept_units.forget(id_);
  writer_epoch_ = 0;
  positions_.clear();
  end_watches(nullptr, Status(StatusCode::unavailable, "the log is deleted"));
  co_return status;
}

// ---- Watches

void Log::watch(const void* handle, int64_t offset, plugin::Pending pending) {
  {
    const std::lock_guard lock(mutex_);
    watches_.push_back({handle, offset, std::move(pending)});
  }
  engine_.loop.post([log = shared_from_this()] {
    if (log->known()) log->note_end();
    if (log->polling_) return;
    log->polling_ = true;
    log->engine_.run_aside([log] { return log->poll_watches(); });
  });
}

void Log::end_watches(const void* handle, const Status& status) {
  std::vector<Watch> ended;
  {
    const std::lock_guard lock(mutex_);
    const auto kept = std::stable_partition(watches_.begin(), watches_.end(), [handle](const Watch& watch) {
      return handle != nullptr && watch.handle != handle;
    });
    ended.assign(std::make_move_iterator(kept), std::make_move_iterator(watches_.end()));
    watches_.erase(kept, watches_.end());
  }
  for (Watch& watch : ended) watch.pending.complete(status);
}

// Answers what is due: passed, or overdue.
void Log::note_end() {
  std::vector<std::pair<plugin::Pending, bool>> due;
  {
    const std::lock_guard lock(mutex_);
    if (watches_.empty()) return;
    const int64_t now_ns = monotonic_ns();
    const bool sure = known();
    for (Watch& watch : watches_) {
      const bool passed = sure && state_.end > watch.offset;
      if (passed || watch.pending.deadline_ns() <= now_ns) due.emplace_back(std::move(watch.pending), passed);
    }
    std::erase_if(watches_, [](const Watch& watch) { return !watch.pending; });
  }
  for (auto& [pending, passed] : due) {
    pending.complete(passed ? Status() : Status(StatusCode::unavailable, "the end did not pass the offset in time"));
  }
}

// What other processes append is found by asking, more seldom while nothing happens.
Task<void> Log::poll_watches() {
  const std::shared_ptr<Log> keep = shared_from_this();
  int64_t pause_ms = kShortestPollMs;
  for (;;) {
    const int64_t end = state_.end;
    const Status status = co_await refresh(monotonic_ns() + kPollDeadlineMs * kNsPerMs);
    if (status.code() == StatusCode::not_found) {
      end_watches(nullptr, seen_ ? Status(StatusCode::unavailable, "the log is deleted") : status);
    }
    note_end();
    {
      const std::lock_guard lock(mutex_);
      if (watches_.empty()) break;
    }
    pause_ms = state_.end != end ? kShortestPollMs : std::min(2 * pause_ms, kLongestPollMs);
    co_await sleep_for(engine_.loop, pause_ms);
  }
  polling_ = false;
}

}  // namespace sluice::jetstream
