// SPDX-License-Identifier: Apache-2.0
// What the commands print: tables, JSON, records as lines, progress. Pure but for print_json and Progress.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "cli/arguments.hpp"

namespace sluice::cli {

using Json = nlohmann::ordered_json;

/// Columns under headings, two blanks between them; columns whose cells are all numbers are set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

/// One object, indented, and a line end, on standard output.
void print_json(const Json& value);

/// Bytes in JSON: a text where they are UTF-8, else {"base64": "..."}.
Json json_of(std::string_view bytes);

/// "\t", "\n", "\r", "\0", "\\" and "\xHH" stand for what they do in C. INVALID for other uses of the backslash.
Result<std::string> unescape(std::string_view text);

/// "1.5 MB": powers of 1000, at most three digits and one decimal.
std::string human_bytes(uint64_t bytes);

/// A record as it was read; views into the client's memory.
struct RecordView {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp = -1;  // milliseconds since the epoch; -1: none
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::vector<std::pair<std::string_view, std::optional<std::string_view>>> headers;
};

/// One line, its end included. Bytes are as they are; null is "null". Headers are NAME=VALUE, with commas between.
std::string text_line(const RecordView& record, const std::vector<Field>& show, std::string_view separator);
/// One line with one object of all fields, in which null, empty and bytes that are no text can be told apart.
std::string json_line(const RecordView& record);

/// A line on standard error that says how far a long work is, where that is a terminal. One thread.
class Progress {
 public:
  /// `total`: 0 where it is not known.
  Progress(std::string what, int64_t total);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(int64_t records, uint64_t bytes);
  void clear();

 private:
  static constexpr std::chrono::milliseconds kInterval{200};
  const std::string what_;
  const int64_t total_;
  const bool shown_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_;
  bool dirty_ = false;
};

}  // namespace sluice::cli
