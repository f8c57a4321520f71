// SPDX-License-Identifier: Apache-2.0
// The layout `record`: how offsets are written as the ids of a stream's entries, which other programs add too, and the
// keys of a topic. Pure functions.
//
//   TOPIC, TOPIC:1, ...       streams    the partitions, one entry for each record; an adopted topic is one stream
//   PREFIX:native:{STREAM}    hash       which log stands for that stream: id, topic, partition, adopted, format
//
// The braces make both keys lie in one slot of a Redis Cluster; a stream whose name has braces of its own has them
// already.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.hpp"
#include "redis/keys.hpp"

namespace sluice::redis {

enum class Ids {
  // As the server gives them to `XADD key *`: offset = milliseconds * 2^20 + sequence, so there are gaps. Ids that
  // other
  // programs chose may have none: a sequence from 2^20 on, or times from 2^43 - 1 on, behind which there are no others.
  time,
  dense,  // `0-N`, given to `XADD key 0-*`: offset = N - 1
};

/// Entries that may come in one millisecond.
inline constexpr int kSequenceBits = 20;

/// The offset of an entry. CORRUPT where ids of this kind have none: the text says what wrote it.
Result<int64_t> offset_of(EntryId id, Ids ids);
/// The lowest id that an entry at or above `offset` has.
std::string id_at(int64_t offset, Ids ids);
/// The lowest offset that an entry behind one with this id may have, whether that has one or not; 0 behind 0-0, which
/// is no entry's.
int64_t offset_behind(EntryId id, Ids ids);
/// Neither an entry with this id nor any behind it has an offset.
bool is_beyond(EntryId id, Ids ids);
/// The lowest such id.
std::string first_beyond(Ids ids);
/// The highest id at or below this one that an entry with an offset may have.
std::string last_with_offset(EntryId id, Ids ids);

struct RecordKeys {
  std::string stream;
  std::string marker;
  uint16_t slot = 0;

  RecordKeys(std::string_view prefix, std::string stream_name);
};

/// What the markers of all streams begin with.
std::string marker_prefix(std::string_view prefix);
/// The stream of a partition of a topic that Sluice makes.
std::string stream_name(std::string_view topic, int32_t partition);
/// The marker lies in another slot than the stream: such a name cannot be had in a cluster.
bool is_torn(const RecordKeys& keys);

}  // namespace sluice::redis
