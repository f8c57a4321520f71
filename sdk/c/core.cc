// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "c/boundary.hpp"
#include "c/handle_table.hpp"

namespace sluice::c {

static_assert(SLUICE_INVALID == static_cast<int>(StatusCode::invalid) &&
              SLUICE_TOO_LARGE == static_cast<int>(StatusCode::too_large));
static_assert(SLUICE_CONFLICT == static_cast<int>(StatusCode::conflict) &&
              SLUICE_FENCED == static_cast<int>(StatusCode::fenced));
static_assert(SLUICE_UNAVAILABLE == static_cast<int>(StatusCode::unavailable) &&
              SLUICE_BUSY == static_cast<int>(StatusCode::busy));
static_assert(SLUICE_UNKNOWN == static_cast<int>(StatusCode::unknown) &&
              SLUICE_CORRUPT == static_cast<int>(StatusCode::corrupt));

sluice_status tell(sluice_failure* failure, const Verdict& outcome) {
  const auto code = static_cast<sluice_status>(outcome.status.code());
  constexpr size_t kFirstVersionBytes = sizeof(sluice_failure);
  if (failure == nullptr || failure->size < kFirstVersionBytes || outcome.status.ok()) return code;
  failure->code = code;
  failure->native_code = outcome.status.native_code();
  failure->retry_after_ms = outcome.status.retry_after_ms();
  failure->index = outcome.index;
  const std::string& text = outcome.status.text();
  size_t size = std::min(text.size(), sizeof failure->text - 1);
  // Not in the middle of a character.
  while (size < text.size() && size > 0 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  std::memcpy(failure->text, text.data(), size);
  failure->text[size] = 0;
  return code;
}

Result<Status> status_of(const sluice_failure* why, std::string_view name) {
  constexpr size_t kFirstVersionBytes = sizeof(sluice_failure);
  if (Status status = check_struct(why, kFirstVersionBytes, name); !status.ok()) return fail(std::move(status));
  if (why->code == SLUICE_OK) return fail(StatusCode::invalid, fmt::format("{}.code is SLUICE_OK", name));
  Status said(static_cast<StatusCode>(why->code), std::string(why->text, ::strnlen(why->text, sizeof why->text)),
              why->native_code);
  said.set_retry_after_ms(why->retry_after_ms);
  return said;
}

Result<std::optional<Bytes>> bytes_of(const sluice_span& span, std::string_view name) {
  if (span.data == nullptr) {
    if (span.size == 0) return std::optional<Bytes>();
    return fail(StatusCode::invalid, fmt::format("{} has {} bytes at NULL", name, span.size));
  }
  if (span.size > static_cast<uint64_t>(INT64_MAX)) {
    return fail(StatusCode::invalid, fmt::format("{} of {} bytes cannot be", name, span.size));
  }
  return std::optional<Bytes>(Bytes(span.data, static_cast<size_t>(span.size)));
}

Result<std::string_view> text_of(const char* data, uint64_t size, std::string_view name) {
  if (data == nullptr && size != 0)
    return fail(StatusCode::invalid, fmt::format("{} has {} bytes at NULL", name, size));
  if (size > static_cast<uint64_t>(INT64_MAX))
    return fail(StatusCode::invalid, fmt::format("{} of {} bytes cannot be", name, size));
  return std::string_view(data, static_cast<size_t>(size));
}

Result<std::string_view> text_of(const sluice_span& span, std::string_view name) {
  const auto bytes = bytes_of(span, name);
  if (!bytes) return fail(bytes.error());
  return as_text(bytes->value_or(Bytes()));
}

sluice_span span_of(const std::optional<Bytes>& bytes) {
  // Empty bytes may lie at NULL in C++; in C that would say null.
  static constexpr uint8_t kEmpty = 0;
  if (!bytes) return {nullptr, 0};
  return {bytes->data() == nullptr ? &kEmpty : bytes->data(), bytes->size()};
}

Status write_text(std::string_view text, char* buffer, uint64_t capacity, uint64_t* needed) {
  if (needed != nullptr) *needed = text.size();
  if (capacity < text.size()) {
    return Status(StatusCode::too_large, fmt::format("the text has {} bytes, the buffer {}", text.size(), capacity));
  }
  if (buffer == nullptr && !text.empty()) return Status(StatusCode::invalid, "the buffer is NULL");
  if (!text.empty()) std::memcpy(buffer, text.data(), text.size());
  return {};
}

Status give(std::unique_ptr<Object>&& object, sluice_handle* handle) {
  auto made = handles().insert(std::move(object));
  if (!made) return made.error();
  *handle = *made;
  return {};
}

Status check_out(const void* out, std::string_view name) {
  return out == nullptr ? Status(StatusCode::invalid, fmt::format("{} is NULL", name)) : Status();
}

}  // namespace sluice::c

extern "C" {

const char* sluice_version(void) {
  return SLUICE_VERSION_TEXT;
}

const char* sluice_status_name(sluice_status status) {
  return sluice::status_name(static_cast<sluice::StatusCode>(status)).data();  // names are literals
}

sluice_status sluice_release(sluice_handle handle, sluice_failure* failure) {
  return sluice::c::guarded(failure, [&] { return sluice::c::handles().release(handle); });
}

uint64_t sluice_handles(void) {
  return sluice::c::handles().size();
}

}  // extern "C"
