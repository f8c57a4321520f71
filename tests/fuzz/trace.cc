// SPDX-License-Identifier: Apache-2.0
// Lines as headers of a record, the first a traceparent, the others tracestates: what is extracted must come back when
// it is injected.
#include "sluice/trace.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<sluice::Header> headers;
  while (!input.empty()) {
    const size_t end = input.find('\n');
    const std::string_view name = headers.empty() ? sluice::kTraceparentHeader : sluice::kTracestateHeader;
    headers.push_back({name, sluice::as_bytes(input.substr(0, end))});
    input = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  }
  auto context = sluice::extract_trace(sluice::Headers(headers));
  if (!context) return 0;
  const auto same = [](const sluice::TraceContext& as) {
    const sluice::TracedHeaders traced(sluice::Headers(), as);
    if (sluice::extract_trace(traced.headers()) != as) std::abort();
  };
  same(*context);
  if (!headers.back().value->empty() &&
      sluice::set_tracestate(*context, "k", sluice::as_text(*headers.back().value)).ok()) {
    same(*context);
  }
  return 0;
}
