// SPDX-License-Identifier: Apache-2.0
// What lies in the files, byte by byte, and nothing about when it is written. Numbers are big-endian; every structure
// has a magic and a CRC32C of its own. Format version 1:
//
//   DIR/format                      "sluice disk 1\n"
//   DIR/cluster                     the cluster id that the storage is tied to, 32 hex digits
//   DIR/owner                       for people: the process that has the directory; a lock on DIR itself decides
//   DIR/logs/ID-PARTITION-TOPIC/    one log; the id is 32 hex digits, the rest is for people
//     log                           the descriptor, and two slots for its state, which are written in turns
//     OFFSET.segment                a page of header and commit slots, then whole batches, one after the other
//     OFFSET.index                  sparse index up to some position; never written before those bytes are synced
//     value-NAME                    a saved value that is too large for the state
//   DIR/new/  DIR/gone/             logs that are not there yet, and not any more; emptied at start
//
// A segment is not framed: a read lends a stretch of the file as it lies. What says how far it counts is the newest
// commit slot, which is written after the unit that it commits: after a kill the file ends where the slot says; after a
// loss of power the bytes since the last sync are checked, and the log is cut at the last unit that is whole. Slots
// rotate over the page, one sector after the other, so that the boundaries of the last kCommitSlots units are known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/uuid.hpp"
#include "plugin/adapter.hpp"

namespace sluice::disk {

constexpr uint32_t kFormatVersion = 1;
constexpr int64_t kNoTimestamp = INT64_MIN;

// ---- Segments ----

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kSegmentHeaderBytes = 4096;  // batches begin here
constexpr uint64_t kCommitSlotBytes = 64;
constexpr uint64_t kSlotSectors = kSegmentHeaderBytes / kSectorBytes - 1;
constexpr uint64_t kCommitSlots = kSlotSectors * (kSectorBytes / kCommitSlotBytes);

/// Written once, when the segment is made.
struct SegmentHeader {
  Uuid log;
  int64_t base_offset = 0;    // the log's end when the segment was made; no batch in it is below
  uint64_t nonce = 0;         // tells this segment's slots and index from those of another in its place
  uint64_t bytes_before = 0;  // of all batches that the log ever had before
  int64_t max_timestamp_before = kNoTimestamp;
};

/// "The file counts up to here." Positions are positions in the file.
struct Commit {
  uint64_t sequence = 0;  // rises by one with each commit of the segment
  uint64_t committed = kSegmentHeaderBytes;
  uint64_t unit_start = kSegmentHeaderBytes;  // where the newest unit begins
  uint64_t synced = kSegmentHeaderBytes;      // up to here it had been synced when this was written
  int64_t end_offset = 0;
  int64_t max_timestamp = kNoTimestamp;  // of this segment

  bool operator==(const Commit&) const = default;
};

std::vector<uint8_t> encode_segment_header(const SegmentHeader& header);  // a whole page, slots zero
std::optional<SegmentHeader> decode_segment_header(Bytes page);

uint64_t commit_slot_position(uint64_t sequence);
void encode_commit(const Commit& commit, uint64_t nonce, uint8_t (&slot)[kCommitSlotBytes]);

/// All that a segment's page tells about its commits.
struct Commits {
  std::optional<Commit> newest;
  /// Boundaries of units, rising; the newest commit's is the last. Commits that a later cut took back are left out.
  std::vector<Commit> boundaries;
};
Commits decode_commits(Bytes page, uint64_t nonce);

// ---- Indexes ----

/// The batch at `position` and those behind it up to the next entry.
struct IndexEntry {
  int64_t offset = 0;                    // behind the batch before: the first batch's base offset, or the gap before it
  int64_t max_timestamp = kNoTimestamp;  // of all of them
  uint64_t position = 0;

  bool operator==(const IndexEntry&) const = default;
};

struct IndexFile {
  uint64_t nonce = 0;
  uint64_t covered = 0;  // position in the segment up to which it describes it
  int64_t end_offset = 0;
  int64_t max_timestamp = kNoTimestamp;
  std::vector<IndexEntry> entries;
};

Buffer encode_index(const IndexFile& index);
std::optional<IndexFile> decode_index(Bytes content);

// ---- The file "log" ----

constexpr uint64_t kDescriptorBytes = 2048;
constexpr uint64_t kStateSlotBytes = 3072;
constexpr uint64_t kLogFileBytes = kDescriptorBytes + 2 * kStateSlotBytes;  // two blocks of the file system
/// Values up to this size live in the state slot while they fit, so that they can be replaced on a full disk.
constexpr uint64_t kLargestInlineValue = 512;

struct SmallValue {
  std::string name;
  std::vector<uint8_t> bytes;
};

/// What changes in the life of a log besides its batches. Written whole into the slot that the one before is not in.
struct LogState {
  uint64_t sequence = 0;
  uint64_t token = 0;
  int64_t start = 0;
  int64_t end_floor = 0;     // the end is not below, whatever segments there are
  uint64_t bytes_floor = 0;  // what bytes_before of the first segment would be, when there is none
  int64_t max_timestamp_floor = kNoTimestamp;
  bool deleted = false;  // a log whose removal has begun; finished at start
  std::vector<SmallValue> values;
};

std::vector<uint8_t> encode_descriptor(const plugin::LogDescriptor& descriptor);
std::optional<plugin::LogDescriptor> decode_descriptor(Bytes content);

/// Nothing when the values do not fit.
std::optional<std::vector<uint8_t>> encode_state(const LogState& state);
/// The newer of the two valid slots of a "log" file.
std::optional<LogState> decode_state(Bytes content);
uint64_t state_slot_position(uint64_t sequence);

// ---- Saved values in files ----

Buffer encode_value(Bytes value);
std::optional<Buffer> decode_value(Bytes content);

// ---- Names ----

constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::string_view kIndexSuffix = ".index";
constexpr std::string_view kLogFileName = "log";

std::string hex(Bytes bytes);
std::optional<std::vector<uint8_t>> unhex(std::string_view text);

std::string segment_name(int64_t base_offset);
std::string index_name(int64_t base_offset);
/// The base offset of "OFFSET<suffix>".
std::optional<int64_t> offset_of_name(std::string_view name, std::string_view suffix);
std::string value_name(std::string_view name);

/// The name of a log's directory. A topic that is too long or has odd characters is shown mangled, with a '~' at the
/// end.
std::string log_directory_name(const plugin::LogDescriptor& descriptor);
struct LogDirectoryName {
  Uuid id;
  int32_t partition = 0;
  std::string topic;
  bool exact = false;  // `topic` is the topic's name
};
std::optional<LogDirectoryName> parse_log_directory_name(std::string_view name);

std::string format_text(uint32_t version);
std::optional<uint32_t> parse_format(Bytes content);

}  // namespace sluice::disk
