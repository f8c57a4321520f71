// SPDX-License-Identifier: Apache-2.0
#include "redis/entry.hpp"

#include <fmt/format.h>

#include <iterator>

namespace sluice::redis {
namespace {

constexpr std::string_view kMetaField = "m";
constexpr std::string_view kDataField = "d";

}  // namespace

void add_batch(Command& command, std::string_view key, const sluice_batch& batch, int64_t previous_end) {
  fmt::basic_memory_buffer<char, 64> meta;
  fmt::format_to(std::back_inserter(meta), "{}:{}:{}", previous_end, batch.base_offset, batch.max_timestamp);
  command.begin(8).add("XADD").add(key).add("NOMKSTREAM").add(entry_id(batch.last_offset));
  command.add(kMetaField).add(std::string_view(meta.data(), meta.size()));
  command.add(kDataField).lend({batch.data, batch.size});
}

std::optional<EntryId> entry_id_of(ReplyView element) {
  return parse_entry_id(element[0].text());
}

std::optional<BatchEntry> parse_batch(ReplyView element) {
  const auto id = entry_id_of(element);
  const ReplyView fields = element[1];
  if (!id || id->low != 1 || id->high >= static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  if (fields.size() != 4 || fields[0].text() != kMetaField || fields[2].text() != kDataField) return std::nullopt;
  const std::string_view meta = fields[1].text();
  const size_t first = meta.find(':');
  const size_t second = first == std::string_view::npos ? first : meta.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto previous_end = parse_number(meta.substr(0, first));
  const auto base = parse_number(meta.substr(first + 1, second - first - 1));
  const auto newest = parse_number(meta.substr(second + 1));
  if (!previous_end || !base || !newest) return std::nullopt;
  const BatchEntry entry{*previous_end, *base, static_cast<int64_t>(id->high), *newest, fields[3].bytes()};
  if (entry.previous_end < 0 || entry.base < entry.previous_end || entry.last < entry.base) return std::nullopt;
  if (entry.bytes.empty()) return std::nullopt;
  return entry;
}

}  // namespace sluice::redis
