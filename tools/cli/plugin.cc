// SPDX-License-Identifier: Apache-2.0
// sluice plugin list | describe | check: plugins.json and the libraries that it names, without a broker.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "cli/commands.hpp"
#include "cli/text.hpp"
#include "conformance/run.hpp"
#include "host/library.hpp"
#include "host/options.hpp"
#include "sluice/storage_abi.h"
#include "storage/plugins_config.hpp"

namespace sluice::cli {
namespace {

using LibraryPtr = std::shared_ptr<const host::Library>;

std::string plugin_directory(const PluginPlaces& places) {
  return places.plugin_directory.empty()
             ? host::default_plugin_directory()
             : std::filesystem::absolute(places.plugin_directory).lexically_normal().string();
}

Result<storage::PluginsConfig> read_config(const PluginPlaces& places) {
  const auto file = storage::find_plugins_config(places.file, places.data_directory);
  if (!file) return fail(file.error());
  return storage::read_plugins_config(*file);
}

Result<LibraryPtr> load(const std::string& name, const PluginPlaces& places) {
  const auto path = host::resolve_library(name, plugin_directory(places));
  if (!path) return fail(path.error());
  return host::Library::load(*path);
}

/// A library as people name one on a command line: a path (relative ones too), or a plain name.
Result<LibraryPtr> load_named(const std::string& name, const PluginPlaces& places) {
  const bool path = name.find('/') != std::string::npos || name.ends_with(".so");
  return load(path ? std::filesystem::absolute(name).lexically_normal().string() : name, places);
}

std::vector<std::string> kind_names(uint32_t kinds) {
  std::vector<std::string> names;
  if ((kinds & SLUICE_KIND_LOG) != 0) names.emplace_back("LOG");
  if ((kinds & SLUICE_KIND_NATIVE) != 0) names.emplace_back("NATIVE");
  return names;
}

std::vector<std::string> capability_names(uint64_t capabilities) {
  constexpr std::pair<uint64_t, const char*> kNames[] = {{SLUICE_CAP_DURABLE, "DURABLE"},
                                                         {SLUICE_CAP_POWER_SAFE, "POWER_SAFE"},
                                                         {SLUICE_CAP_NO_ROLLBACK, "NO_ROLLBACK"},
                                                         {SLUICE_CAP_SHARED, "SHARED"},
                                                         {SLUICE_CAP_ATOMIC, "ATOMIC"}};
  std::vector<std::string> names;
  for (const auto& [bit, name] : kNames) {
    if ((capabilities & bit) != 0) names.emplace_back(name);
  }
  return names;
}

std::string abi_version(const sluice_plugin& plugin) {
  return fmt::format("{}.{}", plugin.major, plugin.minor);
}

std::string or_dash(const std::vector<std::string>& names) {
  return names.empty() ? "-" : fmt::format("{}", fmt::join(names, ","));
}

std::string type_name(uint32_t type) {
  switch (type) {
    case SLUICE_OPTION_TEXT:
      return "text";
    case SLUICE_OPTION_INTEGER:
      return "integer";
    case SLUICE_OPTION_SIZE:
      return "size";
    case SLUICE_OPTION_DURATION:
      return "duration";
    case SLUICE_OPTION_BOOLEAN:
      return "boolean";
    case SLUICE_OPTION_CHOICE:
      return "choice";
    case SLUICE_OPTION_PATH:
      return "path";
    default:
      return "?";
  }
}

bool is_number(uint32_t type) {
  return type == SLUICE_OPTION_INTEGER || type == SLUICE_OPTION_SIZE || type == SLUICE_OPTION_DURATION;
}

/// A bound in the units that people write; the ends of 64 bits are no bounds.
std::string bound(uint32_t type, int64_t value) {
  if (value == std::numeric_limits<int64_t>::max() || value == std::numeric_limits<int64_t>::min()) return "";
  struct Unit {
    int64_t size;
    const char* name;
  };
  constexpr Unit kSizes[] = {{1ll << 40, "TiB"}, {1ll << 30, "GiB"}, {1ll << 20, "MiB"}, {1ll << 10, "KiB"}};
  constexpr Unit kTimes[] = {{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "min"}, {1'000, "s"}, {1, "ms"}};
  const auto in_units = [&](const auto& units) {
    for (const Unit& unit : units) {
      if (value != 0 && value % unit.size == 0) return fmt::format("{}{}", value / unit.size, unit.name);
    }
    return std::to_string(value);
  };
  if (type == SLUICE_OPTION_SIZE) return in_units(kSizes);
  if (type == SLUICE_OPTION_DURATION) return in_units(kTimes);
  return std::to_string(value);
}

/// "os|fsync", "1KiB..64MiB", "0..", or nothing.
std::string range_text(const sluice_option& option) {
  if (option.type == SLUICE_OPTION_CHOICE) return option.choices;
  if (!is_number(option.type)) return "";
  const std::string least = bound(option.type, option.minimum), most = bound(option.type, option.maximum);
  return least.empty() && most.empty() ? "" : least + ".." + most;
}

/// What is wrong with a storage of the file; empty if nothing. The library, where it could be loaded.
struct Verdict {
  std::string problem;
  LibraryPtr library;
};

Verdict judge(const storage::StorageConfig& config, const PluginPlaces& places) {
  Verdict verdict;
  const auto library = load(config.library, places);
  if (!library) {
    verdict.problem = fmt::format("{}.library: {}", config.json_path, library.error().text());
    return verdict;
  }
  verdict.library = *library;
  if (!config.enabled) return verdict;
  const auto values = host::check_options((*library)->plugin(), config.options, "/");
  if (!values) {
    verdict.problem = fmt::format("{}: {}", storage::option_path(config, values.error().option), values.error().text);
  }
  return verdict;
}

Status check_config(const PluginCheck& command, const Common& common) {
  const auto config = read_config(command.places);
  if (!config) {
    if (common.json) print_json({{"problems", {config.error().text()}}});
    return common.json ? Status(config.error().code()) : config.error();
  }
  std::vector<std::string> problems, good;
  for (const auto& each : config->storages) {
    if (!each.enabled) continue;
    const Verdict verdict = judge(each, command.places);
    if (!verdict.problem.empty()) {
      problems.push_back(fmt::format("{}: {}", config->file, verdict.problem));
    } else {
      good.push_back(fmt::format("{} ({} {})", each.name, verdict.library->name(), verdict.library->version()));
    }
  }
  if (common.json) {
    print_json({{"file", config->file}, {"problems", problems}});
  } else {
    for (const std::string& problem : problems) fmt::print(stderr, "sluice: {}\n", problem);
    if (problems.empty()) fmt::print("{}: good: {}\n", config->file, fmt::join(good, ", "));
  }
  return problems.empty() ? Status() : Status(StatusCode::invalid);
}

void print_result(const conformance::CheckResult& result) {
  fmt::print("{:<14} {} ({} ms)\n", conformance::verdict_name(result.verdict), result.name, result.elapsed_ms);
  if (result.verdict == conformance::Verdict::failed) {
    fmt::print("    contract: {}\n    found:    {}\n", result.sentence, result.message);
  }
  std::fflush(stdout);
}

Status check_library(const PluginCheck& command, const Common& common) {
  const auto library = load_named(command.library, command.places);
  if (!library) return library.error();
  auto inputs = storage::parse_options(command.config, "--config");
  if (!inputs) return inputs.error();
  conformance::RunOptions options;
  if (!command.faults.empty()) {
    std::ifstream file(command.faults);
    if (!file) return Status(StatusCode::invalid, fmt::format("--faults: {} cannot be read", command.faults));
    auto plan = conformance::fault_plan_from_json({std::istreambuf_iterator<char>(file), {}});
    if (!plan) return plan.error().in(command.faults);
    inputs->try_emplace(plan->option, plan->value);  // replaced by where each server is
    options.faults = std::move(*plan);
  }
  // A wrong option would fail every check in turn.
  if (const auto values = host::check_options((*library)->plugin(), *inputs, "/"); !values) {
    const auto& error = values.error();
    return Status(StatusCode::invalid,
                  fmt::format("--config: {}{}{}", error.option, error.option.empty() ? "" : ": ", error.text));
  }
  options.filter = command.filter;
  options.seed = command.seed;
  options.native_name = command.native_name;
  options.native_write = command.native_write;
  options.native_damage = command.native_damage;
  if (!command.directory.empty()) options.work_directory = std::filesystem::absolute(command.directory).string();
  const auto reporter = common.json ? conformance::Reporter() : conformance::Reporter(&print_result);
  const auto report = conformance::run(*library, *inputs, options, reporter);
  using conformance::Verdict;
  if (common.json) {
    fmt::print("{}\n", report.to_json());
  } else {
    fmt::print("{} {} ({}): {} passed, {} failed, {} not applicable (seed {})\n", report.adapter, report.version,
               report.library, report.count(Verdict::passed), report.count(Verdict::failed),
               report.count(Verdict::not_applicable), report.seed);
  }
  if (report.passed()) return {};
  const bool nothing = report.results.empty();
  return Status(StatusCode::invalid, nothing ? fmt::format("no check's name contains \"{}\"", command.filter) : "");
}

}  // namespace

Status run(const PluginList& command, const Common& common) {
  const auto config = read_config(command.places);
  if (!config) return config.error();
  Json list = Json::array();
  Table table({"STORAGE", "LIBRARY", "VERSION", "ABI", "KINDS", "CAPABILITIES", "ENABLED", "STATUS"});
  for (const auto& each : config->storages) {
    const Verdict verdict = judge(each, command.places);
    const sluice_plugin* plugin = verdict.library ? &verdict.library->plugin() : nullptr;
    std::string status = !verdict.problem.empty() ? verdict.problem : each.enabled ? "good" : "off";
    Json row = {
        {"storage", each.name}, {"library", each.library}, {"enabled", each.enabled}, {"required", each.required}};
    row["path"] = verdict.library ? Json(verdict.library->path()) : Json(nullptr);
    row["version"] = plugin != nullptr ? Json(plugin->version) : Json(nullptr);
    row["abi"] = plugin != nullptr ? Json(abi_version(*plugin)) : Json(nullptr);
    row["kinds"] = plugin != nullptr ? Json(kind_names(plugin->kinds)) : Json(nullptr);
    row["capabilities"] = plugin != nullptr ? Json(capability_names(plugin->capabilities)) : Json(nullptr);
    row["problem"] = verdict.problem.empty() ? Json(nullptr) : Json(verdict.problem);
    list.push_back(row);
    table.add({each.name, each.library, plugin ? plugin->version : "-", plugin ? abi_version(*plugin) : "-",
               or_dash(plugin ? kind_names(plugin->kinds) : std::vector<std::string>()),
               or_dash(plugin ? capability_names(plugin->capabilities) : std::vector<std::string>()),
               each.enabled ? "yes" : "no", status});
  }
  if (common.json) {
    Json routes = Json::array();
    for (const auto& route : config->routes) routes.push_back({{"topics", route.topics}, {"storage", route.storage}});
    print_json({{"file", config->file},
                {"storages", list},
                {"routes", routes},
                {"default", config->default_storage},
                {"internal", config->internal_storage}});
    return {};
  }
  fmt::print("{}\n\n{}\n", config->file, table.text());
  for (const auto& route : config->routes) fmt::print("topics {} go to {}\n", route.topics, route.storage);
  fmt::print("{} go to {}, the broker's own logs to {}\n", config->routes.empty() ? "topics" : "other topics",
             config->default_storage, config->internal_storage);
  return {};
}

Status run(const PluginDescribe& command, const Common& common) {
  // A storage of that name in plugins.json, or else a library: a file that cannot be read must not hide a library.
  const auto config = read_config(command.places);
  const storage::StorageConfig* configured = config ? config->find(command.name) : nullptr;
  if (!config && !command.places.file.empty()) return config.error();
  const auto library =
      configured != nullptr ? load(configured->library, command.places) : load_named(command.name, command.places);
  if (!library) {
    std::vector<std::string> names;
    if (config) {
      for (const auto& storage : config->storages) names.push_back(storage.name);
    }
    const auto near = host::nearest_name(command.name, names);
    return near && configured == nullptr
               ? Status(library.error().code(), fmt::format("{}; did you mean \"{}\"?", library.error().text(), *near))
               : library.error();
  }
  const sluice_plugin& plugin = (*library)->plugin();
  Json list = Json::array();
  Table table({"OPTION", "TYPE", "DEFAULT", "RANGE", "HELP"});
  for (uint32_t i = 0; i < plugin.option_count; ++i) {
    const sluice_option& option = plugin.options[i];
    const bool required = (option.flags & SLUICE_OPTION_REQUIRED) != 0,
               secret = (option.flags & SLUICE_OPTION_SECRET) != 0;
    const std::string range = range_text(option);
    Json row = {{"name", option.name}, {"type", type_name(option.type)}};
    row["default"] = option.default_text == nullptr ? Json(nullptr) : Json(option.default_text);
    if (option.type == SLUICE_OPTION_CHOICE) row["choices"] = option.choices;
    if (is_number(option.type)) {
      row["minimum"] = option.minimum;
      row["maximum"] = option.maximum;
    }
    row["required"] = required;
    row["secret"] = secret;
    row["help"] = option.help;
    list.push_back(row);
    table.add({option.name, type_name(option.type),
               option.default_text != nullptr ? option.default_text
               : required                     ? "required"
                                              : "-",
               range.empty() ? "-" : range, secret ? fmt::format("(secret) {}", option.help) : option.help});
  }
  if (common.json) {
    print_json({{"name", plugin.name},
                {"version", plugin.version},
                {"abi", abi_version(plugin)},
                {"path", (*library)->path()},
                {"description", plugin.description},
                {"kinds", kind_names(plugin.kinds)},
                {"capabilities", capability_names(plugin.capabilities)},
                {"options", list}});
    return {};
  }
  fmt::print("{} {}: {}\n{}\nstorage ABI {}, kinds {}, capabilities at most {}\n", plugin.name, plugin.version,
             plugin.description, (*library)->path(), abi_version(plugin), or_dash(kind_names(plugin.kinds)),
             or_dash(capability_names(plugin.capabilities)));
  if (!table.empty()) fmt::print("\n{}", table.text());
  return {};
}

Status run(const PluginCheck& command, const Common& common) {
  return command.library.empty() ? check_config(command, common) : check_library(command, common);
}

}  // namespace sluice::cli
