// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "filter/quote.hpp"
#include "filter/tree.hpp"

namespace sluice::filter {
namespace {

using Json = nlohmann::ordered_json;

Json literal_json(const Literal& literal) {
  if (const auto* boolean = std::get_if<bool>(&literal)) return *boolean;
  if (const auto* bytes = std::get_if<std::string>(&literal)) {
    return is_utf8(*bytes) ? Json(*bytes) : Json{{"hex", hex_of(*bytes)}};
  }
  if (const auto* number = std::get_if<Number>(&literal)) {
    if (!number->whole()) return number->as_real();
    return number->as_whole() < 0 ? Json(static_cast<int64_t>(number->as_whole()))
                                  : Json(static_cast<uint64_t>(number->as_whole()));
  }
  return nullptr;
}

Json test_json(const Test& test) {
  Json json;
  json["field"] = test.field.text();
  switch (test.op) {
    case Op::exists:
    case Op::missing:
      json["exists"] = test.op == Op::exists;
      return json;
    case Op::null:
    case Op::not_null:
      json["null"] = test.op == Op::null;
      return json;
    case Op::in: {
      Json members = Json::array();
      for (const Literal& member : test.operands) members.push_back(literal_json(member));
      json["in"] = std::move(members);
      return json;
    }
    default:
      break;
  }
  static constexpr const char* kOps[] = {"=", "!=", "<", "<=", ">", ">=", "in", "starts_with", "matches"};
  json[kOps[static_cast<size_t>(test.op)]] = literal_json(test.operands[0]);
  return json;
}

Json node_json(const Node& node) {
  switch (node.kind) {
    case Node::Kind::test:
      return test_json(node.test);
    case Node::Kind::negation: {
      Json json;
      json["not"] = node_json(node.children[0]);
      return json;
    }
    default:
      break;
  }
  Json members = Json::array();
  for (const Node& child : node.children) members.push_back(node_json(child));
  Json json;
  json[node.kind == Node::Kind::all ? "and" : "or"] = std::move(members);
  return json;
}

}  // namespace

std::string to_json(const Node& node) {
  return node_json(node).dump();
}

}  // namespace sluice::filter
