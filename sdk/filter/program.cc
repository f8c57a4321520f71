// SPDX-License-Identifier: Apache-2.0
#include "filter/program.hpp"

#include <algorithm>

namespace sluice::filter {
namespace {

// What tests cost beside each other, roughly in nanoseconds. Reading the value costs far more than all that does not.
constexpr uint64_t kNumberCost = 1;
constexpr uint64_t kBytesCost = 3;
constexpr uint64_t kHeaderCost = 20;
constexpr uint64_t kSetCost = 10;
constexpr uint64_t kRegexCost = 100;
constexpr uint64_t kPayloadCost = 1'000'000;

uint64_t cost_of(const Leaf& leaf) {
  uint64_t cost = leaf.op == Leaf::Op::in ? kSetCost : leaf.op == Leaf::Op::matches ? kRegexCost : 0;
  switch (leaf.field) {
    case Field::Kind::path:
      return cost + kPayloadCost;
    case Field::Kind::header:
      return cost + kHeaderCost;
    case Field::Kind::key:
    case Field::Kind::value:
      return cost + kBytesCost;
    default:
      return cost + kNumberCost;
  }
}

/// `op` as one of a leaf's, and whether that is its opposite.
std::pair<Leaf::Op, bool> reduced(Op op) {
  switch (op) {
    case Op::equal:
      return {Leaf::Op::equal, false};
    case Op::not_equal:
      return {Leaf::Op::equal, true};
    case Op::less:
      return {Leaf::Op::less, false};
    case Op::greater_equal:
      return {Leaf::Op::less, true};
    case Op::less_equal:
      return {Leaf::Op::less_equal, false};
    case Op::greater:
      return {Leaf::Op::less_equal, true};
    case Op::in:
      return {Leaf::Op::in, false};
    case Op::starts_with:
      return {Leaf::Op::starts_with, false};
    case Op::matches:
      return {Leaf::Op::matches, false};
    case Op::exists:
      return {Leaf::Op::exists, false};
    case Op::missing:
      return {Leaf::Op::exists, true};
    case Op::null:
      return {Leaf::Op::null, false};
    case Op::not_null:
      break;
  }
  return {Leaf::Op::null, true};
}

/// Times become numbers; others are as written.
Literal operand_of(const Field& field, const Literal& literal) {
  if (field.kind == Field::Kind::timestamp) return Number::of_whole(*time_of(literal));
  return literal;
}

template <class T>
void sort_unique(std::vector<T>& members) {
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
}

}  // namespace

bool Leaf::holds_otherwise(const FieldValue& value) const {
  switch (op) {
    case Op::in:
      switch (type) {
        case FieldValue::Kind::boolean:
          return both_booleans || value.boolean == boolean;
        case FieldValue::Kind::number:
          return std::binary_search(numbers.begin(), numbers.end(), value.number);
        default:
          return std::binary_search(texts.begin(), texts.end(), value.text, std::less<std::string_view>());
      }
    case Op::starts_with:
      return value.text.starts_with(text);
    default:
      return re2::RE2::PartialMatch(re2::StringPiece(value.text.data(), value.text.size()), *regex);
  }
}

Program::Program(const Node& node) : root(step(node, false)) {}

Step Program::step(const Node& node, bool negated) {
  if (node.kind == Node::Kind::test) return leaf(node.test, negated);
  if (node.kind == Node::Kind::negation) return step(node.children[0], !negated);
  Step step;
  step.kind = (node.kind == Node::Kind::all) != negated ? Step::Kind::all : Step::Kind::any;
  for (const Node& child : node.children) {
    step.members.push_back(this->step(child, negated));
    step.cost += step.members.back().cost;
  }
  std::stable_sort(step.members.begin(), step.members.end(),
                   [](const Step& a, const Step& b) { return a.cost < b.cost; });
  return step;
}

Step Program::leaf(const Test& test, bool negated) {
  Leaf leaf;
  leaf.field = test.field.kind;
  leaf.header = test.field.name;
  if (leaf.field == Field::Kind::path) leaf.slot = paths.add(test.field.path);
  const auto [op, opposite] = reduced(test.op);
  leaf.op = op;
  leaf.negated = negated != opposite;
  leaf.regex = test.regex;
  for (const Literal& written : test.operands) {
    Literal literal = operand_of(test.field, written);
    if (auto* bytes = std::get_if<std::string>(&literal)) {
      leaf.type = FieldValue::Kind::text;
      leaf.text = *bytes;
      if (op == Leaf::Op::in) leaf.texts.push_back(std::move(*bytes));
    } else if (const auto* number = std::get_if<Number>(&literal)) {
      leaf.type = FieldValue::Kind::number;
      leaf.number = *number;
      if (op == Leaf::Op::in) leaf.numbers.push_back(*number);
    } else {
      leaf.type = FieldValue::Kind::boolean;
      leaf.boolean = std::get<bool>(literal);
    }
  }
  sort_unique(leaf.texts);
  sort_unique(leaf.numbers);
  if (op == Leaf::Op::in && leaf.type == FieldValue::Kind::boolean) {
    const auto differs = [&](const Literal& literal) { return std::get<bool>(literal) != leaf.boolean; };
    leaf.both_booleans = std::any_of(test.operands.begin(), test.operands.end(), differs);
  }
  Step step;
  step.cost = cost_of(leaf);
  step.leaf = static_cast<uint32_t>(leaves.size());
  leaves.push_back(std::move(leaf));
  return step;
}

}  // namespace sluice::filter
