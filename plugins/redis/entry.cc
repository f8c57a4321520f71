// SPDX-License-Identifier: Apache-2.0
#include "redis/entry.hpp"

#include <fmt/format.h>

#include <iterator>

namespace sluice::redis {
namespace {

constexpr std::string_view kMetaField = "m";
constexpr std::string_view kDataField = "d";
constexpr size_t kFieldsPerBatch = 4;  // two names, two values

/// "PREVIOUS:BASE:NEWEST"; the rest of a batch stays to be filled in.
std::optional<BatchEntry> parse_meta(std::string_view meta) {
  const size_t first = meta.find(':');
  const size_t second = first == std::string_view::npos ? first : meta.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto previous_end = parse_number(meta.substr(0, first));
  const auto base = parse_number(meta.substr(first + 1, second - first - 1));
  const auto newest = parse_number(meta.substr(second + 1));
  if (!previous_end || *previous_end < 0 || !base || !newest) return std::nullopt;
  return BatchEntry{*previous_end, *base, 0, *newest, {}};
}

}  // namespace

void add_unit(Command& command, std::string_view key, std::span<const sluice_batch> batches, int64_t previous_end) {
  command.begin(4 + batch_arguments(batches.size())).add("XADD").add(key).add("NOMKSTREAM");
  command.add(entry_id(batches.back().last_offset));
  add_batches(command, batches, previous_end);
}

size_t batch_arguments(size_t batches) {
  return kFieldsPerBatch * batches;
}

void add_batches(Command& command, std::span<const sluice_batch> batches, int64_t previous_end) {
  for (const sluice_batch& batch : batches) {
    fmt::basic_memory_buffer<char, 64> meta;
    fmt::format_to(std::back_inserter(meta), "{}:{}:{}", previous_end, batch.base_offset, batch.max_timestamp);
    command.add(kMetaField).add(std::string_view(meta.data(), meta.size()));
    command.add(kDataField).lend({batch.data, batch.size});
    previous_end = batch.last_offset + 1;
  }
}

std::optional<EntryId> entry_id_of(ReplyView element) {
  return parse_entry_id(element[0].text());
}

bool parse_unit(ReplyView element, std::vector<BatchEntry>& batches) {
  batches.clear();
  const auto id = entry_id_of(element);
  const ReplyView fields = element[1];
  if (!id || id->low != 1 || id->high >= static_cast<uint64_t>(INT64_MAX)) return false;
  if (fields.size() == 0 || fields.size() % kFieldsPerBatch != 0) return false;
  for (size_t at = 0; at < fields.size(); at += kFieldsPerBatch) {
    if (fields[at].text() != kMetaField || fields[at + 2].text() != kDataField) return false;
    const auto batch = parse_meta(fields[at + 1].text());
    if (!batch) return false;
    if (!batches.empty()) batches.back().last = batch->previous_end - 1;
    batches.push_back(*batch);
    batches.back().bytes = fields[at + 3].bytes();
  }
  batches.back().last = static_cast<int64_t>(id->high);
  int64_t end = 0;  // at least, before each of them
  for (const BatchEntry& batch : batches) {
    if (batch.previous_end < end || batch.base < batch.previous_end || batch.last < batch.base) return false;
    if (batch.bytes.empty()) return false;
    end = batch.last + 1;
  }
  return true;
}

uint64_t unit_bytes(ReplyView element) {
  const ReplyView fields = element[1];
  uint64_t bytes = 0;
  for (size_t at = 3; at < fields.size(); at += kFieldsPerBatch) bytes += fields[at].text().size();
  return bytes;
}

}  // namespace sluice::redis
