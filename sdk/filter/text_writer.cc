// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "filter/quote.hpp"
#include "filter/tree.hpp"

namespace sluice::filter {
namespace {

std::string literal_text(const Literal& literal) {
  if (const auto* boolean = std::get_if<bool>(&literal)) return *boolean ? "true" : "false";
  if (const auto* number = std::get_if<Number>(&literal)) return number->text();
  if (const auto* bytes = std::get_if<std::string>(&literal)) return quote(*bytes);
  return "null";
}

/// Between slashes; where an expression has what would not come back from there, as a string.
std::string regex_text(const std::string& pattern) {
  std::string text = "/";
  for (size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] == '/') text += '\\';
    if (pattern[at] == '\\') {
      if (at + 1 == pattern.size() || pattern[at + 1] == '/') return quote(pattern);
      text += pattern[at++];
    }
    text += pattern[at];
  }
  return text + '/';
}

std::string test_text(const Test& test) {
  const std::string field = test.field.text();
  switch (test.op) {
    case Op::exists:
      return field + " exists";
    case Op::missing:
      return field + " is missing";
    case Op::null:
      return field + " is null";
    case Op::not_null:
      return field + " is not null";
    case Op::matches:
      return fmt::format("{} matches {}", field, regex_text(std::get<std::string>(test.operands[0])));
    case Op::in: {
      std::string members;
      for (const Literal& member : test.operands) members += (members.empty() ? "" : ", ") + literal_text(member);
      return fmt::format("{} in ({})", field, members);
    }
    default:
      break;
  }
  static constexpr std::string_view kOps[] = {"=", "!=", "<", "<=", ">", ">="};
  const std::string_view op = test.op == Op::starts_with ? "starts with" : kOps[static_cast<size_t>(test.op)];
  return fmt::format("{} {} {}", field, op, literal_text(test.operands[0]));
}

}  // namespace

std::string to_text(const Node& node) {
  switch (node.kind) {
    case Node::Kind::test:
      return test_text(node.test);
    case Node::Kind::negation:
      return fmt::format("not ({})", to_text(node.children[0]));
    default:
      break;
  }
  const bool all = node.kind == Node::Kind::all;
  std::string text;
  for (const Node& child : node.children) {
    if (!text.empty()) text += all ? " and " : " or ";
    // `and` binds closer; groups that it holds are `or`s.
    const bool enclosed = all && child.kind == Node::Kind::any;
    text += enclosed ? fmt::format("({})", to_text(child)) : to_text(child);
  }
  return text;
}

}  // namespace sluice::filter
