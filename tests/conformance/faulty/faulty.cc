// SPDX-License-Identifier: Apache-2.0
// Adapters with one fault each, to prove that the kit finds it: the memory adapter behind a table in which one call is
// replaced. SLUICE_FAULT says which. The memory adapter's own entry is renamed to memory_entry when it is compiled into
// this.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>
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

// A list that is being made, to be spoiled when it is done.
std::atomic<sluice_ticket*> listing{nullptr};
std::atomic<sluice_log_list*> listed{nullptr};

// What the memory adapter calls: the host, with a look at what it answers.
sluice_host between;

void complete_between(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  sluice_ticket* wanted = ticket;
  if (listing.compare_exchange_strong(wanted, nullptr) && listed.load()->count > 0) --listed.load()->count;
  host->complete(host, ticket, status);
}
void log_between(const sluice_host*, const char* name, int32_t level, const char* text) {
  host->log(host, name, level, text);
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  host = request->host;
  between.size = sizeof between;
  between.major = host->major;
  between.minor = host->minor;
  between.complete = &complete_between;
  between.log = &log_between;
  between.crc32c = host->crc32c;
  sluice_create passed{};
  passed.size = sizeof passed;
  passed.value_count = request->value_count;
  passed.host = &between;
  passed.name = request->name;
  passed.data_directory = request->data_directory;
  passed.values = request->values;
  return memory().create(&passed, storage, error);
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

// Every tenth unit is acknowledged and forgotten.
[[maybe_unused]] sluice_status drop_some(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                         sluice_append_result* result) {
  static std::atomic<int> count{0};
  if (++count % 10 != 0) return memory().append(log, ticket, request, result);
  result->end = request->batches[request->batch_count - 1].last_offset + 1;
  result->token = request->token;
  return SLUICE_OK;
}

// Sent again after it had landed, at the end that there was then.
[[maybe_unused]] sluice_status append_twice(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                            sluice_append_result* result) {
  const sluice_status status = memory().append(log, ticket, request, result);
  if (status != SLUICE_OK) return status;
  sluice_append_result ignored{};
  ignored.size = sizeof ignored;
  static_cast<void>(ignore_at(log, ticket, request, &ignored));
  return SLUICE_OK;
}

// The first two batches of a unit change places.
[[maybe_unused]] sluice_status reorder_unit(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                            sluice_append_result* result) {
  if (request->batch_count < 2 || request->bytes > kMaxInlineBytes)
    return memory().append(log, ticket, request, result);
  std::vector<sluice_batch> batches(request->batches, request->batches + request->batch_count);
  std::swap(batches[0].data, batches[1].data);
  std::swap(batches[0].size, batches[1].size);
  sluice_append reordered = copy_of(*request);
  reordered.batches = batches.data();
  return memory().append(log, ticket, &reordered, result);
}

// The partition leader epoch is set, as brokers do and storages must not.
[[maybe_unused]] sluice_status rewrite_bytes(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                             sluice_append_result* result) {
  constexpr size_t kLeaderEpochAt = 12;
  if (request->bytes > kMaxInlineBytes) return memory().append(log, ticket, request, result);
  std::vector<uint8_t> bytes(request->batches[0].data, request->batches[0].data + request->batches[0].size);
  bytes[kLeaderEpochAt + 3] = 7;
  std::vector<sluice_batch> batches(request->batches, request->batches + request->batch_count);
  batches[0].data = bytes.data();
  sluice_append rewritten = copy_of(*request);
  rewritten.batches = batches.data();
  return memory().append(log, ticket, &rewritten, result);
}

// What does not fit pushes out what was acknowledged before.
[[maybe_unused]] sluice_status evict(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                     sluice_append_result* result) {
  const sluice_status status = memory().append(log, ticket, request, result);
  if (status != SLUICE_NO_SPACE) return status;
  static_cast<void>(memory().trim(log, ticket, request->token, request->at));
  return memory().append(log, ticket, request, result);
}

// The caller's thread waits, as for a device.
[[maybe_unused]] sluice_status wait_inline(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                           sluice_append_result* result) {
  std::this_thread::sleep_for(std::chrono::microseconds(100));
  return memory().append(log, ticket, request, result);
}

// Each append writes the end into the answer of the one before, which is the host's again.
[[maybe_unused]] sluice_status touch_late(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                          sluice_append_result* result) {
  static std::atomic<sluice_append_result*> before{nullptr};
  sluice_append_result* const late = before.exchange(result);
  if (late != nullptr) late->end = request->at;
  return memory().append(log, ticket, request, result);
}

// Failures come without a text.
[[maybe_unused]] sluice_status say_nothing(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                           sluice_append_result* result) {
  const sluice_status status = memory().append(log, ticket, request, result);
  if (status != SLUICE_PENDING && ticket->error->text_capacity > 0) ticket->error->text[0] = '\0';
  return status;
}

// The end is one that was read before the fence.
[[maybe_unused]] sluice_status say_stale_end(sluice_log* log, sluice_ticket* ticket, uint64_t token,
                                             sluice_fence_result* result) {
  static std::atomic<int64_t> read_before{0};
  const int64_t end = bounds_of(log, ticket).end;
  const sluice_status status = memory().fence(log, ticket, token, result);
  result->end = read_before.exchange(end);
  return status;
}

// Any token will do for a value.
[[maybe_unused]] sluice_status save_for_anybody(sluice_log* log, sluice_ticket* ticket, const sluice_save* request) {
  if (request->value_size > kMaxInlineBytes) return memory().save(log, ticket, request);
  sluice_save trusted{};
  trusted.size = sizeof trusted;
  trusted.token = bounds_of(log, ticket).token;
  trusted.name = request->name;
  trusted.name_size = request->name_size;
  trusted.value = request->value;
  trusted.value_size = request->value_size;
  return memory().save(log, ticket, &trusted);
}

// What is trimmed away is used for something else at once, whoever looks at it.
std::vector<sluice_slice> lent;

[[maybe_unused]] sluice_status remember_lent(sluice_log* log, sluice_ticket* ticket, const sluice_read* request,
                                             sluice_read_result* result) {
  const sluice_status status = memory().read(log, ticket, request, result);
  if (status == SLUICE_OK) lent.insert(lent.end(), result->slices, result->slices + result->slice_count);
  return status;
}

[[maybe_unused]] sluice_status overwrite_lent(sluice_log* log, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  const sluice_status status = memory().trim(log, ticket, token, offset);
  for (const sluice_slice& slice : lent) {
    std::memset(const_cast<uint8_t*>(slice.data), 0xee, slice.length);
  }
  lent.clear();
  return status;
}

// Reading on leaves something out.
[[maybe_unused]] sluice_status skip_batch(sluice_log* log, sluice_ticket* ticket, const sluice_read* request,
                                          sluice_read_result* result) {
  const sluice_status status = memory().read(log, ticket, request, result);
  if (status == SLUICE_OK && result->slice_count > 0 && result->next < result->end) ++result->next;
  return status;
}

// The struct is written as long as it is in this header, and not as long as the host's is.
[[maybe_unused]] sluice_status assign_whole(sluice_log* log, sluice_ticket* ticket, sluice_bounds* result) {
  const uint32_t size = result->size;
  const sluice_bounds whole = bounds_of(log, ticket);
  std::memcpy(result, &whole, sizeof whole);
  result->size = size;
  return SLUICE_OK;
}

// Says that it outlives what it does not.
[[maybe_unused]] sluice_status claim_durable(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition,
                                             sluice_error* error) {
  const sluice_status status = memory().start(storage, deadline_ns, condition, error);
  condition->capabilities |= SLUICE_CAP_DURABLE;
  return status;
}

// One log is left out.
[[maybe_unused]] sluice_status list_without_one(sluice_storage* storage, sluice_ticket* ticket, sluice_log_list* list) {
  listed = list;
  listing = ticket;
  return memory().list_logs(storage, ticket, list);
}

// What was deleted is there.
[[maybe_unused]] sluice_status delete_nothing(sluice_storage*, sluice_ticket*, const sluice_log_descriptor*) {
  return SLUICE_OK;
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
                                                                           SLUICE_CAP_DURABLE,
                                                                           SLUICE_KIND_LOG,
                                                                           1,
                                                                           kOptions,
                                                                           &api,
                                                                           nullptr};
