// SPDX-License-Identifier: Apache-2.0
#include "envelope/frame.hpp"

#include <fmt/format.h>

#include "base/crc32c.hpp"

namespace sluice::envelope {

void write_header(const FrameHeader& header, uint8_t* at) {
  store_be(at, kMagic);
  at[4] = kVersion;
  at[5] = static_cast<uint8_t>(header.codec);
  store_be(at + 6, uint16_t{0});
  store_be(at + 8, header.stored_bytes);
  store_be(at + 12, header.message_bytes);
  store_be(at + 16, header.stored_crc);
  store_be(at + kHeaderCrcAt, crc32c({at, kHeaderCrcAt}));
}

Result<FrameHeader> read_header(Bytes bytes, uint32_t max_message_bytes) {
  const uint8_t* at = bytes.data();
  if (load_be<uint32_t>(at) != kMagic) return fail(StatusCode::corrupt, "no frame begins here");
  if (load_be<uint32_t>(at + kHeaderCrcAt) != crc32c(bytes.first(kHeaderCrcAt))) {
    return fail(StatusCode::corrupt, "checksum of the frame's header");
  }
  if (at[4] != kVersion) return fail(StatusCode::unsupported, fmt::format("frame of version {}", at[4]));
  if (at[5] > static_cast<uint8_t>(EnvelopeCodec::zstd)) {
    return fail(StatusCode::unsupported, fmt::format("codec {}", at[5]));
  }
  if (const auto flags = load_be<uint16_t>(at + 6); flags != 0) {
    return fail(StatusCode::unsupported, fmt::format("flags {:#06x}", flags));
  }
  FrameHeader header;
  header.codec = static_cast<EnvelopeCodec>(at[5]);
  header.stored_bytes = load_be<uint32_t>(at + 8);
  header.message_bytes = load_be<uint32_t>(at + 12);
  header.stored_crc = load_be<uint32_t>(at + 16);
  if (header.message_bytes > max_message_bytes) {
    return fail(StatusCode::too_large,
                fmt::format("a message of {} bytes, the limit is {}", header.message_bytes, max_message_bytes));
  }
  // A writer stores what does not shrink as it is.
  const bool plain = header.codec == EnvelopeCodec::none;
  if (plain ? header.stored_bytes != header.message_bytes : header.stored_bytes >= header.message_bytes) {
    return fail(StatusCode::corrupt,
                fmt::format("{} bytes stored for a message of {}", header.stored_bytes, header.message_bytes));
  }
  return header;
}

}  // namespace sluice::envelope
