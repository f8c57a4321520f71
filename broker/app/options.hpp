// SPDX-License-Identifier: Apache-2.0
// The broker's options: Kafka's own property names where Kafka has one, from a file, the environment and the command line, the
// later ones winning. One table gives names, types, defaults, help, and what DescribeConfigs shows.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "cluster/topic_config.hpp"
#include "group/options.hpp"
#include "handlers/context.hpp"
#include "net/server.hpp"

namespace sluice::app {

struct Property {
  std::string_view name;
  cluster::ConfigType type;
  std::string_view default_value;
  int64_t minimum;
  int64_t maximum;
  std::string_view help;
};

std::span<const Property> properties();

struct Options {
  bool help = false;
  bool version = false;
  std::string data_directory;
  std::string plugins_file;       // "": see storage::find_plugins_config
  std::string plugin_directory;   // "": see host::default_plugin_directory
  std::vector<net::ListenerOptions> listeners;
  std::string admin_host = "127.0.0.1";
  int admin_port = -1;            // -1: none
  int32_t broker_id = 1;
  std::string rack;
  size_t loops = 0;               // 0: one per core
  int32_t offsets_partitions = 8;
  int64_t shutdown_timeout_ms = 30'000;
  int64_t retention_check_ms = 5'000;
  int64_t producer_expiration_ms = 86'400'000;
  bool checked_storages = false;
  std::string log_level;
  std::string log_format;
  int32_t default_partitions = 1;
  cluster::Configs topic_defaults;  // broker properties that are defaults of topics, as set
  group::Options group;
  handlers::HandlerOptions handlers;
  net::NetLimits limits;
  std::vector<handlers::BrokerSetting> settings;  // every property with its value and source
};

/// `arguments` without the program's name. `environment`: SLUICE_LOG_RETENTION_MS stands for log.retention.ms; only names that
/// begin with SLUICE_ are looked at. INVALID names the option, and suggests the nearest for an unknown one.
Result<Options> parse_options(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment);

/// "127.0.0.1:9092", "[::1]:9092", ":9092" (every address), "9092".
Result<std::pair<std::string, uint16_t>> parse_address(std::string_view text);

/// The text of --help.
std::string usage();

/// Is it an address that only this machine reaches?
bool is_loopback(std::string_view host);

}  // namespace sluice::app
