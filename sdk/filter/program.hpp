// SPDX-License-Identifier: Apache-2.0
// A filter compiled: negations pushed down to the tests, members of groups in the order of what they cost. Immutable;
// any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "filter/payload.hpp"
#include "filter/tree.hpp"

namespace sluice::filter {

/// One test, in the fewest operations: not equal is equal, negated, and so on.
struct Leaf {
  enum class Op : uint8_t { equal, less, less_equal, in, starts_with, matches, exists, null };
  Field::Kind field = Field::Kind::key;
  Op op = Op::exists;
  bool negated = false;
  uint32_t slot = 0;                                  // of a path
  std::string header;                                 // its name
  FieldValue::Kind type = FieldValue::Kind::missing;  // of the operands; fields of another type compare unknown
  bool boolean = false;
  bool both_booleans = false;  // a set of true and false
  Number number;
  std::string text;
  std::vector<Number> numbers;     // of a set, by rising value
  std::vector<std::string> texts;  // likewise
  std::shared_ptr<const re2::RE2> regex;

  /// What the test says of its field's value. Inline by force: on small documents the calls would cost as much.
  __attribute__((always_inline)) Truth test(const FieldValue& value) const {
    using Kind = FieldValue::Kind;
    if (value.kind == Kind::unknown) return Truth::unknown;
    if (op == Op::exists) return truth(value.kind != Kind::missing);
    if (value.kind == Kind::missing) return Truth::unknown;
    if (op == Op::null) return truth(value.kind == Kind::null);
    return value.kind == type ? truth(holds(value)) : Truth::unknown;
  }

 private:
  Truth truth(bool says) const { return says != negated ? Truth::yes : Truth::no; }
  /// Of a value of the operands' type.
  __attribute__((always_inline)) bool holds(const FieldValue& value) const {
    const bool is_number = type == FieldValue::Kind::number;
    if (op == Op::equal) {
      if (type == FieldValue::Kind::boolean) return value.boolean == boolean;
      return is_number ? value.number == number : value.text == text;
    }
    if (op == Op::less) return is_number ? value.number < number : value.text < text;
    if (op == Op::less_equal) return is_number ? value.number <= number : value.text <= text;
    return holds_otherwise(value);
  }
  bool holds_otherwise(const FieldValue& value) const;
};

struct Step {
  enum class Kind : uint8_t { all, any, leaf };
  Kind kind = Kind::leaf;
  uint32_t leaf = 0;
  uint64_t cost = 0;
  std::vector<Step> members;  // cheapest first
};

struct Program {
  explicit Program(const Node& node);

  std::vector<Leaf> leaves;
  PathTree paths;
  Step root;  // made last: it fills the others

 private:
  Step step(const Node& node, bool negated);
  Step leaf(const Test& test, bool negated);
};

}  // namespace sluice::filter
