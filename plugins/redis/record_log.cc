// SPDX-License-Identifier: Apache-2.0
#include "redis/record_log.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "native/unit.hpp"
#include "redis/classify.hpp"
#include "redis/probe.hpp"

namespace sluice::redis {
namespace {

using plugin::set;

constexpr std::string_view kNoSuchKey = "ERR no such key";
/// A read that finds nothing but entries without an offset asks for so many more each time.
constexpr int64_t kReadGrowth = 16;
/// A search by time looks through so much more with each question, up to so many bytes.
constexpr int64_t kLocateGrowth = 16;
constexpr uint64_t kLocateBytes = uint64_t{1} << 20;

/// The value beside `name` in a reply of names and values.
ReplyView field(ReplyView pairs, std::string_view name) {
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (pairs[i].text() == name) return pairs[i + 1];
  }
  return {};
}

/// An entry that is no record.
struct Passed {
  int64_t behind;  // the lowest offset behind it
  std::string id;
  std::string why;
};

/// How records are told to the script that adds them.
enum class Form {
  key_value,  // and timestamp: the values alone
  value,      // likewise
  fields,     // names and values, one record
};
struct Run {
  Form form;
  int64_t count;  // records, or arguments of the one record
};

Form form_of(const records::RecordView& record) {
  if (!record.value || record.headers_count > 0) return Form::fields;
  return record.key ? Form::key_value : Form::value;
}

std::string_view name_of(Form form) {
  return form == Form::key_value ? "kv" : form == Form::value ? "v" : "f";
}

}  // namespace

RecordLog::RecordLog(std::shared_ptr<Engine> engine, RecordKeys keys, const Uuid& id)
    : engine_(std::move(engine)), keys_(std::move(keys)), id_(id.to_string()), gate_(*engine_->common.reactor) {}

Task<Answer> RecordLog::call(Lane lane, const Command& command, int64_t deadline_ns, Follow follow) {
  return engine_->servers.call(keys_.slot, lane, command, deadline_ns, follow);
}

void RecordLog::ask_for_marker(Command& command) const {
  command.begin(3).add("HGET").add(keys_.marker).add("id");
}

Status RecordLog::ours(ReplyView marker) const {
  if (marker.is_error()) return status_of(marker.text());
  if (marker.text() == id_) return {};
  return Status(StatusCode::not_found, marker.is_nil()
                                           ? fmt::format("nothing stands for the stream {}", keys_.stream)
                                           : fmt::format("another log stands for the stream {}", keys_.stream));
}

/// What XINFO STREAM tells. A stream that is not there is an empty one: other programs may delete it.
Task<Result<RecordLog::Borders>> RecordLog::borders(ReplyView info, int64_t deadline_ns) {
  if (info.is_error() && info.text().starts_with(kNoSuchKey)) co_return Borders{};
  if (info.is_error()) co_return fail(status_of(info.text()));
  const auto last = parse_entry_id(field(info, "last-generated-id").text());
  if (!last) co_return fail(StatusCode::internal, "XINFO STREAM told no last-generated-id");
  Borders found{.end = offset_behind(*last, ids()), .last = *last};
  const int64_t length = field(info, "length").integer();
  const bool nothing_went = field(info, "entries-added").integer() == length;
  const auto first = parse_entry_id(field(info, "first-entry")[0].text());
  const auto gone = parse_entry_id(field(info, "max-deleted-entry-id").text());
  if (*last != EntryId{} && !offset_of(*last, ids())) {
    found.is_strange = true;
    // As no reader gets to an end that far away, it is behind what can be read; what others put behind that does not
    // move it, and the last entry that can be read, or one that was deleted, keeps it.
    EntryId at = *last;
    for (int i = 0; i < kMaxStepsBack && !offset_of(at, ids()); ++i) {
      const Command before{"XREVRANGE", keys_.stream, last_with_offset(at, ids()), "-", "COUNT", "1"};
      const Answer answer = co_await call(Lane::read, before, deadline_ns);
      if (!answer.replied()) co_return fail(answer.why);
      if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
      const auto id = parse_entry_id(answer[0][0][0].text());
      at = id.value_or(EntryId{});
      if (!id) break;
    }
    if (at != EntryId{} || nothing_went) found.end = offset_behind(at, ids());
    if (gone && *gone != EntryId{} && offset_of(*gone, ids())) {
      const int64_t behind = offset_behind(*gone, ids());
      found.end = at == EntryId{} ? behind : std::max(found.end, behind);
    }
  }
  // As long as nothing was ever taken out, the stream begins at 0: so that a reader who waits at the beginning of an
  // empty one is not told that what comes first is out of his range.
  Seen now{.added = field(info, "entries-added").integer(), .length = length, .first = first.value_or(EntryId{})};
  if (!nothing_went) {
    found.start = found.end;
    if (length > 0 && first)
      found.start = std::min(offset_of(*first, ids()).value_or(offset_behind(*first, ids())), found.end);
    found.start = std::min(found.start, start_since(now, found.start));
  }
  now.start = found.start;
  now.end = found.end;
  if (!found.is_strange) seen_ = now;
  co_return found;
}

