// SPDX-License-Identifier: Apache-2.0
// ApiVersions, versions 0 to 4. Features: none are finalised; metadata.version and the like belong to KRaft's own quorum.
#include "handlers/handlers.hpp"
#include "protocol/gen/api_versions.hpp"

namespace sluice::handlers {
namespace {

protocol::ApiVersionsResponse ranges() {
  protocol::ApiVersionsResponse response;
  for (const Handler& handler : all_handlers()) {
    const protocol::ApiInfo& api = protocol::api_info(handler.key);
    protocol::ApiVersionsResponse::ApiVersion range;
    range.api_key = static_cast<int16_t>(api.key);
    range.min_version = api.min_advertised;
    range.max_version = api.max_advertised;
    response.api_keys.push_back(range);
  }
  return response;
}

bool is_software_name(std::string_view text) {
  // KIP-511: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
  auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  if (text.empty() || !alphanumeric(text.front()) || !alphanumeric(text.back())) return false;
  for (const char c : text) {
    if (!alphanumeric(c) && c != '-' && c != '.') return false;
  }
  return true;
}

Task<protocol::ApiVersionsResponse> answer(RequestContext context, protocol::ApiVersionsRequest request) {
  if (context.version() >= 3 &&
      (!is_software_name(request.client_software_name) || !is_software_name(request.client_software_version))) {
    protocol::ApiVersionsResponse response;
    response.error_code = ErrorCode::kInvalidRequest;
    co_return response;
  }
  co_return ranges();
}

}  // namespace

Task<Reply> api_versions(RequestContext context) { return serve<protocol::ApiVersionsRequest, answer>(std::move(context)); }

Reply api_versions_unsupported(const RequestContext& context) {
  auto response = ranges();
  response.error_code = ErrorCode::kUnsupportedVersion;
  RequestContext as_version_0 = context;
  as_version_0.request.api_version = 0;
  return encode(as_version_0, response);
}

}  // namespace sluice::handlers
