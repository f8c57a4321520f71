// SPDX-License-Identifier: Apache-2.0
// A telemetry behind a handle, and as configurations name it. Any thread.
#pragma once

#include <memory>

#include "c/config.hpp"
#include "c/handle_table.hpp"
#include "sluice/telemetry.hpp"

namespace sluice::c {

struct TelemetryObject final : Object {
  static constexpr Kind kKind = Kind::telemetry;
  explicit TelemetryObject(std::shared_ptr<Telemetry> made) : Object(kKind), telemetry(std::move(made)) {}
  const std::shared_ptr<Telemetry> telemetry;
};

/// The one whose handle `telemetry` is; null where there is no such field.
std::shared_ptr<Telemetry> read_telemetry(ConfigReader& config);

}  // namespace sluice::c
