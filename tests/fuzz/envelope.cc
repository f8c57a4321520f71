// SPDX-License-Identifier: Apache-2.0
// Feeds a reader of envelopes arbitrary bytes in pieces, as they are and with the checksums of the first frame mended.
// The pieces must not matter, limits must hold, and what is read must be written and read again as the same.
#include "sluice/envelope.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/crc32c.hpp"
#include "envelope/frame.hpp"

namespace sluice {
namespace {

constexpr uint32_t kLimitBytes = 64 * 1024;

void require(bool promise) {
  if (!promise) std::abort();
}

struct Outcome {
  std::vector<std::string> messages;
  StatusCode code = StatusCode::ok;
  uint64_t position = 0;

  bool operator==(const Outcome&) const = default;
};

Outcome read_all(Bytes stream, size_t piece) {
  const auto reader = std::move(EnvelopeReader::open(kLimitBytes).value());
  Outcome outcome;
  while (!stream.empty() && outcome.code == StatusCode::ok) {
    Bytes input = stream.first(std::min(piece, stream.size()));
    stream = stream.subspan(input.size());
    for (;;) {
      const auto message = reader->next(input);
      if (!message) {
        outcome.code = message.error().code();
        break;
      }
      if (!message->has_value()) break;
      require((*message)->size() <= kLimitBytes);
      outcome.messages.emplace_back(as_text(**message));
    }
  }
  outcome.position = reader->position();
  require(reader->counters().messages == outcome.messages.size());
  return outcome;
}

void mend(Buffer& stream) {
  if (stream.size() < kEnvelopeHeaderBytes) return;
  store_be(stream.data(), envelope::kMagic);
  stream.data()[4] = envelope::kVersion;
  stream.data()[5] %= 5;
  store_be(stream.data() + 6, uint16_t{0});
  store_be(stream.data() + 8, static_cast<uint32_t>(stream.size() - kEnvelopeHeaderBytes));
  store_be(stream.data() + 12, load_be<uint32_t>(stream.data() + 12) % (2 * kLimitBytes));
  store_be(stream.data() + 16, crc32c(stream.view().subspan(kEnvelopeHeaderBytes)));
  store_be(stream.data() + envelope::kHeaderCrcAt, crc32c(stream.view().first(envelope::kHeaderCrcAt)));
}

void check(Bytes stream, size_t piece, EnvelopeCodec codec) {
  const Outcome whole = read_all(stream, stream.size() + 1);
  require(read_all(stream, piece) == whole);
  EnvelopeSettings settings;
  settings.codec = codec;
  settings.max_message_bytes = kLimitBytes;
  const auto writer = std::move(EnvelopeWriter::open(settings).value());
  Buffer written;
  for (const std::string& message : whole.messages) require(writer->write(as_bytes(message), written).ok());
  const Outcome again = read_all(written, piece);
  require(again.code == StatusCode::ok && again.messages == whole.messages && again.position == written.size());
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const sluice::Bytes stream(data + 2, size - 2);
  const size_t piece = 1 + data[0];
  const auto codec = static_cast<sluice::EnvelopeCodec>(data[1] % 5);
  sluice::check(stream, piece, codec);
  sluice::Buffer mended = sluice::Buffer::copy_of(stream);
  sluice::mend(mended);
  sluice::check(mended, piece, codec);
  return 0;
}
