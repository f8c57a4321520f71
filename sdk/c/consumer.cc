// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/consumer.h"

#include <fmt/format.h>

#include <vector>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/handle_table.hpp"
#include "c/sources.hpp"
#include "sluice/consumer.hpp"
#include "sluice/filter.hpp"

namespace sluice::c {
namespace {

static_assert(SLUICE_SHARD_FAILED == static_cast<unsigned>(ShardCondition::failed));
static_assert(SLUICE_SHARD_STALLED == static_cast<unsigned>(ShardCondition::stalled));
static_assert(SLUICE_SHARD_CAPPED == static_cast<unsigned>(ShardCondition::capped));
static_assert(SLUICE_SHARD_FINISHED == static_cast<unsigned>(ShardCondition::finished));
static_assert(SLUICE_NO_TIMESTAMP == kNoTimestamp);

// Of the first versions.
constexpr size_t kPollBytes = sizeof(sluice_poll);
constexpr size_t kPolledBytes = sizeof(sluice_polled);

struct ConsumerObject final : Object {
  static constexpr Kind kKind = Kind::consumer;
  ConsumerObject(std::shared_ptr<SourceMaker> maker_of_sources, std::unique_ptr<MergingConsumer> made)
      : Object(kKind), maker(std::move(maker_of_sources)), consumer(std::move(made)) {}
  void released() override { static_cast<void>(consumer->close(0)); }
  const std::shared_ptr<SourceMaker> maker;  // has the storages that the sources read
  const std::unique_ptr<MergingConsumer> consumer;
};

/// A response as C sees it. The arrays point into it.
struct PageObject final : Object {
  static constexpr Kind kKind = Kind::page;
  explicit PageObject(Response got) : Object(kKind), response(std::move(got)) {
    size_t header_count = 0;
    for (const auto& one : response.records) header_count += static_cast<size_t>(one->headers.count());
    fields.reserve(header_count);
    records.reserve(response.records.size());
    for (const auto& one : response.records) {
      const Record& from = *one;
      sluice_record record{};
      record.position = from.position;
      record.timestamp_ns = from.timestamp_ns;
      record.key = span_of(from.key);
      record.value = span_of(from.value);
      const size_t first = fields.size();
      from.headers.each([&](const Header& header) {
        fields.push_back({span_of(as_bytes(header.name)), span_of(header.value)});
        return fields.size() - first < static_cast<size_t>(from.headers.count());
      });
      record.headers = fields.size() == first ? nullptr : fields.data() + first;
      record.header_count = static_cast<uint32_t>(fields.size() - first);
      record.shard = one.shard;
      record.partition = from.partition;
      record.late = one.late ? 1 : 0;
      records.push_back(record);
    }
    notes.reserve(response.notes.size());
    for (const ShardNote& from : response.notes) {
      sluice_note note{};
      note.shard_id = span_of(as_bytes(from.id));
      note.shard = from.shard;
      note.condition = static_cast<uint32_t>(from.condition);
      note.cause = static_cast<sluice_status>(from.cause.code());
      note.attempts = from.attempts;
      note.text = span_of(as_bytes(from.cause.text()));
      note.position = from.position;
      note.elapsed_ns = from.elapsed_ns;
      notes.push_back(note);
    }
  }
  const Response response;
  std::vector<sluice_field> fields;
  std::vector<sluice_record> records;
  std::vector<sluice_note> notes;
};

Place read_place(ConfigReader& config) {
  const nlohmann::json* start = config.raw("start");
  if (start == nullptr || *start == "start") return Place::start();
  if (*start == "end") return Place::end();
  if (start->is_object()) {
    ConfigReader place = config.object("start");
    const bool by_time = place.has("time_ns");
    const int64_t value = place.integer(by_time ? "time_ns" : "position", -1, 0);
    place.finish();
    if (value >= 0) return by_time ? Place::time(value) : Place::position(value);
  }
  config.refuse("start", R"("start", "end", {"time_ns": ...} or {"position": ...} is wanted)");
  return Place::start();
}

struct ConsumerPlan {
  ConsumerConfig config;
  RecordPredicate filter;
};

/// All but the sources.
ConsumerPlan read_plan(ConfigReader& config) {
  ConsumerPlan plan;
  ConsumerConfig& made = plan.config;
  made.order = static_cast<MergeOrder>(config.choice("order", {"unordered", "time", "position"}, 0));
  made.lateness_ms = config.integer("lateness_ms", made.lateness_ms, 0);
  made.idle_hold_ms = config.integer("idle_hold_ms", made.idle_hold_ms, 0);
  made.stall_hold_ms = config.integer("stall_hold_ms", made.stall_hold_ms, 0);
  made.read_deadline_ms = config.integer("read_deadline_ms", made.read_deadline_ms, 1);
  made.read_wait_ms = config.integer("read_wait_ms", made.read_wait_ms, 0);
  made.read_ahead_bytes =
      static_cast<uint64_t>(config.integer("read_ahead_bytes", static_cast<int64_t>(made.read_ahead_bytes), 1));
  made.page_bytes = static_cast<uint64_t>(config.integer("page_bytes", static_cast<int64_t>(made.page_bytes), 1));
  made.page_records = static_cast<uint32_t>(config.integer("page_records", made.page_records, 1, UINT32_MAX));
  made.pass_lost = config.boolean("pass_lost", made.pass_lost);
  made.start = read_place(config);
  ConfigReader retry = config.object("retry");
  made.retry.max_retries =
      static_cast<uint32_t>(retry.integer("max_retries", made.retry.max_retries, 0, RetryPolicy::kMaxRetries));
  made.retry.first_delay_ms = retry.integer("first_delay_ms", made.retry.first_delay_ms, 1, RetryPolicy::kMaxDelayMs);
  made.retry.max_delay_ms = retry.integer("max_delay_ms", made.retry.max_delay_ms, 1, RetryPolicy::kMaxDelayMs);
  made.retry.jitter_percent = static_cast<uint32_t>(retry.integer("jitter_percent", made.retry.jitter_percent, 0, 100));
  retry.finish();
  if (const nlohmann::json* filter = config.raw("filter"); filter != nullptr) {
    auto parsed =
        filter->is_string() ? Filter::parse(filter->get_ref<const std::string&>()) : Filter::from_json(filter->dump());
    if (parsed) {
      plan.filter = predicate_of(std::move(*parsed));
    } else {
      config.refuse("filter", parsed.error().text());
    }
  }
  return plan;
}

Verdict open_consumer(std::string_view text, std::string_view cursor_text, sluice_handle* handle) {
  ConfigReader config = ConfigReader::parse(text);
  ConsumerPlan plan = read_plan(config);
  auto maker = SourceMaker::read(config);
  const std::vector<SourcePlan> sources = maker->read_sources(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return verdict;
  Cursor cursor;
  if (!cursor_text.empty()) {
    auto decoded = Cursor::decode(cursor_text);
    if (!decoded) return decoded.error().in("cursor");
    cursor = std::move(*decoded);
  }
  std::vector<std::shared_ptr<Source>> made;
  for (const SourcePlan& source : sources) {
    if (Status status = maker->make(source, made); !status.ok()) return status.in(source.path);
  }
  auto consumer = MergingConsumer::create(plan.config, std::move(made), cursor, std::move(plan.filter));
  if (!consumer) return consumer.error();
  return give(std::make_unique<ConsumerObject>(std::move(maker), std::move(*consumer)), handle);
}

template <class Do>
sluice_status on_consumer(sluice_handle consumer, sluice_failure* failure, Do&& what) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<ConsumerObject>(consumer);
    if (!held) return held.error();
    return what(**held);
  });
}

