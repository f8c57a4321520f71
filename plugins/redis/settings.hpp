// SPDX-License-Identifier: Apache-2.0
// The options of a Redis storage, checked. Plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "plugin/options.hpp"
#include "redis/address.hpp"
#include "redis/record_ids.hpp"
#include "sluice/storage_abi.h"

namespace sluice::redis {

// In the order of the options' choices.
enum class Mode { standalone, sentinel, cluster };
enum class Layout { log, record };

/// Longest `prefix`, in bytes.
inline constexpr size_t kMaxPrefixBytes = 64;

struct Settings {
  Mode mode = Mode::standalone;
  std::vector<Address> addresses;  // of servers, sentinels, or nodes; one at least
  std::string master;              // the name that sentinels know it by
  std::string username;
  std::string password;
  std::string sentinel_username;
  std::string sentinel_password;
  int64_t database = 0;
  std::string prefix = "sluice";
  Layout layout = Layout::log;
  Ids ids = Ids::time;  // layout record, and so are the next two
  std::string key_field = "key";
  std::string value_field = "value";
  int64_t connect_timeout_ms = 3'000;
  int64_t silence_ms = 10'000;

  /// Several servers may be meant, of which only the one that is the master will do.
  bool has_choice() const { return mode == Mode::sentinel || (mode == Mode::standalone && addresses.size() > 1); }
};

/// The adapter's table.
inline constexpr size_t kOptionCount = 16;
extern const sluice_option kOptionTable[kOptionCount];

/// INVALID names the option that is wrong, alone or beside another.
Result<Settings> read_settings(const plugin::Options& options);

/// How something is said to the operator: SLUICE_LOG_..., one line.
using Say = std::function<void(int32_t level, const std::string& text)>;

}  // namespace sluice::redis
