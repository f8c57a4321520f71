// SPDX-License-Identifier: Apache-2.0
// NATIVE: several at once, and the life of the storage.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <exception>
#include <map>
#include <set>
#include <thread>

#include "conformance/native_world.hpp"

namespace sluice::conformance {
namespace {

/// Runs each on a thread of its own; the first Failure is thrown again.
void at_once(const std::vector<std::function<void()>>& functions) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::exception_ptr failure;
  for (const auto& function : functions) {
    threads.emplace_back([&] {
      try {
        function();
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

/// Every value of `prefixes` 0 to count - 1 is there once, each prefix's in order.
void expect_streams(const std::vector<PlacedRecord>& found, const std::vector<std::string>& prefixes, size_t count) {
  std::map<std::string, size_t> seen;
  for (const PlacedRecord& placed : found) {
    const std::string& value = placed.record.value.value();
    const size_t dash = value.rfind('-');
    const std::string prefix = value.substr(0, dash);
    const size_t number = std::stoul(value.substr(dash + 1));
    require(number == seen[prefix], "writer {}: record {} was expected, {} came at {}", prefix, seen[prefix], number,
            placed.offset);
    ++seen[prefix];
  }
  for (const std::string& prefix : prefixes) {
    require(seen[prefix] == count, "writer {}: {} of {} records are there", prefix, seen[prefix], count);
  }
}

void write_stream(NativeLog& log, const std::string& prefix, size_t count, size_t unit) {
  const auto records = numbered(prefix, count);
  for (size_t i = 0; i < count; i += unit) {
    const std::vector<Record> part(records.begin() + static_cast<ptrdiff_t>(i),
                                   records.begin() + static_cast<ptrdiff_t>(std::min(i + unit, count)));
    const NativeAppendAnswer answer = log.append({make_native_batch(part)});
    expect_status(SLUICE_OK, answer, "append");
  }
}

void two_writers(Context& context) {
  constexpr size_t kCount = 600;
  FreshNative log(context);
  auto other = context.another();
  other->must_start();
  NativeLog elsewhere(*other, log.descriptor);
  at_once({[&] { write_stream(*log, "a", kCount, 7); }, [&] { write_stream(elsewhere, "b", kCount, 11); }});
  const int64_t start = log->must_bounds().start;
  const auto found = log->read_all(start);
  expect_streams(found, {"a", "b"}, kCount);
  expect_records(found, elsewhere.read_all(start), "the same log, read elsewhere");
}

void readers_beside(Context& context) {
  constexpr size_t kCount = 1'500;
  FreshNative log(context);
  std::atomic<bool> done{false};
  std::vector<std::function<void()>> all{[&] {
    write_stream(*log, "w", kCount, 5);
    done = true;
  }};
  for (int i = 0; i < 3; ++i) {
    all.emplace_back([&] {
      std::vector<PlacedRecord> found;
      int64_t offset = log->must_bounds().start;
      const int64_t until = deadline_in_ms(context.options().call_timeout_ms * 3);
      while (found.size() < kCount && deadline_in_ms(0) < until) {
        const NativeReadAnswer answer = log->read(offset, kNoLimit, 20'000);
        if (answer.status == SLUICE_BUSY || answer.status == SLUICE_UNAVAILABLE) continue;
        expect_status(SLUICE_OK, answer, "read");
        for (const PlacedRecord& placed : answer.records) {
          if (placed.offset >= offset) found.push_back(placed);  // a batch may begin before
        }
        if (answer.next == offset && done && offset < log->must_bounds().end) continue;
        offset = answer.next;
      }
      expect_streams(found, {"w"}, kCount);
    });
  }
  at_once(all);
}

void many_logs(Context& context) {
  constexpr int kLogs = 12;
  constexpr size_t kCount = 120;
  std::vector<std::unique_ptr<FreshNative>> logs;
  for (int i = 0; i < kLogs; ++i) logs.push_back(std::make_unique<FreshNative>(context));
  std::vector<std::function<void()>> all;
  for (auto& log : logs) {
    all.emplace_back([&log] {
      write_stream(**log, "w", kCount, 10);
      expect_streams((*log)->read_all((*log)->must_bounds().start), {"w"}, kCount);
    });
  }
  at_once(all);
}

// Readers at places far apart must all get on.
void scattered_readers(Context& context) {
  FreshNative log(context);
  std::vector<PlacedRecord> all;
  for (int i = 0; i < 20; ++i) {
    const auto placed = log->must_append(numbered(fmt::format("u{}", i), 25, 200));
    all.insert(all.end(), placed.begin(), placed.end());
  }
  std::vector<std::function<void()>> readers;
  for (size_t i = 0; i < 8; ++i) {
    readers.emplace_back([&, i] {
      const size_t first = i * 50;
      const auto found = log->read_all(all[first].offset, 3'000);
      expect_records({all.begin() + static_cast<ptrdiff_t>(first), all.end()}, found, "a reader among others");
    });
  }
  at_once(readers);
}

void restart(Context& context) {
  context.need_capability(SLUICE_CAP_DURABLE, "DURABLE");
  FreshNative log(context);
  auto all = log->must_append(numbered("before", 10));
  const Descriptor descriptor = log.descriptor;
  log.log.reset();
  Storage& storage = context.storage();
  for (int round = 0; round < 2; ++round) {
    expect_status(SLUICE_OK, storage.stop(), "stop");
    storage.must_start();
    NativeLog again(storage, descriptor);
    expect_records(all, again.read_all(all.front().offset), "after stop and start");
    const auto more = again.must_append(numbered(fmt::format("round{}", round), 5));
    all.insert(all.end(), more.begin(), more.end());
  }
  auto fresh = context.another();
  fresh->must_start();
  NativeLog elsewhere(*fresh, descriptor);
  expect_records(all, elsewhere.read_all(all.front().offset), "seen by another storage object");
}

void stop_completes(Context& context) {
  Storage& storage = context.storage();
  std::vector<std::unique_ptr<FreshNative>> logs;
  std::vector<NativeLog::Sent> sent;
  for (int i = 0; i < 8; ++i) logs.push_back(std::make_unique<FreshNative>(context));
  for (auto& log : logs) sent.push_back((*log)->send({make_native_batch(numbered("w", 50, 1'000))}));
  expect_status(SLUICE_OK, storage.stop(), "stop");
  require(context.book().unanswered() == 0, "stop returned OK with {} calls unanswered", context.book().unanswered());
  for (auto& append : sent) {
    const NativeAppendAnswer answer = append.wait();
    require(answer.ok() || answer.status == SLUICE_UNAVAILABLE || answer.status == SLUICE_UNKNOWN,
            "an append under way at stop answered {}", status_text(answer.status));
  }
  expect_status(SLUICE_UNAVAILABLE, (*logs.front())->raw().bounds(), "bounds after stop");
}

double cpu_seconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

void idle(Context& context) {
  FreshNative log(context);
  const auto placed = log->must_append(numbered("idle", 50));
  expect_records(placed, log->read_all(placed.front().offset), "before the quiet");
  auto watch = log->send_watch(log->must_bounds().end);  // a reader that waits costs nothing either
  constexpr std::chrono::milliseconds kWatched{500};
  constexpr int kRounds = 3;
  constexpr double kMost = 0.05;
  double least = 1;
  for (int round = 0; round < kRounds && least > kMost; ++round) {
    const double before = cpu_seconds();
    std::this_thread::sleep_for(kWatched);
    least = std::min(least, (cpu_seconds() - before) / std::chrono::duration<double>(kWatched).count());
  }
  require(least <= kMost, "a storage with nothing to do uses {:.0f}% of a processor", least * 100);
  log.log->raw().close();  // which ends the watch
  watch->wait();
  watch->retire();
}

// Answers of calls whose deadline is over or near are true: what was refused is not there, what is OK is.
void deadlines(Context& context) {
  FreshNative log(context);
  std::set<std::string> acknowledged;
  std::set<std::string> refused;
  for (int i = 0; i < 40; ++i) {
    auto call = context.call("append");
    call->set_deadline_ns(deadline_in_ms(i % 4 == 0 ? -1 : i % 4));
    const Batch batch = make_native_batch(numbered(fmt::format("d{}", i), 1));
    auto* request = call->make<sluice_append>();
    auto* result = call->make<sluice_append_result>();
    auto* element = call->make_element<sluice_batch>(1);
    result->batches = call->make_element<sluice_batch_result>(1);
    element->data = call->copy(batch.bytes.data(), batch.bytes.size());
    element->size = request->bytes = batch.bytes.size();
    element->record_count = 1;
    element->max_timestamp = batch.timestamp;
    request->batches = element;
    request->batch_count = 1;
    call->start([&](sluice_ticket* ticket) {
      return context.storage().api().append(log->raw().raw(), ticket, request, result);
    });
    const sluice_status status = call->wait();
    if (status == SLUICE_OK) acknowledged.insert(fmt::format("d{}-0", i));
    if (status != SLUICE_OK && status != SLUICE_UNKNOWN) refused.insert(fmt::format("d{}-0", i));
    call->retire();
  }
  const auto last = log->must_append(numbered("last", 1));
  std::set<std::string> found;
  for (const PlacedRecord& placed : log->read_all(log->must_bounds().start)) {
    require(found.insert(*placed.record.value).second, "{} is there twice", *placed.record.value);
  }
  for (const std::string& each : acknowledged) require(found.contains(each), "{} was acknowledged and is lost", each);
  for (const std::string& each : refused) require(!found.contains(each), "{} was refused and is there", each);
}

constexpr uint32_t kNative = SLUICE_KIND_NATIVE;
constexpr Check kChecks[] = {
    {"native.two_writers", "Others write too: nothing is lost, doubled or out of each writer's order.", &two_writers,
     kNative},
    {"native.readers_beside", "B28: Readers that follow a writer get every record once, in order.", &readers_beside,
     kNative},
    {"native.many_logs", "Logs do not disturb each other.", &many_logs, kNative},
    {"native.scattered_readers", "Readers at many places of one log all get on.", &scattered_readers, kNative},
    {"native.restart", "DURABLE: records and offsets survive stop and start.", &restart, kNative},
    {"native.stop_completes", "B16: stop completes every ticket.", &stop_completes, kNative},
    {"native.idle", "B16: a storage with nothing to do uses no processor.", &idle, kNative},
    {"native.deadlines", "B12: A call whose deadline is over is still answered once, and truly.", &deadlines, kNative},
};

}  // namespace

std::span<const Check> native_crowd_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