template <class Do>
sluice_status on_shard(sluice_handle consumer, const char* id, uint64_t id_size, sluice_failure* failure, Do&& what) {
  return on_consumer(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto name = text_of(id, id_size, "id");
    if (!name) return name.error();
    return what(*object.consumer, *name);
  });
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_consumer_open(const char* config, uint64_t config_size, const char* cursor, uint64_t cursor_size,
                                   sluice_handle* consumer, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(consumer, "consumer"); !status.ok()) return status;
    const auto text = text_of(config, config_size, "config");
    if (!text) return text.error();
    const auto place = text_of(cursor, cursor_size, "cursor");
    if (!place) return place.error();
    return open_consumer(*text, *place, consumer);
  });
}

sluice_status sluice_consumer_poll(sluice_handle consumer, const sluice_poll* request, sluice_handle* page,
                                   sluice_polled* polled, sluice_failure* failure) {
  return on_consumer(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    if (Status status = check_out(page, "page"); !status.ok()) return status;
    if (Status status = check_struct(request, kPollBytes, "request"); !status.ok()) return status;
    if (request->reserved != 0) return Status(StatusCode::invalid, "request.reserved is not 0");
    if (polled != nullptr) {
      if (Status status = check_struct(polled, kPolledBytes, "polled"); !status.ok()) return status;
    }
    PollRequest wanted;
    wanted.max_records = request->max_records;
    wanted.max_bytes = request->max_bytes;
    wanted.wait_ms = request->wait_ms;
    wanted.min_records = request->min_records;
    auto response = object.consumer->poll(wanted);
    if (!response) return response.error();
    auto made = std::make_unique<PageObject>(std::move(*response));
    const Response& shown = made->response;
    if (polled != nullptr) {
      polled->has_more = shown.has_more ? 1 : 0;
      polled->done = shown.done ? 1 : 0;
      polled->notes = static_cast<uint32_t>(shown.notes.size());
      polled->records = shown.records.size();
      polled->rejected = shown.rejected;
      polled->corrupt = shown.corrupt;
      polled->late = shown.late;
      polled->lost = shown.lost;
      polled->elapsed_ns = shown.elapsed_ns;
    }
    return give(std::move(made), page);
  });
}

