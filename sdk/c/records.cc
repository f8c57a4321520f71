// SPDX-License-Identifier: Apache-2.0
#include "c/records.hpp"

#include <fmt/format.h>

namespace sluice::c {

namespace {

Verdict fields_of(const sluice_field* fields, uint64_t count, std::string_view array, std::vector<Header>& headers) {
  headers.clear();
  if (count == 0) return {};
  if (count > kMaxHeaders)
    return Status(StatusCode::too_large, fmt::format("{} {}; at most {}", count, array, kMaxHeaders));
  if (fields == nullptr) return Status(StatusCode::invalid, fmt::format("{} {} at NULL", count, array));
  headers.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto index = static_cast<int64_t>(i);
    const auto name = bytes_of(fields[i].name, fmt::format("{}[{}].name", array, i));
    if (!name) return {name.error(), index};
    if (!*name) return {Status(StatusCode::invalid, fmt::format("{}[{}].name is null", array, i)), index};
    const auto value = bytes_of(fields[i].value, fmt::format("{}[{}].value", array, i));
    if (!value) return {value.error(), index};
    headers.push_back({as_text(**name), *value});
  }
  return {};
}

}  // namespace

Verdict headers_of(const sluice_field* fields, uint64_t count, std::vector<Header>& headers) {
  return fields_of(fields, count, "headers", headers);
}

Verdict pairs_of(const sluice_field* fields, uint64_t count, std::string_view name,
                 std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<Header> headers;
  if (Verdict verdict = fields_of(fields, count, name, headers); !verdict.status.ok()) return verdict;
  for (const Header& header : headers) {
    if (!header.value) {
      return {Status(StatusCode::invalid, fmt::format("{}[{}].value is null", name, pairs.size())),
              static_cast<int64_t>(pairs.size())};
    }
    pairs.emplace_back(header.name, as_text(*header.value));
  }
  return {};
}

void RecordViews::reserve(size_t record_count, size_t header_count) {
  records.reserve(record_count);
  fields.reserve(header_count);
}

sluice_record& RecordViews::add(const Record& record) {
  sluice_record& made = records.emplace_back();
  made.position = record.position;
  made.timestamp_ns = record.timestamp_ns;
  made.key = span_of(record.key);
  made.value = span_of(record.value);
  made.partition = record.partition;
  const size_t first = fields.size();
  const auto most = static_cast<size_t>(record.headers.count());
  record.headers.each([&](const Header& header) {
    if (fields.size() - first < most) fields.push_back({span_of(as_bytes(header.name)), span_of(header.value)});
    return fields.size() - first < most;
  });
  made.headers = fields.size() == first ? nullptr : fields.data() + first;
  made.header_count = static_cast<uint32_t>(fields.size() - first);
  return made;
}

Verdict records_of(const sluice_record* given, uint64_t count, RecordList& list) {
  if (count > kMaxBatchEvents) {
    return Status(StatusCode::too_large, fmt::format("{} records; at most {}", count, kMaxBatchEvents));
  }
  if (given == nullptr && count != 0) return Status(StatusCode::invalid, fmt::format("{} records at NULL", count));
  list.records.resize(count);
  list.headers.resize(count);
  for (uint64_t i = 0; i < count; ++i) {
    const sluice_record& from = given[i];
    const auto refused = [i](const Status& status) {
      return Verdict(status.in(fmt::format("records[{}]", i)), static_cast<int64_t>(i));
    };
    if (Verdict verdict = headers_of(from.headers, from.header_count, list.headers[i]); !verdict.status.ok()) {
      return refused(verdict.status);
    }
    const auto key = bytes_of(from.key, "key");
    if (!key) return refused(key.error());
    const auto value = bytes_of(from.value, "value");
    if (!value) return refused(value.error());
    Record& record = list.records[i];
    record.position = from.position;
    record.timestamp_ns = from.timestamp_ns;
    record.partition = from.partition;
    record.key = *key;
    record.value = *value;
    record.headers = Headers(list.headers[i]);
  }
  return {};
}

}  // namespace sluice::c
