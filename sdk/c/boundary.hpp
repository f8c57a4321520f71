// SPDX-License-Identifier: Apache-2.0
// The edge between C callers and the SDK: exceptions stop here, statuses become numbers with a filled failure, and what
// comes in is checked before anything is done with it. Any thread.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <optional>
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

/// Runs `body`, which returns an Verdict or a Status, and tells what came of it. Nothing is thrown.
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
sluice_span span_of(const std::optional<Bytes>& bytes);
/// Writes `text` without a NUL where it fits, and its length to `needed` (may be NULL). TOO_LARGE where it does not.
Status write_text(std::string_view text, char* buffer, uint64_t capacity, uint64_t* needed);
/// Puts a new object into the table and its number into `handle`, which is not NULL.
Status give(std::unique_ptr<Object> object, sluice_handle* handle);
/// INVALID where a result has nowhere to go.
Status check_out(const void* out, std::string_view name);

}  // namespace sluice::c
