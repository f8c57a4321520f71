// SPDX-License-Identifier: Apache-2.0
// Instruments and meters share the telemetry that made them: a handle to one is good after that of the telemetry is
// gone.
#include "c/telemetry.hpp"

#include <fmt/format.h>

#include <mutex>
#include <variant>

#include "c/boundary.hpp"
#include "c/callback.hpp"
#include "c/records.hpp"
#include "sluice/c/telemetry.h"

namespace sluice::c {
namespace {

constexpr size_t kInstrumentBytes = sizeof(sluice_instrument);  // of the first version

struct InstrumentObject final : Object {
  static constexpr Kind kKind = Kind::instrument;
  using Any = std::variant<Counter*, Gauge*, Durations*>;  // numbered as SLUICE_INSTRUMENT_...
  InstrumentObject(std::shared_ptr<Telemetry> of, Any made) : Object(kKind), telemetry(std::move(of)), any(made) {}
  const std::shared_ptr<Telemetry> telemetry;
  const Any any;
};
static_assert(std::is_same_v<std::variant_alternative_t<SLUICE_INSTRUMENT_GAUGE, InstrumentObject::Any>, Gauge*>);
static_assert(
    std::is_same_v<std::variant_alternative_t<SLUICE_INSTRUMENT_DURATIONS, InstrumentObject::Any>, Durations*>);

struct MeterObject final : Object {
  static constexpr Kind kKind = Kind::meter;
  MeterObject(std::shared_ptr<Telemetry> of, OperationMeter made)
      : Object(kKind), telemetry(std::move(of)), meter(std::move(made)) {}
  const std::shared_ptr<Telemetry> telemetry;
  const OperationMeter meter;
};

/// What an observer says, while it is called.
class ObservationsObject final : public Object {
 public:
  static constexpr Kind kKind = Kind::observations;
  explicit ObservationsObject(Observations& observations) : Object(kKind), observations_(&observations) {}
  /// Runs `say` on them. NOT_FOUND: the call is over.
  template <class Say>
  Status with(Say&& say) {
    const std::scoped_lock lock(mutex_);
    if (observations_ == nullptr) return Status(StatusCode::not_found, "the observer's call is over");
    say(*observations_);
    return {};
  }
  void end() {
    const std::scoped_lock lock(mutex_);
    observations_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Observations* observations_;  // guarded by mutex_
};

/// An observer of the application's.
class ObservingObject final : public Object {
 public:
  static constexpr Kind kKind = Kind::observing;
  ObservingObject(std::shared_ptr<Telemetry> of, sluice_observer observer, void (*gone)(void*), void* context)
      : Object(kKind, Ends::not_in_callback), telemetry_(std::move(of)), gone_(gone), context_(context) {
    observing_ = telemetry_->observe([observer, context](Observations& observations) {
      const auto handle = handles().insert(std::make_unique<ObservationsObject>(observations));
      if (!handle) return;  // as many objects exist as can: it says nothing this time
      const auto held = acquire<ObservationsObject>(*handle);
      if (!held) return;
      {
        const InCallback inside;
        observer(context, *handle);
      }
      (*held)->end();
      static_cast<void>(handles().release(*handle));
    });
  }
  ~ObservingObject() override {
    observing_ = Observing();
    if (gone_ == nullptr) return;
    const InCallback inside;
    gone_(context_);
  }

