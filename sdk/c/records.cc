// SPDX-License-Identifier: Apache-2.0
#include "c/records.hpp"

#include <fmt/format.h>

namespace sluice::c {

Verdict headers_of(const sluice_field* fields, uint64_t count, std::vector<Header>& headers) {
  headers.clear();
  if (count == 0) return {};
  if (count > kMaxHeaders)
    return Status(StatusCode::too_large, fmt::format("{} headers; at most {}", count, kMaxHeaders));
  if (fields == nullptr) return Status(StatusCode::invalid, fmt::format("{} headers at NULL", count));
  headers.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto name = bytes_of(fields[i].name, fmt::format("headers[{}].name", i));
    if (!name) return {name.error(), static_cast<int64_t>(i)};
    if (!*name)
      return {Status(StatusCode::invalid, fmt::format("headers[{}].name is null", i)), static_cast<int64_t>(i)};
    const auto value = bytes_of(fields[i].value, fmt::format("headers[{}].value", i));
    if (!value) return {value.error(), static_cast<int64_t>(i)};
    headers.push_back({as_text(**name), *value});
  }
  return {};
}

}  // namespace sluice::c
