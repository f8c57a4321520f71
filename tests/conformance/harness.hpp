// SPDX-License-Identifier: Apache-2.0
// The host's side of a call, as strict as the contract allows: every ticket is answered exactly once, results are
// written within their size, and after its completion neither ticket, request nor result is touched.
//
// Every struct is allocated with guard bytes behind it. After the answer the structs are filled with a pattern that
// must be there still when the check ends, and the bytes of batches are overwritten and freed, so that an adapter that
// kept a pointer to them reads garbage (or trips a sanitizer).
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sluice/storage_abi.h"

namespace sluice::conformance {

/// What a check throws when the contract is broken; caught by run().
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// ... and when it has nothing to check here.
class Inapplicable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void fail_check(fmt::format_string<Args...> text, Args&&... args) {
  throw Failure(fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void require(bool holds, fmt::format_string<Args...> text, Args&&... args) {
  if (!holds) throw Failure(fmt::format(text, std::forward<Args>(args)...));
}

/// "FENCED (201)".
std::string status_text(sluice_status status);

/// CLOCK_MONOTONIC, now, and in so many milliseconds.
int64_t deadline_in_ms(int64_t ms);

using Clock = std::chrono::steady_clock;
int64_t elapsed_ms(Clock::time_point since);

/// Memory with guard bytes behind it.
class Guarded {
 public:
  explicit Guarded(size_t size);
  uint8_t* data() const { return bytes_.get(); }
  size_t size() const { return size_; }
  bool guards_intact() const;
  void poison();
  bool poison_intact() const;

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  size_t size_;
};

class Call;

/// The one host table of the process, and what went wrong with tickets since the last reset. Any thread.
class HostTable {
 public:
  static HostTable& instance();

  const sluice_host* table() const { return &table_; }
  /// Breaches so far, and forgets them.
  std::vector<std::string> take_breaches();
  void breach(std::string text);
  /// Tickets that were given out and completed through complete(), since the process began.
  uint64_t completed() const;

 private:
  friend class Call;
  HostTable();
  static void complete(const sluice_host* host, sluice_ticket* ticket, sluice_status status);
  static void log(const sluice_host* host, const char* name, int32_t level, const char* text);
  static uint32_t crc32c(uint32_t crc, const void* data, uint64_t size);

  sluice_host table_{};
  mutable std::mutex mutex_;
  std::unordered_set<const sluice_ticket*> pending_;  // guarded by mutex_
  std::vector<std::string> breaches_;                 // guarded by mutex_
  uint64_t completed_ = 0;                            // guarded by mutex_
};

/// One asynchronous call. Made, filled, started once, waited for once; kept until the check ends.
class Call {
 public:
  static constexpr size_t kErrorTextBytes = 256;

  Call(std::string name, int64_t timeout_ms);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// A zeroed struct of the contract with its size set; `size` below sizeof(T) plays an older host, above it a newer
  /// one.
  template <class T>
  T* make(size_t size = sizeof(T)) {
    T* made = make_element<T>(1, size);
    made->size = static_cast<uint32_t>(size);
    return made;
  }
  /// Zeroed elements.
  template <class T>
  T* make_element(size_t count, size_t size = sizeof(T)) {
    static_assert(std::is_trivial_v<T>);
    structs_.emplace_back(size * count);
    return reinterpret_cast<T*>(structs_.back().data());
  }
  /// A copy that the call may refer to, overwritten and freed when it is answered.
  const uint8_t* copy(const void* data, size_t size);
  const char* copy(const std::string& text);

  /// Before start(): an error buffer of this capacity; 0: none.
  void set_error_capacity(uint32_t capacity);
  void set_deadline_ns(int64_t deadline_ns) { deadline_ns_ = deadline_ns; }

  void start(const std::function<sluice_status(sluice_ticket*)>& function);
  /// The answer. Throws Failure when none comes in time, or when guards were written.
  sluice_status wait();
  bool answered() const;
  /// Whether start() returned SLUICE_PENDING.
  bool was_pending() const { return returned_ == SLUICE_PENDING; }
  /// What the adapter wrote as its error.
  const std::string& text() const { return text_; }
  /// After wait() and after the results were copied out: from now on nothing may be touched.
  void retire();
  /// Whether nothing was, since.
  bool untouched() const;
  const std::string& name() const { return name_; }

 private:
  friend class HostTable;
  const std::string name_;
  const int64_t timeout_ms_;
  int64_t deadline_ns_;
  uint32_t error_capacity_ = kErrorTextBytes;
  std::vector<Guarded> structs_;
  std::vector<Guarded> copies_;
  sluice_ticket* ticket_ = nullptr;
  sluice_error* error_ = nullptr;
  Guarded error_text_;
  sluice_status returned_ = SLUICE_PENDING;
  std::string text_;
  bool retired_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;         // guarded by mutex_
  sluice_status status_ = 0;  // guarded by mutex_
};

/// The calls of one check: kept until its end, then looked at. Calls that were lost are kept for ever.
class CallBook {
 public:
  std::shared_ptr<Call> make(std::string name, int64_t timeout_ms);
  /// The first breach, or "".
  std::string verify();
  /// Calls that are not answered.
  size_t unanswered() const;
  ~CallBook();

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Call>> calls_;
};

}  // namespace sluice::conformance
