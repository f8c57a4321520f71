// SPDX-License-Identifier: Apache-2.0
#include "host/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <span>
#include <utility>

namespace sluice::host {
namespace {

struct Unit {
  std::string_view suffix;
  int64_t factor;
};

constexpr Unit kSizeUnits[] = {
    {"KiB", 1ll << 10}, {"MiB", 1ll << 20}, {"GiB", 1ll << 30}, {"TiB", 1ll << 40}, {"B", 1}};
constexpr Unit kDurationUnits[] = {{"ms", 1}, {"min", 60'000}, {"s", 1'000}, {"h", 3'600'000}, {"d", 86'400'000}};

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

Result<int64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, const char* example) {
  int64_t factor = 1;
  std::string_view digits = text;
  for (const Unit& unit : units) {
    if (!text.ends_with(unit.suffix)) continue;
    digits = text.substr(0, text.size() - unit.suffix.size());
    factor = unit.factor;
    break;
  }
  while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
  const std::optional<int64_t> number = parse_integer(digits);
  int64_t value = 0;
  if (!number || __builtin_mul_overflow(*number, factor, &value)) {
    return fail(StatusCode::invalid, fmt::format("\"{}\" is not {}", text, example));
  }
  return value;
}

/// Inserted, removed, replaced and swapped neighbours count one each (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before.swap(previous);
    previous.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), previous[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> result;
  for (;;) {
    const size_t bar = choices.find('|');
    result.push_back(choices.substr(0, bar));
    if (bar == std::string_view::npos) return result;
    choices.remove_prefix(bar + 1);
  }
}

/// A whole number that JSON wrote as such, or as a float without a fraction.
std::optional<int64_t> whole_number(const OptionInput& input) {
  if (const auto* integer = std::get_if<int64_t>(&input)) return *integer;
  if (const auto* real = std::get_if<double>(&input)) {
    if (std::isfinite(*real) && std::trunc(*real) == *real && std::fabs(*real) < 9.2e18)
      return static_cast<int64_t>(*real);
  }
  return std::nullopt;
}

std::string bounds_text(const sluice_option& option) {
  const char* unit = option.type == SLUICE_OPTION_SIZE ? " bytes" : option.type == SLUICE_OPTION_DURATION ? " ms" : "";
  return fmt::format("must be from {} to {}{}", option.minimum, option.maximum, unit);
}

/// What was written, for a message; nothing of it where it is secret.
std::string shown(const sluice_option& option, const OptionInput& input) {
  if ((option.flags & SLUICE_OPTION_SECRET) != 0) return "the value given";
  if (const auto* text = std::get_if<std::string>(&input)) return fmt::format("\"{}\"", *text);
  if (const auto* integer = std::get_if<int64_t>(&input)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&input)) return fmt::format("{}", *real);
  return std::get<bool>(input) ? "true" : "false";
}

using Converted = tl::expected<OptionValue, std::string>;

Converted convert_number(const sluice_option& option, const OptionInput& input) {
  const auto wrong = [&](const char* what) {
    return tl::make_unexpected(fmt::format("{} is not {}", shown(option, input), what));
  };
  std::optional<int64_t> number = whole_number(input);
  const auto* text = std::get_if<std::string>(&input);
  if (option.type == SLUICE_OPTION_INTEGER) {
    if (text != nullptr) number = parse_integer(*text);
    if (!number) return wrong("a whole number");
  } else if (option.type == SLUICE_OPTION_SIZE) {
    if (text != nullptr) {
      if (const Result<int64_t> parsed = parse_size(*text)) number = *parsed;
    }
    if (!number) return wrong("a size such as 4096, \"64KiB\" or \"1GiB\"");
  } else {
    if (text != nullptr) {
      if (const Result<int64_t> parsed = parse_duration_ms(*text)) number = *parsed;
    }
    if (!number) return wrong("a duration such as 500 (milliseconds), \"500ms\", \"10s\" or \"5min\"");
  }
  if (*number < option.minimum || *number > option.maximum) {
    return tl::make_unexpected(fmt::format("{} is out of range: {}", shown(option, input), bounds_text(option)));
  }
  return OptionValue{true, {}, *number};
}

