// SPDX-License-Identifier: Apache-2.0
#include "disk/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/crc32c.hpp"

namespace sluice::disk {

namespace {

constexpr uint64_t kSegmentMagic = 0x736c756963655347;     // "sluiceSG"
constexpr uint64_t kIndexMagic = 0x736c756963654958;       // "sluiceIX"
constexpr uint64_t kDescriptorMagic = 0x736c756963654c47;  // "sluiceLG"
constexpr uint64_t kStateMagic = 0x736c756963655354;       // "sluiceST"
constexpr uint64_t kValueMagic = 0x736c756963655641;       // "sluiceVA"
constexpr size_t kSegmentHeaderFields = 80;
constexpr size_t kIndexHeaderBytes = 64;
constexpr size_t kIndexEntryBytes = 24;
constexpr size_t kMaxStateValues = 64;
constexpr size_t kShownTopicChars = 150;
constexpr std::string_view kFormatPrefix = "sluice disk ";

/// Puts numbers and bytes one after the other.
class Writer {
 public:
  explicit Writer(uint8_t* at) : at_(at) {}
  template <class T>
  Writer& put(T value) {
    store_be(at_, value);
    at_ += sizeof value;
    return *this;
  }
  Writer& bytes(Bytes bytes) {
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    return *this;
  }

