// SPDX-License-Identifier: Apache-2.0
// Instruments lie in a map by name and attributes under a mutex, which only making and snapshots take. Observers have a
// mutex of their own, taken before the other one: a snapshot holds it all the time, so that no count is missing or
// there twice while an observer ends.
#include "sluice/telemetry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <variant>

namespace sluice {
namespace {

constexpr size_t kMostInstruments = 100'000;
constexpr size_t kMostFailures = 10'000;
constexpr std::string_view kConflicts = "sluice.telemetry.conflicts";
constexpr std::string_view kFailures = "sluice.failures";

template <class Clock>
int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

using Instrument = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Durations>>;

struct Family {
  Metric::Kind kind = Metric::Kind::counter;
  std::string unit;
  std::map<Attributes, Instrument> instruments;
};

template <class T>
constexpr Metric::Kind kind_of() {
  if constexpr (std::is_same_v<T, Counter>) return Metric::Kind::counter;
  if constexpr (std::is_same_v<T, Gauge>) return Metric::Kind::gauge;
  return Metric::Kind::durations;
}

// No more than `size` bytes, at a whole character of UTF-8.
void cut(std::string& text, size_t size) {
  if (text.size() <= size) return;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
  text.resize(size);
}

}  // namespace

namespace telemetry_detail {

uint32_t assign_cell() {
  static std::atomic<uint32_t> next{0};
  return 1 + next.fetch_add(1, std::memory_order_relaxed) % kCells;
}

}  // namespace telemetry_detail

struct Telemetry::Impl {
  explicit Impl(TelemetrySettings of) : settings(std::move(of)), started_ns(settings.wall_ns()) {}

  // Lock held.
  template <class T>
  T& find(std::string_view name, Attributes attributes, std::string_view unit) {
    std::sort(attributes.begin(), attributes.end());
    auto family = families.find(name);
    if (family == families.end()) {
      family = families.emplace(std::string(name), Family{kind_of<T>(), std::string(unit), {}}).first;
    }
    if (family->second.kind != kind_of<T>()) {
      find<Counter>(kConflicts, {}, "1").add();
      return get<T>(strays[kind_of<T>()]);
    }
    auto& instruments = family->second.instruments;
    auto found = instruments.find(attributes);
    if (found == instruments.end() && instrument_count >= settings.max_instruments) {
      attributes = {{std::string(semconv::kOverflow), "true"}};
      found = instruments.find(attributes);
    }
    if (found == instruments.end()) {
      found = instruments.emplace(std::move(attributes), Instrument()).first;
      instrument_count += 1;
    }
    return get<T>(found->second);
  }

  template <class T>
  static T& get(Instrument& instrument) {
    if (!std::holds_alternative<std::unique_ptr<T>>(instrument) ||
        std::get<std::unique_ptr<T>>(instrument) == nullptr) {
      instrument = std::make_unique<T>();
    }
    return *std::get<std::unique_ptr<T>>(instrument);
  }

  template <class T>
  T& locked(std::string_view name, Attributes attributes, std::string_view unit) {
    const std::lock_guard lock(mutex);
    return find<T>(name, std::move(attributes), unit);
  }

