// SPDX-License-Identifier: Apache-2.0
// A response of a consumer behind a handle, as C sees it. Any thread; never changes.
#pragma once

#include <vector>

#include "c/handle_table.hpp"
#include "c/records.hpp"
#include "sluice/c/page.h"
#include "sluice/consumer.hpp"

namespace sluice::c {

struct PageObject final : Object {
  static constexpr Kind kKind = Kind::page;
  /// Where it throws, `got` is as it was.
  explicit PageObject(Response&& got);
  /// All but the size.
  void describe(sluice_polled& polled) const;

  const RecordViews views;  // of the response's records, whose places do not change when it is moved
  const std::vector<sluice_note> notes;
  const Response response;
};

}  // namespace sluice::c
