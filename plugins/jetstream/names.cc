// SPDX-License-Identifier: Apache-2.0
#include "jetstream/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sluice::jetstream {
namespace {

constexpr std::string_view kDescription = "Sluice log: partition ";
constexpr std::string_view kOf = " of ";

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::string hex_of(const Uuid& id) {
  return hex({reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

bool valid_prefix(std::string_view prefix) {
  return !prefix.empty() && prefix.size() <= kLongestPrefix && std::all_of(prefix.begin(), prefix.end(), plain);
}

bool valid_token(std::string_view token) {
  return !token.empty() && token.size() <= kLongestPrefix && std::all_of(token.begin(), token.end(), plain);
}

std::string root_stream(std::string_view prefix) {
  return std::string(prefix);
}

std::string root_subject(std::string_view prefix, std::string_view what) {
  return fmt::format("{}.storage.{}", prefix, what);
}

std::string log_stream(std::string_view prefix, const Uuid& id) {
  return fmt::format("{}-{}", prefix, hex_of(id));
}

std::optional<Uuid> parse_log_stream(std::string_view prefix, std::string_view stream) {
  Uuid id;
  if (stream.size() != prefix.size() + 1 + 2 * id.bytes.size()) return std::nullopt;
  if (!stream.starts_with(prefix) || stream[prefix.size()] != '-') return std::nullopt;
  const std::string_view digits = stream.substr(prefix.size() + 1);
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    const int high = digit(digits[2 * i]);
    const int low = digit(digits[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return id;
}

std::string log_subject(std::string_view prefix, const Uuid& id) {
  return fmt::format("{}.log.{}", prefix, hex_of(id));
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

std::string describe_log(std::string_view topic, int32_t partition) {
  return fmt::format("{}{}{}{}", kDescription, partition, kOf, topic);
}

std::optional<DescribedLog> parse_description(std::string_view description) {
  if (!description.starts_with(kDescription)) return std::nullopt;
  description.remove_prefix(kDescription.size());
  DescribedLog log;
  const auto [at, error] = std::from_chars(description.data(), description.data() + description.size(), log.partition);
  if (error != std::errc()) return std::nullopt;
  description.remove_prefix(static_cast<size_t>(at - description.data()));
  if (!description.starts_with(kOf)) return std::nullopt;
  log.topic = description.substr(kOf.size());
  return log;
}

}  // namespace sluice::jetstream
