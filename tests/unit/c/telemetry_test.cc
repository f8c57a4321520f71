// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kDefaults = "{}";

sluice_instrument described(uint32_t kind, std::string_view name) {
  sluice_instrument made{};
  made.size = sizeof made;
  made.kind = kind;
  made.name = span(name);
  return made;
}
std::string text_of(sluice_handle telemetry, uint32_t form) {
  return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_telemetry_text(telemetry, form, nullptr, 0, buffer, capacity, needed, nullptr);
  });
}
int64_t value_of(sluice_handle instrument) {
  int64_t value = -1;
  EXPECT_EQ(sluice_instrument_value(instrument, &value, nullptr), SLUICE_OK);
  return value;
}

TEST(TelemetryFace, what_is_counted_is_printed) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  const sluice_field attributes[] = {{span("tenant"), span("north")}};
  auto counter_of = described(SLUICE_INSTRUMENT_COUNTER, "messaging.client.sent.messages");
  counter_of.attributes = attributes;
  counter_of.attribute_count = 1;
  Owned counter;
  Owned same;
  Owned gauge;
  Owned durations;
  ASSERT_EQ(sluice_telemetry_instrument(telemetry, &counter_of, &counter.handle, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_telemetry_instrument(telemetry, &counter_of, &same.handle, nullptr), SLUICE_OK);
  const auto gauge_of = described(SLUICE_INSTRUMENT_GAUGE, "depth");
  ASSERT_EQ(sluice_telemetry_instrument(telemetry, &gauge_of, &gauge.handle, nullptr), SLUICE_OK);
  const auto durations_of = described(SLUICE_INSTRUMENT_DURATIONS, "work");
  ASSERT_EQ(sluice_telemetry_instrument(telemetry, &durations_of, &durations.handle, nullptr), SLUICE_OK);

  EXPECT_EQ(sluice_counter_add(counter, 3, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_counter_add(same, 4, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_gauge_set(gauge, 10, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_gauge_add(gauge, -12, nullptr), SLUICE_OK);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sluice_durations_record(durations, 1'000'000, nullptr), SLUICE_OK);
  EXPECT_EQ(value_of(counter), 7);
  EXPECT_EQ(value_of(gauge), -2);
  EXPECT_EQ(value_of(durations), 100);
  uint64_t median = 0;
  EXPECT_EQ(sluice_durations_quantile(durations, 0.5, &median, nullptr), SLUICE_OK);
  EXPECT_NEAR(static_cast<double>(median), 1e6, 0.25e6);
  EXPECT_THAT(text_of(telemetry, SLUICE_TELEMETRY_PROMETHEUS),
              AllOf(HasSubstr("messaging_client_sent_messages_total{tenant=\"north\"} 7"), HasSubstr("depth")));
  EXPECT_THAT(text_of(telemetry, SLUICE_TELEMETRY_OTLP_METRICS), HasSubstr("messaging.client.sent.messages"));
}

/// Counts how often it is asked, and says so.
struct Observed {
  std::atomic<int> calls{0};
  std::atomic<bool> gone{false};
  std::atomic<sluice_handle> last{0};
  sluice_handle telemetry = 0;

  static Observed& of(void* context) { return *static_cast<Observed*>(context); }
  static void observe(void* context, sluice_handle observations) {
    Observed& self = of(context);
    self.last = observations;
    const int64_t calls = ++self.calls;
    auto counter = described(SLUICE_INSTRUMENT_COUNTER, "asked");
    EXPECT_EQ(sluice_observe(observations, &counter, calls, nullptr), SLUICE_OK);
    EXPECT_EQ(sluice_observe(observations, &counter, -1, nullptr), SLUICE_INVALID);
    auto gauge = described(SLUICE_INSTRUMENT_GAUGE, "level");
    const sluice_field attributes[] = {{span("side"), span("left")}};
    gauge.attributes = attributes;
    gauge.attribute_count = 1;
    EXPECT_EQ(sluice_observe(observations, &gauge, -4, nullptr), SLUICE_OK);
    auto durations = described(SLUICE_INSTRUMENT_DURATIONS, "took");
    EXPECT_EQ(sluice_observe(observations, &durations, 1, nullptr), SLUICE_INVALID);
    counter.size = 1;
    EXPECT_EQ(sluice_observe(observations, &counter, 1, nullptr), SLUICE_INVALID);
    EXPECT_EQ(sluice_observe(self.telemetry, &gauge, 1, nullptr), SLUICE_INVALID);  // another kind of handle
  }
  static void is_gone(void* context) { of(context).gone = true; }
};

TEST(TelemetryFace, an_observer_is_asked_when_it_is_printed_and_its_counts_stay) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  Observed observed;
  observed.telemetry = telemetry;
  Owned observing;
  EXPECT_EQ(sluice_telemetry_observe(telemetry, nullptr, nullptr, nullptr, &observing.handle, nullptr), SLUICE_INVALID);
  ASSERT_EQ(sluice_telemetry_observe(telemetry, &Observed::observe, &Observed::is_gone, &observed, &observing.handle,
                                     nullptr),
            SLUICE_OK);
  EXPECT_EQ(observed.calls, 0);
  EXPECT_THAT(text_of(telemetry, SLUICE_TELEMETRY_OTLP_METRICS), HasSubstr("asked"));
  const auto gauge = described(SLUICE_INSTRUMENT_GAUGE, "level");
  EXPECT_EQ(sluice_observe(observed.last, &gauge, 1, nullptr), SLUICE_NOT_FOUND);  // the call is over
  const int before = observed.calls;
  EXPECT_EQ(sluice_release(observing, nullptr), SLUICE_OK);
  EXPECT_TRUE(observed.gone);
  EXPECT_EQ(observed.calls, before + 1);
  const std::string text = text_of(telemetry, SLUICE_TELEMETRY_PROMETHEUS);
  EXPECT_THAT(text, HasSubstr("asked_total " + std::to_string(before + 1)));
  EXPECT_THAT(text, Not(HasSubstr("level")));
  EXPECT_EQ(observed.calls, before + 1);
}

TEST(TelemetryFace, B01_observers_race_with_their_end) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  std::atomic<bool> over{false};
  std::thread printer([&] {
    std::string room(1 << 16, ' ');
    uint64_t needed = 0;
    while (!over) {
      EXPECT_EQ(sluice_telemetry_text(telemetry, SLUICE_TELEMETRY_PROMETHEUS, nullptr, 0, room.data(), room.size(),
                                      &needed, nullptr),
                SLUICE_OK);
    }
  });
  for (int round = 0; round < 200; ++round) {
    Observed observed;
    observed.telemetry = telemetry;
    sluice_handle observing = 0;
    ASSERT_EQ(
        sluice_telemetry_observe(telemetry, &Observed::observe, &Observed::is_gone, &observed, &observing, nullptr),
        SLUICE_OK);
    EXPECT_EQ(sluice_release(observing, nullptr), SLUICE_OK);
    EXPECT_TRUE(observed.gone);  // nobody calls it any more
  }
  over = true;
  printer.join();
}

