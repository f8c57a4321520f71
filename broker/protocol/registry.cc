// SPDX-License-Identifier: Apache-2.0
#include "protocol/registry.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/gen/request_header.hpp"
#include "protocol/gen/response_header.hpp"
#include "protocol/reader.hpp"

namespace sluice::protocol {

const ApiInfo* find_api(int16_t key) {
  const auto apis = all_apis();
  const auto at = std::lower_bound(apis.begin(), apis.end(), key, [](const ApiInfo& api, int16_t wanted) {
    return static_cast<int16_t>(api.key) < wanted;
  });
  return at != apis.end() && static_cast<int16_t>(at->key) == key ? &*at : nullptr;
}

const ApiInfo& api_info(ApiKey key) {
  return *find_api(static_cast<int16_t>(key));
}

Result<IncomingRequest> decode_request_header(std::span<const std::byte> frame) {
  Reader peek(frame);
  int16_t key = 0;
  int16_t version = 0;
  if (!peek.read(key) || !peek.read(version)) {
    return fail(StatusCode::invalid, fmt::format("a request of {} bytes has no header", frame.size()));
  }
  const ApiInfo* api = find_api(key);
  if (api == nullptr)
    return fail(StatusCode::unsupported, fmt::format("unknown API key {} (version {})", key, version));

  const int16_t header_version = api->request_header_version(version);
  Reader reader(frame);
  RequestHeader header;
  if (!header.read(reader, header_version)) {
    return fail(reader.error().to_status(RequestHeader::kName, header_version).in(api->name));
  }
  return IncomingRequest{api, version, header.correlation_id, header.client_id, frame.subspan(reader.offset_bytes())};
}

Result<IncomingResponse> decode_response_header(std::span<const std::byte> frame, ApiKey key, int16_t version) {
  const int16_t header_version = api_info(key).response_header_version(version);
  Reader reader(frame);
  ResponseHeader header;
  if (!header.read(reader, header_version)) {
    return fail(reader.error().to_status(ResponseHeader::kName, header_version).in(api_info(key).name));
  }
  return IncomingResponse{header.correlation_id, frame.subspan(reader.offset_bytes())};
}

void write_request_header(Writer& writer, ApiKey key, int16_t version, int32_t correlation_id,
                          std::optional<std::string_view> client_id) {
  RequestHeader header;
  header.api_key = static_cast<int16_t>(key);
  header.api_version = version;
  header.correlation_id = correlation_id;
  header.client_id = client_id;
  header.write(writer, api_info(key).request_header_version(version));
}

void write_response_header(Writer& writer, ApiKey key, int16_t version, int32_t correlation_id) {
  ResponseHeader header;
  header.correlation_id = correlation_id;
  header.write(writer, api_info(key).response_header_version(version));
}

Status unsupported_version(std::string_view message, int16_t version, int16_t min_version, int16_t max_version) {
  return Status(StatusCode::unsupported,
                fmt::format("{} has versions {} to {}, not {}", message, min_version, max_version, version));
}

}  // namespace sluice::protocol
