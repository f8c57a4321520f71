// SPDX-License-Identifier: Apache-2.0
// Adapters that cannot leave it open what became of an append which nobody answered for, or hide what is damaged, to
// prove that the kit's attacks find them: with a server that is well they are without fault. The Redis adapter behind a
// table whose appends or reads end as SLUICE_FAULT says; its own entry is renamed to redis_entry when it is compiled
// into this. Any thread.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "redis/settings.hpp"
#include "redis/storage.hpp"
#include "sluice/storage_abi.h"

extern "C" const sluice_plugin redis_entry;

namespace {

constexpr auto kRetryPause = std::chrono::milliseconds(10);
constexpr int kMostRetries = 500;
constexpr uint64_t kMostCopiedBytes = 4 << 20;  // of one unit; larger ones are left alone

sluice_storage_api api;
const sluice_host* host;
sluice_host between;  // what the Redis adapter calls

const sluice_storage_api& redis() {
  return *redis_entry.api;
}

// An append on its way, with a copy of what it asks for: the request ends with the call.
struct Sent {
  sluice_log* log = nullptr;
  sluice_append request{};
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<sluice_batch> batches;
  sluice_append_result* result = nullptr;

  int64_t end() const { return batches.back().last_offset + 1; }
};

// A call of our own.
struct Own {
  explicit Own(int64_t deadline_ns) {
    error.size = sizeof error;
    error.text_capacity = sizeof text;
    error.text = text;
    ticket.size = sizeof ticket;
    ticket.deadline_ns = deadline_ns;
    ticket.error = &error;
  }
  char text[256] = {};
  sluice_error error{};
  sluice_ticket ticket{};
  std::optional<sluice_status> answer;  // guarded by mutex
};

std::mutex mutex;
std::condition_variable answered;
std::map<sluice_ticket*, Sent> appends;               // guarded by mutex
std::map<sluice_ticket*, sluice_read_result*> reads;  // guarded by mutex
std::map<sluice_ticket*, Own*> own_calls;             // guarded by mutex
std::vector<std::thread> sending_again;               // guarded by mutex

// Makes a call of the Redis adapter's and waits for its answer.
template <class Call>
sluice_status wait(Own& own, Call call) {
  {
    const std::lock_guard lock(mutex);
    own_calls.emplace(&own.ticket, &own);
  }
  const sluice_status status = call(&own.ticket);
  std::unique_lock lock(mutex);
  if (status == SLUICE_PENDING) answered.wait(lock, [&] { return own.answer.has_value(); });
  own_calls.erase(&own.ticket);
  return status == SLUICE_PENDING ? *own.answer : status;
}

// Fences in the writer's name, appends it again at the end that there is now, and says that it stands where it was to
// stand.
void send_again(sluice_ticket* ticket, Sent sent) {
  sluice_status status = SLUICE_UNKNOWN;
  for (int i = 0; i < kMostRetries && status != SLUICE_OK; ++i) {
    std::this_thread::sleep_for(kRetryPause);
    sluice_fence_result fence{};
    fence.size = sizeof fence;
    ++sent.request.token;
    Own fencing(ticket->deadline_ns);
    const auto take_over = [&](sluice_ticket* own) { return redis().fence(sent.log, own, sent.request.token, &fence); };
    if (wait(fencing, take_over) != SLUICE_OK) continue;
    for (sluice_batch& batch : sent.batches) {
      batch.base_offset += fence.end - sent.request.at;
      batch.last_offset += fence.end - sent.request.at;
    }
    sluice_append_result result{};
    result.size = sizeof result;
    sent.request.at = fence.end;
    sent.request.batches = sent.batches.data();
    Own appending(ticket->deadline_ns);
    status = wait(appending, [&](sluice_ticket* own) { return redis().append(sent.log, own, &sent.request, &result); });
  }
  host->complete(host, ticket, status);
}

// ---- The faults: how an append or a read ends that the Redis adapter ends with `status`.

using ReadJudge = sluice_status (*)(sluice_read_result&, sluice_status);
using Judge = sluice_status (*)(sluice_ticket*, Sent&, sluice_status);

// "It has surely landed."
[[maybe_unused]] sluice_status say_it_landed(sluice_ticket*, Sent& sent, sluice_status status) {
  if (status != SLUICE_UNKNOWN && status != SLUICE_UNAVAILABLE) return status;
  sent.result->end = sent.end();
  sent.result->token = sent.request.token;
  return SLUICE_OK;
}

// "It has surely not landed, and never will."
[[maybe_unused]] sluice_status say_it_did_not(sluice_ticket*, Sent&, sluice_status status) {
  return status == SLUICE_UNKNOWN ? SLUICE_UNAVAILABLE : status;
}

// "It has surely not landed: once more."
[[maybe_unused]] sluice_status say_nothing_and_repeat(sluice_ticket* ticket, Sent& sent, sluice_status status) {
  if (status != SLUICE_UNKNOWN) return status;
  sent.result->end = sent.end();
  sent.result->token = sent.request.token;
  const std::lock_guard lock(mutex);
  sending_again.emplace_back(&send_again, ticket, std::move(sent));
  return SLUICE_PENDING;
}

// "There is nothing there." The host reads on behind it, and nobody hears of it.
[[maybe_unused]] sluice_status pass_damage(sluice_read_result&, sluice_status status) {
  return status == SLUICE_CORRUPT ? SLUICE_OK : status;
}

[[maybe_unused]] sluice_status tell(sluice_ticket*, Sent&, sluice_status status) {
  return status;
}
[[maybe_unused]] sluice_status tell(sluice_read_result&, sluice_status status) {
  return status;
}

struct Fault {
  Judge append = &tell;
  ReadJudge read = &tell;
};
constexpr Fault kFault{SLUICE_FAULT};

// ---- The table

std::optional<Sent> taken(sluice_ticket* ticket) {
  const std::lock_guard lock(mutex);
  const auto found = appends.find(ticket);
  if (found == appends.end()) return std::nullopt;
  Sent sent = std::move(found->second);
  appends.erase(found);
  return sent;
}

sluice_read_result* taken_read(sluice_ticket* ticket) {
  const std::lock_guard lock(mutex);
  const auto node = reads.extract(ticket);
  return node.empty() ? nullptr : node.mapped();
}

void complete_between(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  if (std::optional<Sent> sent = taken(ticket)) {
    status = kFault.append(ticket, *sent, status);
    if (status == SLUICE_PENDING) return;
  } else if (sluice_read_result* result = taken_read(ticket)) {
    status = kFault.read(*result, status);
  } else {
    const std::lock_guard lock(mutex);
    if (const auto found = own_calls.find(ticket); found != own_calls.end()) {
      found->second->answer = status;
      answered.notify_all();
      return;
    }
  }
  host->complete(host, ticket, status);
}
void log_between(const sluice_host*, const char* name, int32_t level, const char* text) {
  host->log(host, name, level, text);
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  host = request->host;
  between = sluice_host{};
  between.size = sizeof between;
  between.major = host->major;
  between.minor = host->minor;
  between.complete = &complete_between;
  between.log = &log_between;
  between.crc32c = host->crc32c;
  sluice_create passed = *request;
  passed.size = sizeof passed;
  passed.host = &between;
  return redis().create(&passed, storage, error);
}

sluice_status append(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                     sluice_append_result* result) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < request->batch_count && bytes <= kMostCopiedBytes; ++i) {
    bytes = request->batches[i].size > kMostCopiedBytes ? UINT64_MAX : bytes + request->batches[i].size;
  }
  if (bytes == 0 || bytes > kMostCopiedBytes) return redis().append(log, ticket, request, result);
  Sent sent;
  sent.log = log;
  sent.request = *request;
  sent.result = result;
  for (uint32_t i = 0; i < request->batch_count; ++i) {
    const sluice_batch& batch = request->batches[i];
    sent.bytes.emplace_back(batch.data, batch.data + batch.size);
    sent.batches.push_back(batch);
    sent.batches.back().data = sent.bytes.back().data();
  }
  {
    const std::lock_guard lock(mutex);
    appends.emplace(ticket, std::move(sent));
  }
  const sluice_status status = redis().append(log, ticket, request, result);
  if (status == SLUICE_PENDING) return status;
  std::optional<Sent> ended = taken(ticket);
  return ended ? kFault.append(ticket, *ended, status) : status;
}

