// SPDX-License-Identifier: Apache-2.0
// The APIs that the schema describes, with their versions: dispatch and the answer to ApiVersions both come from here,
// so that they cannot disagree. And the headers before requests and responses. Constant data and pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/status.hpp"
#include "protocol/gen/api_key.hpp"
#include "protocol/types.hpp"
#include "protocol/writer.hpp"

namespace sluice::protocol {

struct ApiInfo {
  ApiKey key;
  std::string_view name;
  /// What ApiVersions answers.
  int16_t min_advertised;
  int16_t max_advertised;
  /// What is decoded and served: below min_served, an advertised version is refused when sent (Produce 0 to 2).
  int16_t min_served;
  int16_t max_served;
  /// First version in the flexible encoding; above every version if none is.
  int16_t flexible_from;
  /// ApiVersions answers with header version 0 at every version.
  bool plain_response_header;

  bool serves(int16_t version) const { return version >= min_served && version <= max_served; }
  int16_t request_header_version(int16_t version) const { return version >= flexible_from ? 2 : 1; }
  int16_t response_header_version(int16_t version) const {
    return version >= flexible_from && !plain_response_header ? 1 : 0;
  }
};

/// Every API of the schema, by rising key.
std::span<const ApiInfo> all_apis();

/// Null for a key that the schema does not have.
const ApiInfo* find_api(int16_t key);
const ApiInfo& api_info(ApiKey key);

/// A request as it came: its header, and where its body is. Views into the frame.
struct IncomingRequest {
  const ApiInfo* api = nullptr;  // never null in a result
  int16_t api_version = 0;       // as sent: ask api->serves()
  int32_t correlation_id = 0;
  std::optional<std::string_view> client_id;
  Bytes body;
};

/// Takes a frame (without its length) apart. A version that is not served is no error here: ApiVersions must answer it.
/// Errors: StatusCode::unsupported for an unknown key, StatusCode::invalid for a malformed header. Both cost the sender
/// its connection.
Result<IncomingRequest> decode_request_header(std::span<const std::byte> frame);

/// A response as it came to a client that knows what it asked.
struct IncomingResponse {
  int32_t correlation_id = 0;
  Bytes body;
};
Result<IncomingResponse> decode_response_header(std::span<const std::byte> frame, ApiKey key, int16_t version);

void write_request_header(Writer& writer, ApiKey key, int16_t version, int32_t correlation_id,
                          std::optional<std::string_view> client_id);
void write_response_header(Writer& writer, ApiKey key, int16_t version, int32_t correlation_id);

Status unsupported_version(std::string_view message, int16_t version, int16_t min_version, int16_t max_version);

}  // namespace sluice::protocol