  const TelemetrySettings settings;
  const int64_t started_ns;
  mutable std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;  // guarded by mutex, as is what follows
  std::map<Metric::Kind, Instrument> strays;            // handed out where a name is of another kind
  size_t instrument_count = 0;
  std::deque<FailureEvent> failures;
  uint64_t failures_forgotten = 0;
  mutable std::mutex observing_mutex;
  std::map<uint64_t, Observer> observers;  // guarded by observing_mutex, as is what follows
  uint64_t next_observer = 0;
};

// Series by name and attributes.
struct Observations::Impl {
  Metric* find(Metric::Kind kind, std::string_view name, Attributes attributes, std::string_view unit) {
    std::sort(attributes.begin(), attributes.end());
    auto family = series.find(name);
    if (family == series.end()) family = series.emplace(std::string(name), std::map<Attributes, Metric>()).first;
    auto& members = family->second;
    if (!members.empty() && members.begin()->second.kind != kind) {
      conflicts += 1;
      return nullptr;
    }
    auto found = members.find(attributes);
    if (found == members.end() && count >= most) {
      attributes = {{std::string(semconv::kOverflow), "true"}};
      found = members.find(attributes);
    }
    if (found == members.end()) {
      Metric metric;
      metric.kind = kind;
      metric.name = name;
      metric.unit = members.empty() ? std::string(unit) : members.begin()->second.unit;
      metric.attributes = attributes;
      found = members.emplace(std::move(attributes), std::move(metric)).first;
      count += 1;
    }
    return &found->second;
  }

