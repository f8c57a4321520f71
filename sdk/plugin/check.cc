// SPDX-License-Identifier: Apache-2.0
// The checks themselves are those that authors in C use: sluice/adapter.h.
#include "plugin/check.hpp"

#include "sluice/adapter.h"

namespace sluice::plugin {
namespace {

Status judged(const char* fault) { return fault == nullptr ? Status() : Status(StatusCode::invalid, fault); }

}  // namespace

Status check(const sluice_log_descriptor& descriptor) { return judged(sluice_check_descriptor(&descriptor)); }

Status check(const sluice_append& request) { return judged(sluice_check_append(&request)); }

Status check(const sluice_save& request) {
  if (Status name = check_name(request.name, request.name_size); !name.ok()) return name;
  if (request.value_size > SLUICE_LARGEST_VALUE) return Status(StatusCode::too_large, "the value is above 512 KiB");
  if (request.value_size > 0 && request.value == nullptr) return judged("the value is missing");
  return {};
}

Status check_name(const char* name, uint32_t name_size) { return judged(sluice_check_name(name, name_size)); }

}  // namespace sluice::plugin
