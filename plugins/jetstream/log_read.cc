// SPDX-License-Identifier: Apache-2.0
// Reads and locate: from an offset or a time to a message, and on from there. What is lent is the memory of the
// messages themselves.
#include <algorithm>

#include "jetstream/log.hpp"
#include "plugin/call.hpp"

namespace sluice::jetstream {
namespace {

using plugin::set;
using MaybeStored = std::optional<Stored>;

}  // namespace

void Log::learn(const Stored& unit) {
  positions_.add({unit.sequence, unit.entry->base, unit.entry->end, unit.entry->greatest});
}

// The first unit that ends above `offset`: a search among sequences, in which holes and other messages are passed over.
Task<Result<MaybeStored>> Log::unit_at(int64_t offset, int64_t deadline_ns) {
  const auto below = positions_.at_or_below(offset);
  const auto above = positions_.above(offset);
  uint64_t low = below ? below->sequence : 0;  // this unit and all before end at or below the offset
  uint64_t high = above ? above->sequence : state_.last + 1;
  MaybeStored found;  // the first unit at or behind `high`, once it was read
  if (below && below->end > offset) {
    auto unit = co_await stream_.at(below->sequence, deadline_ns);
    if (!unit) co_return fail(unit.error());
    if (*unit && (*unit)->entry) co_return unit;  // else trimmed meanwhile
  }
  uint64_t probe = low + 1;  // whoever reads on wants the next
  while (low + 1 < high) {
    auto unit = co_await stream_.next(probe, unit_subject_, deadline_ns);
    if (!unit) co_return fail(unit.error());
    if (*unit && !(*unit)->entry) co_return fail(wrong_message(**unit));
    if (*unit) learn(**unit);
    if (*unit && (*unit)->sequence < high && (*unit)->entry->end <= offset) {
      low = (*unit)->sequence;
    } else {
      high = probe;
      found = std::move(*unit);
    }
    probe = low + 1 + (high - low - 1) / 2;
  }
  if (found) co_return found;
  // The search ended at a place that was known before: read what is there, or the next behind it.
  auto unit = co_await stream_.next(low + 1, unit_subject_, deadline_ns);
  if (!unit) co_return fail(unit.error());
  if (*unit && !(*unit)->entry) co_return fail(wrong_message(**unit));
  if (*unit) learn(**unit);
  co_return unit;
}

// Rises at once and falls slowly: where large and small ones alternate, many large ones are not asked for in vain.
void Log::note_size(uint64_t bytes) {
  constexpr uint64_t kSlowness = 8;
  message_bytes_ = std::max<uint64_t>({bytes, ((kSlowness - 1) * message_bytes_ + bytes) / kSlowness, 1});
}

struct Log::Reading {
  explicit Reading(const sluice_read& wanted)
      : next(wanted.offset), limit(wanted.limit), budget(wanted.max_bytes), lease(std::make_unique<plugin::Lease>()) {}
  int64_t next;
  const int64_t limit;
  uint64_t budget;
  int64_t first = 0;  // base offset of the first batch
  bool done = false;
  std::unique_ptr<plugin::Lease> lease;
};

// Adds what the reading wants of the unit. CORRUPT: it is damaged, and nothing was added before.
Status Log::add_unit(Reading& reading, const Stored& unit) {
  if (!unit.entry) {
    reading.done = true;
    return reading.lease->empty() ? wrong_message(unit) : Status();
  }
  const bool first = reading.lease->empty();
  const UnitCut cut =
      cut_unit(unit.payload, *unit.entry,
               {.from = reading.next, .limit = reading.limit, .budget = reading.budget, .at_least_one = first});
  if (!cut.bytes.empty()) {
    if (first) reading.first = load_be<int64_t>(cut.bytes.data());
    reading.lease->add_memory(cut.bytes, unit.owner);
    reading.lease->add_pinned(unit.payload.size());
    reading.budget -= std::min<uint64_t>(reading.budget, cut.bytes.size());
    reading.next = cut.next;
  }
  reading.done = cut.stopped || cut.damaged;
  if (cut.stopped && !cut.damaged) engine_.kept_units.keep(current_epoch(), id_, unit);
  if (!cut.damaged || !cut.bytes.empty() || !first) return {};
  reading.next = unit.entry->end;
  return Status(StatusCode::corrupt, "message " + std::to_string(unit.sequence) + " of stream " + stream_.name() +
                                         " does not hold the batches that it says");
}

// Makes the payload of a unit whole: what lies in the messages right before it is taken from those that were read on
// the way, or read now. Where they are gone the payload becomes empty, and so the unit damaged.
Task<Status> Log::join(Stored& unit, const std::vector<Stored>& read_before, int64_t deadline_ns) {
  const size_t parts = unit.entry ? unit.entry->parts : 0;
  if (parts == 0) co_return Status();
  const uint64_t first = unit.sequence > parts ? unit.sequence - parts : 0;
  Pieces pieces;  // so that the whole is made at its size, and each byte copied once
  std::vector<MaybeStored> found;
  bool there = first > 0;
  const bool have =
      read_before.size() >= parts && (read_before.end() - static_cast<ptrdiff_t>(parts))->sequence == first;
  if (have) {
    // They are contiguous: read_units keeps no others.
    for (size_t i = read_before.size() - parts; i < read_before.size(); ++i) pieces.add(read_before[i].payload);
  } else if (there) {
    auto answered = co_await stream_.range(first, parts, deadline_ns);
    if (!answered) co_return answered.error();
    found = std::move(*answered);
    for (const MaybeStored& part : found) {
      there = there && part && part->subject == part_subject_;
      if (there) pieces.add(part->payload);
    }
  }
  pieces.add(unit.payload);
  auto whole = std::make_shared<Buffer>(pieces.copy());
  unit.payload = there ? whole->view() : Bytes();
  unit.owner = std::move(whole);
  co_return Status();
}

// Goes on from a sequence, as many messages at once as are likely to be wanted.
Task<Status> Log::read_units(Reading& reading, uint64_t sequence, int64_t deadline_ns) {
  Status status;
  std::vector<Stored> parts;  // of the unit that has begun, one right behind the other
  while (status.ok() && !reading.done && sequence <= state_.last && reading.next < state_.end) {
    // What an earlier read did not want yet.
    if (const MaybeStored kept = engine_.kept_units.take(current_epoch(), id_, reading.next)) {
      status = add_unit(reading, *kept);
      sequence = kept->sequence + 1;
      parts.clear();
      continue;
    }
    const uint64_t fitting = reading.budget / std::max<uint64_t>(message_bytes_, 1);
    if (fitting == 0 && !reading.lease->empty()) break;
    const size_t count = static_cast<size_t>(
        std::min({std::max<uint64_t>(fitting, 1), state_.last - sequence + 1, static_cast<uint64_t>(kMostReadAhead)}));
    auto units = co_await stream_.range(sequence, count, deadline_ns);
    if (!units) {
      if (reading.lease->empty()) co_return units.error();
      break;  // what is there already is good
    }
    sequence += count;
    bool met = false;
    for (MaybeStored& unit : *units) {
      if (!status.ok()) break;
      if (reading.done) {
        // Whoever reads on wants it.
        if (unit && unit->entry && unit->entry->type == EntryType::unit && unit->entry->parts == 0) {
          engine_.kept_units.keep(current_epoch(), id_, *unit);
        }
        continue;
      }
      if (!unit || (unit->subject != unit_subject_ && unit->subject != part_subject_)) continue;
      met = true;
      note_size(unit->payload.size());
      if (unit->subject == part_subject_) {
        if (!parts.empty() && parts.back().sequence + 1 != unit->sequence) parts.clear();
        if (parts.size() == kMostMessagesOfUnit) parts.erase(parts.begin());
        parts.push_back(std::move(*unit));
        continue;
      }
      if (unit->entry) learn(*unit);
      status = co_await join(*unit, parts, deadline_ns);
      parts.clear();
      if (status.ok()) status = add_unit(reading, *unit);
    }
    if (met || reading.done || sequence > state_.last) continue;
    // Holes and messages of other kinds: whoever keeps the stream finds the next unit faster.
    auto next = co_await stream_.next(sequence, unit_subject_, deadline_ns);
    if (!next && reading.lease->empty()) co_return next.error();
    if (!next || !*next) break;
    if ((*next)->entry) learn(**next);
    status = co_await join(**next, parts, deadline_ns);
    if (status.ok()) status = add_unit(reading, **next);
    sequence = (*next)->sequence + 1;
  }
  if (!status.ok() && status.code() != StatusCode::corrupt && !reading.lease->empty()) co_return Status();
  co_return status;
}

Task<Status> Log::read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  const bool inside = known() && request.offset >= state_.start && request.offset < state_.end;
  if (!inside) {
    Status status = co_await refresh(deadline_ns);
    if (!status) co_return status;
  }
  for (;;) {
    set(result, &sluice_read_result::start, state_.start);
    set(result, &sluice_read_result::end, state_.end);
    set(result, &sluice_read_result::next, request.offset);
    if (request.offset < state_.start || request.offset > state_.end) {
      co_return Status(StatusCode::out_of_range, "not between start and end");
    }
    if (request.offset == state_.end || request.offset >= request.limit) co_return Status();
    Reading reading(request);
    Status status;
    const std::vector<Stored> none;
    const auto before = positions_.at_or_below(request.offset);
    const MaybeStored kept = engine_.kept_units.take(current_epoch(), id_, request.offset);
    if (kept) {
      status = add_unit(reading, *kept);
      if (status.ok()) status = co_await read_units(reading, kept->sequence + 1, deadline_ns);
    } else if (before && before->end == request.offset) {
      status = co_await read_units(reading, before->sequence + 1, deadline_ns);  // reads on
    }
    bool found = !status.ok() || reading.done || !reading.lease->empty();
    if (!found) {
      auto first = co_await unit_at(request.offset, deadline_ns);
      if (!first) co_return first.error();
      if (*first) {
        note_size((*first)->payload.size());
        status = co_await join(**first, none, deadline_ns);
        if (status.ok()) status = add_unit(reading, **first);
        if (status.ok()) status = co_await read_units(reading, (*first)->sequence + 1, deadline_ns);
      }
      found = first->has_value();
    }
    // What came may lie behind a gap that was asked for, or behind what was trimmed in this moment, or be half gone.
    if (found && (reading.first > request.offset || status.code() == StatusCode::corrupt)) {
      const Status fresh = co_await refresh(deadline_ns);
      if (!fresh) co_return fresh;
      if (request.offset < state_.start) continue;
    }
    if (found) {
      if (status.ok() || status.code() == StatusCode::corrupt) set(result, &sluice_read_result::next, reading.next);
      if (status.ok()) plugin::Lease::lend(std::move(reading.lease), result);
      co_return status;
    }
    // Gone meanwhile: the log was trimmed, or deleted.
    const int64_t start = state_.start;
    status = co_await refresh(deadline_ns);
    if (!status) co_return status;
    if (state_.start == start && request.offset < state_.end) {
      co_return Status(StatusCode::corrupt, "stream " + stream_.name() + " lacks the message with this offset");
    }
  }
}