TEST(TelemetryFace, S15_a_failure_has_cause_place_and_time) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  Owned meter;
  ASSERT_EQ(sluice_telemetry_meter(telemetry, span("send"), span("kafka"), span("orders-0"), &meter.handle, nullptr),
            SLUICE_OK);
  int64_t started = 0;
  ASSERT_EQ(sluice_meter_start(meter, &started, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_meter_succeed(meter, started, nullptr), SLUICE_OK);
  Failure why;
  EXPECT_EQ(sluice_meter_fail(meter, started, &why, nullptr), SLUICE_INVALID);
  why.code = SLUICE_UNAVAILABLE;
  std::memset(why.text, 'x', sizeof why.text);  // without an end
  EXPECT_EQ(sluice_meter_fail(meter, started, &why, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_telemetry_failure(telemetry, span("read"), span("redis"), span("s"), 5, &why, nullptr), SLUICE_OK);
  const sluice_field resource[] = {{span("service.name"), span("shop")}};
  const std::string logs = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_telemetry_text(telemetry, SLUICE_TELEMETRY_OTLP_LOGS, resource, 1, buffer, capacity, needed, nullptr);
  });
  EXPECT_THAT(logs, AllOf(HasSubstr("unavailable"), HasSubstr("orders-0"), HasSubstr("redis"), HasSubstr("shop")));
}

TEST(TelemetryFace, instruments_outlive_the_handle_that_they_came_from) {
  Owned counter;
  Owned meter;
  {
    Owned telemetry;
    open_by(&sluice_telemetry_open, kDefaults, telemetry);
    const auto counter_of = described(SLUICE_INSTRUMENT_COUNTER, "c");
    ASSERT_EQ(sluice_telemetry_instrument(telemetry, &counter_of, &counter.handle, nullptr), SLUICE_OK);
    ASSERT_EQ(sluice_telemetry_meter(telemetry, span("o"), span("a"), span("s"), &meter.handle, nullptr), SLUICE_OK);
  }
  EXPECT_EQ(sluice_counter_add(counter, 1, nullptr), SLUICE_OK);
  EXPECT_EQ(value_of(counter), 1);
  EXPECT_EQ(sluice_meter_succeed(meter, 0, nullptr), SLUICE_OK);
}

