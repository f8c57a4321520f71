// SPDX-License-Identifier: Apache-2.0
// A poison record with its cause, owned. Plain value.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "sluice/dlq.hpp"
#include "sluice/event.hpp"

namespace sluice::dlq {

/// Views into its own bytes, which do not move when it does.
class Letter {
 public:
  /// `now_ns`: since the epoch.
  Letter(const Record& record, const DeadLetterCause& cause, int64_t now_ns);

  Event event() const { return {key_, value_, headers_}; }
  int64_t timestamp_ns() const { return timestamp_ns_; }
  uint64_t held_bytes() const { return bytes_.size() + headers_.size() * sizeof(Header); }
  size_t header_count() const { return headers_.size(); }

  /// What held_bytes() will be, without copying anything.
  static uint64_t bytes_of(const Record& record, const DeadLetterCause& cause);

 private:
  Buffer bytes_;
  std::optional<Bytes> key_;
  std::optional<Bytes> value_;
  std::vector<Header> headers_;
  int64_t timestamp_ns_ = 0;
};

}  // namespace sluice::dlq
