// SPDX-License-Identifier: Apache-2.0
// Filters as JSON data from anybody's hands, on records of anybody's bytes: as filter_text.cc.
#include "filter_record.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  const auto [json, value] = fuzz::split(data, size);
  FilterFault fault;
  const auto filter = Filter::from_json(json, &fault);
  if (filter) {
    fuzz::check(*filter, value);
  } else {
    fuzz::require(fault.offset <= json.size() && !fault.message.empty());
    fuzz::require(fault.pointer.empty() || fault.pointer.starts_with('/'));
    fuzz::require(filter.error().text().starts_with("filter: "));
  }
  return 0;
}
