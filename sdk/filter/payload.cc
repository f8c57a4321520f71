// SPDX-License-Identifier: Apache-2.0
#include "filter/payload.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "filter/quote.hpp"

namespace sluice::filter {
namespace {

constexpr size_t kMinCapacityBytes = 4'096;
constexpr size_t kParserDepth = 1;  // of simdjson's second stage, which is not used

/// How brackets change the depth.
constexpr std::array<int8_t, 256> kDepthChange = [] {
  std::array<int8_t, 256> change{};
  change['{'] = change['['] = 1;
  change['}'] = change[']'] = -1;
  return change;
}();

/// The first eight bytes at `bytes`, of which `size` may be read; zeros stand for the rest.
uint64_t head_of(const void* bytes, size_t size) {
  uint64_t head = 0;
  if (size >= sizeof head) {
    std::memcpy(&head, bytes, sizeof head);
  } else {
    std::memcpy(&head, bytes, size);
  }
  return head;
}

bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
bool is_punctuation(uint8_t c) {
  return c == ',' || c == ':' || c == '{' || c == '}' || c == '[' || c == ']';
}
bool opens(uint8_t c) {
  return c == '{' || c == '[';
}

/// What stands between the quotes, if `token` is a string.
bool inside_quotes(std::string_view token, std::string_view& inside) {
  if (token.size() < 2 || token.front() != '"' || token.back() != '"') return false;
  inside = token.substr(1, token.size() - 2);
  return true;
}

}  // namespace

// -- the paths

PathTree::Member::Member(std::string member_name, uint32_t child) : node(child), name(std::move(member_name)) {
  if (name.find_first_of("\"\\") != std::string::npos) return;
  const std::string spelling = name + '"';
  const std::string ones(spelling.size(), '\xff');
  head = head_of(spelling.data(), spelling.size());
  mask = head_of(ones.data(), ones.size());
}

uint32_t PathTree::child(uint32_t parent, const Segment& segment) {
  const auto made = static_cast<uint32_t>(nodes_.size());
  if (const auto* name = std::get_if<std::string>(&segment)) {
    auto& members = nodes_[parent].members;
    for (const Member& member : members) {
      if (member.name == *name) return member.node;
    }
    members.emplace_back(*name, made);
  } else {
    const uint32_t index = std::get<uint32_t>(segment);
    auto& items = nodes_[parent].items;
    const auto place = std::lower_bound(items.begin(), items.end(), index,
                                        [](const Item& item, uint32_t wanted) { return item.index < wanted; });
    if (place != items.end() && place->index == index) return place->node;
    items.insert(place, {index, made});
  }
  nodes_.emplace_back();
  return made;
}

uint32_t PathTree::add(const std::vector<Segment>& path) {
  uint32_t node = 0;
  for (const Segment& segment : path) node = child(node, segment);
  if (nodes_[node].slot == kNoSlot) nodes_[node].slot = static_cast<uint32_t>(slots_++);
  return nodes_[node].slot;
}

// -- the document

PayloadReader::PayloadReader(const PathTree& tree) : tree_(tree), seen_(tree.nodes_.size()), unescaped_(tree.slots()) {}

PayloadReader::~PayloadReader() = default;

bool PayloadReader::read(Bytes json, std::vector<FieldValue>& values) {
  for (FieldValue& value : values) value.kind = FieldValue::Kind::missing;
  values_ = &values;
  ++document_;
  if (find_structure(json) && walk()) return true;
  for (FieldValue& value : values) value.kind = FieldValue::Kind::unknown;
  return false;
}

bool PayloadReader::find_structure(Bytes json) {
  if (json.empty() || json.size() > kMaxFilterPayloadBytes) return false;
  if (parser_ == nullptr &&
      simdjson::get_active_implementation()->create_dom_parser_implementation(
          std::bit_ceil(std::max(json.size() + 1, kMinCapacityBytes)), kParserDepth, parser_) != simdjson::SUCCESS) {
    parser_.reset();
    return false;
  }
  if (parser_->capacity() <= json.size() &&
      parser_->set_capacity(std::bit_ceil(json.size() + 1)) != simdjson::SUCCESS) {
    parser_.reset();
    return false;
  }
  if (parser_->stage1(json.data(), json.size(), simdjson::stage1_mode::regular) != simdjson::SUCCESS) return false;
  json_ = json.data();
  size_ = json.size();
  starts_ = parser_->structural_indexes.get();
  count_ = parser_->n_structural_indexes;
  cursor_ = 0;
  done_ = false;
  has_escapes_ = std::memchr(json_, '\\', size_) != nullptr;
  return count_ != 0;
}

bool PayloadReader::walk() {
  // A document that was cut off has the wrong end, wherever the walk stops.
  const uint8_t first = here();
  if (opens(first) && at(count_ - 1) != first + 2) return false;  // ']' is '[' + 2, '}' is '{' + 2
  if (!opens(first)) {
    // One string, number or the like, in which there are no paths.
    if (count_ != 1 || !store(0)) return false;
    (*values_)[0].kind = FieldValue::Kind::missing;
    return true;
  }
  if (!visit(0, true)) return false;
  return done_ || cursor_ == count_;
}

std::string_view PayloadReader::token(uint32_t structural) const {
  const size_t start = starts_[structural];
  size_t end = structural + 1 < count_ ? starts_[structural + 1] : size_;
  while (end > start && is_space(json_[end - 1])) --end;
  return {reinterpret_cast<const char*>(json_) + start, end - start};
}

/// Goes through the value at the cursor. `last`: nothing behind it is looked for, so that the walk may end in it.
bool PayloadReader::visit(uint32_t index, bool last) {
  const PathTree::Node& node = tree_.nodes_[index];
  if (node.slot != PathTree::kNoSlot && !store(node.slot)) return false;
  if (last && node.members.empty() && node.items.empty()) return finish();
  if (here() == '{' && !node.members.empty()) return object(node, last);
  if (here() == '[' && !node.items.empty()) return array(node, last);
  return skip();
}

inline const PathTree::Member* PayloadReader::match(const std::vector<PathTree::Member>& members, uint32_t start,
                                                    uint32_t colon) {
  const uint8_t* const name = json_ + start;
  if (has_escapes_ && std::memchr(name, '\\', colon - start) != nullptr) return match_unescaped(members, start, colon);
  const uint64_t head = head_of(name, size_ - start);
  for (const PathTree::Member& member : members) {
    if ((head & member.mask) != member.head) continue;
    const size_t size = member.name.size();
    if (size < sizeof head) return first_time(member);
    if (size < colon - start && name[size] == '"' && std::memcmp(name, member.name.data(), size) == 0) {
      return first_time(member);
    }
  }
  return nullptr;
}

bool PayloadReader::object(const PathTree::Node& node, bool last) {
  // Most of the time goes here: what is used again and again stays in registers.
  const uint8_t* const json = json_;
  const uint32_t* const starts = starts_;
  const uint32_t count = count_;
  uint32_t cursor = cursor_ + 1;
  if (at(cursor) == '}') return cursor_ = cursor + 1, true;
  size_t left = node.members.size();
  for (;;) {
    if (count - cursor < 4) return false;  // a name, a colon, a value, and what follows it
    const uint32_t start = starts[cursor], colon = starts[cursor + 1];
    if (json[start] != '"' || json[colon] != ':') return false;
    // What begins with a quote and is followed by a colon is a string that ends: simdjson has seen to that.
    const PathTree::Member* member = match(node.members, start + 1, colon);
    cursor += 2;
    if (member == nullptr) {
      const uint8_t c = json[starts[cursor]];
      if (!is_punctuation(c)) {
        ++cursor;
      } else {
        cursor_ = cursor;
        if (!skip()) return false;
        cursor = cursor_;
      }
    } else {
      --left;
      cursor_ = cursor;
      if (!visit(member->node, last && left == 0)) return false;
      if (done_) return true;
      if (left == 0) return last ? finish() : skip_rest();
      cursor = cursor_;
    }
    const uint8_t c = at(cursor);
    ++cursor;
    if (c == '}') return cursor_ = cursor, true;
    if (c != ',') return false;
  }
}

bool PayloadReader::array(const PathTree::Node& node, bool last) {
  ++cursor_;
  if (here() == ']') return ++cursor_, true;
  auto item = node.items.begin();
  for (uint64_t index = 0;; ++index) {
    if (index != item->index) {
      if (!skip()) return false;
    } else {
      const bool is_last = item + 1 == node.items.end();
      if (!visit(item->node, last && is_last)) return false;
      if (done_) return true;
      if (is_last) return last ? finish() : skip_rest();
      ++item;
    }
    const uint8_t c = here();
    ++cursor_;
    if (c == ']') return true;
    if (c != ',') return false;
  }
}

const PathTree::Member* PayloadReader::match_unescaped(const std::vector<PathTree::Member>& members, uint32_t start,
                                                       uint32_t colon) {
  std::string_view name(reinterpret_cast<const char*>(json_) + start, colon - start);
  name = name.substr(0, name.rfind('"'));
  unescaped_name_.clear();
  if (unescape(name, Escapes::json, unescaped_name_)) return nullptr;
  for (const PathTree::Member& member : members) {
    if (member.name == unescaped_name_) return first_time(member);
  }
  return nullptr;
}

const PathTree::Member* PayloadReader::first_time(const PathTree::Member& member) {
  if (seen_[member.node] == document_) return nullptr;
  seen_[member.node] = document_;
  return &member;
}

/// Reads the value at the cursor, which stays there.
bool PayloadReader::store(uint32_t slot) {
  FieldValue& value = (*values_)[slot];
  const uint8_t c = here();
  if (opens(c)) {
    value.kind = FieldValue::Kind::other;
    return true;
  }
  if (cursor_ >= count_) return false;
  const std::string_view text = token(cursor_);
  if (c == '"') {
    value.kind = FieldValue::Kind::text;
    if (!inside_quotes(text, value.text)) return false;
    if (!has_escapes_ || value.text.find('\\') == std::string_view::npos) return true;
    unescaped_[slot].clear();
    if (unescape(value.text, Escapes::json, unescaped_[slot])) return false;
    value.text = unescaped_[slot];
    return true;
  }
  if (c == '-' || (c >= '0' && c <= '9')) {
    const NumberSyntax syntax = parse_number(text, value.number);
    value.kind = syntax == NumberSyntax::number ? FieldValue::Kind::number : FieldValue::Kind::other;
    return syntax != NumberSyntax::malformed;
  }
  value.boolean = text == "true";
  value.kind = text == "null" ? FieldValue::Kind::null : FieldValue::Kind::boolean;
  return value.boolean || text == "false" || text == "null";
}

/// Passes the value at the cursor.
bool PayloadReader::skip() {
  const uint8_t c = here();
  ++cursor_;
  if (opens(c)) return skip_rest();
  return c != 0 && !is_punctuation(c);
}

/// Passes what is left of the innermost object or array, its end included.
bool PayloadReader::skip_rest() {
  const uint8_t* const json = json_;
  const uint32_t* at = starts_ + cursor_;
  const uint32_t* const end = starts_ + count_;
  int32_t depth = 1;
  while (at < end) {
    depth += kDepthChange[json[*at++]];
    if (depth == 0) {
      cursor_ = static_cast<uint32_t>(at - starts_);
      return true;
    }
  }
  return false;
}

}  // namespace sluice::filter
