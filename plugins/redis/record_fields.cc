// SPDX-License-Identifier: Apache-2.0
#include "redis/record_fields.hpp"

#include <nlohmann/json.hpp>

#include "redis/keys.hpp"

namespace sluice::redis {
namespace {

constexpr std::string_view kTimestamp = "timestamp";
constexpr std::string_view kHeader = "header.";
constexpr std::string_view kNullHeader = "null-header.";

std::string text_of(Bytes bytes) {
  return std::string(as_text(bytes));
}

/// Whether all fields are ones that we write; fills in `out` as far as it gets.
bool read_ours(ReplyView fields, const FieldNames& names, DecodedRecord& out) {
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string_view name = fields[i].text();
    const ReplyView value = fields[i + 1];
    if (name == names.key && !out.record.key) {
      out.record.key = value.bytes();
    } else if (name == names.value && !out.record.value) {
      out.record.value = value.bytes();
    } else if (name == kTimestamp) {
      const auto number = parse_number(value.text());
      if (!number || *number < records::kNoTimestamp) return false;
      out.record.timestamp = *number;
    } else if (name.starts_with(kHeader)) {
      out.headers.push_back({as_bytes(name.substr(kHeader.size())), value.bytes()});
    } else if (name.starts_with(kNullHeader) && value.text().empty()) {
      out.headers.push_back({as_bytes(name.substr(kNullHeader.size())), std::nullopt});
    } else {
      return false;
    }
  }
  return true;
}

std::string json_of(ReplyView fields) {
  auto object = nlohmann::ordered_json::object();
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    auto& place = object[std::string(fields[i].text())];
    std::string value(fields[i + 1].text());
    if (place.is_null()) {
      place = std::move(value);
    } else if (place.is_array()) {
      place.push_back(std::move(value));
    } else {
      place = nlohmann::ordered_json::array({place, std::move(value)});
    }
  }
  // JSON is UTF-8: what is not becomes U+FFFD.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

size_t field_arguments(const records::RecordView& record) {
  return 2 * (1 + (record.key ? 1U : 0U) + (record.value ? 1U : 0U) + static_cast<size_t>(record.headers_count));
}

void add_fields(Command& command, const FieldNames& names, const records::RecordView& record, int64_t timestamp) {
  if (record.key) command.add(names.key).lend(*record.key);
  if (record.value) command.add(names.value).lend(*record.value);
  command.add(kTimestamp).add(timestamp);
  records::HeaderIterator headers = record.headers();
  for (records::HeaderView header; headers.next(header);) {
    command.add((header.value ? std::string(kHeader) : std::string(kNullHeader)) + text_of(header.key));
    command.lend(header.value.value_or(Bytes()));
  }
}

bool decode_fields(ReplyView fields, const FieldNames& names, int64_t time_ms, DecodedRecord& out,
                   uint64_t most_bytes) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < fields.size(); ++i) bytes += fields[i].text().size();
  if (bytes > most_bytes) return false;
  out.record = {};
  out.record.timestamp = time_ms;
  out.headers.clear();
  if (!read_ours(fields, names, out)) {
    out.json = json_of(fields);
    out.headers.clear();
    out.record = {};
    out.record.timestamp = time_ms;
    out.record.value = as_bytes(out.json);
  }
  out.record.headers = out.headers;
  return true;
}

}  // namespace sluice::redis
