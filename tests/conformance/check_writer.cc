// SPDX-License-Identifier: Apache-2.0
// Logs of several writers, and watching them.
#include <atomic>
#include <thread>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

void rules(Context& context) {
  FreshLog log(context, 0, SLUICE_LOG_SEVERAL_WRITERS);
  const Unit unit = make_unit(0, 3);
  log->must_append(0, 0, unit);
  const AppendAnswer wrong = log->append(1, 3, make_unit(3, 1));
  require(wrong.status == SLUICE_FENCED || wrong.status == SLUICE_INVALID, "an append with a token answered {}",
          status_text(wrong.status));
  expect_status(SLUICE_CONFLICT, log->append(0, 2, make_unit(2, 1)), "an append at a wrong `at`");
  expect_status(SLUICE_INVALID, log->fence(1), "fence");
  expect_status(SLUICE_INVALID, log->fence(0), "fence with 0");
  expect_status(SLUICE_INVALID, log->save(0, "name", "value"), "save");
  const Answer trimmed = log->trim(1, 1);
  require(trimmed.status == SLUICE_FENCED || trimmed.status == SLUICE_INVALID, "a trim with a token answered {}",
          status_text(trimmed.status));
  verify_content(*log, unit, 0, 3);
  expect_status(SLUICE_OK, log->trim(0, 1), "trim with 0");
  log->must_append(0, 3, make_unit(3, 1));
}

// Threads race for each `at`: one wins, the others hear where the end is.
void race(Context& context, size_t size, int64_t rounds) {
  constexpr int kWriters = 4;
  FreshLog log(context, 0, SLUICE_LOG_SEVERAL_WRITERS);
  std::vector<std::unique_ptr<Log>> handles;
  for (int i = 0; i < kWriters; ++i) handles.push_back(std::make_unique<Log>(context.storage(), log.descriptor));
  std::vector<std::vector<Batch>> won(kWriters);
  std::vector<std::string> failures(kWriters);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, i] {
      try {
        for (int64_t at = 0; at < rounds;) {
          // Each writer's units differ in size, so that their bytes tell who won.
          const Unit unit = make_unit(at, 1, size + static_cast<size_t>(i));
          const AppendAnswer answer = handles[static_cast<size_t>(i)]->append(0, at, unit);
          if (answer.ok()) {
            won[static_cast<size_t>(i)].push_back(unit.front());
            at = answer.end;
          } else {
            expect_status(SLUICE_CONFLICT, answer, "a writer that came second");
            require(answer.end > at, "CONFLICT at {} carries the end {}", at, answer.end);
            at = answer.end;
          }
        }
      } catch (const std::exception& failure) {
        failures[static_cast<size_t>(i)] = failure.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures) require(failure.empty(), "{}", failure);
  std::vector<Batch> all(static_cast<size_t>(rounds));
  size_t count = 0;
  for (const auto& batches : won) {
    for (const Batch& batch : batches) {
      Batch& place = all[static_cast<size_t>(batch.base)];
      require(place.bytes.empty(), "two writers were told OK for the same `at` {}", batch.base);
      place = batch;
      ++count;
    }
  }
  require(count == all.size(), "{} units were acknowledged, the log holds {}", count, all.size());
  verify_content(*log, all, 0, rounds);
}

void small_race(Context& context) {
  race(context, 100, 500);
}
void large_race(Context& context) {
  race(context, context.unit_bytes(200'000) - 8, 60);
}
void mixed_race(Context& context) {
  // Around the size above which copies go to another thread.
  race(context, context.unit_bytes(65'538) - 4, 100);
}

struct Watch {
  Watch(Context& context, Log& log, int64_t offset) : call(context.call("watch")) {
    call->start([&](sluice_ticket* ticket) { return context.storage().api().watch(log.raw(), ticket, offset); });
    if (call->answered() && call->wait() == SLUICE_UNSUPPORTED) {
      throw Inapplicable("nobody but this process writes to this storage");
    }
  }
  std::shared_ptr<Call> call;
};

void watch(Context& context) {
  FreshLog log(context);
  Log second(context.storage(), log.descriptor);
  Watch passed(context, *log, -1);
  require(passed.call->wait() == SLUICE_OK, "a watch of an offset that the end has passed is not OK at once");
  Watch waiting(context, *log, 1);
  second.must_append(0, 0, make_unit(0, 5));
  require(waiting.call->wait() == SLUICE_OK, "a watch did not hear that the end passed its offset");
}

void watch_ends(Context& context) {
  FreshLog log(context);
  {
    Log closing(context.storage(), log.descriptor);
    Watch watching(context, closing, 100);
    closing.close();
    require(watching.call->wait() == SLUICE_UNAVAILABLE, "close did not end a watch with UNAVAILABLE");
  }
  Watch watching(context, *log, 100);
  expect_status(SLUICE_OK, context.storage().delete_log(log.descriptor), "delete_log");
  require(watching.call->wait() == SLUICE_UNAVAILABLE, "delete_log did not end a watch with UNAVAILABLE");
}

constexpr Check kChecks[] = {
    {"several_writers.rules", "SEVERAL_WRITERS: token 0 for appends and trims; fence and save are INVALID.", &rules},
    {"several_writers.race", "`at` is exact between writers: one unit lands, the others are CONFLICT.", &small_race},
    {"several_writers.race_large", "... also with large units.", &large_race},
    {"several_writers.race_mixed", "... also with units around 64 KiB.", &mixed_race},
    {"watch.passes", "watch completes with OK when the end passes `offset`, at once if it has.", &watch},
    {"watch.ends", "watch ends on close, delete_log and stop with UNAVAILABLE.", &watch_ends},
};

}  // namespace

std::span<const Check> writer_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
