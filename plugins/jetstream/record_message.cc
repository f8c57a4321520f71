// SPDX-License-Identifier: Apache-2.0
#include "jetstream/record_message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <tuple>

#include "jetstream/entry.hpp"

namespace sluice::jetstream {
namespace {

constexpr std::string_view kVersion = "1 record";
constexpr std::string_view kEscapedName = "Kafka-";
constexpr std::string_view kBucketOperation = "KV-Operation";
constexpr std::string_view kHexadecimal = "0123456789ABCDEF";
constexpr size_t kMessageFrameBytes = 12;  // "NATS/1.0\r\n" and the empty line
constexpr size_t kLineFrameBytes = 4;      // ": " and "\r\n"

enum class Form { text, encoded, empty, null };

bool is_token(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != 0 && std::string_view("!#$&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos);
}

bool begins_with(std::string_view text, std::string_view lower_case) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; };
  return text.size() >= lower_case.size() && std::equal(lower_case.begin(), lower_case.end(), text.begin(),
                                                        [&](char lower, char c) { return same(c, lower); });
}

/// Whether a header may be called so as it is: servers and clients see nothing of their own in it.
bool is_plain_name(std::string_view name) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) { return is_token(static_cast<uint8_t>(c)); }))
    return false;
  for (const std::string_view taken : {"nats-", "sluice", "kafka-"}) {
    if (begins_with(name, taken)) return false;
  }
  for (const std::string_view taken : {"status", "description"}) {
    if (name.size() == taken.size() && begins_with(name, taken)) return false;
  }
  return true;
}

/// How long the UTF-8 character at the front is; 0: it is none.
size_t utf8_length(Bytes text) {
  const uint8_t first = text[0];
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
  const bool surrogate = first == 0xed && text[1] > 0x9f;
  return overlong || surrogate || (first == 0xf4 && text[1] > 0x8f) ? 0 : length;
}

/// A line of UTF-8 that no client trims.
bool is_plain_text(Bytes text) {
  if (!text.empty() && (text.front() == ' ' || text.back() == ' ')) return false;
  while (!text.empty()) {
    if (text[0] < ' ' || text[0] == 0x7f) return false;
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text = text.subspan(length);
  }
  return true;
}

template <class Keeps>
std::string percent_encoded(Bytes bytes, Keeps keeps) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t c = bytes[i];
    if (keeps(i, c)) {
      text += static_cast<char>(c);
    } else {
      text += '%';
      text += kHexadecimal[c >> 4];
      text += kHexadecimal[c & 15];
    }
  }
  return text;
}

std::string encoded_value(Bytes value) {
  return percent_encoded(value, [&](size_t i, uint8_t c) {
    if (c == ' ') return i > 0 && i + 1 < value.size();
    return c > ' ' && c < 0x7f && c != '%';
  });
}

std::string encoded_name(Bytes name) {
  return percent_encoded(name, [](size_t, uint8_t c) { return is_token(c); });
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    uint8_t value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [at, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || at != text.data() + i + 3) return std::nullopt;
    bytes += static_cast<char>(value);
    i += 2;
  }
  return bytes;
}

/// What a header called `name` is called in NATS; `encoded`: the name, as encoded_name() gives it.
std::string native_name(std::string_view name, std::string_view encoded) {
  return is_plain_name(name) ? std::string(name) : fmt::format("{}{}", kEscapedName, encoded);
}

std::string_view form_name(Form form) {
  switch (form) {
    case Form::text:
      return "text";
    case Form::encoded:
      return "encoded";
    case Form::empty:
      return "empty";
    default:
      return "null";
  }
}

Form form_of(const records::OptionalBytes& bytes) {
  if (!bytes) return Form::null;
  if (bytes->empty()) return Form::empty;
  return is_plain_text(*bytes) ? Form::text : Form::encoded;
}

/// Whether a header of NATS holds it.
bool is_written(Form form) {
  return form == Form::text || form == Form::encoded;
}

std::string written(Bytes bytes, Form form) {
  return form == Form::text ? std::string(as_text(bytes)) : encoded_value(bytes);
}

std::optional<Form> parse_form(std::string_view text) {
  for (const Form form : {Form::text, Form::encoded, Form::empty, Form::null}) {
    if (text == form_name(form)) return form;
  }
  return std::nullopt;
}

std::string_view take(std::string_view& text, char separator) {
  const size_t size = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, size);
  text.remove_prefix(std::min(size + 1, text.size()));
  return part;
}

/// The bytes of the next value of that name, which is in this form.
std::optional<records::OptionalBytes> restored(HeaderValues& values, std::string_view name, Form form,
                                               DecodedRecord& out) {
  if (form == Form::null) return records::OptionalBytes();
  if (form == Form::empty) return records::OptionalBytes(Bytes());
  const auto value = values.take(name);
  if (!value) return std::nullopt;
  if (form == Form::text) return records::OptionalBytes(as_bytes(*value));
  auto bytes = percent_decoded(*value);
  if (!bytes) return std::nullopt;
  return records::OptionalBytes(as_bytes(out.texts.emplace_back(std::move(*bytes))));
}

bool restore_headers(std::string_view list, HeaderValues& values, DecodedRecord& out) {
  while (!list.empty()) {
    std::string_view form_text = take(list, ',');
    const std::string_view encoded = take(form_text, ':');
    const auto form = form_text.empty() ? Form::text : parse_form(form_text);
    auto name = percent_decoded(encoded);
    if (!form || !name) return false;
    const auto bytes = restored(values, native_name(*name, encoded), *form, out);
    if (!bytes) return false;
    out.headers.push_back({as_bytes(out.texts.emplace_back(std::move(*name))), *bytes});
  }
  return true;
}

