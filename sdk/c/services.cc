// SPDX-License-Identifier: Apache-2.0
#include "sluice/c/services.h"

#include <fmt/format.h>

#include "c/boundary.hpp"
#include "c/config.hpp"
#include "c/handle_table.hpp"
#include "sluice/checkpoint.hpp"
#include "sluice/envelope.hpp"

namespace sluice::c {
namespace {

struct Checkpoints final : Object {
  static constexpr Kind kKind = Kind::checkpoints;
  explicit Checkpoints(std::unique_ptr<CheckpointStore> made) : Object(kKind), store(std::move(made)) {}
  const std::unique_ptr<CheckpointStore> store;
};

Result<std::unique_ptr<CheckpointStore>> open_store(std::string_view text) {
  ConfigReader config = ConfigReader::parse(text);
  CheckpointSettings settings;
  settings.directory = config.required_text("directory");
  settings.keep = static_cast<uint32_t>(config.integer("keep", settings.keep, 1, kMaxKeptCheckpoints));
  settings.lock_timeout_ms = config.integer("lock_timeout_ms", settings.lock_timeout_ms, 1, 600'000);
  config.finish();
  if (Status verdict = config.verdict(); !verdict.ok()) return fail(std::move(verdict));
  return CheckpointStore::open(std::move(settings));
}

Status write_bytes(Bytes bytes, uint8_t* buffer, uint64_t capacity, uint64_t* needed) {
  return write_text(as_text(bytes), reinterpret_cast<char*>(buffer), capacity, needed);
}

}  // namespace
}  // namespace sluice::c

using namespace sluice;     // NOLINT: the functions below are of C
using namespace sluice::c;  // NOLINT

extern "C" {

sluice_status sluice_checkpoints_open(const char* config, uint64_t config_size, sluice_handle* store,
                                      sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(store, "store"); !status.ok()) return status;
    const auto text = text_of(config, config_size, "config");
    if (!text) return text.error();
    auto made = open_store(*text);
    if (!made) return made.error();
    return give(std::make_unique<Checkpoints>(std::move(*made)), store);
  });
}

sluice_status sluice_checkpoints_commit(sluice_handle store, const char* group, uint64_t group_size, uint64_t after,
                                        const char* cursor, uint64_t cursor_size, uint64_t* id,
                                        sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<Checkpoints>(store);
    if (!held) return held.error();
    const auto name = text_of(group, group_size, "group");
    if (!name) return name.error();
    const auto place = text_of(cursor, cursor_size, "cursor");
    if (!place) return place.error();
    const auto committed = (*held)->store->commit(*name, after, *place);
    if (!committed) return committed.error();
    if (id != nullptr) *id = *committed;
    return {};
  });
}

sluice_status sluice_checkpoints_newest(sluice_handle store, const char* group, uint64_t group_size, uint64_t* id,
                                        char* cursor, uint64_t capacity, uint64_t* needed, sluice_failure* failure) {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<Checkpoints>(store);
    if (!held) return held.error();
    const auto name = text_of(group, group_size, "group");
    if (!name) return name.error();
    const auto newest = (*held)->store->newest(*name);
    if (!newest) return newest.error();
    if (id != nullptr) *id = newest->id;
    return write_text(newest->cursor, cursor, capacity, needed);
  });
}

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

}  // extern "C"