/// The server tells which entry is the first, and not where what was taken out ended: there a reader who has all of
/// that stands, before the first by as much as nobody wrote meanwhile. It is known from what was seen before, if
/// nothing that came since was taken out. Else it is the first entry's place.
int64_t RecordLog::start_since(const Seen& now, int64_t first_offset) const {
  if (!seen_ || now.added < seen_->added) return first_offset;
  const bool same_head = now.length > 0 && seen_->length > 0 && now.first == seen_->first;
  const bool nothing_more_went = now.added - now.length == seen_->added - seen_->length;
  if (same_head || nothing_more_went) return seen_->start;
  const bool all_new_there = first_offset >= seen_->end && now.length == now.added - seen_->added;
  return all_new_there ? seen_->end : first_offset;
}

/// Start and end, of a stream that is this log's.
Task<Result<RecordLog::Borders>> RecordLog::look(int64_t deadline_ns) {
  Command command;
  ask_for_marker(command);
  command.begin(3).add("XINFO").add("STREAM").add(keys_.stream);
  const Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (Status status = ours(answer[0]); !status.ok()) co_return fail(status);
  co_return co_await borders(answer[1], deadline_ns);
}

void RecordLog::tell_passed(std::string_view id, std::string_view why) {
  const auto line = passed_lines_.pass(fmt::format("entry {} of the stream {} was passed: {}", id, keys_.stream, why),
                                       now_ns() / kNsPerMs);
  if (line) engine_->common.say(SLUICE_LOG_WARNING, *line);
}

/// Entries behind those that have an offset: no reader's offset moves beyond them, so each is counted once, by whoever
/// reads up to the end first.
Task<Result<uint64_t>> RecordLog::pass_strange_end(EntryId last, int64_t deadline_ns) {
  if (!is_beyond(last, ids()) || passed_ == last) co_return uint64_t{0};
  const bool first = !is_beyond(passed_, ids());
  Command command;
  command.begin(6).add("XRANGE").add(keys_.stream);
  command.add(first ? first_beyond(ids()) : fmt::format("({}-{}", passed_.high, passed_.low));
  command.add("+").add("COUNT").add(kMaxRecordEntries);
  const EntryId before = passed_;
  const Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return fail(answer.why);
  if (answer[0].is_error()) co_return fail(status_of(answer[0].text()));
  if (passed_ != before) co_return uint64_t{0};  // by another reader meanwhile
  const ReplyView entries = answer[0];
  passed_ = last;
  if (entries.size() == 0) co_return uint64_t{0};
  const std::string_view newest = entries[entries.size() - 1][0].text();
  const auto id = parse_entry_id(newest);
  if (!id) co_return fail(StatusCode::internal, "XRANGE told an entry without an id");
  passed_ = *id;
  tell_passed(newest, offset_of(*id, ids()).error().text());
  co_return uint64_t{entries.size()};
}

// ---- Append

