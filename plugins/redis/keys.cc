// SPDX-License-Identifier: Apache-2.0
#include "redis/keys.hpp"

#include <fmt/format.h>

#include <charconv>

namespace sluice::redis {
namespace {

constexpr size_t kTokenDigits = 16;

// The whole of `text` as digits: no sign, no space.
std::optional<uint64_t> parse_digits(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// CRC-16/XMODEM, bit by bit: it runs over a hash tag once per log.
uint16_t crc16(std::string_view text) {
  uint16_t crc = 0;
  for (const char c : text) {
    crc = static_cast<uint16_t>(crc ^ (static_cast<uint8_t>(c) << 8));
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
  }
  return crc;
}

}  // namespace

uint16_t hash_slot(std::string_view key) {
  const size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  return crc16(key) % kSlots;
}

std::string token_text(uint64_t token) {
  return fmt::format("{:016x}", token);
}

std::optional<uint64_t> parse_token(std::string_view text) {
  if (text.size() != kTokenDigits) return std::nullopt;
  for (const char c : text) {
    if (c >= 'A' && c <= 'F') return std::nullopt;
  }
  return parse_digits(text, 16);
}

std::optional<int64_t> parse_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<EntryId> parse_entry_id(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto high = parse_digits(text.substr(0, dash), 10);
  const auto low = parse_digits(text.substr(dash + 1), 10);
  if (!high || !low) return std::nullopt;
  return EntryId{*high, *low};
}

std::string entry_id(int64_t last_offset) {
  return fmt::format("{}-1", last_offset);
}

std::string last_id_at(int64_t end) {
  return end == 0 ? "0-0" : entry_id(end - 1);
}

std::optional<int64_t> end_at(EntryId last_id) {
  if (last_id == EntryId{0, 0}) return 0;
  if (last_id.low != 1 || last_id.high >= static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(last_id.high) + 1;
}

int64_t behind(EntryId id) {
  return id.high >= static_cast<uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<int64_t>(id.high) + 1;
}

LogKeys::LogKeys(std::string_view prefix, const Uuid& id)
    : base(fmt::format("{}:{{{}}}", prefix, id.to_string())), slot(hash_slot(base)) {}

std::string Stretch::text() const {
  return fmt::format("{:016x}:{}:{}", last, first, newest);
}

std::optional<Stretch> Stretch::parse(std::string_view text) {
  if (text.size() < kTokenDigits + 2 || text[kTokenDigits] != ':') return std::nullopt;
  const auto last = parse_token(text.substr(0, kTokenDigits));
  const std::string_view rest = text.substr(kTokenDigits + 1);
  const size_t colon = rest.find(':');
  if (!last || colon == std::string_view::npos) return std::nullopt;
  const auto first = parse_number(rest.substr(0, colon));
  const auto newest = parse_number(rest.substr(colon + 1));
  if (!first || !newest || *last >= static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  if (*first < 0 || static_cast<uint64_t>(*first) > *last) return std::nullopt;
  return Stretch{*first, static_cast<int64_t>(*last), *newest};
}

}  // namespace sluice::redis