TEST(TelemetryFace, a_bus_and_its_consumer_tell_what_they_do) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  const std::string named = R"("telemetry": )" + std::to_string(telemetry.handle);
  Owned bus;
  open_bus(R"({"name": "shop", "retain_events": 100, )" + named + "}", bus);
  const sluice_event one = event("k", "v");
  ASSERT_EQ(sluice_bus_ingest(bus, &one, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_bus_drain(bus, 10'000, nullptr), SLUICE_OK);
  Owned consumer;
  open_consumer(R"({"name": "readers", )" + named + R"(, "sources": [{"kind": "bus", "bus": )" +
                    std::to_string(bus.handle) + "}]}",
                "", consumer);
  EXPECT_EQ(values_of(consumer, 1, 10'000).size(), 1U);
  EXPECT_THAT(text_of(telemetry, SLUICE_TELEMETRY_PROMETHEUS), AllOf(HasSubstr("shop"), HasSubstr("readers")));
  sluice_handle none = 0;
  const std::string_view wrong = R"({"telemetry": 999999})";
  Failure failure;
  EXPECT_EQ(sluice_bus_open(wrong.data(), wrong.size(), &none, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("telemetry"));
}

TEST(TelemetryFace, limiters_checkpoints_and_logs_tell_what_they_do) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  const std::string named = R"("telemetry": )" + std::to_string(telemetry.handle);
  Owned limiter;
  open_by(&sluice_limiter_open, R"({"tokens": 1, "period_ms": 1000, "burst": 1, "name": "gate", )" + named + "}",
          limiter);
  sluice_limiter_decision decision{};
  ASSERT_EQ(sluice_limiter_acquire(limiter, "a", 1, 1, &decision, nullptr), SLUICE_OK);
  const Folder folder;
  Owned store;
  open_by(&sluice_checkpoints_open,
          R"({"directory": ")" + folder.path() + R"(/places", "name": "places", )" + named + "}", store);
  uint64_t id = 0;
  ASSERT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "c", 1, nullptr, 0, &id, nullptr), SLUICE_OK);
  Owned log;
  open_by(&sluice_log_open,
          R"({"storage": {"name": "m", "library": "memory"}, "log": "orders", "state_directory": ")" + folder.path() +
              R"(/state", )" + named + "}",
          log);
  EXPECT_THAT(text_of(telemetry, SLUICE_TELEMETRY_PROMETHEUS),
              AllOf(HasSubstr("gate"), HasSubstr("places"), HasSubstr("orders")));
}

TEST(TelemetryFace, wrong_arguments_are_told) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  Failure failure;
  Owned made;
  auto wrong = described(9, "c");
  EXPECT_EQ(sluice_telemetry_instrument(telemetry, &wrong, &made.handle, &failure), SLUICE_INVALID);
  wrong = described(SLUICE_INSTRUMENT_COUNTER, "");
  EXPECT_EQ(sluice_telemetry_instrument(telemetry, &wrong, &made.handle, &failure), SLUICE_INVALID);
  wrong = described(SLUICE_INSTRUMENT_COUNTER, "c");
  const sluice_field null_value[] = {{span("a"), span("b")}, {span("c"), {nullptr, 0}}};
  wrong.attributes = null_value;
  wrong.attribute_count = 2;
  EXPECT_EQ(sluice_telemetry_instrument(telemetry, &wrong, &made.handle, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  const auto gauge_of = described(SLUICE_INSTRUMENT_GAUGE, "g");
  ASSERT_EQ(sluice_telemetry_instrument(telemetry, &gauge_of, &made.handle, &failure), SLUICE_OK);
  EXPECT_EQ(sluice_counter_add(made, 1, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_durations_record(made, 1, &failure), SLUICE_INVALID);
  uint64_t nanos = 0;
  EXPECT_EQ(sluice_durations_quantile(made, std::nan(""), &nanos, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_telemetry_text(telemetry, 3, nullptr, 0, nullptr, 0, nullptr, &failure), SLUICE_INVALID);
  const std::string_view none = R"({"max_failures": 0})";
  EXPECT_EQ(sluice_telemetry_open(none.data(), none.size(), &made.handle, &failure), SLUICE_INVALID);
  EXPECT_THAT(std::string(failure.text), HasSubstr("max_failures"));
}

TEST(TelemetryFace, B01_counts_race_with_release) {
  Owned telemetry;
  open_by(&sluice_telemetry_open, kDefaults, telemetry);
  race_with_release(
      100,
      [&] {
        sluice_handle counter = 0;
        const auto counter_of = described(SLUICE_INSTRUMENT_COUNTER, "c");
        EXPECT_EQ(sluice_telemetry_instrument(telemetry, &counter_of, &counter, nullptr), SLUICE_OK);
        return counter;
      },
      [](sluice_handle counter) { return sluice_counter_add(counter, 1, nullptr); }, [](sluice_handle) {},
      [](sluice_status) { return false; });
}

}  // namespace
}  // namespace sluice::c::testing
