// SPDX-License-Identifier: Apache-2.0
#include "jetstream/reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice::jetstream {
namespace {

using nlohmann::json;

struct Known {
  int32_t err_code;
  StatusCode code;
};

// In order of err_code.
constexpr Known kKnown[] = {
    {10002, StatusCode::no_space},     // resource limits exceeded for account
    {10005, StatusCode::unavailable},  // no suitable peers for placement: not enough of them are up
    {10008, StatusCode::unavailable},  // JetStream system temporarily unavailable
    {10009, StatusCode::unavailable},  // JetStream cluster can not handle request
    {10023, StatusCode::no_space},     // insufficient resources
    {10027, StatusCode::no_space},     // maximum number of streams reached
    {10028, StatusCode::no_space},     // insufficient memory resources available
    {10035, StatusCode::denied},       // account not found
    {10037, StatusCode::not_found},    // no message found
    {10039, StatusCode::unavailable},  // JetStream not enabled for account
    {10047, StatusCode::no_space},     // insufficient storage resources available
    {10052, StatusCode::invalid},      // invalid stream configuration
    {10053, StatusCode::invalid},      // limits
    {10054, StatusCode::too_large},    // message size exceeds maximum allowed
    {10058, StatusCode::exists},       // stream name already in use with a different configuration
    {10059, StatusCode::not_found},    // stream not found
    {10065, StatusCode::invalid},      // subjects overlap with an existing stream
    {10071, StatusCode::conflict},     // wrong last sequence
    {10074, StatusCode::invalid},      // replicas > 1 not supported in non-clustered mode
    {10076, StatusCode::unavailable},  // JetStream not enabled
    {10097, StatusCode::too_large},    // header size exceeds maximum
    {10109, StatusCode::denied},       // invalid operation on sealed stream
    {10113, StatusCode::invalid},      // account requires a stream config to have max bytes set
    {10118, StatusCode::unavailable},  // stream is offline
    {10122, StatusCode::invalid},      // stream max bytes exceeds account limit max stream bytes
    {10164, StatusCode::conflict},     // wrong last sequence, without saying which: another is on its way (2.11)
};

constexpr int32_t kStoreFailed = 10077;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

StatusCode code_of(const ApiError& error) {
  if (error.err_code == kStoreFailed) {
    const bool full = contains(error.description, "maximum bytes exceeded") ||
                      contains(error.description, "maximum messages exceeded") ||
                      contains(error.description, "no space left");
    return full ? StatusCode::no_space : StatusCode::unknown;
  }
  const auto* known = std::lower_bound(std::begin(kKnown), std::end(kKnown), error.err_code,
                                       [](const Known& entry, int32_t wanted) { return entry.err_code < wanted; });
  if (known != std::end(kKnown) && known->err_code == error.err_code) return known->code;
  switch (error.code) {
    case 400:
      return StatusCode::invalid;
    case 401:
    case 403:
      return StatusCode::denied;
    case 404:
      return StatusCode::not_found;
    case 503:
      return StatusCode::unavailable;
    default:
      return StatusCode::unknown;
  }
}

std::optional<ApiError> error_in(const json& reply) {
  const auto found = reply.find("error");
  if (found == reply.end() || !found->is_object()) return std::nullopt;
  ApiError error;
  error.code = static_cast<int32_t>(number_at(*found, "code"));
  error.err_code = static_cast<int32_t>(number_at(*found, "err_code"));
  error.description = text_at(*found, "description");
  return error;
}

const json* find(const json& object, std::string_view path) {
  const json* at = &object;
  while (!path.empty()) {
    const size_t size = std::min(path.find('.'), path.size());
    if (!at->is_object()) return nullptr;
    const auto member = at->find(std::string(path.substr(0, size)));
    if (member == at->end()) return nullptr;
    at = &*member;
    path.remove_prefix(std::min(size + 1, path.size()));
  }
  return at;
}

}  // namespace

Status classify(const ApiError& error) {
  const int32_t number = error.err_code != 0 ? error.err_code : error.code;
  return Status(code_of(error), fmt::format("{} ({})", error.description, number), number);
}

Result<uint64_t> parse_publish_ack(Bytes payload) {
  const json reply = json::parse(payload.begin(), payload.end(), nullptr, false);
  if (!reply.is_object()) return fail(StatusCode::unknown, "the answer to a publish is no JSON object");
  if (const auto error = error_in(reply)) return fail(classify(*error));
  const auto sequence = reply.find("seq");
  if (sequence == reply.end() || !sequence->is_number_unsigned() || sequence->get<uint64_t>() == 0) {
    return fail(StatusCode::unknown, "the answer to a publish has no sequence");
  }
  return sequence->get<uint64_t>();
}

Result<json> parse_api_reply(Bytes payload) {
  json reply = json::parse(payload.begin(), payload.end(), nullptr, false);
  if (!reply.is_object()) return fail(StatusCode::internal, "the server's answer is no JSON object");
  if (const auto error = error_in(reply)) return fail(classify(*error));
  return reply;
}

int64_t number_at(const json& object, std::string_view path, int64_t absent) {
  const json* found = find(object, path);
  return found != nullptr && found->is_number_integer() ? found->get<int64_t>() : absent;
}

std::string text_at(const json& object, std::string_view path, std::string_view absent) {
  const json* found = find(object, path);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string(absent);
}

bool flag_at(const json& object, std::string_view path, bool absent) {
  const json* found = find(object, path);
  return found != nullptr && found->is_boolean() ? found->get<bool>() : absent;
}

std::optional<std::string> denied_subject(std::string_view error) {
  constexpr std::string_view kPublish = "Publish to \"";
  constexpr std::string_view kPermissions = "Permissions Violation";
  if (!contains(error, kPermissions)) return std::nullopt;
  const size_t at = error.find(kPublish);
  if (at == std::string_view::npos) return std::nullopt;
  const size_t from = at + kPublish.size();
  const size_t to = error.find('"', from);
  if (to == std::string_view::npos) return std::nullopt;
  return std::string(error.substr(from, to - from));
}

}  // namespace sluice::jetstream
