// SPDX-License-Identifier: Apache-2.0
// The text form, by recursive descent; README.md has the grammar.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "filter/forms.hpp"
#include "filter/lexer.hpp"

namespace sluice::filter {
namespace {

/// Parentheses and nots that the reader goes into; most of them make no depth of the tree.
constexpr size_t kMaxNesting = 4 * kMaxFilterDepth;

class TextReader {
 public:
  explicit TextReader(std::string_view text) : lexer_(text) {}

  Read<Node> filter() {
    if (auto status = advance(); !status) return tl::unexpected(status.error());
    if (token_.kind == Token::Kind::end) return fail("a filter has at least one test");
    auto node = any();
    if (node && token_.kind != Token::Kind::end) return fail("expected 'and', 'or' or the end");
    return node;
  }

  Read<Field> whole_field() {
    if (auto status = advance(); !status) return tl::unexpected(status.error());
    auto found = field();
    if (found && token_.kind != Token::Kind::end) return fail("expected '.', '[' or the end");
    return found;
  }

 private:
  using Done = Read<bool>;

  tl::unexpected<Fault> fail(std::string message) const {
    return tl::unexpected(lexer_.fault(token_.offset, std::move(message)));
  }

  Done advance() {
    auto next = lexer_.next();
    if (!next) return tl::unexpected(std::move(next.error()));
    token_ = std::move(*next);
    return true;
  }
  Done expect(std::string_view symbol) {
    if (!token_.is(symbol)) return fail(fmt::format("expected '{}'", symbol));
    return advance();
  }
  Done expect_word(std::string_view keyword) {
    if (!token_.is_word(keyword)) return fail(fmt::format("expected '{}'", keyword));
    return advance();
  }

  /// What the builder says, at `start` if it concerns no part of a test.
  Read<Node> built(Built<Node> node, size_t start) const {
    if (node) return std::move(*node);
    const Problem& problem = node.error();
    return tl::unexpected(fault_at(lexer_.text(), start, problem.message, problem.code));
  }

  Read<Node> any() { return group(Node::Kind::any, "or", &TextReader::all); }
  Read<Node> all() { return group(Node::Kind::all, "and", &TextReader::one); }

  Read<Node> group(Node::Kind kind, std::string_view keyword, Read<Node> (TextReader::*member)()) {
    const size_t start = token_.offset;
    std::vector<Node> members;
    for (;;) {
      auto node = (this->*member)();
      if (!node) return node;
      members.push_back(std::move(*node));
      if (!token_.is_word(keyword)) return built(builder_.group(kind, std::move(members)), start);
      if (auto done = advance(); !done) return tl::unexpected(done.error());
    }
  }

  Read<Node> one() {
    const size_t start = token_.offset;
    const bool negated = token_.is_word("not");
    if (!negated && !token_.is("(")) return test();
    if (++nesting_ > kMaxNesting) {
      return tl::unexpected(
          fault_at(lexer_.text(), start, fmt::format("nested deeper than {}", kMaxNesting), StatusCode::too_large));
    }
    if (auto done = advance(); !done) return tl::unexpected(done.error());
    auto node = negated ? one() : any();
    --nesting_;
    if (!node) return node;
    if (negated) return built(builder_.negation(std::move(*node)), start);
    if (auto done = expect(")"); !done) return tl::unexpected(done.error());
    return node;
  }

  // -- fields

  Read<Field> field() {
    static constexpr std::array<std::pair<std::string_view, Field::Kind>, 7> kFields = {{
        {"key", Field::Kind::key},
        {"value", Field::Kind::value},
        {"headers", Field::Kind::header},
        {"timestamp", Field::Kind::timestamp},
        {"partition", Field::Kind::partition},
        {"position", Field::Kind::position},
        {"offset", Field::Kind::position},
    }};
    Field field;
    bool found = false;
    for (const auto& [name, kind] : kFields) {
      if (token_.kind != Token::Kind::word || token_.spelling != name) continue;
      field.kind = kind;
      found = true;
    }
    if (!found) return fail("expected a field: key, value, headers, timestamp, partition or position");
    if (auto done = advance(); !done) return tl::unexpected(done.error());
    if (field.kind == Field::Kind::header) return header(std::move(field));
    if (field.kind == Field::Kind::value) return path(std::move(field));
    return field;
  }

  Read<Field> header(Field field) {
    auto segment = this->segment();
    if (!segment) return tl::unexpected(segment.error());
    auto* name = std::get_if<std::string>(&*segment);
    if (name == nullptr) return fail("headers have names: headers[\"name\"]");
    field.name = std::move(*name);
    return field;
  }

  Read<Field> path(Field field) {
    while (token_.is(".") || token_.is("[")) {
      auto segment = this->segment();
      if (!segment) return tl::unexpected(segment.error());
      field.kind = Field::Kind::path;
      field.path.push_back(std::move(*segment));
    }
    return field;
  }

  /// `.name`, `["name"]` or `[number]`.
  Read<Segment> segment() {
    const bool dotted = token_.is(".");
    if (!dotted && !token_.is("[")) return fail("expected '.' or '['");
    if (auto done = advance(); !done) return tl::unexpected(done.error());
    Segment segment;
    if (token_.kind == Token::Kind::string) {
      segment = std::move(token_.bytes);
    } else if (dotted && token_.kind == Token::Kind::word) {
      segment = std::string(token_.spelling);
    } else if (!dotted && token_.kind == Token::Kind::number) {
      const Number& number = token_.number;
      if (!number.whole() || number.as_whole() < 0 || number.as_whole() > UINT32_MAX) {
        return fail("a place in an array is a whole number from 0 to 4294967295");
      }
      segment = static_cast<uint32_t>(number.as_whole());
    } else {
      return fail(dotted ? "expected a name, or one in quotes" : "expected a name in quotes or a number");
    }
    if (auto done = advance(); !done) return tl::unexpected(done.error());
    if (!dotted) {
      if (auto done = expect("]"); !done) return tl::unexpected(done.error());
    }
    return segment;
  }

