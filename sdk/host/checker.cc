// SPDX-License-Identifier: Apache-2.0
#include "host/checker.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <initializer_list>
#include <utility>

#include "host/storage_impl.hpp"

namespace sluice::host {
namespace {

/// Bits for the codes that not every call may end with. UNAVAILABLE, BUSY, UNKNOWN, INVALID, UNSUPPORTED and what the
/// operator must see to are legal everywhere.
bool may_end_with(CallKind kind, bool native, sluice_status status) {
  const auto one_of = [&](std::initializer_list<CallKind> kinds) {
    for (const CallKind each : kinds) {
      if (each == kind) return true;
    }
    return false;
  };
  switch (status) {
    case SLUICE_NOT_FOUND:
      return !one_of({CallKind::delete_log, CallKind::list_logs}) && (kind != CallKind::create_log || native);
    case SLUICE_EXISTS:
      return kind == CallKind::create_log;
    case SLUICE_OUT_OF_RANGE:
      return kind == CallKind::read;
    case SLUICE_TOO_LARGE:
      return one_of({CallKind::append, CallKind::save, CallKind::create_log});
    case SLUICE_CONFLICT:
      return kind == CallKind::append && !native;
    case SLUICE_FENCED:
      return !native && one_of({CallKind::append, CallKind::trim, CallKind::fence, CallKind::save});
    case SLUICE_NO_SPACE:
      return one_of({CallKind::create_log, CallKind::delete_log, CallKind::append, CallKind::trim, CallKind::fence,
                     CallKind::save});
    default:
      return true;
  }
}

}  // namespace

std::string Checker::status_fault(CallKind kind, bool native, sluice_status status) {
  if (status == SLUICE_PENDING) return "completed with PENDING";
  if (status != SLUICE_OK && (status < 100 || status > 599))
    return fmt::format("ended with {}, which is no status", status);
  if (may_end_with(kind, native, status)) return {};
  return fmt::format("ended with {}, which this call never does", status_name(static_cast<StatusCode>(status)));
}

void Checker::breach(StorageImpl& storage, const char* call, std::string text, bool warning) {
  const Breach found{call, std::move(text), warning};
  {
    std::lock_guard lock(mutex_);
    if (warning && !warned_.insert(found.call + found.text).second) return;
    if (!warning) metrics_.breaches.fetch_add(1);
    if (observer_) observer_(found);
  }
  storage.say(
      warning ? SLUICE_LOG_WARNING : SLUICE_LOG_ERROR,
      fmt::format("adapter {} breaks the contract in {}: {}", storage.library().name(), found.call, found.text));
}

int64_t Checker::voluntary_switches() {
  struct rusage usage {};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

void Checker::returned(StorageImpl& storage, CallKind kind, int64_t waits) {
  Tally& tally = tallies_[static_cast<size_t>(kind)];
  const uint64_t calls = tally.calls.fetch_add(1) + 1;
  if (waits <= 0) return;
  const uint64_t waited = tally.waited.fetch_add(1) + 1;
  if (waited < kWaitsTolerated || waited * kToleratedShare < calls || tally.told.exchange(true)) return;
  breach(storage, call_name(kind),
         fmt::format("the calling thread waited inside {} of {} calls; asynchronous calls never wait", waited, calls),
         true);
}

}  // namespace sluice::host
