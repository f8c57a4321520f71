// SPDX-License-Identifier: Apache-2.0
// A frame that lies whole in the input is decoded there; only one that is cut by the input's end is gathered, in a
// buffer that grows with what has arrived and never with what a header claims.
#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.hpp"
#include "envelope/frame.hpp"
#include "records/codec.hpp"
#include "sluice/envelope.hpp"

namespace sluice {

using namespace envelope;

struct EnvelopeReader::Impl {
  uint32_t max_message_bytes = 0;
  EnvelopeCounters counters;
  uint64_t position = 0;  // where the frame that is being read begins
  Buffer gathered;        // the front of that frame, while it is cut
  bool lent = false;      // the last message lies in `gathered`, which is over
  Buffer expanded;        // the last message, if it was compressed
  Status broken;

  Status at_position(const Status& why) const {
    Status status(why.code(), fmt::format("byte {}: {}", position, why.text()), why.native_code());
    return status;
  }

  // `stored` as the header tells it; the message is a part of it or of `expanded`.
  Result<Bytes> open_frame(const FrameHeader& header, Bytes stored) {
    if (crc32c(stored) != header.stored_crc) return fail(StatusCode::corrupt, "checksum of the message");
    if (header.codec == EnvelopeCodec::none) return stored;
    Result<Buffer> message =
        records::decompress(static_cast<records::Codec>(header.codec), stored, header.message_bytes);
    if (!message) return fail(message.error());
    if (message->size() != header.message_bytes) {
      return fail(StatusCode::corrupt,
                  fmt::format("a message of {} bytes where {} were told", message->size(), header.message_bytes));
    }
    expanded = std::move(*message);
    return expanded.view();
  }

  // Moves bytes from `input` until `gathered` has `size`; false: there are too few.
  bool gather(size_t size, Bytes& input) {
    const size_t taken = std::min(size - std::min(size, gathered.size()), input.size());
    gathered.append(input.first(taken));
    input = input.subspan(taken);
    return gathered.size() >= size;
  }

  Result<std::optional<Bytes>> finish_frame(const FrameHeader& header, Bytes stored) {
    const Result<Bytes> message = open_frame(header, stored);
    if (!message) return fail(message.error());
    position += kEnvelopeHeaderBytes + stored.size();
    counters.messages += 1;
    counters.message_bytes += message->size();
    counters.stored_bytes += kEnvelopeHeaderBytes + stored.size();
    return std::optional<Bytes>(*message);
  }

  Result<std::optional<Bytes>> next(Bytes& input) {
    expanded = Buffer();  // its memory is used again for the next one, while it is in the caches
    if (lent) {
      gathered.resize(0);
      lent = false;
    }
    if (gathered.empty() && input.size() >= kEnvelopeHeaderBytes) {
      const Result<FrameHeader> header = read_header(input.first(kEnvelopeHeaderBytes), max_message_bytes);
      if (!header) return fail(header.error());
      const size_t size = kEnvelopeHeaderBytes + header->stored_bytes;
      if (input.size() >= size) {
        const Bytes stored = input.subspan(kEnvelopeHeaderBytes, header->stored_bytes);
        input = input.subspan(size);
        return finish_frame(*header, stored);
      }
    }
    if (!gather(kEnvelopeHeaderBytes, input)) return std::optional<Bytes>();
    const Result<FrameHeader> header = read_header(gathered.view().first(kEnvelopeHeaderBytes), max_message_bytes);
    if (!header) return fail(header.error());
    if (!gather(kEnvelopeHeaderBytes + header->stored_bytes, input)) return std::optional<Bytes>();
    lent = true;
    return finish_frame(*header, gathered.view().subspan(kEnvelopeHeaderBytes));
  }
};

EnvelopeReader::EnvelopeReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EnvelopeReader::~EnvelopeReader() = default;

Result<std::unique_ptr<EnvelopeReader>> EnvelopeReader::open(uint32_t max_message_bytes) {
  if (max_message_bytes < 1 || max_message_bytes > kLargestMaxMessageBytes) {
    return fail(StatusCode::invalid, fmt::format("envelope.max_message_bytes: {} is not from 1 to {}",
                                                 max_message_bytes, kLargestMaxMessageBytes));
  }
  auto impl = std::make_unique<Impl>();
  impl->max_message_bytes = max_message_bytes;
  return std::unique_ptr<EnvelopeReader>(new EnvelopeReader(std::move(impl)));
}

Result<std::optional<Bytes>> EnvelopeReader::next(Bytes& input) {
  if (!impl_->broken) return fail(impl_->broken);
  Result<std::optional<Bytes>> message = impl_->next(input);
  if (!message) {
    impl_->counters.refused += 1;
    impl_->broken = impl_->at_position(message.error());
    return fail(impl_->broken);
  }
  return message;
}

Status EnvelopeReader::finish() const {
  if (!impl_->broken) return impl_->broken;
  if (impl_->gathered.empty() || impl_->lent) return {};
  return Status(StatusCode::corrupt,
                fmt::format("byte {}: the stream ends {} bytes into a frame", impl_->position, impl_->gathered.size()));
}

uint64_t EnvelopeReader::position() const {
  return impl_->position;
}
EnvelopeCounters EnvelopeReader::counters() const {
  return impl_->counters;
}

}  // namespace sluice