Task<Status> RecordLog::append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  bool inside = one_by_one_ || gate_.is_taken();
  if (inside) co_await gate_.enter();
  if (has_failed(request.run)) {
    if (inside) gate_.leave();
    co_return Status(StatusCode::unavailable, "not sent, because an append before it failed");
  }
  const uint64_t number = ++sent_;
  bool astray = false;
  Follow follow = inside ? Follow::yes : Follow::never;
  Status status = co_await add(request, result, deadline_ns, follow, astray);
  // Refused, with nothing behind it: nobody is at the gate, and who comes waits there.
  if (!inside && !status.ok() && astray && number == sent_ && !has_failed(request.run)) {
    one_by_one_ = inside = true;
    co_await gate_.enter();
    follow = Follow::yes;
    status = co_await add(request, result, deadline_ns, follow, astray);
  }
  if (astray) {
    one_by_one_ = true;
  } else if (inside && status.ok()) {
    one_by_one_ = false;
  }
  if (!status.ok()) failed_run_ = std::max(failed_run_, request.run);
  if (inside) gate_.leave();
  co_return status;
}

/// `astray`: it was, or should be, sent again.
Task<Status> RecordLog::add(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns,
                            Follow follow, bool& astray) {
  const uint64_t largest = engine_->largest_unit == 0 ? kLargestUnitBytes : engine_->largest_unit;
  if (request.bytes > largest) {
    co_return Status(StatusCode::too_large, fmt::format("{} bytes; at most {} go at once", request.bytes, largest));
  }
  const Result<native::UnpackedUnit> unit = native::unpack(request, largest);
  if (!unit) co_return unit.error();
  std::vector<Run> runs;
  size_t arguments = 10;
  for (const native::UnpackedBatch& batch : unit->batches) {
    records::RecordIterator records(batch.section, batch.batch);
    for (records::RecordView record; records.next(record);) {
      const Form form = form_of(record);
      const size_t fields = field_arguments(record);
      if (fields > kMaxEntryArguments) {
        co_return Status(StatusCode::too_large,
                         fmt::format("a record with {} headers: an entry has fewer fields", record.headers_count));
      }
      // The first is told alone, as the script may have to take it back.
      if (form == Form::fields || runs.size() < 2 || runs.back().form != form) {
        runs.push_back({form, form == Form::fields ? static_cast<int64_t>(fields) : 0});
        arguments += 2;
      }
      if (form != Form::fields) ++runs.back().count;
      arguments += form == Form::fields ? fields : fields / 2;
    }
  }
  if (arguments > kMaxCommandArguments) {
    co_return Status(StatusCode::too_large,
                     fmt::format("{} records with their fields are {} arguments of a command, of "
                                 "which the server takes {}",
                                 unit->records, arguments, kMaxCommandArguments));
  }
  Command command;
  command.begin(arguments).add("EVALSHA").add(engine_->common.scripts[static_cast<size_t>(Script::add_records)]);
  const FieldNames names = this->names();
  command.add("2").add(keys_.marker).add(keys_.stream).add(id_).add(ids() == Ids::time ? "*" : "0-*");
  command.add(names.key).add(names.value).add(static_cast<int64_t>(unit->records));
  auto run = runs.begin();
  int64_t told = 0;  // records of the run
  for (const native::UnpackedBatch& batch : unit->batches) {
    records::RecordIterator records(batch.section, batch.batch);
    for (records::RecordView record; records.next(record);) {
      if (told == 0) command.add(name_of(run->form)).add(run->count);
      const int64_t timestamp = record.timestamp(batch.batch);
      if (run->form == Form::fields) {
        add_fields(command, names, record, timestamp);
      } else {
        if (record.key) command.lend(*record.key);
        command.lend(*record.value).add(timestamp);
      }
      if (++told < run->count && run->form != Form::fields) continue;
      ++run;
      told = 0;
    }
  }
  const Answer answer = co_await call(Lane::write, command, deadline_ns, follow);
  astray = answer.sends > 1 || (answer[0].is_error() && rule_for(answer[0].text()).remedy != Remedy::none);
  if (answer.fate == Answer::Fate::lost)
    co_return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
  if (!answer.replied()) co_return answer.why;
  const ReplyView added = answer[0];
  if (added.is_error() && is_id_refused(added.text())) {
    co_return Status(
        StatusCode::corrupt,
        fmt::format("the last id of the stream {} is not one of `XADD key 0-*`: with ids=dense nothing can "
                    "be appended any more",
                    keys_.stream));
  }
  if (added.is_error()) co_return status_of(added.text());
  if (added[0].text() == "BEYOND") {
    co_return Status(StatusCode::corrupt, fmt::format("behind the last id of the stream {} the server gives {}, which "
                                                      "has no offset: nothing can be appended (see the README)",
                                                      keys_.stream, added[1].text()));
  }
  if (added[0].text() == "NOT_FOUND") co_return ours(ReplyView());
  if (added.size() != unit->records) {
    co_return Status(StatusCode::unknown,
                     fmt::format("{} records were sent, and {} ids came back", unit->records, added.size()));
  }
  size_t at = 0;
  int64_t end = 0;
  for (size_t i = 0; i < unit->batches.size(); ++i) {
    const auto count = static_cast<size_t>(unit->batches[i].batch.records_count());
    sluice_batch_result& batch = result.batches[i];
    if (count == 0) continue;
    for (const bool first : {true, false}) {
      const auto id = parse_entry_id(added[first ? at : at + count - 1].text());
      const Result<int64_t> offset = id ? offset_of(*id, ids()) : Result<int64_t>(fail(StatusCode::internal, "no id"));
      if (!offset) co_return Status(StatusCode::unknown, offset.error().text());
      (first ? batch.first_offset : batch.last_offset) = *offset;
    }
    batch.applied = static_cast<uint32_t>(count);
    end = batch.last_offset + 1;
    at += count;
  }
  set(result, &sluice_append_result::end, end);
  co_return Status();
}

