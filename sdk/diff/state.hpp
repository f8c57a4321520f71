// SPDX-License-Identifier: Apache-2.0
// A JSON text as a state: parsed with all limits, without duplicate members, and its canonical form. Any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "sluice/diff.hpp"

namespace sluice::diff {

using Json = nlohmann::json;

/// INVALID with the byte of the fault; TOO_LARGE. `what` is put before the text.
Result<Json> parse(std::string_view text, size_t max_bytes, uint32_t max_depth, std::string_view what);

/// Makes numbers that are equal the same: whole ones are integers where a double holds them exactly.
void normalise(Json& value);
/// SHA-256 of a normalised value.
std::string hash(const Json& value);

}  // namespace sluice::diff
