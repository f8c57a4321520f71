// SPDX-License-Identifier: Apache-2.0
// Adapters with one fault each, to prove that the kit finds it: the memory adapter behind a table in which one call is
// replaced. SLUICE_FAULT says which. The memory adapter's own entry is renamed to memory_entry when it is compiled into
// this.
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "sluice/storage_abi.h"

extern "C" const sluice_plugin memory_entry;

namespace {

// What the memory adapter answers before append returns; larger units complete later, and are left alone here.
constexpr uint64_t kMaxInlineBytes = 65536;

sluice_storage_api api;
const sluice_host* host;

const sluice_storage_api& memory() {
  return *memory_entry.api;
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  host = request->host;
  return memory().create(request, storage, error);
}

sluice_bounds bounds_of(sluice_log* log, sluice_ticket* ticket) {
  sluice_bounds bounds{};
  bounds.size = sizeof bounds;
  static_cast<void>(memory().bounds(log, ticket, &bounds));
  return bounds;
}

// A request of ours with the members that the memory adapter looks at.
sluice_append copy_of(const sluice_append& request) {
  sluice_append copy{};
  copy.size = sizeof copy;
  copy.flags = request.flags;
  copy.token = request.token;
  copy.at = request.at;
  copy.batches = request.batches;
  copy.batch_count = request.batch_count;
  copy.bytes = request.bytes;
  return copy;
}

// Every tenth append is never answered.
[[maybe_unused]] sluice_status lose_completion(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                               sluice_append_result* result) {
  static std::atomic<int> count{0};
  if (++count % 10 == 0) return SLUICE_PENDING;
  return memory().append(log, ticket, request, result);
}

// The ticket is completed, and completed again.
[[maybe_unused]] sluice_status complete_twice(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                              sluice_append_result* result) {
  if (request->bytes > kMaxInlineBytes) return memory().append(log, ticket, request, result);
  const sluice_status status = memory().append(log, ticket, request, result);
  if (status == SLUICE_PENDING) return status;
  host->complete(host, ticket, status);
  host->complete(host, ticket, status);
  return SLUICE_PENDING;
}

// Of a unit of several batches only the first half lands, and all is acknowledged.
[[maybe_unused]] sluice_status apply_half(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                          sluice_append_result* result) {
  if (request->batch_count < 2 || request->bytes > kMaxInlineBytes)
    return memory().append(log, ticket, request, result);
  sluice_append half = copy_of(*request);
  half.batch_count = request->batch_count / 2;
  half.bytes = 0;
  for (uint32_t i = 0; i < half.batch_count; ++i) half.bytes += half.batches[i].size;
  const sluice_status status = memory().append(log, ticket, &half, result);
  if (status == SLUICE_OK) result->end = request->batches[request->batch_count - 1].last_offset + 1;
  return status;
}

// Whatever `at` says, the unit lands at the end.
[[maybe_unused]] sluice_status ignore_at(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                         sluice_append_result* result) {
  if (request->bytes > kMaxInlineBytes) return memory().append(log, ticket, request, result);
  const int64_t end = bounds_of(log, ticket).end;
  std::vector<sluice_batch> batches(request->batches, request->batches + request->batch_count);
  for (sluice_batch& batch : batches) {
    batch.base_offset += end - request->at;
    batch.last_offset += end - request->at;
  }
  sluice_append moved = copy_of(*request);
  moved.at = end;
  moved.batches = batches.data();
  return memory().append(log, ticket, &moved, result);
}

// Any token will do.
[[maybe_unused]] sluice_status ignore_fence(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                            sluice_append_result* result) {
  if (request->bytes > kMaxInlineBytes) return memory().append(log, ticket, request, result);
  sluice_append trusted = copy_of(*request);
  trusted.token = bounds_of(log, ticket).token;
  return memory().append(log, ticket, &trusted, result);
}

[[maybe_unused]] sluice_status read_above_limit(sluice_log* log, sluice_ticket* ticket, const sluice_read* request,
                                                sluice_read_result* result) {
  sluice_read unlimited{};
  unlimited.size = sizeof unlimited;
  unlimited.offset = request->offset;
  unlimited.limit = std::numeric_limits<int64_t>::max();
  unlimited.max_bytes = request->max_bytes;
  return memory().read(log, ticket, &unlimited, result);
}

// The first batch above the time, not at or above it.
[[maybe_unused]] sluice_status locate_above(sluice_log* log, sluice_ticket* ticket, int64_t timestamp,
                                            sluice_locate_result* result) {
  return memory().locate(log, ticket, timestamp == std::numeric_limits<int64_t>::max() ? timestamp : timestamp + 1,
                         result);
}

// One more than was allowed.
[[maybe_unused]] sluice_status trim_too_far(sluice_log* log, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  return memory().trim(log, ticket, token, offset == std::numeric_limits<int64_t>::max() ? offset : offset + 1);
}

// As the memory adapter's.
constexpr sluice_option kOptions[] = {{"max_bytes", "See the memory adapter.", "1GiB", nullptr, SLUICE_OPTION_SIZE, 0,
                                       1 << 16, std::numeric_limits<int64_t>::max()}};

// Runs before anybody can see the table.
__attribute__((constructor)) void fill_table() {
  api = memory();
  api.create = &create;
  SLUICE_FAULT;
}

}  // namespace

extern "C" SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,
                                                                           sizeof(sluice_plugin),
                                                                           SLUICE_ABI_MAJOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           "faulty",
                                                                           "0",
                                                                           "The memory adapter with a fault.",
                                                                           0,
                                                                           SLUICE_KIND_LOG,
                                                                           1,
                                                                           kOptions,
                                                                           &api,
                                                                           nullptr};
