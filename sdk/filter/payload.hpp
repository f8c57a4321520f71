// SPDX-License-Identifier: Apache-2.0
// Takes the values of some paths out of a JSON document in one pass. simdjson finds the document's structure (its first
// stage, with the widest vectors that the processor has), checks that it is UTF-8 and that strings end; from that
// structure this walks to the paths alone, passing over everything else by counting brackets, and stops when all are
// found. Nothing is copied, and no byte behind the document is read.
//
// So a document is judged only as far as it is looked at: damage elsewhere goes unnoticed, and never depends on what
// lies around the document in memory. Of members with one name the first counts. One thread at a time.
#pragma once

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
  bool find_structure(Bytes json);
  bool walk();
  bool visit(uint32_t index, bool last);
  bool object(const PathTree::Node& node, bool last);
  bool array(const PathTree::Node& node, bool last);
  bool store(uint32_t slot);
  bool finish() { return done_ = true, true; }
  bool skip();
  bool skip_rest();
  /// The one of `members` whose name begins at `start` and that was not met yet; nullptr: none. `colon` follows it.
  const PathTree::Member* match(const std::vector<PathTree::Member>& members, uint32_t start, uint32_t colon);
  const PathTree::Member* match_unescaped(const std::vector<PathTree::Member>& members, uint32_t start, uint32_t colon);
  /// `member`, unless it was met in this document before.
  const PathTree::Member* first_time(const PathTree::Member& member);

  uint8_t here() const { return at(cursor_); }
  uint8_t at(uint32_t structural) const { return structural < count_ ? json_[starts_[structural]] : 0; }
  std::string_view token(uint32_t structural) const;

  const PathTree& tree_;
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser_;
  std::vector<uint64_t> seen_;          // by node: the document in which it was met last
  std::vector<std::string> unescaped_;  // by slot
  std::string unescaped_name_;
  uint64_t document_ = 0;
  // Of the document at hand.
  const uint8_t* json_ = nullptr;
  size_t size_ = 0;
  const uint32_t* starts_ = nullptr;  // of brackets, commas, colons, and the first byte of each scalar
  uint32_t count_ = 0;
  uint32_t cursor_ = 0;
  bool has_escapes_ = false;
  bool done_ = false;
  std::vector<FieldValue>* values_ = nullptr;
};

}  // namespace sluice::filter
