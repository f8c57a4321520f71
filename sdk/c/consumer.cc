// SPDX-License-Identifier: Apache-2.0
#include "c/consumer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/config.hpp"
#include "c/page.hpp"
#include "c/telemetry.hpp"
#include "consumer/core.hpp"
#include "sluice/filter.hpp"

namespace sluice::c {
namespace {

static_assert(SLUICE_PLACE_END == static_cast<unsigned>(Place::Kind::end) &&
              SLUICE_PLACE_TIME == static_cast<unsigned>(Place::Kind::time) &&
              SLUICE_PLACE_POSITION == static_cast<unsigned>(Place::Kind::position));

// Of the first versions.
constexpr size_t kPollBytes = sizeof(sluice_poll);
constexpr size_t kPolledBytes = sizeof(sluice_polled);

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
  made.read_ahead_bytes = config.natural("read_ahead_bytes", made.read_ahead_bytes, uint64_t{1});
  made.page_bytes = config.natural("page_bytes", made.page_bytes, uint64_t{1});
  made.page_records = config.natural("page_records", made.page_records, 1U);
  made.pass_lost = config.boolean("pass_lost", made.pass_lost);
  made.start = read_place(config);
  made.name = config.text("name", made.name);
  made.telemetry = read_telemetry(config);
  made.retry = read_retry(config);
  config.judge(consumer::validate(made), "consumer.");
  if (const nlohmann::json* filter = config.raw("filter"); filter != nullptr) {
    auto parsed =
        filter->is_string() ? Filter::parse(filter->get_ref<const std::string&>()) : Filter::from_json(filter->dump());
    if (parsed) {
      plan.filter = sluice::predicate_of(std::move(*parsed));
    } else {
      config.refuse("filter", parsed.error().text());
    }
  }
  return plan;
}

/// An application's function as a filter. What throws fails the shard, so that its records are not passed.
RecordPredicate predicate_of(sluice_predicate passes, void* context) {
  return [passes, context, views = RecordViews()](const Record& record) mutable {
    views.records.clear();
    views.fields.clear();
    views.reserve(1, static_cast<size_t>(record.headers.count()));
    const InCallback inside;
    const uint32_t verdict = passes(context, &views.add(record));
    if (verdict > 1) throw std::runtime_error("the application's function cannot tell");
    return verdict == 1;
  };
}

/// `passes` may be empty: then the filter is the configuration's.
Result<std::unique_ptr<ConsumerObject>> open_consumer(std::string_view text, std::string_view cursor_text,
                                                      RecordPredicate passes) {
  ConfigReader config = ConfigReader::parse(text);
  ConsumerPlan plan = read_plan(config);
  if (passes) {
    if (plan.filter) config.refuse("filter", "a function judges already");
    plan.filter = std::move(passes);
  }
  auto maker = SourceMaker::read(config);
  const std::vector<SourcePlan> sources = maker->read_sources(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  Cursor cursor;
  if (!cursor_text.empty()) {
    auto decoded = Cursor::decode(cursor_text);
    if (!decoded) return fail(decoded.error().in("cursor"));
    cursor = std::move(*decoded);
  }
  if (Status bad = maker->check(sources); !bad.ok()) return fail(std::move(bad));
  auto made = maker->make(sources);
  if (!made) return fail(std::move(made.error()));
  std::vector<std::string> ids;
  ids.reserve(made->size());
  for (const auto& source : *made) ids.push_back(source->id());
  auto consumer = MergingConsumer::create(plan.config, std::move(*made), cursor, std::move(plan.filter));
  if (!consumer) return fail(std::move(consumer.error()));
  return std::make_unique<ConsumerObject>(std::move(maker), std::move(*consumer), std::move(ids));
}

template <class Do>
sluice_status on_shard(sluice_handle consumer, const char* id, uint64_t id_size, sluice_failure* failure, Do&& what) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto name = text_of(id, id_size, "id");
    if (!name) return name.error();
    return what(*object.consumer, *name);
  });
}

}  // namespace

Result<uint32_t> ConsumerObject::add(std::shared_ptr<Source> source, Place start) {
  const std::scoped_lock lock(mutex_);
  ids_.push_back(source->id());  // numbers rise by one
  auto number = consumer->add_shard(std::move(source), start);
  if (!number) ids_.pop_back();
  return number;
}

Status ConsumerObject::show(Response got, sluice_handle* page, sluice_polled* polled) {
  const Response* kept = &got;
  std::unique_ptr<Object> object;
  Status why;
  try {
    auto made = std::make_unique<PageObject>(std::move(got));
    kept = &made->response;
    if (polled != nullptr) made->describe(*polled);
    object = std::move(made);
    if (why = give(std::move(object), page); why.ok()) return why;
  } catch (const std::bad_alloc&) {
    why = Status(StatusCode::no_space, "out of memory");
  }
  const Status back = give_back(*kept);
  return back.ok() ? why : back.in("a page is lost");
}

Status ConsumerObject::give_back(const Response& response) {
  Cursor place;
  {
    const std::scoped_lock lock(mutex_);
    for (const MergedRecord& record : response.records) {
      if (record.shard >= ids_.size()) return Status(StatusCode::invalid, "the page is another consumer's");
      const std::string& id = ids_[record.shard];
      const int64_t first = std::min(place.next(id).value_or(record->position), record->position);
      if (Status status = place.set(id, first); !status.ok()) return status;
    }
  }
  return consumer->seek(place);
}

