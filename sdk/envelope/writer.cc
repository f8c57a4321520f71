// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <exception>

#include "base/crc32c.hpp"
#include "envelope/frame.hpp"
#include "records/codec.hpp"
#include "sluice/envelope.hpp"

namespace sluice {

using namespace envelope;

namespace {

Status check_settings(const EnvelopeSettings& settings) {
  if (settings.codec > EnvelopeCodec::zstd) {
    return Status(StatusCode::invalid, fmt::format("envelope.codec: no codec {}", static_cast<int>(settings.codec)));
  }
  if (settings.max_message_bytes < 1 || settings.max_message_bytes > kLargestMaxMessageBytes) {
    return Status(StatusCode::invalid, fmt::format("envelope.max_message_bytes: {} is not from 1 to {}",
                                                   settings.max_message_bytes, kLargestMaxMessageBytes));
  }
  return {};
}

}  // namespace

struct EnvelopeWriter::Impl {
  EnvelopeSettings settings;
  EnvelopeCounters counters;
  Buffer serialised;

  // The codec that `message` was stored with behind `header_at`.
  Result<EnvelopeCodec> store(Bytes message, Buffer& out) const {
    const size_t before = out.size();
    if (settings.codec != EnvelopeCodec::none && message.size() >= settings.compress_from_bytes) {
      const Status status = records::compress(static_cast<records::Codec>(settings.codec),
                                              settings.level.value_or(records::kDefaultLevel), message, out);
      if (!status) return fail(status);
      if (out.size() - before < message.size()) return settings.codec;
      out.resize(before);
    }
    out.append(message);
    return EnvelopeCodec::none;
  }

  Status write(Bytes message, Buffer& out) {
    if (message.size() > settings.max_message_bytes) {
      counters.refused += 1;
      return Status(StatusCode::too_large,
                    fmt::format("a message of {} bytes, the limit is {}", message.size(), settings.max_message_bytes));
    }
    const size_t before = out.size();
    const size_t stored_at = before + kEnvelopeHeaderBytes;
    out.resize(stored_at);
    const Result<EnvelopeCodec> codec = store(message, out);
    if (!codec) {
      out.resize(before);
      counters.refused += 1;
      return codec.error();
    }
    FrameHeader header;
    header.codec = *codec;
    header.stored_bytes = static_cast<uint32_t>(out.size() - stored_at);
    header.message_bytes = static_cast<uint32_t>(message.size());
    header.stored_crc = crc32c(out.view().subspan(stored_at));
    write_header(header, out.data() + before);
    counters.messages += 1;
    counters.message_bytes += message.size();
    counters.stored_bytes += out.size() - before;
    return {};
  }

  Status serialise(Serialiser& serialiser) {
    serialised.resize(0);
    try {
      return serialiser(serialised);
    } catch (const std::exception& error) {
      return Status(StatusCode::internal, fmt::format("the serialiser threw: {}", error.what()));
    } catch (...) {
      return Status(StatusCode::internal, "the serialiser threw");
    }
  }
};

EnvelopeWriter::EnvelopeWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EnvelopeWriter::~EnvelopeWriter() = default;

Result<std::unique_ptr<EnvelopeWriter>> EnvelopeWriter::open(const EnvelopeSettings& settings) {
  if (Status status = check_settings(settings); !status) return fail(std::move(status));
  auto impl = std::make_unique<Impl>();
  impl->settings = settings;
  return std::unique_ptr<EnvelopeWriter>(new EnvelopeWriter(std::move(impl)));
}

Status EnvelopeWriter::write(Bytes message, Buffer& out) {
  return impl_->write(message, out);
}

Status EnvelopeWriter::write(Serialiser& serialise, Buffer& out) {
  if (Status status = impl_->serialise(serialise); !status) {
    impl_->counters.serialiser_failures += 1;
    return status;
  }
  return impl_->write(impl_->serialised, out);
}

EnvelopeCounters EnvelopeWriter::counters() const {
  return impl_->counters;
}

}  // namespace sluice
