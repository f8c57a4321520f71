// SPDX-License-Identifier: Apache-2.0
// How fast the disk engine alone takes appends: P logs, one unit of U bytes in flight on each, for a while. Prints
// MB/s, processor seconds per GB and latencies. Run it on the file system in question, and with the free memory warmed
// (first touch of memory that the machine had given back can cost more than everything else):
//
//   disk_append DIRECTORY [partitions=1] [unit=1048576] [seconds=3] [sync=os|interval|fsync] [segment=...]
//   [watch_us=...]
//               [writers=...] [preallocate=...] [pause_us=0] [keep=0]
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "disk/storage.hpp"
#include "records/builder.hpp"

namespace {

using namespace sluice;
using Clock = std::chrono::steady_clock;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Answers of the engine, handed to the one thread that asks: what an event loop does.
struct Loop {
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<sluice_ticket*> done;
};

struct Lane {
  sluice_ticket ticket{};  // first
  std::shared_ptr<disk::Log> log;
  std::vector<Buffer> units;  // written in turns, as requests come in buffers of their own
  sluice_batch batch{};
  sluice_append request{};
  sluice_append_result result{};
  int64_t end = 0;
  size_t turn = 0;
  Clock::time_point sent;
};

Loop loop;

void complete(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  if (status != SLUICE_OK) {
    fmt::print(stderr, "append failed: {}\n", status);
    std::exit(1);
  }
  {
    std::lock_guard lock(loop.mutex);
    loop.done.push_back(ticket);
  }
  loop.wake.notify_one();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: disk_append DIRECTORY [name=value ...]\n");
    return 2;
  }
  std::map<std::string, std::string> given;
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    given[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  const auto number = [&](const char* name, uint64_t otherwise) {
    return given.contains(name) ? std::strtoull(given[name].c_str(), nullptr, 10) : otherwise;
  };
  disk::Settings settings;
  settings.directory = std::string(argv[1]) + "/disk_append";
  settings.sync = given["sync"] == "fsync"      ? disk::SyncMode::fsync
                  : given["sync"] == "interval" ? disk::SyncMode::interval
                                                : disk::SyncMode::os;
  settings.segment_bytes = number("segment", settings.segment_bytes);
  settings.watch = std::chrono::microseconds(number("watch_us", static_cast<uint64_t>(settings.watch.count())));
  settings.writer_threads = number("writers", settings.writer_threads);
  settings.preallocate_bytes = number("preallocate", settings.preallocate_bytes);
  const size_t partitions = number("partitions", 1);
  const size_t unit_bytes = number("unit", 1 << 20);
  const double seconds = static_cast<double>(number("seconds", 3));
  const auto pause = std::chrono::microseconds(number("pause_us", 0));
  std::filesystem::remove_all(settings.directory);
  disk::Storage storage(settings, disk::system_files(),
                        [](disk::LogLevel, const std::string& text) { fmt::print(stderr, "{}\n", text); });
  if (const Status started = storage.start(); !started) {
    fmt::print(stderr, "{}\n", started.describe());
    return 1;
  }
  sluice_host host{};
  host.size = sizeof host;
  host.complete = &complete;

  std::vector<std::unique_ptr<Lane>> lanes;
  const auto wait = [&](std::vector<sluice_ticket*>& done) {
    std::unique_lock lock(loop.mutex);
    loop.wake.wait(lock, [] { return !loop.done.empty(); });
    done.swap(loop.done);
    loop.done.clear();
  };
  std::vector<sluice_ticket*> done;
  const auto making = Clock::now();
  for (size_t i = 0; i < partitions; ++i) {
    auto lane = std::make_unique<Lane>();
    plugin::LogDescriptor descriptor;
    descriptor.id = Uuid::from_words(1, i);
    descriptor.topic = "bench";
    descriptor.partition = static_cast<int32_t>(i);
    lane->log = storage.log(descriptor.id);
    plugin::Call call(&host, &lane->ticket);
    static_cast<void>(lane->log->create(call, descriptor));
    wait(done);
    done.clear();
    if (i + 1 == partitions) {
      fmt::print("{} logs made, one after the other, in {:.1f} ms\n", partitions,
                 std::chrono::duration<double, std::milli>(Clock::now() - making).count());
    }
    for (int u = 0; u < 4; ++u) {
      records::BatchBuilder builder(records::BatchOptions{});
      const std::vector<uint8_t> value(unit_bytes, 'x');
      static_cast<void>(builder.add({.timestamp = 1, .key = std::nullopt, .value = Bytes(value)}));
      lane->units.push_back(std::move(*builder.build()));
    }
    lane->request.size = sizeof lane->request;
    lane->request.batches = &lane->batch;
    lane->request.batch_count = 1;
    lane->result.size = sizeof lane->result;
    lanes.push_back(std::move(lane));
  }
  const auto send = [&](Lane& lane) {
    Buffer& unit = lane.units[lane.turn++ % lane.units.size()];
    records::stamp_base_offset(unit.mutable_view(), lane.end);
    lane.batch = {unit.data(), unit.size(), lane.end, lane.end, 1, 1, 0};
    lane.request.at = lane.end;
    lane.request.bytes = unit.size();
    lane.sent = Clock::now();
    plugin::Call call(&host, &lane.ticket);
    static_cast<void>(lane.log->append(call, lane.request, lane.result));
  };

  std::vector<double> latencies;
  uint64_t bytes = 0;
  const double cpu_before = cpu_seconds();
  const auto began = Clock::now();
  for (auto& lane : lanes) send(*lane);
  size_t in_flight = lanes.size();
  while (in_flight > 0) {
    done.clear();
    wait(done);
    const auto now = Clock::now();
    const bool more = std::chrono::duration<double>(now - began).count() < seconds;
    for (sluice_ticket* ticket : done) {
      Lane& lane = *reinterpret_cast<Lane*>(ticket);
      latencies.push_back(std::chrono::duration<double, std::micro>(now - lane.sent).count());
      bytes += lane.request.bytes;
      lane.end = lane.result.end;
      if (!more) {
        --in_flight;
        continue;
      }
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
      send(lane);
    }
  }
  const double took = std::chrono::duration<double>(Clock::now() - began).count();
  const double cpu = cpu_seconds() - cpu_before;
  std::ranges::sort(latencies);
  const auto percentile = [&](double p) {
    return latencies[static_cast<size_t>(p * static_cast<double>(latencies.size() - 1))];
  };
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  fmt::print("{:7.0f} MB/s  {:5.2f} cpu s/GB  {:8.0f} units/s  p50 {:6.0f} us  p99 {:7.0f} us  max {:7.0f} us\n",
             gigabytes * 1e3 / took, cpu / gigabytes, static_cast<double>(latencies.size()) / took, percentile(0.5),
             percentile(0.99), latencies.back());
  const auto milliseconds = [](Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
  };
  const auto stopping = Clock::now();
  static_cast<void>(storage.stop(Clock::now() + std::chrono::seconds(60)));
  const double stopped_ms = milliseconds(stopping);
  const auto starting = Clock::now();
  static_cast<void>(storage.start());
  fmt::print("stopped in {:.1f} ms, started again in {:.1f} ms\n", stopped_ms, milliseconds(starting));
  static_cast<void>(storage.stop(Clock::now() + std::chrono::seconds(60)));
  if (number("keep", 0) == 0) std::filesystem::remove_all(settings.directory);
  return 0;
}
