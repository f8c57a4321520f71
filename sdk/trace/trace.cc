// SPDX-License-Identifier: Apache-2.0
// https://www.w3.org/TR/trace-context-2
#include "sluice/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

constexpr size_t kTraceparentChars = 55;
constexpr size_t kTraceIdAt = 3;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr int kMaxDraws = 16;
constexpr size_t kMaxKeyChars = 256;
constexpr size_t kMaxTenantChars = 241;
constexpr size_t kMaxSystemChars = 14;
constexpr size_t kMaxValueChars = 256;
constexpr uint8_t kKnownFlags = TraceContext::kSampled | TraceContext::kRandom;

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// Lower case alone, as the standard wants it; -1: not a digit.
int digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  return -1;
}

tl::unexpected<Status> invalid(std::string_view what, size_t at, std::string_view why) {
  return fail(StatusCode::invalid, fmt::format("{}: character {}: {}", what, at, why));
}

// Reads 2 * out.size() digits; the position of what is none, or nothing.
std::optional<size_t> read_hex(std::string_view text, size_t at, std::span<uint8_t> out) {
  for (size_t i = 0; i < 2 * out.size(); ++i) {
    const int value = digit(text[at + i]);
    if (value < 0) return at + i;
    uint8_t& byte = out[i / 2];
    byte = static_cast<uint8_t>(byte << 4 | value);
  }
  return std::nullopt;
}

bool all_zero(std::span<const uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
}

// Not zero, and not `other`; also when the generator is stuck.
template <size_t kBytes>
std::array<uint8_t, kBytes> random_id(const TraceRandom& random, const std::array<uint8_t, kBytes>& other = {}) {
  std::array<uint8_t, kBytes> id{};
  for (int draw = 0; draw < kMaxDraws && (all_zero(id) || id == other); ++draw) {
    for (size_t at = 0; at < kBytes; at += sizeof(uint64_t)) {
      const uint64_t word = random();
      std::memcpy(id.data() + at, &word, sizeof word);
    }
  }
  while (all_zero(id) || id == other) id.back() += 1;
  return id;
}

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_key_part(std::string_view part, size_t most, bool digit_first) {
  if (part.empty() || part.size() > most) return false;
  if (!is_lower(part.front()) && !(digit_first && is_digit(part.front()))) return false;
  return std::ranges::all_of(
      part, [](char c) { return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '*' || c == '/'; });
}

// simple-key, or tenant@system of level 1 (which level 2 allows too).
bool is_key(std::string_view key) {
  const size_t sign = key.find('@');
  if (sign == std::string_view::npos) return is_key_part(key, kMaxKeyChars, true);
  return is_key_part(key.substr(0, sign), kMaxTenantChars, true) &&
         is_key_part(key.substr(sign + 1), kMaxSystemChars, false);
}