// ---- Locate

// The first unit up to which a timestamp is not below `timestamp`. The running maximum never falls, so it can be
// searched.
Task<Result<MaybeStored>> Log::unit_not_older(int64_t timestamp, int64_t deadline_ns) {
  const auto older = positions_.last_older(timestamp);
  const auto newer = positions_.first_not_older(timestamp);
  uint64_t low = older ? older->sequence : 0;
  uint64_t high = newer ? newer->sequence : state_.last + 1;
  MaybeStored found;
  while (low + 1 < high) {
    const uint64_t probe = low + 1 + (high - low - 1) / 2;
    auto unit = co_await stream_.next(probe, unit_subject_, deadline_ns);
    if (!unit) co_return fail(unit.error());
    if (*unit && !(*unit)->entry) co_return fail(wrong_message(**unit));
    if (*unit) learn(**unit);
    if (*unit && (*unit)->sequence < high && (*unit)->entry->greatest < timestamp) {
      low = (*unit)->sequence;
    } else {
      high = probe;
      found = std::move(*unit);
    }
  }
  if (found) co_return found;
  co_return co_await stream_.next(low + 1, unit_subject_, deadline_ns);
}

Task<Status> Log::locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns) {
  const std::shared_ptr<Log> keep = shared_from_this();
  Status status = co_await refresh(deadline_ns);
  if (!status) co_return status;
  const int64_t end = state_.end;
  const int64_t start = state_.start;
  set(result, &sluice_locate_result::end, end);
  set(result, &sluice_locate_result::offset, end);
  if (state_.greatest < timestamp || start == end) co_return Status();
  const std::vector<Stored> none;
  auto unit = co_await unit_not_older(timestamp, deadline_ns);
  // The maximum may be that of a unit that was trimmed: then look on, one by one.
  for (;;) {
    if (!unit) co_return unit.error();
    if (!*unit) co_return Status();
    const Stored& stored = **unit;
    if (!stored.entry) co_return wrong_message(stored);
    if (stored.entry->base >= end) co_return Status();
    if (stored.entry->newest >= timestamp && stored.entry->end > start) {
      status = co_await join(**unit, none, deadline_ns);
      if (!status) co_return status;
      if (const auto offset = locate_in_unit(stored.payload, timestamp, start)) {
        set(result, &sluice_locate_result::offset, *offset);
        co_return Status();
      }
    }
    unit = co_await stream_.next(stored.sequence + 1, unit_subject_, deadline_ns);
  }
}

}  // namespace sluice::jetstream
