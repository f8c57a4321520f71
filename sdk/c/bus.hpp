// SPDX-License-Identifier: Apache-2.0
// An event bus behind a handle. Any thread.
#pragma once

#include <memory>

#include "c/handle_table.hpp"
#include "sluice/bus.hpp"

namespace sluice::c {

struct BusObject final : Object {
  static constexpr Kind kKind = Kind::bus;
  explicit BusObject(std::unique_ptr<Bus> made) : Object(kKind, Ends::not_in_callback), bus(std::move(made)) {}
  const std::unique_ptr<Bus> bus;
};

}  // namespace sluice::c
