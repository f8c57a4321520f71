// SPDX-License-Identifier: Apache-2.0
// Many threads, many logs.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

// Runs `function(i)` on `count` threads; the first failure is the check's.
template <class Function>
void on_threads(int count, Function&& function) {
  std::vector<std::string> failures(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      try {
        function(i);
      } catch (const std::exception& failure) {
        failures[static_cast<size_t>(i)] = failure.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures) require(failure.empty(), "{}", failure);
}

// A log with its model, worked on by one thread at a time.
class Worked {
 public:
  Worked(Storage& storage, const Descriptor& descriptor, uint64_t seed) : random_(seed), log_(storage, descriptor) {
    storage.must_create(descriptor);
  }

  void step() {
    switch (random_() % 16) {
      case 0:
        token_ += random_() % 2;
        expect_status(SLUICE_OK, log_.fence(token_), "fence");
        break;
      case 1:
        expect_status(SLUICE_FENCED, log_.append(token_ + 1 + random_() % 3, end_, make_unit(end_, 2)),
                      "append with another token");
        break;
      case 2:
        expect_status(SLUICE_CONFLICT, log_.append(token_, end_ + 1, make_unit(end_ + 1, 2)), "append at a wrong `at`");
        break;
      case 3:
        trim();
        break;
      case 4:
        value_ = std::string(1 + random_() % 2'000, static_cast<char>('a' + random_() % 26));
        expect_status(SLUICE_OK, log_.save(token_, "value", value_), "save");
        break;
      case 5: {
        const LoadAnswer answer = log_.load("value");
        expect_status(SLUICE_OK, answer, "load");
        require(answer.value == value_, "load gave another value than was saved");
        break;
      }
      case 6:
      case 7:
      case 8:
        read();
        break;
      case 9:
        locate();
        break;
      case 10: {
        const BoundsAnswer answer = log_.bounds();
        require(answer.end == end_, "bounds gave another end");
        break;
      }
      default:
        append();
    }
  }

  void verify() { verify_content(log_, batches_, start_, end_, 200'000); }

 private:
  void append() {
    Unit unit;
    int64_t base = end_ + static_cast<int64_t>(random_() % 2);
    const size_t count = 1 + random_() % 4;
    // Mostly small, some above the size that is copied on the caller's thread.
    const size_t most = random_() % 8 == 0 ? 100'000 : 1'500;
    for (size_t i = 0; i < count; ++i) {
      unit.push_back(make_batch(base, base + 1, static_cast<int64_t>(random_() % 100'000), 61 + random_() % most));
      base += 2;
    }
    end_ = log_.must_append(token_, end_, unit);
    batches_.insert(batches_.end(), unit.begin(), unit.end());
  }
  void trim() {
    if (batches_.size() < 20) return;
    const int64_t to = batches_[random_() % 10].base;
    expect_status(SLUICE_OK, log_.trim(token_, to), "trim");
    start_ = std::max(start_, to);
    batches_.erase(batches_.begin(), batches_.begin() + static_cast<ptrdiff_t>(first_at(batches_, start_)));
  }
  void read() {
    if (batches_.empty()) return;
    const size_t index = random_() % batches_.size();
    const ReadAnswer answer = log_.read(std::max(start_, batches_[index].base), kNoLimit, random_() % 50'000);
    expect_status(SLUICE_OK, answer, "read");
    require(match_batches(answer.lease.bytes(), batches_, index, "read") > 0, "read gave nothing");
  }
  void locate() {
    const auto time = static_cast<int64_t>(random_() % 110'000);
    const LocateAnswer answer = log_.locate(time);
    expect_status(SLUICE_OK, answer, "locate");
    if (answer.offset < start_) return;  // a batch that a trim may have kept
    const auto found =
        std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) { return batch.timestamp >= time; });
    const int64_t wanted = found != batches_.end() ? found->base : end_;
    require(answer.offset == wanted, "locate({}) gave {}, not {}", time, answer.offset, wanted);
  }

  std::mt19937_64 random_;
  Log log_;
  std::vector<Batch> batches_;
  int64_t start_ = 0;
  int64_t end_ = 0;
  uint64_t token_ = 0;
  std::string value_;
};

void hammer(Context& context) {
  constexpr int kThreads = 4;
  constexpr int kLogs = 64;
  constexpr int kSteps = 1'500;
  Storage& storage = context.storage();
  std::vector<std::unique_ptr<Worked>> logs;
  for (int i = 0; i < kLogs; ++i)
    logs.push_back(std::make_unique<Worked>(storage, context.descriptor(), context.random()()));
  const uint64_t seed = context.random()();
  on_threads(kThreads, [&](int thread) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(thread));
    for (int i = 0; i < kSteps; ++i) {
      logs[static_cast<size_t>(thread) + kThreads * (random() % (kLogs / kThreads))]->step();
      if (i % 16 == 0) storage.api().flush(storage.raw());
    }
  });
  for (auto& log : logs) log->verify();
}

void readers(Context& context) {
  FreshLog log(context);
  constexpr int64_t kUnits = 400;
  std::atomic<int64_t> acknowledged{0};
  std::atomic<bool> over{false};
  on_threads(3, [&](int thread) {
    if (thread == 0) {
      try {
        for (int64_t i = 0; i < kUnits; ++i) {
          acknowledged = log->must_append(0, 2 * i, make_unit(2 * i, 2, i % 10 == 0 ? 50'000 : 300));
        }
      } catch (...) {
        over = true;
        throw;
      }
      over = true;
      return;
    }
    // Readers see whole batches in order, and all that was acknowledged before they asked.
    Log handle(context.storage(), log.descriptor);
    int64_t offset = 0;
    while (!over || offset < acknowledged) {
      const int64_t known = acknowledged;
      const ReadAnswer answer = handle.read(offset, kNoLimit, 100'000);
      expect_status(SLUICE_OK, answer, "read");
      require(answer.end >= known, "{} was acknowledged, then a read said that the log ends at {}", known, answer.end);
      if (answer.lease.empty()) {
        require(offset >= known, "an acknowledged batch at {} is not readable", offset);
        continue;
      }
      std::vector<Batch> wanted;
      for (int64_t next = offset; next < answer.next; ++next) {
        wanted.push_back(make_batch(next, next, 1'000 + next % 2, (next / 2) % 10 == 0 ? 50'000 : 300));
      }
      require(match_batches(answer.lease.bytes(), wanted, 0, "read beside an append") == wanted.size(),
              "read gave less than `next`");
      offset = answer.next;
    }
  });
}

void create_and_delete(Context& context) {
  Storage& storage = context.storage();
  for (int round = 0; round < 20; ++round) {
    const Descriptor descriptor = context.descriptor();
    on_threads(4, [&](int) { storage.must_create(descriptor); });
    Log log(storage, descriptor);
    log.must_append(0, 0, make_unit(0, 2));
    on_threads(4, [&](int) { expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log"); });
    expect_status(SLUICE_NOT_FOUND, log.bounds(), "bounds of a deleted log");
  }
}

void delete_under_way(Context& context) {
  Storage& storage = context.storage();
  for (int round = 0; round < 10; ++round) {
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    on_threads(3, [&](int thread) {
      Log log(storage, descriptor);
      if (thread == 2) {
        expect_status(SLUICE_OK, storage.delete_log(descriptor), "delete_log");
        return;
      }
      for (int i = 0; i < 200; ++i) {
        const Answer answer = thread == 0
                                  ? static_cast<Answer>(log.append(0, i, make_unit(i, 1, i % 8 == 0 ? 70'000 : 200)))
                                  : static_cast<Answer>(log.read(0));
        if (answer.status == SLUICE_NOT_FOUND) return;
        expect_status(SLUICE_OK, answer, thread == 0 ? "append beside delete_log" : "read beside delete_log");
      }
    });
  }
}

int64_t voluntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// A thread that waits gives up its processor; a few times may be a lock that another thread held.
void never_wait(Context& context) {
  FreshLog log(context);
  constexpr int64_t kCalls = 500;
  constexpr int64_t kTolerated = kCalls / 5;
  constexpr int kRounds = 3;  // the best of them: on a busy machine those who hold the locks lose their processor
  int64_t least = kCalls;
  int64_t end = 0;
  for (int round = 0; round < kRounds && least > kTolerated; ++round) {
    int64_t waited = 0;
    for (int64_t i = 0; i < kCalls; ++i, ++end) {
      const Unit unit = make_unit(end, 1, 4'000);
      const int64_t before = voluntary_switches();
      SentAppend sent = log->send(0, end, unit);
      waited += voluntary_switches() > before ? 1 : 0;
      expect_status(SLUICE_OK, sent.wait(), "append");
    }
    least = std::min(least, waited);
  }
  require(least <= kTolerated, "{} of {} appends made the caller's thread wait", least, kCalls);
}

constexpr Check kChecks[] = {
    {"threads.hammer", "[async] calls come from any thread, several at once; every answer is that of one order.",
     &hammer},
    {"threads.readers",
     "Nothing is readable, or counted in the end, before it is acknowledged in order; reads run beside appends.",
     &readers},
    {"threads.create_delete", "B10: create_log and delete_log are idempotent also when they run at once.",
     &create_and_delete},
    {"threads.delete_under_way", "Calls beside delete_log answer as before it or NOT_FOUND.", &delete_under_way},
    {"calls.never_wait", "[async] calls never wait for a device, a socket or another thread's I/O.", &never_wait},
};

}  // namespace

std::span<const Check> thread_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
