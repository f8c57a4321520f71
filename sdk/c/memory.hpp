// SPDX-License-Identifier: Apache-2.0
// A shard in memory behind a handle. A source is read by one consumer at a time: it is lent, and given back when the
// consumer lets it go. Any thread.
#pragma once

#include <atomic>
#include <memory>

#include "c/handle_table.hpp"
#include "sluice/memory_source.hpp"

namespace sluice::c {

class MemoryObject final : public Object {
 public:
  static constexpr Kind kKind = Kind::memory;
  explicit MemoryObject(std::unique_ptr<MemorySource> made);
  MemorySource& source();
  /// BUSY: another consumer reads it.
  Result<std::shared_ptr<Source>> lend();

 private:
  struct Shared;
  class Lent;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace sluice::c