sluice_status read(sluice_log* log, sluice_ticket* ticket, const sluice_read* request, sluice_read_result* result) {
  {
    const std::lock_guard lock(mutex);
    reads.emplace(ticket, result);
  }
  const sluice_status status = redis().read(log, ticket, request, result);
  if (status == SLUICE_PENDING) return status;
  return taken_read(ticket) != nullptr ? kFault.read(*result, status) : status;
}

sluice_status stop(sluice_storage* storage, int64_t deadline_ns, sluice_error* error) {
  const sluice_status status = redis().stop(storage, deadline_ns, error);
  std::vector<std::thread> ended;
  {
    const std::lock_guard lock(mutex);
    ended.swap(sending_again);
  }
  for (std::thread& thread : ended) thread.join();
  return status;
}

// Runs before anybody can see the table.
__attribute__((constructor)) void fill_table() {
  api = redis();
  api.create = &create;
  api.append = &append;
  api.read = &read;
  api.stop = &stop;
}

}  // namespace

extern "C" SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,
                                                                           sizeof(sluice_plugin),
                                                                           SLUICE_ABI_MAJOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           "faulty",
                                                                           "0",
                                                                           "The Redis adapter with a fault.",
                                                                           sluice::redis::kCapabilities,
                                                                           SLUICE_KIND_LOG,
                                                                           sluice::redis::kOptionCount,
                                                                           sluice::redis::kOptionTable,
                                                                           &api,
                                                                           nullptr};
