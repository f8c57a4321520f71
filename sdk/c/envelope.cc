// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/envelope.h"

#include <fmt/format.h>

#include <mutex>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "sluice/envelope.hpp"

namespace sluice::c {
namespace {

static_assert(SLUICE_ENVELOPE_HEADER_BYTES == kEnvelopeHeaderBytes);

constexpr size_t kCountsBytes = sizeof(sluice_envelope_counts);  // of the first version

// One thread at a time uses what is inside; mutex guards it.
struct WriterObject final : Object {
  static constexpr Kind kKind = Kind::envelope_writer;
  explicit WriterObject(std::unique_ptr<EnvelopeWriter> made) : Object(kKind), writer(std::move(made)) {}
  EnvelopeCounters counters() {
    const std::scoped_lock lock(mutex);
    return writer->counters();
  }
  std::mutex mutex;
  const std::unique_ptr<EnvelopeWriter> writer;
  Buffer frame;
};

struct ReaderObject final : Object {
  static constexpr Kind kKind = Kind::envelope_reader;
  explicit ReaderObject(std::unique_ptr<EnvelopeReader> made) : Object(kKind), reader(std::move(made)) {}
  EnvelopeCounters counters() {
    const std::scoped_lock lock(mutex);
    return reader->counters();
  }
  std::mutex mutex;
  const std::unique_ptr<EnvelopeReader> reader;
  std::optional<Buffer> kept;  // a message for which there was no room
};

Result<std::unique_ptr<WriterObject>> open_writer(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  EnvelopeSettings settings;
  settings.codec = static_cast<EnvelopeCodec>(config.choice("codec", {"none", "gzip", "snappy", "lz4", "zstd"}, 0));
  if (config.has("level")) settings.level = static_cast<int>(config.integer("level", 0, INT_MIN, INT_MAX));
  settings.compress_from_bytes = config.natural("compress_from_bytes", settings.compress_from_bytes);
  settings.max_message_bytes = config.natural("max_message_bytes", settings.max_message_bytes);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto made = EnvelopeWriter::open(settings);
  if (!made) return fail(at_path(made.error(), "", "envelope."));
  return std::make_unique<WriterObject>(std::move(*made));
}

Result<std::unique_ptr<ReaderObject>> open_reader(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  const uint32_t max_message_bytes = config.natural("max_message_bytes", kDefaultMaxMessageBytes);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  auto made = EnvelopeReader::open(max_message_bytes);
  if (!made) return fail(at_path(made.error(), "", "envelope."));
  return std::make_unique<ReaderObject>(std::move(*made));
}

Status write_bytes(Bytes bytes, uint8_t* buffer, uint64_t capacity, uint64_t* needed) {
  return write_text(as_text(bytes), reinterpret_cast<char*>(buffer), capacity, needed);
}

Verdict count(const EnvelopeCounters& counters, sluice_envelope_counts& counts) {
  counts.messages = counters.messages;
  counts.message_bytes = counters.message_bytes;
  counts.stored_bytes = counters.stored_bytes;
  counts.refused = counters.refused;
  return {};
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_envelope_encode(sluice_span message, uint32_t codec, uint32_t max_message_bytes, uint8_t* buffer,
                                     uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto bytes = bytes_of(message, "message");
    if (!bytes) return bytes.error();
    if (codec > static_cast<uint32_t>(EnvelopeCodec::zstd)) {
      return Status(StatusCode::invalid,
                    fmt::format("codec {} is none of 0 to {}", codec, static_cast<int>(EnvelopeCodec::zstd)));
    }
    EnvelopeSettings settings;
    settings.codec = static_cast<EnvelopeCodec>(codec);
    settings.max_message_bytes = max_message_bytes;
    const auto writer = EnvelopeWriter::open(settings);
    if (!writer) return writer.error();
    Buffer frame;
    if (Status status = (*writer)->write(bytes->value_or(Bytes()), frame); !status.ok()) return status;
    return write_bytes(frame, buffer, capacity, needed);
  });
}

sluice_status sluice_envelope_decode(sluice_span input, uint32_t max_message_bytes, uint8_t* buffer, uint64_t capacity,
                                     uint64_t* needed, uint64_t* taken, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto bytes = bytes_of(input, "input");
    if (!bytes) return bytes.error();
    const auto reader = EnvelopeReader::open(max_message_bytes);
    if (!reader) return reader.error();
    Bytes left = bytes->value_or(Bytes());
    const auto message = (*reader)->next(left);
    if (!message) return message.error();
    if (!*message) return Status(StatusCode::out_of_range, fmt::format("{} bytes are not a whole frame", input.size));
    if (Status status = write_bytes(**message, buffer, capacity, needed); !status.ok()) return status;
    if (taken != nullptr) *taken = (*reader)->position();
    return {};
  });
}

