// SPDX-License-Identifier: Apache-2.0
#include "conformance/run.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "conformance/check.hpp"
#include "conformance/faults.hpp"

namespace sluice::conformance {
namespace {

constexpr std::string_view kFaultChecks = "faults.";

std::vector<Check> all_checks() {
  std::vector<Check> all;
  for (const auto list : {entry_checks(), lifecycle_checks(), log_checks(), append_checks(), refusal_checks(),
                          read_checks(), lease_checks(), locate_checks(), trim_checks(), fence_checks(), value_checks(),
                          writer_checks(), struct_checks(), thread_checks(), resource_checks(), invariant_checks(),
                          durability_checks(), fault_checks(), native_checks()}) {
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

// A folder below which each check has its own; removed at the end if it was made here.
class Workspace {
 public:
  explicit Workspace(const std::string& wanted, uint64_t seed) : made_(wanted.empty()) {
    path_ = wanted.empty() ? std::filesystem::temp_directory_path() / fmt::format("sluice-conformance-{:016x}", seed)
                           : std::filesystem::path(wanted);
    std::filesystem::create_directories(path_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }

  std::string folder(const char* check) const { return (path_ / check).string(); }
  void remove(const char* check) const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path_, ignored)) {
      const std::string name = entry.path().filename().string();
      if (name == check || name.starts_with(std::string(check) + "-"))
        std::filesystem::remove_all(entry.path(), ignored);
    }
  }

 private:
  const bool made_;
  std::filesystem::path path_;
};

// Runs the function and tears its surroundings down; both may find a breach.
void judge(const Check& check, Context& context, CheckResult& result) {
  try {
    check.run(context);
    context.drop_storage();
    if (std::string breach = context.book().verify(); !breach.empty()) throw Failure(breach);
    require(context.book().unanswered() == 0, "{} calls were not answered when stop returned",
            context.book().unanswered());
  } catch (const Inapplicable& reason) {
    result.verdict = Verdict::not_applicable;
    result.message = reason.what();
  } catch (const std::exception& failure) {
    result.verdict = Verdict::failed;
    result.message = failure.what();
  }
}

CheckResult run_check(const Check& check, const std::shared_ptr<const host::Library>& library,
                      const host::OptionInputs& inputs, const RunOptions& options, const Workspace& workspace,
                      uint64_t seed, Report& report) {
  CheckResult result{check.name, check.sentence, Verdict::passed, "", 0};
  const auto began = std::chrono::steady_clock::now();
  static_cast<void>(HostTable::instance().take_breaches());
  {
    Context context(library, inputs, options, workspace.folder(check.name),
                    seed ^ std::hash<std::string>()(check.name));
    // An adapter may offer both kinds: which one this storage is, its start says.
    const uint32_t kinds = report.kind != 0 ? report.kind : library->plugin().kinds;
    if ((kinds & check.kinds) == 0) {
      result.verdict = Verdict::not_applicable;
      result.message = "the adapter does not offer this kind of storage";
    } else {
      judge(check, context, result);
    }
    if (const ConditionAnswer* known = context.known_condition()) {
      report.server = known->server;
      report.kind = known->kind;
      report.capabilities = known->capabilities;
    }
  }
  const std::vector<std::string> breaches = HostTable::instance().take_breaches();
  if (result.verdict != Verdict::failed && !breaches.empty()) {
    result.verdict = Verdict::failed;
    result.message = breaches.front();
  }
  if (result.verdict != Verdict::failed) workspace.remove(check.name);
  result.elapsed_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "passed";
    case Verdict::failed:
      return "failed";
    case Verdict::not_applicable:
      return "not applicable";
  }
  return "";
}

size_t Report::count(Verdict verdict) const {
  return static_cast<size_t>(std::count_if(results.begin(), results.end(),
                                           [verdict](const CheckResult& result) { return result.verdict == verdict; }));
}

std::string Report::to_json() const {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const CheckResult& result : results) {
    checks.push_back({{"name", result.name},
                      {"sentence", result.sentence},
                      {"verdict", verdict_name(result.verdict)},
                      {"message", result.message},
                      {"elapsed_ms", result.elapsed_ms}});
  }
  const nlohmann::ordered_json all = {{"adapter", adapter},
                                      {"version", version},
                                      {"library", library},
                                      {"server", server},
                                      {"capabilities", capabilities},
                                      {"seed", seed},
                                      {"passed", count(Verdict::passed)},
                                      {"failed", count(Verdict::failed)},
                                      {"not_applicable", count(Verdict::not_applicable)},
                                      {"checks", std::move(checks)}};
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Report run(const std::shared_ptr<const host::Library>& library, const host::OptionInputs& inputs,
           const RunOptions& options, const Reporter& reporter) {
  Report report;
  report.adapter = library->name();
  report.version = library->version();
  report.library = library->path();
  report.seed = options.seed != 0 ? options.seed : std::random_device()() | uint64_t{1} << 32;
  const Workspace workspace(options.work_directory, report.seed);
  std::unique_ptr<FaultServer> server;
  host::OptionInputs reached = inputs;
  if (options.faults && !options.filter.starts_with(kFaultChecks)) {
    // One server for all checks but those that attack: they start their own.
    server = std::make_unique<FaultServer>(*options.faults);
    server->must_start();
    reached.insert_or_assign(options.faults->option, server->expand(options.faults->value, server->port()));
  }
  for (const Check& check : all_checks()) {
    if (std::string_view(check.name).find(options.filter) == std::string_view::npos) continue;
    report.results.push_back(run_check(check, library, reached, options, workspace, report.seed, report));
    if (reporter) reporter(report.results.back());
  }
  return report;
}

std::vector<CheckResult> list_checks() {
  std::vector<CheckResult> list;
  for (const Check& check : all_checks()) list.push_back({check.name, check.sentence, Verdict::not_applicable, "", 0});
  return list;
}

Result<host::OptionInputs> inputs_from_json(std::string_view json) {
  const auto parsed = [&]() -> Result<nlohmann::json> {
    try {
      return nlohmann::json::parse(json);
    } catch (const nlohmann::json::exception& error) {
      return fail(StatusCode::invalid, error.what());
    }
  }();
  if (!parsed) return fail(parsed.error());
  if (!parsed->is_object()) return fail(StatusCode::invalid, "the options are not a JSON object");
  host::OptionInputs inputs;
  for (const auto& [name, value] : parsed->items()) {
    if (value.is_string()) {
      inputs[name] = value.get<std::string>();
    } else if (value.is_boolean()) {
      inputs[name] = value.get<bool>();
    } else if (value.is_number_integer()) {
      inputs[name] = value.get<int64_t>();
    } else if (value.is_number()) {
      inputs[name] = value.get<double>();
    } else {
      return fail(StatusCode::invalid, "option \"" + name + "\" is neither text, number nor boolean");
    }
  }
  return inputs;
}

}  // namespace sluice::conformance
