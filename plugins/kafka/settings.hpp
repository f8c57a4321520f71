// SPDX-License-Identifier: Apache-2.0
// The options of a Kafka storage, checked, as configurations of librdkafka. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "rdkafka/handles.hpp"
#include "plugin/options.hpp"
#include "sluice/storage_abi.h"

namespace sluice::kafka {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Settings {
  Pairs common;    // of librdkafka, for every client
  Pairs producer;  // ... and for those that write
  Pairs consumer;  // ... and for those that read
  Pairs given;     // `properties`: last, so that they win
  Pairs topic_configs;
  int32_t replication_factor = -1;
  int64_t delivery_timeout_ms = 20'000;
  int64_t request_timeout_ms = 5'000;
  uint64_t read_ahead = uint64_t{8} << 20;       // bytes fetched beyond what was asked for, for each partition read
  uint64_t max_in_flight = uint64_t{128} << 20;  // bytes on their way at once
  /// Of what is fetched ahead half may be librdkafka's, half with the reader.
  uint64_t queue_bytes() const { return read_ahead / 2; }
  /// ... but for records so small that librdkafka's own bytes are most of it.
  uint64_t queue_records() const { return queue_bytes() / kSmallRecordBytes; }
  static constexpr uint64_t kSmallRecordBytes = 64;
};

/// The adapter's table.
inline constexpr size_t kOptionCount = 20;
extern const sluice_option kOptionTable[kOptionCount];

/// INVALID names the option that is wrong. Every property is tried on librdkafka.
Result<Settings> read_settings(const plugin::Options& options);

enum class Role { asks, writes, reads };
/// A configuration for a client of that role. `largest_message`: bytes of a batch that the other side takes.
Result<ConfHandle> make_conf(const Settings& settings, Role role, uint64_t largest_message);

/// "name=value; name=value". INVALID without the option's name.
Result<Pairs> parse_pairs(std::string_view text);

}  // namespace sluice::kafka
