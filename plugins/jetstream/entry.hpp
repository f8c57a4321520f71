// SPDX-License-Identifier: Apache-2.0
// What each message of a log's stream says of itself, in the header "Sluice":
//
//   1 unit base=10 end=15 start=0 newest=1700 greatest=1800 token=4294967297
//
// A fence is published unconditionally and knows its token alone. Every other message is published on the condition
// that it lands right behind the message that its writer saw last, so it knows the whole state of the log behind it:
// end, start, greatest timestamp, token. The last such message, and the fences after it, are the log's state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::jetstream {

inline constexpr const char* kEntryHeader = "Sluice";
/// What a unit's headers, the protocol's own among them, take of the server's max_payload at most.
constexpr uint64_t kHeaderAllowanceBytes = 512;
/// Messages that one unit may take. Each costs a round trip, and whoever reads a batch of the unit reads them all.
constexpr uint32_t kMostMessagesOfUnit = 16;
/// How large a unit may become by taking several messages: above Kafka's default largest batch of 1,048,588 bytes where
/// the server's max_payload is the default 1 MiB. For larger ones max_payload is to be raised.
constexpr uint64_t kLargestUnitInParts = 2 * ((1 << 20) - kHeaderAllowanceBytes);
/// No batch yet: below every timestamp.
constexpr int64_t kNoTimestamp = INT64_MIN;

enum class EntryType : uint8_t {
  create,  // the first message of a whole log; its payload is the descriptor
  unit,    // batches
  fence,   // a token
  trim,    // another start
  value,   // a saved value; empty: removed
  seal,    // nothing but the state, so that a row of fences is not read again and again
  part,    // the beginning of a unit that is too large for one message; counts with the unit, or never
};

std::string_view entry_type_name(EntryType type);

struct Entry {
  EntryType type = EntryType::unit;
  int64_t base = 0;                 // unit: base offset of the first batch
  int64_t end = 0;                  // all but fence: the log's end with this entry
  int64_t start = 0;                // all but fence
  int64_t newest = kNoTimestamp;    // unit: greatest timestamp in it
  int64_t greatest = kNoTimestamp;  // all but fence: of all units up to this one, trimmed ones too
  uint64_t token = 0;               // in force, or for fence: asked for
  uint32_t parts = 0;               // unit: messages right before it that hold its beginning

  bool operator==(const Entry&) const = default;
};

std::string encode_entry(const Entry& entry);
/// Nothing for what no version of this adapter wrote. Unknown keys are passed over.
std::optional<Entry> parse_entry(std::string_view text);

}  // namespace sluice::jetstream
