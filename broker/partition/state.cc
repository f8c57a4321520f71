// SPDX-License-Identifier: Apache-2.0
#include "partition/state.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.hpp"

namespace sluice::partition {
namespace {

constexpr uint8_t kVersion = 2;
constexpr size_t kCrcBytes = 4;

}  // namespace

void PartitionState::add(const records::BatchHeader& batch, const RetentionRules& rules, int64_t now_ms) {
  if (epochs.empty() || batch.leader_epoch > epochs.back().epoch)
    epochs.push_back({batch.leader_epoch, batch.base_offset});
  const auto size = static_cast<int64_t>(batch.size());
  if (segments.empty() || segments.back().bytes + size > rules.segment_bytes ||
      now_ms - segments.back().created_ms > rules.segment_ms) {
    segments.push_back({batch.base_offset, 0, -1, now_ms, now_ms});
  }
  segments.back().bytes += size;
  segments.back().appended_ms = now_ms;
  segments.back().max_timestamp = std::max(segments.back().max_timestamp, batch.max_timestamp);
  end = batch.base_offset + batch.last_offset_delta + 1;
  last_epoch = batch.leader_epoch;
  last_crc = batch.crc;
}

void PartitionState::replay(const records::BatchHeader& batch, const RetentionRules& rules, int64_t now_ms) {
  // When the batch came is not recorded. Its producer counts as seen now: records may be old where they are new here,
  // and who forgets their producer takes a retry for something new.
  producers.replay(batch, now_ms);
  // For the log's age its own time is the best guess; where it has none it came just now.
  int64_t at = batch.max_timestamp >= 0 ? batch.max_timestamp : now_ms;
  if (!segments.empty()) at = std::max(at, segments.back().appended_ms);
  add(batch, rules, at);
}

void PartitionState::cut_before(int64_t offset) {
  while (segments.size() > 1 && segments[1].base_offset <= offset) segments.erase(segments.begin());
  if (!segments.empty() && offset >= end) segments.clear();
  while (epochs.size() > 1 && epochs[1].offset <= offset) epochs.erase(epochs.begin());
  if (!epochs.empty() && epochs.front().offset < offset) epochs.front().offset = offset;
}

int64_t PartitionState::bytes() const {
  int64_t total = 0;
  for (const auto& segment : segments) total += segment.bytes;
  return total;
}

int64_t PartitionState::bytes_between(int64_t from, int64_t to) const {
  double total = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const int64_t first = segments[i].base_offset;
    const int64_t last = i + 1 < segments.size() ? segments[i + 1].base_offset : end;
    const int64_t shared = std::min(to, last) - std::max(from, first);
    if (shared > 0)
      total += static_cast<double>(segments[i].bytes) * static_cast<double>(shared) / static_cast<double>(last - first);
  }
  return static_cast<int64_t>(total);
}

int32_t PartitionState::epoch_at(int64_t offset) const {
  int32_t epoch = -1;
  for (const auto& start : epochs) {
    if (start.offset > offset) break;
    epoch = start.epoch;
  }
  return epoch;
}

EpochStart PartitionState::end_of_epoch(int32_t epoch, int32_t current_epoch, int64_t log_end) const {
  if (epoch < 0 || epoch > current_epoch) return {-1, -1};
  if (epoch == current_epoch) return {epoch, log_end};
  // The current epoch begins at the log's end as long as it has no batch.
  if (epochs.empty()) return {epoch, log_end};
  if (epoch < epochs.front().epoch) return {epoch, epochs.front().offset};
  auto after =
      std::upper_bound(epochs.begin(), epochs.end(), epoch, [](int32_t e, const EpochStart& s) { return e < s.epoch; });
  return {std::prev(after)->epoch, after == epochs.end() ? log_end : after->offset};
}

int64_t PartitionState::retention_start(int64_t start, const RetentionRules& rules, int64_t now_ms) const {
  int64_t result = start;
  int64_t total = bytes();
  for (size_t i = 0; i < segments.size(); ++i) {
    const VirtualSegment& segment = segments[i];
    const bool last = i + 1 == segments.size();
    const int64_t newest_ms = segment.max_timestamp >= 0 ? segment.max_timestamp : segment.appended_ms;
    const bool too_old = rules.retention_ms >= 0 && now_ms - newest_ms > rules.retention_ms;
    // By size whole segments go while what remains still has retention_bytes; the one being written stays.
    const bool too_much = rules.retention_bytes >= 0 && !last && total - segment.bytes >= rules.retention_bytes;
    if (!too_old && !too_much) break;
    total -= segment.bytes;
    result = std::max(result, last ? end : segments[i + 1].base_offset);
  }
  return result;
}

