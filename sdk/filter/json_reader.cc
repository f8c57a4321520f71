// SPDX-License-Identifier: Apache-2.0
// The JSON form: syntax by nlohmann/json into values that keep members in order and numbers exact, then meaning, by
// recursion with a pointer to where it is.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "filter/forms.hpp"
#include "filter/quote.hpp"

namespace sluice::filter {
namespace {

/// A node is an object, its members an array within: two for each level of the filter, and some for operands.
constexpr size_t kMaxJsonDepth = 2 * kMaxFilterDepth + 4;
/// Of all kinds together: a test has three besides its operands.
constexpr size_t kMaxJsonValues = kMaxFilterOperands + 4 * kMaxFilterTests;

struct Member;

struct Value {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  Number number;
  std::string string;
  std::vector<Value> items;     // of an array
  std::vector<Member> members;  // of an object; names differ
};

struct Member {
  std::string name;
  Value value;
};

/// Of RFC 6901.
void append_segment(std::string_view segment, std::string& pointer) {
  pointer += '/';
  for (const char c : segment) {
    if (c == '~' || c == '/') {
      pointer += c == '~' ? "~0" : "~1";
    } else {
      pointer += c;
    }
  }
}

/// Makes the values. What JSON allows and this does not ends the reading by returning false.
class ValueMaker : public nlohmann::json::json_sax_t {
 public:
  explicit ValueMaker(std::string_view text) : text_(text) {}

  Value result;
  std::optional<Fault> fault;

  bool null() override { return put(Value()); }
  bool boolean(bool value) override {
    Value made;
    made.kind = Value::Kind::boolean;
    made.boolean = value;
    return put(std::move(made));
  }
  bool number_integer(number_integer_t value) override { return put(Number::of_whole(value)); }
  bool number_unsigned(number_unsigned_t value) override { return put(Number::of_whole(value)); }
  bool number_float(number_float_t, const string_t& spelling) override {
    Number number;
    parse_number(spelling, number);  // the syntax has been seen to, and what no double holds
    return put(number);
  }
  bool string(string_t& value) override {
    Value made;
    made.kind = Value::Kind::string;
    made.string = std::move(value);
    return put(std::move(made));
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Value::Kind::object); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Value::Kind::array); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    for (const auto& member : open_.back()->members) {
      if (member.name != name) continue;
      fault = fault_at({}, 0, fmt::format("the name {} comes twice", quote(name)));
      fault->line.clear();
      fault->where.pointer = pointer();
      return false;
    }
    if (open_.back()->members.size() == kMaxMembers) return refuse("an object of too many members");
    open_.back()->members.push_back({std::move(name), Value()});
    return true;
  }

  bool parse_error(size_t read, const std::string& token, const nlohmann::json::exception& error) override {
    std::string message = error.what();
    const auto says = [&](std::string_view words) { return message.find(words) != std::string::npos; };
    // Bytes read include the faulty one, or all of a token where it is not expected. `token` has more than the token
    // in it, unless that is a string or a number.
    size_t back = 1;
    if (says("- unexpected string literal") || says("- unexpected number literal")) back = token.size();
    if (says("- unexpected true literal") || says("- unexpected null literal")) back = 4;
    if (says("- unexpected false literal")) back = 5;
    if (says("- unexpected end of input")) read = text_.size() + back;
    if (error.id == kNumberRange) {
      message = "this number is larger than any double";
      back = token.size();
    } else {
      // "[json.exception...] parse error at line 1, column 5: syntax error while parsing ...": the place is ours.
      const size_t cut = message.find(": ");
      if (cut != std::string::npos) message = message.substr(cut + 2);
    }
    fault = fault_at(text_, read >= back ? read - back : 0, message);
    return false;
  }

 private:
  static constexpr size_t kMaxMembers = 4;  // no object of a filter has more than two; a few more are named as wrong
  static constexpr int kNumberRange = 406;  // out_of_range: a number that no double holds

  bool refuse(std::string message) {
    fault = fault_at({}, 0, std::move(message), StatusCode::too_large);
    fault->line.clear();
    fault->where.pointer = pointer();
    return false;
  }

  /// Of the value that is open, as far as it was read.
  std::string pointer() const {
    std::string path;
    for (size_t i = 0; i + 1 < open_.size(); ++i) {
      const bool array = open_[i]->kind == Value::Kind::array;
      append_segment(array ? std::to_string(open_[i]->items.size() - 1) : open_[i]->members.back().name, path);
    }
    return path;
  }