 private:
  uint8_t* at_;
};

/// Header of all structures but commit slots: magic, version, CRC of all behind it.
constexpr size_t kPrologueBytes = 16;

void seal(uint8_t* structure, size_t size, uint64_t magic) {
  Writer(structure).put(magic).put(kFormatVersion).put(crc32c({structure + kPrologueBytes, size - kPrologueBytes}));
}

bool sealed(Bytes structure, uint64_t magic) {
  if (structure.size() < kPrologueBytes) return false;
  return load_be<uint64_t>(structure.data()) == magic && load_be<uint32_t>(structure.data() + 8) == kFormatVersion &&
         load_be<uint32_t>(structure.data() + 12) == crc32c(structure.subspan(kPrologueBytes));
}

Uuid read_uuid(ByteReader& reader) {
  Uuid id;
  const Bytes bytes = reader.read_bytes(id.bytes.size());
  if (!bytes.empty()) std::ranges::copy(bytes, id.bytes.begin());
  return id;
}

bool plain_topic_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

}  // namespace

std::vector<uint8_t> encode_segment_header(const SegmentHeader& header) {
  std::vector<uint8_t> page(kSegmentHeaderBytes);
  Writer(page.data() + kPrologueBytes)
      .bytes(header.log.bytes)
      .put(header.base_offset)
      .put(header.nonce)
      .put(header.bytes_before)
      .put(header.max_timestamp_before);
  seal(page.data(), kSegmentHeaderFields, kSegmentMagic);
  return page;
}

std::optional<SegmentHeader> decode_segment_header(Bytes page) {
  if (page.size() < kSegmentHeaderFields || !sealed(page.first(kSegmentHeaderFields), kSegmentMagic)) return {};
  ByteReader reader(page.subspan(kPrologueBytes));
  SegmentHeader header;
  header.log = read_uuid(reader);
  header.base_offset = reader.read_be<int64_t>();
  header.nonce = reader.read_be<uint64_t>();
  header.bytes_before = reader.read_be<uint64_t>();
  header.max_timestamp_before = reader.read_be<int64_t>();
  return header;
}

uint64_t commit_slot_position(uint64_t sequence) {
  const uint64_t slot = sequence % kCommitSlots;
  return (1 + slot % kSlotSectors) * kSectorBytes + slot / kSlotSectors * kCommitSlotBytes;
}

void encode_commit(const Commit& commit, uint64_t nonce, uint8_t (&slot)[kCommitSlotBytes]) {
  Writer(slot + 8)
      .put(commit.sequence)
      .put(commit.committed)
      .put(commit.unit_start)
      .put(commit.synced)
      .put(commit.end_offset)
      .put(commit.max_timestamp)
      .put(nonce);
  Writer(slot).put(uint32_t{0}).put(crc32c({slot + 8, kCommitSlotBytes - 8}));
}

Commits decode_commits(Bytes page, uint64_t nonce) {
  std::vector<Commit> all;
  if (page.size() < kSegmentHeaderBytes) return {};
  for (uint64_t i = 0; i < kCommitSlots; ++i) {
    const Bytes slot = page.subspan(commit_slot_position(i), kCommitSlotBytes);
    if (load_be<uint32_t>(slot.data() + 4) != crc32c(slot.subspan(8))) continue;
    ByteReader reader(slot.subspan(8));
    Commit commit;
    commit.sequence = reader.read_be<uint64_t>();
    commit.committed = reader.read_be<uint64_t>();
    commit.unit_start = reader.read_be<uint64_t>();
    commit.synced = reader.read_be<uint64_t>();
    commit.end_offset = reader.read_be<int64_t>();
    commit.max_timestamp = reader.read_be<int64_t>();
    if (reader.read_be<uint64_t>() != nonce || commit.sequence % kCommitSlots != i) continue;
    if (commit.committed < kSegmentHeaderBytes || commit.unit_start > commit.committed) continue;
    all.push_back(commit);
  }
  std::ranges::sort(all, {}, &Commit::sequence);
  Commits commits;
  for (const Commit& commit : all) {
    auto& boundaries = commits.boundaries;
    while (!boundaries.empty() && boundaries.back().committed >= commit.committed) boundaries.pop_back();
    boundaries.push_back(commit);
  }
  if (!all.empty()) commits.newest = all.back();
  return commits;
}

Buffer encode_index(const IndexFile& index) {
  Buffer content(kIndexHeaderBytes + index.entries.size() * kIndexEntryBytes);
  std::memset(content.data(), 0, kIndexHeaderBytes);
  Writer writer(content.data() + kPrologueBytes);
  writer.put(index.nonce)
      .put(index.covered)
      .put(index.end_offset)
      .put(index.max_timestamp)
      .put(static_cast<uint64_t>(index.entries.size()));
  Writer entries(content.data() + kIndexHeaderBytes);
  for (const IndexEntry& entry : index.entries) entries.put(entry.offset).put(entry.max_timestamp).put(entry.position);
  seal(content.data(), content.size(), kIndexMagic);
  return content;
}

std::optional<IndexFile> decode_index(Bytes content) {
  if (content.size() < kIndexHeaderBytes || !sealed(content, kIndexMagic)) return {};
  ByteReader reader(content.subspan(kPrologueBytes));
  IndexFile index;
  index.nonce = reader.read_be<uint64_t>();
  index.covered = reader.read_be<uint64_t>();
  index.end_offset = reader.read_be<int64_t>();
  index.max_timestamp = reader.read_be<int64_t>();
  const auto count = reader.read_be<uint64_t>();
  if (count != (content.size() - kIndexHeaderBytes) / kIndexEntryBytes) return {};
  ByteReader entries(content.subspan(kIndexHeaderBytes));
  index.entries.resize(count);
  for (IndexEntry& entry : index.entries) {
    entry.offset = entries.read_be<int64_t>();
    entry.max_timestamp = entries.read_be<int64_t>();
    entry.position = entries.read_be<uint64_t>();
  }
  return index;
}

std::vector<uint8_t> encode_descriptor(const plugin::LogDescriptor& descriptor) {
  std::vector<uint8_t> content(kDescriptorBytes);
  const std::string_view topic = std::string_view(descriptor.topic).substr(0, kDescriptorBytes - 128);
  Writer(content.data() + kPrologueBytes)
      .bytes(descriptor.id.bytes)
      .bytes(descriptor.topic_id.bytes)
      .put(descriptor.flags)
      .put(descriptor.start_offset)
      .put(descriptor.partition)
      .put(descriptor.partition_count)
      .put(static_cast<uint32_t>(topic.size()))
      .bytes(as_bytes(topic));
  seal(content.data(), content.size(), kDescriptorMagic);
  return content;
}

std::optional<plugin::LogDescriptor> decode_descriptor(Bytes content) {
  if (content.size() < kDescriptorBytes || !sealed(content.first(kDescriptorBytes), kDescriptorMagic)) return {};
  ByteReader reader(content.subspan(kPrologueBytes, kDescriptorBytes - kPrologueBytes));
  plugin::LogDescriptor descriptor;
  descriptor.id = read_uuid(reader);
  descriptor.topic_id = read_uuid(reader);
  descriptor.flags = reader.read_be<uint32_t>();
  descriptor.start_offset = reader.read_be<int64_t>();
  descriptor.partition = reader.read_be<int32_t>();
  descriptor.partition_count = reader.read_be<int32_t>();
  const auto topic_size = reader.read_be<uint32_t>();
  descriptor.topic = as_text(reader.read_bytes(topic_size));
  if (reader.failed()) return {};
  return descriptor;
}

uint64_t state_slot_position(uint64_t sequence) {
  return kDescriptorBytes + sequence % 2 * kStateSlotBytes;
}

std::optional<std::vector<uint8_t>> encode_state(const LogState& state) {
  constexpr size_t kFixed = kPrologueBytes + 6 * 8 + 4 + 4;
  size_t needed = kFixed;
  for (const SmallValue& value : state.values) needed += 2 + 4 + value.name.size() + value.bytes.size();
  if (needed > kStateSlotBytes || state.values.size() > kMaxStateValues) return {};
  std::vector<uint8_t> slot(kStateSlotBytes);
  Writer writer(slot.data() + kPrologueBytes);
  writer.put(state.sequence)
      .put(state.token)
      .put(state.start)
      .put(state.end_floor)
      .put(state.bytes_floor)
      .put(state.max_timestamp_floor)
      .put(static_cast<uint32_t>(state.deleted ? 1 : 0))
      .put(static_cast<uint32_t>(state.values.size()));
  for (const SmallValue& value : state.values) {
    writer.put(static_cast<uint16_t>(value.name.size())).put(static_cast<uint32_t>(value.bytes.size()));
    writer.bytes(as_bytes(value.name)).bytes(value.bytes);
  }
  seal(slot.data(), slot.size(), kStateMagic);
  return slot;
}

std::optional<LogState> decode_state(Bytes content) {
  std::optional<LogState> newest;
  for (uint64_t i = 0; i < 2; ++i) {
    if (content.size() < state_slot_position(i) + kStateSlotBytes) continue;
    const Bytes slot = content.subspan(state_slot_position(i), kStateSlotBytes);
    if (!sealed(slot, kStateMagic)) continue;
    ByteReader reader(slot.subspan(kPrologueBytes));
    LogState state;
    state.sequence = reader.read_be<uint64_t>();
    state.token = reader.read_be<uint64_t>();
    state.start = reader.read_be<int64_t>();
    state.end_floor = reader.read_be<int64_t>();
    state.bytes_floor = reader.read_be<uint64_t>();
    state.max_timestamp_floor = reader.read_be<int64_t>();
    state.deleted = reader.read_be<uint32_t>() != 0;
    const auto count = reader.read_be<uint32_t>();
    if (count > kMaxStateValues) continue;
    for (uint32_t v = 0; v < count; ++v) {
      const auto name_size = reader.read_be<uint16_t>();
      const auto value_size = reader.read_be<uint32_t>();
      SmallValue value;
      value.name = as_text(reader.read_bytes(name_size));
      const Bytes bytes = reader.read_bytes(value_size);
      value.bytes.assign(bytes.begin(), bytes.end());
      state.values.push_back(std::move(value));
    }
    if (!reader.failed() && (!newest || state.sequence > newest->sequence)) newest = std::move(state);
  }
  return newest;
}

Buffer encode_value(Bytes value) {
  Buffer content(kPrologueBytes + 8 + value.size());
  Writer(content.data() + kPrologueBytes).put(static_cast<uint64_t>(value.size())).bytes(value);
  seal(content.data(), content.size(), kValueMagic);
  return content;
}

std::optional<Buffer> decode_value(Bytes content) {
  if (content.size() < kPrologueBytes + 8 || !sealed(content, kValueMagic)) return {};
  const Bytes value = content.subspan(kPrologueBytes + 8);
  if (load_be<uint64_t>(content.data() + kPrologueBytes) != value.size()) return {};
  return Buffer::copy_of(value);
}

std::string hex(Bytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

std::optional<std::vector<uint8_t>> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return {};
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char* from = text.data() + 2 * i;
    if (std::from_chars(from, from + 2, bytes[i], 16).ptr != from + 2) return {};
  }
  return bytes;
}

