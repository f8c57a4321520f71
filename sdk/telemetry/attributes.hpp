// SPDX-License-Identifier: Apache-2.0
// Attributes of what the parts of the SDK report of themselves.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "sluice/telemetry.hpp"

namespace sluice::telemetry {

/// The system (which part it is), and the name that its user gave it under the attribute that OpenTelemetry has for
/// such names.
inline Attributes named(std::string_view system, std::string_view attribute, const std::string& name) {
  return {{std::string(semconv::kSystem), std::string(system)}, {std::string(attribute), name}};
}

/// `attributes` and one more.
inline Attributes with(Attributes attributes, std::string_view attribute, std::string_view value) {
  attributes.emplace_back(attribute, value);
  return attributes;
}

}  // namespace sluice::telemetry
