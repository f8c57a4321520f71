// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/trace.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <stdexcept>

#include "c/boundary.hpp"
#include "c/records.hpp"
#include "sluice/trace.hpp"

namespace sluice::c {
namespace {

static_assert(SLUICE_TRACE_SAMPLED == TraceContext::kSampled && SLUICE_TRACE_RANDOM == TraceContext::kRandom);
static_assert(sizeof(sluice_trace_ids::trace_id) == sizeof(TraceContext::trace_id) &&
              sizeof(sluice_trace_ids::span_id) == sizeof(TraceContext::span_id));

constexpr size_t kIdsBytes = sizeof(sluice_trace_ids);  // of the first version

/// A context and its texts. Never changes.
struct TraceObject final : Object {
  static constexpr Kind kKind = Kind::trace;
  explicit TraceObject(TraceContext made)
      : Object(kKind), context(std::move(made)), parent(format_traceparent(context)) {}
  const TraceContext context;
  const std::string parent;
};

Status give_trace(TraceContext context, sluice_handle* trace) {
  return give(std::make_unique<TraceObject>(std::move(context)), trace);
}

uint64_t system_random() {
  uint64_t word = 0;
  if (::getrandom(&word, sizeof word, 0) != sizeof word) throw std::runtime_error("the system has no random bytes");
  return word;
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_trace_begin(uint32_t sampled, sluice_handle* trace, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(trace, "trace"); !status.ok()) return status;
    if (sampled > 1) return Status(StatusCode::invalid, fmt::format("sampled is {}, not 0 or 1", sampled));
    return give_trace(new_trace(system_random, sampled == 1), trace);
  });
}

sluice_status sluice_trace_child(sluice_handle parent, sluice_handle* trace, sluice_failure* failure) {
  return on<TraceObject>(parent, failure, [&](TraceObject& object) -> Verdict {
    if (Status status = check_out(trace, "trace"); !status.ok()) return status;
    return give_trace(child_span(object.context, system_random), trace);
  });
}

sluice_status sluice_trace_parse(const char* parent, uint64_t parent_size, const char* state, uint64_t state_size,
                                 sluice_handle* trace, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(trace, "trace"); !status.ok()) return status;
    const auto parent_text = text_of(parent, parent_size, "parent");
    if (!parent_text) return {parent_text.error(), 0};
    const auto state_text = text_of(state, state_size, "state");
    if (!state_text) return {state_text.error(), 1};
    auto context = parse_traceparent(*parent_text);
    if (!context) return {context.error(), 0};
    auto members = parse_tracestate({*state_text});
    if (!members) return {members.error(), 1};
    context->state = std::move(*members);
    return give_trace(std::move(*context), trace);
  });
}

sluice_status sluice_trace_extract(const sluice_field* headers, uint64_t count, sluice_handle* trace,
                                   sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(trace, "trace"); !status.ok()) return status;
    std::vector<Header> read;
    if (Verdict verdict = headers_of(headers, count, read); !verdict.status.ok()) return verdict;
    auto context = extract_trace(Headers(read));
    if (!context) return Status(StatusCode::not_found, "the headers carry no trace");
    return give_trace(std::move(*context), trace);
  });
}

sluice_status sluice_trace_with_state(sluice_handle trace, const char* key, uint64_t key_size, const char* value,
                                      uint64_t value_size, sluice_handle* changed, sluice_failure* failure) {
  return on<TraceObject>(trace, failure, [&](TraceObject& object) -> Verdict {
    if (Status status = check_out(changed, "changed"); !status.ok()) return status;
    const auto key_text = text_of(key, key_size, "key");
    if (!key_text) return key_text.error();
    const auto value_text = text_of(value, value_size, "value");
    if (!value_text) return value_text.error();
    TraceContext context = object.context;
    if (Status status = set_tracestate(context, *key_text, *value_text); !status.ok()) return status;
    return give_trace(std::move(context), changed);
  });
}

sluice_status sluice_trace_read(sluice_handle trace, sluice_trace_ids* ids, sluice_failure* failure) {
  return on<TraceObject>(trace, failure, [&](TraceObject& object) -> Verdict {
    if (Status status = check_struct(ids, kIdsBytes, "ids"); !status.ok()) return status;
    ids->flags = object.context.flags;
    std::ranges::copy(object.context.trace_id, ids->trace_id);
    std::ranges::copy(object.context.span_id, ids->span_id);
    return {};
  });
}

sluice_status sluice_trace_parent(sluice_handle trace, char* buffer, uint64_t capacity, uint64_t* needed,
                                  sluice_failure* failure) {
  return on<TraceObject>(trace, failure, [&](TraceObject& object) -> Verdict {
    return write_text(object.parent, buffer, capacity, needed);
  });
}

sluice_status sluice_trace_state(sluice_handle trace, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return on<TraceObject>(trace, failure, [&](TraceObject& object) -> Verdict {
    return write_text(object.context.state, buffer, capacity, needed);
  });
}

sluice_status sluice_trace_headers(sluice_handle trace, const sluice_field* headers, uint64_t count,
                                   sluice_field* fields, uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  return on<TraceObject>(trace, failure, [&](TraceObject& object) -> Verdict {
    std::vector<Header> read;
    if (Verdict verdict = headers_of(headers, count, read); !verdict.status.ok()) return verdict;
    std::vector<sluice_field> made;
    const TracedHeaders traced(Headers(read), object.context);
    traced.headers().each([&](const Header& header) {
      // The two texts are those of the object, which outlive this call.
      Header shown = header;
      if (header.name == kTraceparentHeader) shown = {kTraceparentHeader, as_bytes(object.parent)};
      if (header.name == kTracestateHeader) shown = {kTracestateHeader, as_bytes(object.context.state)};
      made.push_back({span_of(as_bytes(shown.name)), span_of(shown.value)});
      return true;
    });
    if (needed != nullptr) *needed = made.size();
    if (capacity < made.size()) {
      return Status(StatusCode::too_large, fmt::format("{} headers, room for {}", made.size(), capacity));
    }
    if (Status status = check_out(fields, "fields"); !status.ok()) return status;
    std::ranges::copy(made, fields);
    return {};
  });
}

}  // extern "C"
