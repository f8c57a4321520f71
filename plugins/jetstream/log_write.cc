// SPDX-License-Identifier: Apache-2.0
// Appends, fences, trims and saved values: everything that publishes.
#include <fmt/format.h>

#include <algorithm>

#include "jetstream/log.hpp"
#include "jetstream/names.hpp"
#include "jetstream/reply.hpp"
#include "plugin/call.hpp"

namespace sluice::jetstream {
namespace {

using plugin::set;

constexpr int64_t kResendPauseMs = 2;
constexpr int64_t kAsideDeadlineMs = 10'000;
/// What the server adds to a message in a stream, about.
constexpr uint64_t kMessageOverheadBytes = 256;

Status fenced() {
  return Status(StatusCode::fenced, "another token is in force");
}

}  // namespace

// The state behind a message that changes nothing, to be changed by the caller.
Entry Log::entry_now(EntryType type) const {
  Entry entry;
  entry.type = type;
  entry.end = state_.end;
  entry.start = state_.start;
  entry.greatest = state_.greatest;
  entry.token = state_.token;
  return entry;
}

// Publishes behind state_.last and takes the entry's state when it landed. After CONFLICT and UNKNOWN the state is
// asked for again before it is relied on.
Task<Status> Log::publish_behind(Entry entry, std::string subject, Pieces payload, int64_t deadline_ns) {
  const State before = state_;
  Publishing publishing;
  publishing.subject = std::move(subject);
  publishing.entry = encode_entry(entry);
  publishing.payload = std::move(payload);
  publishing.expected_last = before.last;
  const Result<uint64_t> landed = co_await stream_.publish(publishing, deadline_ns);
  if (!landed) {
    if (landed.error().code() == StatusCode::unknown) state_.epoch = 0;
    co_return landed.error();
  }
  State after = before;
  after.last = after.anchor = *landed;
  after.inside_unit = entry.type == EntryType::part;
  after.end = entry.end;
  after.start = entry.start;
  after.greatest = entry.greatest;
  after.bytes += publishing.payload.size() + kMessageOverheadBytes;
  // A reader may have seen this message, or a later fence, already.
  if (after.epoch == current_epoch() && (!known() || state_.last <= after.last)) take(after);
  if (entry.type == EntryType::unit) {
    positions_.add({*landed, entry.base, entry.end, entry.greatest});
    note_size(publishing.payload.size());
  }
  co_return Status();
}

// The unit, in as many messages as it needs, one at a time: the next is never on its way before the last one is known
// to lie where it must. CONFLICT also when the log moved in between.
Task<Status> Log::publish_unit(Entry entry, const Pieces& payload, int64_t deadline_ns) {
  const uint64_t room = engine_.message_room();
  const uint64_t messages = std::max<uint64_t>((payload.size() + room - 1) / room, 1);
  const uint64_t size = (payload.size() + messages - 1) / messages;
  entry.parts = static_cast<uint32_t>(messages - 1);
  for (uint32_t i = 0; i < entry.parts; ++i) {
    const uint64_t last = state_.last;
    Pieces part = payload.part(i * size, size);
    const Status landed =
        co_await publish_behind(entry_now(EntryType::part), part_subject_, std::move(part), deadline_ns);
    if (!landed) {
      // Wherever the part is, or will be: without its end the unit never counts.
      co_return landed.code() == StatusCode::unknown ? Status(StatusCode::unavailable, landed.text()) : landed;
    }
    if (!known() || state_.last != last + 1 || !state_.inside_unit) {
      co_return Status(StatusCode::conflict, "the log moved while a unit was written");
    }
  }
  Pieces last = payload.part(entry.parts * size, size);
  co_return co_await publish_behind(entry, unit_subject_, std::move(last), deadline_ns);
}

// Whether the token is the one in force. Nobody is refused on old news.
Task<Status> Log::judge(uint64_t token, int64_t deadline_ns) {
  if (known() && token == state_.token) co_return Status();
  Result<State> state = co_await inspect(deadline_ns);
  if (!state) co_return state.error();
  take(*state);
  co_return token == state_.token ? Status() : fenced();
}

// ---- Append

Task<Status> Log::append(bool several, const sluice_append& request, sluice_append_result& result,
                         int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  co_await turn();
  const Turn held(*this);
  Status status = co_await append_in_turn(several, request, deadline_ns);
  if (status.ok()) set(result, &sluice_append_result::end, request.batches[request.batch_count - 1].last_offset + 1);
  if (status.code() == StatusCode::conflict || status.code() == StatusCode::fenced) {
    set(result, &sluice_append_result::end, state_.end);
    set(result, &sluice_append_result::token, state_.token);
  }
  co_return status;
}

Task<Status> Log::append_in_turn(bool several, const sluice_append& request, int64_t deadline_ns) {
  // A connection that broke may have been a server that died; whoever wrote before looks again, by a fence.
  const auto may_write = [&] {
    const bool wrote_before = writer_epoch_ >= engine_.client.first_epoch() && writer_epoch_ != 0;
    if (several || !wrote_before || writer_epoch_ == current_epoch()) return Status();
    if (current_epoch() == 0) return Status(StatusCode::unavailable, "not connected");
    return Status(StatusCode::unavailable, "connected again: the log is to be fenced before it is appended to");
  };
  Status status = may_write();
  if (!status) co_return status;
  if (request.bytes > engine_.largest_unit()) {
    co_return Status(StatusCode::too_large,
                     fmt::format("the unit has {} bytes; the server's max_payload of {} leaves room for {}",
                                 request.bytes, engine_.client.max_payload(), engine_.largest_unit()));
  }
  Pieces payload;
  for (uint32_t k = 0; k < request.batch_count; ++k) payload.add({request.batches[k].data, request.batches[k].size});
  for (int i = 0; i < kMostResends; ++i) {
    status = co_await room_for(request.bytes, deadline_ns);
    if (!status) co_return status;
    status = co_await judge(request.token, deadline_ns);
    if (!status) co_return status;
    if (request.at != state_.end) {
      Result<State> state = co_await inspect(deadline_ns);
      if (!state) co_return state.error();
      take(*state);
      if (request.token != state_.token) co_return fenced();
      if (request.at != state_.end) co_return Status(StatusCode::conflict, "the end is not `at`");
    }
    // What was judged is what the first message is published behind: nothing is waited for in between.
    status = may_write();
    if (!status) co_return status;
    writer_epoch_ = current_epoch();

    Entry entry = entry_now(EntryType::unit);
    entry.base = request.batches[0].base_offset;
    entry.end = request.batches[request.batch_count - 1].last_offset + 1;
    for (uint32_t k = 0; k < request.batch_count; ++k) {
      entry.newest = std::max(entry.newest, request.batches[k].max_timestamp);
    }
    entry.greatest = std::max(entry.greatest, entry.newest);
    status = co_await publish_unit(entry, payload, deadline_ns);
    if (status.code() != StatusCode::conflict) co_return status;
    // Refused: another message took the place. Look who it was; behind fences that lost, send it again.
    Result<State> state = co_await inspect(deadline_ns);
    if (!state)
      co_return state.error().code() == StatusCode::unknown ? Status(StatusCode::unavailable, state.error().text())
                                                            : state.error();
    // A leader that is ahead of what it shows, or somebody in the middle of a unit, who goes first.
    const bool moved = state->last != state_.last;
    take(*state);
    if (!moved || state_.inside_unit) co_await sleep_for(engine_.loop, kResendPauseMs);
    if (monotonic_ns() >= deadline_ns) break;
  }
  co_return Status(StatusCode::unavailable, "the server refuses the sequence that it shows");
}

// The bound on the units of one log is kept here, below that of the stream, so that a full log still takes fences and
// trims.
Task<Status> Log::room_for(uint64_t bytes, int64_t deadline_ns) {
  const uint64_t most = engine_.settings.max_bytes;
  if (most == 0 || state_.bytes + bytes <= most) co_return Status();
  const auto info = co_await stream_.info(deadline_ns);
  if (!info) co_return info.error();
  state_.bytes = info->bytes;
  if (state_.bytes + bytes <= most) co_return Status();
  co_return Status(StatusCode::no_space, "max_bytes is reached");
}

// ---- Fence

Task<Status> Log::fence(uint64_t token, sluice_fence_result& result, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  co_await turn();
  const Turn held(*this);
  Status status = co_await fence_in_turn(token, deadline_ns);
  if (status.ok() || status.code() == StatusCode::fenced) {
    set(result, &sluice_fence_result::end, state_.end);
    set(result, &sluice_fence_result::token, state_.token);
  }
  co_return status;
}

Task<Status> Log::fence_in_turn(uint64_t token, int64_t deadline_ns) {
  // The log must be whole, and a fence that must lose is not worth a message.
  if (!known() || token < state_.token) {
    Result<State> state = co_await inspect(deadline_ns);
    if (!state) co_return state.error();
    take(*state);
    if (token < state_.token) co_return fenced();
  }
  const State before = state_;
  Entry entry;
  entry.type = EntryType::fence;
  entry.token = token;
  Publishing publishing;
  publishing.subject = subject(EntryType::fence);
  publishing.entry = encode_entry(entry);
  const Result<uint64_t> landed = co_await stream_.publish(publishing, deadline_ns);
  state_.epoch = 0;
  if (!landed) co_return landed.error();
  State after = before;
  if (before.epoch != current_epoch() || *landed != before.last + 1) {
    // Something lies between what was known and the fence.
    StreamInfo info;
    info.last = *landed;
    info.bytes = before.bytes;
    info.replicas = before.replicas;
    info.file = before.file;
    Result<State> state = co_await walk_back(info, deadline_ns);
    if (!state) {
      // It landed, but whether it holds is not known: the caller repeats it.
      const int32_t kind = status_class(state.error().code());
      co_return kind == 500 || kind == 100 ? state.error() : Status(StatusCode::unknown, state.error().text());
    }
    after = *state;
  } else {
    after.last = *landed;
    after.token = std::max(before.token, token);
  }
  take(after);
  if (after.token > token) co_return fenced();
  writer_epoch_ = after.epoch;
  if (after.last - after.anchor >= kFencesBeforeSeal) {
    // Only to spare later readers the row of fences: it may fail, and the fence holds all the same.
    const Status sealed =
        co_await publish_behind(entry_now(EntryType::seal), subject(EntryType::seal), {}, deadline_ns);
    if (!sealed) state_.epoch = 0;
  }
  co_return Status();
}

// ---- Trim

Task<Status> Log::trim(bool several, uint64_t token, int64_t offset, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  co_await turn();
  const Turn held(*this);
  if (several && token != 0) co_return fenced();
  for (int i = 0; i < kMostResends; ++i) {
    Status status = co_await judge(token, deadline_ns);
    if (!status) co_return status;
    if (offset > state_.end) {  // the end may have moved
      Result<State> state = co_await inspect(deadline_ns);
      if (!state) co_return state.error();
      take(*state);
      if (token != state_.token) co_return fenced();
    }
    const int64_t start = std::max(state_.start, std::min(offset, state_.end));
    if (start == state_.start) co_return Status();
    Entry entry = entry_now(EntryType::trim);
    entry.start = start;
    status = co_await publish_behind(entry, subject(EntryType::trim), {}, deadline_ns);
    if (status.code() == StatusCode::no_space && i == 0) {
      // The storage is full beyond the reserve: the message about the room comes after the room.
      status = co_await make_room(start, deadline_ns);
      if (!status) co_return status;
      continue;
    }
    if (status.ok()) {
      const Status room = co_await make_room(start, deadline_ns);
      if (!room)
        engine_.host.log(2, fmt::format("{}: trimmed, but not dropped yet: {}", stream_.name(), room.describe()));
      co_return Status();
    }
    if (status.code() != StatusCode::conflict) co_return status;
    Result<State> state = co_await inspect(deadline_ns);
    if (!state) co_return state.error();
    take(*state);
    co_await sleep_for(engine_.loop, kResendPauseMs);
    if (monotonic_ns() >= deadline_ns) break;
  }
  co_return Status(StatusCode::unavailable, "the server refuses the sequence that it shows");
}

// Drops units that lie wholly below `start`, and what only said how the log was before. The last message that carries
// the state stays, and with it all that is behind.
Task<Status> Log::make_room(int64_t start, int64_t deadline_ns) {
  const uint64_t anchor = state_.anchor;
  uint64_t below = anchor;
  uint64_t parts_below = anchor;
  if (start < state_.end) {
    const auto kept = co_await unit_at(start, deadline_ns);
    if (!kept) co_return kept.error();
    if (*kept) {
      below = std::min(below, (*kept)->sequence);
      parts_below = std::min(parts_below, (*kept)->sequence - (*kept)->entry->parts);
    }
  }
  positions_.forget_below(start);
  Status status = co_await stream_.purge(unit_subject_, below, 0, deadline_ns);
  if (!status) co_return status;
  status = co_await stream_.purge(part_subject_, parts_below, 0, deadline_ns);
  if (!status) co_return status;
  for (const EntryType type : {EntryType::trim, EntryType::fence, EntryType::seal}) {
    status = co_await stream_.purge(subject(type), anchor, 0, deadline_ns);
    if (!status) co_return status;
  }
  const auto info = co_await stream_.info(deadline_ns);
  if (info) state_.bytes = info->bytes;
  co_return Status();
}

// ---- Saved values

Task<Status> Log::save(const sluice_save& request, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  if (request.value_size + kHeaderAllowanceBytes > engine_.client.max_payload()) {
    co_return Status(StatusCode::too_large, "the value is larger than the server's max_payload");
  }
  co_await turn();
  const Turn held(*this);
  const std::string target = value_subject({request.name, request.name_size});
  for (int i = 0; i < kMostResends; ++i) {
    Status status = co_await judge(request.token, deadline_ns);
    if (!status) co_return status;
    status = co_await publish_behind(entry_now(EntryType::value), target, Bytes(request.value, request.value_size),
                                     deadline_ns);
    if (status.ok()) {
      engine_.run_aside([log = shared_from_this(), target] { return log->drop_old_values(target); });
      co_return status;
    }
    if (status.code() != StatusCode::conflict) co_return status;
    Result<State> state = co_await inspect(deadline_ns);
    if (!state) co_return state.error();
    take(*state);
    co_await sleep_for(engine_.loop, kResendPauseMs);
    if (monotonic_ns() >= deadline_ns) break;
  }
  co_return Status(StatusCode::unavailable, "the server refuses the sequence that it shows");
}

// Only the newest message of a name counts; what is left by a failure goes with the next.
Task<void> Log::drop_old_values(std::string value_subject) {
  const std::shared_ptr<Log> keep = shared_from_this();
  const Status status =
      co_await stream_.purge(std::move(value_subject), 0, 1, monotonic_ns() + kAsideDeadlineMs * kNsPerMs);
  static_cast<void>(status);
}

Task<Status> Log::load(const sluice_load& request, sluice_load_result& result, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  Status status = co_await ensure(deadline_ns);
  if (!status) co_return status;
  auto found = co_await stream_.last(value_subject({request.name, request.name_size}), deadline_ns);
  if (!found) co_return found.error();
  if (*found && !(*found)->entry) co_return wrong_message(**found);
  if (!*found || (*found)->payload.empty()) {
    plugin::lend_nothing(result);
  } else {
    plugin::lend_value((*found)->payload, (*found)->owner, result);
  }
  co_return Status();
}

}  // namespace sluice::jetstream
