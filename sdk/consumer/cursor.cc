// SPDX-License-Identifier: Apache-2.0
// The bytes behind the text:
//
//     count | lengths of ids | ids | positions | CRC-32C
//
// Ids rise and come in groups of 32, each with the prefix that all of a group share: its length and those of the rests,
// unsigned LEB128 in its shortest form; its bytes and those of the rests. Positions come in groups of 32 too: a byte,
// how many bytes each has (as few as the largest needs, 0 to 8), and then these, little endian. So one cursor has one
// text, and what is read does not wait for what was written just before. The checksum (little endian) covers "slc1."
// and all bytes before it.
#include "sluice/cursor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <tuple>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "consumer/base64url.hpp"
#include "sluice/source.hpp"

namespace sluice {
namespace {

constexpr std::string_view kPrefix = "slc1.";
constexpr size_t kChecksumBytes = 4;
constexpr size_t kMaxNumberBytes = 3;  // of lengths and counts
constexpr size_t kGroup = 32;
constexpr size_t kSlackBytes = 16;  // that copy_wide() may touch beyond the end

// Copies `size` bytes, and up to kSlackBytes more that are overwritten or cut off later: no call for short ids, and no
// branch that depends on how short they are.
void copy_wide(uint8_t* to, const uint8_t* from, size_t size) {
  size_t done = 0;
  do {
    uint8_t chunk[kSlackBytes];  // the slack of `from` may overlap `to`
    std::memcpy(chunk, from + done, kSlackBytes);
    std::memcpy(to + done, chunk, kSlackBytes);
    done += kSlackBytes;
  } while (done < size);
}

uint8_t* write_number(uint8_t* at, uint64_t number) {
  for (; number >= 0x80; number >>= 7) *at++ = static_cast<uint8_t>(number | 0x80);
  *at++ = static_cast<uint8_t>(number);
  return at;
}

size_t width_of(uint64_t number) {
  return (static_cast<size_t>(std::bit_width(number)) + 7) / 8;
}

// Up to kSlackBytes beyond the end may be touched.
uint8_t* write_positions(uint8_t* at, const std::vector<int64_t>& positions) {
  for (size_t first = 0; first < positions.size(); first += kGroup) {
    const size_t behind = std::min(first + kGroup, positions.size());
    uint64_t all = 0;
    for (size_t i = first; i < behind; ++i) all |= static_cast<uint64_t>(positions[i]);
    const size_t width = width_of(all);
    *at++ = static_cast<uint8_t>(width);
    for (size_t i = first; i < behind; ++i, at += width) std::memcpy(at, &positions[i], sizeof(int64_t));
  }
  return at;
}

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

// Reads numbers from bytes behind which there are kSlackBytes more.
class Reader {
 public:
  Reader(const uint8_t* at, size_t size) : start_(at), at_(at), end_(at + size) {}

  size_t offset() const { return static_cast<size_t>(at_ - start_); }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const char* fault() const { return fault_; }
  const uint8_t* skip(size_t size) {
    const uint8_t* from = at_;
    at_ += size;
    return from;
  }

  // At most `limit`, in its shortest form.
  uint64_t number(uint64_t limit) {
    if (left() > 0 && *at_ <= std::min<uint64_t>(limit, 0x7f)) [[likely]]
      return *at_++;
    return long_number(limit);
  }

  // Calls visit(length) for each of `count`, each at most `limit`, and returns a number that none exceeds. After a
  // fault they are 0.
  template <class Visit>
  size_t lengths(size_t count, size_t limit, Visit&& visit) {
    constexpr uint8_t kMaxShort = 0x7f;
    if (const uint8_t bits = left() < count ? 0xff : bits_of(at_, count); bits <= std::min<size_t>(limit, kMaxShort)) {
      const uint8_t* const behind = at_ + count;
      for (const uint8_t* at = at_; at != behind; ++at) visit(size_t{*at});
      at_ = behind;
      return bits;
    }
    for (size_t i = 0; i < count; ++i) visit(static_cast<size_t>(number(limit)));
    return limit;
  }