  size_t most = 0;
  std::map<std::string, std::map<Attributes, Metric>, std::less<>> series;
  size_t count = 0;
  uint64_t conflicts = 0;
};

void Observations::counter(std::string_view name, uint64_t count, Attributes attributes, std::string_view unit) {
  Metric* metric = impl_.find(Metric::Kind::counter, name, std::move(attributes), unit);
  if (metric != nullptr) metric->count += count;
}

void Observations::gauge(std::string_view name, int64_t level, Attributes attributes, std::string_view unit) {
  Metric* metric = impl_.find(Metric::Kind::gauge, name, std::move(attributes), unit);
  if (metric != nullptr) metric->level += level;
}

Telemetry::Telemetry(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Telemetry::~Telemetry() = default;

Result<std::unique_ptr<Telemetry>> Telemetry::make(TelemetrySettings settings) {
  const auto out_of_range = [](const char* field, size_t value, size_t most) {
    return fail(StatusCode::invalid, fmt::format("telemetry.{}: {} is not from 1 to {}", field, value, most));
  };
  if (settings.max_instruments < 1 || settings.max_instruments > kMostInstruments) {
    return out_of_range("max_instruments", settings.max_instruments, kMostInstruments);
  }
  if (settings.max_failures < 1 || settings.max_failures > kMostFailures) {
    return out_of_range("max_failures", settings.max_failures, kMostFailures);
  }
  if (!settings.monotonic_ns) settings.monotonic_ns = now_ns<std::chrono::steady_clock>;
  if (!settings.wall_ns) settings.wall_ns = now_ns<std::chrono::system_clock>;
  return std::unique_ptr<Telemetry>(new Telemetry(std::make_unique<Impl>(std::move(settings))));
}

Counter& Telemetry::counter(std::string_view name, Attributes attributes, std::string_view unit) {
  return impl_->locked<Counter>(name, std::move(attributes), unit);
}

Gauge& Telemetry::gauge(std::string_view name, Attributes attributes, std::string_view unit) {
  return impl_->locked<Gauge>(name, std::move(attributes), unit);
}

Durations& Telemetry::durations(std::string_view name, Attributes attributes) {
  return impl_->locked<Durations>(name, std::move(attributes), "s");
}

OperationMeter Telemetry::meter(std::string_view operation, std::string_view adapter, std::string_view shard) {
  auto event = std::make_shared<FailureEvent>();
  event->operation = operation;
  event->adapter = adapter;
  event->shard = shard;
  OperationMeter meter;
  meter.telemetry_ = this;
  meter.durations_ = &durations(semconv::kOperationDuration, {{std::string(semconv::kOperationName), event->operation},
                                                              {std::string(semconv::kSystem), event->adapter}});
  meter.template_ = std::move(event);
  return meter;
}

void Telemetry::failure(FailureEvent event) {
  event.elapsed_ns = std::max<int64_t>(1, event.elapsed_ns);
  if (event.at_ns == 0) event.at_ns = impl_->settings.wall_ns();
  cut(event.text, kMaxFailureTextBytes);
  const std::lock_guard lock(impl_->mutex);
  impl_
      ->find<Counter>(kFailures,
                      {{std::string(semconv::kErrorType), std::string(status_name(event.code))},
                       {std::string(semconv::kOperationName), event.operation},
                       {std::string(semconv::kSystem), event.adapter}},
                      "{failure}")
      .add();
  if (impl_->failures.size() >= impl_->settings.max_failures) {
    impl_->failures.pop_front();
    impl_->failures_forgotten += 1;
  }
  impl_->failures.push_back(std::move(event));
}

Observing Telemetry::observe(Observer observer) {
  const std::lock_guard lock(impl_->observing_mutex);
  Observing observing;
  observing.telemetry_ = this;
  observing.number_ = impl_->next_observer++;
  impl_->observers.emplace(observing.number_, std::move(observer));
  return observing;
}

Observing::~Observing() {
  if (telemetry_ == nullptr) return;
  Telemetry::Impl& impl = *telemetry_->impl_;
  const std::lock_guard lock(impl.observing_mutex);
  const auto observer = impl.observers.find(number_);
  Observations::Impl last;
  last.most = impl.settings.max_instruments;
  Observations observations(last);
  observer->second(observations);
  impl.observers.erase(observer);
  for (const auto& [name, members] : last.series) {
    for (const auto& [attributes, metric] : members) {
      if (metric.kind == Metric::Kind::counter && metric.count > 0) {
        telemetry_->counter(name, attributes, metric.unit).add(metric.count);
      }
    }
  }
}

Observing& Observing::operator=(Observing&& other) noexcept {
  if (this != &other) {
    const Observing ended(std::move(*this));
    telemetry_ = std::exchange(other.telemetry_, nullptr);
    number_ = other.number_;
  }
  return *this;
}

TelemetrySnapshot Telemetry::snapshot() const {
  TelemetrySnapshot snapshot;
  snapshot.started_ns = impl_->started_ns;
  snapshot.at_ns = impl_->settings.wall_ns();
  Observations::Impl all;
  all.most = impl_->settings.max_instruments;
  const std::lock_guard observing(impl_->observing_mutex);
  {
    const std::lock_guard lock(impl_->mutex);
    for (const auto& [name, family] : impl_->families) {
      for (const auto& [attributes, instrument] : family.instruments) {
        Metric& metric = all.series[name][attributes];
        metric.kind = family.kind;
        metric.name = name;
        metric.unit = family.unit;
        metric.attributes = attributes;
        if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&instrument))
          metric.count = (*counter)->value();
        if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&instrument)) metric.level = (*gauge)->value();
        if (const auto* durations = std::get_if<std::unique_ptr<Durations>>(&instrument)) {
          metric.durations = (*durations)->counts();
        }
        all.count += 1;
      }
    }
    snapshot.failures.assign(impl_->failures.begin(), impl_->failures.end());
    snapshot.failures_forgotten = impl_->failures_forgotten;
  }
  Observations observations(all);
  for (const auto& [number, observer] : impl_->observers) observer(observations);
  if (all.conflicts > 0) impl_->locked<Counter>(kConflicts, {}, "1").add(all.conflicts);  // told by the next one
  for (auto& [name, members] : all.series) {
    for (auto& [attributes, metric] : members) snapshot.metrics.push_back(std::move(metric));
  }
  return snapshot;
}

int64_t OperationMeter::start() const {
  return telemetry_->impl_->settings.monotonic_ns();
}

void OperationMeter::succeed(int64_t started) const {
  durations_->record_ns(start() - started);
}

void OperationMeter::fail(int64_t started, const Status& why) const {
  FailureEvent event = *template_;
  event.elapsed_ns = start() - started;
  event.code = why.ok() ? StatusCode::internal : why.code();
  event.native_code = why.native_code();
  event.text = why.text();
  durations_->record_ns(event.elapsed_ns);
  telemetry_->failure(std::move(event));
}

}  // namespace sluice
