// SPDX-License-Identifier: Apache-2.0
// What this process knows of a log, and the calls that say or change what is beside its batches.
#include "redis/log.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "redis/classify.hpp"

namespace sluice::redis {
namespace {

using plugin::set;

constexpr int kMaxLooks = 4;  // while others fence the log

// Of an offset, for scripts.
std::string padded(int64_t offset) {
  return fmt::format("{:019}", offset);
}

Status not_found() {
  return Status(StatusCode::not_found, "no such log");
}

/// What XINFO STREAM says of the last entry that was ever added; empty if it says nothing.
std::string_view last_id_in(ReplyView info) {
  for (size_t field = 0; field + 1 < info.size(); field += 2) {
    if (info[field].text() == "last-generated-id") return info[field + 1].text();
  }
  return {};
}

std::optional<int64_t> end_in(std::string_view last_id) {
  const auto id = parse_entry_id(last_id);
  return id ? end_at(*id) : std::nullopt;
}

Status fenced(std::string_view token) {
  return Status(StatusCode::fenced, fmt::format("the token in force is {}", token));
}

}  // namespace

Log::Log(std::shared_ptr<Engine> engine, const Uuid& id, uint32_t flags)
    : engine_(std::move(engine)), keys_(engine_->prefix, id), flags_(flags), gate_(*engine_->common.reactor) {}

void Log::forget() {
  ++changes_;
  known_.reset();
  owns_ = false;
  doubt_ = false;
  writes_on_ = 0;
  noting_ = {};
  counted_ = {};
}

// ---- Asking the server

Task<Answer> Log::call(Lane lane, const Command& command, int64_t deadline_ns, Follow follow) {
  return engine_->servers.call(keys_.slot, lane, command, deadline_ns, follow);
}

/// EVALSHA with its keys; `arguments` more follow.
Command Log::script(Script script, std::initializer_list<std::string_view> keys, size_t arguments) const {
  Command command;
  command.begin(3 + keys.size() + arguments);
  command.add("EVALSHA").add(engine_->common.scripts[static_cast<size_t>(script)]);
  command.add(static_cast<int64_t>(keys.size()));
  for (const std::string_view key : keys) command.add(key);
  return command;
}

/// OK if there is a reply; for a call that writes, a lost one is UNKNOWN.
Status Log::answered(const Answer& answer, bool writes) const {
  if (answer.replied()) return {};
  if (!writes || answer.fate == Answer::Fate::unsent) return answer.why;
  return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
}

/// What a script's answer says; OK for whatever is not a failure.
Status Log::said(ReplyView reply) const {
  if (reply.is_error()) return status_of(reply.text());
  const std::string_view word = reply[0].text();
  if (word == "NOT_FOUND") return not_found();
  if (word == "FENCED") return fenced(reply[1].text());
  if (word == "GONE") return gone();
  return {};
}

Status Log::gone() const {
  return Status(StatusCode::corrupt, fmt::format("the stream of log {} is gone, and its hash is not", keys_.base));
}

Status Log::intruded(std::string_view last_id) const {
  return Status(StatusCode::corrupt,
                fmt::format("the last entry of log {} has the id {}: somebody else writes there", keys_.base, last_id));
}

/// Whether what is known holds as long as nobody else fences the log.
bool Log::is_writer() const {
  return owns_ && known_ && !several() && !doubt_ && writes_on_ == engine_->servers.write_generation(keys_.slot);
}

/// Asks for token, start and end. NOT_FOUND, CORRUPT where the stream is not as Sluice leaves it; if it is its last
/// entry that is not, as much is known as a read needs. An answer that was overtaken by an append, a fence or a trim of
/// this process says less than is known by then, and is dropped; but a later end than this process knows is one that is
/// there, though the append's own reply is on its way yet.
Task<Status> Log::look(int64_t deadline_ns) {
  uint64_t guess = known_ ? known_->token : 0;
  if (known_) known_->foreign = false;
  for (int i = 0; i < kMaxLooks; ++i) {
    const uint64_t changes = changes_;
    Command command{"HMGET", keys_.base, "token", "start"};
    command.begin(3).add("XINFO").add("STREAM").add(keys_.stream(guess));
    const Answer answer = co_await call(Lane::read, command, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    if (answer[0].is_error()) co_return status_of(answer[0].text());
    if (changes_ != changes) {
      if (!is_writer()) continue;
      const auto end = end_in(last_id_in(answer[1]));
      if (end && guess == known_->token) known_->end = std::max(known_->end, *end);
      co_return Status();
    }
    if (answer[0][0].is_nil()) {
      known_.reset();
      owns_ = false;
      co_return not_found();
    }
    const auto token = parse_token(answer[0][0].text());
    const auto start = parse_number(answer[0][1].text());
    if (!token || !start) {
      co_return Status(StatusCode::corrupt, fmt::format("{}: token or start are not numbers of ours", keys_.base));
    }
    if (*token != guess) {
      guess = *token;
      continue;
    }
    const ReplyView info = answer[1];
    if (info.is_error()) {
      if (info.text().find("no such key") == std::string_view::npos) co_return status_of(info.text());
      if (i + 1 < kMaxLooks) continue;
      co_return gone();
    }
    const std::string_view last_id = last_id_in(info);
    const auto end = end_in(last_id);
    if (!end) {
      owns_ = false;
      if (const auto id = parse_entry_id(last_id)) known_ = Known{guess, *start, behind(*id), true};
      co_return intruded(last_id);
    }
    if (known_ && known_->token != guess) owns_ = false;
    known_ = Known{guess, *start, *end};
    co_return Status();
  }
  co_return Status(StatusCode::unavailable, "the log is fenced again and again");
}

/// Whether the token is still the one that is known; takes over the start. For a writer, whose end is known then.
Task<Result<bool>> Log::confirm(int64_t deadline_ns) {
  const Command command{"HMGET", keys_.base, "token", "start"};
  const Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
  if (answer[0][0].is_nil()) {
    forget();
    co_return fail(not_found());
  }
  const auto token = parse_token(answer[0][0].text());
  const auto start = parse_number(answer[0][1].text());
  if (!known_ || !token || !start || *token != known_->token) {
    owns_ = false;
    co_return false;
  }
  known_->start = std::max(known_->start, *start);
  co_return true;
}

// ---- bounds

Task<Status> Log::bounds(sluice_bounds& result, int64_t deadline_ns) {
  bool looked_up = false;
  if (is_writer()) {
    const Result<bool> same = co_await confirm(deadline_ns);
    if (!same) co_return same.error();
    looked_up = *same && known_;
  }
  if (!looked_up) {
    Status status = co_await look(deadline_ns);
    if (!status.ok()) co_return status;
  }
  set(result, &sluice_bounds::start, std::min(known_->start, known_->end));
  set(result, &sluice_bounds::end, known_->end);
  set(result, &sluice_bounds::token, known_->token);
  set(result, &sluice_bounds::bytes, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::newest_timestamp, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::largest_unit, engine_->largest_unit);
  set(result, &sluice_bounds::capabilities, engine_->capabilities);
  co_return Status();
}

// ---- fence

Task<Status> Log::fence(uint64_t token, sluice_fence_result& result, int64_t deadline_ns) {
  if (several()) co_return Status(StatusCode::invalid, "several write this log: it has no fence");
  const std::string text = token_text(token);
  Command command = script(Script::fence, {keys_.base, keys_.stream(token)}, 1);
  command.add(text);
  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  Status status = answered(answer, true);
  if (!status.ok()) co_return status;
  const ReplyView reply = answer[0];
  status = said(reply);
  if (!status.ok()) {
    if (const auto in_force = parse_token(reply[1].text())) set(result, &sluice_fence_result::token, *in_force);
    if (status.code() == StatusCode::not_found) forget();
    co_return status;
  }
  const auto start = parse_number(reply[2].text());
  const auto id = parse_entry_id(reply[3].text());
  const auto end = id ? end_at(*id) : std::nullopt;
  if (!start || !end) co_return intruded(reply[3].text());
  // A token that was in force before leaves the stream's name: what was sent on an earlier connection may yet land.
  const bool sure = reply[4].text() == "raised" || writes_on_ == 0 || writes_on_ == answer.generation;
  ++changes_;
  // Where others came between, or what was lost is there, no more is known than what will be sent from here.
  const bool all_sent_here = known_ && counted_.token == known_->token && counted_.from <= *end && known_->end == *end;
  if (!all_sent_here) counted_ = Counted{token, *end};
  counted_.token = token;
  known_ = Known{token, *start, *end};
  owns_ = sure;
  if (sure) {
    writes_on_ = answer.generation;
    doubt_ = false;
  }
  set(result, &sluice_fence_result::end, *end);
  set(result, &sluice_fence_result::token, token);
  co_return Status();
}

// ---- trim

Task<Status> Log::trim(uint64_t token, int64_t offset, int64_t deadline_ns) {
  int64_t to = std::max<int64_t>(offset, 0);
  int64_t start = 0;
  for (int i = 0;; ++i) {
    Command command = script(Script::trim, {keys_.base}, 3);
    command.add(token_text(token)).add(padded(to)).add(padded(std::max<int64_t>(to - 1, 0)));
    const Answer answer = co_await call(Lane::write, command, deadline_ns);
    Status status = answered(answer, true);
    if (!status.ok()) co_return status;
    const ReplyView reply = answer[0];
    status = said(reply);
    if (!status.ok()) co_return status;
    if (reply[0].text() == "OK") {
      start = parse_number(reply[1].text()).value_or(0);
      break;
    }
    const auto id = parse_entry_id(reply[1].text());
    const auto end = id ? end_at(*id) : std::nullopt;
    if (!end || i + 1 >= kMaxLooks) co_return Status(StatusCode::corrupt, "the log's last entry is not one of ours");
    to = *end;
  }
  if (known_ && known_->token == token) {
    ++changes_;
    known_->start = std::max(known_->start, start);
  }
  // The start is where it should be. What lies before it goes in steps, so that others are served meanwhile, and by the
  // stream's name, so that it is done only while the token is in force. Whatever stays goes with the next trim.
  const std::string stream = keys_.stream(token);
  const std::string start_text = std::to_string(start);
  Command step;
  step.begin(7).add("XTRIM").add(stream).add("MINID").add("~").add(start_text).add("LIMIT").add(kTrimStep);
  Command rest{"XTRIM", stream, "MINID", start_text};
  rest.begin(4).add("ZREMRANGEBYLEX").add(keys_.times()).add("-").add(fmt::format("({:016x}", start));
  for (bool more = true; more && !engine_->stopping;) {
    const Answer answer = co_await call(Lane::write, step, deadline_ns);
    if (!answer.replied()) co_return Status();
    more = answer[0].integer() > 0;
  }
  const Answer answer = co_await call(Lane::write, rest, deadline_ns);
  static_cast<void>(answer);
  co_return Status();
}

// ---- save, load

Task<Status> Log::save(const sluice_save& request, int64_t deadline_ns) {
  if (several()) co_return Status(StatusCode::invalid, "several write this log: it keeps no values");
  Command command = script(Script::save, {keys_.base, keys_.values()}, 4);
  // The stamp makes a save that was thought lost harmless when it lands behind a later one.
  command.add(token_text(request.token)).add(padded(now_ns()));
  command.add(std::string_view(request.name, request.name_size)).lend({request.value, request.value_size});
  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  Status status = answered(answer, true);
  if (!status.ok()) co_return status;
  co_return said(answer[0]);
}

Task<Status> Log::load(const sluice_load& request, sluice_load_result& result, int64_t deadline_ns) {
  Command command;
  command.begin(3).add("HGET").add(keys_.values()).add(std::string_view(request.name, request.name_size));
  command.begin(2).add("EXISTS").add(keys_.base);
  Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  for (const size_t i : {0, 1}) {
    if (answer[i].is_error()) co_return status_of(answer[i].text());
  }
  if (answer[1].integer() == 0) co_return not_found();
  if (answer[0].is_nil()) {
    plugin::lend_nothing(result);
    co_return Status();
  }
  std::shared_ptr<redisReply> owner(std::move(answer.replies[0]));
  plugin::lend_value(ReplyView(owner.get()).bytes(), owner, result);
  co_return Status();
}

// ---- watch

Task<Status> Log::watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns) {
  Reactor& reactor = *engine_->common.reactor;
  const auto unavailable = [](const char* why) { return Status(StatusCode::unavailable, why); };
  const uint64_t removals = removals_;
  Status status = co_await look(deadline_ns);
  if (status.code() == StatusCode::not_found && removals_ != removals) co_return unavailable("the log was deleted");
  if (!status.ok()) co_return status;
  uint64_t token = known_->token;
  int64_t end = known_->end;
  while (end <= offset) {
    Event pause(reactor);
    reactor.call_after(kWatchPauseMs, [&pause] { pause.fire(); });
    co_await pause.wait();
    if (*closed) co_return unavailable("the log was closed");
    if (engine_->stopping) co_return unavailable("the storage is being stopped");
    if (now_ns() >= deadline_ns) co_return unavailable("the deadline came before the end moved");
    const int64_t until_ns = std::min(deadline_ns, now_ns() + engine_->common.settings.silence_ms * kNsPerMs);
    Command command{"XREAD", "COUNT", "1", "STREAMS", keys_.stream(token), fmt::format("{}-0", offset)};
    command.begin(3).add("HGET").add(keys_.base).add("token");
    const Answer answer = co_await call(Lane::read, command, until_ns);
    if (!answer.replied() || answer[0].is_error() || answer[1].is_error())
      continue;  // a server that is away comes back
    if (!answer[0].is_nil()) co_return Status();
    if (answer[1].is_nil()) co_return unavailable("the log was deleted");
    if (answer[1].text() == token_text(token)) continue;
    status = co_await look(until_ns);
    if (status.code() == StatusCode::not_found) co_return unavailable("the log was deleted");
    if (!status.ok()) continue;
    token = known_->token;
    end = known_->end;
  }
  co_return Status();
}

}  // namespace sluice::redis