  // `count` of them.
  void positions(int64_t* to, size_t count) {
    constexpr size_t kMaxWidth = sizeof(int64_t);
    for (size_t first = 0; first < count; first += kGroup) {
      const size_t behind = std::min(first + kGroup, count);
      const size_t width = left() > 0 ? *at_ : 0;
      if (width > kMaxWidth || left() < 1 + width * (behind - first)) {
        fail(width > kMaxWidth ? "a number is out of its range" : "the text ends within a number");
        return;
      }
      const uint64_t mask = width == kMaxWidth ? ~uint64_t{0} : (uint64_t{1} << (8 * width)) - 1;
      uint64_t all = 0;
      const uint8_t* at = at_ + 1;
      for (size_t i = first; i < behind; ++i, at += width) {
        uint64_t word;
        std::memcpy(&word, at, sizeof word);
        all |= word & mask;
        to[i] = static_cast<int64_t>(word & mask);
      }
      if (all > INT64_MAX || width_of(all) != width) {
        fail(all > INT64_MAX ? "a number is out of its range" : "a number is not in its shortest form");
        return;
      }
      at_ = at;
    }
  }

 private:
  // The bits that any of `count` bytes has.
  static uint8_t bits_of(const uint8_t* bytes, size_t count) {
    uint64_t all = 0;
    size_t i = 0;
    for (; i + sizeof all <= count; i += sizeof all) {
      uint64_t word;
      std::memcpy(&word, bytes + i, sizeof word);
      all |= word;
    }
    for (; i < count; ++i) all |= bytes[i];
    all |= all >> 32;
    all |= all >> 16;
    return static_cast<uint8_t>(all | all >> 8);
  }

  uint64_t long_number(uint64_t limit) {
    uint64_t value = 0;
    const uint8_t* at = at_;
    for (size_t i = 0; i < kMaxNumberBytes; ++i) {
      if (at == end_) return fail("the text ends within a number");
      const uint8_t byte = *at++;
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte >= 0x80) continue;
      if (byte == 0 && i > 0) return fail("a number is not in its shortest form");
      if (value > limit) return fail("a number is out of its range");
      at_ = at;
      return value;
    }
    return fail("a number is out of its range");
  }
  uint64_t fail(const char* fault) {
    if (fault_ == nullptr) fault_ = fault;
    return 0;
  }
  const uint8_t* start_;
  const uint8_t* at_;
  const uint8_t* end_;
  const char* fault_ = nullptr;
};

tl::unexpected<Status> malformed(size_t byte_of_text, std::string_view fault, StatusCode code = StatusCode::invalid) {
  return fail(code, fmt::format("cursor: byte {}: {}", byte_of_text, fault), static_cast<int64_t>(byte_of_text));
}

uint32_t checksum_of(Bytes body) {
  return crc32c_extend(crc32c(as_bytes(kPrefix)), body);
}

size_t shared_length(std::string_view left, std::string_view right) {
  const size_t most = std::min(left.size(), right.size());
  size_t shared = 0;
  for (; shared + 8 <= most; shared += 8) {
    uint64_t a, b;
    std::memcpy(&a, left.data() + shared, 8);
    std::memcpy(&b, right.data() + shared, 8);
    if (a != b) return shared + static_cast<size_t>(std::countr_zero(a ^ b)) / 8;
  }
  while (shared < most && left[shared] == right[shared]) ++shared;
  return shared;
}

}  // namespace

// Shared by the copies of a cursor and then never changed. Ids lie in `arena` in any order, `slots` are sorted by them.
struct Cursor::Ids {
  struct Slot {
    uint32_t at;
    uint32_t size;
  };
  Buffer arena;
  std::vector<Slot> slots;
  size_t id_bytes = 0;  // of the slots; the arena also has those that were erased
  // Count and ids as they are in the text, made when one of the sharers first asks: positions change with every
  // response, ids hardly ever.
  mutable std::atomic<const std::string*> coded{nullptr};

  ~Ids() { delete coded.load(std::memory_order_relaxed); }
  void forget_coded() { delete coded.exchange(nullptr, std::memory_order_relaxed); }
  const std::string& code() const;

