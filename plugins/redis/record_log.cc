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
    : engine_(std::move(engine)), keys_(std::move(keys)), id_(id.to_string()) {}

Task<Answer> RecordLog::call(Lane lane, const Command& command, int64_t deadline_ns) {
  return engine_->servers.call(keys_.slot, lane, command, deadline_ns);
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
Result<RecordLog::Borders> RecordLog::borders(ReplyView info) const {
  if (info.is_error() && info.text().starts_with(kNoSuchKey)) return Borders{};
  if (info.is_error()) return fail(status_of(info.text()));
  const auto last = parse_entry_id(field(info, "last-generated-id").text());
  if (!last) return fail(StatusCode::internal, "XINFO STREAM told no last-generated-id");
  const Result<int64_t> end = stream_end(*last, ids());
  if (!end) return fail(end.error());
  Borders found{0, *end};
  // As long as nothing was ever taken out, the stream begins at 0: so that a reader who waits at the beginning of an
  // empty one is not told that what comes first is out of his range.
  const int64_t length = field(info, "length").integer();
  if (field(info, "entries-added").integer() == length) return found;
  found.start = found.end;
  if (length == 0) return found;
  const auto first = parse_entry_id(field(info, "first-entry")[0].text());
  if (!first) return found;
  const Result<int64_t> start = offset_of(*first, ids());
  if (!start) return fail(start.error());
  found.start = *start;
  return found;
}

// ---- Append

Task<Status> RecordLog::append(const sluice_append& request, sluice_append_result& result, int64_t deadline_ns) {
  const uint64_t largest = engine_->largest_unit == 0 ? kLargestUnitBytes : engine_->largest_unit;
  if (request.bytes > largest) {
    co_return Status(StatusCode::too_large, fmt::format("{} bytes; at most {} go at once", request.bytes, largest));
  }
  const Result<native::UnpackedUnit> unit = native::unpack(request, largest);
  if (!unit) co_return unit.error();
  std::vector<Run> runs;
  size_t arguments = 9;
  for (const native::UnpackedBatch& batch : unit->batches) {
    records::RecordIterator records(batch.section, batch.batch);
    for (records::RecordView record; records.next(record);) {
      const Form form = form_of(record);
      const size_t fields = field_arguments(record);
      if (fields > kMaxEntryArguments) {
        co_return Status(StatusCode::too_large,
                         fmt::format("a record with {} headers: an entry has fewer fields", record.headers_count));
      }
      if (form == Form::fields || runs.empty() || runs.back().form != form) {
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
  command.add(names.key).add(names.value);
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
  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  if (answer.fate == Answer::Fate::lost)
    co_return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
  if (!answer.replied()) co_return answer.why;
  const ReplyView added = answer[0];
  if (added.is_error()) co_return status_of(added.text());
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
  const int64_t count = entries_for(request.max_bytes);
  const bool nothing_wanted = request.limit <= request.offset || request.offset < 0;
  Command command;
  ask_for_marker(command);
  command.begin(6).add("XRANGE").add(keys_.stream).add(id_at(std::max<int64_t>(request.offset, 0), ids()));
  command.add(request.limit == INT64_MAX || request.limit <= 0 ? std::string("+") : id_at(request.limit - 1, ids()));
  command.add("COUNT").add(nothing_wanted ? int64_t{1} : count);
  // Last, so that the end is never below what was read.
  command.begin(3).add("XINFO").add("STREAM").add(keys_.stream);
  const Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  if (Status status = ours(answer[0]); !status.ok()) co_return status;
  const Result<Borders> borders = this->borders(answer[2]);
  if (!borders) co_return borders.error();
  set(result, &sluice_read_result::start, borders->start);
  set(result, &sluice_read_result::end, borders->end);
  set(result, &sluice_read_result::next, request.offset);
  if (request.offset < borders->start || request.offset > borders->end) {
    co_return Status(StatusCode::out_of_range,
                     fmt::format("the stream goes from {} to {}", borders->start, borders->end));
  }
  if (nothing_wanted) co_return Status();
  const ReplyView entries = answer[1];
  if (entries.is_error()) co_return status_of(entries.text());

  native::Assembler assembler(request.limit, request.max_bytes);
  const FieldNames names = this->names();
  DecodedRecord decoded;
  bool full = false;
  for (size_t i = 0; i < entries.size() && !full; ++i) {
    const auto id = parse_entry_id(entries[i][0].text());
    if (!id) co_return Status(StatusCode::internal, "XRANGE told an entry without an id");
    const Result<int64_t> offset = offset_of(*id, ids());
    if (!offset && assembler.empty()) co_return offset.error();
    if (!offset) break;
    decode_fields(entries[i][1], names, *time_of(*id), decoded);
    full =
        assembler.add(*offset, records::TimestampType::create_time, decoded.record) != native::Assembler::Answer::taken;
  }
  int64_t next = request.offset;
  if (!assembler.empty()) {
    next = assembler.next();
  } else if (entries.size() == 0) {
    // Entries that were taken out.
    next = std::min(borders->end, request.limit);
  }
  auto lease = std::make_unique<plugin::Lease>();
  uint64_t bytes = 0;
  for (native::Built& built : assembler.finish()) {
    const auto owner = std::make_shared<Buffer>(std::move(built.bytes));
    bytes += owner->size();
    lease->add_memory(owner->view(), owner);
    lease->add_pinned(owner->capacity());
  }
  if (entries.size() > 0) usual_bytes_ = std::max<uint64_t>((usual_bytes_ + bytes / entries.size()) / 2, 1);
  plugin::Lease::lend(std::move(lease), result);
  set(result, &sluice_read_result::next, next);
  co_return Status();
}

Task<Status> RecordLog::bounds(sluice_bounds& result, int64_t deadline_ns) {
  Command command;
  ask_for_marker(command);
  command.begin(3).add("XINFO").add("STREAM").add(keys_.stream);
  const Answer answer = co_await call(Lane::read, command, deadline_ns);
  if (!answer.replied()) co_return answer.why;
  if (Status status = ours(answer[0]); !status.ok()) co_return status;
  const Result<Borders> borders = this->borders(answer[1]);
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
  sluice_bounds bounds{};
  bounds.size = sizeof bounds;
  if (Status status = co_await this->bounds(bounds, deadline_ns); !status.ok()) co_return status;
  int64_t at = bounds.start;
  if (ids() == Ids::time && timestamp > 0)
    at = std::max(at, timestamp <= (INT64_MAX >> kSequenceBits) ? timestamp << kSequenceBits : INT64_MAX);
  set(result, &sluice_locate_result::end, bounds.end);
  set(result, &sluice_locate_result::offset, bounds.end);
  const FieldNames names = this->names();
  DecodedRecord decoded;
  int64_t count = 1;  // mostly the first is the one
  while (at < bounds.end) {
    Command command;
    command.begin(6).add("XRANGE").add(keys_.stream).add(id_at(at, ids())).add("+").add("COUNT").add(count);
    const Answer answer = co_await call(Lane::read, command, deadline_ns);
    if (!answer.replied()) co_return answer.why;
    if (answer[0].is_error()) co_return status_of(answer[0].text());
    for (size_t i = 0; i < answer[0].size(); ++i) {
      const auto id = parse_entry_id(answer[0][i][0].text());
      const Result<int64_t> offset = id ? offset_of(*id, ids()) : Result<int64_t>(fail(StatusCode::internal, "no id"));
      if (!offset) co_return offset.error();
      decode_fields(answer[0][i][1], names, *time_of(*id), decoded);
      at = *offset + 1;
      if (decoded.record.timestamp < timestamp) continue;
      set(result, &sluice_locate_result::offset, *offset);
      set(result, &sluice_locate_result::end, std::max(bounds.end, *offset + 1));
      co_return Status();
    }
    if (answer[0].size() < static_cast<size_t>(count)) break;
    count = std::min(kLocateGrowth * count, entries_for(kLocateBytes));
  }
  co_return Status();
}

Task<Status> RecordLog::trim(int64_t offset, int64_t deadline_ns) {
  sluice_bounds bounds{};
  bounds.size = sizeof bounds;
  if (Status status = co_await this->bounds(bounds, deadline_ns); !status.ok()) co_return status;
  if (offset <= bounds.start) co_return Status();
  Command command;
  command.begin(4).add("XTRIM").add(keys_.stream).add("MINID").add(id_at(std::min(offset, bounds.end), ids()));
  const Answer answer = co_await call(Lane::write, command, deadline_ns);
  if (answer.fate == Answer::Fate::lost)
    co_return Status(StatusCode::unknown, answer.why.text(), answer.why.native_code());
  if (!answer.replied()) co_return answer.why;
  if (answer[0].is_error()) co_return status_of(answer[0].text());
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
    command.begin(6).add("XRANGE").add(keys_.stream).add(id_at(std::max<int64_t>(offset, 0), ids())).add("+");
    command.add("COUNT").add("1");
    const int64_t until_ns = std::min(deadline_ns, now_ns() + engine_->common.settings.silence_ms * kNsPerMs);
    const Answer answer = co_await call(Lane::read, command, until_ns);
    if (!answer.replied() || answer[0].is_error() || answer[1].is_error())
      continue;  // a server that is away comes back
    if (Status status = ours(answer[0]); !status.ok()) co_return first ? status : unavailable("the log was deleted");
    if (answer[1].size() > 0) co_return Status();
  }
}

}  // namespace sluice::redis
