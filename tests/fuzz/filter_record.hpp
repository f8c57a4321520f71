// SPDX-License-Identifier: Apache-2.0
// What both fuzzers of filters hold true of any filter and any record.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sluice/filter.hpp"

namespace sluice::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

/// The input up to the first zero byte is a filter, the rest the value of a record; without one it is both.
struct Parts {
  std::string_view filter;
  std::string_view value;
};
inline Parts split(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t zero = all.find('\0');
  return zero == std::string_view::npos ? Parts{all, all} : Parts{all.substr(0, zero), all.substr(zero + 1)};
}

/// Both normal forms give the filter back, and all of them say the same of `value`, whatever lies behind it.
inline void check(const Filter& filter, std::string_view value) {
  const auto from_text = Filter::parse(filter.text());
  const auto from_json = Filter::from_json(filter.json());
  require(from_text && from_text->text() == filter.text() && from_text->json() == filter.json());
  require(from_json && from_json->text() == filter.text() && from_json->json() == filter.json());

  const Header headers[] = {{"h", as_bytes(value)}, {"h", std::nullopt}};
  Record record;
  record.timestamp_ns = static_cast<int64_t>(value.size());
  record.key = as_bytes(value);
  record.value = as_bytes(value);
  record.headers = Headers(headers);
  const Truth truth = FilterEvaluator(filter).evaluate(record);
  require(FilterEvaluator(filter).passes(record) == (truth == Truth::yes));
  FilterEvaluator evaluator(*from_text);
  require(evaluator.evaluate(record) == truth);
  for (const char* behind : {"}}}}", "]]]]", "\",1,", "0000"}) {
    std::string memory(value);
    for (int i = 0; i < 20; ++i) memory += behind;
    record.key = record.value = as_bytes(std::string_view(memory).substr(0, value.size()));
    require(evaluator.evaluate(record) == truth);
  }
  require(evaluator.counts().payloads_unreadable <= evaluator.counts().payloads_read);
}

}  // namespace sluice::fuzz
