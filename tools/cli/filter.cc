// SPDX-License-Identifier: Apache-2.0
// sluice filter check: what a filter means, and what it says of records.
#include "sluice/filter.hpp"

#include <fmt/format.h>

#include <fstream>

#include "cli/commands.hpp"
#include "cli/records.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

const char* name_of(Truth truth) {
  return truth == Truth::yes ? "yes" : truth == Truth::no ? "no" : "unknown";
}

/// As text, or as JSON data where it begins like that.
Result<Filter> read_filter(const std::string& expression) {
  const size_t first = expression.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string::npos && expression[first] == '{';
  return is_json ? Filter::from_json(expression) : Filter::parse(expression);
}

/// What `filter` says of each line of `path`.
Result<std::vector<Truth>> try_records(const Filter& filter, const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(StatusCode::not_found, fmt::format("{} cannot be read", path));
  FilterEvaluator evaluator(filter);
  std::vector<Truth> truths;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const auto stored = record_of_line(line);
    if (!stored) {
      return fail(StatusCode::invalid, fmt::format("{}, line {}: {}", path, number, stored.error().text()));
    }
    truths.push_back(evaluator.evaluate(stored->record));
  }
  return truths;
}

}  // namespace

Status run(const FilterCheck& command, const Common& common) {
  const auto filter = read_filter(command.expression);
  if (!filter) return filter.error();
  std::vector<Truth> truths;
  if (!command.records.empty()) {
    auto tried = try_records(*filter, command.records);
    if (!tried) return tried.error();
    truths = std::move(*tried);
  }
  const Json data = Json::parse(filter->json());
  if (common.json) {
    Json result = {{"text", filter->text()}, {"filter", data}, {"reads_payload", filter->reads_payload()}};
    if (!command.records.empty()) {
      result["records"] = Json::array();
      for (const Truth truth : truths) result["records"].push_back(name_of(truth));
    }
    print_json(result);
    return {};
  }
  if (command.records.empty()) print_json(data);
  for (const Truth truth : truths) fmt::print("{}\n", name_of(truth));
  return {};
}

}  // namespace sluice::cli
