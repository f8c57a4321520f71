// SPDX-License-Identifier: Apache-2.0
// Reading a configuration given as JSON: each field by name, type and range, and at the end nothing may be left over.
// The first thing that is wrong is kept, with the path of its field ("bus.shards.max: ..."); readers below it share the
// verdict, so that a whole configuration is read in one pass and judged once. One thread at a time.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/retry.hpp"
#include "base/status.hpp"

namespace sluice::c {

inline constexpr size_t kMaxConfigBytes = 1 << 20;
inline constexpr size_t kMaxConfigDepth = 32;

/// What a check of settings found, whose text begins with a field's name, with the field's path in a configuration. The
/// names may begin with `prefix` ("consumer."), which a configuration does not have.
Status at_path(const Status& found, std::string_view path, std::string_view prefix = {});

class ConfigReader {
 public:
  /// Parses `text`. The verdict of text that is no JSON object names the byte that is at fault.
  static ConfigReader parse(std::string_view text);

  /// The fields; a wrong type or a value out of range is the verdict, and the default comes back.
  std::string text(std::string_view name, std::string otherwise = {});
  std::string required_text(std::string_view name);
  int64_t integer(std::string_view name, int64_t otherwise, int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = std::numeric_limits<int64_t>::max());
  /// An unsigned integer that fits the type of `otherwise`.
  template <std::unsigned_integral T>
  T natural(std::string_view name, T otherwise, T least = 0, T most = std::numeric_limits<T>::max()) {
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    return static_cast<T>(integer(name, static_cast<int64_t>(otherwise), static_cast<int64_t>(least),
                                  static_cast<int64_t>(std::min<uint64_t>(most, kMost))));
  }
  double number(std::string_view name, double otherwise, double least, double most);
  bool boolean(std::string_view name, bool otherwise);
  /// The index of the field's text in `choices`.
  size_t choice(std::string_view name, const std::vector<std::string_view>& choices, size_t otherwise);
  bool has(std::string_view name) const;
  /// A reader of the object there; empty where there is none.
  ConfigReader object(std::string_view name);
  /// Readers of the objects of the array there; none where there is none.
  std::vector<ConfigReader> objects(std::string_view name);
  std::vector<std::string> texts(std::string_view name);
  /// Every name and text of the object there, as a table of settings (numbers and booleans as their JSON text).
  std::vector<std::pair<std::string, std::string>> settings(std::string_view name);
  /// The value as it is, and counted as read; nullptr where there is none.
  const nlohmann::json* raw(std::string_view name);

  /// Says that the field is at fault, from outside.
  void refuse(std::string_view name, const std::string& why);
  /// Says what a check of the settings found that were read here; see at_path. OK: nothing.
  void judge(const Status& found, std::string_view prefix = {});
  /// Ends this object: a field that nobody read is a fault.
  void finish();
  /// OK, or the first fault of this reader and all that share its text.
  Status verdict() const;
  const std::string& path() const { return path_; }

 private:
  struct Shared;
  ConfigReader(std::shared_ptr<Shared> shared, const nlohmann::json* value, std::string path)
      : shared_(std::move(shared)), value_(value), path_(std::move(path)) {}
  std::string path_of(std::string_view name) const;

  std::shared_ptr<Shared> shared_;
  const nlohmann::json* value_;  // an object, or nullptr
  std::string path_;
  std::set<std::string, std::less<>> read_;
};

/// Reads `retry`, by RetryPolicy's own names.
RetryPolicy read_retry(ConfigReader& config);

/// A report as JSON, as write_text does. Bytes that are no UTF-8 are replaced.
Status write_json(const nlohmann::json& report, char* buffer, uint64_t capacity, uint64_t* needed);

}  // namespace sluice::c
