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

constexpr size_t kHeadBytes = sizeof(uint64_t);
constexpr ptrdiff_t kMemberTokens = 4;  // a name, a colon, a value or its bracket, and what follows

/// The first eight bytes at `bytes`, of which `size` may be read; zeros stand for the rest.
uint64_t head_of(const void* bytes, size_t size) {
  uint64_t head = 0;
  if (size >= kHeadBytes) [[likely]] {
    std::memcpy(&head, bytes, kHeadBytes);
  } else {
    std::memcpy(&head, bytes, size);
  }
  return head;
}

bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
constexpr std::array<bool, 256> kIsPunctuation = [] {
  std::array<bool, 256> is{};
  for (const char c : {',', ':', '{', '}', '[', ']'}) is[static_cast<uint8_t>(c)] = true;
  return is;
}();
bool is_punctuation(uint8_t c) {
  return kIsPunctuation[c];
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
  nodes_[parent].leaf = false;
  if (const auto* name = std::get_if<std::string>(&segment)) {
    auto& members = nodes_[parent].members;
    for (const Member& member : members) {
      if (member.name == *name) return member.node;
    }
    members.emplace_back(*name, made);
    nodes_[parent].first_of_names[members.back().head & 0xff] = true;
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
  end_ = starts_ + parser_->n_structural_indexes;
  done_ = false;
  has_escapes_ = std::memchr(json_, '\\', size_) != nullptr;
  return starts_ != end_;
}

bool PayloadReader::walk() {
  // A document that was cut off has the wrong end, wherever the walk stops.
  const uint8_t first = json_[*starts_];
  if (opens(first) && json_[end_[-1]] != first + 2) return false;  // ']' is '[' + 2, '}' is '{' + 2
  if (!opens(first)) {
    // One string, number or the like, in which there are no paths.
    if (end_ - starts_ != 1 || !store(0, starts_)) return false;
    (*values_)[0].kind = FieldValue::Kind::missing;
    return true;
  }
  const Place behind = visit(starts_, tree_.nodes_[0], true);
  return behind != nullptr && (done_ || behind == end_);
}

inline std::string_view PayloadReader::token(Place at) const {
  const size_t start = *at;
  size_t end = at + 1 < end_ ? at[1] : size_;
  while (end > start && is_space(json_[end - 1])) --end;
  return {reinterpret_cast<const char*>(json_) + start, end - start};
}

/// Goes through the value at `at`. `last`: nothing behind it is looked for, so that the walk may end in it. Inline by
/// force, as what else is done for each of a small document's paths: calls would be a quarter of it.
__attribute__((always_inline)) inline PayloadReader::Place PayloadReader::visit(Place at, const PathTree::Node& node,
                                                                                bool last) {
  if (node.leaf) {
    if (!store(node.slot, at)) return nullptr;
    return last ? finish(at) : skip(at);
  }
  if (node.slot != PathTree::kNoSlot && !store(node.slot, at)) return nullptr;
  const uint8_t c = json_[*at];
  if (c == '{' && !node.members.empty()) return object(at + 1, node, last);
  if (c == '[' && !node.items.empty()) return array(at + 1, node, last);
  return skip(at);
}

/// The one of `node`'s members whose name begins at `start`; nullptr: none. `colon` follows it.
const PathTree::Member* PayloadReader::match(const PathTree::Node& node, uint32_t start, uint32_t colon) {
  if (has_escapes_ && std::memchr(json_ + start, '\\', colon - start) != nullptr) {
    return match_unescaped(node, start, colon);
  }
  const uint64_t head = head_of(json_ + start, size_ - start);
  for (const PathTree::Member& member : node.members) {
    if ((head & member.mask) != member.head) continue;
    const size_t size = member.name.size();
    if (size < kHeadBytes) return &member;
    if (size < colon - start && json_[start + size] == '"' &&
        std::memcmp(json_ + start, member.name.data(), size) == 0) {
      return &member;
    }
  }
  return nullptr;
}

const PathTree::Member* PayloadReader::match_unescaped(const PathTree::Node& node, uint32_t start, uint32_t colon) {
  std::string_view name(reinterpret_cast<const char*>(json_) + start, colon - start);
  name = name.substr(0, name.rfind('"'));
  unescaped_name_.clear();
  if (unescape(name, Escapes::json, unescaped_name_)) return nullptr;
  for (const PathTree::Member& member : node.members) {
    if (member.name == unescaped_name_) return &member;
  }
  return nullptr;
}

/// Passes members of `node`'s object that are numbers, strings and the like, not the last and not wanted, from the name
/// at `at` on, in a document without escapes. Stops at any other; `like`, if its name and its colon are there and it
/// begins as one that is wanted. Most of the time goes here: no calls, so that all stays in registers.
inline PayloadReader::Place PayloadReader::pass_scalars(Place at, const PathTree::Node& node,
                                                        const PathTree::Member*& like) const {
  const uint8_t* const json = json_;
  const Place end = end_;
  const PathTree::Member* const members = node.members.data();
  const PathTree::Member* const behind = members + node.members.size();
  const size_t size = size_;
  for (; end - at >= kMemberTokens; at += kMemberTokens) {
    const size_t name = size_t{at[0]} + 1;
    if (json[name - 1] != '"' || json[at[1]] != ':') break;
    const uint64_t head = head_of(json + name, size - name);
    if (node.first_of_names[head & 0xff]) {
      for (const PathTree::Member* member = members; member != behind; ++member) {
        if ((head & member->mask) == member->head) return like = member, at;
      }
    }
    if (is_punctuation(json[at[2]]) || json[at[3]] != ',') break;
  }
  return at;
}

PayloadReader::Place PayloadReader::object(Place at, const PathTree::Node& node, bool last) {
  const uint8_t* const json = json_;
  if (at != end_ && json[*at] == '}') return at + 1;
  size_t left = node.members.size();
  for (;;) {
    const PathTree::Member* member = nullptr;
    if (!has_escapes_) at = pass_scalars(at, node, member);
    if (member == nullptr) {
      // What begins with a quote and is followed by a colon is a string that ends: simdjson has seen to that.
      if (end_ - at < kMemberTokens || json[at[0]] != '"' || json[at[1]] != ':') return nullptr;
      if (has_escapes_) member = match(node, at[0] + 1, at[1]);
    } else if (member->name.size() >= kHeadBytes) {
      member = match(node, at[0] + 1, at[1]);
    }
    if (member == nullptr || seen_[member->node] == document_) {
      at = skip(at + 2);
      if (at == nullptr) return nullptr;
    } else {
      seen_[member->node] = document_;
      --left;
      at = visit(at + 2, tree_.nodes_[member->node], last && left == 0);
      if (at == nullptr || done_) return at;
      if (left == 0) return last ? finish(at) : skip_rest(at);
    }
    if (at == end_) return nullptr;
    const uint8_t c = json[*at++];
    if (c == '}') return at;
    if (c != ',') return nullptr;
  }
}

PayloadReader::Place PayloadReader::array(Place at, const PathTree::Node& node, bool last) {
  if (at != end_ && json_[*at] == ']') return at + 1;
  auto item = node.items.begin();
  for (uint64_t index = 0;; ++index) {
    if (at == end_) return nullptr;
    if (index != item->index) {
      at = skip(at);
      if (at == nullptr) return nullptr;
    } else {
      const bool is_last = item + 1 == node.items.end();
      at = visit(at, tree_.nodes_[item->node], last && is_last);
      if (at == nullptr || done_) return at;
      if (is_last) return last ? finish(at) : skip_rest(at);
      ++item;
    }
    if (at == end_) return nullptr;
    const uint8_t c = json_[*at++];
    if (c == ']') return at;
    if (c != ',') return nullptr;
  }
}

/// Reads the value at `at`.
bool PayloadReader::store(uint32_t slot, Place at) {
  FieldValue& value = (*values_)[slot];
  const uint8_t c = json_[*at];
  if (opens(c)) {
    value.kind = FieldValue::Kind::other;
    return true;
  }
  const std::string_view text = token(at);
  if (c == '"') {
    value.kind = FieldValue::Kind::text;
    if (!inside_quotes(text, value.text)) return false;
    return !has_escapes_ || value.text.find('\\') == std::string_view::npos || store_escaped(slot);
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

/// The text of a slot stands for another.
bool PayloadReader::store_escaped(uint32_t slot) {
  std::string_view& text = (*values_)[slot].text;
  unescaped_[slot].clear();
  if (unescape(text, Escapes::json, unescaped_[slot])) return false;
  text = unescaped_[slot];
  return true;
}

/// Passes the value at `at`.
inline PayloadReader::Place PayloadReader::skip(Place at) const {
  const uint8_t c = json_[*at];
  if (opens(c)) return skip_rest(at + 1);
  return is_punctuation(c) ? nullptr : at + 1;
}

/// Passes what is left of the innermost object or array, its end included.
PayloadReader::Place PayloadReader::skip_rest(Place at) const {
  const uint8_t* const json = json_;
  const Place end = end_;
  int32_t depth = 1;
  while (at != end) {
    depth += kDepthChange[json[*at++]];
    if (depth == 0) return at;
  }
  return nullptr;
}

}  // namespace sluice::filter
