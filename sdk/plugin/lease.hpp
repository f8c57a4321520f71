// SPDX-License-Identifier: Apache-2.0
// What an adapter lends to the host: slices of a read, a list of logs, a saved value. Each is an object of its own that
// keeps its owners alive, so that it outlives trim, delete, close and stop, and is freed when the host releases it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/uuid.hpp"
#include "sluice/storage_abi.h"

namespace sluice::plugin {

/// Anything that keeps lent memory or a file descriptor alive.
using Owner = std::shared_ptr<const void>;

/// The slices of one read. Filled by one thread, then lent.
class Lease {
 public:
  /// Adjacent memory with the same owner becomes one slice.
  void add_memory(Bytes bytes, const Owner& owner);
  /// `fd` stays open and the range unchanged while `owner` lives.
  void add_file(int32_t fd, uint64_t position, uint64_t length, const Owner& owner);
  /// What is kept from being freed or reused; bytes. Adds up.
  void add_pinned(uint64_t bytes) { pinned_bytes_ += bytes; }
  bool empty() const { return slices_.empty(); }

  /// Hands the lease to the host: sets slices, slice_count, pinned_bytes, owner and release of `result`. An empty or
  /// absent lease sets none. next, start and end are the caller's to set.
  static void lend(std::unique_ptr<Lease> lease, sluice_read_result& result) noexcept;

 private:
  void keep(const Owner& owner);

  std::vector<sluice_slice> slices_;
  std::vector<Owner> owners_;
  uint64_t pinned_bytes_ = 0;
};

/// The answer of list_logs.
class LogList {
 public:
  void add(const Uuid& id, std::string topic, int32_t partition, uint32_t flags = 0);
  static void lend(std::unique_ptr<LogList> list, sluice_log_list& result);

 private:
  std::vector<sluice_log_entry> entries_;
  std::vector<std::string> topics_;
};

/// Answers load with a value that `owner` keeps alive.
void lend_value(Bytes value, Owner owner, sluice_load_result& result);
/// Answers load with "no such value".
void lend_nothing(sluice_load_result& result) noexcept;

}  // namespace sluice::plugin
