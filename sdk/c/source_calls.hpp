// SPDX-License-Identifier: Apache-2.0
// A shard made of an application's functions, behind a handle. Any thread.
#pragma once

#include <memory>

#include "c/handle_table.hpp"
#include "c/lending.hpp"

namespace sluice::c {

struct SourceObject final : Object {
  static constexpr Kind kKind = Kind::source;
  explicit SourceObject(std::unique_ptr<Source> made) : Object(kKind), lending(std::move(made), "source") {}
  const Lending lending;
};

}  // namespace sluice::c
