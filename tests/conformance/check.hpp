// SPDX-License-Identifier: Apache-2.0
// A check: a name, the sentence of the contract that it proves, and a function that throws when it does not hold.
#pragma once

#include <cstdint>
#include <span>

#include "conformance/world.hpp"

namespace sluice::conformance {

struct Check {
  const char* name;
  const char* sentence;
  void (*run)(Context& context);
  uint32_t kinds = SLUICE_KIND_LOG;  // that it applies to
};

// One list per file, in the order in which they run.
std::span<const Check> entry_checks();
std::span<const Check> lifecycle_checks();
std::span<const Check> log_checks();
std::span<const Check> append_checks();
std::span<const Check> refusal_checks();
std::span<const Check> read_checks();
std::span<const Check> lease_checks();
std::span<const Check> locate_checks();
std::span<const Check> trim_checks();
std::span<const Check> fence_checks();
std::span<const Check> value_checks();
std::span<const Check> writer_checks();
std::span<const Check> struct_checks();
std::span<const Check> thread_checks();
std::span<const Check> resource_checks();
std::span<const Check> invariant_checks();
std::span<const Check> durability_checks();
std::span<const Check> fault_checks();
std::span<const Check> native_checks();

}  // namespace sluice::conformance
