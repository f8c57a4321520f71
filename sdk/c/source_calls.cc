// SPDX-License-Identifier: Apache-2.0
// Each call of a consumer becomes an answer behind a handle, which holds what the consumer wants to hear it by: an
// answer that nobody gives is destroyed with its handle, and the consumer hears that too.
#include "c/source_calls.hpp"

#include <fmt/format.h>

#include <mutex>
#include <variant>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/records.hpp"
#include "sluice/c/source.h"

namespace sluice::c {
namespace {

// Of the first versions.
constexpr size_t kCallsBytes = sizeof(sluice_source_calls);
constexpr size_t kShownBytes = sizeof(sluice_page_shown);

template <class Value>
using Callback = UniqueFunction<void(Result<Value>)>;

/// What is asked of an application, until it answers.
class SourceAnswer final : public Object {
 public:
  static constexpr Kind kKind = Kind::source_answer;
  template <class Value>
  explicit SourceAnswer(Callback<Value> done, const PageRequest& request = {})
      : Object(kKind), request_(request), done_(std::move(done)) {}
  ~SourceAnswer() override {
    const auto refuse = [](auto& done) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(done)>, std::monostate>) {
        done(fail(StatusCode::internal, "the source's function let its answer go"));
      }
    };
    std::visit(refuse, done_);
  }

  const PageRequest& request() const { return request_; }

  /// Once. NOT_FOUND: it was given before; INVALID: something else was asked.
  template <class Value>
  Status give(Result<Value> answer) {
    Callback<Value> done;
    {
      const std::scoped_lock lock(mutex_);
      if (std::holds_alternative<std::monostate>(done_)) {
        return Status(StatusCode::not_found, "the answer was given before");
      }
      auto* asked = std::get_if<Callback<Value>>(&done_);
      if (asked == nullptr) return Status(StatusCode::invalid, "this answer is to another question");
      done = std::move(*asked);
      done_ = std::monostate();
    }
    done(std::move(answer));
    return {};
  }

 private:
  const PageRequest request_;
  std::mutex mutex_;
  std::variant<std::monostate, Source::PageCallback, Source::BoundsCallback, Source::PositionCallback>
      done_;  // by mutex_
};

class CallsSource final : public Source {
 public:
  CallsSource(std::string id, const sluice_source_calls& calls) : id_(std::move(id)), calls_(calls) {}
  ~CallsSource() override {
    if (calls_.gone == nullptr) return;
    const InCallback inside;
    calls_.gone(calls_.context);
  }

  const std::string& id() const override { return id_; }

  void read(const PageRequest& request, PageCallback done) override {
    sluice_page_wanted wanted{};
    wanted.size = sizeof wanted;
    wanted.max_records = request.max_records;
    wanted.from = request.from;
    wanted.max_bytes = request.max_bytes;
    wanted.wait_ms = request.wait_ms;
    ask(std::make_unique<SourceAnswer>(std::move(done), request),
        [&](sluice_handle answer) { calls_.read(calls_.context, &wanted, answer); });
  }
  void bounds(BoundsCallback done) override {
    ask(std::make_unique<SourceAnswer>(std::move(done)),
        [&](sluice_handle answer) { calls_.bounds(calls_.context, answer); });
  }
  void locate(int64_t timestamp_ns, PositionCallback done) override {
    if (calls_.locate == nullptr) return done(fail(StatusCode::unsupported, "the source has no times"));
    ask(std::make_unique<SourceAnswer>(std::move(done)),
        [&](sluice_handle answer) { calls_.locate(calls_.context, timestamp_ns, answer); });
  }
  void wake() override {
    if (calls_.wake == nullptr) return;
    const InCallback inside;
    calls_.wake(calls_.context);
  }

 private:
  /// Where no handle is to be had, the answer is destroyed, and so told.
  template <class Call>
  static void ask(std::unique_ptr<SourceAnswer> answer, Call&& call) {
    const auto handle = handles().insert(std::move(answer));
    if (!handle) return;
    const InCallback inside;
    call(*handle);
  }

  const std::string id_;
  const sluice_source_calls calls_;
};

/// What the records of a page point to.
struct Copies {
  Buffer bytes;
  std::vector<std::vector<Header>> headers;

  /// A copy, where reserve() made room for it.
  Bytes copy(Bytes from) {
    const size_t at = bytes.size();
    bytes.append(from);
    return {bytes.data() + at, from.size()};
  }
};

Verdict check_positions(const sluice_page_shown& shown, const PageRequest& asked) {
  if (shown.next < asked.from) {
    return Status(StatusCode::invalid,
                  fmt::format("shown.next is {}, below the {} that was read", shown.next, asked.from));
  }
  if (shown.finished > 1) return Status(StatusCode::invalid, "shown.finished is neither 0 nor 1");
  if (shown.end < -1) return Status(StatusCode::invalid, "shown.end is below -1");
  if (shown.count > asked.max_records) {
    return Status(StatusCode::invalid,
                  fmt::format("{} records; at most {} were asked for", shown.count, asked.max_records));
  }
  int64_t least = asked.from;
  for (uint64_t i = 0; shown.records != nullptr && i < shown.count; ++i) {
    const int64_t position = shown.records[i].position;
    if (position < least || position >= shown.next) {
      return {
          Status(StatusCode::invalid, fmt::format("records[{}].position is {}, not at {} or above and below next, {}",
                                                  i, position, least, shown.next)),
          static_cast<int64_t>(i)};
    }
    least = position + 1;
  }
  return {};
}

