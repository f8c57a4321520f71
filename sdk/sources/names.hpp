// SPDX-License-Identifier: Apache-2.0
// Names of storages, logs, topics: what may be a part of a file's name and of a source's id. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::sources {

/// 1 to `max_bytes` of A-Z a-z 0-9 . _ -, and neither "." nor "..".
bool is_plain_name(std::string_view text, size_t max_bytes);

}  // namespace sluice::sources
