// SPDX-License-Identifier: Apache-2.0
#include "filter/tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "filter/quote.hpp"
#include "filter/time.hpp"

namespace sluice::filter {
namespace {

tl::unexpected<Problem> bad(Problem::Part part, std::string message, size_t operand = 0) {
  Problem problem;
  problem.part = part;
  problem.operand = operand;
  problem.message = std::move(message);
  return tl::unexpected(std::move(problem));
}

tl::unexpected<Problem> too_large(Problem::Part part, std::string message) {
  auto problem = bad(part, std::move(message));
  problem.value().code = StatusCode::too_large;
  return problem;
}

bool is_ordering(Op op) {
  return op == Op::less || op == Op::less_equal || op == Op::greater || op == Op::greater_equal;
}

/// What is wrong with comparing `field` to `literal` by `op`; "": nothing.
std::string check_literal(const Field& field, Op op, const Literal& literal) {
  if (std::holds_alternative<Null>(literal)) {
    return op == Op::in ? "null is no member of sets: use 'is null'" : "null has no order";
  }
  if (std::holds_alternative<bool>(literal) && is_ordering(op)) return "true and false have no order";
  switch (field.kind) {
    case Field::Kind::path:
      return {};
    case Field::Kind::timestamp:
      return time_of(literal) ? "" : "a time is whole milliseconds since the epoch, or like \"2024-05-31T12:30:00Z\"";
    case Field::Kind::partition:
    case Field::Kind::position:
      return std::holds_alternative<Number>(literal) ? "" : field.text() + " is a number";
    default:
      return std::holds_alternative<std::string>(literal) ? "" : field.text() + " has bytes: compare it with a string";
  }
}

bool is_name(const std::string& text) {
  const auto starts = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '@';
  };
  return !text.empty() && starts(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return starts(c) || (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

std::string Field::text() const {
  switch (kind) {
    case Kind::key:
      return "key";
    case Kind::header:
      return fmt::format("headers[{}]", quote(name));
    case Kind::timestamp:
      return "timestamp";
    case Kind::partition:
      return "partition";
    case Kind::position:
      return "position";
    default:
      break;
  }
  std::string text = "value";
  for (const Segment& segment : path) {
    const auto* member = std::get_if<std::string>(&segment);
    text += member == nullptr  ? fmt::format("[{}]", std::get<uint32_t>(segment))
            : is_name(*member) ? "." + *member
                               : fmt::format("[{}]", quote(*member));
  }
  return text;
}

std::optional<Int128> time_of(const Literal& literal) {
  if (const auto* text = std::get_if<std::string>(&literal)) return parse_time(*text);
  const auto* number = std::get_if<Number>(&literal);
  if (number == nullptr || !number->whole()) return std::nullopt;
  return number->as_whole() * kNanosPerMs;
}

Built<Node> Builder::test(Field field, Op op, std::vector<Literal> operands) {
  if (++tests_ > kMaxFilterTests) {
    return too_large(Problem::Part::whole, fmt::format("more than {} tests", kMaxFilterTests));
  }
  if (field.path.size() > kMaxFilterPathSegments) {
    return too_large(Problem::Part::field, fmt::format("a path of more than {} segments", kMaxFilterPathSegments));
  }
  if (field.kind == Field::Kind::path && paths_.insert(field.text()).second && paths_.size() > kMaxFilterPaths) {
    return too_large(Problem::Part::field, fmt::format("more than {} different paths", kMaxFilterPaths));
  }
  if (operands.size() > kMaxFilterSetMembers) {
    return too_large(Problem::Part::operand, fmt::format("a set of more than {} members", kMaxFilterSetMembers));
  }
  if ((operands_ += operands.size()) > kMaxFilterOperands) {
    return too_large(Problem::Part::whole, fmt::format("more than {} operands", kMaxFilterOperands));
  }
  const bool is_null = operands.size() == 1 && std::holds_alternative<Null>(operands[0]);
  if (is_null && (op == Op::equal || op == Op::not_equal)) {
    op = op == Op::equal ? Op::null : Op::not_null;
    operands.clear();
  }
  if (op == Op::starts_with || op == Op::matches) {
    if (!field.is_bytes() && field.kind != Field::Kind::path) {
      return bad(Problem::Part::operation, field.text() + " is a number: compare it with one");
    }
    if (!std::holds_alternative<std::string>(operands[0])) return bad(Problem::Part::operand, "expected a string");
    if (op == Op::matches) return regex_test(std::move(field), std::get<std::string>(std::move(operands[0])));
  } else {
    for (size_t i = 0; i < operands.size(); ++i) {
      std::string message = check_literal(field, op, operands[i]);
      if (!message.empty()) return bad(Problem::Part::operand, std::move(message), i);
      if (operands[i].index() != operands[0].index()) {
        return bad(Problem::Part::operand, "all members of a set are of one type", i);
      }
    }
  }
  Node node;
  node.test.field = std::move(field);
  node.test.op = op;
  node.test.operands = std::move(operands);
  return node;
}

Built<Node> Builder::regex_test(Field field, std::string pattern) {
  if (++regexes_ > kMaxFilterRegexes) {
    return too_large(Problem::Part::whole, fmt::format("more than {} regular expressions", kMaxFilterRegexes));
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxFilterRegexBytes);
  options.set_never_capture(true);
  Node node;
  node.test.regex = std::make_shared<const re2::RE2>(pattern, options);
  if (!node.test.regex->ok()) {
    auto problem = bad(Problem::Part::operand, node.test.regex->error());
    problem.value().fragment = node.test.regex->error_arg();
    if (node.test.regex->error_code() == re2::RE2::ErrorPatternTooLarge) {
      problem.value().code = StatusCode::too_large;
    }
    return problem;
  }
  if (node.test.regex->ProgramSize() > kMaxFilterRegexInstructions) {
    return too_large(Problem::Part::operand, fmt::format("a regular expression of {} instructions: more than {}",
                                                         node.test.regex->ProgramSize(), kMaxFilterRegexInstructions));
  }
  node.test.field = std::move(field);
  node.test.op = Op::matches;
  node.test.operands.emplace_back(std::move(pattern));
  return node;
}

Built<Node> Builder::group(Node::Kind kind, std::vector<Node> members) {
  if (members.size() == 1) return std::move(members[0]);
  Node node;
  node.kind = kind;
  for (Node& member : members) {
    if (member.kind == kind) {
      std::move(member.children.begin(), member.children.end(), std::back_inserter(node.children));
    } else {
      node.children.push_back(std::move(member));
    }
  }
  for (const Node& child : node.children) node.depth = std::max(node.depth, child.depth + 1);
  if (node.depth > kMaxFilterDepth) {
    return too_large(Problem::Part::whole, fmt::format("more than {} groups within each other", kMaxFilterDepth));
  }
  return node;
}

Built<Node> Builder::negation(Node node) {
  if (node.kind == Node::Kind::negation) {
    Node child = std::move(node.children[0]);
    return child;
  }
  Node negated;
  negated.kind = Node::Kind::negation;
  negated.depth = node.depth + 1;
  if (negated.depth > kMaxFilterDepth) {
    return too_large(Problem::Part::whole, fmt::format("more than {} groups within each other", kMaxFilterDepth));
  }
  negated.children.push_back(std::move(node));
  return negated;
}

}  // namespace sluice::filter
