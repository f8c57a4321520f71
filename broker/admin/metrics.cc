// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

namespace sluice::admin {

namespace {

[[maybe_unused]] bool is_name(std::string_view name) {
  if (!name.starts_with("sluice_")) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void append_escaped(std::string& text, std::string_view value, bool quotes_too) {
  const std::string_view special = quotes_too ? "\\\n\"" : "\\\n";
  for (;;) {
    const size_t at = value.find_first_of(special);
    text += value.substr(0, at);
    if (at == std::string_view::npos) return;
    text += '\\';
    text += value[at] == '\n' ? 'n' : value[at];
    value.remove_prefix(at + 1);
  }
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view help, MetricType type) {
  assert(is_name(name));
  family_ = name;
  text_ += fmt::format("# HELP {} ", name);
  append_escaped(text_, help, false);
  text_ += fmt::format("\n# TYPE {} {}\n", name, type == MetricType::counter ? "counter" : "gauge");
}

void Exposition::sample(double value, const Labels& labels) {
  if (text_.size() > kMaxBytes) {
    truncated_ = true;
    return;
  }
  text_ += family_;
  if (!labels.empty()) {
    char before = '{';
    for (const auto& [name, label] : labels) {
      text_ += std::exchange(before, ',');
      text_ += name;
      text_ += "=\"";
      append_escaped(text_, label, true);
      text_ += '"';
    }
    text_ += '}';
  }
  text_ += ' ';
  text_ += number_text(value);
  text_ += '\n';
}

void Registry::show(Source source) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(std::move(source));
}

std::string Registry::expose() const {
  // Sources are asked without the lock: they may use the registry.
  std::vector<Source> sources;
  {
    const std::lock_guard lock(mutex_);
    sources = sources_;
  }
  Exposition out;
  for (const Source& source : sources) source(out);
  if (out.truncated_) {
    out.text_ += "# TYPE sluice_metrics_truncated gauge\nsluice_metrics_truncated 1\n";
  }
  return std::move(out.text_);
}

}  // namespace sluice::admin
