// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <iterator>

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

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  assert(bounds_.size() <= kMaxBuckets && std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  counts_[static_cast<size_t>(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<double> latency_bounds_seconds() {
  return {50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3,
          50e-3, 100e-3, 250e-3, 500e-3, 1,    2.5,    5,    10};
}

void Exposition::head(std::string_view name, std::string_view help, std::string_view type) {
  assert(is_name(name));
  family_ = name;
  text_ += fmt::format("# HELP {} ", name);
  append_escaped(text_, help, false);
  text_ += fmt::format("\n# TYPE {} {}\n", name, type);
}

void Exposition::family(std::string_view name, std::string_view help, MetricType type) {
  head(name, help, type == MetricType::counter ? "counter" : "gauge");
}

void Exposition::sample(double value, const Labels& labels) {
  line({}, labels, {}, value);
}

void Exposition::line(std::string_view suffix, const Labels& labels, std::string_view extra_label, double value) {
  if (text_.size() > kMaxBytes) {
    truncated_ = true;
    return;
  }
  text_ += family_;
  text_ += suffix;
  if (!labels.empty() || !extra_label.empty()) {
    char before = '{';
    for (const auto& [name, label] : labels) {
      text_ += std::exchange(before, ',');
      text_ += name;
      text_ += "=\"";
      append_escaped(text_, label, true);
      text_ += '"';
    }
    if (!extra_label.empty()) {
      text_ += before;
      text_ += extra_label;
    }
    text_ += '}';
  }
  text_ += ' ';
  text_ += number_text(value);
  text_ += '\n';
}

std::pair<Registry::Series&, bool> Registry::series(std::string_view name, std::string_view help, Type type,
                                                    const Labels& labels) {
  assert(is_name(name));
  auto at = families_.find(name);
  if (at == families_.end()) at = families_.emplace(name, Family{type, std::string(help), {}}).first;
  Family& family = at->second;
  assert(family.type == type);
  for (const auto& one : family.series) {
    if (one->labels == labels) return {*one, false};
  }
  family.series.push_back(std::make_unique<Series>());
  family.series.back()->labels = labels;
  return {*family.series.back(), true};
}

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto [one, is_new] = series(name, help, Type::counter, labels);
  if (is_new) one.counter = std::make_unique<Counter>();
  assert(one.counter != nullptr);
  return *one.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto [one, is_new] = series(name, help, Type::gauge, labels);
  if (is_new) one.gauge = std::make_unique<Gauge>();
  assert(one.gauge != nullptr);
  return *one.gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                               const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto [one, is_new] = series(name, help, Type::histogram, labels);
  if (is_new) one.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *one.histogram;
}

void Registry::show_counter(std::string_view name, std::string_view help, Number number, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto [one, is_new] = series(name, help, Type::counter, labels);
  if (is_new) one.number = std::move(number);
}

void Registry::show_gauge(std::string_view name, std::string_view help, Number number, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  const auto [one, is_new] = series(name, help, Type::gauge, labels);
  if (is_new) one.number = std::move(number);
}

void Registry::show(Source source) {
  const std::lock_guard lock(mutex_);
  sources_.push_back(std::move(source));
}

std::string Registry::expose() const {
  // Numbers and sources are asked without the lock: they may use the registry. Series and families are never removed.
  struct Shown {
    std::string_view name;
    const Family* family;
    std::vector<const Series*> series;
  };
  std::vector<Shown> shown;
  std::vector<Source> sources;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, family] : families_) {
      Shown& one = shown.emplace_back(Shown{name, &family, {}});
      for (const auto& each : family.series) one.series.push_back(each.get());
    }
    sources = sources_;
  }
  Exposition out;
  for (const auto& [name, family, all] : shown) {
    constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    out.head(name, family->help, kTypes[static_cast<size_t>(family->type)]);
    for (const Series* one : all) {
      if (one->number) {
        out.line({}, one->labels, {}, one->number());
      } else if (one->counter) {
        out.line({}, one->labels, {}, static_cast<double>(one->counter->value()));
      } else if (one->gauge) {
        out.line({}, one->labels, {}, one->gauge->value());
      } else if (one->histogram) {
        const Histogram& histogram = *one->histogram;
        uint64_t total = 0;
        for (size_t i = 0; i <= histogram.bounds().size(); ++i) {
          total += histogram.count_in(i);
          const bool last = i == histogram.bounds().size();
          const std::string bound = last ? "+Inf" : number_text(histogram.bounds()[i]);
          out.line("_bucket", one->labels, fmt::format("le=\"{}\"", bound), static_cast<double>(total));
        }
        out.line("_sum", one->labels, {}, histogram.sum());
        out.line("_count", one->labels, {}, static_cast<double>(total));
      }
    }
  }
  for (const Source& source : sources) source(out);
  if (out.truncated_) {
    out.text_ += "# TYPE sluice_metrics_truncated gauge\nsluice_metrics_truncated 1\n";
  }
  return std::move(out.text_);
}

}  // namespace sluice::admin
