// SPDX-License-Identifier: Apache-2.0
// Takes the values of some paths out of a JSON document in one pass. simdjson finds the document's structure (its first
// stage, with the widest vectors that the processor has), checks that it is UTF-8 and that strings end; from that
// structure this walks to the paths alone, passing over everything else by counting brackets, and stops when all are
// found. Nothing is copied, and no byte behind the document is read.
//
// So a document is judged only as far as it is looked at: damage elsewhere goes unnoticed, and never depends on what
// lies around the document in memory. Of members with one name the first counts. One thread at a time.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "filter/number.hpp"
#include "filter/tree.hpp"
#include "sluice/bytes.hpp"

namespace simdjson::internal {
class dom_parser_implementation;
}

namespace sluice::filter {

/// What a field of a record holds.
struct FieldValue {
  enum class Kind : uint8_t {
    unknown,  // nobody can tell: the document is unreadable
    missing,
    null,
    boolean,
    number,
    text,   // a string, or bytes
    other,  // an object, an array, a number that no double holds: there, but compares with nothing
  };
  Kind kind = Kind::missing;
  bool boolean = false;
  Number number;
  std::string_view text;
};

/// Paths as a tree of their segments. Immutable once built.
class PathTree {
 public:
  /// The slot in which the value of `path` will be; equal paths share one.
  uint32_t add(const std::vector<Segment>& path);
  size_t slots() const { return slots_; }

 private:
  friend class PayloadReader;
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  struct Member {
    Member(std::string member_name, uint32_t child);

    // The first eight bytes of the name and the quote behind it, or all and zeros, and which of them are there. A
    // document spells names with quotes or backslashes in them otherwise: theirs are found nowhere.
    uint64_t head = 1;
    uint64_t mask = 0;
    uint32_t node = 0;
    std::string name;
  };
  struct Item {
    uint32_t index = 0;
    uint32_t node = 0;
  };
  struct Node {
    uint32_t slot = kNoSlot;
    bool leaf = true;                        // nothing is looked for inside it; it has a slot
    std::array<bool, 256> first_of_names{};  // whether a member's head begins with that byte
    std::vector<Member> members;
    std::vector<Item> items;  // by rising index
  };

  uint32_t child(uint32_t parent, const Segment& segment);

  std::vector<Node> nodes_ = std::vector<Node>(1);
  size_t slots_ = 0;
};

class PayloadReader {
 public:
  explicit PayloadReader(const PathTree& tree);
  ~PayloadReader();

  /// Fills `values`, one for each slot. False: the document is unreadable, and all are unknown. Views in `values` are
  /// of `json` or of memory that stays until the next call.
  bool read(Bytes json, std::vector<FieldValue>& values);

 private:
  /// One of the document's structurals, or behind the last; nullptr: the document is unreadable.
  using Place = const uint32_t*;

  bool find_structure(Bytes json);
  bool walk();
  // From a value, or what follows its bracket, to behind it.
  Place visit(Place at, const PathTree::Node& node, bool last);
  Place object(Place at, const PathTree::Node& node, bool last);
  Place array(Place at, const PathTree::Node& node, bool last);
  Place pass_scalars(Place at, const PathTree::Node& node, const PathTree::Member*& like) const;
  Place skip(Place at) const;
  Place skip_rest(Place at) const;
  Place finish(Place at) { return done_ = true, at; }
  const PathTree::Member* match(const PathTree::Node& node, uint32_t start, uint32_t colon);
  const PathTree::Member* match_unescaped(const PathTree::Node& node, uint32_t start, uint32_t colon);
  bool store(uint32_t slot, Place at);
  bool store_escaped(uint32_t slot);
  std::string_view token(Place at) const;

  const PathTree& tree_;
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser_;
  std::vector<uint64_t> seen_;          // by node: the document in which it was met last
  std::vector<std::string> unescaped_;  // by slot
  std::string unescaped_name_;
  uint64_t document_ = 0;
  // Of the document at hand.
  const uint8_t* json_ = nullptr;
  size_t size_ = 0;
  Place starts_ = nullptr;  // of brackets, commas, colons, and the first byte of each scalar
  Place end_ = nullptr;
  bool has_escapes_ = false;
  bool done_ = false;
  std::vector<FieldValue>* values_ = nullptr;
};

}  // namespace sluice::filter
