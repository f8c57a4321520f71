// SPDX-License-Identifier: Apache-2.0
// The edge between C callers and the SDK: exceptions stop here, statuses become numbers with a filled failure, and what
// comes in is checked before anything is done with it. Any thread.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "c/handle_table.hpp"
#include "sluice/c/core.h"

namespace sluice::c {

/// A Status that may point at an element of an array.
struct Verdict {
  Status status;
  int64_t index = -1;
  Verdict() = default;
  Verdict(Status s, int64_t at = -1) : status(std::move(s)), index(at) {}  // NOLINT(google-explicit-constructor)
};

/// Fills `failure` (may be NULL) and gives the code.
sluice_status tell(sluice_failure* failure, const Verdict& outcome);

/// What a caller says went wrong, by a failure that this library or the caller filled in. INVALID: it says nothing.
Result<Status> status_of(const sluice_failure* why, std::string_view name);

/// Runs `body`, which returns a Verdict or a Status, and tells what came of it. Nothing is thrown.
template <class Body>
sluice_status guarded(sluice_failure* failure, Body&& body) noexcept {
  try {
    return tell(failure, body());
  } catch (const std::bad_alloc&) {
    return tell(failure, Status(StatusCode::no_space, "out of memory"));
  } catch (const std::exception& error) {
    return tell(failure, Status(StatusCode::internal, error.what()));
  } catch (...) {
    return tell(failure, Status(StatusCode::internal, "something that is no exception of C++'s was thrown"));
  }
}

/// Runs `body` with the object that `handle` names, which stays until it returns.
template <class T, class Body>
sluice_status on(sluice_handle handle, sluice_failure* failure, Body&& body) noexcept {
  return guarded(failure, [&]() -> Verdict {
    const auto held = acquire<T>(handle);
    if (!held) return held.error();
    return body(**held);
  });
}

/// INVALID unless `object` is there and as large as the first version of its struct.
template <class Struct>
Status check_struct(const Struct* object, size_t least, std::string_view name) {
  if (object == nullptr) return Status(StatusCode::invalid, std::string(name) + " is NULL");
  if (object->size < least) {
    return Status(StatusCode::invalid, std::string(name) + ".size is " + std::to_string(object->size) +
                                           ", less than the " + std::to_string(least) + " of its first version");
  }
  return {};
}

/// The bytes of a span; nullopt for null. INVALID: data is NULL and size is not 0, or more than a memory can have.
Result<std::optional<Bytes>> bytes_of(const sluice_span& span, std::string_view name);
/// The text at `data`: NULL is INVALID unless `size` is 0.
Result<std::string_view> text_of(const char* data, uint64_t size, std::string_view name);
/// The text of a span, null being empty.
Result<std::string_view> text_of(const sluice_span& span, std::string_view name);
sluice_span span_of(const std::optional<Bytes>& bytes);
/// Writes `text` without a NUL where it fits, and its length to `needed` (may be NULL). TOO_LARGE where it does not.
Status write_text(std::string_view text, char* buffer, uint64_t capacity, uint64_t* needed);
/// Puts a new object into the table and its number into `handle`, which is not NULL. Where that fails, the object stays
/// with the caller.
Status give(std::unique_ptr<Object>&& object, sluice_handle* handle);
/// INVALID where a result has nowhere to go.
Status check_out(const void* out, std::string_view name);

/// A C caller's text: where, how long, and what messages call it.
struct Text {
  const char* data;
  uint64_t size;
  std::string_view name;
};

/// Opens an object by a text: `make` turns the text into a Result<std::unique_ptr<...>>, and its number goes into
/// `handle`.
template <class Make>
sluice_status open_by(const Text& text, sluice_handle* handle, std::string_view handle_name, sluice_failure* failure,
                      Make&& make) noexcept {
  return guarded(failure, [&]() -> Verdict {
    if (Status status = check_out(handle, handle_name); !status.ok()) return status;
    const auto read = text_of(text.data, text.size, text.name);
    if (!read) return read.error();
    auto made = make(*read);
    if (!made) return made.error();
    return give(std::move(*made), handle);
  });
}

}  // namespace sluice::c