/// The page that was shown, its bytes copied.
Verdict page_of(const sluice_page_shown* shown, const PageRequest& asked, Page& page) {
  if (Status status = check_struct(shown, kShownBytes, "shown"); !status.ok()) return status;
  if (Verdict verdict = check_positions(*shown, asked); !verdict.status.ok()) return verdict;
  RecordList list;
  if (Verdict verdict = records_of(shown->records, shown->count, list); !verdict.status.ok()) return verdict;
  size_t bytes = 0;
  for (const Record& record : list.records) bytes += record.bytes();
  if (shown->count > 1 && bytes > asked.max_bytes) {
    return Status(StatusCode::invalid, fmt::format("{} bytes; at most {} were asked for", bytes, asked.max_bytes));
  }
  auto copies = std::make_shared<Copies>();
  copies->bytes.reserve(bytes);
  copies->headers = std::move(list.headers);
  for (size_t i = 0; i < list.records.size(); ++i) {
    Record& record = list.records[i];
    if (record.key) record.key = copies->copy(*record.key);
    if (record.value) record.value = copies->copy(*record.value);
    for (Header& header : copies->headers[i]) {
      header.name = as_text(copies->copy(as_bytes(header.name)));
      if (header.value) header.value = copies->copy(*header.value);
    }
  }
  page.records = std::move(list.records);
  page.next = shown->next;
  page.end = shown->end;
  page.corrupt = shown->corrupt;
  page.finished = shown->finished != 0;
  page.lease = std::move(copies);
  return {};
}

/// Gives `answer`, which `make` makes where the outcome says that it worked.
template <class Value, class Make>
sluice_status answer_with(sluice_handle answer, const sluice_failure* outcome, sluice_failure* failure, Make&& make) {
  return on<SourceAnswer>(answer, failure, [&](SourceAnswer& object) -> Verdict {
    Result<Value> made = Value();
    if (outcome != nullptr) {
      auto why = status_of(outcome, "outcome");
      if (!why) return why.error();
      if (!why->ok()) made = fail(std::move(*why));
    }
    if (made) {
      if (Verdict verdict = make(object, *made); !verdict.status.ok()) return verdict;
    }
    if (Status status = object.give<Value>(std::move(made)); !status.ok()) return status;
    static_cast<void>(handles().release(answer));  // somebody else may have
    return {};
  });
}

Status check_at_least_0(int64_t value, std::string_view name) {
  if (value >= 0) return {};
  return Status(StatusCode::invalid, fmt::format("{} is {}, below 0", name, value));
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_source_open(const char* id, uint64_t id_size, const sluice_source_calls* calls,
                                 sluice_handle* source, sluice_failure* failure) {
  const auto open = [&](std::string_view name) -> Result<std::unique_ptr<SourceObject>> {
    if (name.empty()) return fail(StatusCode::invalid, "id is empty");
    if (name.size() > kMaxSourceIdBytes) {
      return fail(StatusCode::invalid, fmt::format("id has {} bytes; at most {}", name.size(), kMaxSourceIdBytes));
    }
    if (Status status = check_struct(calls, kCallsBytes, "calls"); !status.ok()) return fail(std::move(status));
    if (calls->reserved != 0) return fail(StatusCode::invalid, "calls.reserved is not 0");
    if (calls->read == nullptr) return fail(StatusCode::invalid, "calls.read is NULL");
    if (calls->bounds == nullptr) return fail(StatusCode::invalid, "calls.bounds is NULL");
    return std::make_unique<SourceObject>(std::make_unique<CallsSource>(std::string(name), *calls));
  };
  return open_by({id, id_size, "id"}, source, "source", failure, open);
}

sluice_status sluice_answer_page(sluice_handle answer, const sluice_failure* outcome, const sluice_page_shown* shown,
                                 sluice_failure* failure) {
  return answer_with<Page>(answer, outcome, failure, [&](const SourceAnswer& object, Page& page) {
    return page_of(shown, object.request(), page);
  });
}

sluice_status sluice_answer_bounds(sluice_handle answer, const sluice_failure* outcome, int64_t start, int64_t end,
                                   sluice_failure* failure) {
  return answer_with<SourceBounds>(answer, outcome, failure, [&](const SourceAnswer&, SourceBounds& bounds) -> Verdict {
    if (Status status = check_at_least_0(start, "start"); !status.ok()) return status;
    if (end < start) return Status(StatusCode::invalid, fmt::format("end is {}, below start, {}", end, start));
    bounds = {start, end};
    return {};
  });
}

sluice_status sluice_answer_position(sluice_handle answer, const sluice_failure* outcome, int64_t position,
                                     sluice_failure* failure) {
  return answer_with<int64_t>(answer, outcome, failure, [&](const SourceAnswer&, int64_t& found) -> Verdict {
    found = position;
    return check_at_least_0(position, "position");
  });
}

}  // extern "C"
