// SPDX-License-Identifier: Apache-2.0
// Appends: who may, what is sent, and what the replies mean.
#include <fmt/format.h>

#include <algorithm>

#include "base/task.hpp"
#include "redis/classify.hpp"
#include "redis/log.hpp"

namespace sluice::redis {
namespace {

using plugin::set;

constexpr int kMaxLooks = 4;

void tell(sluice_append_result& result, int64_t end, uint64_t token) {
  set(result, &sluice_append_result::end, end);
  set(result, &sluice_append_result::token, token);
}

Task<void> note_later(std::shared_ptr<Engine> engine, uint16_t slot, Command command) {
  const int64_t deadline_ns = now_ns() + engine->common.settings.silence_ms * kNsPerMs;
  const Answer answer = co_await engine->servers.call(slot, Lane::write, command, deadline_ns);
  static_cast<void>(answer);  // a stretch that is not noted is looked through
}

}  // namespace

Task<Status> Log::append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  if (request.bytes > engine_->largest_unit) {
    co_return Status(StatusCode::too_large,
                     fmt::format("a unit of {} bytes; {} are taken at most", request.bytes, engine_->largest_unit));
  }
  co_await gate_.enter();
  Status status;
  if (several()) {
    status = co_await append_exactly(request, result, deadline_ns);
  } else {
    status = co_await append_alone(request, result, deadline_ns);
  }
  gate_.leave();
  co_return status;
}

Task<Status> Log::append_alone(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  Status status = co_await admit(request, result, deadline_ns);
  if (!status.ok()) co_return status;
  co_return co_await send_unit(request, result, deadline_ns);
}

/// OK if the unit may go out: then nothing is waited for until it does.
Task<Status> Log::admit(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  for (int i = 0; i < kMaxLooks; ++i) {
    Link* link = engine_->servers.link(keys_.slot, Lane::write);
    if (link == nullptr || !link->up()) {
      co_return link != nullptr ? link->why() : Status(StatusCode::unavailable, "the storage is stopped");
    }
    const uint64_t generation = link->generation();
    if (must_be_fenced(generation)) {
      co_return Status(StatusCode::unavailable, "the connection is a new one: the log must be fenced first");
    }
    const bool as_known = known_ && request.token == known_->token && request.at == known_->end;
    if (as_known && (is_writer() || i > 0)) {
      writes_on_ = generation;
      co_return Status();
    }
    Status status = co_await look(deadline_ns);
    if (!status.ok()) co_return status;
    if (request.token != known_->token || request.at != known_->end) {
      tell(result, known_->end, known_->token);
      if (request.token != known_->token) {
        co_return Status(StatusCode::fenced, fmt::format("the token in force is {}", token_text(known_->token)));
      }
      co_return Status(StatusCode::conflict, fmt::format("the log ends at {}", known_->end));
    }
  }
  co_return Status(StatusCode::unavailable, "the log is fenced again and again");
}

Task<Status> Log::send_unit(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  Command command;
  add_unit(command, keys_.stream(request.token), {request.batches, request.batch_count}, request.at);
  const int64_t end = request.batches[request.batch_count - 1].last_offset + 1;
  if (counted_.token == request.token) counted_.largest = std::max(counted_.largest, request.bytes);

  const Answer answer = co_await call(Lane::write, command, deadline_ns, Follow::no);
  Status status = answered(answer, true);
  if (status.code() == StatusCode::unknown) doubt_ = true;
  if (!status.ok()) co_return status;
  if (answer[0].is_error() || answer[0].is_nil()) {
    status = co_await explain(request, result, answer[0], deadline_ns);
    co_return status;
  }
  saw(request.bytes, 1, request.bytes);
  if (known_ && known_->token == request.token) {
    ++changes_;
    known_->end = std::max(known_->end, end);
    owns_ = true;
    note(request);
  }
  tell(result, end, request.token);
  co_return Status();
}