bool decode_ours(std::string_view description, const StoredMessage& message, DecodedRecord& out) {
  HeaderValues& values = out.values;
  values.assign(message.headers);
  bool timed = false;
  out.record.value = message.payload;
  while (!description.empty()) {
    std::string_view content = take(description, ' ');
    const std::string_view name = take(content, '=');
    if (name == "time") {
      const auto [at, error] = std::from_chars(content.data(), content.data() + content.size(), out.record.timestamp);
      timed = error == std::errc() && at == content.data() + content.size();
    } else if (name == "key") {
      const auto form = parse_form(content);
      if (!form) return false;
      const auto key = restored(values, kKeyHeader, *form, out);
      if (!key) return false;
      out.record.key = *key;
    } else if (name == "value" && content == "null") {
      out.record.value.reset();
    } else if (name == "headers") {
      if (!restore_headers(content, values, out)) return false;
    } else {
      return false;
    }
  }
  return timed;
}

void decode_foreign(const StoredMessage& message, std::string_view own_subject, DecodedRecord& out) {
  out.record.timestamp = message.stored_ms;
  out.record.value = message.payload;
  HeaderViews sorted = message.headers;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, value] : sorted) {
    if (name == kKeyHeader && !out.record.key) {
      out.record.key = as_bytes(value);
      continue;
    }
    // What was deleted from a bucket is what Kafka calls a tombstone.
    if (name == kBucketOperation && message.payload.empty()) out.record.value.reset();
    out.headers.push_back({as_bytes(name), as_bytes(value)});
  }
  if (!out.record.key && message.subject != own_subject) out.record.key = as_bytes(message.subject);
}

}  // namespace

void HeaderValues::assign(const HeaderViews& headers) {
  values_.clear();
  for (const auto& [name, value] : headers) values_.push_back({name, values_.size(), value});
  std::sort(values_.begin(), values_.end(),
            [](const Value& a, const Value& b) { return std::tie(a.name, a.place) < std::tie(b.name, b.place); });
}

std::optional<std::string_view> HeaderValues::take(std::string_view name) {
  const auto first = std::lower_bound(values_.begin(), values_.end(), name,
                                      [](const Value& value, std::string_view wanted) { return value.name < wanted; });
  if (first == values_.end()) return std::nullopt;
  const size_t at = static_cast<size_t>(first - values_.begin()) + first->taken;
  if (at >= values_.size() || values_[at].name != name) return std::nullopt;
  ++first->taken;
  return values_[at].value;
}

Headers record_headers(const records::RecordView& record, int64_t timestamp) {
  Headers made;
  std::string description = fmt::format("{} time={}", kVersion, timestamp);
  made.emplace_back(kEntryHeader, "");
  if (record.key) {
    const Form form = form_of(record.key);
    description += fmt::format(" key={}", form_name(form));
    if (is_written(form)) made.emplace_back(kKeyHeader, written(*record.key, form));
  }
  if (!record.value) description += " value=null";
  records::HeaderIterator headers = record.headers();
  bool first = true;
  for (records::HeaderView header; headers.next(header); first = false) {
    const std::string name = encoded_name(header.key);
    const Form form = form_of(header.value);
    description += fmt::format("{}{}", first ? " headers=" : ",", name);
    // A list of one header without a name would be an empty one.
    if (form != Form::text || name.empty()) description += fmt::format(":{}", form_name(form));
    if (is_written(form)) made.emplace_back(native_name(as_text(header.key), name), written(*header.value, form));
  }
  made.front().second = std::move(description);
  return made;
}

uint64_t header_bytes(const Headers& headers) {
  uint64_t bytes = kMessageFrameBytes;
  for (const auto& [name, value] : headers) bytes += name.size() + value.size() + kLineFrameBytes;
  return bytes;
}

uint64_t most_header_bytes(const records::RecordView& record) {
  constexpr uint64_t kOurs = 128;         // the header Sluice but for its list, and the key's name
  constexpr uint64_t kEachHeader = 32;    // the name's prefix, how its value is written, and what frames a line
  constexpr uint64_t kPercentFactor = 3;  // a byte as %XX
  return kOurs + kPercentFactor * (record.key ? record.key->size() : 0) +
         2 * kPercentFactor * record.headers_section.size() + kEachHeader * static_cast<uint64_t>(record.headers_count);
}

bool decode_record(const StoredMessage& message, std::string_view own_subject, DecodedRecord& out) {
  out.record = {};
  out.headers.clear();
  out.texts.clear();
  const auto ours = std::find_if(message.headers.begin(), message.headers.end(),
                                 [](const auto& header) { return header.first == kEntryHeader; });
  bool good = true;
  if (ours == message.headers.end()) {
    decode_foreign(message, own_subject, out);
  } else {
    std::string_view description = ours->second;
    good = description.starts_with(kVersion);
    if (good) {
      description.remove_prefix(kVersion.size());
      good = take(description, ' ').empty() && decode_ours(description, message, out);
    }
  }
  out.record.headers = out.headers;
  return good;
}

std::optional<int64_t> parse_time(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() < kShape.size()) return std::nullopt;
  const auto number = [&](size_t at, size_t size) {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + size, value);
    return error == std::errc() && end == text.data() + at + size ? value : -1;
  };
  const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (year < 0 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0) return std::nullopt;
  const std::chrono::sys_days date = std::chrono::year(year) / month / day;
  int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(date.time_since_epoch()).count() +
               ((int64_t{hour} * 60 + minute) * 60 + second) * 1000;
  text.remove_prefix(kShape.size());
  if (!text.empty() && text.front() == '.') {
    int64_t unit_ms = 100;
    for (size_t i = 1; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, unit_ms /= 10) {
      ms += (text[i] - '0') * unit_ms;
    }
  }
  return ms;
}

}  // namespace sluice::jetstream
