// SPDX-License-Identifier: Apache-2.0
#include "reading.hpp"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace sluice::soak {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kPause = milliseconds(50);

/// What a call answers, waiting for it.
template <class T, class Call>
Result<T> answer_of(Call call) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  call([promise](Result<T> result) { promise->set_value(std::move(result)); });
  if (future.wait_for(milliseconds(kPatienceMs)) != std::future_status::ready) {
    return fail(StatusCode::internal, "a source does not answer");
  }
  return future.get();
}

bool passes(const Status& status) {
  return status_class(status.code()) == 300 || status.code() == StatusCode::unknown;
}

}  // namespace

Status patiently(const std::function<Status()>& attempt) {
  const auto until = Clock::now() + milliseconds(kPatienceMs);
  while (true) {
    Status status = attempt();
    if (status.ok() || !passes(status) || Clock::now() > until) return status;
    std::this_thread::sleep_for(kPause);
  }
}

Result<int64_t> read_to_end(Source& source, int64_t from, const std::function<void(const Record&)>& visit) {
  SourceBounds bounds;
  Status status = patiently([&] {
    auto got = answer_of<SourceBounds>([&](auto done) { source.bounds(std::move(done)); });
    if (got) bounds = *got;
    return got ? Status() : got.error();
  });
  if (!status.ok()) return fail(status.in("bounds"));
  int64_t at = from < 0 ? bounds.start : from;
  while (at < bounds.end) {
    PageRequest request;
    request.from = at;
    request.max_records = 10'000;
    Page page;
    status = patiently([&] {
      auto got = answer_of<Page>([&](auto done) { source.read(request, std::move(done)); });
      if (!got) return got.error();
      page = std::move(*got);
      return page.next > at ? Status() : Status(StatusCode::unavailable, "an empty page below the end");
    });
    if (!status.ok()) return fail(status.in(fmt::format("read from {} of {}", at, bounds.end)));
    if (page.corrupt > 0) return fail(StatusCode::corrupt, fmt::format("{} entries behind {}", page.corrupt, at));
    for (const Record& record : page.records) {
      if (record.position < at)
        return fail(StatusCode::internal, fmt::format("position {} comes after {}", record.position, at));
      at = record.position + 1;
      visit(record);
    }
    at = page.next;
  }
  return at;
}

}  // namespace sluice::soak
