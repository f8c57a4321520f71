// SPDX-License-Identifier: Apache-2.0
#include "storage/plugins_config.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "storage/json_text.hpp"

namespace sluice::storage {
namespace {

constexpr size_t kMaxStorages = 64;
constexpr size_t kMaxRoutes = 1024;
constexpr size_t kMaxStorageNameChars = 64;
constexpr size_t kMaxPatternChars = 249;  // as long as a topic's name can be
constexpr size_t kMaxSecretBytes = 64 * 1024;

/// The whole content of a file of at most `most` bytes; the error's text is the reason alone.
Result<std::string> read_file(const std::string& path, size_t most) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    return fail(error == ENOENT || error == ENOTDIR ? StatusCode::not_found : StatusCode::denied, std::strerror(error),
                error);
  }
  struct stat info {};
  std::string content;
  Status status;
  if (::fstat(fd, &info) != 0) {
    status = Status(StatusCode::denied, std::strerror(errno), errno);
  } else if (!S_ISREG(info.st_mode)) {
    status = Status(StatusCode::invalid, "is not a file");
  }
  while (status.ok()) {
    char chunk[16384];
    const ssize_t count = ::read(fd, chunk, sizeof chunk);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) status = Status(StatusCode::denied, std::strerror(errno), errno);
    if (count <= 0) break;
    content.append(chunk, static_cast<size_t>(count));
    if (content.size() > most) status = Status(StatusCode::too_large, fmt::format("is longer than {} bytes", most));
  }
  ::close(fd);
  if (!status.ok()) return fail(std::move(status));
  return content;
}

