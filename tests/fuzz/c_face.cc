// SPDX-License-Identifier: Apache-2.0
// The C face called in any order, with any text, size and handle: the input is a program of calls on a few handles.
// Nothing may crash, whatever a caller does that C lets him do (pointers to memory that is not there excepted).
// Storages are those of the memory adapter, and clusters are such that nobody answers for.
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "sluice/sluice.h"

namespace {

constexpr size_t kHandles = 8;
constexpr size_t kMaxCalls = 64;
constexpr size_t kMaxTextBytes = 256;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool more() const { return left_ > 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  uint64_t number() {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  std::string text() {
    const size_t size = std::min<size_t>(byte() % (kMaxTextBytes + 1), left_);
    std::string made(reinterpret_cast<const char*>(data_), size);
    data_ += size;
    left_ -= size;
    return made;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

sluice_span span(const std::string& bytes, bool null) {
  return {null ? nullptr : reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

/// A folder for what one input writes, made when that first asks for it.
class Scratch {
 public:
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() {
    if (path_.empty()) {
      std::string made = (std::filesystem::temp_directory_path() / "sluice-c-face-fuzz-XXXXXX").string();
      if (::mkdtemp(made.data()) != nullptr) path_ = made;
    }
    return path_;
  }

 private:
  std::string path_;
};

constexpr const char* kStorage = R"({"name": "m", "library": "memory", "options": {"max_bytes": "64KiB"}})";
constexpr const char* kCluster = R"({"name": "k", "bootstrap": "127.0.0.1:1", "request_timeout_ms": 100})";

/// The text of a cursor that names one shard.
const std::string& a_cursor() {
  static const std::string text = [] {
    sluice_handle cursor = 0;
    char made[256];
    uint64_t size = 0;
    sluice_cursor_open(nullptr, 0, &cursor, nullptr);
    sluice_cursor_put(cursor, "m", 1, 1, nullptr);
    sluice_cursor_text(cursor, made, sizeof made, &size, nullptr);
    sluice_release(cursor, nullptr);
    return std::string(made, size);
  }();
  return text;
}

/// A storage of its own, or the one that has this handle.
std::string storage(Input& input, sluice_handle any) {
  if ((input.byte() & 3) == 0) return kStorage;
  return R"({"name": "m", "handle": )" + std::to_string(any) + "}";
}
std::string log_of(const std::string& storage, Scratch& scratch) {
  return R"("storage": )" + storage + R"(, "log": "l", "state_directory": ")" + scratch.path() + "\"";
}

/// Texts that get somewhere more often than chance does.
std::string config(Input& input, sluice_handle bus, Scratch& scratch) {
  switch (input.byte() % 14) {
    case 9:
      return R"({"storages": [)" + storage(input, bus) + R"(], "sources": [{"kind": "log", )" +
             log_of("\"m\"", scratch) + "}]}";
    case 10:
      return R"({"storages": [)" + storage(input, bus) +
             R"(], "sources": [{"kind": "native", "storage": "m", "stream": "s"}]})";
    case 11:
      return R"({"shards": 1, "retry": {"retries": 0}, "sink": {"kind": "log", )" +
             log_of(storage(input, bus), scratch) + "}}";
    case 12:
      return R"({"read_deadline_ms": 5, "clusters": [{"name": "k", "handle": )" + std::to_string(bus) +
             R"(}], "sources": [{"kind": "kafka", "cluster": "k", "topic": "t", "partition": 0}]})";
    case 13:
      return R"({"shards": 1, "capacity_events": )" + std::to_string(input.byte()) + R"(, "routing": "custom"})";
    case 8:
      return R"({"read_deadline_ms": 5, "sources": [{"kind": "calls", "source": )" + std::to_string(bus) + "}]}";
    case 5:
      return R"({"sink": {"kind": "calls", "sink": )" + std::to_string(bus) + R"(}, "retry": {"max_retries": 0}})";
    case 6:
      return R"({"id": "m", "max_bytes": 4096})";
    case 7:
      return R"({"sources": [{"kind": "memory", "memory": )" + std::to_string(bus) + "}]}";
    case 0:
      return R"({"shards": 1, "capacity_events": 16, "retain_events": 16, "when_full": "drop_newest"})";
    case 1:
      return R"({"sources": [{"kind": "bus", "bus": )" + std::to_string(bus) + "}]}";
    case 2:
      return R"({"sources": [{"kind": "bus", "bus": )" + std::to_string(bus) + R"(}], "filter": ")" + input.text() +
             "\"}";
    case 3:
      return "{\"" + input.text() + "\": " + input.text() + "}";
    default:
      return input.text();
  }
}

/// Opens by a text that makes sense to some of them, and puts the object in place of another.
template <class Open>
void open(Open&& function, const std::string& text, sluice_handle& target, sluice_failure& failure) {
  sluice_handle opened = 0;
  if (function(text.data(), text.size(), &opened, &failure) != SLUICE_OK) return;
  sluice_release(target, nullptr);
  target = opened;
}

sluice_record record_of(const std::string& bytes, const sluice_field& header, uint8_t flags) {
  sluice_record record{};
  record.timestamp_ns = (flags & 1) != 0 ? SLUICE_NO_TIMESTAMP : flags;
  record.key = span(bytes, (flags & 2) != 0);
  record.value = span(bytes, (flags & 4) != 0);
  record.headers = (flags & 8) != 0 ? nullptr : &header;
  record.header_count = (flags >> 4) & 1;
  return record;
}

void deliver(void*, const sluice_event_batch* batch, sluice_handle answer) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < batch->count; ++i) sum += batch->records[i].value.size;
  sluice_failure refusal{};
  refusal.size = sizeof refusal;
  refusal.code = SLUICE_INVALID;
  sluice_delivered delivered{};
  delivered.size = sizeof delivered;
  delivered.refused = static_cast<uint32_t>(sum % 3);
  delivered.refusal = &refusal;
  if (sum % 5 != 0) sluice_answer(answer, sum % 4 == 0 ? &refusal : nullptr, &delivered, nullptr);
  sluice_release(answer, nullptr);
}
void read(void* context, const sluice_page_wanted* wanted, sluice_handle answer) {
  const auto flags = static_cast<uint8_t>(reinterpret_cast<uintptr_t>(context));
  sluice_failure outcome{};
  outcome.size = sizeof outcome;
  outcome.code = (flags & 1) != 0 ? SLUICE_INTERNAL : SLUICE_OUT_OF_RANGE;
  sluice_record records[2]{};
  records[0].position = wanted->from;
  records[1].position = wanted->from + (flags & 2);
  sluice_page_shown shown{};
  shown.size = sizeof shown;
  shown.finished = flags >> 7;
  shown.next = wanted->from + (flags & 3);
  shown.records = (flags & 4) != 0 ? nullptr : records;
  shown.count = (flags >> 3) & 3;
  sluice_answer_page(answer, (flags & 32) != 0 ? &outcome : nullptr, &shown, nullptr);
  sluice_answer_bounds(answer, nullptr, 0, 1, nullptr);
  sluice_release(answer, nullptr);
}
void bounds(void* context, sluice_handle answer) {
  const auto flags = static_cast<int8_t>(reinterpret_cast<uintptr_t>(context));
  sluice_answer_position(answer, nullptr, flags, nullptr);
  sluice_answer_bounds(answer, nullptr, flags, flags + 1, nullptr);
  sluice_release(answer, nullptr);
}
void observe(void* context, sluice_handle observations) {
  const auto flags = reinterpret_cast<uintptr_t>(context);
  sluice_instrument described{};
  described.size = sizeof described;
  described.kind = static_cast<uint32_t>(flags % 4);
  described.name = {reinterpret_cast<const uint8_t*>("seen"), 4};
  sluice_observe(observations, &described, static_cast<int8_t>(flags), nullptr);
  if (flags % 8 == 0) sluice_release(observations, nullptr);
}
// What a bus with functions calls; the context is how they answer.
uint32_t route(void* context, const sluice_event* event, uint32_t shards) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(context) + event->value.size) % (shards + 1);
}
sluice_handle sink_for_shard(void* context, uint64_t shard) {
  const auto flags = reinterpret_cast<uintptr_t>(context);
  if ((flags & 4) != 0 && shard % 2 == 1) return 0;
  sluice_sink_calls calls{};
  calls.size = sizeof calls;
  calls.deliver = &deliver;
  sluice_handle made = 0;
  sluice_sink_open(&calls, &made, nullptr);
  return made;
}
int64_t tell_time(void* context) {
  return static_cast<int8_t>(reinterpret_cast<uintptr_t>(context));
}
void changed(void*, uint64_t, uint32_t) {}
void take_line(void*, const char*, uint64_t) {}
uint32_t judge(void* context, const sluice_record* record) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(context) + record->value.size) % 3;
}
uint32_t push(void*, sluice_handle page, const sluice_polled*, const sluice_failure*) {
  sluice_release(page, nullptr);
  return 1;
}
void answered(void*, const sluice_written*, const sluice_failure*) {}

