// SPDX-License-Identifier: Apache-2.0
// What the SDK's cursors say, and how to put one elsewhere.
#include "sluice/cursor.hpp"

#include <fmt/format.h>

#include <iostream>

#include "cli/commands.hpp"
#include "cli/text.hpp"

namespace sluice::cli {
namespace {

Result<Cursor> read_cursor(const std::string& text) {
  if (text != "-") return Cursor::decode(text);
  std::string line;
  for (char c; line.size() <= kMaxCursorTextBytes && std::cin.get(c) && c != '\n';) line += c;
  if (line.ends_with('\r')) line.pop_back();
  return Cursor::decode(line);
}

}  // namespace

Status run(const CursorShow& command, const Common& common) {
  const auto cursor = read_cursor(command.text);
  if (!cursor) return cursor.error();
  if (common.json) {
    Json shards = Json::array();
    for (size_t i = 0; i < cursor->size(); ++i) {
      shards.push_back({{"shard", json_of(cursor->at(i).id)}, {"next", cursor->at(i).next}});
    }
    print_json({{"version", 1}, {"shards", std::move(shards)}});
    return {};
  }
  Table table({"SHARD", "NEXT"});
  for (size_t i = 0; i < cursor->size(); ++i) {
    table.add({std::string(cursor->at(i).id), std::to_string(cursor->at(i).next)});
  }
  fmt::print("{}", table.text());
  return {};
}

Status run(const CursorSet& command, const Common& common) {
  auto cursor = read_cursor(command.text);
  if (!cursor) return cursor.error();
  for (const std::string& place : command.places) {
    const size_t equals = place.rfind('=');  // ids may have one
    if (equals == std::string::npos)
      return Status(StatusCode::invalid, fmt::format("\"{}\" is not ID=POSITION", place));
    const auto position = parse_position(std::string_view(place).substr(equals + 1));
    if (!position) return position.error().in(place);
    if (Status status = cursor->set(place.substr(0, equals), *position); !status) return status.in(place);
  }
  if (common.json) {
    print_json({{"cursor", cursor->encode()}});
  } else {
    fmt::print("{}\n", cursor->encode());
  }
  return {};
}

}  // namespace sluice::cli