  // -- tests

  /// Where the parts of a test are, so that faults found by the builder are told there.
  struct Places {
    size_t field = 0;
    size_t operation = 0;
    std::vector<size_t> operands;
  };

  Read<Node> test() {
    Places places;
    places.field = token_.offset;
    auto field = this->field();
    if (!field) return tl::unexpected(field.error());
    places.operation = token_.offset;
    const bool negated = token_.is_word("not");
    if (negated) {
      if (auto done = advance(); !done) return tl::unexpected(done.error());
      if (!token_.is_word("in") && !token_.is_word("starts") && !token_.is_word("matches")) {
        return fail("expected 'in', 'starts with' or 'matches'");
      }
    }
    auto op = operation();
    if (!op) return tl::unexpected(op.error());
    std::vector<Literal> operands;
    if (auto done = this->operands(*op, places, operands); !done) return tl::unexpected(done.error());
    auto node = builder_.test(std::move(*field), *op, std::move(operands));
    if (!node) return tl::unexpected(located(node.error(), places));
    return negated ? built(builder_.negation(std::move(*node)), places.operation) : Read<Node>(std::move(*node));
  }

  Read<Op> operation() {
    static constexpr std::array<std::pair<std::string_view, Op>, 7> kSymbols = {{{"=", Op::equal},
                                                                                 {"==", Op::equal},
                                                                                 {"!=", Op::not_equal},
                                                                                 {"<", Op::less},
                                                                                 {"<=", Op::less_equal},
                                                                                 {">", Op::greater},
                                                                                 {">=", Op::greater_equal}}};
    for (const auto& [symbol, op] : kSymbols) {
      if (token_.is(symbol)) return with(op, advance());
    }
    if (token_.is_word("in")) return with(Op::in, advance());
    if (token_.is_word("matches")) return with(Op::matches, advance());
    if (token_.is_word("exists")) return with(Op::exists, advance());
    if (token_.is_word("starts")) {
      if (auto done = advance(); !done) return tl::unexpected(done.error());
      return with(Op::starts_with, expect_word("with"));
    }
    if (!token_.is_word("is")) {
      return fail("expected =, !=, <, <=, >, >=, 'in', 'starts with', 'matches', 'exists' or 'is'");
    }
    if (auto done = advance(); !done) return tl::unexpected(done.error());
    const bool negated = token_.is_word("not");
    if (negated) {
      if (auto done = advance(); !done) return tl::unexpected(done.error());
    }
    if (token_.is_word("null")) return with(negated ? Op::not_null : Op::null, advance());
    if (token_.is_word("missing")) return with(negated ? Op::exists : Op::missing, advance());
    return fail(negated ? "expected 'null' or 'missing'" : "expected 'null', 'missing' or 'not'");
  }
  static Read<Op> with(Op op, Done done) {
    if (!done) return tl::unexpected(std::move(done.error()));
    return op;
  }

  Done operands(Op op, Places& places, std::vector<Literal>& operands) {
    if (op == Op::exists || op == Op::missing || op == Op::null || op == Op::not_null) return true;
    if (op != Op::in) return operand(op, places, operands);
    if (auto done = expect("("); !done) return done;
    for (;;) {
      if (auto done = operand(op, places, operands); !done) return done;
      if (operands.size() > kMaxFilterSetMembers) return true;  // the builder says so
      if (!token_.is(",")) return expect(")");
      if (auto done = advance(); !done) return done;
    }
  }

  Done operand(Op op, Places& places, std::vector<Literal>& operands) {
    places.operands.push_back(token_.offset);
    if (token_.kind == Token::Kind::string || (token_.kind == Token::Kind::regex && op == Op::matches)) {
      operands.emplace_back(std::move(token_.bytes));
    } else if (token_.kind == Token::Kind::number) {
      operands.emplace_back(token_.number);
    } else if (token_.is_word("true") || token_.is_word("false")) {
      operands.emplace_back(token_.is_word("true"));
    } else if (token_.is_word("null")) {
      operands.emplace_back(Null());
    } else if (token_.kind == Token::Kind::regex) {
      return fail("a regular expression is tested with 'matches'");
    } else {
      return fail(op == Op::matches ? "expected /a regular expression/" : "expected a string, a number, true or false");
    }
    return advance();
  }

  Fault located(const Problem& problem, const Places& places) const {
    size_t offset = places.field;
    if (problem.part == Problem::Part::operation) offset = places.operation;
    if (problem.part == Problem::Part::operand && problem.operand < places.operands.size()) {
      offset = places.operands[problem.operand];
      const size_t found =
          problem.fragment.empty() ? std::string_view::npos : lexer_.text().find(problem.fragment, offset + 1);
      if (found < token_.offset) offset = found;
    }
    return fault_at(lexer_.text(), offset, problem.message, problem.code);
  }

  Lexer lexer_;
  Token token_;
  Builder builder_;
  size_t nesting_ = 0;
};

}  // namespace

Read<Node> read_text(std::string_view text) {
  if (text.size() > kMaxFilterBytes) {
    return tl::unexpected(
        fault_at(text, kMaxFilterBytes, fmt::format("more than {} bytes", kMaxFilterBytes), StatusCode::too_large));
  }
  return TextReader(text).filter();
}

Read<Field> read_field(std::string_view text) {
  return TextReader(text).whole_field();
}

}  // namespace sluice::filter