  Value* place() {
    if (open_.empty()) return &result;
    Value& parent = *open_.back();
    if (parent.kind == Value::Kind::object) return &parent.members.back().value;
    return &parent.items.emplace_back();
  }
  bool put(Value value) {
    if (++values_ > kMaxJsonValues) return refuse("too many values");
    *place() = std::move(value);
    return true;
  }
  bool put(Number number) {
    Value made;
    made.kind = Value::Kind::number;
    made.number = number;
    return put(std::move(made));
  }
  bool open(Value::Kind kind) {
    if (open_.size() == kMaxJsonDepth) return refuse(fmt::format("nested deeper than {}", kMaxJsonDepth));
    if (++values_ > kMaxJsonValues) return refuse("too many values");
    // Parents stay where they are while their children are open: only the innermost grows.
    Value* value = place();
    value->kind = kind;
    open_.push_back(value);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  std::vector<Value*> open_;
  size_t values_ = 0;
};

class JsonReader {
 public:
  Read<Node> node(const Value& value) {
    if (value.kind != Value::Kind::object || value.members.empty()) {
      return fail("expected an object with 'and', 'or', 'not' or 'field'");
    }
    const auto& [name, inner] = value.members[0];
    const bool all = name == "and";
    if (all || name == "or" || name == "not") {
      if (value.members.size() > 1) return in(value.members[1].name, "unknown member beside '" + name + "'");
      const Within within(*this, name);
      return name == "not" ? negation(inner) : group(all ? Node::Kind::all : Node::Kind::any, inner);
    }
    return test(value);
  }

 private:
  /// Extends the pointer while it lives.
  class Within {
   public:
    Within(JsonReader& reader, std::string_view segment) : pointer_(reader.pointer_), size_(pointer_.size()) {
      append_segment(segment, pointer_);
    }
    ~Within() { pointer_.resize(size_); }
    Within(const Within&) = delete;
    Within& operator=(const Within&) = delete;

   private:
    std::string& pointer_;
    size_t size_;
  };

  Fault fault(std::string message, StatusCode code = StatusCode::invalid) const {
    Fault made;
    made.where.pointer = pointer_;
    made.where.message = std::move(message);
    made.code = code;
    return made;
  }
  tl::unexpected<Fault> fail(std::string message) const { return tl::unexpected(fault(std::move(message))); }
  tl::unexpected<Fault> in(std::string_view segment, std::string message) {
    const Within within(*this, segment);
    return fail(std::move(message));
  }
  Read<Node> built(Built<Node> node) const {
    if (node) return std::move(*node);
    return tl::unexpected(fault(node.error().message, node.error().code));
  }

  Read<Node> group(Node::Kind kind, const Value& value) {
    if (value.kind != Value::Kind::array || value.items.empty())
      return fail("expected an array of at least one filter");
    std::vector<Node> members;
    for (size_t i = 0; i < value.items.size(); ++i) {
      const Within within(*this, std::to_string(i));
      auto member = node(value.items[i]);
      if (!member) return member;
      members.push_back(std::move(*member));
    }
    return built(builder_.group(kind, std::move(members)));
  }

  Read<Node> negation(const Value& value) {
    auto inner = node(value);
    if (!inner) return inner;
    return built(builder_.negation(std::move(*inner)));
  }

  Read<Node> test(const Value& value) {
    std::optional<Field> field;
    const Member* operation = nullptr;
    for (const auto& member : value.members) {
      if (member.name == "field") {
        const Within within(*this, "field");
        auto read = this->field(member.value);
        if (!read) return tl::unexpected(read.error());
        field = std::move(*read);
      } else if (operation != nullptr) {
        return in(member.name, "a test has one operation");
      } else {
        operation = &member;
      }
    }
    if (!field) return fail("expected 'and', 'or', 'not', or 'field' and an operation");
    if (operation == nullptr) return fail("this test has no operation");
    const Within within(*this, operation->name);
    auto op = this->operation(operation->name, operation->value);
    if (!op) return tl::unexpected(op.error());
    std::vector<Literal> operands;
    if (*op == Op::in) {
      if (operation->value.kind != Value::Kind::array || operation->value.items.empty()) {
        return fail("expected an array of at least one member");
      }
      for (size_t i = 0; i < operation->value.items.size(); ++i) {
        const Within member(*this, std::to_string(i));
        if (auto fault = add(operation->value.items[i], operands)) return tl::unexpected(std::move(*fault));
      }
    } else if (*op < Op::exists) {
      if (auto fault = add(operation->value, operands)) return tl::unexpected(std::move(*fault));
    }
    auto node = builder_.test(std::move(*field), *op, std::move(operands));
    if (!node) return tl::unexpected(located(node.error(), *op, operation->value));
    return std::move(*node);
  }

