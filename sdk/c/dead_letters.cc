// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/dead_letters.h"

#include <fmt/format.h>

#include <cstdio>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/records.hpp"
#include "c/sinks.hpp"
#include "c/telemetry.hpp"
#include "dlq/validate.hpp"
#include "sluice/dlq.hpp"

namespace sluice::c {
namespace {

// Of the first versions.
constexpr size_t kCauseBytes = sizeof(sluice_cause);
constexpr size_t kCountsBytes = sizeof(sluice_dead_letters_counts);

struct DeadLettersObject final : Object {
  static constexpr Kind kKind = Kind::dead_letters;
  explicit DeadLettersObject(std::unique_ptr<DeadLetterQueue> opened)
      : Object(kKind, Ends::not_in_callback), queue(std::move(opened)) {}
  const std::unique_ptr<DeadLetterQueue> queue;
};

Result<std::unique_ptr<DeadLettersObject>> open_queue(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  DeadLetterSettings settings;
  settings.max_records = config.natural("max_records", settings.max_records);
  settings.max_bytes = config.natural("max_bytes", settings.max_bytes);
  settings.max_in_flight = config.natural("max_in_flight", settings.max_in_flight);
  settings.retry = read_retry(config);
  settings.name = config.text("name", settings.name);
  settings.telemetry = read_telemetry(config);
  settings.own_thread = config.boolean("own_thread", settings.own_thread);
  settings.log = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  if (!config.has("sink")) config.refuse("sink", "is needed");
  config.judge(dlq::validate(settings), "dlq.");
  const SinkPlan sink = read_sink(config);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  if (Status bad = check_sink(sink); !bad.ok()) return fail(std::move(bad));
  auto made = make_sink(sink);
  if (!made) return fail(std::move(made.error()));
  auto opened = DeadLetterQueue::open(std::move(settings), made->get());
  if (!opened) return fail(std::move(opened.error()));
  made->keep();
  return std::make_unique<DeadLettersObject>(std::move(*opened));
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_dead_letters_open(const char* config, uint64_t config_size, sluice_handle* queue,
                                       sluice_failure* failure) {
  return open_by({config, config_size, "config"}, queue, "queue", failure, &open_queue);
}

sluice_status sluice_dead_letters_offer(sluice_handle queue, const sluice_record* record, const sluice_cause* cause,
                                        sluice_failure* failure) {
  return on<DeadLettersObject>(queue, failure, [&](DeadLettersObject& object) -> Verdict {
    if (Status status = check_out(record, "record"); !status.ok()) return status;
    if (Status status = check_struct(cause, kCauseBytes, "cause"); !status.ok()) return status;
    RecordList list;
    if (Verdict verdict = records_of(record, 1, list); !verdict.status.ok()) return verdict.status;
    auto why = status_of(cause->why, "cause.why");
    if (!why) return why.error();
    const auto source = text_of(cause->source, "cause.source");
    if (!source) return source.error();
    return object.queue->offer(list.records.front(), {std::move(*why), *source, cause->attempts});
  });
}

sluice_status sluice_dead_letters_run(sluice_handle queue, int64_t* wait_ms, sluice_failure* failure) {
  return on<DeadLettersObject>(queue, failure, [&](DeadLettersObject& object) -> Verdict {
    const int64_t wait = object.queue->run();
    if (wait_ms != nullptr) *wait_ms = wait;
    return {};
  });
}

sluice_status sluice_dead_letters_close(sluice_handle queue, int64_t timeout_ms, sluice_failure* failure) {
  return on<DeadLettersObject>(queue, failure,
                               [&](DeadLettersObject& object) -> Verdict { return object.queue->close(timeout_ms); });
}

sluice_status sluice_dead_letters_stats(sluice_handle queue, sluice_dead_letters_counts* counts,
                                        sluice_failure* failure) {
  return on<DeadLettersObject>(queue, failure, [&](DeadLettersObject& object) -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    const DeadLetterCounters counters = object.queue->counters();
    counts->last_failure = static_cast<sluice_status>(counters.last_failure.code());
    counts->opening = static_cast<sluice_status>(counters.opening.code());
    counts->reserved = 0;
    counts->offered = counters.offered;
    counts->dropped = counters.dropped;
    counts->sent = counters.sent;
    counts->failed = counters.failed;
    counts->retries = counters.retries;
    counts->waiting = counters.waiting;
    counts->in_flight = counters.in_flight;
    counts->held_bytes = counters.held_bytes;
    return {};
  });
}

}  // extern "C"