/// One reading of a configuration. Methods say whether it goes on; the first error is kept.
class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  const Status& error() const { return error_; }

  bool read_all(const Json& root, PluginsConfig& config) {
    if (!expect_object(root, "", {"storages", "routes", "default", "internal"})) return false;
    const auto storages = root.find("storages");
    if (storages == root.end()) return refuse("storages", "is required: the storages by name");
    if (!read_storages(*storages, config)) return false;
    if (const auto routes = root.find("routes"); routes != root.end() && !read_routes(*routes, config)) return false;
    const auto standard = root.find("default");
    if (standard == root.end()) {
      return refuse("default", "is required: the storage of every topic that no route names");
    }
    if (!read_reference(*standard, "default", config, config.default_storage)) return false;
    config.internal_storage = config.default_storage;
    const auto internal = root.find("internal");
    return internal == root.end() || read_reference(*internal, "internal", config, config.internal_storage);
  }

  bool read_options(const Json& options, const std::string& path, host::OptionInputs& inputs) {
    if (!options.is_object()) return wrong_kind(options, path, "an object");
    for (const auto& [name, value] : options.items()) {
      host::OptionInput input;
      if (!read_option(value, member_path(path, name), input)) return false;
      inputs.emplace(name, std::move(input));
    }
    return true;
  }

 private:
  bool refuse(const std::string& path, std::string_view what) {
    error_ = Status(StatusCode::invalid,
                    path.empty() ? fmt::format("{}: {}", file_, what) : fmt::format("{}: {}: {}", file_, path, what));
    return false;
  }

  bool wrong_kind(const Json& value, const std::string& path, std::string_view wanted) {
    return refuse(path, fmt::format("must be {}, and is {}", wanted, kind_of(value)));
  }

  /// An object with none but these names.
  bool expect_object(const Json& value, const std::string& path, const std::vector<std::string>& known) {
    if (!value.is_object()) return wrong_kind(value, path, "an object");
    for (const auto& [name, member] : value.items()) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      const std::optional<std::string> near = host::nearest_name(name, known);
      return refuse(member_path(path, name), near ? fmt::format("unknown name, did you mean \"{}\"?", *near)
                                                  : fmt::format("unknown name; known are {}", fmt::join(known, ", ")));
    }
    return true;
  }

  /// A text that is not empty and has no zero byte.
  bool read_text(const Json& value, const std::string& path, std::string& text) {
    if (!value.is_string()) return wrong_kind(value, path, "a text");
    text = value.get_ref<const std::string&>();
    if (text.empty()) return refuse(path, "is empty");
    if (text.find('\0') != std::string::npos) return refuse(path, "holds a zero byte");
    return true;
  }

  bool read_flag(const Json& object, const char* name, const std::string& path, bool& flag) {
    const auto it = object.find(name);
    if (it == object.end()) return true;
    if (!it->is_boolean()) return wrong_kind(*it, member_path(path, name), "true or false");
    flag = it->get<bool>();
    return true;
  }

  bool read_storages(const Json& storages, PluginsConfig& config) {
    if (!storages.is_object()) return wrong_kind(storages, "storages", "an object");
    if (storages.empty()) return refuse("storages", "is empty: at least one storage is needed");
    if (storages.size() > kMaxStorages) {
      return refuse("storages", fmt::format("has {} storages, {} is the most", storages.size(), kMaxStorages));
    }
    for (const auto& [name, value] : storages.items()) {
      StorageConfig storage;
      storage.name = name;
      storage.json_path = member_path("storages", name);
      if (!read_storage(value, storage)) return false;
      config.storages.push_back(std::move(storage));
    }
    const bool any =
        std::any_of(config.storages.begin(), config.storages.end(), [](const auto& s) { return s.enabled; });
    return any || refuse("storages", "none is enabled");
  }

  bool read_storage(const Json& value, StorageConfig& storage) {
    const std::string& path = storage.json_path;
    const bool fit = !storage.name.empty() && storage.name.size() <= kMaxStorageNameChars &&
                     std::all_of(storage.name.begin(), storage.name.end(), [](unsigned char c) {
                       return c < 128 && (std::isalnum(c) != 0 || c == '_' || c == '-');
                     });
    if (!fit) {
      return refuse(path,
                    fmt::format("the name of a storage is 1 to {} letters, digits, '_' and '-'", kMaxStorageNameChars));
    }
    if (!expect_object(value, path, {"library", "enabled", "required", "options"})) return false;
    const auto library = value.find("library");
    const std::string library_path = member_path(path, "library");
    if (library == value.end())
      return refuse(library_path, "is required: an adapter's name, or the absolute path of one");
    if (!read_text(*library, library_path, storage.library)) return false;
    // The folder does not matter here: only the form of the name is looked at.
    if (const Result<std::string> file = host::resolve_library(storage.library, "the plugin folder"); !file) {
      return refuse(library_path, file.error().text());
    }
    if (!read_flag(value, "enabled", path, storage.enabled)) return false;
    if (!read_flag(value, "required", path, storage.required)) return false;
    const auto options = value.find("options");
    if (options == value.end()) return true;
    if (storage.enabled) return read_options(*options, member_path(path, "options"), storage.options);
    // A storage that is only shown needs no secrets yet.
    return options->is_object() || wrong_kind(*options, member_path(path, "options"), "an object");
  }

  bool read_option(const Json& value, const std::string& path, host::OptionInput& input) {
    switch (value.type()) {
      case Json::value_t::string:
        input = value.get<std::string>();
        return true;
      case Json::value_t::boolean:
        input = value.get<bool>();
        return true;
      case Json::value_t::number_float:
        input = value.get<double>();
        return true;
      case Json::value_t::number_integer:
        input = value.get<int64_t>();
        return true;
      case Json::value_t::number_unsigned: {
        constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
        if (value.get<uint64_t>() > kMost) return refuse(path, fmt::format("is above {}", kMost));
        input = value.get<int64_t>();
        return true;
      }
      case Json::value_t::object:
        return read_secret(value, path, input);
      case Json::value_t::null:
        return refuse(path, "is null: leave it out to have its default");
      default:
        return wrong_kind(value, path, "a text, a number, true or false, {\"env\": ...} or {\"file\": ...}");
    }
  }

  bool read_secret(const Json& value, const std::string& path, host::OptionInput& input) {
    if (!expect_object(value, path, {"env", "file"})) return false;
    if (value.size() != 1) return refuse(path, "must name one source, {\"env\": \"NAME\"} or {\"file\": \"/path\"}");
    const std::string& source = value.begin().key();
    const std::string source_path = member_path(path, source);
    std::string name;
    if (!read_text(value.begin().value(), source_path, name)) return false;
    if (source == "env") {
      const char* found = std::getenv(name.c_str());
      if (found == nullptr) return refuse(source_path, fmt::format("the environment has no {}", in_quotes(name)));
      input = std::string(found);
      return true;
    }
    if (name.front() != '/') return refuse(source_path, fmt::format("{} is not an absolute path", in_quotes(name)));
    Result<std::string> content = read_file(name, kMaxSecretBytes);
    if (!content) return refuse(source_path, fmt::format("{}: {}", in_quotes(name), content.error().text()));
    // The line end that editors leave is not part of the secret.
    if (content->ends_with('\n')) content->pop_back();
    if (content->ends_with('\r')) content->pop_back();
    input = std::move(*content);
    return true;
  }

  /// The name of an enabled storage.
  bool read_reference(const Json& value, const std::string& path, const PluginsConfig& config, std::string& name) {
    if (!read_text(value, path, name)) return false;
    const StorageConfig* storage = config.find(name);
    if (storage != nullptr && storage->enabled) return true;
    if (storage != nullptr) return refuse(path, fmt::format("storage \"{}\" is not enabled", name));
    std::vector<std::string> enabled;
    for (const StorageConfig& each : config.storages) {
      if (each.enabled) enabled.push_back(each.name);
    }
    const std::optional<std::string> near = host::nearest_name(name, enabled);
    return refuse(
        path, near ? fmt::format("there is no storage {}, did you mean \"{}\"?", in_quotes(name), *near)
                   : fmt::format("there is no storage {}; enabled are {}", in_quotes(name), fmt::join(enabled, ", ")));
  }

  bool read_routes(const Json& routes, PluginsConfig& config) {
    if (!routes.is_array()) return wrong_kind(routes, "routes", "a list");
    if (routes.size() > kMaxRoutes) {
      return refuse("routes", fmt::format("has {} routes, {} is the most", routes.size(), kMaxRoutes));
    }
    for (size_t i = 0; i < routes.size(); ++i) {
      const Json& value = routes[i];
      const std::string path = element_path("routes", i);
      if (!expect_object(value, path, {"topics", "storage"})) return false;
      RouteConfig route;
      const auto topics = value.find("topics");
      if (topics == value.end())
        return refuse(member_path(path, "topics"), "is required: a pattern such as \"metrics.*\"");
      if (!read_pattern(*topics, member_path(path, "topics"), route.topics)) return false;
      const auto storage = value.find("storage");
      if (storage == value.end()) return refuse(member_path(path, "storage"), "is required: the name of a storage");
      if (!read_reference(*storage, member_path(path, "storage"), config, route.storage)) return false;
      config.routes.push_back(std::move(route));
    }
    return true;
  }

  bool read_pattern(const Json& value, const std::string& path, std::string& pattern) {
    if (!read_text(value, path, pattern)) return false;
    if (pattern.size() > kMaxPatternChars) {
      return refuse(path, fmt::format("is {} characters long, {} is the most", pattern.size(), kMaxPatternChars));
    }
    const bool legal = std::all_of(pattern.begin(), pattern.end(), [](unsigned char c) {
      return c < 128 && (std::isalnum(c) != 0 || std::strchr("._-*?", c) != nullptr);
    });
    return legal ||
           refuse(path, "can match no topic: letters, digits, '.', '_' and '-' make names, '*' and '?' stand for them");
  }

  const std::string& file_;
  Status error_;
};

}  // namespace