  // Keeps the slack behind the last id.
  void append(Bytes bytes) {
    const size_t at = arena.size();
    arena.resize(at + bytes.size() + kSlackBytes);
    if (!bytes.empty()) std::memcpy(arena.data() + at, bytes.data(), bytes.size());
    arena.resize(at + bytes.size());
  }
  std::string_view id(size_t index) const {
    return {reinterpret_cast<const char*>(arena.data()) + slots[index].at, slots[index].size};
  }
  struct Group {
    uint16_t prefix;   // its size
    uint16_t longest;  // no rest is longer
  };
  // Puts ids together from prefixes and rests, one behind the other. False if they are not as they must be.
  static bool read(const uint8_t* from, const std::vector<Slot>& slots, const std::vector<Group>& groups,
                   uint8_t* arena);
  size_t lower_bound(std::string_view wanted) const {
    size_t low = 0;
    for (size_t count = slots.size(); count > 0;) {
      const size_t half = count / 2;
      if (id(low + half) < wanted) {
        low += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return low;
  }
};

Cursor::Cursor() = default;

const std::string& Cursor::Ids::code() const {
  if (const std::string* made = coded.load(std::memory_order_acquire); made != nullptr) return *made;
  auto made = std::make_unique<std::string>((1 + 2 * slots.size()) * kMaxNumberBytes + id_bytes + kSlackBytes, '\0');
  auto* const start = reinterpret_cast<uint8_t*>(made->data());
  uint8_t* at = write_number(start, slots.size());
  const auto each_group = [&](auto&& visit) {
    for (size_t first = 0; first < slots.size(); first += kGroup) {
      const size_t behind = std::min(first + kGroup, slots.size());
      visit(first, behind, shared_length(id(first), id(behind - 1)));
    }
  };
  each_group([&](size_t first, size_t behind, size_t prefix) {
    at = write_number(at, prefix);
    for (size_t i = first; i < behind; ++i) at = write_number(at, slots[i].size - prefix);
  });
  const auto write_bytes = [&](std::string_view bytes) {
    copy_wide(at, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    at += bytes.size();
  };
  each_group([&](size_t first, size_t behind, size_t prefix) {
    write_bytes(id(first).substr(0, prefix));
    for (size_t i = first; i < behind; ++i) write_bytes(id(i).substr(prefix));
  });
  made->resize(static_cast<size_t>(at - start));
  const std::string* expected = nullptr;
  if (coded.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) return *made.release();
  return *expected;  // another sharer was first
}

bool Cursor::Ids::read(const uint8_t* from, const std::vector<Slot>& slots, const std::vector<Group>& groups,
                       uint8_t* arena) {
  constexpr size_t kKeyBytes = sizeof(uint64_t);
  const auto text = [](const uint8_t* at, size_t size) {
    return std::string_view(reinterpret_cast<const char*>(at), size);
  };
  for (size_t first = 0; first < slots.size(); first += kGroup) {
    const size_t behind = std::min(first + kGroup, slots.size());
    const size_t prefix_size = groups[first / kGroup].prefix;
    const uint8_t* const prefix = from;
    const uint8_t* const first_rest = from += prefix_size;
    uint8_t prefix_chunk[kSlackBytes];
    std::memcpy(prefix_chunk, prefix, kSlackBytes);
    uint8_t* to = arena + slots[first].at;
    const uint8_t* before = from;
    // Twice, since what all of a group's rests have in common is worth a loop without branches. Keys are the first
    // bytes of a rest as a number that rises as it does; rests that are one number differ behind it, or in size.
    const auto rises = [&](auto all_short) {
      size_t before_size = 0;
      uint64_t before_key = 0;
      for (size_t i = first; i < behind; ++i) {
        const size_t size = slots[i].size - prefix_size;
        std::memcpy(to, prefix_chunk, kSlackBytes);
        if (prefix_size > kSlackBytes) copy_wide(to + kSlackBytes, prefix + kSlackBytes, prefix_size - kSlackBytes);
        to += prefix_size;
        auto key = load_be<uint64_t>(from);
        if constexpr (all_short) {
          store_be(to, key);
          key &= ~(~uint64_t{0} >> (8 * size));
        } else {
          copy_wide(to, from, size);
          if (size < kKeyBytes) key &= ~(~uint64_t{0} >> (8 * size));
        }
        if (key <= before_key && i > first && (key < before_key || text(before, before_size) >= text(from, size))) {
          return false;
        }
        before = from;
        before_size = size;
        before_key = key;
        from += size;
        to += size;
      }
      return true;
    };
    if (groups[first / kGroup].longest < kKeyBytes ? !rises(std::true_type()) : !rises(std::false_type())) return false;
    // The prefix is all that the first and the last one share: a group of one is nothing else.
    const size_t first_size = slots[first].size - prefix_size;
    if (slots[first].size == 0) return false;
    if (first_size > 0 && (behind - first == 1 || *first_rest == *before)) return false;
    if (first > 0 &&
        text(arena + slots[first - 1].at, slots[first - 1].size) >= text(arena + slots[first].at, slots[first].size)) {
      return false;
    }
  }
  return true;
}

Cursor::Ids& Cursor::own_ids() {
  if (ids_ == nullptr) {
    ids_ = std::make_shared<Ids>();
  } else if (ids_.use_count() > 1) {
    auto copy = std::make_shared<Ids>();
    copy->append(ids_->arena);
    copy->slots = ids_->slots;
    copy->id_bytes = ids_->id_bytes;
    ids_ = std::move(copy);
  }
  ids_->forget_coded();
  return *ids_;
}

Cursor::Entry Cursor::at(size_t index) const {
  return {ids_->id(index), next_[index]};
}

std::optional<size_t> Cursor::find(std::string_view id) const {
  if (ids_ == nullptr) return std::nullopt;
  const size_t index = ids_->lower_bound(id);
  if (index == ids_->slots.size() || ids_->id(index) != id) return std::nullopt;
  return index;
}

std::optional<int64_t> Cursor::next(std::string_view id) const {
  const auto index = find(id);
  if (!index) return std::nullopt;
  return next_[*index];
}

Status Cursor::set(std::string_view id, int64_t next) {
  if (next < 0) return Status(StatusCode::invalid, fmt::format("cursor: position {} is negative", next));
  if (id.empty() || id.size() > kMaxSourceIdBytes) {
    return Status(StatusCode::invalid, fmt::format("cursor: an id of {} bytes; 1 to {}", id.size(), kMaxSourceIdBytes));
  }
  if (const auto index = find(id)) {
    next_[*index] = next;
    return {};
  }
  if (size() == kMaxCursorShards || (ids_ != nullptr && ids_->id_bytes + id.size() > kMaxCursorIdBytes)) {
    return Status(StatusCode::too_large, fmt::format("cursor: more than {} shards, or than {} bytes of ids",
                                                     kMaxCursorShards, kMaxCursorIdBytes));
  }
  Ids& ids = own_ids();
  if (ids.arena.size() + id.size() > 2 * kMaxCursorIdBytes) {  // mostly ids that were erased
    Buffer arena;
    for (Ids::Slot& slot : ids.slots) {
      const auto at = static_cast<uint32_t>(arena.size());
      arena.append({ids.arena.data() + slot.at, slot.size});
      slot.at = at;
    }
    ids.arena = std::move(arena);
    ids.append({});
  }
  const size_t index = ids.lower_bound(id);
  ids.slots.insert(ids.slots.begin() + static_cast<ptrdiff_t>(index),
                   {static_cast<uint32_t>(ids.arena.size()), static_cast<uint32_t>(id.size())});
  ids.append(as_bytes(id));
  ids.id_bytes += id.size();
  next_.insert(next_.begin() + static_cast<ptrdiff_t>(index), next);
  return {};
}

Status Cursor::advance(std::string_view id, int64_t position) {
  if (const auto before = next(id); before && *before > position) {
    return Status(StatusCode::invalid, fmt::format("cursor: {} is at {}, beyond {}", id, *before, position));
  }
  return set(id, position);
}

bool Cursor::erase(std::string_view id) {
  const auto index = find(id);
  if (!index) return false;
  Ids& ids = own_ids();
  ids.id_bytes -= id.size();
  ids.slots.erase(ids.slots.begin() + static_cast<ptrdiff_t>(*index));
  next_.erase(next_.begin() + static_cast<ptrdiff_t>(*index));
  return true;
}

CursorOrder Cursor::compare(const Cursor& left, const Cursor& right) {
  bool before = false;
  bool after = false;
  size_t l = 0;
  size_t r = 0;
  while (l < left.size() || r < right.size()) {
    const int ids = l == left.size()          ? 1
                    : r == right.size()       ? -1
                    : left.ids_ == right.ids_ ? 0
                                              : left.ids_->id(l).compare(right.ids_->id(r));
    if (ids < 0) {
      after = true;
      ++l;
    } else if (ids > 0) {
      before = true;
      ++r;
    } else {
      before |= left.next_[l] < right.next_[r];
      after |= left.next_[l++] > right.next_[r++];
    }
  }
  if (before && after) return CursorOrder::apart;
  return before ? CursorOrder::before : after ? CursorOrder::after : CursorOrder::equal;
}

Cursor Cursor::least(const Cursor& left, const Cursor& right) {
  Cursor least;
  for (size_t i = 0; i < left.size(); ++i) {
    const Entry entry = left.at(i);
    if (const auto other = right.next(entry.id)) std::ignore = least.set(entry.id, std::min(entry.next, *other));
  }
  return least;
}

Cursor Cursor::greatest(const Cursor& left, const Cursor& right) {
  Cursor greatest = left;
  for (size_t i = 0; i < right.size(); ++i) {
    const Entry entry = right.at(i);
    const auto other = left.next(entry.id);
    // Beyond the limit of shards the lesser evil is to leave one out: it comes again.
    if (!other || *other < entry.next) std::ignore = greatest.set(entry.id, entry.next);
  }
  return greatest;
}

size_t Cursor::memory_bytes() const {
  const std::string* coded = ids_ == nullptr ? nullptr : ids_->coded.load(std::memory_order_acquire);
  const size_t ids = ids_ == nullptr
                         ? 0
                         : sizeof(Ids) + ids_->arena.capacity() + ids_->slots.capacity() * sizeof(Ids::Slot) +
                               (coded == nullptr ? 0 : sizeof(std::string) + coded->capacity());
  return sizeof(Cursor) + next_.capacity() * sizeof(int64_t) + ids;
}

std::string Cursor::encode() const {
  static const std::string none(1, '\0');
  const std::string& ids = ids_ == nullptr ? none : ids_->code();
  Buffer body(ids.size() + size() * (sizeof(int64_t) + 1) + kChecksumBytes + kSlackBytes);
  std::memcpy(body.data(), ids.data(), ids.size());
  uint8_t* at = write_positions(body.data() + ids.size(), next_);
  const uint32_t checksum = checksum_of({body.data(), static_cast<size_t>(at - body.data())});
  for (size_t i = 0; i < kChecksumBytes; ++i) *at++ = static_cast<uint8_t>(checksum >> (8 * i));

  const size_t size = static_cast<size_t>(at - body.data());
  std::string text;
  text.reserve(kPrefix.size() + consumer::base64url_size(size));
  text = kPrefix;
  consumer::base64url_append({body.data(), size}, text);
  return text;
}

Result<Cursor> Cursor::decode(std::string_view text) {
  if (text.size() > kMaxCursorTextBytes) {
    return malformed(kMaxCursorTextBytes,
                     fmt::format("a text of {} bytes; at most {}", text.size(), kMaxCursorTextBytes),
                     StatusCode::too_large);
  }
  if (!text.starts_with(kPrefix)) {
    const size_t dot = text.substr(0, 2 * kPrefix.size()).find('.');
    const bool sibling = text.starts_with("slc") && dot != text.npos && dot > 3 &&
                         std::all_of(text.begin() + 3, text.begin() + static_cast<ptrdiff_t>(dot),
                                     [](char c) { return c >= '0' && c <= '9'; });
    if (sibling) return malformed(3, "a version that this build does not know", StatusCode::unsupported);
    const auto wrong = std::mismatch(text.begin(), text.end(), kPrefix.begin(), kPrefix.end()).first;
    return malformed(static_cast<size_t>(wrong - text.begin()), "not a cursor: it begins with \"slc1.\"");
  }
  Buffer bytes;
  bytes.reserve(text.size() * 3 / 4 + kSlackBytes + 1);
  if (const auto wrong = consumer::base64url_decode(text.substr(kPrefix.size()), bytes)) {
    return malformed(kPrefix.size() + *wrong, "not base64url");
  }
  if (bytes.size() < kChecksumBytes + 1) return malformed(text.size(), "the text ends too early");
  const size_t size = bytes.size() - kChecksumBytes;
  uint32_t checksum = 0;
  for (size_t i = 0; i < kChecksumBytes; ++i) checksum |= static_cast<uint32_t>(bytes.data()[size + i]) << (8 * i);
  if (checksum != checksum_of({bytes.data(), size})) {
    return malformed(kPrefix.size() + consumer::base64url_size(size), "the checksum does not match",
                     StatusCode::corrupt);
  }

  Reader reader(bytes.data(), size);
  const auto here = [&](const char* fault) {
    return malformed(kPrefix.size() + reader.offset() * 4 / 3, reader.fault() != nullptr ? reader.fault() : fault);
  };
  const auto count = static_cast<size_t>(reader.number(kMaxCursorShards));
  if (reader.fault() != nullptr || count > reader.left()) return here("more shards than the text holds");
  Cursor cursor;
  if (count == 0) {
    if (reader.left() != 0) return here("bytes after the last position");
    return cursor;
  }
  cursor.ids_ = std::make_shared<Ids>();
  std::vector<Ids::Slot>& slots = cursor.ids_->slots;
  slots.resize(count);
  std::vector<Ids::Group> groups((count + kGroup - 1) / kGroup);
  size_t id_bytes = 0;
  size_t coded_bytes = 0;  // of ids, as they are in the text
  for (size_t first = 0; first < count; first += kGroup) {
    const size_t members = std::min(kGroup, count - first);
    const auto prefix = static_cast<uint32_t>(reader.number(kMaxSourceIdBytes));
    const size_t before = id_bytes;
    Ids::Slot* slot = slots.data() + first;
    const size_t longest = reader.lengths(members, kMaxSourceIdBytes - prefix, [&](size_t rest) {
      *slot++ = {static_cast<uint32_t>(id_bytes), static_cast<uint32_t>(prefix + rest)};
      id_bytes += prefix + rest;
    });
    if (reader.fault() != nullptr) return here(nullptr);
    groups[first / kGroup] = {static_cast<uint16_t>(prefix), static_cast<uint16_t>(longest)};
    coded_bytes += id_bytes - before - (members - 1) * prefix;
    if (id_bytes > kMaxCursorIdBytes) return here("more bytes of ids than a cursor may have");
  }
  if (coded_bytes > reader.left()) return here("an id is cut off");
  Buffer arena(id_bytes + kSlackBytes);  // the slack behind an id is overwritten by the next one
  if (!Ids::read(reader.skip(coded_bytes), slots, groups, arena.data())) {
    return here("ids that do not rise, or share less than they could");
  }
  cursor.next_.resize(count);
  reader.positions(cursor.next_.data(), count);
  if (reader.fault() != nullptr || reader.left() != 0) return here("bytes after the last position");
  arena.resize(id_bytes);
  cursor.ids_->id_bytes = id_bytes;
  cursor.ids_->arena = std::move(arena);
  return cursor;
}

Result<int64_t> parse_position(std::string_view text) {
  const auto bad = [](size_t byte, std::string_view fault) {
    return fail(StatusCode::invalid, fmt::format("position: byte {}: {}", byte, fault), static_cast<int64_t>(byte));
  };
  if (text.empty()) return bad(0, "no digits");
  if (text.size() > 1 && text[0] == '0') return bad(0, "a leading zero");
  int64_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') return bad(i, "not a digit");
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text[i] - '0', &value)) {
      return bad(i, "beyond 9223372036854775807");
    }
  }
  return value;
}

}  // namespace sluice
