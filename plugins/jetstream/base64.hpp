// SPDX-License-Identifier: Apache-2.0
// Standard base64, as in the server's JSON.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.hpp"

namespace sluice::jetstream {

/// Nothing for what is not padded base64.
std::optional<Buffer> decode_base64(std::string_view text);

}  // namespace sluice::jetstream
