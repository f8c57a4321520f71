// SPDX-License-Identifier: Apache-2.0
// plugins.json: which storages there are, which topics go where. Reading it resolves secrets and checks everything that
// can be checked without loading a library; every error names the file and the JSON path, or line and column where it
// is not JSON.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "host/options.hpp"

namespace sluice::storage {

struct StorageConfig {
  std::string name;
  std::string library;         // "disk", or an absolute path
  bool enabled = true;         // false: shown, ready to be switched on, and not loaded
  bool required = true;        // the broker refuses to start without it
  host::OptionInputs options;  // of enabled storages; secrets are resolved: not to be printed
  std::string json_path;       // "storages.disk"
};

struct RouteConfig {
  std::string topics;  // a pattern: '*' stands for any characters, '?' for one
  std::string storage;
};

struct PluginsConfig {
  std::string file;
  std::vector<StorageConfig> storages;  // in the order of the file, the disabled ones too
  std::vector<RouteConfig> routes;      // the first that matches counts
  std::string default_storage;
  std::string internal_storage;  // the broker's own logs; default: default_storage

  const StorageConfig* find(std::string_view name) const;
  /// The storage of a topic: by the first matching route, else the default.
  const std::string& route(std::string_view topic) const;
};

/// Parses `text`, the content of `file` (for messages). INVALID: "plugins.json: storages.disk.libary: unknown name, did
/// you mean \"library\"?", "plugins.json:3:7: ...". Secrets written as {"env": "NAME"} or {"file": "/path"} are read
/// here.
Result<PluginsConfig> parse_plugins_config(std::string_view text, const std::string& file);

/// The options of one storage alone, a JSON object as under "options": for tools. `source` names the text in messages.
Result<host::OptionInputs> parse_options(std::string_view text, const std::string& source);

/// The JSON path of an option, "storages.disk.options.sync"; of the storage itself where `option` is empty.
std::string option_path(const StorageConfig& storage, std::string_view option);

/// Reads and parses a file.
Result<PluginsConfig> read_plugins_config(const std::string& file);

/// Where the configuration is: `given` if not empty, else `<data_directory>/plugins.json`, else the installed default
/// (beside the executable's folder: ../share/sluice/plugins.json; a build folder has the source tree's there).
/// NOT_FOUND says where was looked.
Result<std::string> find_plugins_config(const std::string& given, const std::string& data_directory);

/// Does `topic` match the pattern of a route?
bool matches_pattern(std::string_view pattern, std::string_view topic);

}  // namespace sluice::storage
