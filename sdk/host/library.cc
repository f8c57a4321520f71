// SPDX-License-Identifier: Apache-2.0
#include "host/library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "host/elf.hpp"

namespace sluice::host {
namespace {

constexpr uint32_t kFrozenPrefixBytes = 24;
constexpr uint32_t kMaxOptions = 256;
constexpr const char* kEntrySymbol = "sluice_plugin_entry";

/// How much of each struct 1.0 must find. Members that later minors append are not counted.
constexpr uint32_t kNeededPluginBytes = offsetof(sluice_plugin, extension) + sizeof(sluice_plugin::extension);
constexpr uint32_t kNeededApiBytes = offsetof(sluice_storage_api, flush) + sizeof(sluice_storage_api::flush);

std::string host_version() {
  return fmt::format("{}.{}", SLUICE_ABI_MAJOR, SLUICE_ABI_MINOR);
}

tl::unexpected<Status> refuse(const std::string& path, std::string reason) {
  return fail(StatusCode::invalid, fmt::format("storage library {}: {}", path, std::move(reason)));
}

/// The name of the first function of 1.0 that is missing; NULL if all are there.
const char* missing_function(const sluice_storage_api& api) {
#define SLUICE_CHECK_FUNCTION(name) \
  if (api.name == nullptr) return #name
  SLUICE_CHECK_FUNCTION(create);
  SLUICE_CHECK_FUNCTION(destroy);
  SLUICE_CHECK_FUNCTION(start);
  SLUICE_CHECK_FUNCTION(stop);
  SLUICE_CHECK_FUNCTION(health);
  SLUICE_CHECK_FUNCTION(bind);
  SLUICE_CHECK_FUNCTION(create_log);
  SLUICE_CHECK_FUNCTION(delete_log);
  SLUICE_CHECK_FUNCTION(list_logs);
  SLUICE_CHECK_FUNCTION(open);
  SLUICE_CHECK_FUNCTION(close);
  SLUICE_CHECK_FUNCTION(append);
  SLUICE_CHECK_FUNCTION(read);
  SLUICE_CHECK_FUNCTION(bounds);
  SLUICE_CHECK_FUNCTION(locate);
  SLUICE_CHECK_FUNCTION(trim);
  SLUICE_CHECK_FUNCTION(fence);
  SLUICE_CHECK_FUNCTION(save);
  SLUICE_CHECK_FUNCTION(load);
  SLUICE_CHECK_FUNCTION(watch);
  SLUICE_CHECK_FUNCTION(flush);
#undef SLUICE_CHECK_FUNCTION
  return nullptr;
}

/// What is wrong with one row of the option table; empty if nothing.
std::string option_fault(const sluice_option& option) {
  if (option.name == nullptr || *option.name == '\0') return "has no name";
  if (option.help == nullptr) return "has no help text";
  if (option.type < SLUICE_OPTION_TEXT || option.type > SLUICE_OPTION_PATH) {
    return fmt::format("has the unknown type {}", option.type);
  }
  if (option.type == SLUICE_OPTION_CHOICE && (option.choices == nullptr || *option.choices == '\0')) {
    return "is a choice without choices";
  }
  const bool numeric = option.type == SLUICE_OPTION_INTEGER || option.type == SLUICE_OPTION_SIZE ||
                       option.type == SLUICE_OPTION_DURATION;
  if (numeric && option.minimum > option.maximum) return "has a minimum above its maximum";
  return {};
}

/// The version gate. Touches nothing behind the frozen prefix before major and size are known to be right.
Status judge(const sluice_plugin& plugin, const std::string& path) {
  const auto no = [&](std::string reason) { return refuse(path, std::move(reason)).value(); };
  if (plugin.magic != SLUICE_ABI_MAGIC) {
    return no(fmt::format("{} is not a Sluice storage adapter's (its magic is {:#x})", kEntrySymbol, plugin.magic));
  }
  if (plugin.size < kFrozenPrefixBytes) {
    return no(fmt::format("its entry says to be {} bytes long, and {} is the least there can be", plugin.size,
                          kFrozenPrefixBytes));
  }
  const std::string theirs = fmt::format("{}.{}", plugin.major, plugin.minor);
  if (plugin.major != SLUICE_ABI_MAJOR) {
    return no(fmt::format("built for storage ABI {}, this host has {}: the major versions must be equal", theirs,
                          host_version()));
  }
  if (plugin.lowest_host_minor > SLUICE_ABI_MINOR) {
    return no(fmt::format("built for storage ABI {} and needs a host of at least {}.{}, this host has {}", theirs,
                          plugin.major, plugin.lowest_host_minor, host_version()));
  }
  if (plugin.size < kNeededPluginBytes) {
    return no(fmt::format("its entry (storage ABI {}) is {} bytes long, this host ({}) needs {}", theirs, plugin.size,
                          host_version(), kNeededPluginBytes));
  }
  if (plugin.name == nullptr || *plugin.name == '\0' || plugin.version == nullptr || plugin.description == nullptr) {
    return no("its entry has no name, version or description");
  }
  if ((plugin.kinds & (SLUICE_KIND_LOG | SLUICE_KIND_NATIVE)) == 0) {
    return no(fmt::format("adapter {} offers neither the kind LOG nor NATIVE", plugin.name));
  }
  if (plugin.option_count > kMaxOptions) {
    return no(fmt::format("adapter {} has {} options, {} is the most", plugin.name, plugin.option_count, kMaxOptions));
  }
  if (plugin.option_count > 0 && plugin.options == nullptr) {
    return no(fmt::format("adapter {} counts {} options and has no table of them", plugin.name, plugin.option_count));
  }
  for (uint32_t i = 0; i < plugin.option_count; ++i) {
    const std::string fault = option_fault(plugin.options[i]);
    if (fault.empty()) continue;
    const char* name = plugin.options[i].name;
    return no(fmt::format("adapter {}: option {} ({}) {}", plugin.name, i, name == nullptr ? "NULL" : name, fault));
  }
  for (uint32_t i = 1; i < plugin.option_count; ++i) {
    for (uint32_t j = 0; j < i; ++j) {
      if (std::strcmp(plugin.options[i].name, plugin.options[j].name) == 0) {
        return no(fmt::format("adapter {}: option {} is there twice", plugin.name, plugin.options[i].name));
      }
    }
  }
  if (plugin.api == nullptr) return no(fmt::format("adapter {} has no table of functions", plugin.name));
  if (plugin.api->size < kNeededApiBytes) {
    return no(fmt::format("adapter {} (storage ABI {}) has a table of functions of {} bytes, this host ({}) needs {}",
                          plugin.name, theirs, plugin.api->size, host_version(), kNeededApiBytes));
  }
  if (const char* missing = missing_function(*plugin.api)) {
    return no(fmt::format("adapter {} lacks the function {}", plugin.name, missing));
  }
  return {};
}

/// dlerror's text without the path that it begins with: the sentence names the file already.
std::string loader_error(const std::string& path) {
  const char* raw = dlerror();
  std::string text = raw == nullptr ? "unknown error of the loader" : raw;
  if (text.starts_with(path + ": ")) text.erase(0, path.size() + 2);
  return text;
}

std::mutex g_mutex;  // guards the table of loaded libraries

std::map<std::string, std::shared_ptr<const Library>>& loaded_libraries() {
  static auto* table = new std::map<std::string, std::shared_ptr<const Library>>();  // libraries are never unloaded
  return *table;
}

}  // namespace

Result<std::shared_ptr<const Library>> Library::load(const std::string& path) {
  if (path.empty() || path.front() != '/') return refuse(path, "is not an absolute path");
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return fail(StatusCode::not_found, fmt::format("storage library {}: no such file", path), error);
    }
    return refuse(path, std::strerror(error));
  }
  struct stat info {};
  if (::stat(resolved, &info) != 0) return refuse(path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return refuse(path, "is not a file");

  std::lock_guard lock(g_mutex);
  auto& table = loaded_libraries();
  if (const auto it = table.find(resolved); it != table.end()) return it->second;

  if (const std::string fault = truncation_fault(resolved); !fault.empty()) return refuse(path, fault);
  ::dlerror();
  void* handle = ::dlopen(resolved, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return refuse(path, fmt::format("cannot be loaded: {}", loader_error(resolved)));
  const auto* plugin = static_cast<const sluice_plugin*>(::dlsym(handle, kEntrySymbol));
  // From here on the handle is kept, whatever the verdict: code of the library may have run and left threads or
  // handlers.
  if (plugin == nullptr) {
    return refuse(path, fmt::format("exports no symbol {}: it is not a Sluice storage adapter", kEntrySymbol));
  }
  if (Status verdict = judge(*plugin, path); !verdict.ok()) return fail(std::move(verdict));
  auto library = std::shared_ptr<const Library>(new Library(plugin, path));
  table.emplace(resolved, library);
  return library;
}

Result<std::shared_ptr<const Library>> Library::adopt(const sluice_plugin& plugin, std::string path) {
  if (Status verdict = judge(plugin, path); !verdict.ok()) return fail(std::move(verdict));
  return std::shared_ptr<const Library>(new Library(&plugin, std::move(path)));
}

Result<std::string> resolve_library(std::string_view name, const std::string& directory) {
  if (name.empty()) return fail(StatusCode::invalid, "the name of a storage library is empty");
  if (name.find('\0') != std::string_view::npos)
    return fail(StatusCode::invalid, "the name of a storage library holds a zero byte");
  if (name.front() == '/') return std::string(name);
  if (name.find('/') != std::string_view::npos || name == "." || name == "..") {
    return fail(StatusCode::invalid,
                fmt::format("storage library \"{}\": give an absolute path, or a plain name to be found in {}", name,
                            directory));
  }
  return fmt::format("{}/lib{}.so", directory, name);
}

std::string default_plugin_directory() {
  if (const char* set = std::getenv("SLUICE_PLUGIN_DIRECTORY"); set != nullptr && *set != '\0') return set;
  char executable[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", executable, sizeof executable);
  if (length <= 0 || static_cast<size_t>(length) == sizeof executable) return {};
  std::string folder(executable, static_cast<size_t>(length));
  folder.erase(folder.rfind('/'));                       // the executable's folder
  if (!folder.empty()) folder.erase(folder.rfind('/'));  // its parent
  for (const char* place : {"/plugins", "/lib/sluice/plugins"}) {
    struct stat info {};
    if (::stat((folder + place).c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return folder + place;
  }
  return folder + "/plugins";
}

}  // namespace sluice::host
