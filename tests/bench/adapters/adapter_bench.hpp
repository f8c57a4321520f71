// SPDX-License-Identifier: Apache-2.0
// What benchmarks of adapters share: cases, figures, and an adapter that is driven through the host as the broker does,
// with as much under way on each log as the plain program beside it has.
#pragma once

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/thread_loop.hpp"
#include "host/library.hpp"
#include "host/log.hpp"
#include "host/storage.hpp"
#include "records/batch.hpp"
#include "records/builder.hpp"

namespace sluice::bench {

using Clock = std::chrono::steady_clock;

inline constexpr size_t kInFlightBytes = 8 << 20;  // of one log; of all logs together four times that
inline constexpr size_t kMostInFlight = 1024;      // batches of one log
inline constexpr uint64_t kReadBytes = 4 << 20;

inline size_t window(size_t size, size_t logs) {
  const size_t share = std::min<size_t>(kInFlightBytes, 4 * kInFlightBytes / logs);
  return std::clamp<size_t>(share / size, 1, kMostInFlight);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

inline void need(bool holds, const std::string& what) {
  if (holds) return;
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

struct Case {
  size_t logs;
  size_t size;         // bytes of a batch
  size_t count;        // batches to a log
  size_t records = 1;  // of a batch
  size_t bytes() const { return logs * size * count; }
  size_t record_bytes() const { return size / records; }
};

/// Of one direction, a value a round: MB/s, and CPU seconds per GB of this process and of the engine.
struct Pace {
  std::vector<double> rate;
  std::vector<double> own_cpu;
  std::vector<double> engine_cpu;
};

struct Speeds {
  Pace append;
  Pace read;
};

/// CPU seconds that the engine used so far. Set once, by main.
inline std::function<double()> engine_cpu_seconds = [] { return 0.0; };

/// Takes the time, this process's and the engine's, from its construction on.
class Stopwatch {
 public:
  void stop(size_t bytes, Pace& pace) const {
    const double gigabytes = static_cast<double>(bytes) / 1e9;
    pace.rate.push_back(1e3 * gigabytes / std::chrono::duration<double>(Clock::now() - begin_).count());
    pace.own_cpu.push_back((own_cpu_seconds() - own_) / gigabytes);
    pace.engine_cpu.push_back((engine_cpu_seconds() - engine_) / gigabytes);
  }

 private:
  static double own_cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  }
  const Clock::time_point begin_ = Clock::now();
  const double own_ = own_cpu_seconds();
  const double engine_ = engine_cpu_seconds();
};

inline constexpr std::string_view kRecordKey = "key";

/// One that storages of kind NATIVE unpack.
inline std::shared_ptr<std::string> make_records(const Case& now) {
  records::BatchBuilder builder{records::BatchOptions{}};
  const std::string value(now.record_bytes(), 'x');
  records::NewRecord record;
  record.timestamp = 1'700'000'000'000;
  record.key = as_bytes(kRecordKey);
  record.value = as_bytes(value);
  for (size_t i = 0; i < now.records; ++i) need(builder.add(record).ok(), "a batch");
  return std::make_shared<std::string>(as_text(builder.build()->view()));
}

/// Of no record that anybody reads.
inline std::shared_ptr<std::string> make_batch(size_t size) {
  auto bytes = std::make_shared<std::string>(size, 'x');
  auto* at = reinterpret_cast<uint8_t*>(bytes->data());
  std::memset(at, 0, records::kBatchHeaderBytes);
  store_be<int32_t>(at + records::layout::kBatchLength, static_cast<int32_t>(size - records::kLengthPrefixBytes));
  at[records::layout::kMagic] = 2;
  store_be<int32_t>(at + records::layout::kRecordsCount, 1);
  return bytes;
}

/// The adapter in the shared object `plugin`, started, with room for all that a benchmark has under way.
inline std::shared_ptr<host::Storage> open_storage(const std::string& plugin, host::OptionInputs inputs) {
  // As the broker has it: what one read lay in is wanted for the next.
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  auto library = host::Library::load(plugin);
  need(library.has_value(), library ? "" : library.error().describe());
  host::StorageOptions options;
  options.name = "bench";
  options.data_directory = "/tmp";
  options.inputs = std::move(inputs);
  options.max_bytes_in_flight = 1ull << 30;
  options.max_bytes_leased = 1ull << 30;
  auto storage = *host::Storage::create(*library, std::move(options));
  const auto started = storage->start();
  need(started.has_value(), started ? "" : started.error().describe());
  return storage;
}

class Adapter {
 public:
  Adapter(const std::string& plugin, host::OptionInputs inputs)
      : loop_("bench"), storage_(open_storage(plugin, std::move(inputs))) {}
  ~Adapter() { static_cast<void>(storage_->stop(10'000)); }

  void run(const Case& now, int round, Speeds& speeds) {
    std::vector<std::shared_ptr<host::Log>> logs;
    for (size_t i = 0; i < now.logs; ++i)
      logs.push_back(make_log(static_cast<uint8_t>(i), static_cast<uint8_t>(round), now.size));
    std::atomic<size_t> left = now.logs;
    std::vector<std::unique_ptr<Appender>> appenders;
    for (auto& log : logs) appenders.push_back(std::make_unique<Appender>(*this, *log, now));
    const Stopwatch appending;
    on_loop([&] {
      for (auto& appender : appenders) appender->begin(window(now.size, now.logs), [&] { finished(left); });
    });
    wait(left);
    appending.stop(now.bytes(), speeds.append);

    left = now.logs;
    const Stopwatch reading;
    on_loop([&] {
      for (auto& log : logs) start(read_all(log), [&] { finished(left); });
    });
    wait(left);
    reading.stop(now.bytes(), speeds.read);
    left = now.logs;
    on_loop([&] {
      for (auto& log : logs) start(storage_->delete_log(log->descriptor(), loop_), [&](Status) { finished(left); });
    });
    wait(left);
  }

  std::vector<double> round_trips(size_t count) {
    auto log = make_log(200, 200, 1024);
    std::vector<double> times;
    const Case one{1, 1024, 1};
    for (size_t i = 0; i < count; ++i) {
      std::atomic<size_t> left = 1;
      Appender appender(*this, *log, one);
      const auto begin = Clock::now();
      on_loop([&] { appender.begin(1, [&] { finished(left); }); });
      wait(left);
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    return times;
  }

 private:
  // Keeps a window of batches under way: each that is acknowledged is followed by another. On the loop's thread.
  class Appender {
   public:
    Appender(Adapter& adapter, host::Log& log, const Case& now)
        : adapter_(adapter), log_(log), case_(now), left_(now.count), open_(now.count) {
      // Memory that was never touched costs more than all that is measured.
      for (size_t i = std::min(window(now.size, now.logs), now.count); i > 0; --i) {
        spare_.push_back(now.records > 1 ? make_records(now) : make_batch(now.size));
      }
    }
    void begin(size_t batches, std::function<void()> done) {
      done_ = std::move(done);
      for (size_t i = 0; i < batches && left_ > 0; ++i) next();
      log_.send();
    }

   private:
    void next() {
      --left_;
      const host::WritePosition position = log_.position();
      std::shared_ptr<std::string> bytes = std::move(spare_.back());
      spare_.pop_back();
      store_be<int64_t>(reinterpret_cast<uint8_t*>(bytes->data()), position.end);
      host::AppendEntry entry;
      entry.bytes = {reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()};
      entry.owner = bytes;
      entry.base_offset = position.end;
      entry.last_offset = position.end + static_cast<int64_t>(case_.records) - 1;
      entry.record_count = static_cast<uint32_t>(case_.records);
      entry.done = [this, bytes](host::AppendOutcome outcome) mutable {
        need(outcome.status.ok(), outcome.status.describe());
        spare_.push_back(std::move(bytes));
        if (left_ > 0) {
          next();
          if (!sending_) {
            sending_ = true;  // once for all that are answered together
            adapter_.loop_.post([this] {
              sending_ = false;
              log_.send();
            });
          }
        }
        if (--open_ == 0) done_();
      };
      const Status queued = log_.enqueue(std::move(entry), position.generation, adapter_.loop_);
      need(queued.ok(), queued.describe());
    }

    Adapter& adapter_;
    host::Log& log_;
    const Case case_;
    size_t left_;
    size_t open_;
    bool sending_ = false;
    std::vector<std::shared_ptr<std::string>> spare_;
    std::function<void()> done_;
  };

  std::shared_ptr<host::Log> make_log(uint8_t number, uint8_t round, size_t size) {
    host::LogDescriptor descriptor;
    descriptor.id[0] = number;
    descriptor.id[1] = round;
    store_be<uint64_t>(descriptor.id.data() + 8, size);
    descriptor.topic = fmt::format("bench-{}-{}-{}", size, round, number);
    std::atomic<size_t> left = 1;
    on_loop([&] {
      start(storage_->create_log(descriptor, loop_), [&](Status status) {
        need(status.ok(), status.describe());
        finished(left);
      });
    });
    wait(left);
    auto log = *storage_->open(descriptor);
    left = 1;
    on_loop([&] {
      start(log->acquire(1, loop_), [&](Result<host::WritePosition> position) {
        need(position.has_value(), "acquire");
        finished(left);
      });
    });
    wait(left);
    return log;
  }

  Task<void> read_all(std::shared_ptr<host::Log> log) {
    const auto bounds = co_await log->bounds(loop_);
    need(bounds.has_value(), "bounds");
    for (int64_t offset = bounds->start; offset < bounds->end;) {
      auto read = co_await log->read(offset, INT64_MAX, kReadBytes, loop_);
      need(read.has_value() && read->next > offset, "read");
      offset = read->next;
    }
  }

  void on_loop(std::function<void()> function) {
    loop_.post([function = std::move(function)] { function(); });
  }
  void finished(std::atomic<size_t>& left) {
    const std::lock_guard lock(mutex_);
    --left;
    changed_.notify_all();
  }
  void wait(std::atomic<size_t>& left) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return left == 0; });
  }

  ThreadLoop loop_;
  std::shared_ptr<host::Storage> storage_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// What is run: all, or what has this number of logs, or batches of this size.
struct Selection {
  size_t logs = 0;
  size_t batch = 0;
  bool has(size_t a_logs, size_t a_batch) const {
    return (logs == 0 || logs == a_logs) && (batch == 0 || batch == a_batch);
  }
};

/// Likewise with an adapter of kind NATIVE: batches of 64 KiB are records of the engine's own there. CPU is that of
/// this process and, behind the plus, that of the engine, in microseconds for a record. `selection.batch` is a record's
/// size.
template <class Plain>
void compare_records(Plain& plain, Adapter& adapter, int rounds, size_t megabytes, const Selection& selection) {
  fmt::print("NATIVE{:<7}  {:^21}  {:^21}  {:^23}  {:^23}\n", "", "append, thousands/s", "read, thousands/s",
             "append, CPU us", "read, CPU us");
  fmt::print("{:>4} {:>8}", "logs", "record");
  for (int i = 0; i < 2; ++i) fmt::print("  {:>7} {:>7} {:>5}", "adapter", "plain", "ratio");
  for (int i = 0; i < 2; ++i) fmt::print("  {:>11} {:>11}", "adapter", "plain");
  fmt::print("\n");
  for (const size_t logs : {size_t{1}, size_t{16}}) {
    for (const size_t size : {size_t{100}, size_t{1} << 10}) {
      if (!selection.has(logs, size)) continue;
      const size_t batch = (size_t{64} << 10) / size * size;
      const size_t bytes = (megabytes << 20) / 4;
      const Case now{logs, batch, std::max<size_t>(1, bytes / batch / logs), batch / size};
      Speeds of_plain;
      Speeds of_adapter;
      for (int round = 0; round < rounds; ++round) {
        plain.run(now, round, of_plain);
        adapter.run(now, round, of_adapter);
      }
      fmt::print("{:>4} {:>8}", logs, size);
      for (Pace Speeds::*way : {&Speeds::append, &Speeds::read}) {
        const auto thousands = [&](const Speeds& of) {
          return median((of.*way).rate) * 1e3 / static_cast<double>(size);
        };
        fmt::print("  {:>7.0f} {:>7.0f} {:>5.2f}", thousands(of_adapter), thousands(of_plain),
                   thousands(of_adapter) / thousands(of_plain));
      }
      for (Pace Speeds::*way : {&Speeds::append, &Speeds::read}) {
        for (const Speeds* of : {&of_adapter, &of_plain}) {
          const auto us = [&](std::vector<double> seconds_per_gb) {
            return median(std::move(seconds_per_gb)) * static_cast<double>(size) / 1e3;
          };
          fmt::print("{}{:>5.2f} +{:>5.2f}", of == &of_adapter ? "  " : " ", us((of->*way).own_cpu),
                     us((of->*way).engine_cpu));
        }
      }
      fmt::print("\n");
      std::fflush(stdout);
    }
  }
}

/// Runs `plain` and `adapter` in turns over sizes and numbers of logs, and prints medians and ratios. CPU is that of
/// this process and, behind the plus, that of the engine.
template <class Plain>
void compare(Plain& plain, Adapter& adapter, int rounds, size_t megabytes, const Selection& selection) {
  fmt::print("{:<13}  {:^21}  {:^21}  {:^23}  {:^23}\n", "", "append, MB/s", "read, MB/s", "append, CPU s per GB",
             "read, CPU s per GB");
  fmt::print("{:>4} {:>8}", "logs", "batch");
  for (int i = 0; i < 2; ++i) fmt::print("  {:>7} {:>7} {:>5}", "adapter", "plain", "ratio");
  for (int i = 0; i < 2; ++i) fmt::print("  {:>11} {:>11}", "adapter", "plain");
  fmt::print("\n");
  for (const size_t logs : {size_t{1}, size_t{16}}) {
    for (const size_t size : {size_t{1} << 10, size_t{64} << 10, size_t{1} << 20}) {
      if (!selection.has(logs, size)) continue;
      // Small ones are slow: fewer bytes of them.
      const size_t bytes = (megabytes << 20) / (size < 4096 ? 4 : 1);
      const Case now{logs, size, std::max<size_t>(1, bytes / size / logs)};
      Speeds of_plain;
      Speeds of_adapter;
      for (int round = 0; round < rounds; ++round) {
        plain.run(now, round, of_plain);
        adapter.run(now, round, of_adapter);
      }
      fmt::print("{:>4} {:>8}", logs, size);
      for (Pace Speeds::*way : {&Speeds::append, &Speeds::read}) {
        const double rates[2] = {median((of_adapter.*way).rate), median((of_plain.*way).rate)};
        fmt::print("  {:>7.0f} {:>7.0f} {:>5.2f}", rates[0], rates[1], rates[0] / rates[1]);
      }
      for (Pace Speeds::*way : {&Speeds::append, &Speeds::read}) {
        for (const Speeds* of : {&of_adapter, &of_plain}) {
          fmt::print("{}{:>5.2f} +{:>5.2f}", of == &of_adapter ? "  " : " ", median((of->*way).own_cpu),
                     median((of->*way).engine_cpu));
        }
      }
      fmt::print("\n");
      std::fflush(stdout);
    }
  }
  if (selection.logs != 0 || selection.batch != 0) return;
  auto engine = plain.round_trips(2'000);
  auto ours = adapter.round_trips(2'000);
  for (auto* times : {&engine, &ours}) std::sort(times->begin(), times->end());
  fmt::print("one at a time, us p50 / p99: engine {:.0f} / {:.0f}, adapter {:.0f} / {:.0f}\n", engine[1'000],
             engine[1'980], ours[1'000], ours[1'980]);
}

}  // namespace sluice::bench
