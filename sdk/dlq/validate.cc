// SPDX-License-Identifier: Apache-2.0
#include "dlq/validate.hpp"

#include <fmt/format.h>

namespace sluice::dlq {

Status validate(const DeadLetterSettings& settings) {
  const auto out_of_range = [](const char* field, uint64_t value, uint64_t most) {
    return Status(StatusCode::invalid, fmt::format("dlq.{}: {} is not from 1 to {}", field, value, most));
  };
  if (settings.max_records < 1 || settings.max_records > kMaxRecords) {
    return out_of_range("max_records", settings.max_records, kMaxRecords);
  }
  if (settings.max_bytes < 1) return out_of_range("max_bytes", settings.max_bytes, UINT64_MAX);
  if (settings.max_in_flight < 1 || settings.max_in_flight > kMaxInFlight) {
    return out_of_range("max_in_flight", settings.max_in_flight, kMaxInFlight);
  }
  if (Status status = sluice::validate(settings.retry, "dlq.retry"); !status) return status;
  if (settings.name.empty() || settings.name.size() > kMaxNameBytes) {
    return Status(StatusCode::invalid,
                  fmt::format("dlq.name: {} bytes, not from 1 to {}", settings.name.size(), kMaxNameBytes));
  }
  return {};
}

}  // namespace sluice::dlq
