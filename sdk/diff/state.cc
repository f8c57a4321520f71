// SPDX-License-Identifier: Apache-2.0
#include "diff/state.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <vector>

#include "diff/sha256.hpp"

namespace sluice::diff {
namespace {

constexpr double kLargestExactInteger = 9'007'199'254'740'992.0;  // 2^53

struct Refused {
  Status why;
};

}  // namespace

Result<Json> parse(std::string_view text, size_t max_bytes, uint32_t max_depth, std::string_view what) {
  if (text.size() > max_bytes) {
    return fail(StatusCode::too_large, fmt::format("{}: {} bytes, the limit is {}", what, text.size(), max_bytes));
  }
  std::vector<std::set<std::string>> members;  // of the objects that are open
  const auto look = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (static_cast<uint32_t>(depth) >= max_depth) {
        throw Refused{Status(StatusCode::too_large, fmt::format("{}: nested more than {} deep", what, max_depth))};
      }
      if (event == Json::parse_event_t::object_start) members.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      members.pop_back();
    } else if (event == Json::parse_event_t::key) {
      if (!members.back().insert(value.get<std::string>()).second) {
        throw Refused{
            Status(StatusCode::invalid, fmt::format("{}: member '{}' twice", what, value.get<std::string>()))};
      }
    }
    return true;
  };
  try {
    return Json::parse(text, look);
  } catch (const Refused& refused) {
    return fail(refused.why);
  } catch (const Json::parse_error& error) {
    return fail(StatusCode::invalid, fmt::format("{}: byte {}: {}", what, error.byte, error.what()),
                static_cast<int64_t>(error.byte));
  } catch (const Json::exception& error) {
    return fail(StatusCode::invalid, fmt::format("{}: {}", what, error.what()));
  }
}

void normalise(Json& value) {
  if (value.is_structured()) {
    for (Json& element : value) normalise(element);
    return;
  }
  if (!value.is_number_float()) {
    // One type for what fits both.
    if (value.is_number_unsigned() && value.get<uint64_t>() <= INT64_MAX) value = value.get<int64_t>();
    return;
  }
  const double number = value.get<double>();
  if (std::trunc(number) == number && std::fabs(number) <= kLargestExactInteger) value = static_cast<int64_t>(number);
}

std::string hash(const Json& value) {
  Sha256 sha;
  sha.add(value.dump());
  return sha.finish();
}

}  // namespace sluice::diff