 private:
  const std::shared_ptr<Telemetry> telemetry_;
  void (*const gone_)(void*);
  void* const context_;
  Observing observing_;
};

/// What names an instrument, checked.
struct Description {
  uint32_t kind = 0;
  std::string_view name;
  std::string_view unit;
  Attributes attributes;
};
Verdict read_description(const sluice_instrument* described, Description& read) {
  if (Status status = check_struct(described, kInstrumentBytes, "described"); !status.ok()) return status;
  const auto name = text_of(described->name, "name");
  if (!name) return name.error();
  if (name->empty()) return Status(StatusCode::invalid, "name is empty");
  const auto unit = bytes_of(described->unit, "unit");
  if (!unit) return unit.error();
  if (described->kind > SLUICE_INSTRUMENT_DURATIONS) {
    return Status(StatusCode::invalid, fmt::format("kind is {}, which is none", described->kind));
  }
  read.kind = described->kind;
  read.name = *name;
  read.unit = *unit ? as_text(**unit) : read.kind == SLUICE_INSTRUMENT_COUNTER ? "{message}" : "1";
  return pairs_of(described->attributes, described->attribute_count, "attributes", read.attributes);
}

Result<std::unique_ptr<TelemetryObject>> open_telemetry(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  TelemetrySettings settings;
  settings.max_instruments = config.natural("max_instruments", settings.max_instruments);
  settings.max_failures = config.natural("max_failures", settings.max_failures);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto made = Telemetry::make(std::move(settings));
  if (!made) return fail(at_path(made.error(), "", "telemetry."));
  return std::make_unique<TelemetryObject>(std::move(*made));
}

/// Runs `body` on an instrument of the kind Made.
template <class Made, class Body>
sluice_status on_instrument(sluice_handle instrument, sluice_failure* failure, Body&& body) {
  return on<InstrumentObject>(instrument, failure, [&](InstrumentObject& object) -> Verdict {
    Made* const* made = std::get_if<Made*>(&object.any);
    if (made == nullptr) return Status(StatusCode::invalid, "the instrument is of another kind");
    body(**made);
    return {};
  });
}

/// Where something happened.
struct Where {
  std::string_view operation;
  std::string_view adapter;
  std::string_view shard;
};
Result<Where> where_of(const sluice_span& operation, const sluice_span& adapter, const sluice_span& shard) {
  const auto operation_text = text_of(operation, "operation");
  if (!operation_text) return fail(operation_text.error());
  const auto adapter_text = text_of(adapter, "adapter");
  if (!adapter_text) return fail(adapter_text.error());
  const auto shard_text = text_of(shard, "shard");
  if (!shard_text) return fail(shard_text.error());
  return Where{*operation_text, *adapter_text, *shard_text};
}

}  // namespace

std::shared_ptr<Telemetry> read_telemetry(ConfigReader& config) {
  if (!config.has("telemetry")) return nullptr;
  const auto held = acquire<TelemetryObject>(static_cast<uint64_t>(config.integer("telemetry", 0, 1)));
  if (held) return (*held)->telemetry;
  config.refuse("telemetry", held.error().text());
  return nullptr;
}

}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_telemetry_open(const char* config, uint64_t config_size, sluice_handle* telemetry,
                                    sluice_failure* failure) {
  return open_by({config, config_size, "config"}, telemetry, "telemetry", failure, &open_telemetry);
}

sluice_status sluice_telemetry_instrument(sluice_handle telemetry, const sluice_instrument* described,
                                          sluice_handle* instrument, sluice_failure* failure) {
  return on<TelemetryObject>(telemetry, failure, [&](TelemetryObject& object) -> Verdict {
    if (Status status = check_out(instrument, "instrument"); !status.ok()) return status;
    Description read;
    if (Verdict verdict = read_description(described, read); !verdict.status.ok()) return verdict;
    Telemetry& made = *object.telemetry;
    InstrumentObject::Any any;
    switch (read.kind) {
      case SLUICE_INSTRUMENT_COUNTER:
        any = &made.counter(read.name, std::move(read.attributes), read.unit);
        break;
      case SLUICE_INSTRUMENT_GAUGE:
        any = &made.gauge(read.name, std::move(read.attributes), read.unit);
        break;
      default:
        any = &made.durations(read.name, std::move(read.attributes));
    }
    return give(std::make_unique<InstrumentObject>(object.telemetry, any), instrument);
  });
}

sluice_status sluice_telemetry_observe(sluice_handle telemetry, sluice_observer observer, void (*gone)(void* context),
                                       void* context, sluice_handle* observing, sluice_failure* failure) {
  return on<TelemetryObject>(telemetry, failure, [&](TelemetryObject& object) -> Verdict {
    if (Status status = check_out(observing, "observing"); !status.ok()) return status;
    if (observer == nullptr) return Status(StatusCode::invalid, "observer is NULL");
    return give(std::make_unique<ObservingObject>(object.telemetry, observer, gone, context), observing);
  });
}

sluice_status sluice_observe(sluice_handle observations, const sluice_instrument* described, int64_t value,
                             sluice_failure* failure) {
  return on<ObservationsObject>(observations, failure, [&](ObservationsObject& object) -> Verdict {
    Description read;
    if (Verdict verdict = read_description(described, read); !verdict.status.ok()) return verdict;
    if (read.kind == SLUICE_INSTRUMENT_GAUGE) {
      return object.with(
          [&](Observations& said) { said.gauge(read.name, value, std::move(read.attributes), read.unit); });
    }
    if (read.kind != SLUICE_INSTRUMENT_COUNTER) {
      return Status(StatusCode::invalid, "durations are recorded, and not observed");
    }
    if (value < 0) return Status(StatusCode::invalid, fmt::format("a counter is {}, below 0", value));
    return object.with([&](Observations& said) {
      said.counter(read.name, static_cast<uint64_t>(value), std::move(read.attributes), read.unit);
    });
  });
}

sluice_status sluice_counter_add(sluice_handle instrument, uint64_t count, sluice_failure* failure) {
  return on_instrument<Counter>(instrument, failure, [&](Counter& counter) { counter.add(count); });
}

sluice_status sluice_gauge_set(sluice_handle instrument, int64_t level, sluice_failure* failure) {
  return on_instrument<Gauge>(instrument, failure, [&](Gauge& gauge) { gauge.set(level); });
}

sluice_status sluice_gauge_add(sluice_handle instrument, int64_t by, sluice_failure* failure) {
  return on_instrument<Gauge>(instrument, failure, [&](Gauge& gauge) { gauge.add(by); });
}

sluice_status sluice_durations_record(sluice_handle instrument, int64_t nanos, sluice_failure* failure) {
  return on_instrument<Durations>(instrument, failure, [&](Durations& durations) { durations.record_ns(nanos); });
}

sluice_status sluice_instrument_value(sluice_handle instrument, int64_t* value, sluice_failure* failure) {
  return on<InstrumentObject>(instrument, failure, [&](InstrumentObject& object) -> Verdict {
    if (Status status = check_out(value, "value"); !status.ok()) return status;
    switch (object.any.index()) {
      case SLUICE_INSTRUMENT_COUNTER:
        *value = static_cast<int64_t>(std::get<Counter*>(object.any)->value());
        break;
      case SLUICE_INSTRUMENT_GAUGE:
        *value = std::get<Gauge*>(object.any)->value();
        break;
      default:
        *value = static_cast<int64_t>(std::get<Durations*>(object.any)->counts().count);
    }
    return {};
  });
}

sluice_status sluice_durations_quantile(sluice_handle instrument, double quantile, uint64_t* nanos,
                                        sluice_failure* failure) {
  return on<InstrumentObject>(instrument, failure, [&](InstrumentObject& object) -> Verdict {
    if (Status status = check_out(nanos, "nanos"); !status.ok()) return status;
    if (!(quantile >= 0 && quantile <= 1)) {
      return Status(StatusCode::invalid, fmt::format("the quantile {} is not between 0 and 1", quantile));
    }
    Durations* const* durations = std::get_if<Durations*>(&object.any);
    if (durations == nullptr) return Status(StatusCode::invalid, "the instrument is of another kind");
    *nanos = (*durations)->counts().quantile_ns(quantile);
    return {};
  });
}

sluice_status sluice_telemetry_meter(sluice_handle telemetry, sluice_span operation, sluice_span adapter,
                                     sluice_span shard, sluice_handle* meter, sluice_failure* failure) {
  return on<TelemetryObject>(telemetry, failure, [&](TelemetryObject& object) -> Verdict {
    if (Status status = check_out(meter, "meter"); !status.ok()) return status;
    const auto where = where_of(operation, adapter, shard);
    if (!where) return where.error();
    return give(std::make_unique<MeterObject>(object.telemetry,
                                              object.telemetry->meter(where->operation, where->adapter, where->shard)),
                meter);
  });
}

sluice_status sluice_meter_start(sluice_handle meter, int64_t* started, sluice_failure* failure) {
  return on<MeterObject>(meter, failure, [&](MeterObject& object) -> Verdict {
    if (Status status = check_out(started, "started"); !status.ok()) return status;
    *started = object.meter.start();
    return {};
  });
}

sluice_status sluice_meter_succeed(sluice_handle meter, int64_t started, sluice_failure* failure) {
  return on<MeterObject>(meter, failure, [&](MeterObject& object) -> Verdict {
    object.meter.succeed(started);
    return {};
  });
}

sluice_status sluice_meter_fail(sluice_handle meter, int64_t started, const sluice_failure* why,
                                sluice_failure* failure) {
  return on<MeterObject>(meter, failure, [&](MeterObject& object) -> Verdict {
    const auto said = status_of(why, "why");
    if (!said) return said.error();
    object.meter.fail(started, *said);
    return {};
  });
}

sluice_status sluice_telemetry_failure(sluice_handle telemetry, sluice_span operation, sluice_span adapter,
                                       sluice_span shard, int64_t elapsed_ns, const sluice_failure* why,
                                       sluice_failure* failure) {
  return on<TelemetryObject>(telemetry, failure, [&](TelemetryObject& object) -> Verdict {
    const auto where = where_of(operation, adapter, shard);
    if (!where) return where.error();
    const auto said = status_of(why, "why");
    if (!said) return said.error();
    FailureEvent event;
    event.operation = where->operation;
    event.adapter = where->adapter;
    event.shard = where->shard;
    event.code = said->code();
    event.native_code = said->native_code();
    event.text = said->text();
    event.elapsed_ns = elapsed_ns;
    object.telemetry->failure(std::move(event));
    return {};
  });
}

sluice_status sluice_telemetry_text(sluice_handle telemetry, uint32_t form, const sluice_field* resource,
                                    uint64_t resource_count, char* buffer, uint64_t capacity, uint64_t* needed,
                                    sluice_failure* failure) {
  return on<TelemetryObject>(telemetry, failure, [&](TelemetryObject& object) -> Verdict {
    Attributes attributes;
    if (Verdict verdict = pairs_of(resource, resource_count, "resource", attributes); !verdict.status.ok()) {
      return verdict;
    }
    if (form > SLUICE_TELEMETRY_OTLP_LOGS) {
      return Status(StatusCode::invalid, fmt::format("form is {}, which is none", form));
    }
    const TelemetrySnapshot snapshot = object.telemetry->snapshot();
    const std::string text = form == SLUICE_TELEMETRY_PROMETHEUS     ? prometheus_text(snapshot)
                             : form == SLUICE_TELEMETRY_OTLP_METRICS ? otlp_metrics_json(snapshot, attributes)
                                                                     : otlp_logs_json(snapshot, attributes);
    return write_text(text, buffer, capacity, needed);
  });
}

}  // extern "C"
