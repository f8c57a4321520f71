// SPDX-License-Identifier: Apache-2.0
// The options of a storage, by name and typed. The host has checked them against the adapter's table already: ranges,
// choices and required ones hold.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/storage_abi.h"

namespace sluice::plugin {

/// A view, valid during create only; numbers and copies may be kept. An option that the table does not have is the
/// author's own mistake and throws std::logic_error, which the edge turns into INTERNAL.
class Options {
 public:
  Options(std::span<const sluice_option> table, std::span<const sluice_value> values)
      : table_(table), values_(values) {}

  /// Given or defaulted.
  bool has(std::string_view name) const { return value(name).present != 0; }
  /// INTEGER as is, SIZE in bytes, DURATION in milliseconds, CHOICE as index; `absent` if there is none.
  int64_t number(std::string_view name, int64_t absent = 0) const;
  /// BOOLEAN.
  bool boolean(std::string_view name, bool absent = false) const { return number(name, absent ? 1 : 0) != 0; }
  /// TEXT, PATH (absolute) and CHOICE.
  std::string text(std::string_view name, std::string_view absent = {}) const;

 private:
  const sluice_value& value(std::string_view name) const;

  std::span<const sluice_option> table_;
  std::span<const sluice_value> values_;
};

}  // namespace sluice::plugin
