// SPDX-License-Identifier: Apache-2.0
// An adapter's options: what a configuration says, checked against the adapter's table and turned into typed values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/status.hpp"
#include "host/library.hpp"

namespace sluice::host {

/// As read from a configuration. Secrets are resolved (environment, file) before.
using OptionInput = std::variant<std::string, int64_t, double, bool>;
using OptionInputs = std::map<std::string, OptionInput, std::less<>>;

/// One value for each option of the table, in its order.
struct OptionValue {
  bool present = false;
  std::string text;
  int64_t number = 0;
};

/// A refusal that names the option, so that a configuration reader can name file and path.
struct OptionError {
  std::string option;  // "" where no single option is at fault
  std::string text;    // "unknown option, did you mean \"sync\"?"; never contains a secret's value
};

/// Checks names (an unknown one suggests the nearest), types, ranges, choices, required ones, and fills in defaults.
/// `base_directory`: what PATH options are relative to.
tl::expected<std::vector<OptionValue>, OptionError> check_options(const sluice_plugin& plugin,
                                                                  const OptionInputs& inputs,
                                                                  const std::string& base_directory);

/// "64KiB", "1MiB", "2GiB", "100" -> bytes.
Result<int64_t> parse_size(std::string_view text);
/// "500ms", "10s", "5min", "1h", "100" (milliseconds) -> milliseconds.
Result<int64_t> parse_duration_ms(std::string_view text);
/// The name in `known` nearest to `name` by edit distance, if it is near enough to be a slip.
std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace sluice::host
