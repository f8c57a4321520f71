// SPDX-License-Identifier: Apache-2.0
// The two forms of a filter, text and JSON data, and how their faults are told. Functions without state.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "filter/tree.hpp"

namespace sluice::filter {

/// A fault with what it takes to tell it.
struct Fault {
  FilterFault where;
  StatusCode code = StatusCode::invalid;
  std::string line;  // line feed, the faulty line, line feed, a caret; "": there is none
};

template <class T>
using Read = tl::expected<T, Fault>;

Read<Node> read_text(std::string_view text);
Read<Node> read_json(std::string_view json);

/// A field as in the text form, all of `text`.
Read<Field> read_field(std::string_view text);

/// "byte 12: expected a value", then the line and a caret under the fault.
Status describe(const Fault& fault);

/// The fault at `offset` of `text`.
Fault fault_at(std::string_view text, size_t offset, std::string message, StatusCode code = StatusCode::invalid);

}  // namespace sluice::filter
