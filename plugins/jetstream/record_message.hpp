// SPDX-License-Identifier: Apache-2.0
// The layout `record`: a record as a message, and back. Pure functions.
//
// The payload is the value. Headers of the message:
//
//   Kafka-Key   the key; absent: null
//   NAME        the value of each header called NAME, in their order; a name that no header of NATS can have, or that
//               means something to a server, is written Kafka-NAME, in percent-encoding
//   Sluice      what headers of NATS, which are lines of text and keep no order among names, do not say by themselves:
//
//     1 record time=1600000000000 key=text value=null headers=tenant,trace:encoded,tenant,gone:null
//
// A key or a header's value that is no single line of UTF-8 is in percent-encoding, and marked `encoded`; all other
// text is as it was, for whoever reads it without Sluice. What is `empty` or `null` is said there alone: a client
// library of NATS takes the line behind an empty header for its value (cnats 3.4).
//
// A message without the header Sluice is another program's: value, Kafka-Key, and all its headers, sorted by name. Its
// time is when it was stored. One whose header Sluice does not fit the others is not decoded.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "jetstream/message.hpp"
#include "records/builder.hpp"
#include "records/record.hpp"

namespace sluice::jetstream {

inline constexpr std::string_view kKeyHeader = "Kafka-Key";
/// What servers take as the headers of one message, all their bytes.
inline constexpr uint64_t kMostHeaderBytes = 65'535;

/// Names and values; several of one name keep their order.
using Headers = std::vector<std::pair<std::string, std::string>>;

/// `timestamp` is the record's, in milliseconds.
Headers record_headers(const records::RecordView& record, int64_t timestamp);
/// What they take in a message.
uint64_t header_bytes(const Headers& headers);
/// At least what record_headers() would take; cheap.
uint64_t most_header_bytes(const records::RecordView& record);

/// A message as it lies in a stream. Views into it.
struct StoredMessage {
  HeaderViews headers;  // in their order, without those that the server adds to an answer
  Bytes payload;
  std::string_view subject;
  int64_t stored_ms = records::kNoTimestamp;
};

/// Values by name, each handed out once.
class HeaderValues {
 public:
  void assign(const HeaderViews& headers);
  std::optional<std::string_view> take(std::string_view name);

 private:
  struct Value {
    std::string_view name;
    size_t place;  // among the headers
    std::string_view value;
    size_t taken = 0;  // of its name, counted in the first of them
  };
  std::vector<Value> values_;  // sorted by name, then by place
};

/// Views into the message and into this, which may be used again and again.
struct DecodedRecord {
  records::NewRecord record;
  std::vector<records::HeaderView> headers;
  std::deque<std::string> texts;
  HeaderValues values;
};
/// False: the message says that it is a record of ours, and is none. `own_subject`: the one that records are written
/// to; messages of others on another one have that as their key, where they have none.
bool decode_record(const StoredMessage& message, std::string_view own_subject, DecodedRecord& out);

/// Milliseconds since the epoch of "2026-11-21T11:46:05.835379878Z"; nothing for what is no such time.
std::optional<int64_t> parse_time(std::string_view text);

}  // namespace sluice::jetstream
