// SPDX-License-Identifier: Apache-2.0
// Messages into a stream of envelopes, and out of it again as it arrives in small pieces.
#include "sluice/envelope.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

int main() {
  sluice::EnvelopeSettings settings;
  settings.codec = sluice::EnvelopeCodec::zstd;
  const auto writer = sluice::EnvelopeWriter::open(settings);
  if (!writer) return 1;
  sluice::Buffer stream;
  for (const std::string& message : {std::string("short"), std::string(10'000, 'l'), std::string()}) {
    if (!(*writer)->write(sluice::as_bytes(message), stream)) return 1;
  }

  const auto reader = sluice::EnvelopeReader::open();
  if (!reader) return 1;
  int messages = 0;
  for (size_t at = 0; at < stream.size(); at += 10) {
    sluice::Bytes piece = stream.view().subspan(at, std::min<size_t>(10, stream.size() - at));
    for (;;) {
      const auto message = (*reader)->next(piece);
      if (!message) return std::printf("%s\n", message.error().describe().c_str()), 1;
      if (!message->has_value()) break;
      std::printf("message %d: %zu bytes\n", ++messages, (*message)->size());
    }
  }
  std::printf("%zu bytes of stream\n", stream.size());
  return messages == 3 && (*reader)->finish() ? 0 : 1;
}
