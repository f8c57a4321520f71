// SPDX-License-Identifier: Apache-2.0
// A storage adapter's shared object, loaded and judged. Whatever is wrong with it comes back as one sentence that names
// the file and, where versions are the matter, both versions. Libraries are never unloaded.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "sluice/storage_abi.h"

namespace sluice::host {

/// One loaded adapter. Immutable; any thread; lives as long as the process.
class Library {
 public:
  /// Loads the adapter at an absolute `path` (dlopen with RTLD_NOW | RTLD_LOCAL) and passes it through the version
  /// gate: magic, size, equal major, this host's minor at least the adapter's lowest. INVALID with file and both
  /// versions otherwise; NOT_FOUND if there is no such file. Loading the same file twice gives the same Library. Any
  /// thread; may block.
  static Result<std::shared_ptr<const Library>> load(const std::string& path);

  /// For adapters that are linked into a test. `plugin` must live for ever.
  static Result<std::shared_ptr<const Library>> adopt(const sluice_plugin& plugin, std::string path = "(built in)");

  const sluice_plugin& plugin() const { return *plugin_; }
  const std::string& path() const { return path_; }
  std::string_view name() const { return plugin_->name; }
  std::string_view version() const { return plugin_->version; }

 private:
  Library(const sluice_plugin* plugin, std::string path) : plugin_(plugin), path_(std::move(path)) {}
  const sluice_plugin* plugin_;
  std::string path_;
};

/// Turns a library name of a configuration into a file: an absolute path stays; a plain name such as "disk" becomes
/// `<directory>/libdisk.so`. Anything relative with a slash is INVALID. Never looks into the working directory.
Result<std::string> resolve_library(std::string_view name, const std::string& directory);

/// The folder of the plugins: $SLUICE_PLUGIN_DIRECTORY, else `../plugins` or `../lib/sluice/plugins` beside the
/// executable's folder, whichever exists.
std::string default_plugin_directory();

}  // namespace sluice::host
