// SPDX-License-Identifier: Apache-2.0
#include "c/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "c/boundary.hpp"

namespace sluice::c {

using nlohmann::json;

Status at_path(const Status& found, std::string_view path, std::string_view prefix) {
  std::string_view text = found.text();
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return Status(found.code(), path.empty() ? std::string(text) : fmt::format("{}.{}", path, text), found.native_code());
}

struct ConfigReader::Shared {
  json root;
  Status verdict;
};

ConfigReader ConfigReader::parse(std::string_view text) {
  auto shared = std::make_shared<Shared>();
  ConfigReader reader(shared, nullptr, "");
  if (text.size() > kMaxConfigBytes) {
    shared->verdict = Status(StatusCode::too_large,
                             fmt::format("a configuration of {} bytes; at most {}", text.size(), kMaxConfigBytes));
    return reader;
  }
  // The library keeps the last of two fields of one name, and what walks a document recurses: both are refused here.
  std::vector<std::set<std::string>> names;
  std::string fault;
  const auto callback = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > static_cast<int>(kMaxConfigDepth) && fault.empty())
      fault = fmt::format("deeper than {} levels", kMaxConfigDepth);
    if (event == json::parse_event_t::object_start) names.emplace_back();
    if (event == json::parse_event_t::object_end) names.pop_back();
    if (event == json::parse_event_t::key && !names.back().insert(parsed.get<std::string>()).second && fault.empty()) {
      fault = fmt::format("\"{}\" is there twice", parsed.get<std::string>());
    }
    return true;
  };
  try {
    shared->root = json::parse(text, callback);
  } catch (const json::parse_error& error) {
    shared->verdict = Status(StatusCode::invalid, fmt::format("not JSON at byte {}: {}", error.byte, error.what()),
                             static_cast<int64_t>(error.byte));
    return reader;
  } catch (const json::exception& error) {
    shared->verdict = Status(StatusCode::invalid, error.what());
    return reader;
  }
  if (!fault.empty()) {
    shared->verdict = Status(StatusCode::invalid, fault);
  } else if (!shared->root.is_object()) {
    shared->verdict = Status(StatusCode::invalid, "a configuration is a JSON object");
  } else {
    reader.value_ = &shared->root;
  }
  return reader;
}

std::string ConfigReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void ConfigReader::refuse(std::string_view name, const std::string& why) {
  if (shared_->verdict.ok()) shared_->verdict = Status(StatusCode::invalid, fmt::format("{}: {}", path_of(name), why));
}

void ConfigReader::judge(const Status& found, std::string_view prefix) {
  if (!found.ok() && shared_->verdict.ok()) shared_->verdict = at_path(found, path_, prefix);
}

bool ConfigReader::has(std::string_view name) const {
  return value_ != nullptr && value_->contains(name);
}

const json* ConfigReader::raw(std::string_view name) {
  if (value_ == nullptr) return nullptr;
  read_.emplace(name);
  const auto found = value_->find(name);
  return found == value_->end() ? nullptr : &*found;
}

std::string ConfigReader::text(std::string_view name, std::string otherwise) {
  const json* value = raw(name);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) {
    refuse(name, fmt::format("a text is wanted, not {}", value->type_name()));
    return otherwise;
  }
  return value->get<std::string>();
}

std::string ConfigReader::required_text(std::string_view name) {
  std::string value = text(name);
  if (value.empty()) refuse(name, "is needed");
  return value;
}

int64_t ConfigReader::integer(std::string_view name, int64_t otherwise, int64_t least, int64_t most) {
  const json* value = raw(name);
  if (value == nullptr) return otherwise;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits) {
    refuse(name, fmt::format("an integer from {} to {} is wanted, not {}", least, most, value->dump()));
    return otherwise;
  }
  const auto number = value->get<int64_t>();
  if (number < least || number > most) {
    refuse(name, fmt::format("{} is not from {} to {}", number, least, most));
    return otherwise;
  }
  return number;
}

