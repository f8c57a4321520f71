// SPDX-License-Identifier: Apache-2.0
// The soak of the event bus; tests/soak/README.md says what it does and what it expects.
//
//   soak [--minutes N | --seconds N] [--seed N] [--rate EVENTS_PER_S] [--only NAME,...]
//
// Exit code 0: everything held. The last line counts the lanes, and the process itself, that passed and failed.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common.hpp"
#include "fast_lane.hpp"
#include "storage_lane.hpp"
#include "support/folder.hpp"
#include "support/loopback_server.hpp"
#include "watch.hpp"

namespace {

using namespace sluice;
using namespace sluice::soak;

constexpr double kBriskSeconds = 300;  // shorter runs have short lives and outages
constexpr double kProgressSeconds = 10;
constexpr double kMostFullSpeedSeconds = 60;             // of measuring what half is taken of
constexpr double kLookSeconds = 5;                       // between two looks at memory
constexpr auto kMostOfOneBus = std::chrono::minutes(8);  // beyond, something hangs
constexpr int64_t kThreadsEndMs = 30'000;
constexpr uint64_t kThreadsThatStay = 4;  // the watchdog of all storages, and three of the NATS client's
constexpr double kDiskRate = 10'000, kServerRate = 5'000;  // events per second

struct Options {
  double seconds = 3'600;
  uint64_t seed = std::random_device{}();
  double rate = 0;  // 0: half of what is measured
  std::string only;
  bool has(std::string_view lane) const {
    return only.empty() || ("," + only + ",").find("," + std::string(lane) + ",") != std::string::npos;
  }
};

std::optional<Options> parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == count) return std::nullopt;
    char* end = nullptr;
    const char* value = arguments[i + 1];
    if (name == "--minutes") {
      options.seconds = 60 * std::strtod(value, &end);
    } else if (name == "--seconds") {
      options.seconds = std::strtod(value, &end);
    } else if (name == "--rate") {
      options.rate = std::strtod(value, &end);
    } else if (name == "--seed") {
      options.seed = std::strtoull(value, &end, 10);
    } else if (name == "--only") {
      options.only = value;
      continue;
    } else {
      return std::nullopt;
    }
    if (end == value || *end != '\0') return std::nullopt;
  }
  if (!(options.seconds > 0 && options.seconds < 1e7) || !(options.rate >= 0 && options.rate < 1e9))
    return std::nullopt;
  return options;
}

double seconds_since(Clock::time_point when) {
  return std::chrono::duration<double>(Clock::now() - when).count();
}