// ---- Read

int64_t RecordLog::entries_for(uint64_t bytes) const {
  return static_cast<int64_t>(
      std::min<uint64_t>(bytes / std::max<uint64_t>(usual_bytes_, 1) + 1, static_cast<uint64_t>(kMaxRecordEntries)));
}

/// The time in an entry's id; none where ids are dense.
Result<int64_t> RecordLog::time_of(EntryId id) const {
  return ids() == Ids::time ? static_cast<int64_t>(id.high) : records::kNoTimestamp;
}

Task<Status> RecordLog::read(const sluice_read& request, sluice_read_result& result, int64_t deadline_ns) {
  int64_t count = entries_for(request.max_bytes);
  const bool nothing_wanted = request.limit <= request.offset || request.offset < 0;
  std::string from = id_at(std::max<int64_t>(request.offset, 0), ids());
  const bool limited = request.limit > 0 && request.limit < offset_behind({UINT64_MAX, UINT64_MAX}, ids());
  const std::string to = "(" + (limited ? id_at(request.limit, ids()) : first_beyond(ids()));
  const auto ask_for_entries = [&](Command& command) {
    command.begin(6).add("XRANGE").add(keys_.stream).add(from).add(to).add("COUNT").add(count);
  };
  Command command;
  ask_for_marker(command);
  ask_for_entries(command);
  // Last, so that the end is never below what was read.
  command.begin(3).add("XINFO").add("STREAM").add(keys_.stream);
  Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  if (Status status = ours(answer[0]); !status.ok()) co_return status;
  const Result<Borders> borders = co_await this->borders(answer[2], deadline_ns);
  if (!borders) co_return borders.error();
  set(result, &sluice_read_result::start, borders->start);
  set(result, &sluice_read_result::end, borders->end);
  set(result, &sluice_read_result::next, request.offset);
  if (request.offset < borders->start || request.offset > borders->end) {
    co_return Status(StatusCode::out_of_range,
                     fmt::format("the stream goes from {} to {}", borders->start, borders->end));
  }
  if (nothing_wanted) co_return Status();

  native::Assembler assembler(request.limit, request.max_bytes);
  const FieldNames names = this->names();
  DecodedRecord decoded;
  std::vector<Passed> passed;
  int64_t looked_at = 0;
  bool full = false;
  bool over = false;  // there are no entries behind those that came
  ReplyView entries = answer[1];
  for (bool asked_again = false;; asked_again = true) {
    if (entries.is_error()) co_return status_of(entries.text());
    for (size_t i = 0; i < entries.size() && !full; ++i) {
      const std::string_view text = entries[i][0].text();
      const auto id = parse_entry_id(text);
      if (!id) co_return Status(StatusCode::internal, "XRANGE told an entry without an id");
      const Result<int64_t> offset = offset_of(*id, ids());
      if (!offset) {
        passed.push_back({offset_behind(*id, ids()), std::string(text), offset.error().text()});
        continue;
      }
      if (!decode_fields(entries[i][1], names, *time_of(*id), decoded)) {
        passed.push_back({*offset + 1, std::string(text), fmt::format("it has more than {} bytes", kMaxEntryBytes)});
        continue;
      }
      full = assembler.add(*offset, records::TimestampType::create_time, decoded.record) !=
             native::Assembler::Answer::taken;
    }
    looked_at += static_cast<int64_t>(entries.size());
    if (full || !assembler.empty() || looked_at >= kMaxRecordEntries) break;
    // Nothing, in what was asked for before the end was: what lies below that is asked for once more.
    over = entries.size() < static_cast<size_t>(count);
    if (over && (asked_again || borders->end <= request.offset)) break;
    if (entries.size() > 0) from = fmt::format("({}", entries[entries.size() - 1][0].text());
    count = std::min(kReadGrowth * count, kMaxRecordEntries);
    Command more;
    ask_for_entries(more);
    answer = co_await call(Lane::read, more, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    entries = answer[0];
  }
  int64_t next = request.offset;
  if (!assembler.empty()) {
    next = assembler.next();
  } else if (over) {
    // Entries that were taken out, or passed.
    next = std::max(next, std::min(borders->end, request.limit));
  } else if (!passed.empty()) {
    next = std::max(next, passed.back().behind);
  }
  uint64_t skipped = 0;
  for (const Passed& one : passed) {
    if (one.behind > next) break;  // the next read comes upon it
    ++skipped;
    tell_passed(one.id, one.why);
  }
  if (borders->is_strange && next >= borders->end) {
    const Result<uint64_t> behind = co_await pass_strange_end(borders->last, deadline_ns);
    skipped += behind.value_or(0);
  }
  auto lease = std::make_unique<plugin::Lease>();
  uint64_t bytes = 0;
  for (native::Built& built : assembler.finish()) {
    const auto owner = std::make_shared<Buffer>(std::move(built.bytes));
    bytes += owner->size();
    lease->add_memory(owner->view(), owner);
    lease->add_pinned(owner->capacity());
  }
  if (looked_at > 0)
    usual_bytes_ = std::max<uint64_t>((usual_bytes_ + bytes / static_cast<uint64_t>(looked_at)) / 2, 1);
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, next);
  set(result, &sluice_read_result::end, std::max(borders->end, next));
  set(result, &sluice_read_result::skipped, skipped);
  co_return Status();
}

