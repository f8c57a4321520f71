// SPDX-License-Identifier: Apache-2.0
// The layout `record`: a record as the fields of a stream's entry, and back. Pure functions.
//
//   key         absent: null
//   value       absent: null
//   timestamp   milliseconds since the epoch, in decimal
//   header.NAME          the value of a header; in their order, names may repeat, any bytes
//   null-header.NAME ""  a header whose value is null
//
// Entries of other programs: one that has no other fields than these is read like ours, its timestamp, if it has none,
// is that of its id. Every other entry becomes a record whose value is a JSON object of its fields; a name that repeats
// becomes an array.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "records/builder.hpp"
#include "redis/command.hpp"
#include "redis/reply.hpp"

namespace sluice::redis {

/// Names and values of an entry that becomes a record. A batch has less than 2 GiB, and JSON may take six times as
/// much.
inline constexpr uint64_t kMaxEntryBytes = uint64_t{128} << 20;

struct FieldNames {
  std::string key = "key";
  std::string value = "value";
};

/// How many arguments add_fields() adds.
size_t field_arguments(const records::RecordView& record);
/// Adds names and values in turn; lends what is large.
void add_fields(Command& command, const FieldNames& names, const records::RecordView& record, int64_t timestamp);

/// An entry as a record; views into the reply and into this.
struct DecodedRecord {
  records::NewRecord record;
  std::vector<records::HeaderView> headers;
  std::string json;
};
/// `fields`: names and values in turn. `time_ms`: of the entry's id; records::kNoTimestamp where it has none. False,
/// and nothing is told, where they are larger than `most_bytes`.
bool decode_fields(ReplyView fields, const FieldNames& names, int64_t time_ms, DecodedRecord& out,
                   uint64_t most_bytes = kMaxEntryBytes);

}  // namespace sluice::redis
