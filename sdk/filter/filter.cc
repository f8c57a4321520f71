// SPDX-License-Identifier: Apache-2.0
#include "sluice/filter.hpp"

#include <utility>

#include "filter/forms.hpp"
#include "filter/program.hpp"

namespace sluice {

using filter::FieldValue;
using filter::Leaf;
using filter::Step;

struct Filter::Impl {
  explicit Impl(filter::Node written) : tree(std::move(written)), program(tree) {}

  const filter::Node tree;
  const filter::Program program;
};

namespace {

tl::unexpected<Status> told(const filter::Fault& fault, FilterFault* where) {
  if (where != nullptr) *where = fault.where;
  return fail(filter::describe(fault));
}

}  // namespace

Result<Filter> Filter::parse(std::string_view text, FilterFault* fault) {
  auto tree = filter::read_text(text);
  if (!tree) return told(tree.error(), fault);
  return Filter(std::make_shared<const Impl>(std::move(*tree)));
}

Result<Filter> Filter::from_json(std::string_view json, FilterFault* fault) {
  auto tree = filter::read_json(json);
  if (!tree) return told(tree.error(), fault);
  return Filter(std::make_shared<const Impl>(std::move(*tree)));
}

std::string Filter::text() const {
  return filter::to_text(impl_->tree);
}
std::string Filter::json() const {
  return filter::to_json(impl_->tree);
}
bool Filter::reads_payload() const {
  return impl_->program.paths.slots() != 0;
}

struct FilterEvaluator::Impl {
  explicit Impl(Filter wanted)
      : filter(std::move(wanted)),
        program(filter.impl_->program),
        payload(program.paths),
        slots(program.paths.slots()) {}

  /// What `record` makes of the program, as far as it matters: a result at or below `enough` may be any other there.
  Truth run(const Record& record, Truth enough) {
    ++counts.evaluated;
    loaded = false;
    const Truth truth = run(program.root, record, enough);
    if (truth == Truth::yes) ++counts.passed;
    return truth;
  }

  // Without negations above tests, a group is the least or the greatest of its members; a result at or below `enough`
  // stays there whatever unknown members would add.
  Truth run(const Step& step, const Record& record, Truth enough) {
    if (step.kind == Step::Kind::leaf) return test(program.leaves[step.leaf], record);
    const bool all = step.kind == Step::Kind::all;
    Truth result = all ? Truth::yes : Truth::no;
    for (const Step& member : step.members) {
      const bool is_leaf = member.kind == Step::Kind::leaf;
      const Truth truth = is_leaf ? test(program.leaves[member.leaf], record) : run(member, record, enough);
      if (all) {
        result = std::min(result, truth);
        if (result <= enough) return result;
      } else {
        result = std::max(result, truth);
        if (result == Truth::yes) return result;
      }
    }
    return result;
  }

  __attribute__((always_inline)) Truth test(const Leaf& leaf, const Record& record) {
    if (leaf.field != filter::Field::Kind::path) return test_outside(leaf, record);
    if (!loaded) load(record);
    return leaf.test(slots[leaf.slot]);
  }

  /// Of a field that is not in the JSON of the value.
  Truth test_outside(const Leaf& leaf, const Record& record) const {
    FieldValue value;
    switch (leaf.field) {
      case filter::Field::Kind::key:
        set(record.key, value);
        break;
      case filter::Field::Kind::value:
        set(record.value, value);
        break;
      case filter::Field::Kind::header:
        if (const auto header = record.headers.last(leaf.header)) set(header->value, value);
        break;
      case filter::Field::Kind::timestamp:
        if (record.timestamp_ns != kNoTimestamp) set(record.timestamp_ns, value);
        break;
      case filter::Field::Kind::partition:
        set(record.partition, value);
        break;
      case filter::Field::Kind::position:
        set(record.position, value);
        break;
      case filter::Field::Kind::path:
        break;
    }
    return leaf.test(value);
  }

  static void set(const std::optional<Bytes>& bytes, FieldValue& value) {
    value.kind = bytes ? FieldValue::Kind::text : FieldValue::Kind::null;
    if (bytes) value.text = as_text(*bytes);
  }
  static void set(int64_t number, FieldValue& value) {
    value.kind = FieldValue::Kind::number;
    value.number = filter::Number::of_whole(number);
  }

  void load(const Record& record) {
    loaded = true;
    if (!record.value) {
      for (FieldValue& slot : slots) slot.kind = FieldValue::Kind::missing;
      return;
    }
    ++counts.payloads_read;
    if (!payload.read(*record.value, slots)) ++counts.payloads_unreadable;
  }

  const Filter filter;
  const filter::Program& program;
  filter::PayloadReader payload;
  std::vector<FieldValue> slots;
  FilterCounts counts;
  bool loaded = false;  // slots are of the record at hand
};

FilterEvaluator::FilterEvaluator(Filter filter) : impl_(std::make_unique<Impl>(std::move(filter))) {}
FilterEvaluator::FilterEvaluator(FilterEvaluator&&) noexcept = default;
FilterEvaluator& FilterEvaluator::operator=(FilterEvaluator&&) noexcept = default;
FilterEvaluator::~FilterEvaluator() = default;

bool FilterEvaluator::passes(const Record& record) {
  return impl_->run(record, Truth::unknown) == Truth::yes;
}
Truth FilterEvaluator::evaluate(const Record& record) {
  return impl_->run(record, Truth::no);
}
const FilterCounts& FilterEvaluator::counts() const {
  return impl_->counts;
}

}  // namespace sluice
