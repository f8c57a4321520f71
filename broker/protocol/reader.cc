// SPDX-License-Identifier: Apache-2.0
#include "protocol/reader.hpp"

#include <fmt/format.h>

namespace sluice::protocol {
namespace {

std::string_view fault_text(DecodeFault fault) {
  switch (fault) {
    case DecodeFault::kNone:
      return "no fault";
    case DecodeFault::kTruncated:
      return "reaches beyond the end";
    case DecodeFault::kNegativeLength:
      return "negative length";
    case DecodeFault::kNull:
      return "null where this version has no null";
    case DecodeFault::kVarintTooLong:
      return "variable length integer out of range";
    case DecodeFault::kTooMuchMemory:
      return "more elements than a message of this size may have";
    case DecodeFault::kTagOrder:
      return "tagged fields out of order";
    case DecodeFault::kTagLength:
      return "tagged field longer than its content";
    case DecodeFault::kBadBool:
      return "presence is neither 1 nor -1";
    case DecodeFault::kTrailingBytes:
      return "bytes after the end of the message";
  }
  return "unknown fault";
}

}  // namespace

std::string DecodeError::describe() const {
  return fmt::format("{}{}{}, at byte {}", path, path.empty() ? "" : ": ", fault_text(fault), offset_bytes);
}

Status DecodeError::to_status(std::string_view message, int16_t version) const {
  return Status(StatusCode::invalid, fmt::format("{} v{}: {}", message, version, describe()));
}

bool Reader::fail_before(DecodeFault fault, size_t back_bytes) {
  error_.fault = fault;
  error_.offset_bytes = offset_bytes() - back_bytes;
  return false;
}

bool Reader::in(std::string_view field) {
  std::string path(field);
  if (!error_.path.empty() && error_.path.front() != '[') path += '.';
  error_.path = path + error_.path;
  return false;
}

bool Reader::in_element(int32_t index) {
  return in(fmt::format("[{}]", index));
}

bool Reader::varuint(uint32_t& out) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    if (at_ == end_) return fail(DecodeFault::kTruncated);
    const auto byte = std::to_integer<uint8_t>(*at_++);
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) {
      if (value > UINT32_MAX) return fail_before(DecodeFault::kVarintTooLong, 1);
      out = static_cast<uint32_t>(value);
      return true;
    }
  }
  return fail_before(DecodeFault::kVarintTooLong, 1);
}

bool Reader::take(int64_t length, bool nullable, std::optional<Bytes>& out) {
  out.reset();
  if (length == -1) return nullable || fail(DecodeFault::kNull);
  if (length < 0) return fail(DecodeFault::kNegativeLength);
  if (static_cast<uint64_t>(length) > remaining_bytes()) return fail(DecodeFault::kTruncated);
  out.emplace(std::span(at_, static_cast<size_t>(length)));
  at_ += length;
  return true;
}

bool Reader::text_view(std::optional<std::string_view>& out, bool flexible, bool nullable) {
  int64_t length = 0;
  if (flexible) {
    uint32_t value = 0;
    if (!varuint(value)) return false;
    length = int64_t{value} - 1;
  } else {
    int16_t value = 0;
    if (!read(value)) return false;
    length = value;
  }
  std::optional<Bytes> view;
  if (!take(length, nullable, view)) return false;
  out.reset();
  if (view) out = view->text();
  return true;
}

bool Reader::bytes_view(std::optional<Bytes>& out, bool flexible, bool nullable) {
  int64_t length = 0;
  if (flexible) {
    uint32_t value = 0;
    if (!varuint(value)) return false;
    length = int64_t{value} - 1;
  } else {
    int32_t value = 0;
    if (!read(value)) return false;
    length = value;
  }
  return take(length, nullable, out);
}

bool Reader::bytes(Bytes& out, bool flexible) {
  std::optional<Bytes> view;
  if (!bytes_view(view, flexible, false)) return false;
  out = *view;
  return true;
}

bool Reader::bytes(std::string& out, bool flexible) {
  std::optional<Bytes> view;
  if (!bytes_view(view, flexible, false)) return false;
  out = view->text();
  return true;
}

bool Reader::bytes(std::optional<Bytes>& out, bool flexible, bool nullable) {
  return bytes_view(out, flexible, nullable);
}

bool Reader::bytes(std::optional<std::string>& out, bool flexible, bool nullable) {
  std::optional<Bytes> view;
  if (!bytes_view(view, flexible, nullable)) return false;
  out.reset();
  if (view) out.emplace(view->text());
  return true;
}

bool Reader::records(RecordsOut& out, bool flexible, bool nullable) {
  std::optional<Bytes> view;
  if (!bytes_view(view, flexible, nullable)) return false;
  out = {};
  out.is_null = !view;
  if (view && !view->empty()) out.slices.push_back(*view);
  return true;
}

bool Reader::array_count(int32_t& count, bool flexible, bool nullable, size_t wire_bytes, size_t memory_bytes) {
  int64_t length = 0;
  if (flexible) {
    uint32_t value = 0;
    if (!varuint(value)) return false;
    length = int64_t{value} - 1;
  } else {
    int32_t value = 0;
    if (!read(value)) return false;
    length = value;
  }
  if (length == -1) {
    count = -1;
    return nullable || fail(DecodeFault::kNull);
  }
  if (length < 0) return fail(DecodeFault::kNegativeLength);
  const auto elements = static_cast<uint64_t>(length);
  // Both products stay below 2^64: a count has 32 bits, an element's size far fewer.
  if (elements * wire_bytes > remaining_bytes()) return fail(DecodeFault::kTruncated);
  if (elements * memory_bytes > memory_left_bytes_) return fail(DecodeFault::kTooMuchMemory);
  memory_left_bytes_ -= elements * memory_bytes;
  count = static_cast<int32_t>(length);
  return true;
}

bool Reader::begin_tag(Tag& tag) {
  uint32_t number = 0;
  uint32_t size = 0;
  if (!varuint(number)) return false;
  if (int64_t{number} <= tag.number) return fail(DecodeFault::kTagOrder);
  if (!varuint(size)) return false;
  if (size > remaining_bytes()) return fail(DecodeFault::kTruncated);
  tag.number = number;
  tag.outer_end = end_;
  end_ = at_ + size;
  return true;
}

bool Reader::end_tag(const Tag& tag) {
  if (at_ != end_) return fail(DecodeFault::kTagLength);
  end_ = tag.outer_end;
  return true;
}

bool Reader::skip_tags() {
  uint32_t count = 0;
  Tag tag;
  if (!varuint(count)) return in("tags");
  for (; count != 0; --count) {
    if (!begin_tag(tag)) return in("tags");
    skip_tag();
    if (!end_tag(tag)) return in("tags");
  }
  return true;
}

}  // namespace sluice::protocol