Converted convert(const sluice_option& option, const OptionInput& input, const std::string& base_directory) {
  const auto wrong = [&](std::string_view what) {
    return tl::make_unexpected(fmt::format("{} is not {}", shown(option, input), what));
  };
  const auto* text = std::get_if<std::string>(&input);
  if (text != nullptr && text->find('\0') != std::string::npos) return wrong("usable: it holds a zero byte");
  switch (option.type) {
    case SLUICE_OPTION_TEXT:
      if (text == nullptr) return wrong("a text");
      return OptionValue{true, *text, 0};
    case SLUICE_OPTION_PATH: {
      if (text == nullptr || text->empty()) return wrong("a path");
      std::filesystem::path path(*text);
      if (path.is_relative()) path = std::filesystem::path(base_directory) / path;
      return OptionValue{true, path.lexically_normal().string(), 0};
    }
    case SLUICE_OPTION_BOOLEAN:
      if (const auto* value = std::get_if<bool>(&input)) return OptionValue{true, {}, *value ? 1 : 0};
      if (text != nullptr && (*text == "true" || *text == "false"))
        return OptionValue{true, {}, *text == "true" ? 1 : 0};
      return wrong("true or false");
    case SLUICE_OPTION_CHOICE: {
      const std::vector<std::string_view> choices = split_choices(option.choices);
      if (text != nullptr) {
        const auto it = std::find(choices.begin(), choices.end(), *text);
        if (it != choices.end()) return OptionValue{true, *text, it - choices.begin()};
      }
      return wrong(fmt::format("one of {}", fmt::join(choices, ", ")));
    }
    default:
      return convert_number(option, input);
  }
}

}  // namespace

tl::expected<std::vector<OptionValue>, OptionError> check_options(const sluice_plugin& plugin,
                                                                  const OptionInputs& inputs,
                                                                  const std::string& base_directory) {
  const std::span<const sluice_option> table(plugin.options, plugin.option_count);
  const auto refuse = [](std::string option, std::string text) {
    return tl::make_unexpected(OptionError{std::move(option), std::move(text)});
  };
  for (const auto& [name, input] : inputs) {
    const bool known = std::any_of(table.begin(), table.end(), [&](const sluice_option& o) { return name == o.name; });
    if (known) continue;
    std::vector<std::string> names;
    for (const sluice_option& option : table) names.emplace_back(option.name);
    const std::optional<std::string> near = nearest_name(name, names);
    if (near)
      return refuse(name, fmt::format("unknown option of adapter {}, did you mean \"{}\"?", plugin.name, *near));
    if (names.empty()) return refuse(name, fmt::format("unknown option: adapter {} has none", plugin.name));
    return refuse(name, fmt::format("unknown option of adapter {}; it has {}", plugin.name, fmt::join(names, ", ")));
  }
  std::vector<OptionValue> values(table.size());
  for (size_t i = 0; i < table.size(); ++i) {
    const sluice_option& option = table[i];
    const auto given = inputs.find(option.name);
    if (given == inputs.end() && option.default_text == nullptr) {
      if ((option.flags & SLUICE_OPTION_REQUIRED) != 0) {
        return refuse(option.name, fmt::format("is required: {}", option.help));
      }
      continue;
    }
    const bool defaulted = given == inputs.end();
    Converted value =
        convert(option, defaulted ? OptionInput(std::string(option.default_text)) : given->second, base_directory);
    if (!value) return refuse(option.name, defaulted ? "has an unusable default: " + value.error() : value.error());
    values[i] = std::move(*value);
  }
  return values;
}

Result<int64_t> parse_size(std::string_view text) {
  Result<int64_t> size = parse_with_unit(text, kSizeUnits, "a size such as 4096, \"64KiB\", \"1MiB\" or \"2GiB\"");
  if (size && *size < 0) return fail(StatusCode::invalid, fmt::format("\"{}\" is not a size: it is negative", text));
  return size;
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  return parse_with_unit(text, kDurationUnits,
                         "a duration such as 500 (milliseconds), \"500ms\", \"10s\", \"5min\" or \"1h\"");
}

std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& known) {
  constexpr size_t kMaxNameChars = 128;  // what is longer is no slip, and the distance is quadratic
  if (name.size() > kMaxNameChars) return std::nullopt;
  const size_t near_enough = std::max<size_t>(1, name.size() / 3);
  std::optional<std::string> best;
  size_t best_distance = near_enough + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > kMaxNameChars) continue;
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace sluice::host