std::string encode_state(const PartitionState& state) {
  Buffer buffer;
  ByteWriter writer(buffer);
  writer.write_be<uint8_t>(kVersion);
  writer.write_be<int64_t>(state.end);
  writer.write_be<int32_t>(state.last_epoch);
  writer.write_be<uint32_t>(state.last_crc);
  writer.write_be<uint32_t>(static_cast<uint32_t>(state.epochs.size()));
  for (const auto& e : state.epochs) {
    writer.write_be<int32_t>(e.epoch);
    writer.write_be<int64_t>(e.offset);
  }
  writer.write_be<uint32_t>(static_cast<uint32_t>(state.segments.size()));
  for (const auto& s : state.segments) {
    writer.write_be<int64_t>(s.base_offset);
    writer.write_be<int64_t>(s.bytes);
    writer.write_be<int64_t>(s.max_timestamp);
    writer.write_be<int64_t>(s.created_ms);
    writer.write_be<int64_t>(s.appended_ms);
  }
  const auto producers = state.producers.all();
  writer.write_be<uint32_t>(static_cast<uint32_t>(producers.size()));
  for (const auto& p : producers) {
    writer.write_be<int64_t>(p.id);
    writer.write_be<int16_t>(p.epoch);
    writer.write_be<int64_t>(p.last_seen_ms);
    writer.write_be<uint8_t>(static_cast<uint8_t>(p.batches.size()));
    for (const auto& b : p.batches) {
      writer.write_be<int32_t>(b.first_sequence);
      writer.write_be<int32_t>(b.last_sequence);
      writer.write_be<int64_t>(b.base_offset);
      writer.write_be<int64_t>(b.last_offset);
      writer.write_be<int64_t>(b.timestamp_ms);
    }
  }
  writer.write_be<uint32_t>(crc32c(buffer.view()));
  return std::string(as_text(buffer.view()));
}

Result<PartitionState> decode_state(std::string_view text) {
  const Bytes bytes = as_bytes(text);
  auto corrupt = [] { return fail(StatusCode::corrupt, "malformed partition state"); };
  if (bytes.size() < kCrcBytes + 1) return corrupt();
  // Every version ends with the checksum, so that a damaged version is not taken for a newer one.
  const Bytes body = bytes.first(bytes.size() - kCrcBytes);
  if (crc32c(body) != load_be<uint32_t>(bytes.data() + body.size())) return corrupt();
  if (bytes[0] != kVersion) {
    return fail(StatusCode::unsupported,
                fmt::format("partition state of version {}, this broker reads {}", bytes[0], kVersion));
  }
  ByteReader reader(body.subspan(1));
  PartitionState state;
  state.end = reader.read_be<int64_t>();
  state.last_epoch = reader.read_be<int32_t>();
  state.last_crc = reader.read_be<uint32_t>();
  bool too_many = false;
  auto count = [&]() -> uint32_t {
    const auto n = reader.read_be<uint32_t>();
    too_many = too_many || n > reader.left();
    return too_many ? 0 : n;
  };
  state.epochs.resize(count());
  for (auto& e : state.epochs) {
    e.epoch = reader.read_be<int32_t>();
    e.offset = reader.read_be<int64_t>();
  }
  state.segments.resize(count());
  for (auto& s : state.segments) {
    s.base_offset = reader.read_be<int64_t>();
    s.bytes = reader.read_be<int64_t>();
    s.max_timestamp = reader.read_be<int64_t>();
    s.created_ms = reader.read_be<int64_t>();
    s.appended_ms = reader.read_be<int64_t>();
  }
  for (uint32_t left = count(); left > 0 && !reader.failed(); --left) {
    Producer p;
    p.id = reader.read_be<int64_t>();
    p.epoch = reader.read_be<int16_t>();
    p.last_seen_ms = reader.read_be<int64_t>();
    p.batches.resize(reader.read_be<uint8_t>());
    for (auto& b : p.batches) {
      b.first_sequence = reader.read_be<int32_t>();
      b.last_sequence = reader.read_be<int32_t>();
      b.base_offset = reader.read_be<int64_t>();
      b.last_offset = reader.read_be<int64_t>();
      b.timestamp_ms = reader.read_be<int64_t>();
    }
    if (p.batches.size() > ProducerStates::kRememberedBatches) return corrupt();
    state.producers.restore(std::move(p));
  }
  if (too_many || reader.failed() || reader.left() != 0) return corrupt();
  return state;
}

}  // namespace sluice::partition
