// SPDX-License-Identifier: Apache-2.0
// A filter behind a handle. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "c/handle_table.hpp"
#include "sluice/filter.hpp"

namespace sluice::c {

class CompiledFilter final : public Object {
 public:
  static constexpr Kind kKind = Kind::filter;
  /// Evaluators kept for the next calls.
  static constexpr size_t kMaxIdle = 64;

  explicit CompiledFilter(Filter filter) : Object(kKind), filter_(std::move(filter)) {}
  const Filter& filter() const { return filter_; }
  Truth judge(const Record& record);

 private:
  const Filter filter_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<FilterEvaluator>> idle_;  // guarded by mutex_
};

}  // namespace sluice::c
