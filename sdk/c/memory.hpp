// SPDX-License-Identifier: Apache-2.0
// A shard in memory behind a handle. Any thread.
#pragma once

#include <memory>

#include "c/handle_table.hpp"
#include "c/lending.hpp"
#include "sluice/memory_source.hpp"

namespace sluice::c {

struct MemoryObject final : Object {
  static constexpr Kind kKind = Kind::memory;
  explicit MemoryObject(std::unique_ptr<MemorySource> made)
      : Object(kKind), source(*made), lending(std::move(made), "shard in memory") {}
  MemorySource& source;  // of what is lent
  const Lending lending;
};

}  // namespace sluice::c
