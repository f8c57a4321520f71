// SPDX-License-Identifier: Apache-2.0
#include "storage/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

namespace sluice::storage {
namespace {

constexpr size_t kMaxQuotedBytes = 80;

/// "3:7" for the byte at `index`; lines and columns count from 1, columns in bytes.
std::string place(std::string_view text, size_t index) {
  const std::string_view before = text.substr(0, index);
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? index : index - newline - 1;
  return fmt::format("{}:{}", std::count(before.begin(), before.end(), '\n') + 1, column + 1);
}

/// What is wrong, out of the library's message: without its preamble, and without the token last read, which may be a
/// secret.
std::string reason(std::string message) {
  if (const size_t token = message.find("; last read:"); token != std::string::npos) message.resize(token);
  for (const std::string_view lead : {"syntax error ", ": "}) {
    const size_t at = message.find(lead);
    if (at == std::string::npos) continue;
    message.erase(0, at + lead.size());
    break;
  }
  return message;
}

/// Builds the value from the parser's events; the first error ends the parse.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Json& value() { return root_; }
  const Status& status() const { return status_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("is binary"); }

  bool start_object(size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Json& object = *open_.back();
    if (object.contains(name)) {
      name_ = std::move(name);
      return refuse("is there twice");
    }
    if (object.size() >= kMaxObjectMembers) return refuse(fmt::format("has more than {} names", kMaxObjectMembers));
    name_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& token, const Json::exception& error) override {
    size_t at = std::min(position > 0 ? position - 1 : 0, text_.size());
    const std::string message = error.what();
    // Strings and numbers that are out of place begin earlier than where the parser noticed.
    const bool literal = message.find("unexpected string literal") != std::string::npos ||
                         message.find("unexpected number literal") != std::string::npos;
    if (literal && position >= token.size()) at = position - token.size();
    const std::string text = error.id == 406 ? "a number is too large" : "not JSON: " + reason(message);
    status_ = Status(StatusCode::invalid, fmt::format("{}:{}: {}", file_, place(text_, at), text));
    return false;
  }

 private:
  template <class T>
  bool add(T&& value) {
    put(Json(std::forward<T>(value)));
    return true;
  }

  Json& put(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    Json& parent = *open_.back();
    if (parent.is_object()) return parent[name_] = std::move(value);
    return parent.emplace_back(std::move(value));
  }

  bool open(Json empty) {
    if (open_.size() == kMaxConfigDepth) return refuse(fmt::format("is nested deeper than {} levels", kMaxConfigDepth));
    // The parent does not grow while a child of it is open, so the address stays.
    Json& child = put(std::move(empty));
    path_.push_back(std::exchange(name_, {}));
    open_.push_back(&child);
    return true;
  }

  bool close() {
    name_ = std::move(path_.back());
    path_.pop_back();
    open_.pop_back();
    return true;
  }

  /// The path of what is being read: of the member `name_` of the innermost object, or of the next element.
  std::string path() const {
    std::string result;
    for (size_t i = 0; i < open_.size(); ++i) {
      const bool last = i + 1 == open_.size();
      // An open child is its array's newest element already; what is being read is not there yet.
      result = open_[i]->is_object() ? member_path(result, last ? name_ : path_[i + 1])
                                     : element_path(result, open_[i]->size() - (last ? 0 : 1));
    }
    return result;
  }

  bool refuse(std::string_view what) {
    const std::string where = path();
    status_ = Status(StatusCode::invalid, fmt::format("{}: {}{}{}", file_, where, where.empty() ? "" : ": ", what));
    return false;
  }

  const std::string_view text_;
  const std::string& file_;
  Json root_;
  std::vector<Json*> open_;
  std::vector<std::string>
      path_;          // for each open value, its name in the one around it; empty for elements and the root
  std::string name_;  // of the member whose value comes next
  Status status_;
};

bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
}

}  // namespace

std::string in_quotes(std::string_view name) {
  const bool whole = name.size() <= kMaxQuotedBytes;
  const Json value(std::string(name.substr(0, kMaxQuotedBytes)));
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (!whole) text += "...";
  return text;
}

std::string member_path(const std::string& parent, std::string_view name) {
  if (!is_plain(name) || name.size() > kMaxQuotedBytes) return fmt::format("{}[{}]", parent, in_quotes(name));
  return parent.empty() ? std::string(name) : fmt::format("{}.{}", parent, name);
}

std::string element_path(const std::string& parent, size_t index) {
  return fmt::format("{}[{}]", parent, index);
}

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a text";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    default:
      return "null";
  }
}

Result<Json> parse_json(std::string_view text, const std::string& file) {
  if (text.size() > kMaxConfigBytes) {
    return fail(StatusCode::too_large, fmt::format("{}: is longer than {} bytes", file, kMaxConfigBytes));
  }
  // The parser would take a zero byte for the end.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return fail(StatusCode::invalid, fmt::format("{}:{}: not JSON: a zero byte", file, place(text, zero)));
  }
  Builder builder(text, file);
  if (!Json::sax_parse(text, &builder)) return fail(builder.status());
  return std::move(builder.value());
}

}  // namespace sluice::storage
