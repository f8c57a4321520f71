// SPDX-License-Identifier: Apache-2.0
#include "cli/records.hpp"

#include <fmt/format.h>

#include <limits>

namespace sluice::cli {
namespace {

constexpr int64_t kNanosPerMs = 1'000'000;

int64_t to_nanoseconds(int64_t ms) {
  int64_t ns = 0;
  return __builtin_mul_overflow(ms, kNanosPerMs, &ns) ? kNoTimestamp : ns;
}

/// The inverse of what json_of() does to bytes that are no text.
std::optional<std::string> from_base64(const std::string& text) {
  if (text.size() % 4 != 0) return std::nullopt;
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  uint32_t group = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t digit = i < text.size() - padding ? kDigits.find(text[i]) : 0;
    if (digit == std::string_view::npos) return std::nullopt;
    group = group << 6 | static_cast<uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes += static_cast<char>(group >> shift & 0xff);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

class LineReader {
 public:
  explicit LineReader(StoredRecord& stored) : stored_(stored) {}

  Status read(const Json& line) {
    if (!line.is_object()) return wrong("", "is no JSON object");
    for (const auto& [name, value] : line.items()) {
      if (Status status = member(name, value); !status.ok()) return status;
    }
    stored_.record.headers = Headers(stored_.headers);
    return {};
  }

 private:
  static Status wrong(const std::string& where, const char* what) {
    return Status(StatusCode::invalid, where.empty() ? what : fmt::format("{}: {}", where, what));
  }

  Status member(const std::string& name, const Json& value) {
    Record& record = stored_.record;
    if (name == "topic") return {};
    if (name == "key") return bytes(name, value, record.key);
    if (name == "value") return bytes(name, value, record.value);
    if (name == "headers") return headers(value);
    int64_t partition = 0;
    if (name == "partition") {
      Status status = number(name, value, std::numeric_limits<int32_t>::max(), partition);
      record.partition = static_cast<int32_t>(partition);
      return status;
    }
    if (name == "offset") return number(name, value, std::numeric_limits<int64_t>::max(), record.position);
    if (name != "timestamp") return wrong(name, "is no member of a record");
    if (value.is_null()) return {};
    int64_t ms = 0;
    Status status = number(name, value, std::numeric_limits<int64_t>::max(), ms);
    record.timestamp_ns = to_nanoseconds(ms);
    return status;
  }

  static Status number(const std::string& name, const Json& value, int64_t max, int64_t& number) {
    const bool whole = value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(max);
    if (!whole) return wrong(name, "expected a whole number");
    number = value.get<int64_t>();
    return {};
  }

  Status bytes(const std::string& name, const Json& value, std::optional<Bytes>& bytes) {
    std::optional<std::string> found;
    if (value.is_null()) return {};
    if (value.is_string()) found = value.get<std::string>();
    if (value.is_object() && value.size() == 1 && value.contains("base64") && value["base64"].is_string()) {
      found = from_base64(value["base64"].get<std::string>());
    }
    if (!found) return wrong(name, "expected a string, null, or {\"base64\": \"...\"}");
    bytes = as_bytes(stored_.bytes.emplace_back(std::move(*found)));
    return {};
  }

  Status headers(const Json& value) {
    if (!value.is_array()) return wrong("headers", "expected an array");
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string where = fmt::format("headers[{}]", i);
      if (!value[i].is_object() || !value[i].contains("name") || !value[i].contains("value")) {
        return wrong(where, "expected an object with name and value");
      }
      Header header;
      std::optional<Bytes> name;
      Status status = bytes(where, value[i]["name"], name);
      if (status.ok()) status = bytes(where, value[i]["value"], header.value);
      if (!status.ok()) return status;
      if (!name) return wrong(where, "a header has a name");
      header.name = as_text(*name);
      stored_.headers.push_back(header);
    }
    return {};
  }

  StoredRecord& stored_;
};

}  // namespace

Result<StoredRecord> record_of_line(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded()) return fail(StatusCode::invalid, "is no JSON");
  StoredRecord stored;
  if (Status status = LineReader(stored).read(json); !status.ok()) return fail(std::move(status));
  return stored;
}

Record record_of(const RecordView& view, std::vector<Header>& headers) {
  Record record;
  record.partition = view.partition;
  record.position = view.offset;
  if (view.timestamp >= 0) record.timestamp_ns = to_nanoseconds(view.timestamp);
  if (view.key) record.key = as_bytes(*view.key);
  if (view.value) record.value = as_bytes(*view.value);
  headers.clear();
  for (const auto& [name, value] : view.headers) {
    Header& header = headers.emplace_back();
    header.name = name;
    if (value) header.value = as_bytes(*value);
  }
  record.headers = Headers(headers);
  return record;
}

}  // namespace sluice::cli
