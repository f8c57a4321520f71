// SPDX-License-Identifier: Apache-2.0
// An adapter that takes several appends of a log at once and does not keep their order, and one that goes on behind a
// failure, to prove that the kit finds them: the Kafka adapter behind a table in which append is replaced.
// SLUICE_FAULT says which. Its own entry is renamed to kafka_entry when it is compiled into this. Any thread.
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "kafka/settings.hpp"
#include "kafka/storage.hpp"
#include "sluice/storage_abi.h"

extern "C" const sluice_plugin kafka_entry;

namespace {

constexpr auto kOvertakenAfter = std::chrono::milliseconds(20);  // at the latest, if nobody comes

sluice_storage_api api;
const sluice_host* host;

const sluice_storage_api& kafka() {
  return *kafka_entry.api;
}

struct Held {
  sluice_log* log = nullptr;
  sluice_ticket* ticket = nullptr;
  const sluice_append* request = nullptr;
  sluice_append_result* result = nullptr;

  void pass() const {
    const sluice_status status = kafka().append(log, ticket, request, result);
    if (status != SLUICE_PENDING) host->complete(host, ticket, status);
  }
};

std::mutex mutex;
std::optional<Held> held;          // guarded by mutex
std::vector<std::thread> waiting;  // guarded by mutex

void pass_held(const sluice_ticket* only = nullptr) {
  const std::lock_guard lock(mutex);
  if (!held || (only != nullptr && held->ticket != only)) return;
  std::exchange(held, std::nullopt)->pass();
}

// One append lets the next go first.
[[maybe_unused]] sluice_status let_overtake(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                            sluice_append_result* result) {
  {
    const std::lock_guard lock(mutex);
    if (!held) {
      held = Held{log, ticket, request, result};
      waiting.emplace_back([ticket] {
        std::this_thread::sleep_for(kOvertakenAfter);
        pass_held(ticket);
      });
      return SLUICE_PENDING;
    }
  }
  const sluice_status status = kafka().append(log, ticket, request, result);
  pass_held();
  return status;
}

// Every append is said to be alone, so that none is behind another.
[[maybe_unused]] sluice_status forget_run(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                                          sluice_append_result* result) {
  const_cast<sluice_append*>(request)->run = 0;
  return kafka().append(log, ticket, request, result);
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  host = request->host;
  return kafka().create(request, storage, error);
}

sluice_status stop(sluice_storage* storage, int64_t deadline_ns, sluice_error* error) {
  std::vector<std::thread> ended;
  {
    const std::lock_guard lock(mutex);
    ended.swap(waiting);
  }
  for (std::thread& thread : ended) thread.join();
  return kafka().stop(storage, deadline_ns, error);
}

// Runs before anybody can see the table.
__attribute__((constructor)) void fill_table() {
  api = kafka();
  api.create = &create;
  api.stop = &stop;
  api.append = &SLUICE_FAULT;
}

}  // namespace

extern "C" SLUICE_PLUGIN_EXPORT const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,
                                                                           sizeof(sluice_plugin),
                                                                           SLUICE_ABI_MAJOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           SLUICE_ABI_MINOR,
                                                                           "faulty",
                                                                           "0",
                                                                           "The Kafka adapter with a fault.",
                                                                           sluice::kafka::kCapabilities,
                                                                           SLUICE_KIND_NATIVE,
                                                                           sluice::kafka::kOptionCount,
                                                                           sluice::kafka::kOptionTable,
                                                                           &api,
                                                                           nullptr};