double ConfigReader::number(std::string_view name, double otherwise, double least, double most) {
  const json* value = raw(name);
  if (value == nullptr) return otherwise;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) {
    refuse(name, fmt::format("a number from {} to {} is wanted, not {}", least, most, value->dump()));
    return otherwise;
  }
  return number;
}

bool ConfigReader::boolean(std::string_view name, bool otherwise) {
  const json* value = raw(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    refuse(name, fmt::format("true or false is wanted, not {}", value->dump()));
    return otherwise;
  }
  return value->get<bool>();
}

size_t ConfigReader::choice(std::string_view name, const std::vector<std::string_view>& choices, size_t otherwise) {
  if (!has(name)) return otherwise;
  const std::string value = text(name);
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found == choices.end()) {
    refuse(name, fmt::format("\"{}\" is none of {}", value, fmt::join(choices, ", ")));
    return otherwise;
  }
  return static_cast<size_t>(found - choices.begin());
}

ConfigReader ConfigReader::object(std::string_view name) {
  const json* value = raw(name);
  if (value != nullptr && !value->is_object()) {
    refuse(name, fmt::format("an object is wanted, not {}", value->type_name()));
    value = nullptr;
  }
  return {shared_, value, path_of(name)};
}

std::vector<ConfigReader> ConfigReader::objects(std::string_view name) {
  std::vector<ConfigReader> readers;
  const json* value = raw(name);
  if (value == nullptr) return readers;
  if (!value->is_array()) {
    refuse(name, fmt::format("an array of objects is wanted, not {}", value->type_name()));
    return readers;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string element = fmt::format("{}[{}]", name, i);
    if (!(*value)[i].is_object()) refuse(element, fmt::format("an object is wanted, not {}", (*value)[i].type_name()));
    readers.push_back({shared_, (*value)[i].is_object() ? &(*value)[i] : nullptr, path_of(element)});
  }
  return readers;
}

std::vector<std::string> ConfigReader::texts(std::string_view name) {
  std::vector<std::string> found;
  const json* value = raw(name);
  if (value == nullptr) return found;
  if (!value->is_array()) refuse(name, fmt::format("an array of texts is wanted, not {}", value->type_name()));
  for (size_t i = 0; value->is_array() && i < value->size(); ++i) {
    if ((*value)[i].is_string()) {
      found.push_back((*value)[i].get<std::string>());
    } else {
      refuse(fmt::format("{}[{}]", name, i), fmt::format("a text is wanted, not {}", (*value)[i].type_name()));
    }
  }
  return found;
}

std::vector<std::pair<std::string, std::string>> ConfigReader::settings(std::string_view name) {
  std::vector<std::pair<std::string, std::string>> found;
  ConfigReader table = object(name);
  if (table.value_ == nullptr) return found;
  for (const auto& [key, value] : table.value_->items()) {
    if (value.is_structured() || value.is_null()) {
      table.refuse(key, fmt::format("a text, a number, true or false is wanted, not {}", value.type_name()));
    } else {
      found.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  return found;
}

void ConfigReader::finish() {
  if (value_ == nullptr) return;
  for (const auto& [name, value] : value_->items()) {
    if (read_.count(name) == 0) refuse(name, "there is no such setting");
  }
}

Status ConfigReader::verdict() const {
  return shared_->verdict;
}

RetryPolicy read_retry(ConfigReader& config) {
  RetryPolicy policy;
  ConfigReader retry = config.object("retry");
  policy.max_retries = retry.natural("max_retries", policy.max_retries, 0U, RetryPolicy::kMaxRetries);
  policy.first_delay_ms = retry.integer("first_delay_ms", policy.first_delay_ms, 1, RetryPolicy::kMaxDelayMs);
  policy.max_delay_ms = retry.integer("max_delay_ms", policy.max_delay_ms, 1, RetryPolicy::kMaxDelayMs);
  policy.jitter_percent = retry.natural("jitter_percent", policy.jitter_percent, 0U, 100U);
  retry.finish();
  return policy;
}

Status write_json(const json& report, char* buffer, uint64_t capacity, uint64_t* needed) {
  return write_text(report.dump(-1, ' ', false, json::error_handler_t::replace), buffer, capacity, needed);
}

}  // namespace sluice::c
