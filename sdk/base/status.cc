// SPDX-License-Identifier: Apache-2.0
#include "base/status.hpp"

#include <fmt/format.h>

namespace sluice {

std::string_view status_name(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::pending: return "pending";
    case StatusCode::invalid: return "invalid";
    case StatusCode::not_found: return "not_found";
    case StatusCode::exists: return "exists";
    case StatusCode::out_of_range: return "out_of_range";
    case StatusCode::unsupported: return "unsupported";
    case StatusCode::too_large: return "too_large";
    case StatusCode::conflict: return "conflict";
    case StatusCode::fenced: return "fenced";
    case StatusCode::unavailable: return "unavailable";
    case StatusCode::busy: return "busy";
    case StatusCode::unknown: return "unknown";
    case StatusCode::internal: return "internal";
    case StatusCode::denied: return "denied";
    case StatusCode::no_space: return "no_space";
    case StatusCode::corrupt: return "corrupt";
  }
  switch (status_class(code)) {
    case 100: return "invalid";
    case 200: return "conflict";
    case 300: return "unavailable";
    case 400: return "unknown";
    default: return "internal";
  }
}

Status Status::in(std::string_view where) const {
  Status result = *this;
  result.text_ = text_.empty() ? std::string(where) : fmt::format("{}: {}", where, text_);
  return result;
}

std::string Status::describe() const {
  std::string result(status_name(code_));
  if (!text_.empty()) result += ": " + text_;
  if (native_code_ != 0) result += fmt::format(" ({})", native_code_);
  return result;
}

}  // namespace sluice
