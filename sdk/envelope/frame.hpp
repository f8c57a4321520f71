// SPDX-License-Identifier: Apache-2.0
// The header of a frame. Pure functions, any thread.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "sluice/envelope.hpp"

namespace sluice::envelope {

inline constexpr uint32_t kMagic = 0x534c454e;  // "SLEN"
inline constexpr uint8_t kVersion = 1;
inline constexpr size_t kHeaderCrcAt = 20;

struct FrameHeader {
  EnvelopeCodec codec = EnvelopeCodec::none;
  uint32_t stored_bytes = 0;
  uint32_t message_bytes = 0;
  uint32_t stored_crc = 0;
};

/// `at`: kEnvelopeHeaderBytes of room.
void write_header(const FrameHeader& header, uint8_t* at);

/// `bytes`: kEnvelopeHeaderBytes. CORRUPT, UNSUPPORTED, TOO_LARGE as EnvelopeReader::next(); the texts have no
/// position. What it returns claims no more than `max_message_bytes`, stored or expanded.
Result<FrameHeader> read_header(Bytes bytes, uint32_t max_message_bytes);

}  // namespace sluice::envelope