sluice_status sluice_consumer_wake(sluice_handle consumer, sluice_failure* failure) {
  return on_consumer(consumer, failure, [](ConsumerObject& object) -> Verdict {
    object.consumer->wake();
    return {};
  });
}

sluice_status sluice_consumer_add(sluice_handle consumer, const char* source, uint64_t source_size, uint32_t* shard,
                                  sluice_failure* failure) {
  return on_consumer(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto text = text_of(source, source_size, "source");
    if (!text) return text.error();
    ConfigReader config = ConfigReader::parse(*text);
    const SourcePlan plan = object.maker->read_source(config);
    if (Status verdict = config.verdict(); !verdict.ok()) return verdict;
    std::vector<std::shared_ptr<Source>> made;
    if (Status status = object.maker->make(plan, made); !status.ok()) return status;
    if (made.size() != 1)
      return Status(StatusCode::invalid, fmt::format("a source of {} shards: name one", made.size()));
    const auto added = object.consumer->add_shard(std::move(made.front()));
    if (!added) return added.error();
    if (shard != nullptr) *shard = *added;
    return {};
  });
}

sluice_status sluice_consumer_remove(sluice_handle consumer, const char* id, uint64_t id_size,
                                     sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure,
                  [](MergingConsumer& made, std::string_view name) { return made.remove_shard(name); });
}

sluice_status sluice_consumer_seek(sluice_handle consumer, const char* cursor, uint64_t cursor_size,
                                   sluice_failure* failure) {
  return on_consumer(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto text = text_of(cursor, cursor_size, "cursor");
    if (!text) return text.error();
    const auto decoded = Cursor::decode(*text);
    if (!decoded) return decoded.error();
    return object.consumer->seek(*decoded);
  });
}

sluice_status sluice_consumer_pause(sluice_handle consumer, const char* id, uint64_t id_size, sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure, [](MergingConsumer& made, std::string_view name) {
    if (!name.empty()) return made.pause(name);
    made.pause();
    return Status();
  });
}

sluice_status sluice_consumer_resume(sluice_handle consumer, const char* id, uint64_t id_size,
                                     sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure, [](MergingConsumer& made, std::string_view name) {
    if (!name.empty()) return made.resume(name);
    made.resume();
    return Status();
  });
}

sluice_status sluice_consumer_close(sluice_handle consumer, int64_t deadline_ms, sluice_failure* failure) {
  return on_consumer(consumer, failure,
                     [&](ConsumerObject& object) -> Verdict { return object.consumer->close(deadline_ms); });
}

sluice_status sluice_page_records(sluice_handle page, const sluice_record** records, uint64_t* count,
                                  sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<PageObject>(page);
    if (!held) return held.error();
    if (records == nullptr || count == nullptr) return Status(StatusCode::invalid, "records or count is NULL");
    *records = (*held)->records.data();
    *count = (*held)->records.size();
    return {};
  });
}

sluice_status sluice_page_notes(sluice_handle page, const sluice_note** notes, uint64_t* count,
                                sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<PageObject>(page);
    if (!held) return held.error();
    if (notes == nullptr || count == nullptr) return Status(StatusCode::invalid, "notes or count is NULL");
    *notes = (*held)->notes.data();
    *count = (*held)->notes.size();
    return {};
  });
}

sluice_status sluice_page_cursor(sluice_handle page, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<PageObject>(page);
    if (!held) return held.error();
    return write_text((*held)->response.cursor.encode(), buffer, capacity, needed);
  });
}

sluice_status sluice_cursor_compare(const char* left, uint64_t left_size, const char* right, uint64_t right_size,
                                    int32_t* order, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(order, "order"); !status.ok()) return status;
    Cursor cursors[2];
    const std::pair<const char*, uint64_t> texts[2] = {{left, left_size}, {right, right_size}};
    for (int64_t i = 0; i < 2; ++i) {
      const auto text = text_of(texts[i].first, texts[i].second, i == 0 ? "left" : "right");
      if (!text) return {text.error(), i};
      auto decoded = Cursor::decode(*text);
      if (!decoded) return {decoded.error(), i};
      cursors[i] = std::move(*decoded);
    }
    switch (Cursor::compare(cursors[0], cursors[1])) {
      case CursorOrder::before:
        *order = -1;
        break;
      case CursorOrder::equal:
        *order = 0;
        break;
      case CursorOrder::after:
        *order = 1;
        break;
      case CursorOrder::apart:
        *order = 2;
        break;
    }
    return {};
  });
}

}  // extern "C"
