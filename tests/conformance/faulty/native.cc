// SPDX-License-Identifier: Apache-2.0
// Adapters of kind NATIVE with one fault each, to prove that the kit finds it: the Redis adapter, which has to be
// started with the layout `record`, behind a table that spoils what is appended, read and watched as SLUICE_FAULT says.
// Its own entry is renamed to redis_entry when it is compiled into this. Any thread.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "conformance/native_world.hpp"
#include "records/batch.hpp"
#include "redis/settings.hpp"
#include "redis/storage.hpp"
#include "sluice/storage_abi.h"

extern "C" const sluice_plugin redis_entry;

namespace {

using sluice::conformance::PlacedRecord;
using sluice::conformance::Record;
using Records = std::vector<Record>;

constexpr auto kRetryPause = std::chrono::milliseconds(10);
constexpr int kMostRetries = 500;
constexpr uint64_t kMostSpoiledBytes = 64 << 20;  // of a batch; what is larger, or says so, is left alone

sluice_storage_api api;
const sluice_host* host;
sluice_host between;  // what the Redis adapter calls

const sluice_storage_api& redis() {
  return *redis_entry.api;
}

// An append on its way, with what is stored instead of what was asked for.
struct Sent {
  sluice_log* log = nullptr;
  std::vector<sluice::conformance::Batch> stored;
  std::vector<sluice_batch> batches;
  std::vector<uint32_t> wanted;  // records of each batch
  sluice_append request{};
  sluice_append_result* result = nullptr;
};
struct Read {
  int64_t offset = 0;
  sluice_read_result* result = nullptr;
};

std::mutex mutex;
std::condition_variable answered;
std::map<sluice_ticket*, Sent> appends;                            // guarded by mutex
std::map<sluice_ticket*, Read> reads;                              // guarded by mutex
std::map<sluice_ticket*, std::optional<sluice_status>> own_calls;  // guarded by mutex
std::vector<std::thread> sending_again;                            // guarded by mutex
std::map<sluice_storage*, int> starts;                             // guarded by mutex
std::atomic<bool> started_again{false};

// ---- The faults

// Of what is stored.
void drop_header(Records& records) {
  for (Record& record : records) {
    if (!record.headers.empty()) record.headers.pop_back();
  }
}
void sort_headers(Records& records) {
  for (Record& record : records)
    std::ranges::stable_sort(record.headers, {}, [](const auto& each) { return each.first; });
}
void merge_headers(Records& records) {
  for (Record& record : records) {
    std::map<std::string, bool> seen;
    std::erase_if(record.headers, [&](const auto& each) { return std::exchange(seen[each.first], true); });
  }
}
void null_to_empty(Records& records) {
  for (Record& record : records) {
    if (!record.value) record.value = "";
  }
}
void own_time(Records& records) {
  for (Record& record : records) record.timestamp = 1'700'000'000'000;
}
void drop_record(Records& records) {
  if (records.size() > 2) records.pop_back();
}
void repeat_record(Records& records) {
  if (records.size() > 2) records.push_back(records.back());
}
void swap_records(Records& records) {
  if (records.size() > 2) std::swap(records[0], records[1]);
}

// Of what an append is told.
void tell_first_only(sluice_batch_result& result) {
  result.last_offset = result.first_offset;
}

// Of what is read: which records are shown, and what else is said.
bool is_ours(const Record& record) {
  return record.key.has_value();  // the kit's own have one
}
sluice_status stay(const Read& read) {
  if (read.result->skipped > 0) {
    read.result->slice_count = 0;
    read.result->next = read.offset;
  }
  return SLUICE_OK;
}
sluice_status count_nothing(const Read& read) {
  read.result->skipped = 0;
  return SLUICE_OK;
}
sluice_status go_too_far(const Read& read) {
  if (read.result->slice_count > 0 && read.result->next < read.result->end) ++read.result->next;
  return SLUICE_OK;
}
sluice_status refuse_end(const Read& read) {
  return read.offset == read.result->end ? SLUICE_OUT_OF_RANGE : SLUICE_OK;
}

// Of an append that nobody answered for.
using Judge = sluice_status (*)(sluice_ticket*, Sent&, sluice_status);

sluice_status say_it_landed(sluice_ticket*, Sent& sent, sluice_status status) {
  if (status != SLUICE_UNKNOWN && status != SLUICE_UNAVAILABLE) return status;
  for (size_t i = 0; i < sent.batches.size(); ++i) {
    sent.result->batches[i] = {static_cast<int64_t>(10 * i), static_cast<int64_t>(10 * i + 9), sent.wanted[i], 0};
  }
  sent.result->end = static_cast<int64_t>(10 * sent.batches.size());
  return SLUICE_OK;
}
sluice_status say_it_did_not(sluice_ticket*, Sent&, sluice_status status) {
  return status == SLUICE_UNKNOWN ? SLUICE_UNAVAILABLE : status;
}

// Appends it once more, until that is OK.
void repeat(sluice_ticket* ticket, Sent sent) {
  sluice_status status = SLUICE_UNKNOWN;
  sent.request.batches = sent.batches.data();
  for (int i = 0; i < kMostRetries && status != SLUICE_OK; ++i) {
    std::this_thread::sleep_for(kRetryPause);
    char text[256] = {};
    sluice_error error{};
    error.size = sizeof error;
    error.text_capacity = sizeof text;
    error.text = text;
    sluice_ticket own{};
    own.size = sizeof own;
    own.deadline_ns = ticket->deadline_ns;
    own.error = &error;
    {
      const std::lock_guard lock(mutex);
      own_calls[&own].reset();
    }
    status = redis().append(sent.log, &own, &sent.request, sent.result);
    std::unique_lock lock(mutex);
    if (status == SLUICE_PENDING) {
      answered.wait(lock, [&] { return own_calls[&own].has_value(); });
      status = *own_calls[&own];
    }
    own_calls.erase(&own);
  }
  host->complete(host, ticket, status);
}
sluice_status say_nothing_and_repeat(sluice_ticket* ticket, Sent& sent, sluice_status status) {
  if (status != SLUICE_UNKNOWN) return status;
  const std::lock_guard lock(mutex);
  sending_again.emplace_back(&repeat, ticket, std::move(sent));
  return SLUICE_PENDING;
}

struct Fault {
  void (*store)(Records&) = nullptr;
  void (*told)(sluice_batch_result&) = nullptr;
  bool (*shows)(const Record&) = nullptr;
  sluice_status (*says)(const Read&) = nullptr;
  Judge unsure = nullptr;
  int64_t moved_by_restart = 0;  // offsets
  int64_t watch_later = 0;       // ... than asked for, from the second watch on
  int64_t locate_later = 0;      // milliseconds
  int64_t trim_further = 0;      // offsets
};

Fault fault_of(const std::string& name) {
  Fault fault;
  if (name == "dropped_header") fault.store = &drop_header;
  if (name == "sorted_headers") fault.store = &sort_headers;
  if (name == "merged_headers") fault.store = &merge_headers;
  if (name == "null_as_empty") fault.store = &null_to_empty;
  if (name == "own_time") fault.store = &own_time;
  if (name == "dropped_record") fault.store = &drop_record;
  if (name == "doubled_record") fault.store = &repeat_record;
  if (name == "reordered_records") fault.store = &swap_records;
  if (name == "wrong_result") fault.told = &tell_first_only;
  if (name == "swallowed_foreign") fault.shows = &is_ours;
  if (name == "wedged_reader") fault.says = &stay;
  if (name == "uncounted_damage") fault.says = &count_nothing;
  if (name == "skipped_record") fault.says = &go_too_far;
  if (name == "refused_end") fault.says = &refuse_end;
  if (name == "moved_offsets") fault.moved_by_restart = 1;
  if (name == "unwoken_watch") fault.watch_later = int64_t{1} << 40;
  if (name == "wrong_locate") fault.locate_later = 1;
  if (name == "trim_too_far") fault.trim_further = 1;
  if (name == "unsure_ok") fault.unsure = &say_it_landed;
  if (name == "unsure_refused") fault.unsure = &say_it_did_not;
  if (name == "sent_again") fault.unsure = &say_nothing_and_repeat;
  return fault;
}
const char* const fault_name = std::getenv("SLUICE_FAULT");
const Fault fault = fault_of(fault_name == nullptr ? "" : fault_name);

// ---- Appends

sluice_status ended(sluice_ticket* ticket, Sent& sent, sluice_status status) {
  if (status == SLUICE_OK) {
    for (size_t i = 0; i < sent.batches.size(); ++i) {
      sent.result->batches[i].applied = sent.wanted[i];
      if (fault.told != nullptr) fault.told(sent.result->batches[i]);
    }
  }
  return fault.unsure != nullptr ? fault.unsure(ticket, sent, status) : status;
}

// nullopt: one that is left alone, since it has no records that could be spoiled.
std::optional<Sent> spoiled(sluice_log* log, const sluice_append& request, sluice_append_result* result) {
  Sent sent;
  sent.log = log;
  sent.result = result;
  sent.request = request;
  sent.request.bytes = 0;
  int64_t base = 0;
  for (uint32_t i = 0; i < request.batch_count; ++i) {
    const sluice_batch& asked = request.batches[i];
    if (asked.size > request.bytes || asked.size > kMostSpoiledBytes) return std::nullopt;
    const auto batch = sluice::records::BatchView::parse(sluice::Bytes(asked.data, asked.size));
    std::vector<PlacedRecord> found;
    try {
      if (!batch) return std::nullopt;
      sluice::conformance::take_records(*batch, found);
    } catch (const std::exception&) {
      return std::nullopt;
    }
    Records records;
    for (PlacedRecord& each : found) records.push_back(std::move(each.record));
    sent.wanted.push_back(asked.record_count);
    if (fault.store != nullptr) fault.store(records);
    sent.stored.push_back(sluice::conformance::make_native_batch(records));
    const sluice::conformance::Batch& made = sent.stored.back();
    sluice_batch stored = asked;
    stored.data = made.bytes.data();
    stored.size = made.bytes.size();
    stored.record_count = made.records;
    stored.base_offset = base;
    stored.last_offset = base + made.last;
    base += made.last + 1;
    sent.request.bytes += stored.size;
    sent.batches.push_back(stored);
  }
  return sent;
}

std::optional<Sent> taken(sluice_ticket* ticket) {
  const std::lock_guard lock(mutex);
  auto node = appends.extract(ticket);
  return node.empty() ? std::nullopt : std::optional(std::move(node.mapped()));
}

sluice_status append(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                     sluice_append_result* result) {
  std::optional<Sent> sent = request->flags == 0 ? spoiled(log, *request, result) : std::nullopt;
  if (!sent || sent->batches.empty()) return redis().append(log, ticket, request, result);
  const sluice_append* stored = nullptr;  // stays where it is until the call is answered
  {
    const std::lock_guard lock(mutex);
    Sent& kept = appends.insert_or_assign(ticket, std::move(*sent)).first->second;
    kept.request.batches = kept.batches.data();
    stored = &kept.request;
  }
  const sluice_status status = redis().append(log, ticket, stored, result);
  if (status == SLUICE_PENDING) return status;
  std::optional<Sent> done = taken(ticket);
  return done ? ended(ticket, *done, status) : status;
}

// ---- Reads

// What is lent instead.
struct Lent {
  std::vector<uint8_t> bytes;
  sluice_slice slice{};
};

sluice_status ended(const Read& read, sluice_status status) {
  if (status != SLUICE_OK) return status;
  sluice_read_result& result = *read.result;
  const int64_t moved = started_again ? fault.moved_by_restart : 0;
  if (result.slice_count > 0 && (moved != 0 || fault.shows != nullptr)) {
    auto lent = std::make_unique<Lent>();
    for (uint32_t i = 0; i < result.slice_count; ++i) {
      lent->bytes.insert(lent->bytes.end(), result.slices[i].data, result.slices[i].data + result.slices[i].length);
    }
    std::vector<uint8_t> shown;
    for (sluice::Bytes rest(lent->bytes); !rest.empty();) {
      const sluice::Bytes whole = rest;
      const auto batch = sluice::records::take_batch(rest);
      if (!batch) break;
      std::vector<PlacedRecord> found;
      sluice::conformance::take_records(*batch, found);
      // A batch with one that is swallowed goes with it.
      if (fault.shows != nullptr && !std::ranges::all_of(found, fault.shows, &PlacedRecord::record)) continue;
      const size_t at = shown.size();
      shown.insert(shown.end(), whole.data(), whole.data() + (whole.size() - rest.size()));
      sluice::store_be<int64_t>(shown.data() + at, batch->base_offset() + moved);  // no part of the checksum
    }
    result.next += moved;
    result.end += moved;
    result.release(result.owner);
    lent->bytes = std::move(shown);
    lent->slice.data = lent->bytes.data();
    lent->slice.length = lent->bytes.size();
    lent->slice.fd = -1;
    result.slices = &lent->slice;
    result.slice_count = lent->bytes.empty() ? 0 : 1;
    result.pinned_bytes = lent->bytes.size();
    result.owner = lent.release();
    result.release = [](void* owner) { delete static_cast<Lent*>(owner); };
  }
  return fault.says != nullptr ? fault.says(read) : status;
}

std::optional<Read> taken_read(sluice_ticket* ticket) {
  const std::lock_guard lock(mutex);
  const auto node = reads.extract(ticket);
  return node.empty() ? std::nullopt : std::optional(node.mapped());
}

sluice_status read(sluice_log* log, sluice_ticket* ticket, const sluice_read* request, sluice_read_result* result) {
  {
    const std::lock_guard lock(mutex);
    reads.emplace(ticket, Read{request->offset, result});
  }
  const sluice_status status = redis().read(log, ticket, request, result);
  if (status == SLUICE_PENDING) return status;
  const std::optional<Read> done = taken_read(ticket);
  return done ? ended(*done, status) : status;
}

// ---- The rest of the table

sluice_status watch(sluice_log* log, sluice_ticket* ticket, int64_t offset) {
  static std::atomic<int> watches{0};
  return redis().watch(log, ticket, offset + (++watches > 1 ? fault.watch_later : 0));
}
sluice_status locate(sluice_log* log, sluice_ticket* ticket, int64_t timestamp, sluice_locate_result* result) {
  return redis().locate(log, ticket, timestamp + fault.locate_later, result);
}
sluice_status trim(sluice_log* log, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  return redis().trim(log, ticket, token, offset + fault.trim_further);
}

void complete_between(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  if (std::optional<Sent> sent = taken(ticket)) {
    status = ended(ticket, *sent, status);
    if (status == SLUICE_PENDING) return;
  } else if (const std::optional<Read> done = taken_read(ticket)) {
    status = ended(*done, status);
  } else {
    const std::lock_guard lock(mutex);
    if (const auto found = own_calls.find(ticket); found != own_calls.end()) {
      found->second = status;
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

sluice_status start(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition, sluice_error* error) {
  {
    const std::lock_guard lock(mutex);
    if (++starts[storage] > 1) started_again = true;
  }
  return redis().start(storage, deadline_ns, condition, error);
}

sluice_status stop(sluice_storage* storage, int64_t deadline_ns, sluice_error* error) {
  const sluice_status status = redis().stop(storage, deadline_ns, error);
  std::vector<std::thread> over;
  {
    const std::lock_guard lock(mutex);
    over.swap(sending_again);
  }
  for (std::thread& thread : over) thread.join();
  return status;
}

// Runs before anybody can see the table.
__attribute__((constructor)) void fill_table() {
  api = redis();
  api.create = &create;
  api.start = &start;
  api.stop = &stop;
  api.append = &append;
  api.read = &read;
  api.watch = &watch;
  api.locate = &locate;
  api.trim = &trim;
}

}  // namespace

extern "C" SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {
    SLUICE_ABI_MAGIC,
    sizeof(sluice_plugin),
    SLUICE_ABI_MAJOR,
    SLUICE_ABI_MINOR,
    SLUICE_ABI_MINOR,
    "faulty",
    "0",
    "The Redis adapter, kind NATIVE, with a fault.",
    sluice::redis::kCapabilities,
    SLUICE_KIND_LOG | SLUICE_KIND_NATIVE,
    sluice::redis::kOptionCount,
    sluice::redis::kOptionTable,
    &api,
    nullptr};