const StorageConfig* PluginsConfig::find(std::string_view name) const {
  const auto it =
      std::find_if(storages.begin(), storages.end(), [&](const auto& storage) { return storage.name == name; });
  return it == storages.end() ? nullptr : &*it;
}

const std::string& PluginsConfig::route(std::string_view topic) const {
  for (const RouteConfig& route : routes) {
    if (matches_pattern(route.topics, topic)) return route.storage;
  }
  return default_storage;
}

bool matches_pattern(std::string_view pattern, std::string_view topic) {
  // Where matching goes on when it fails: one character further than last time for the newest '*'. Older ones need no
  // other try.
  size_t p = 0, t = 0, star = std::string_view::npos, star_topic = 0;
  while (t < topic.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_topic = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == topic[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_topic;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<PluginsConfig> parse_plugins_config(std::string_view text, const std::string& file) {
  const Result<Json> root = parse_json(text, file);
  if (!root) return fail(root.error());
  PluginsConfig config;
  config.file = file;
  Reader reader(file);
  if (!reader.read_all(*root, config)) return fail(reader.error());
  return config;
}

Result<host::OptionInputs> parse_options(std::string_view text, const std::string& source) {
  const Result<Json> root = parse_json(text, source);
  if (!root) return fail(root.error());
  host::OptionInputs inputs;
  Reader reader(source);
  if (!reader.read_options(*root, "", inputs)) return fail(reader.error());
  return inputs;
}

std::string option_path(const StorageConfig& storage, std::string_view option) {
  return option.empty() ? storage.json_path : member_path(member_path(storage.json_path, "options"), option);
}

Result<PluginsConfig> read_plugins_config(const std::string& file) {
  const Result<std::string> text = read_file(file, kMaxConfigBytes);
  if (!text) return fail(text.error().in(file));
  return parse_plugins_config(*text, file);
}

Result<std::string> find_plugins_config(const std::string& given, const std::string& data_directory) {
  const auto present = [](const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::exists(path, error) && !error;
  };
  if (!given.empty()) {
    if (present(given)) return given;
    return fail(StatusCode::not_found, fmt::format("{}: no such file", given));
  }
  std::vector<std::string> places;
  if (!data_directory.empty()) places.push_back((std::filesystem::path(data_directory) / "plugins.json").string());
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back((executable.parent_path().parent_path() / "share" / "sluice" / "plugins.json").string());
  }
  for (const std::string& place : places) {
    if (present(place)) return place;
  }
  return fail(StatusCode::not_found, fmt::format("no plugins.json: looked for {}", fmt::join(places, " and ")));
}

}  // namespace sluice::storage