/// What is said of a unit that has not landed: `reply`, to its XADD, is an error, or nil.
Task<Status> Log::explain(const sluice_append& request, sluice_append_result& result, ReplyView reply,
                          int64_t deadline_ns) {
  if (reply.is_error() && !is_id_refused(reply.text())) {
    Status refusal = status_of(reply.text());
    // Moved elsewhere: the log must be fenced there before it goes on.
    if (refusal.code() == StatusCode::unavailable) doubt_ = true;
    co_return refusal;
  }
  // No stream of this name, or one with a later end: the answer says which token and end there are.
  owns_ = false;
  Status status = co_await look(deadline_ns);
  if (status.code() == StatusCode::not_found || status.code() == StatusCode::corrupt) co_return status;
  if (!status.ok()) co_return Status(StatusCode::unavailable, status.text());
  tell(result, known_->end, known_->token);
  if (known_->token != request.token) {
    co_return Status(StatusCode::fenced, fmt::format("the token in force is {}", token_text(known_->token)));
  }
  doubt_ = true;
  if (known_->end != request.at) {
    co_return Status(StatusCode::conflict, fmt::format("the log ends at {}: somebody else wrote to it", known_->end));
  }
  co_return Status(StatusCode::unavailable, "the stream was not there, and is again");
}

/// A server that was killed may have left a transaction open in its file, and lose what is written behind it when it is
/// killed again. A fence is a transaction, which ends that one; where there is none, this does, once on each
/// connection.
Task<Status> Log::close_earlier(int64_t deadline_ns) {
  for (int i = 0; i < kMaxLooks && writes_on_ != engine_->servers.write_generation(keys_.slot); ++i) {
    const Command command = script(Script::close, {keys_.base}, 0);
    const Answer answer = co_await call(Lane::write, command, deadline_ns);
    Status status = answered(answer, false);
    if (status.ok()) status = said(answer[0]);
    if (!status.ok()) co_return status;
    writes_on_ = answer.generation;
  }
  co_return Status();
}

/// Several processes append with the same token: a script adds the unit only if the stream ends at `at`.
Task<Status> Log::append_exactly(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  if (request.token != 0) co_return Status(StatusCode::invalid, "several write this log, all with the token 0");
  Status status = co_await close_earlier(deadline_ns);
  if (!status.ok()) co_return status;
  Command command = script(Script::append, {keys_.base, keys_.stream(0)}, 2 + batch_arguments(request.batch_count));
  const int64_t end = request.batches[request.batch_count - 1].last_offset + 1;
  command.add(last_id_at(request.at)).add(entry_id(end - 1));
  add_batches(command, {request.batches, request.batch_count}, request.at);

  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  status = answered(answer, true);
  if (!status.ok()) co_return status;
  const ReplyView reply = answer[0];
  status = said(reply);
  if (!status.ok()) co_return status;
  if (reply[0].text() == "SHUT") {
    const auto id = parse_entry_id(reply[1].text());
    const auto found = id ? end_at(*id) : std::nullopt;
    if (!found) co_return intruded(reply[1].text());
    tell(result, *found, 0);
    co_return Status(StatusCode::conflict, fmt::format("the log ends at {}", *found));
  }
  saw(request.bytes, 1, request.bytes);
  tell(result, end, 0);
  co_return Status();
}

/// Now and then the greatest timestamp of what was appended since the last time goes into the sorted set.
void Log::note(const sluice_append& request) {
  // Somebody else may have appended, or a unit that was thought lost is there: of that nothing is known.
  if (noting_.batches == 0 || noting_.end != request.at) noting_ = Noting{.first = request.at};
  noting_.end = request.batches[request.batch_count - 1].last_offset + 1;
  noting_.bytes += request.bytes;
  noting_.batches += request.batch_count;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    noting_.newest = std::max(noting_.newest, request.batches[i].max_timestamp);
  }
  if (noting_.bytes < kStretchBytes && noting_.batches < kStretchBatches) return;
  const Stretch stretch{noting_.first, noting_.end - 1, noting_.newest};
  Command command = script(Script::note, {keys_.base, keys_.times()}, 2);
  command.add(token_text(request.token)).add(stretch.text());
  noting_ = {};
  start(note_later(engine_, keys_.slot, std::move(command)));
}

}  // namespace sluice::redis