sluice_status sluice_envelope_writer_open(const char* config, uint64_t config_size, sluice_handle* writer,
                                          sluice_failure* failure) {
  return open_by({config, config_size, "config"}, writer, "writer", failure, &open_writer);
}

sluice_status sluice_envelope_write(sluice_handle writer, sluice_span message, uint8_t* buffer, uint64_t capacity,
                                    uint64_t* needed, sluice_failure* failure) {
  return on<WriterObject>(writer, failure, [&](WriterObject& object) -> Verdict {
    const auto bytes = bytes_of(message, "message");
    if (!bytes) return bytes.error();
    if (capacity < kEnvelopeHeaderBytes || capacity - kEnvelopeHeaderBytes < message.size) {
      if (needed != nullptr) *needed = message.size + kEnvelopeHeaderBytes;
      return Status(StatusCode::too_large,
                    fmt::format("a message of {} bytes and its header, a buffer of {}", message.size, capacity));
    }
    const std::scoped_lock lock(object.mutex);
    object.frame.clear();
    if (Status status = object.writer->write(bytes->value_or(Bytes()), object.frame); !status.ok()) return status;
    return write_bytes(object.frame, buffer, capacity, needed);
  });
}

sluice_status sluice_envelope_reader_open(const char* config, uint64_t config_size, sluice_handle* reader,
                                          sluice_failure* failure) {
  return open_by({config, config_size, "config"}, reader, "reader", failure, &open_reader);
}

sluice_status sluice_envelope_read(sluice_handle reader, sluice_span input, uint64_t* taken, uint8_t* buffer,
                                   uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  if (taken != nullptr) *taken = 0;
  return on<ReaderObject>(reader, failure, [&](ReaderObject& object) -> Verdict {
    if (Status status = check_out(taken, "taken"); !status.ok()) return status;
    const auto bytes = bytes_of(input, "input");
    if (!bytes) return bytes.error();
    const std::scoped_lock lock(object.mutex);
    if (!object.kept) {
      Bytes left = bytes->value_or(Bytes());
      const auto message = object.reader->next(left);
      *taken = input.size - left.size();
      if (!message) return message.error();
      if (!*message) return Status(StatusCode::out_of_range, "the input is used up");
      if (capacity >= (*message)->size()) return write_bytes(**message, buffer, capacity, needed);
      object.kept = Buffer::copy_of(**message);
    }
    const Status written = write_bytes(*object.kept, buffer, capacity, needed);
    if (written.ok()) object.kept.reset();
    return written;
  });
}

sluice_status sluice_envelope_finish(sluice_handle reader, uint64_t* position, sluice_failure* failure) {
  return on<ReaderObject>(reader, failure, [&](ReaderObject& object) -> Verdict {
    const std::scoped_lock lock(object.mutex);
    if (position != nullptr) *position = object.reader->position();
    return object.reader->finish();
  });
}

sluice_status sluice_envelope_stats(sluice_handle either, sluice_envelope_counts* counts, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_struct(counts, kCountsBytes, "counts"); !status.ok()) return status;
    if (const auto writer = acquire<WriterObject>(either)) return count((*writer)->counters(), *counts);
    const auto reader = acquire<ReaderObject>(either);
    if (!reader) return reader.error();
    return count((*reader)->counters(), *counts);
  });
}

}  // extern "C"
