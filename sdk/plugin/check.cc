// SPDX-License-Identifier: Apache-2.0
#include "plugin/check.hpp"

#include <limits>

namespace sluice::plugin {
namespace {

constexpr int64_t kMaxOffset = std::numeric_limits<int64_t>::max();

Status invalid(const char* text) {
  return Status(StatusCode::invalid, text);
}

}  // namespace

Status check(const sluice_log_descriptor& descriptor) {
  if ((descriptor.flags & ~(SLUICE_LOG_SYNC | SLUICE_LOG_SEVERAL_WRITERS)) != 0) return invalid("unknown flag");
  if (descriptor.start_offset < 0 || descriptor.start_offset == kMaxOffset) return invalid("start offset out of range");
  if (descriptor.topic == nullptr) return invalid("no topic");
  if (descriptor.setting_count > 0 && descriptor.settings == nullptr) return invalid("settings are missing");
  return {};
}

Status check(const sluice_append& request) {
  if ((request.flags & ~SLUICE_APPEND_SYNC) != 0) return invalid("unknown flag");
  if (request.batch_count == 0 || request.batches == nullptr) return invalid("a unit holds at least one batch");
  if (request.at < 0) return invalid("`at` is negative");
  int64_t lowest = request.at;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    const sluice_batch& batch = request.batches[i];
    if (batch.data == nullptr || batch.size == 0) return invalid("a batch without bytes");
    if (batch.base_offset < lowest) return invalid("batch offsets do not rise from `at`");
    if (batch.last_offset < batch.base_offset || batch.last_offset == kMaxOffset)
      return invalid("last offset out of range");
    lowest = batch.last_offset + 1;
    if (bytes + batch.size < bytes) return invalid("sizes overflow");
    bytes += batch.size;
  }
  if (bytes != request.bytes) return invalid("`bytes` is not the sum of the batches");
  return {};
}

Status check(const sluice_save& request) {
  if (Status name = check_name(request.name, request.name_size); !name.ok()) return name;
  if (request.value_size > SLUICE_LARGEST_VALUE) return Status(StatusCode::too_large, "the value is above 512 KiB");
  if (request.value_size > 0 && request.value == nullptr) return invalid("the value is missing");
  return {};
}

Status check_name(const char* name, uint32_t name_size) {
  if (name == nullptr || name_size == 0 || name_size > SLUICE_LONGEST_NAME) return invalid("a name has 1 to 64 bytes");
  return {};
}

}  // namespace sluice::plugin
