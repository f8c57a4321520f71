// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sluice::cli {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kBase64[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

/// Lead byte, least second byte, most second byte, bytes that follow (RFC 3629, table of well-formed sequences).
bool is_utf8(std::string_view bytes) {
  struct Form {
    uint8_t lead_from, lead_to, second_from, second_to, follow;
  };
  constexpr Form kForms[] = {{0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
                             {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
                             {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3}};
  for (size_t i = 0; i < bytes.size();) {
    const auto at = [&](size_t index) { return static_cast<uint8_t>(bytes[index]); };
    const auto* form = std::find_if(std::begin(kForms), std::end(kForms),
                                    [&](const Form& f) { return at(i) >= f.lead_from && at(i) <= f.lead_to; });
    if (form == std::end(kForms) || bytes.size() - i <= form->follow) return false;
    for (size_t j = 1; j <= form->follow; ++j) {
      const uint8_t low = j == 1 ? form->second_from : 0x80, high = j == 1 ? form->second_to : 0xbf;
      if (at(i + j) < low || at(i + j) > high) return false;
    }
    i += 1u + form->follow;
  }
  return true;
}

Json json_of(const std::optional<std::string_view>& bytes) {
  return bytes ? cli::json_of(*bytes) : Json(nullptr);
}

bool is_number(const std::string& cell) {
  return cell == "-" || (!cell.empty() && cell.find_first_not_of("0123456789.") == std::string::npos);
}

/// Columns of a terminal, as far as one code point is one of them.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string Table::text() const {
  std::vector<size_t> widths;
  std::vector<bool> to_right;
  for (size_t column = 0; column < headings_.size(); ++column) {
    size_t widest = width(headings_[column]);
    bool numbers = !rows_.empty();
    for (const auto& row : rows_) {
      widest = std::max(widest, width(row[column]));
      numbers = numbers && is_number(row[column]);
    }
    widths.push_back(widest);
    to_right.push_back(numbers);
  }
  std::string result;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t column = 0; column < cells.size(); ++column) {
      const std::string padding(widths[column] - width(cells[column]), ' ');
      if (column > 0) line += "  ";
      line += to_right[column] ? padding + cells[column] : cells[column] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  };
  add_line(headings_);
  for (const auto& row : rows_) add_line(row);
  return result;
}

void print_json(const Json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, Json::error_handler_t::replace));
}

Json json_of(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  return {{"base64", base64(bytes)}};
}

Result<std::string> unescape(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      result += text[i];
      continue;
    }
    const char kind = ++i < text.size() ? text[i] : '\0';
    constexpr std::string_view kNames = "tnr0\\", kMeanings("\t\n\r\0\\", 5);
    if (const size_t found = kNames.find(kind); kind != '\0' && found != std::string_view::npos) {
      result += kMeanings[found];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = kind == 'x' ? text.substr(i + 1, 2) : std::string_view();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return fail(StatusCode::invalid,
                  fmt::format("\"{}\": a backslash must begin \\t, \\n, \\r, \\0, \\\\ or \\xHH", text));
    }
    result += static_cast<char>(value);
    i += 2;
  }
  return result;
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string text_line(const RecordView& record, const std::vector<Field>& show, std::string_view separator) {
  const auto plain = [](const std::optional<std::string_view>& bytes) { return bytes.value_or("null"); };
  std::string line;
  for (size_t i = 0; i < show.size(); ++i) {
    if (i > 0) line += separator;
    switch (show[i]) {
      case Field::topic:
        line += record.topic;
        break;
      case Field::partition:
        line += std::to_string(record.partition);
        break;
      case Field::offset:
        line += std::to_string(record.offset);
        break;
      case Field::timestamp:
        line += std::to_string(record.timestamp);
        break;
      case Field::key:
        line += plain(record.key);
        break;
      case Field::value:
        line += plain(record.value);
        break;
      case Field::headers:
        for (size_t j = 0; j < record.headers.size(); ++j) {
          if (j > 0) line += ',';
          line += fmt::format("{}={}", record.headers[j].first, plain(record.headers[j].second));
        }
        break;
    }
  }
  line += '\n';
  return line;
}

std::string json_line(const RecordView& record) {
  Json headers = Json::array();
  for (const auto& [name, value] : record.headers)
    headers.push_back({{"name", json_of(name)}, {"value", json_of(value)}});
  const Json object = {
      {"topic", record.topic},        {"partition", record.partition},
      {"offset", record.offset},      {"timestamp", record.timestamp < 0 ? Json(nullptr) : Json(record.timestamp)},
      {"key", json_of(record.key)},   {"value", json_of(record.value)},
      {"headers", std::move(headers)}};
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Progress::Progress(std::string what, int64_t total)
    : what_(std::move(what)),
      total_(total),
      shown_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      next_(start_ + kInterval) {}

void Progress::update(int64_t records, uint64_t bytes) {
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string of =
      total_ > 0 ? fmt::format(" of {} ({}%)", total_,
                               static_cast<int>(100.0 * static_cast<double>(records) / static_cast<double>(total_)))
                 : "";
  fmt::print(stderr, "\r\033[K{} {}{} records, {}, {}/s", what_, records, of, human_bytes(bytes),
             human_bytes(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)));
  std::fflush(stderr);
  dirty_ = true;
}

void Progress::clear() {
  if (!dirty_) return;
  fmt::print(stderr, "\r\033[K");
  dirty_ = false;
}

}  // namespace sluice::cli
