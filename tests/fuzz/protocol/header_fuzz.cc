// SPDX-License-Identifier: Apache-2.0
// Takes hostile frames apart as the listener does: header first, then the body by the header's key and version.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "message_cases.hpp"
#include "protocol/registry.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::protocol;
  const auto frame = std::as_bytes(std::span(data, size));
  const auto incoming = decode_request_header(frame);
  if (!incoming) return 0;
  if (incoming->api == nullptr) std::abort();
  if (incoming->body.data() + incoming->body.size() != frame.data() + frame.size()) std::abort();
  if (!incoming->api->serves(incoming->api_version)) return 0;
  const auto* message = cases::find_message_case(std::string(incoming->api->name) + "Request");
  if (message == nullptr) std::abort();
  (void)message->recode(incoming->body, incoming->api_version);
  return 0;
}