std::string segment_name(int64_t base_offset) {
  return fmt::format("{:020}{}", base_offset, kSegmentSuffix);
}
std::string index_name(int64_t base_offset) {
  return fmt::format("{:020}{}", base_offset, kIndexSuffix);
}

std::optional<int64_t> offset_of_name(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return {};
  name.remove_suffix(suffix.size());
  int64_t offset = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), offset);
  if (error != std::errc() || end != name.data() + name.size() || offset < 0) return {};
  return offset;
}

std::string value_name(std::string_view name) {
  return "value-" + hex(as_bytes(name));
}

std::string log_directory_name(const plugin::LogDescriptor& descriptor) {
  std::string topic = descriptor.topic.substr(0, kShownTopicChars);
  bool exact = topic.size() == descriptor.topic.size();
  for (char& c : topic) {
    if (plain_topic_char(c)) continue;
    c = '_';
    exact = false;
  }
  return fmt::format("{}-{}-{}{}", hex(descriptor.id.bytes), descriptor.partition, topic, exact ? "" : "~");
}

std::optional<LogDirectoryName> parse_log_directory_name(std::string_view name) {
  constexpr size_t kIdChars = 32;
  if (name.size() < kIdChars + 3 || name[kIdChars] != '-') return {};
  const auto id = unhex(name.substr(0, kIdChars));
  if (!id) return {};
  LogDirectoryName parsed;
  std::ranges::copy(*id, parsed.id.bytes.begin());
  name.remove_prefix(kIdChars + 1);
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), parsed.partition);
  if (error != std::errc() || end == name.data() + name.size() || *end != '-') return {};
  name.remove_prefix(static_cast<size_t>(end - name.data()) + 1);
  parsed.exact = !name.ends_with('~');
  parsed.topic = parsed.exact ? name : name.substr(0, name.size() - 1);
  return parsed;
}

std::string format_text(uint32_t version) {
  return fmt::format("{}{}\n", kFormatPrefix, version);
}

std::optional<uint32_t> parse_format(Bytes content) {
  std::string_view text = as_text(content);
  if (!text.starts_with(kFormatPrefix) || !text.ends_with('\n')) return {};
  text.remove_prefix(kFormatPrefix.size());
  text.remove_suffix(1);
  uint32_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return version;
}

}  // namespace sluice::disk
