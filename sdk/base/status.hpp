// SPDX-License-Identifier: Apache-2.0
// Errors as values. A Status says what class of thing went wrong, in words, with the native code of whoever failed;
// Result<T> is a T or the Status that explains its absence. Both are plain values without threading rules of their own.
//
// The codes are those of the storage ABI (sluice/storage_abi.h), in classes of a hundred, so that an unknown code still
// means its class.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

enum class StatusCode : int32_t {
  ok = 0,
  pending = 1,
  // The caller's fault: never retried.
  invalid = 100,
  not_found = 101,
  exists = 102,
  out_of_range = 103,
  unsupported = 104,
  too_large = 105,
  // Look again.
  conflict = 200,
  fenced = 201,
  // Not applied: retry.
  unavailable = 300,
  busy = 301,
  // Applied or not: nobody knows yet.
  unknown = 400,
  // The operator must act.
  internal = 500,
  denied = 501,
  no_space = 502,
  corrupt = 503,
};

/// The class that a code belongs to, for codes this build does not know: 0, 100, 200, 300, 400 or 500.
constexpr int32_t status_class(StatusCode code) { return static_cast<int32_t>(code) / 100 * 100; }

/// The code's name in lower case ("no_space"); for an unknown code the name of its class.
std::string_view status_name(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  explicit Status(StatusCode code, std::string text = {}, int64_t native_code = 0)
      : code_(code), native_code_(native_code), text_(std::move(text)) {}

  bool ok() const { return code_ == StatusCode::ok; }
  explicit operator bool() const { return ok(); }
  StatusCode code() const { return code_; }
  const std::string& text() const { return text_; }
  /// errno, a server's error number, or 0.
  int64_t native_code() const { return native_code_; }
  /// How long to wait before trying again, in milliseconds; 0: no advice.
  int64_t retry_after_ms() const { return retry_after_ms_; }
  void set_retry_after_ms(int64_t value) { retry_after_ms_ = value; }

  /// The same status with where it happened put before the text.
  Status in(std::string_view where) const;
  /// "no_space: disk is full (28)".
  std::string describe() const;

 private:
  StatusCode code_ = StatusCode::ok;
  int64_t native_code_ = 0;
  int64_t retry_after_ms_ = 0;
  std::string text_;
};

template <class T>
using Result = tl::expected<T, Status>;

/// `return fail(StatusCode::invalid, "...")` in a function that returns a Result.
inline tl::unexpected<Status> fail(StatusCode code, std::string text, int64_t native_code = 0) {
  return tl::unexpected<Status>(Status(code, std::move(text), native_code));
}
inline tl::unexpected<Status> fail(Status status) { return tl::unexpected<Status>(std::move(status)); }

}  // namespace sluice
