// SPDX-License-Identifier: Apache-2.0
// One asynchronous call as an adapter sees it. A method that is asked something gets a Call; it either returns the
// final Status, or takes the Pending out of the Call, keeps it, and completes it later from any thread. Nothing is
// allocated.
//
// Invariant: every ticket is completed exactly once, whatever the adapter does. A Pending that is dropped completes
// with UNKNOWN, because nobody can tell any more whether the call took effect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.hpp"
#include "base/status.hpp"
#include "sluice/storage_abi.h"

namespace sluice::plugin {

/// Writes why a call failed: text, native code and advice, cut to the capacity at a whole UTF-8 character and always
/// NUL-terminated. `error` may be NULL. Any thread.
void write_error(sluice_error* error, const Status& status) noexcept;

/// Sets one member of a struct that the other side allocated, if its `size` reaches that far: an older host's struct
/// may end before members that this build knows.
template <class Struct, class Member, class Value>
void set(Struct& target, Member Struct::*member, const Value& value) noexcept {
  const auto* end = reinterpret_cast<const std::byte*>(&(target.*member) + 1);
  if (end <= reinterpret_cast<const std::byte*>(&target) + target.size) target.*member = static_cast<Member>(value);
}

/// Reads one member of such a struct; `absent` if its `size` does not reach that far.
template <class Struct, class Member>
Member get(const Struct& source, Member Struct::*member, Member absent = {}) noexcept {
  const auto* end = reinterpret_cast<const std::byte*>(&(source.*member) + 1);
  return end <= reinterpret_cast<const std::byte*>(&source) + source.size ? source.*member : absent;
}

/// What the host offers, and the storage's name for its log lines. Copied freely; any thread.
class Host {
 public:
  Host(const sluice_host* table, std::string storage_name) : table_(table), storage_name_(std::move(storage_name)) {}

  const std::string& storage_name() const { return storage_name_; }
  /// One line for the operator; `level` is SLUICE_LOG_DEBUG to SLUICE_LOG_ERROR. Never a secret.
  void log(int32_t level, const std::string& text) const {
    table_->log(table_, storage_name_.c_str(), level, text.c_str());
  }
  uint32_t crc32c(Bytes bytes, uint32_t crc = 0) const { return table_->crc32c(crc, bytes.data(), bytes.size()); }
  const sluice_host* table() const { return table_; }

 private:
  const sluice_host* table_;
  std::string storage_name_;
};

/// A call that is not answered yet. Moves; one thread at a time; complete() from any thread, with locks held if need
/// be. What the call's request and result point to is the adapter's to use until complete(), and never after.
class Pending {
 public:
  Pending() = default;
  Pending(const sluice_host* host, sluice_ticket* ticket) : host_(host), ticket_(ticket) {}
  Pending(Pending&& other) noexcept : host_(other.host_), ticket_(std::exchange(other.ticket_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    if (this != &other) {
      drop();
      host_ = other.host_;
      ticket_ = std::exchange(other.ticket_, nullptr);
    }
    return *this;
  }
  ~Pending() { drop(); }

  /// Whether there is still something to complete.
  explicit operator bool() const { return ticket_ != nullptr; }

  /// Ends the call. `status` is not pending. A second complete() does nothing.
  void complete(const Status& status = {}) noexcept;

  /// CLOCK_MONOTONIC, nanoseconds. Only before complete().
  int64_t deadline_ns() const { return ticket_->deadline_ns; }
  /// Four words of the adapter's own, zero at first. Only before complete().
  uint64_t* scratch() const { return ticket_->scratch; }

 private:
  void drop() noexcept {
    if (ticket_ != nullptr) complete(Status(StatusCode::unknown, "the adapter dropped the call without an answer"));
  }

  const sluice_host* host_ = nullptr;
  sluice_ticket* ticket_ = nullptr;
};

/// The call that a method is asked to answer. Lives on the stack of the caller, until the method returns.
class Call {
 public:
  Call(const sluice_host* host, sluice_ticket* ticket) : host_(host), ticket_(ticket) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// Takes the call to be answered later, at most once. The method then returns pending(); what it returns or throws
  /// otherwise is ignored, because the Pending alone answers now.
  Pending defer() {
    deferred_ = true;
    return Pending(host_, std::exchange(ticket_, nullptr));
  }

  /// Only before defer().
  int64_t deadline_ns() const { return ticket_->deadline_ns; }

  bool deferred() const { return deferred_; }
  sluice_ticket* ticket() const { return ticket_; }

 private:
  const sluice_host* host_;
  sluice_ticket* ticket_;
  bool deferred_ = false;
};

/// What a method returns after Call::defer().
inline Status pending() {
  return Status(StatusCode::pending);
}

}  // namespace sluice::plugin
