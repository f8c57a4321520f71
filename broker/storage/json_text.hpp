// SPDX-License-Identifier: Apache-2.0
// JSON as a configuration needs it: a place for every error, names in the order of the text, and no name twice. The
// JSON library by itself keeps the last of equal names in silence and gives no place. Pure functions.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.hpp"

namespace sluice::storage {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxConfigDepth = 16;      // objects and arrays within each other
constexpr size_t kMaxObjectMembers = 1024;  // names are searched one by one

/// Parses the whole of `text`. INVALID: "FILE:LINE:COLUMN: ..." where it is not JSON, "FILE: PATH: ..." for a name that
/// is there twice and for what is too deep or too long. Messages never quote values: they may be secrets.
Result<Json> parse_json(std::string_view text, const std::string& file);

/// The path of a member: "storages.disk"; a name that is no plain word is quoted: `storages["my disk"]`.
std::string member_path(const std::string& parent, std::string_view name);
/// The path of an element: "routes[2]".
std::string element_path(const std::string& parent, size_t index);
/// `name` in quotes, with what cannot be printed escaped, and shortened if it is absurdly long.
std::string in_quotes(std::string_view name);

/// "an object", "a text", ...: what a value is, without the value.
std::string_view kind_of(const Json& value);

}  // namespace sluice::storage