bool is_value(std::string_view value) {
  if (value.empty() || value.size() > kMaxValueChars || value.back() == ' ') return false;
  return std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view name, std::string_view lower) {
  return std::ranges::equal(name, lower,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

std::string_view key_of(std::string_view member) {
  return member.substr(0, member.find('='));
}

// Members of a state in its shortest form.
std::vector<std::string_view> members_of(std::string_view state) {
  std::vector<std::string_view> members;
  while (!state.empty()) {
    const size_t comma = state.find(',');
    members.push_back(state.substr(0, comma));
    state = comma == std::string_view::npos ? std::string_view() : state.substr(comma + 1);
  }
  return members;
}

}  // namespace

TraceContext new_trace(const TraceRandom& random, bool sampled) {
  TraceContext context;
  context.trace_id = random_id<16>(random);
  context.span_id = random_id<8>(random);
  context.flags = TraceContext::kRandom | (sampled ? TraceContext::kSampled : 0);
  return context;
}

TraceContext child_span(const TraceContext& parent, const TraceRandom& random) {
  TraceContext context = parent;
  context.flags = parent.flags & kKnownFlags;
  context.span_id = random_id<8>(random, parent.span_id);
  return context;
}

std::string format_traceparent(const TraceContext& context) {
  return fmt::format("00-{}-{}-{:02x}", hex(context.trace_id), hex(context.span_id), context.flags & kKnownFlags);
}

Result<TraceContext> parse_traceparent(std::string_view text) {
  constexpr std::string_view kWhat = kTraceparentHeader;
  if (text.size() < kTraceparentChars) return invalid(kWhat, text.size(), "ends too early");
  std::array<uint8_t, 1> version{};
  std::array<uint8_t, 1> flags{};
  TraceContext context;
  if (const auto at = read_hex(text, 0, version)) return invalid(kWhat, *at, "no lower-case hexadecimal digit");
  if (version[0] == 0xff) return invalid(kWhat, 0, "version ff");
  if (text.size() > kTraceparentChars && (version[0] == 0 || text[kTraceparentChars] != '-')) {
    return invalid(kWhat, kTraceparentChars, "more than there should be");
  }
  for (const size_t dash : {kTraceIdAt - 1, kSpanIdAt - 1, kFlagsAt - 1}) {
    if (text[dash] != '-') return invalid(kWhat, dash, "no '-'");
  }
  for (const auto& [at, bytes] : {std::pair<size_t, std::span<uint8_t>>(kTraceIdAt, context.trace_id),
                                  std::pair<size_t, std::span<uint8_t>>(kSpanIdAt, context.span_id),
                                  std::pair<size_t, std::span<uint8_t>>(kFlagsAt, flags)}) {
    if (const auto wrong = read_hex(text, at, bytes)) return invalid(kWhat, *wrong, "no lower-case hexadecimal digit");
  }
  if (all_zero(context.trace_id)) return invalid(kWhat, kTraceIdAt, "trace id 0");
  if (all_zero(context.span_id)) return invalid(kWhat, kSpanIdAt, "parent id 0");
  context.flags = flags[0] & kKnownFlags;
  return context;
}

Result<std::string> parse_tracestate(const std::vector<std::string_view>& headers) {
  constexpr std::string_view kWhat = kTracestateHeader;
  std::string joined;
  for (const std::string_view header : headers) {
    if (joined.size() + header.size() > kMaxTracestateBytes) {
      return fail(StatusCode::too_large, fmt::format("{}: more than {} bytes", kWhat, kMaxTracestateBytes));
    }
    if (!joined.empty()) joined.push_back(',');
    joined += header;
  }
  std::string state;
  std::vector<std::string_view> keys;
  for (size_t at = 0; at < joined.size();) {
    const size_t comma = std::min(joined.find(',', at), joined.size());
    const std::string_view member = trimmed(std::string_view(joined).substr(at, comma - at));
    if (!member.empty()) {
      const size_t equals = member.find('=');
      const std::string_view key = member.substr(0, equals);
      if (equals == std::string_view::npos) return invalid(kWhat, at, "a member without '='");
      if (!is_key(key)) return invalid(kWhat, at, "not a key");
      if (!is_value(member.substr(equals + 1))) return invalid(kWhat, at, "not a value");
      if (std::ranges::find(keys, key) != keys.end()) return invalid(kWhat, at, fmt::format("'{}' twice", key));
      if (keys.size() == kMaxTracestateMembers) return invalid(kWhat, at, "too many members");
      keys.push_back(key);
      state += state.empty() ? "" : ",";
      state += member;
    }
    at = comma + 1;
  }
  return state;
}

Status set_tracestate(TraceContext& context, std::string_view key, std::string_view value) {
  if (!is_key(key)) return Status(StatusCode::invalid, fmt::format("not a key of tracestate: '{}'", key));
  if (!is_value(value)) return Status(StatusCode::invalid, fmt::format("not a value of tracestate: '{}'", value));
  std::string state = fmt::format("{}={}", key, value);
  size_t count = 1;
  for (const std::string_view member : members_of(context.state)) {
    if (key_of(member) == key) continue;
    if (count == kMaxTracestateMembers || state.size() + 1 + member.size() > kMaxTracestateBytes) break;
    state += fmt::format(",{}", member);
    ++count;
  }
  context.state = std::move(state);
  return {};
}

std::optional<TraceContext> extract_trace(const Headers& headers) {
  std::optional<Bytes> parent;
  size_t parents = 0;
  std::vector<std::string_view> states;
  headers.each([&](const Header& header) {
    if (same_name(header.name, kTraceparentHeader)) {
      parents += 1;
      parent = header.value;
    } else if (same_name(header.name, kTracestateHeader) && header.value) {
      states.push_back(as_text(*header.value));
    }
    return true;
  });
  if (parents != 1 || !parent) return std::nullopt;
  Result<TraceContext> context = parse_traceparent(trimmed(as_text(*parent)));
  if (!context) return std::nullopt;
  if (Result<std::string> state = parse_tracestate(states)) context->state = std::move(*state);
  return std::move(*context);
}

TracedHeaders::TracedHeaders(const Headers& original, const TraceContext& context)
    : parent_(format_traceparent(context)), state_(context.state) {
  original.each([&](const Header& header) {
    if (!same_name(header.name, kTraceparentHeader) && !same_name(header.name, kTracestateHeader)) {
      array_.push_back(header);
    }
    return true;
  });
  array_.push_back({kTraceparentHeader, as_bytes(parent_)});
  if (!state_.empty()) array_.push_back({kTracestateHeader, as_bytes(state_)});
}

}  // namespace sluice
