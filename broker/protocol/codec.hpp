// SPDX-License-Identifier: Apache-2.0
// Decoding and encoding of whole messages. A message type M is any generated structure at the top of a schema
// (FetchRequest, FetchResponse, ConsumerProtocolSubscription, ...). All functions are pure; any thread.
//
// A field that a version does not have is left at its default when decoded, and left out when encoded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "protocol/printer.hpp"
#include "protocol/reader.hpp"
#include "protocol/registry.hpp"
#include "protocol/writer.hpp"

namespace sluice::protocol {

/// StatusCode::unsupported unless M has `version`.
template <class M>
Status check_version(int16_t version) {
  if (version >= M::kMinVersion && version <= M::kMaxVersion) return {};
  return unsupported_version(M::kName, version, M::kMinVersion, M::kMaxVersion);
}

/// Decodes a message that fills `body` exactly. Requests and data hold views into `body`; responses own what they hold,
/// records excepted. Errors: StatusCode::invalid with field path and byte offset; StatusCode::unsupported for a version
/// that M does not have.
template <class M>
Result<M> decode(std::span<const std::byte> body, int16_t version) {
  if (Status status = check_version<M>(version); !status.ok()) return fail(std::move(status));
  Reader reader(body);
  Result<M> message(tl::in_place);
  if (!message->read(reader, version) || !reader.at_end()) return fail(reader.error().to_status(M::kName, version));
  return message;
}

/// As decode(), but bytes after the message are passed over, as Kafka's brokers do: librdkafka 2.16 sends one in
/// Metadata v13. For requests: takes kMaxRequestDecodeBytes of memory at most.
template <class M>
Result<M> decode_front(std::span<const std::byte> body, int16_t version) {
  if (Status status = check_version<M>(version); !status.ok()) return fail(std::move(status));
  Reader reader(body, kMaxRequestDecodeBytes);
  Result<M> message(tl::in_place);
  if (!message->read(reader, version)) return fail(reader.error().to_status(M::kName, version));
  return message;
}

/// Encodes a message without header or length. Errors: StatusCode::unsupported for a version that M does not have,
/// StatusCode::too_large for what the wire cannot carry.
template <class M>
Result<Output> encode(const M& message, int16_t version) {
  if (Status status = check_version<M>(version); !status.ok()) return fail(std::move(status));
  Writer writer;
  message.write(writer, version);
  return std::move(writer).finish(false);
}

/// A whole response frame: length, header, body. Errors as encode().
template <class M>
Result<Output> encode_response(const M& response, int16_t version, int32_t correlation_id) {
  if (Status status = check_version<M>(version); !status.ok()) return fail(std::move(status));
  Writer writer;
  write_response_header(writer, M::kKey, version, correlation_id);
  response.write(writer, version);
  return std::move(writer).finish(true);
}

/// A whole request frame: length, header, body. Errors as encode().
template <class M>
Result<Output> encode_request(const M& request, int16_t version, int32_t correlation_id,
                              std::optional<std::string_view> client_id) {
  if (Status status = check_version<M>(version); !status.ok()) return fail(std::move(status));
  Writer writer;
  write_request_header(writer, M::kKey, version, correlation_id, client_id);
  request.write(writer, version);
  return std::move(writer).finish(true);
}

/// The message on one line, bytes and records by size only, at most kMaxDescriptionBytes.
template <class M>
std::string describe(const M& message) {
  Printer printer;
  message.print(printer);
  return std::string(M::kName) + std::move(printer).take();
}

}  // namespace sluice::protocol
