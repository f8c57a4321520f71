// SPDX-License-Identifier: Apache-2.0
// Trace context through records: the headers traceparent and tracestate of W3C Trace Context (levels 1 and 2), as
// OpenTelemetry puts them on messages. Parse, continue with a child span, write.
//
// Plain values and pure functions: any thread. Randomness comes from the caller.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/export.hpp"
#include "sluice/record.hpp"
#include "sluice/status.hpp"

namespace sluice {

inline constexpr std::string_view kTraceparentHeader = "traceparent";
inline constexpr std::string_view kTracestateHeader = "tracestate";
inline constexpr size_t kMaxTracestateMembers = 32;
inline constexpr size_t kMaxTracestateBytes = 8'192;  // longer ones are dropped whole; the standard asks for 512

struct TraceContext {
  static constexpr uint8_t kSampled = 0x01;
  static constexpr uint8_t kRandom = 0x02;  // level 2: the last seven bytes of the trace id are random

  std::array<uint8_t, 16> trace_id{};  // not all zero
  std::array<uint8_t, 8> span_id{};    // of the parent, as who receives it sees it; not all zero
  uint8_t flags = 0;
  std::string state;  // tracestate in its shortest form: "key=value,key=value", the newest first; may be empty

  bool sampled() const { return (flags & kSampled) != 0; }
  bool operator==(const TraceContext&) const = default;
};

/// Uniformly distributed bits.
using TraceRandom = std::function<uint64_t()>;

/// A trace begins: new ids, kRandom set.
SLUICE_API TraceContext new_trace(const TraceRandom& random, bool sampled);
/// The next span of a trace: a new span id; trace id, state, kSampled and kRandom as they are.
SLUICE_API TraceContext child_span(const TraceContext& parent, const TraceRandom& random);

/// "00-TRACE ID-SPAN ID-FLAGS", 55 characters.
SLUICE_API std::string format_traceparent(const TraceContext& context);
/// Without state. Of a version above 00 what is known of 00 is taken, as the standard says. INVALID with the position.
SLUICE_API Result<TraceContext> parse_traceparent(std::string_view text);
/// The state in its shortest form, from all tracestate headers in their order: empty members dropped. INVALID with the
/// position in them as if joined by commas: a key or value that the grammar does not allow, a key that is there twice,
/// more than kMaxTracestateMembers; TOO_LARGE: more than kMaxTracestateBytes.
SLUICE_API Result<std::string> parse_tracestate(const std::vector<std::string_view>& headers);
/// Puts a member first, in place of one of the same key; where that makes too many, the last are dropped. INVALID: not
/// a key or value by the grammar; `context` is as before.
SLUICE_API Status set_tracestate(TraceContext& context, std::string_view key, std::string_view value);

/// The context that a record carries; names match in any case. None, several, a null or a malformed traceparent:
/// nullopt, and whoever goes on begins a new trace. A malformed tracestate is dropped, and the rest kept.
SLUICE_API std::optional<TraceContext> extract_trace(const Headers& headers);

/// A record's headers with a trace's: those that were there, in their order and without any traceparent or tracestate,
/// then the context's. A view into the original headers and into this object, which stays where it is.
class SLUICE_API TracedHeaders {
 public:
  TracedHeaders(const Headers& original, const TraceContext& context);
  TracedHeaders(const TracedHeaders&) = delete;
  TracedHeaders& operator=(const TracedHeaders&) = delete;
  Headers headers() const { return Headers(array_); }

 private:
  std::string parent_;
  std::string state_;
  std::vector<Header> array_;
};

}  // namespace sluice
