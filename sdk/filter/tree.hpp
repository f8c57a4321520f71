// SPDX-License-Identifier: Apache-2.0
// A filter as a tree of groups and tests, in the order in which it was written: what parsers make, printers print and
// the compiler compiles. The builder is the only one that makes nodes, so that every tree is within the limits, means
// something, and is in normal form: no group directly within a group of its kind, none of fewer than two members, no
// negation of a negation, null compared by `is null`. Plain values.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "filter/number.hpp"
#include "sluice/filter.hpp"

namespace sluice::filter {

using Segment = std::variant<std::string, uint32_t>;  // member of an object, or place in an array

struct Field {
  enum class Kind {
    key,        // bytes
    header,     // bytes; the last one of the name
    value,      // bytes
    path,       // into the JSON of the value
    timestamp,  // numbers
    partition,
    position,
  };
  Kind kind = Kind::key;
  std::string name;           // of the header
  std::vector<Segment> path;  // at least one

  /// As in the text form: `value.order.items[0]["unit price"]`.
  std::string text() const;
  bool is_bytes() const { return kind == Kind::key || kind == Kind::header || kind == Kind::value; }
};

struct Null {};
using Literal = std::variant<Null, bool, Number, std::string>;

enum class Op {
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  starts_with,
  matches,
  exists,
  missing,
  null,
  not_null
};

struct Test {
  Field field;
  Op op = Op::exists;
  std::vector<Literal> operands;  // in: at least one; exists to not_null: none; others: one
  std::shared_ptr<const re2::RE2> regex;
};

struct Node {
  enum class Kind { all, any, negation, test };
  Kind kind = Kind::test;
  size_t depth = 0;  // of groups and negations, this one included
  std::vector<Node> children;
  Test test;
};

/// Why a node cannot be, and which part of it is to blame.
struct Problem {
  enum class Part { whole, field, operation, operand };
  Part part = Part::whole;
  size_t operand = 0;    // which, of several
  std::string fragment;  // the faulty piece of a regular expression, if known
  std::string message;
  StatusCode code = StatusCode::invalid;
};

template <class T>
using Built = tl::expected<T, Problem>;

/// Makes the nodes of one filter.
class Builder {
 public:
  Built<Node> test(Field field, Op op, std::vector<Literal> operands);
  /// `kind`: all or any; at least one member.
  Built<Node> group(Node::Kind kind, std::vector<Node> members);
  Built<Node> negation(Node node);

 private:
  Built<Node> regex_test(Field field, std::string pattern);

  size_t tests_ = 0;
  size_t operands_ = 0;
  size_t regexes_ = 0;
  std::set<std::string> paths_;
};

/// The time that a literal compared with the timestamp says, in nanoseconds; nullopt: none.
std::optional<Int128> time_of(const Literal& literal);

/// The normal forms.
std::string to_text(const Node& node);
std::string to_json(const Node& node);

}  // namespace sluice::filter
