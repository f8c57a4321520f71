// SPDX-License-Identifier: Apache-2.0
// A filter is for any thread, an evaluator for one at a time: each call takes an idle one, or makes another.
#include "sluice/c/filter.h"

#include <mutex>
#include <vector>

#include "c/boundary.hpp"
#include "c/filter.hpp"
#include "c/records.hpp"

namespace sluice::c {
namespace {

static_assert(SLUICE_FILTER_NO == static_cast<int>(Truth::no) &&
              SLUICE_FILTER_UNKNOWN == static_cast<int>(Truth::unknown) &&
              SLUICE_FILTER_YES == static_cast<int>(Truth::yes));

constexpr size_t kCandidateBytes = sizeof(sluice_candidate);  // of the first version

template <class Parse>
sluice_status parse(const char* data, uint64_t size, sluice_handle* filter, sluice_failure* failure, Parse parse_text) {
  const auto compile = [&](std::string_view text) -> Result<std::unique_ptr<CompiledFilter>> {
    FilterFault fault;
    auto parsed = parse_text(text, &fault);
    if (!parsed) {
      return fail(parsed.error().code(), parsed.error().text(), static_cast<int64_t>(fault.offset));
    }
    return std::make_unique<CompiledFilter>(std::move(*parsed));
  };
  return open_by({data, size, "text"}, filter, "filter", failure, compile);
}

template <class Print>
sluice_status print(sluice_handle filter, char* buffer, uint64_t capacity, uint64_t* needed, sluice_failure* failure,
                    Print text_of_filter) {
  return on<CompiledFilter>(filter, failure, [&](CompiledFilter& object) -> Verdict {
    return write_text(text_of_filter(object.filter()), buffer, capacity, needed);
  });
}

}  // namespace

Truth CompiledFilter::judge(const Record& record) {
  std::unique_ptr<FilterEvaluator> evaluator;
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      evaluator = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!evaluator) evaluator = std::make_unique<FilterEvaluator>(filter_);
  const Truth truth = evaluator->evaluate(record);
  const std::scoped_lock lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(evaluator));
  return truth;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_filter_parse(const char* text, uint64_t size, sluice_handle* filter, sluice_failure* failure) {
  return parse(text, size, filter, failure, &Filter::parse);
}

sluice_status sluice_filter_from_json(const char* json, uint64_t size, sluice_handle* filter, sluice_failure* failure) {
  return parse(json, size, filter, failure, &Filter::from_json);
}

sluice_status sluice_filter_judge(sluice_handle filter, const sluice_candidate* record, int32_t* truth,
                                  sluice_failure* failure) {
  return on<CompiledFilter>(filter, failure, [&](CompiledFilter& object) -> Verdict {
    if (Status status = check_out(truth, "truth"); !status.ok()) return status;
    if (Status status = check_struct(record, kCandidateBytes, "record"); !status.ok()) return status;
    std::vector<Header> headers;
    if (Verdict verdict = headers_of(record->headers, record->header_count, headers); !verdict.status.ok())
      return verdict;
    const auto key = bytes_of(record->key, "key");
    if (!key) return key.error();
    const auto value = bytes_of(record->value, "value");
    if (!value) return value.error();
    Record judged;
    judged.position = record->position;
    judged.timestamp_ns = record->timestamp_ns;
    judged.partition = record->partition;
    judged.key = *key;
    judged.value = *value;
    judged.headers = Headers(std::span<const Header>(headers));
    *truth = static_cast<int32_t>(object.judge(judged));
    return {};
  });
}

sluice_status sluice_filter_reads_payload(sluice_handle filter, uint32_t* reads, sluice_failure* failure) {
  return on<CompiledFilter>(filter, failure, [&](CompiledFilter& object) -> Verdict {
    if (Status status = check_out(reads, "reads"); !status.ok()) return status;
    *reads = object.filter().reads_payload() ? 1 : 0;
    return {};
  });
}

sluice_status sluice_filter_text(sluice_handle filter, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return print(filter, buffer, capacity, needed, failure, [](const Filter& made) { return made.text(); });
}

sluice_status sluice_filter_json(sluice_handle filter, char* buffer, uint64_t capacity, uint64_t* needed,
                                 sluice_failure* failure) {
  return print(filter, buffer, capacity, needed, failure, [](const Filter& made) { return made.json(); });
}

}  // extern "C"
