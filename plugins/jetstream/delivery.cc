// SPDX-License-Identifier: Apache-2.0
#include "jetstream/delivery.hpp"

#include <array>
#include <charconv>

namespace sluice::jetstream {
namespace {

constexpr int64_t kNsInMs = 1'000'000;

template <class T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<Delivery> parse_delivery(std::string_view subject) {
  constexpr size_t kShort = 7;  // tokens behind the prefix
  constexpr size_t kLong = 9;   // with domain and account
  if (!subject.starts_with(kAckPrefix)) return std::nullopt;
  subject.remove_prefix(kAckPrefix.size());
  std::array<std::string_view, kLong + 1> tokens;
  size_t count = 0;
  for (;;) {
    if (count == tokens.size()) return std::nullopt;
    const size_t dot = subject.find('.');
    tokens[count++] = subject.substr(0, dot);
    if (dot == std::string_view::npos) break;
    subject.remove_prefix(dot + 1);
  }
  if (count != kShort && count < kLong) return std::nullopt;
  const std::string_view* at = tokens.data() + (count == kShort ? 0 : kLong - kShort);
  Delivery delivery;
  delivery.stream = at[0];
  delivery.consumer = at[1];
  int64_t stored_ns = 0;
  if (!read_number(at[3], delivery.sequence) || !read_number(at[5], stored_ns) ||
      !read_number(at[6], delivery.pending) || delivery.sequence == 0) {
    return std::nullopt;
  }
  delivery.stored_ms = stored_ns / kNsInMs;
  return delivery;
}

}  // namespace sluice::jetstream
