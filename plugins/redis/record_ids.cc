// SPDX-License-Identifier: Apache-2.0
#include "redis/record_ids.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::redis {
namespace {

constexpr uint64_t kMaxMilliseconds = static_cast<uint64_t>(INT64_MAX >> kSequenceBits);
constexpr int64_t kSequenceMask = (int64_t{1} << kSequenceBits) - 1;

}  // namespace

Result<int64_t> offset_of(EntryId id, Ids ids) {
  if (ids == Ids::dense) {
    if (id.high == 0 && id.low > 0 && id.low <= static_cast<uint64_t>(INT64_MAX))
      return static_cast<int64_t>(id.low) - 1;
    return fail(
        StatusCode::corrupt,
        fmt::format("entry {}-{} is not one of `XADD key 0-*`: with ids=dense no other may be written, and from "
                    "now on none can be",
                    id.high, id.low));
  }
  if (id.high >= kMaxMilliseconds || id.low > static_cast<uint64_t>(kSequenceMask)) {
    return fail(StatusCode::corrupt,
                fmt::format("entry {}-{} has no offset: more than {} entries in one millisecond, or an "
                            "id that is no time",
                            id.high, id.low, kSequenceMask + 1));
  }
  return static_cast<int64_t>(id.high << kSequenceBits | id.low);
}

std::string id_at(int64_t offset, Ids ids) {
  if (ids == Ids::dense) return fmt::format("0-{}", static_cast<uint64_t>(offset) + 1);
  return fmt::format("{}-{}", offset >> kSequenceBits, offset & kSequenceMask);
}

int64_t offset_behind(EntryId id, Ids ids) {
  if (id == EntryId{}) return 0;
  if (const Result<int64_t> offset = offset_of(id, ids)) return *offset + 1;
  if (ids == Ids::dense) return INT64_MAX;
  return static_cast<int64_t>((std::min(id.high, kMaxMilliseconds - 1) + 1) << kSequenceBits);
}

bool is_beyond(EntryId id, Ids ids) {
  if (ids == Ids::time) return id.high >= kMaxMilliseconds;
  return id.high > 0 || id.low > static_cast<uint64_t>(INT64_MAX);
}

std::string first_beyond(Ids ids) {
  return ids == Ids::time ? fmt::format("{}-0", kMaxMilliseconds) : fmt::format("0-{}", uint64_t{1} << 63);
}

std::string last_with_offset(EntryId id, Ids ids) {
  const auto most = static_cast<uint64_t>(ids == Ids::time ? kSequenceMask : INT64_MAX);
  if (is_beyond(id, ids)) return fmt::format("{}-{}", ids == Ids::time ? kMaxMilliseconds - 1 : 0, most);
  return fmt::format("{}-{}", id.high, std::min(id.low, most));
}

RecordKeys::RecordKeys(std::string_view prefix, std::string stream_name) : stream(std::move(stream_name)) {
  const bool tagged = stream.find('{') != std::string::npos;
  marker = fmt::format(fmt::runtime(tagged ? "{}{}" : "{}{{{}}}"), marker_prefix(prefix), stream);
  slot = hash_slot(stream);
}

std::string marker_prefix(std::string_view prefix) {
  return fmt::format("{}:native:", prefix);
}

std::string stream_name(std::string_view topic, int32_t partition) {
  return partition == 0 ? std::string(topic) : fmt::format("{}:{}", topic, partition);
}

bool is_torn(const RecordKeys& keys) {
  return hash_slot(keys.marker) != keys.slot;
}

}  // namespace sluice::redis
