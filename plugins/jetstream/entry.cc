// SPDX-License-Identifier: Apache-2.0
#include "jetstream/entry.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace sluice::jetstream {
namespace {

constexpr std::string_view kVersion = "1";
constexpr std::array<std::string_view, 7> kTypes = {"create", "unit", "fence", "trim", "value", "seal", "part"};

enum Key : unsigned { kBase = 1, kEnd = 2, kStart = 4, kNewest = 8, kGreatest = 16, kToken = 32, kParts = 64 };
constexpr unsigned kState = kEnd | kStart | kGreatest | kToken;

unsigned needed(EntryType type) {
  if (type == EntryType::fence) return kToken;
  return type == EntryType::unit ? kState | kBase | kNewest : kState;
}

std::string_view take_word(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const size_t size = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, size);
  text.remove_prefix(size);
  return word;
}

template <class Number>
bool number(std::string_view text, Number& value) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && at == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string_view entry_type_name(EntryType type) {
  return kTypes[static_cast<size_t>(type)];
}

std::string encode_entry(const Entry& entry) {
  switch (entry.type) {
    case EntryType::fence:
      return fmt::format("{} fence token={}", kVersion, entry.token);
    case EntryType::unit:
      return fmt::format("{} unit base={} end={} start={} newest={} greatest={} token={}{}", kVersion, entry.base,
                         entry.end, entry.start, entry.newest, entry.greatest, entry.token,
                         entry.parts > 0 ? fmt::format(" parts={}", entry.parts) : "");
    default:
      return fmt::format("{} {} end={} start={} greatest={} token={}", kVersion, entry_type_name(entry.type), entry.end,
                         entry.start, entry.greatest, entry.token);
  }
}

std::optional<Entry> parse_entry(std::string_view text) {
  if (take_word(text) != kVersion) return std::nullopt;
  const std::string_view type = take_word(text);
  size_t index = 0;
  while (index < kTypes.size() && kTypes[index] != type) ++index;
  if (index == kTypes.size()) return std::nullopt;
  Entry entry;
  entry.type = static_cast<EntryType>(index);
  unsigned seen = 0;
  for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) {
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = word.substr(equals + 1);
    const auto take = [&](Key bit, auto& member) {
      seen |= bit;
      return number(value, member);
    };
    bool good = true;
    if (key == "base") good = take(kBase, entry.base);
    if (key == "end") good = take(kEnd, entry.end);
    if (key == "start") good = take(kStart, entry.start);
    if (key == "newest") good = take(kNewest, entry.newest);
    if (key == "greatest") good = take(kGreatest, entry.greatest);
    if (key == "token") good = take(kToken, entry.token);
    if (key == "parts") good = take(kParts, entry.parts);
    if (!good) return std::nullopt;
  }
  if ((seen & needed(entry.type)) != needed(entry.type)) return std::nullopt;
  if (entry.parts >= kMostMessagesOfUnit) return std::nullopt;
  if (entry.type == EntryType::fence) return entry;
  if (entry.start < 0 || entry.end < entry.start) return std::nullopt;
  if (entry.type == EntryType::unit && (entry.base < 0 || entry.base >= entry.end)) return std::nullopt;
  return entry;
}

}  // namespace sluice::jetstream
