// SPDX-License-Identifier: Apache-2.0
// What the server said, as the contract's statuses. One table from the server's error codes (its `errors.json`) to
// ours; numbers that are not in it go by their class. Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/status.hpp"

namespace sluice::jetstream {

/// err_code of the errors that decide something.
constexpr int32_t kStreamNotFound = 10059;
constexpr int32_t kNoMessageFound = 10037;
constexpr int32_t kNotEnabledForAccount = 10039;
constexpr int32_t kNotEnabled = 10076;

/// The member "error" of a reply of the JetStream API or of a publish.
struct ApiError {
  int32_t code = 0;      // as HTTP's
  int32_t err_code = 0;  // the server's own number; 0 before 2.3
  std::string description;
};

/// Text and native code are the server's. A publish that was refused for its sequence is CONFLICT; what may have been
/// stored in spite of the error is UNKNOWN; all else promises that nothing was.
Status classify(const ApiError& error);

/// A stored message's sequence, or why it was not stored.
Result<uint64_t> parse_publish_ack(Bytes payload);

/// A reply of the JetStream API without an error. INTERNAL for what is no JSON object.
Result<nlohmann::json> parse_api_reply(Bytes payload);

/// Members of a JSON object by dotted path, or `absent` when missing or of another type.
int64_t number_at(const nlohmann::json& json, std::string_view path, int64_t absent = 0);
std::string text_at(const nlohmann::json& json, std::string_view path, std::string_view absent = {});
bool flag_at(const nlohmann::json& json, std::string_view path, bool absent = false);

/// "Permissions Violation for Publish to "a.b"" -> a.b
std::optional<std::string> denied_subject(std::string_view error);

}  // namespace sluice::jetstream
