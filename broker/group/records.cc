// SPDX-License-Identifier: Apache-2.0
#include "group/records.hpp"

#include <fmt/format.h>

#include <limits>

#include "base/bytes.hpp"

namespace sluice::group {
namespace {

// The kinds, as stored: numbers are never used for anything else. Classic groups and their offsets have 1 to 15.
constexpr uint8_t kGroup = 1;
constexpr uint8_t kGroupDeleted = 2;
constexpr uint8_t kOffsets = 3;
constexpr uint8_t kOffsetsDeleted = 4;
constexpr uint8_t kTopicDeleted = 5;
constexpr uint8_t kVersion = 0;

class Writer {
 public:
  explicit Writer(uint8_t kind) : out_(buffer_) {
    out_.write_be(kind);
    out_.write_be(kVersion);
  }
  void number(int64_t value) { out_.write_varlong(value); }
  void text(std::string_view value) {
    number(static_cast<int64_t>(value.size()));
    out_.write_bytes(as_bytes(value));
  }
  void optional_text(const std::optional<std::string>& value) {
    if (!value) return number(-1);
    text(*value);
  }
  void count(size_t value) { number(static_cast<int64_t>(value)); }
  void topic(const TopicKey& key) {
    text(key.name);
    out_.write_bytes(key.id.bytes);
  }
  std::string take() { return std::string(as_text(buffer_.view())); }

 private:
  Buffer buffer_;
  ByteWriter out_;
};

/// After the first fault every read gives an empty value and failed() is true.
class Reader {
 public:
  explicit Reader(Bytes bytes) : in_(bytes) {}

  bool failed() const { return failed_ || in_.failed(); }
  bool at_end() const { return in_.left() == 0; }
  int64_t number() { return in_.read_varlong(); }
  int32_t number32() {
    const int64_t value = number();
    if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) return fail();
    return static_cast<int32_t>(value);
  }
  std::string text() {
    const int64_t size = number();
    return size < 0 ? (fail(), std::string{}) : text_of(size);
  }
  std::optional<std::string> optional_text() {
    const int64_t size = number();
    if (size == -1) return std::nullopt;
    return size < 0 ? (fail(), std::string{}) : text_of(size);
  }
  /// Every element takes a byte at least, so that a false count is found out before memory is taken for it.
  size_t count() {
    const int64_t value = number();
    if (value < 0 || static_cast<uint64_t>(value) > in_.left()) return static_cast<size_t>(fail());
    return static_cast<size_t>(value);
  }
  TopicKey topic() {
    TopicKey key;
    key.name = text();
    const Bytes id = in_.read_bytes(key.id.bytes.size());
    if (!in_.failed()) std::copy(id.begin(), id.end(), key.id.bytes.begin());
    return key;
  }

 private:
  int32_t fail() {
    failed_ = true;
    return 0;
  }
  std::string text_of(int64_t size) {
    if (static_cast<uint64_t>(size) > in_.left()) return fail(), std::string{};
    return std::string(as_text(in_.read_bytes(static_cast<size_t>(size))));
  }