Task<Status> RecordLog::bounds(sluice_bounds& result, int64_t deadline_ns) {
  const Result<Borders> borders = co_await look(deadline_ns);
  if (!borders) co_return borders.error();
  set(result, &sluice_bounds::start, borders->start);
  set(result, &sluice_bounds::end, borders->end);
  set(result, &sluice_bounds::bytes, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::newest_timestamp, SLUICE_UNKNOWN_NUMBER);
  set(result, &sluice_bounds::largest_unit, engine_->largest_unit);
  set(result, &sluice_bounds::capabilities, engine_->capabilities);
  co_return Status();
}

/// With ids of time the search begins at the first entry that was added at that time: a producer's clock is hardly ever
/// ahead of the server's. Dense ids tell no time: entries are looked through from the first.
Task<Status> RecordLog::locate(int64_t timestamp, sluice_locate_result& result, int64_t deadline_ns) {
  const Result<Borders> borders = co_await look(deadline_ns);
  if (!borders) co_return borders.error();
  int64_t at = borders->start;
  if (ids() == Ids::time && timestamp > 0)
    at = std::max(at, timestamp <= (INT64_MAX >> kSequenceBits) ? timestamp << kSequenceBits : INT64_MAX);
  set(result, &sluice_locate_result::end, borders->end);
  set(result, &sluice_locate_result::offset, borders->end);
  const FieldNames names = this->names();
  DecodedRecord decoded;
  std::string from = id_at(at, ids());
  const std::string to = "(" + first_beyond(ids());
  int64_t count = 1;  // mostly the first is the one
  while (at < borders->end) {
    const Command command{"XRANGE", keys_.stream, from, to, "COUNT", std::to_string(count)};
    const Answer answer = co_await call(Lane::read, command, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    if (answer[0].is_error()) co_return status_of(answer[0].text());
    for (size_t i = 0; i < answer[0].size(); ++i) {
      const auto id = parse_entry_id(answer[0][i][0].text());
      if (!id) co_return Status(StatusCode::internal, "XRANGE told an entry without an id");
      from = fmt::format("({}", answer[0][i][0].text());
      at = offset_behind(*id, ids());
      const Result<int64_t> offset = offset_of(*id, ids());
      if (!offset) continue;
      if (!decode_fields(answer[0][i][1], names, *time_of(*id), decoded)) continue;
      if (decoded.record.timestamp < timestamp) continue;
      set(result, &sluice_locate_result::offset, *offset);
      set(result, &sluice_locate_result::end, std::max(borders->end, *offset + 1));
      co_return Status();
    }
    if (answer[0].size() < static_cast<size_t>(count)) break;
    count = std::min(kLocateGrowth * count, entries_for(kLocateBytes));
  }
  co_return Status();
}

Task<Status> RecordLog::trim(int64_t offset, int64_t deadline_ns) {
  const Result<Borders> borders = co_await look(deadline_ns);
  if (!borders) co_return borders.error();
  // Where the last id tells no end, the last entry that has an offset does, and stays.
  const int64_t to = std::min(offset, borders->end - (borders->is_strange ? 1 : 0));
  if (to <= borders->start) co_return Status();
  const std::optional<Seen> before = seen_;
  Command command;
  command.begin(4).add("XTRIM").add(keys_.stream).add("MINID").add(id_at(to, ids()));
  command.begin(3).add("XINFO").add("STREAM").add(keys_.stream);
  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  if (answer.fate == Answer::Fate::lost)
    co_return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
  if (!answer.replied()) co_return answer.why;
  if (answer[0].is_error()) co_return status_of(answer[0].text());
  // It begins where it was trimmed to, also where no entry is, unless others took out something besides.
  const Result<Borders> after = co_await this->borders(answer[1], deadline_ns);
  if (after && before && seen_ && !after->is_strange && after->start >= to &&
      seen_->added - seen_->length == before->added - before->length + answer[0].integer()) {
    seen_->start = to;
  }
  co_return Status();
}

// ---- Watch

Task<Status> RecordLog::watch(int64_t offset, std::shared_ptr<const std::atomic<bool>> closed, int64_t deadline_ns) {
  Reactor& reactor = *engine_->common.reactor;
  const auto unavailable = [](const char* why) { return Status(StatusCode::unavailable, why); };
  int64_t pause_ms = kFirstRecordWatchMs;
  for (bool first = true;; first = false) {
    if (!first) {
      Event pause(reactor);
      reactor.call_after(pause_ms, [&pause] { pause.fire(); });
      co_await pause.wait();
      pause_ms = std::min(2 * pause_ms, kLongestRecordWatchMs);
    }
    if (*closed) co_return unavailable("the log was closed");
    if (engine_->stopping) co_return unavailable("the storage is being stopped");
    if (now_ns() >= deadline_ns) co_return unavailable("the deadline came before the end moved");
    Command command;
    ask_for_marker(command);
    command.begin(6).add("XRANGE").add(keys_.stream).add(id_at(std::max<int64_t>(offset, 0), ids()));
    command.add("(" + first_beyond(ids())).add("COUNT").add("1");
    const int64_t until_ns = std::min(deadline_ns, now_ns() + engine_->common.settings.silence_ms * kNsPerMs);
    const Answer answer = co_await call(Lane::read, command, until_ns);
    if (!answer.replied() || answer[0].is_error() || answer[1].is_error())
      continue;  // a server that is away comes back
    if (Status status = ours(answer[0]); !status.ok()) co_return first ? status : unavailable("the log was deleted");
    if (answer[1].size() == 0) continue;
    const auto id = parse_entry_id(answer[1][0][0].text());
    if (id && offset_of(*id, ids())) co_return Status();
    // One without an offset moves the end only together with another behind it.
    const Result<Borders> borders = co_await look(until_ns);
    if (borders && borders->end > offset) co_return Status();
  }
}

}  // namespace sluice::redis
