// SPDX-License-Identifier: Apache-2.0
// Filters: an expression over a record's key, headers, timestamp, partition, position and the JSON in its value. The
// same filter is a text (`partition = 3 and value.order.total >= 100`) and JSON data; sdk/filter/README.md has both
// grammars. Compiled once, never changed, evaluated by any number of threads with an evaluator each.
//
// Logic has three values: what is said of a field that is missing, or compares values of different types, is unknown,
// and a record passes only where the whole is true. `not` of unknown is unknown; `and` and `or` are Kleene's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "sluice/export.hpp"
#include "sluice/record.hpp"
#include "sluice/status.hpp"

namespace sluice {

inline constexpr size_t kMaxFilterBytes = 1 << 20;  // of the text, or of the JSON data
inline constexpr size_t kMaxFilterDepth = 64;       // groups and nots within each other
inline constexpr size_t kMaxFilterTests = 4'096;
inline constexpr size_t kMaxFilterPaths = 256;          // different ones into the value
inline constexpr size_t kMaxFilterPathSegments = 32;    // of one path
inline constexpr size_t kMaxFilterSetMembers = 16'384;  // of one set
inline constexpr size_t kMaxFilterOperands = 65'536;    // of all tests together, members of sets included
inline constexpr size_t kMaxFilterRegexes = 64;
inline constexpr int kMaxFilterRegexInstructions = 10'000;    // of one compiled expression
inline constexpr int64_t kMaxFilterRegexBytes = 1 << 20;      // of memory for one, its automaton's cache included
inline constexpr size_t kMaxFilterPayloadBytes = 128u << 20;  // larger values are not read

enum class Truth : uint8_t { no, unknown, yes };

/// What is wrong with a filter, and where.
struct FilterFault {
  /// Byte, from 0, of the text or of JSON data that is no JSON; for other faults of JSON data, of the string at
  /// `pointer`.
  size_t offset = 0;
  /// The faulty part of JSON data (RFC 6901); empty for a text, for broken JSON, and for the data as a whole.
  std::string pointer;
  std::string message;
};

/// Immutable; copies share what was compiled. Any thread.
class SLUICE_API Filter {
 public:
  /// Fails with INVALID or, beyond a limit above, TOO_LARGE. The status has position, message and, in further lines,
  /// the faulty line with a caret under the fault; `fault`, where given, has the same in parts.
  static Result<Filter> parse(std::string_view text, FilterFault* fault = nullptr);
  static Result<Filter> from_json(std::string_view json, FilterFault* fault = nullptr);

  /// The filter in its normal form: parse(text()) and from_json(json()) give an equal one, whose normal form is the
  /// same to the byte.
  std::string text() const;
  std::string json() const;

  /// Whether some test looks into the JSON of values.
  bool reads_payload() const;

 private:
  friend class FilterEvaluator;
  struct SLUICE_LOCAL Impl;
  explicit Filter(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

/// All of them rise only.
struct FilterCounts {
  uint64_t evaluated = 0;
  uint64_t passed = 0;
  uint64_t payloads_read = 0;        // values that were looked into
  uint64_t payloads_unreadable = 0;  // of those: no JSON as far as was looked, or above kMaxFilterPayloadBytes
};

/// One thread at a time. Keeps memory of about four times the largest value that it looked into, and of the strings
/// with escapes in it. Bytes of a record need no padding, are not copied, and are not referred to after the call.
class SLUICE_API FilterEvaluator {
 public:
  explicit FilterEvaluator(Filter filter);
  FilterEvaluator(FilterEvaluator&&) noexcept;
  FilterEvaluator& operator=(FilterEvaluator&&) noexcept;
  ~FilterEvaluator();

  /// evaluate(record) == Truth::yes, and cheaper. Tests run in the order of their cost, and no longer than they matter:
  /// the value is read, once for all paths, only if nothing cheaper has decided.
  bool passes(const Record& record);
  Truth evaluate(const Record& record);

  const FilterCounts& counts() const;

 private:
  struct SLUICE_LOCAL Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
