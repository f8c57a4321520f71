// SPDX-License-Identifier: Apache-2.0
// Messages in frames, for files, pipes and sockets: each with magic, version, codec, lengths and CRC-32C, compressed
// where that makes it smaller. Lengths are checked against the configured limit before any memory is taken for them,
// and what a compressed frame expands to is held to the same limit.
//
// A frame, big-endian: "SLEN", version (1 byte, 1), codec (1), flags (2, none defined: 0), bytes stored (4), bytes of
// the message (4), CRC-32C of what is stored (4), CRC-32C of the 20 bytes before (4), what is stored.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sluice/bytes.hpp"
#include "sluice/export.hpp"
#include "sluice/status.hpp"
#include "sluice/unique_function.hpp"

namespace sluice {

inline constexpr size_t kEnvelopeHeaderBytes = 24;
inline constexpr uint32_t kDefaultMaxMessageBytes = 4 << 20;
inline constexpr uint32_t kLargestMaxMessageBytes = 1 << 30;

/// Numbered as in Kafka's record batches, with the same framings inside.
enum class EnvelopeCodec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

struct EnvelopeSettings {
  EnvelopeCodec codec = EnvelopeCodec::none;
  std::optional<int> level{};                            // nullopt: the codec's own default; out of range: the nearest
  uint32_t compress_from_bytes = 128;                    // smaller messages are stored as they are
  uint32_t max_message_bytes = kDefaultMaxMessageBytes;  // 1 to kLargestMaxMessageBytes
};

struct EnvelopeCounters {
  uint64_t messages = 0;       // written or read
  uint64_t message_bytes = 0;  // of them, before compression
  uint64_t stored_bytes = 0;   // of them, with headers
  uint64_t serialiser_failures = 0;
  uint64_t refused = 0;  // too large, damaged, unknown
};

/// One thread at a time; several writers share nothing.
class EnvelopeWriter {
 public:
  /// Appends the bytes of one message to its argument.
  using Serialiser = UniqueFunction<Status(Buffer&)>;

  /// INVALID names the field.
  SLUICE_API static Result<std::unique_ptr<EnvelopeWriter>> open(const EnvelopeSettings& settings);
  SLUICE_API ~EnvelopeWriter();

  /// Appends the frame of `message` to `out`. On any error `out` is as before: TOO_LARGE, INTERNAL (the codec failed).
  SLUICE_API Status write(Bytes message, Buffer& out);
  /// The same for what `serialise` makes. When it fails or throws, its status is returned (INTERNAL for an exception),
  /// the failure is counted, and nothing is written: there is no empty message in place of a failed one.
  SLUICE_API Status write(Serialiser& serialise, Buffer& out);
  SLUICE_API EnvelopeCounters counters() const;

 private:
  struct Impl;
  explicit EnvelopeWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Takes messages off a stream that arrives in pieces of any size. One thread at a time. Holds at most twice the
/// largest frame that arrived, and one message.
class EnvelopeReader {
 public:
  /// `max_message_bytes`: 1 to kLargestMaxMessageBytes, else INVALID.
  SLUICE_API static Result<std::unique_ptr<EnvelopeReader>> open(uint32_t max_message_bytes = kDefaultMaxMessageBytes);
  SLUICE_API ~EnvelopeReader();

  /// The next message, taken off the front of `input`; nullopt: `input` is used up, come again with what follows it in
  /// the stream. The view is good until the next call, and no longer than the bytes of `input`.
  /// Errors, with the position in the stream: CORRUPT, UNSUPPORTED (version, codec or flags), TOO_LARGE, INTERNAL (no
  /// memory). After one nothing more is read, as the place of the next frame is not known for sure: each call says it
  /// again.
  SLUICE_API Result<std::optional<Bytes>> next(Bytes& input);
  /// At the end of the stream: CORRUPT when it ended within a frame, or the error of next().
  SLUICE_API Status finish() const;
  /// Where the next frame begins, in bytes from the start of the stream.
  SLUICE_API uint64_t position() const;
  SLUICE_API EnvelopeCounters counters() const;

 private:
  struct Impl;
  explicit EnvelopeReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
