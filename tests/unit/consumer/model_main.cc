// SPDX-License-Identifier: Apache-2.0
// consumer_model [--cases N] [--seed S] [--trace 1]: the consumer's model, as many cases as wanted, on all cores. Ends
// with 1 at the first case that does not hold, naming its seed: `consumer_model --cases 1 --seed THAT --trace 1`
// repeats it.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "consumer/model.hpp"

int main(int argc, char** argv) {
  uint64_t cases = 1'000'000;
  uint64_t seed = 1;
  bool trace = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--cases") {
      cases = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (name == "--seed") {
      seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (name == "--trace") {
      trace = std::strtoull(argv[i + 1], nullptr, 10) != 0;
    } else {
      std::fprintf(stderr, "consumer_model [--cases N] [--seed S] [--trace 1]\n");
      return 2;
    }
  }
  const auto began = std::chrono::steady_clock::now();
  std::atomic<uint64_t> next = 0, records = 0, responses = 0, restarts = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (uint64_t at = next++; at < cases && !failed; at = next++) {
        const auto report = sluice::testing::run_model_case(seed + at, trace);
        records += report.records;
        responses += report.responses;
        restarts += report.restarts;
        if (report.fault.empty()) continue;
        failed = true;
        std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed + at), report.fault.c_str());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%llu cases from seed %llu: %llu records in %llu responses, %llu restarts, %.0f s: %s\n",
              static_cast<unsigned long long>(cases), static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(records), static_cast<unsigned long long>(responses),
              static_cast<unsigned long long>(restarts), took.count(), failed ? "FAILED" : "all hold");
  return failed ? 1 : 0;
}