  Read<Field> field(const Value& value) const {
    if (value.kind != Value::Kind::string) return fail("expected a field as a string");
    auto field = read_field(value.string);
    if (!field) field.error().where.pointer = pointer_;
    return field;
  }

  Read<Op> operation(std::string_view name, const Value& value) const {
    static constexpr std::array<std::pair<std::string_view, Op>, 11> kOps = {{
        {"=", Op::equal},
        {"!=", Op::not_equal},
        {"<", Op::less},
        {"<=", Op::less_equal},
        {">", Op::greater},
        {">=", Op::greater_equal},
        {"in", Op::in},
        {"starts_with", Op::starts_with},
        {"matches", Op::matches},
        {"exists", Op::exists},
        {"null", Op::null},
    }};
    const auto* found = std::find_if(kOps.begin(), kOps.end(), [&](const auto& op) { return op.first == name; });
    if (found == kOps.end()) return fail("unknown operation");
    if (found->second < Op::exists) return found->second;
    if (value.kind != Value::Kind::boolean) return fail("expected true or false");
    if (found->second == Op::exists) return value.boolean ? Op::exists : Op::missing;
    return value.boolean ? Op::null : Op::not_null;
  }

  /// Adds the literal that `value` is, or says why it is none.
  std::optional<Fault> add(const Value& value, std::vector<Literal>& operands) const {
    switch (value.kind) {
      case Value::Kind::null:
        operands.emplace_back(Null());
        return std::nullopt;
      case Value::Kind::boolean:
        operands.emplace_back(value.boolean);
        return std::nullopt;
      case Value::Kind::number:
        operands.emplace_back(value.number);
        return std::nullopt;
      case Value::Kind::string:
        operands.emplace_back(value.string);
        return std::nullopt;
      default:
        break;
    }
    if (value.members.size() != 1 || value.members[0].name != "hex" ||
        value.members[0].value.kind != Value::Kind::string) {
      return fault("expected a string, a number, true or false, or {\"hex\": \"...\"}");
    }
    auto bytes = from_hex(value.members[0].value.string);
    if (!bytes) return fault("these are no bytes in hexadecimal digits");
    operands.emplace_back(std::move(*bytes));
    return std::nullopt;
  }

  /// The pointer is at the operation.
  Fault located(const Problem& problem, Op op, const Value& operand) {
    if (problem.part == Problem::Part::operand && op == Op::in) {
      const Within within(*this, std::to_string(problem.operand));
      return fault(problem.message, problem.code);
    }
    if (problem.part == Problem::Part::whole || problem.part == Problem::Part::field) {
      Fault made = fault(problem.message, problem.code);
      made.where.pointer.resize(made.where.pointer.rfind('/'));
      if (problem.part == Problem::Part::field) made.where.pointer += "/field";
      return made;
    }
    if (problem.fragment.empty()) return fault(problem.message, problem.code);
    const size_t found = operand.string.find(problem.fragment);
    Fault made = fault_at(operand.string, found == std::string::npos ? 0 : found, problem.message, problem.code);
    made.where.pointer = pointer_;
    return made;
  }

  Builder builder_;
  std::string pointer_;
};

}  // namespace

Read<Node> read_json(std::string_view json) {
  if (json.size() > kMaxFilterBytes) {
    return tl::unexpected(
        fault_at(json, kMaxFilterBytes, fmt::format("more than {} bytes", kMaxFilterBytes), StatusCode::too_large));
  }
  ValueMaker maker(json);
  if (!nlohmann::json::sax_parse(json, &maker)) return tl::unexpected(std::move(*maker.fault));
  return JsonReader().node(maker.result);
}

}  // namespace sluice::filter
