// SPDX-License-Identifier: Apache-2.0
// Filters as text from anybody's hands, on records of anybody's bytes: no input breaks them, faults lie within the
// text, and what is accepted goes through both forms and back.
#include "filter_record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto [text, value] = fuzz::split(data, size);
  FilterFault fault;
  const auto filter = Filter::parse(text, &fault);
  if (filter) {
    fuzz::check(*filter, value);
  } else {
    fuzz::require(fault.offset <= text.size() && fault.pointer.empty() && !fault.message.empty());
    fuzz::require(filter.error().text().starts_with("filter: byte "));
  }
  return 0;
}