/// Everything that asks and ends, of a handle of whatever kind.
void ask_all(sluice_handle any, uint32_t size, std::vector<char>& buffer, const std::string& text) {
  sluice_failure failure{};
  failure.size = sizeof failure;
  uint64_t needed = 0;
  uint32_t flag = 0;
  int64_t number = 0;
  char* const out = buffer.data();
  const uint64_t room = buffer.size();
  const auto counts = [&](auto struct_of, auto function) {
    struct_of.size = (size & 1) != 0 ? size : sizeof struct_of;
    function(any, &struct_of, &failure);
  };
  counts(sluice_limiter_counts{}, &sluice_limiter_stats);
  counts(sluice_log_counts{}, &sluice_log_stats);
  counts(sluice_dead_letters_counts{}, &sluice_dead_letters_stats);
  counts(sluice_envelope_counts{}, &sluice_envelope_stats);
  counts(sluice_trace_ids{}, &sluice_trace_read);
  sluice_bus_subscribable(any, &needed, 1, &needed, &failure);
  sluice_bus_ingest_raw(any, span(text, false), &failure);
  sluice_bus_drain(any, 0, &failure);
  sluice_bus_flush(any, 0, &failure);
  sluice_consumer_state(any, &needed, &flag, &failure);
  sluice_consumer_cursor(any, out, room, &needed, &failure);
  sluice_consumer_drop(any, text.data(), text.size(), &failure);
  sluice_cursor_count(any, &needed, &failure);
  sluice_cursor_text(any, out, room, &needed, &failure);
  sluice_cursor_get(any, text.data(), text.size(), &number, &failure);
  sluice_parse_position(text.data(), text.size(), &number, &failure);
  sluice_filter_json(any, out, room, &needed, &failure);
  sluice_filter_reads_payload(any, &flag, &failure);
  sluice_gauge_set(any, size, &failure);
  sluice_meter_start(any, &number, &failure);
  sluice_meter_succeed(any, number, &failure);
  sluice_trace_parent(any, out, room, &needed, &failure);
  sluice_subscription_running(any, &flag, &failure);
  sluice_checkpoints_newest(any, text.data(), text.size(), nullptr, out, room, &needed, &failure);
  sluice_checkpoints_list(any, text.data(), text.size(), out, room, &needed, &failure);
  sluice_log_id(any, out, room, &needed, &failure);
  sluice_log_trim(any, size, &failure);
  sluice_storage_logs(any, out, room, &needed, &failure);
  sluice_cluster_partitions(any, text.data(), text.size(), nullptr, &failure);
  sluice_condition_name(size);
  if ((size & 2) != 0) {
    sluice_subscription_stop(any, 1'000, &failure);
    sluice_dead_letters_close(any, 0, &failure);
    sluice_log_close(any, 0, &failure);
    sluice_consumer_close(any, 1'000, &failure);
  }
}

/// What lies around buses and consumers.
void call_service(uint8_t which, Input& input, sluice_handle any, sluice_handle other, sluice_handle& target,
                  Scratch& scratch) {
  sluice_failure failure{};
  failure.size = sizeof failure;
  std::vector<char> buffer(512);
  const uint64_t room = input.byte() * 2U;
  uint64_t needed = 0;
  const std::string text = input.text();
  const uint8_t flags = input.byte();
  const sluice_field header{span(text, (flags & 1) != 0), span(text, (flags & 2) != 0)};
  const sluice_record record = record_of(text, header, flags);
  const auto keep = [&](sluice_handle made) {
    sluice_release(target, nullptr);
    target = made;
  };
  sluice_handle made = 0;
  switch (which % 24) {
    case 0:
      open(&sluice_limiter_open, R"({"tokens": 5, "burst": )" + std::to_string(flags) + "}", target, failure);
      break;
    case 1: {
      const sluice_limiter_request requests[] = {{span(text, (flags & 4) != 0), flags}, {span(text, false), 1}};
      sluice_limiter_decision decisions[2];
      sluice_limiter_acquire_batch(any, requests, (flags & 8) != 0 ? input.number() : 2,
                                   (flags & 16) != 0 ? nullptr : decisions, &failure);
      break;
    }
    case 2:
      open(&sluice_telemetry_open, (flags & 4) != 0 ? text : "{}", target, failure);
      break;
    case 3: {
      sluice_instrument described{};
      described.size = sizeof described;
      described.kind = flags % 4;
      described.name = span(text, (flags & 4) != 0);
      described.attributes = &header;
      described.attribute_count = flags >> 7;
      if (sluice_telemetry_instrument(any, &described, &made, &failure) == SLUICE_OK) keep(made);
      break;
    }
    case 4: {
      int64_t value = 0;
      sluice_counter_add(any, flags, &failure);
      sluice_gauge_add(any, flags, &failure);
      sluice_durations_record(any, static_cast<int64_t>(input.number()), &failure);
      sluice_durations_quantile(any, flags / 200.0, &needed, &failure);
      sluice_instrument_value(any, &value, &failure);
      sluice_telemetry_text(any, flags % 4, &header, flags & 1, buffer.data(), room, &needed, &failure);
      break;
    }
    case 5:
      if (sluice_telemetry_meter(any, span(text, false), header.name, header.value, &made, &failure) == SLUICE_OK) {
        keep(made);
      }
      failure.code = flags;
      sluice_meter_fail(any, flags, &failure, nullptr);
      sluice_telemetry_failure(any, header.name, header.value, header.name, flags, &failure, nullptr);
      break;
    case 6: {
      const std::string second = input.text();
      sluice_diff_make(text.data(), text.size(), second.data(), second.size(), nullptr, buffer.data(), room, &needed,
                       &failure);
      sluice_diff_hash(text.data(), text.size(), nullptr, buffer.data(), room, &needed, &failure);
      sluice_diff_apply(text.data(), text.size(), second.data(), second.size(), nullptr, buffer.data(), room, &needed,
                        &failure);
      break;
    }
    case 7:
      if (sluice_trace_parse(text.data(), text.size(), nullptr, 0, &made, &failure) == SLUICE_OK) keep(made);
      if (sluice_trace_begin(flags & 3, &made, &failure) == SLUICE_OK) keep(made);
      break;
    case 8: {
      sluice_field fields[3];
      if (sluice_trace_child(any, &made, &failure) == SLUICE_OK) keep(made);
      if (sluice_trace_with_state(any, text.data(), text.size(), text.data(), text.size(), &made, &failure) ==
          SLUICE_OK) {
        keep(made);
      }
      if (sluice_trace_extract(&header, flags >> 7, &made, &failure) == SLUICE_OK) keep(made);
      sluice_trace_headers(any, &header, flags >> 7, fields, flags % 4, &needed, &failure);
      sluice_trace_state(any, buffer.data(), room, &needed, &failure);
      break;
    }
    case 9:
      open(&sluice_memory_open, config(input, any, scratch), target, failure);
      sluice_memory_append(any, &record, 1, nullptr, &failure);
      sluice_memory_trim(any, flags, &failure);
      if ((flags & 32) != 0) sluice_memory_seal(any, &failure);
      break;
    case 10:
      if (sluice_cursor_open(text.data(), (flags & 4) != 0 ? 0 : text.size(), &made, &failure) == SLUICE_OK) keep(made);
      sluice_cursor_put(any, text.data(), text.size(), static_cast<int64_t>(input.number()), &failure);
      sluice_cursor_advance(any, text.data(), text.size(), flags, &failure);
      sluice_cursor_entry(any, flags % 4, nullptr, buffer.data(), room, &needed, &failure);
      if (sluice_cursor_greatest(any, other, &made, &failure) == SLUICE_OK) keep(made);
      sluice_cursor_forget(any, text.data(), text.size(), &failure);
      break;
    case 16: {
      sluice_source_calls calls{};
      calls.size = (flags & 1) != 0 ? sizeof calls : flags;
      calls.context = reinterpret_cast<void*>(uintptr_t{flags});
      calls.read = &read;
      calls.bounds = (flags & 2) != 0 ? nullptr : &bounds;
      if (sluice_source_open(text.data(), text.size(), &calls, &made, &failure) == SLUICE_OK) keep(made);
      break;
    }
    case 17:
      if (sluice_telemetry_observe(any, (flags & 64) != 0 ? nullptr : &observe, nullptr,
                                   reinterpret_cast<void*>(uintptr_t{flags}), &made, &failure) == SLUICE_OK) {
        keep(made);
      }
      break;
    case 11: {
      sluice_sink_calls calls{};
      calls.size = (flags & 1) != 0 ? sizeof calls : flags;
      calls.deliver = (flags & 2) != 0 ? nullptr : &deliver;
      calls.max_batch_events = flags >> 4;
      if (sluice_sink_open(&calls, &made, &failure) == SLUICE_OK) keep(made);
      break;
    }
    case 12: {
      open(&sluice_dead_letters_open, config(input, any, scratch), target, failure);
      sluice_cause cause{};
      cause.size = sizeof cause;
      cause.source = span(text, (flags & 64) != 0);
      cause.why = (flags & 32) != 0 ? nullptr : &failure;
      sluice_dead_letters_offer(other, &record, &cause, nullptr);
      sluice_dead_letters_run(other, nullptr, &failure);
      break;
    }
    case 13: {
      sluice_poll request{};
      request.size = (flags & 1) != 0 ? flags : sizeof request;
      request.max_records = flags;
      request.max_bytes = flags;
      request.min_records = 1;
      if (sluice_subscribe(any, &request, &push, nullptr, nullptr, &made, &failure) == SLUICE_OK) keep(made);
      sluice_subscription_pause(other, &failure);
      sluice_subscription_resume(other, &failure);
      sluice_consumer_seek_to(any, text.data(), text.size(), flags % 5, flags, &failure);
      sluice_consumer_give_back(any, other, &failure);
      sluice_consumer_forget(any, text.data(), text.size(), &failure);
      break;
    }
    case 14: {
      uint64_t taken = 0;
      auto* bytes = reinterpret_cast<uint8_t*>(buffer.data());
      open(&sluice_envelope_writer_open, (flags & 1) != 0 ? text : R"({"codec": "lz4"})", target, failure);
      sluice_envelope_write(any, span(text, (flags & 2) != 0), bytes, room, &needed, &failure);
      if ((flags & 4) != 0) open(&sluice_envelope_reader_open, "{}", target, failure);
      sluice_envelope_read(other, span(text, (flags & 8) != 0), &taken, bytes, room, &needed, &failure);
      sluice_envelope_finish(other, nullptr, &failure);
      break;
    }
    case 18:
      open(&sluice_storage_open, (flags & 1) != 0 ? text : kStorage, target, failure);
      sluice_storage_health(other, buffer.data(), room, &needed, &failure);
      sluice_storage_logs(other, buffer.data(), room, &needed, &failure);
      if (flags % 8 == 2) sluice_storage_stop(other, 1'000, &failure);
      break;
    case 19:
      open(&sluice_log_open, "{" + log_of(storage(input, any), scratch) + ((flags & 1) != 0 ? text : "}"), target,
           failure);
      sluice_log_append(other, &record, 1, &answered, nullptr, &failure);
      sluice_log_write(other, &record, 1, 1'000, nullptr, &failure);
      sluice_log_flush(other, 1'000, &failure);
      sluice_log_id(other, buffer.data(), room, &needed, &failure);
      break;
    case 20: {
      open(&sluice_checkpoints_open, (flags & 1) != 0 ? text : R"({"directory": ")" + scratch.path() + "\"}", target,
           failure);
      sluice_checkpoint about{};
      about.size = sizeof about;
      const std::string group = (flags & 2) != 0 ? text : "g";
      const std::string cursor = (flags & 4) != 0 ? text : a_cursor();
      sluice_checkpoints_commit(other, group.data(), group.size(), flags >> 5, cursor.data(), cursor.size(), &header,
                                (flags >> 3) & 1, &needed, &failure);
      sluice_checkpoints_newest(other, group.data(), group.size(), &about, buffer.data(), room, &needed, &failure);
      sluice_checkpoints_groups(other, buffer.data(), room, &needed, &failure);
      break;
    }
    case 21: {
      int32_t partitions = 0;
      open(&sluice_cluster_open, (flags & 1) != 0 ? text : kCluster, target, failure);
      // A tenth of a second, since nobody answers.
      if (flags % 16 == 0) sluice_cluster_partitions(other, text.data(), text.size(), &partitions, &failure);
      break;
    }
    case 22: {
      sluice_bus_calls calls{};
      calls.size = (flags & 1) != 0 ? flags : sizeof calls;
      calls.context = reinterpret_cast<void*>(uintptr_t{flags});
      calls.route = (flags & 2) != 0 ? nullptr : &route;
      calls.sink_for_shard = (flags & 8) != 0 ? nullptr : &sink_for_shard;
      calls.on_change = &changed;
      calls.log = &take_line;
      calls.clock = (flags & 16) != 0 ? nullptr : &tell_time;
      open([&](const char* given, uint64_t size, sluice_handle* bus,
               sluice_failure* why) { return sluice_bus_open_with(given, size, &calls, bus, why); },
           config(input, any, scratch), target, failure);
      break;
    }
    case 23: {
      const sluice_predicate passes = (flags & 1) != 0 ? nullptr : &judge;
      const std::string cursor = (flags & 2) != 0 ? text : std::string();
      open(
          [&](const char* given, uint64_t size, sluice_handle* consumer, sluice_failure* why) {
            return sluice_consumer_open_with(given, size, cursor.data(), cursor.size(), passes,
                                             reinterpret_cast<void*>(uintptr_t{flags}), consumer, why);
          },
          config(input, any, scratch), target, failure);
      break;
    }
    default:
      sluice_log_append(any, &record, flags, &answered, nullptr, &failure);
      sluice_log_write(any, &record, 1, 0, nullptr, &failure);
      sluice_storage_health(any, buffer.data(), room, &needed, &failure);
      sluice_bus_report(any, buffer.data(), room, &needed, &failure);
      sluice_answer(any, (flags & 1) != 0 ? &failure : nullptr, nullptr, nullptr);
      ask_all(any, flags, buffer, text);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Scratch scratch;
  sluice_handle made[kHandles] = {};
  sluice_failure failure{};
  failure.size = sizeof failure;
  std::vector<char> buffer(512);
  uint64_t needed = 0;
  for (size_t calls = 0; calls < kMaxCalls && input.more(); ++calls) {
    sluice_handle& target = made[input.byte() % kHandles];
    const uint8_t which = input.byte();
    const sluice_handle any = (which & 0x80) != 0 ? input.number() : made[which % kHandles];
    switch (const uint8_t what = input.byte(); what % 32) {
      case 0: {
        const std::string text = config(input, any, scratch);
        sluice_handle opened = 0;
        if (sluice_bus_open(text.data(), text.size(), &opened, &failure) == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 1: {
        const std::string text = config(input, any, scratch);
        const std::string cursor = (input.byte() & 1) != 0 ? input.text() : std::string();
        sluice_handle opened = 0;
        if (sluice_consumer_open(text.data(), text.size(), cursor.data(), cursor.size(), &opened, &failure) ==
            SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 2: {
        const std::string text = input.text();
        sluice_handle opened = 0;
        const bool json = (input.byte() & 1) != 0;
        const sluice_status status = json ? sluice_filter_from_json(text.data(), text.size(), &opened, &failure)
                                          : sluice_filter_parse(text.data(), text.size(), &opened, &failure);
        if (status == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = opened;
        }
        break;
      }
      case 3: {
        const std::string key = input.text();
        const std::string value = input.text();
        const uint8_t flags = input.byte();
        sluice_field header{span(key, (flags & 1) != 0), span(value, (flags & 2) != 0)};
        sluice_event event{};
        event.size = (flags & 4) != 0 ? input.byte() : sizeof event;
        event.key = span(key, (flags & 8) != 0);
        event.value = span(value, (flags & 16) != 0);
        event.headers = (flags & 32) != 0 ? nullptr : &header;
        event.header_count = flags >> 7;
        sluice_bus_ingest(any, &event, &failure);
        const sluice_event* const batch[] = {&event, (flags & 64) != 0 ? nullptr : &event};
        sluice_bus_ingest_batch(any, batch, 2, nullptr, &failure);
        break;
      }
      case 4: {
        sluice_poll poll{};
        poll.size = (which & 1) != 0 ? input.byte() : sizeof poll;
        poll.max_records = static_cast<uint32_t>(input.byte());
        poll.max_bytes = input.number();
        poll.min_records = input.byte();
        sluice_polled polled{};
        polled.size = sizeof polled;
        sluice_handle page = 0;
        if (sluice_consumer_poll(any, &poll, &page, &polled, &failure) == SLUICE_OK) {
          sluice_release(target, nullptr);
          target = page;
        }
        break;
      }
      case 5: {
        const sluice_record* records = nullptr;
        const sluice_note* notes = nullptr;
        uint64_t count = 0;
        uint64_t sum = 0;
        if (sluice_page_records(any, &records, &count, &failure) == SLUICE_OK) {
          for (uint64_t i = 0; i < count; ++i) {
            for (uint64_t j = 0; j < records[i].value.size; ++j) sum += records[i].value.data[j];
          }
        }
        sluice_page_notes(any, &notes, &count, sum == 1 ? nullptr : &failure);
        break;
      }
      case 6:
        sluice_page_cursor(any, buffer.data(), input.byte() * 2, &needed, &failure);
        break;
      case 7: {
        const std::string left = input.text();
        const std::string right = input.text();
        int32_t order = 0;
        sluice_cursor_compare(left.data(), left.size(), right.data(), right.size(), &order, &failure);
        break;
      }
      case 8: {
        const std::string text = input.text();
        sluice_consumer_seek(any, text.data(), text.size(), &failure);
        sluice_consumer_pause(any, text.data(), text.size(), &failure);
        sluice_consumer_resume(any, text.data(), text.size(), &failure);
        sluice_consumer_remove(any, text.data(), text.size(), &failure);
        break;
      }
      case 9: {
        const std::string text = config(input, any, scratch);
        sluice_consumer_add(any, text.data(), text.size(), nullptr, &failure);
        break;
      }
      case 10:
        sluice_consumer_wake(any, &failure);
        break;
      case 11: {
        sluice_candidate record{};
        const std::string value = input.text();
        record.size = sizeof record;
        record.value = span(value, false);
        record.header_count = input.byte() & 1;
        int32_t truth = 0;
        sluice_filter_judge(any, &record, &truth, &failure);
        sluice_filter_text(any, buffer.data(), buffer.size(), &needed, &failure);
        break;
      }
      case 12: {
        sluice_bus_counts counts{};
        counts.size = sizeof counts;
        sluice_bus_stats(any, &counts, &failure);
        sluice_bus_remove_shard(any, input.byte(), &failure);
        sluice_bus_add_shard(any, nullptr, &failure);
        break;
      }
      case 13:
        sluice_bus_shutdown(any, 1'000, &failure);
        break;
      case 14: {
        const std::string bytes = input.text();
        sluice_envelope_decode(span(bytes, false), input.byte() * 64U, reinterpret_cast<uint8_t*>(buffer.data()),
                               buffer.size(), &needed, nullptr, &failure);
        sluice_envelope_encode(span(bytes, false), input.byte() % 6, 1 << 16, reinterpret_cast<uint8_t*>(buffer.data()),
                               buffer.size(), &needed, &failure);
        break;
      }
      case 15:
        sluice_release(any, &failure);
        break;
      default:
        call_service(what, input, any, made[(which + 1U) % kHandles], target, scratch);
        break;
    }
  }
  for (const sluice_handle handle : made) {
    sluice_bus_shutdown(handle, 1'000, nullptr);  // nothing is said of a bus that was shut down
    sluice_release(handle, nullptr);
  }
  // What ends on a thread of its own takes a moment.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (sluice_handles() != 0) {
    if (std::chrono::steady_clock::now() > until) __builtin_trap();
    std::this_thread::yield();
  }
  return 0;
}
