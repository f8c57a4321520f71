// SPDX-License-Identifier: Apache-2.0
// The kit as a program of its own, for ctest: conformance_check LIBRARY CONFIG_JSON [options]
//   --filter TEXT          only checks whose name contains it
//   --seed N               repeat a run
//   --call-timeout-ms N    when a call counts as lost
//   --directory DIR        where adapters keep files
//   --faults FILE          how to start the server, so that checks attack it; see tests/conformance/README.md
//   --native-name NAME     a name of the engine's own that may be adopted (kind NATIVE)
//   --native-write COMMAND, --native-damage COMMAND   write an entry, an undecodable one, under {name}
//   --json                 the report as JSON on standard output
//   --must-fail CHECK TEXT the named check, and so the run, must fail with a message that contains the text
// Ends with 0 when all passed (or failed as it must), 1 when not, 2 when it could not run.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "conformance/run.hpp"

namespace {

using namespace sluice;

void print(const conformance::CheckResult& result) {
  const std::string verdict(conformance::verdict_name(result.verdict));
  std::printf("%-14s %s (%lld ms)\n", verdict.c_str(), result.name.c_str(), static_cast<long long>(result.elapsed_ms));
  if (result.verdict == conformance::Verdict::failed) {
    std::printf("    contract: %s\n    found:    %s\n", result.sentence.c_str(), result.message.c_str());
  }
  std::fflush(stdout);
}

// Whether the one check failed and said what it must.
bool failed_as_it_must(const conformance::Report& report, const std::string& check, const std::string& text) {
  for (const auto& result : report.results) {
    if (result.name != check) continue;
    if (result.verdict == conformance::Verdict::failed && result.message.find(text) != std::string::npos) return true;
    std::printf("%s should have failed with \"%s\": it is %s \"%s\"\n", check.c_str(), text.c_str(),
                std::string(conformance::verdict_name(result.verdict)).c_str(), result.message.c_str());
    return false;
  }
  std::printf("there is no check %s\n", check.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 2) {
    std::fprintf(stderr, "conformance_check LIBRARY CONFIG_JSON [options]\n");
    return 2;
  }
  conformance::RunOptions options;
  std::string must_fail;
  std::string must_say;
  bool json = false;
  for (size_t i = 2; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    const size_t left = arguments.size() - i - 1;
    if (flag == "--json") {
      json = true;
    } else if (flag == "--must-fail" && left >= 2) {
      must_fail = arguments[++i];
      must_say = arguments[++i];
    } else if (flag == "--filter" && left >= 1) {
      options.filter = arguments[++i];
    } else if (flag == "--seed" && left >= 1) {
      options.seed = std::strtoull(arguments[++i].c_str(), nullptr, 10);
    } else if (flag == "--call-timeout-ms" && left >= 1) {
      options.call_timeout_ms = std::strtoll(arguments[++i].c_str(), nullptr, 10);
    } else if (flag == "--native-name" && left >= 1) {
      options.native_name = arguments[++i];
    } else if (flag == "--native-write" && left >= 1) {
      options.native_write = arguments[++i];
    } else if (flag == "--native-damage" && left >= 1) {
      options.native_damage = arguments[++i];
    } else if (flag == "--faults" && left >= 1) {
      std::ifstream file(arguments[++i]);
      std::stringstream text;
      text << file.rdbuf();
      auto plan = conformance::fault_plan_from_json(text.str());
      if (!plan) {
        std::fprintf(stderr, "%s: %s\n", arguments[i].c_str(), plan.error().describe().c_str());
        return 2;
      }
      options.faults = std::move(*plan);
    } else if (flag == "--directory" && left >= 1) {
      options.work_directory = std::filesystem::absolute(arguments[++i]).string();
    } else {
      std::fprintf(stderr, "unknown option %s\n", flag.c_str());
      return 2;
    }
  }
  const auto library = host::Library::load(std::filesystem::absolute(arguments[0]).string());
  if (!library) {
    std::fprintf(stderr, "%s\n", library.error().describe().c_str());
    return 2;
  }
  const auto inputs = conformance::inputs_from_json(arguments[1]);
  if (!inputs) {
    std::fprintf(stderr, "%s\n", inputs.error().describe().c_str());
    return 2;
  }
  const auto report = conformance::run(*library, *inputs, options, json ? conformance::Reporter() : print);
  if (json) std::printf("%s\n", report.to_json().c_str());
  std::fprintf(stderr, "%s: %zu passed, %zu failed, %zu not applicable (seed %llu)\n", report.adapter.c_str(),
               report.count(conformance::Verdict::passed), report.count(conformance::Verdict::failed),
               report.count(conformance::Verdict::not_applicable), static_cast<unsigned long long>(report.seed));
  if (!must_fail.empty()) return failed_as_it_must(report, must_fail, must_say) ? 0 : 1;
  return report.passed() ? 0 : 1;
}