Result<PollRequest> request_of(const sluice_poll* request) {
  if (Status status = check_struct(request, kPollBytes, "request"); !status.ok()) return fail(std::move(status));
  if (request->reserved != 0) return fail(StatusCode::invalid, "request.reserved is not 0");
  PollRequest wanted;
  wanted.max_records = request->max_records;
  wanted.max_bytes = request->max_bytes;
  wanted.wait_ms = request->wait_ms;
  wanted.min_records = request->min_records;
  return wanted;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_consumer_open(const char* config, uint64_t config_size, const char* cursor, uint64_t cursor_size,
                                   sluice_handle* consumer, sluice_failure* failure) {
  const auto open = [&](std::string_view text) -> Result<std::unique_ptr<ConsumerObject>> {
    const auto place = text_of(cursor, cursor_size, "cursor");
    if (!place) return fail(place.error());
    return open_consumer(text, *place, {});
  };
  return open_by({config, config_size, "config"}, consumer, "consumer", failure, open);
}

sluice_status sluice_consumer_open_with(const char* config, uint64_t config_size, const char* cursor,
                                        uint64_t cursor_size, sluice_predicate passes, void* context,
                                        sluice_handle* consumer, sluice_failure* failure) {
  const auto open = [&](std::string_view text) -> Result<std::unique_ptr<ConsumerObject>> {
    if (passes == nullptr) return fail(StatusCode::invalid, "passes is NULL");
    const auto place = text_of(cursor, cursor_size, "cursor");
    if (!place) return fail(place.error());
    return open_consumer(text, *place, predicate_of(passes, context));
  };
  return open_by({config, config_size, "config"}, consumer, "consumer", failure, open);
}

sluice_status sluice_consumer_poll(sluice_handle consumer, const sluice_poll* request, sluice_handle* page,
                                   sluice_polled* polled, sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    if (Status status = check_out(page, "page"); !status.ok()) return status;
    const auto wanted = request_of(request);
    if (!wanted) return wanted.error();
    if (polled != nullptr) {
      if (Status status = check_struct(polled, kPolledBytes, "polled"); !status.ok()) return status;
    }
    auto response = object.consumer->poll(*wanted);
    if (!response) return response.error();
    return object.show(std::move(*response), page, polled);
  });
}

sluice_status sluice_consumer_give_back(sluice_handle consumer, sluice_handle page, sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto held = acquire<PageObject>(page);
    if (!held) return held.error();
    return object.give_back((*held)->response);
  });
}

sluice_status sluice_consumer_wake(sluice_handle consumer, sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [](ConsumerObject& object) -> Verdict {
    object.consumer->wake();
    return {};
  });
}

sluice_status sluice_consumer_cursor(sluice_handle consumer, char* buffer, uint64_t capacity, uint64_t* needed,
                                     sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    return write_text(object.consumer->cursor().encode(), buffer, capacity, needed);
  });
}

sluice_status sluice_consumer_add(sluice_handle consumer, const char* source, uint64_t source_size, uint32_t* shard,
                                  sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    const auto text = text_of(source, source_size, "source");
    if (!text) return text.error();
    ConfigReader config = ConfigReader::parse(*text);
    const Place start = read_place(config);
    const std::vector<SourcePlan> plans = {object.maker->read_source(config)};
    if (Status verdict = config.verdict(); !verdict.ok()) return verdict;
    auto made = object.maker->make(plans);
    if (!made) return made.error();
    if (made->size() != 1) {
      return Status(StatusCode::invalid, fmt::format("a source of {} shards: name one", made->size()));
    }
    const auto added = object.add(std::move(made->front()), start);
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

sluice_status sluice_consumer_drop(sluice_handle consumer, const char* id, uint64_t id_size, sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure,
                  [](MergingConsumer& made, std::string_view name) { return made.drop_shard(name); });
}

sluice_status sluice_consumer_forget(sluice_handle consumer, const char* id, uint64_t id_size,
                                     sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure,
                  [](MergingConsumer& made, std::string_view name) { return made.forget(name); });
}

sluice_status sluice_consumer_seek_to(sluice_handle consumer, const char* id, uint64_t id_size, uint32_t kind,
                                      int64_t value, sluice_failure* failure) {
  return on_shard(consumer, id, id_size, failure, [&](MergingConsumer& made, std::string_view name) -> Verdict {
    if (kind > SLUICE_PLACE_POSITION) {
      return Status(StatusCode::invalid, fmt::format("kind is {}, which is no place", kind));
    }
    if (value < 0) return Status(StatusCode::invalid, fmt::format("value is {}, below 0", value));
    const Place place{static_cast<Place::Kind>(kind), value};
    return name.empty() ? made.seek(place) : made.seek(name, place);
  });
}

sluice_status sluice_consumer_state(sluice_handle consumer, uint64_t* buffered_bytes, uint32_t* closed,
                                    sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
    if (buffered_bytes != nullptr) *buffered_bytes = object.consumer->buffered_bytes();
    if (closed != nullptr) *closed = object.consumer->closed() ? 1 : 0;
    return {};
  });
}

sluice_status sluice_consumer_seek(sluice_handle consumer, const char* cursor, uint64_t cursor_size,
                                   sluice_failure* failure) {
  return on<ConsumerObject>(consumer, failure, [&](ConsumerObject& object) -> Verdict {
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
  return on<ConsumerObject>(consumer, failure,
                            [&](ConsumerObject& object) -> Verdict { return object.consumer->close(deadline_ms); });
}

}  // extern "C"
