// SPDX-License-Identifier: Apache-2.0
// Records as filters want them: of what a client has read, and of lines as `sluice consume --format json` prints them.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"
#include "cli/text.hpp"
#include "sluice/record.hpp"

namespace sluice::cli {

/// A record with the bytes that it views.
struct StoredRecord {
  std::deque<std::string> bytes;
  std::vector<Header> headers;
  Record record;
};

/// The record of one line. Members that are not there are null, zero or none; INVALID names the one that is wrong.
Result<StoredRecord> record_of_line(std::string_view line);

/// `view` for a filter; its headers are kept in `headers`. A time beyond what nanoseconds can say is none.
Record record_of(const RecordView& view, std::vector<Header>& headers);

}  // namespace sluice::cli
