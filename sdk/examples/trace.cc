// SPDX-License-Identifier: Apache-2.0
// A record that carries a trace is handled, and what is sent on its account continues the trace.
#include "sluice/trace.hpp"

#include <cstdio>
#include <random>
#include <string>
#include <vector>

int main() {
  std::random_device device;
  const sluice::TraceRandom random = [&] { return uint64_t{device()} << 32 | device(); };

  const std::vector<sluice::Header> received = {
      {"tenant", sluice::as_bytes("north")},
      {"traceparent", sluice::as_bytes("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}};
  const auto parent = sluice::extract_trace(sluice::Headers(received));
  const sluice::TraceContext span =
      parent ? sluice::child_span(*parent, random) : sluice::new_trace(random, /*sampled=*/true);

  const sluice::TracedHeaders sent(sluice::Headers(received), span);
  sent.headers().each([](const sluice::Header& header) {
    std::printf("%.*s: %s\n", static_cast<int>(header.name.size()), header.name.data(),
                std::string(sluice::as_text(*header.value)).c_str());
    return true;
  });
  return parent && span.trace_id == parent->trace_id && span.span_id != parent->span_id ? 0 : 1;
}