  ByteReader in_;
  bool failed_ = false;
};

std::string write(const GroupRecord& record) {
  Writer out(kGroup);
  out.text(record.group_id);
  out.number(record.generation_id);
  out.optional_text(record.protocol_type);
  out.optional_text(record.protocol_name);
  out.optional_text(record.leader);
  out.number(record.state_since_ms);
  out.count(record.members.size());
  for (const StoredMember& member : record.members) {
    out.text(member.member_id);
    out.optional_text(member.group_instance_id);
    out.text(member.client_id);
    out.text(member.client_host);
    out.number(member.session_timeout_ms);
    out.number(member.rebalance_timeout_ms);
    out.count(member.protocols.size());
    for (const MemberProtocol& protocol : member.protocols) {
      out.text(protocol.name);
      out.text(protocol.metadata);
    }
    out.text(member.assignment);
  }
  return out.take();
}

GroupRecord read_group(Reader& in) {
  GroupRecord record;
  record.group_id = in.text();
  record.generation_id = in.number32();
  record.protocol_type = in.optional_text();
  record.protocol_name = in.optional_text();
  record.leader = in.optional_text();
  record.state_since_ms = in.number();
  for (size_t left = in.count(); left > 0 && !in.failed(); --left) {
    StoredMember& member = record.members.emplace_back();
    member.member_id = in.text();
    member.group_instance_id = in.optional_text();
    member.client_id = in.text();
    member.client_host = in.text();
    member.session_timeout_ms = in.number32();
    member.rebalance_timeout_ms = in.number32();
    for (size_t protocols = in.count(); protocols > 0 && !in.failed(); --protocols) {
      MemberProtocol& protocol = member.protocols.emplace_back();
      protocol.name = in.text();
      protocol.metadata = in.text();
    }
    member.assignment = in.text();
  }
  return record;
}

std::string write(const GroupDeletedRecord& record) {
  Writer out(kGroupDeleted);
  out.text(record.group_id);
  return out.take();
}

// Commit times of one record are mostly equal: each is stored as its distance from the one before.
std::string write(const OffsetsRecord& record) {
  Writer out(kOffsets);
  out.text(record.group_id);
  out.count(record.topics.size());
  int64_t previous_ms = 0;
  for (const OffsetsRecord::Topic& topic : record.topics) {
    out.topic(topic.topic);
    out.count(topic.partitions.size());
    for (const OffsetsRecord::Partition& partition : topic.partitions) {
      const StoredOffset& value = partition.value;
      out.number(partition.partition);
      out.number(value.offset);
      out.number(value.leader_epoch);
      out.text(value.metadata);
      out.number(value.commit_ms - previous_ms);
      out.number(value.expire_ms);
      previous_ms = value.commit_ms;
    }
  }
  return out.take();
}

OffsetsRecord read_offsets(Reader& in) {
  OffsetsRecord record;
  record.group_id = in.text();
  int64_t previous_ms = 0;
  for (size_t left = in.count(); left > 0 && !in.failed(); --left) {
    OffsetsRecord::Topic& topic = record.topics.emplace_back();
    topic.topic = in.topic();
    for (size_t partitions = in.count(); partitions > 0 && !in.failed(); --partitions) {
      OffsetsRecord::Partition& partition = topic.partitions.emplace_back();
      StoredOffset& value = partition.value;
      partition.partition = in.number32();
      value.offset = in.number();
      value.leader_epoch = in.number32();
      value.metadata = in.text();
      // Unsigned, so that a corrupt distance cannot overflow.
      value.commit_ms = static_cast<int64_t>(static_cast<uint64_t>(previous_ms) + static_cast<uint64_t>(in.number()));
      value.expire_ms = in.number();
      previous_ms = value.commit_ms;
    }
  }
  return record;
}

std::string write(const OffsetsDeletedRecord& record) {
  Writer out(kOffsetsDeleted);
  out.text(record.group_id);
  out.count(record.topics.size());
  for (const OffsetsDeletedRecord::Topic& topic : record.topics) {
    out.topic(topic.topic);
    out.count(topic.partitions.size());
    for (const int32_t partition : topic.partitions) out.number(partition);
  }
  return out.take();
}

OffsetsDeletedRecord read_offsets_deleted(Reader& in) {
  OffsetsDeletedRecord record;
  record.group_id = in.text();
  for (size_t left = in.count(); left > 0 && !in.failed(); --left) {
    OffsetsDeletedRecord::Topic& topic = record.topics.emplace_back();
    topic.topic = in.topic();
    for (size_t partitions = in.count(); partitions > 0 && !in.failed(); --partitions) {
      topic.partitions.push_back(in.number32());
    }
  }
  return record;
}

std::string write(const TopicDeletedRecord& record) {
  Writer out(kTopicDeleted);
  out.topic(record.topic);
  return out.take();
}

}  // namespace

std::string encode(const Record& record) {
  return std::visit([](const auto& kind) { return write(kind); }, record);
}

Result<Record> decode(std::string_view bytes) {
  if (bytes.size() < 2) return fail(StatusCode::corrupt, "group record without its header");
  const auto kind = static_cast<uint8_t>(bytes[0]);
  const auto version = static_cast<uint8_t>(bytes[1]);
  if (version != kVersion) {
    return fail(StatusCode::unsupported, fmt::format("group record of kind {} has unknown version {}", kind, version));
  }
  Reader in(as_bytes(bytes.substr(2)));
  Record record;
  switch (kind) {
    case kGroup:
      record = read_group(in);
      break;
    case kGroupDeleted:
      record = GroupDeletedRecord{in.text()};
      break;
    case kOffsets:
      record = read_offsets(in);
      break;
    case kOffsetsDeleted:
      record = read_offsets_deleted(in);
      break;
    case kTopicDeleted:
      record = TopicDeletedRecord{in.topic()};
      break;
    default:
      return fail(StatusCode::unsupported, fmt::format("group record of unknown kind {}", kind));
  }
  if (in.failed()) return fail(StatusCode::corrupt, fmt::format("group record of kind {} is malformed", kind));
  if (!in.at_end()) return fail(StatusCode::corrupt, fmt::format("group record of kind {} is too long", kind));
  return record;
}

}  // namespace sluice::group
