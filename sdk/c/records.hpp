// SPDX-License-Identifier: Apache-2.0
// Headers of records that come from C callers. Any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "c/boundary.hpp"
#include "sluice/c/record.h"
#include "sluice/record.hpp"

namespace sluice::c {

inline constexpr uint64_t kMaxHeaders = 100'000;
/// Of one call.
inline constexpr uint64_t kMaxBatchEvents = 1'000'000;

/// Every field checked, then all of them as views. The verdict's index is the field that is at fault.
Verdict headers_of(const sluice_field* fields, uint64_t count, std::vector<Header>& headers);
/// The same as pairs of texts; a null value is INVALID. Messages call the array `name`.
Verdict pairs_of(const sluice_field* fields, uint64_t count, std::string_view name,
                 std::vector<std::pair<std::string, std::string>>& pairs);

/// Records as C sees them: views of what somebody else keeps, and stays where it is when this is moved.
struct RecordViews {
  std::vector<sluice_field> fields;
  std::vector<sluice_record> records;
  /// For all that will be added.
  void reserve(size_t record_count, size_t header_count);
  sluice_record& add(const Record& record);
};

/// Records as views, of which every part was checked.
struct RecordList {
  std::vector<Record> records;
  std::vector<std::vector<Header>> headers;  // what the records' headers are views of
};
/// The verdict's index is the record that is at fault. TOO_LARGE: more than kMaxBatchEvents.
Verdict records_of(const sluice_record* given, uint64_t count, RecordList& list);

}  // namespace sluice::c
