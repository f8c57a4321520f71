// SPDX-License-Identifier: Apache-2.0
// Checked mode: finds out whether an adapter keeps the contract. A breach is logged with the call's name, counted, and
// told to the observer in StorageOptions.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include "host/call.hpp"
#include "host/storage.hpp"

namespace sluice::host {

/// Any thread.
class Checker {
 public:
  Checker(UniqueFunction<void(const Breach&)> observer, StorageMetrics& metrics)
      : observer_(std::move(observer)), metrics_(metrics) {}

  /// Breaches are counted and told; of warnings each text is told once.
  void breach(StorageImpl& storage, const char* call, std::string text, bool warning = false);

  /// The thread's voluntary context switches so far: how often it waited.
  static int64_t voluntary_switches();
  /// An asynchronous call of `kind` returned; `waits`: how often the thread waited inside it.
  void returned(StorageImpl& storage, CallKind kind, int64_t waits);

  /// What is wrong with `status` as the end of a call of `kind`; empty if it is legal.
  static std::string status_fault(CallKind kind, bool native, sluice_status status);

 private:
  /// A mutex that was taken, or a page fault, may look like waiting. An adapter that waits does so often.
  static constexpr uint64_t kWaitsTolerated = 8;
  static constexpr uint64_t kToleratedShare = 10;  // one call in so many

  struct Tally {
    std::atomic<uint64_t> calls{0};
    std::atomic<uint64_t> waited{0};
    std::atomic<bool> told{false};
  };

  std::mutex mutex_;  // guards the two below, and keeps the observer's calls apart
  UniqueFunction<void(const Breach&)> observer_;
  std::set<std::string> warned_;
  StorageMetrics& metrics_;
  std::array<Tally, kCallKinds> tallies_;
};

}  // namespace sluice::host