void say(const std::string& text) {
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

class Soak {
 public:
  explicit Soak(Options options) : options_(std::move(options)) {}

  int run() {
    say(fmt::format("soak: {:.0f} s, --seed {}", options_.seconds, options_.seed));
    static_cast<void>(fmt::format("{}", key_of(0)));  // what lives as long as the process
    const Taking before = taking_now();
    const double full = measure_full_speed(options_.seconds < kBriskSeconds ? 1 : 5, verdict_);
    say(fmt::format("one thread alone, one by one, has {:.2f} M events/s", full / 1e6));
    make_lanes();
    began_ = Clock::now();
    Watch watch(options_.seconds, options_.seconds < kBriskSeconds);
    std::vector<std::thread> threads;
    if (fast_) threads.emplace_back([this] { run_fast(); });
    for (const auto& lane : lanes_) threads.emplace_back([&lane] { lane->run(); });
    double told = 0, looked = 0;
    while (seconds_since(began_) < options_.seconds) {
      std::this_thread::sleep_for(
          std::min(milliseconds(1'000), milliseconds(static_cast<int64_t>(options_.seconds * 20))));
      const double now = seconds_since(began_);
      if (now - looked >= (options_.seconds < kBriskSeconds ? 0 : kLookSeconds)) watch.look(looked = now);
      if (now - told >= kProgressSeconds) progress(now - std::exchange(told, now), now);
      watch_lives();
    }
    for (auto& thread : threads) thread.join();
    threads.clear();
    watch.check(verdict_);
    check_nothing_left(before);
    return summary(watch);
  }

 private:
  /// Half of what the lane gets through at full speed beside the others, which take their share of the cores.
  void run_fast() {
    double rate = options_.rate;
    if (rate == 0) {
      const double seconds = std::min(options_.seconds / 10, kMostFullSpeedSeconds);
      const double full = fast_->full_speed(Clock::now() + milliseconds(static_cast<int64_t>(1'000 * seconds)));
      rate = full / 2;
      say(fmt::format("full speed beside the other lanes is {:.2f} M events/s; held will be {:.2f} M/s", full / 1e6,
                      rate / 1e6));
    }
    fast_->run(rate);
  }

  void make_lanes() {
    std::mt19937_64 seeds(options_.seed);
    const auto terms = [&] {
      Terms made;
      made.seed = seeds();
      made.until =
          Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.seconds));
      made.brisk = options_.seconds < kBriskSeconds;
      made.verdict = &verdict_;
      return made;
    };
    const std::string broker = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "sluiced";
    const auto add = [&](const std::string& name, double events_per_s, StorageLane::Make make) {
      const Terms mine = terms();  // drawn for each, so that one lane alone does what it does beside others
      if (options_.has(name))
        lanes_.push_back(std::make_unique<StorageLane>(name, mine, std::move(make), events_per_s));
    };
    const Terms fast = terms();
    if (options_.has("fast")) fast_ = std::make_unique<FastLane>(fast);
    add("disk", kDiskRate, [this] { return make_disk(folder_.in("disk")); });
    add("redis", kServerRate, [this] { return make_redis(folder_.in("redis")); });
    add("jetstream", kServerRate, [this] { return make_jetstream(folder_.in("jetstream")); });
    add("kafka", kServerRate, [broker] { return make_kafka(broker); });
  }

  void progress(double since_s, double now_s) {
    std::string line = fmt::format("{:5.0f} s:", now_s);
    if (fast_) {
      const uint64_t offered = fast_->tally().offered_now;
      line += fmt::format(" fast {:.2f} M/s, {} buses;",
                          static_cast<double>(offered - std::exchange(fast_offered_, offered)) / since_s / 1e6,
                          fast_->tally().get().buses);
    }
    for (const auto& lane : lanes_) {
      const Figures figures = lane->tally().get();
      line += fmt::format(" {} {} buses, {} outages, {} read;", lane->name(), figures.buses,
                          figures.kills + figures.stops + figures.restarts, figures.read_back);
    }
    const Taking now = taking_now();
    say(fmt::format("{} {:.0f} MiB, {} threads, {} descriptors, {} violations", line,
                    static_cast<double>(now.rss_bytes) / (1 << 20), now.threads, now.descriptors, verdict_.all()));
  }

  /// A run that hangs says where, and ends.
  void watch_lives() {
    const auto look = [&](const std::string& name, Clock::time_point last) {
      if (Clock::now() - last < kMostOfOneBus) return;
      verdict_.violated(name, "the life of one bus comes to no end");
      std::_Exit(3);
    };
    if (fast_) look("fast", fast_->last_end());
    for (const auto& lane : lanes_) look(lane->name(), lane->last_end());
  }

  void check_nothing_left(const Taking& before) {
    Taking after;
    const bool ended = test::eventually(
        [&] {
          after = taking_now();
          return after.threads <= before.threads + kThreadsThatStay && after.descriptors <= before.descriptors;
        },
        kThreadsEndMs);
    if (!ended) {
      verdict_.violated("process",
                        fmt::format("{} threads and {} descriptors are left, of {} and {} before:{}", after.threads,
                                    after.descriptors, before.threads, before.descriptors, thread_names()));
    }
  }

  int summary(const Watch& watch) {
    size_t passed = 0, failed = 0;
    const auto part = [&](const std::string& name, const std::string& text) {
      const uint64_t violations = verdict_.of(name);
      ++(violations == 0 ? passed : failed);
      say(fmt::format("{} {}: {}", violations == 0 ? "PASS" : "FAIL", name, text));
    };
    if (fast_) {
      part("fast", fmt::format("{:.2f} M events/s offered while buses lived; {}", fast_->held() / 1e6,
                               fast_->tally().get().text()));
    }
    for (const auto& lane : lanes_) part(lane->name(), lane->tally().get().text());
    part("process", watch.text());
    say(fmt::format("{:.0f} s, --seed {}, {} violations", seconds_since(began_), options_.seed, verdict_.all()));
    say(fmt::format("{} passed, {} failed, 0 skipped", passed, failed));
    return verdict_.all() == 0 ? 0 : 1;
  }

  const Options options_;
  const test::Folder folder_;
  Verdict verdict_;
  std::unique_ptr<FastLane> fast_;
  std::vector<std::unique_ptr<StorageLane>> lanes_;
  Clock::time_point began_;
  uint64_t fast_offered_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  const auto options = parse(count, arguments);
  if (!options) {
    fmt::print(
        stderr,
        "soak [--minutes N | --seconds N] [--seed N] [--rate EVENTS_PER_S] [--only fast,disk,redis,jetstream,kafka]\n");
    return 2;
  }
  return Soak(*options).run();
}
