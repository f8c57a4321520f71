// SPDX-License-Identifier: Apache-2.0
#include "fake_adapter.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace sluice::host::testing {

struct FakeStorage {
  FakeEngine* engine;

  static sluice_status submit(FakeEngine& engine, std::shared_ptr<Command> command) {
    return engine.submit(std::move(command));
  }
  static void watch(FakeEngine& engine, const LogId& id, int64_t offset, sluice_ticket* ticket) {
    engine.watches_.push_back({id, offset, ticket});
  }
  static void wake(FakeEngine& engine, const LogId& id) { engine.wake_watches(id); }
};

struct FakeLog {
  FakeEngine* engine;
  LogId id;
};

namespace {

std::mutex g_mutex;
std::map<std::string, FakeEngine*> g_engines;

FakeEngine& engine_of(sluice_storage* storage) {
  return *reinterpret_cast<FakeStorage*>(storage)->engine;
}
FakeLog& log_of(sluice_log* log) {
  return *reinterpret_cast<FakeLog*>(log);
}

LogId id_of(const sluice_log_descriptor& d) {
  LogId id;
  std::copy(std::begin(d.id), std::end(d.id), id.begin());
  return id;
}

sluice_status lifecycle(FakeEngine& engine, const char* name, sluice_error* error) {
  {
    std::lock_guard lock(engine.mutex);
    engine.lifecycle.push_back(name);
  }
  return engine.on_lifecycle ? engine.on_lifecycle(name, error) : SLUICE_OK;
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error* error) {
  FakeEngine* engine = nullptr;
  {
    std::lock_guard lock(g_mutex);
    engine = g_engines.at(request->values[0].text);
  }
  engine->host = request->host;
  if (const sluice_status status = lifecycle(*engine, "create", error); status != SLUICE_OK) return status;
  *storage = reinterpret_cast<sluice_storage*>(new FakeStorage{engine});
  return SLUICE_OK;
}

void destroy(sluice_storage* storage) {
  FakeEngine& engine = engine_of(storage);
  lifecycle(engine, "destroy", nullptr);
  engine.destroyed = true;
  delete reinterpret_cast<FakeStorage*>(storage);
}

void report(FakeEngine& engine, sluice_condition* condition) {
  condition->kind = engine.kind;
  condition->capabilities = engine.capabilities;
  condition->largest_unit = engine.largest_unit;
  condition->preferred_unit = engine.preferred_unit;
  condition->appends_in_flight = engine.appends_in_flight;
  std::strcpy(condition->server, "fake 1.0");
}

sluice_status start(sluice_storage* storage, int64_t, sluice_condition* condition, sluice_error* error) {
  FakeEngine& engine = engine_of(storage);
  if (const sluice_status status = lifecycle(engine, "start", error); status != SLUICE_OK) return status;
  report(engine, condition);
  return SLUICE_OK;
}

sluice_status stop(sluice_storage* storage, int64_t, sluice_error* error) {
  FakeEngine& engine = engine_of(storage);
  if (const sluice_status status = lifecycle(engine, "stop", error); status != SLUICE_OK) return status;
  engine.reply_to_all(SLUICE_UNKNOWN);
  return SLUICE_OK;
}

sluice_status health(sluice_storage* storage, int64_t, sluice_condition* condition, sluice_error* error) {
  FakeEngine& engine = engine_of(storage);
  if (const sluice_status status = lifecycle(engine, "health", error); status != SLUICE_OK) return status;
  report(engine, condition);
  return SLUICE_OK;
}

sluice_status bind(sluice_storage* storage, int64_t, sluice_bind* bind, sluice_error*) {
  FakeEngine& engine = engine_of(storage);
  if (engine.kind == SLUICE_KIND_NATIVE) return SLUICE_UNSUPPORTED;
  if (engine.cluster == std::array<uint8_t, 16>{} || (bind->flags & SLUICE_BIND_REPLACE) != 0) {
    std::copy_n(bind->cluster_id, 16, engine.cluster.begin());
  }
  std::copy_n(engine.cluster.begin(), 16, bind->cluster_id);
  return SLUICE_OK;
}

std::shared_ptr<Command> command(const char* name, sluice_ticket* ticket) {
  auto c = std::make_shared<Command>();
  c->name = name;
  c->ticket = ticket;
  return c;
}

sluice_status create_log(sluice_storage* storage, sluice_ticket* ticket, const sluice_log_descriptor* d) {
  FakeEngine& engine = engine_of(storage);
  auto c = command("create_log", ticket);
  std::string adopts;
  for (uint32_t i = 0; i < d->setting_count; ++i) {
    if (std::strcmp(d->settings[i].name, "sluice.native.name") == 0) adopts = d->settings[i].value;
  }
  c->run = [&engine, id = id_of(*d), start = d->start_offset, adopts](bool) {
    if (!adopts.empty()) engine.adopted.push_back(adopts);
    engine.logs.try_emplace(id, StoredLog{start, start, 0, {}, {}});
    return SLUICE_OK;
  };
  return FakeStorage::submit(engine, c);
}

sluice_status delete_log(sluice_storage* storage, sluice_ticket* ticket, const sluice_log_descriptor* d) {
  FakeEngine& engine = engine_of(storage);
  auto c = command("delete_log", ticket);
  c->run = [&engine, id = id_of(*d)](bool) {
    engine.logs.erase(id);
    return SLUICE_OK;
  };
  return FakeStorage::submit(engine, c);
}

sluice_status list_logs(sluice_storage* storage, sluice_ticket* ticket, sluice_log_list* list) {
  FakeEngine& engine = engine_of(storage);
  auto c = command("list_logs", ticket);
  c->result = list;
  c->run = [&engine, list](bool effect_only) {
    if (effect_only) return SLUICE_OK;
    auto* entries = new std::vector<sluice_log_entry>();
    for (const auto& [id, log] : engine.logs) {
      sluice_log_entry entry{};
      std::copy(id.begin(), id.end(), entry.id);
      entry.topic = "topic";
      entries->push_back(entry);
    }
    for (const auto& [topic, partitions] : engine.foreign) {
      for (int32_t i = 0; i < partitions; ++i) entries->push_back({{}, topic.c_str(), i, SLUICE_ENTRY_FOREIGN});
    }
    list->count = static_cast<uint32_t>(entries->size());
    list->entries = entries->data();
    list->owner = entries;
    list->release = [](void* owner) { delete static_cast<std::vector<sluice_log_entry>*>(owner); };
    return SLUICE_OK;
  };
  return FakeStorage::submit(engine, c);
}

sluice_status open(sluice_storage* storage, const sluice_log_descriptor* d, sluice_log** log, sluice_error*) {
  FakeEngine& engine = engine_of(storage);
  std::lock_guard lock(engine.mutex);
  ++engine.open_handles;
  *log = reinterpret_cast<sluice_log*>(new FakeLog{&engine, id_of(*d)});
  return SLUICE_OK;
}

void close(sluice_log* log) {
  FakeLog* fake = &log_of(log);
  {
    std::lock_guard lock(fake->engine->mutex);
    --fake->engine->open_handles;
  }
  delete fake;
}

sluice_status append(sluice_log* handle, sluice_ticket* ticket, const sluice_append* request,
                     sluice_append_result* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("append", ticket);
  c->result = result;
  c->token = request->token;
  c->at = request->at;
  c->batches = request->batch_count;
  c->of_run = request->run;
  std::vector<StoredBatch> unit;
  for (uint32_t i = 0; i < request->batch_count; ++i) {
    const sluice_batch& b = request->batches[i];
    c->offsets.push_back(b.base_offset);
    unit.push_back(
        {std::string(reinterpret_cast<const char*>(b.data), b.size), b.base_offset, b.last_offset, b.max_timestamp});
  }
  c->run = [engine = fake.engine, id = fake.id, token = request->token, at = request->at, unit,
            result](bool effect_only) {
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    StoredLog& log = it->second;
    if (engine->kind == SLUICE_KIND_NATIVE) {
      for (size_t i = 0; i < unit.size(); ++i) {
        const int64_t first = log.end;
        log.end += unit[i].last_offset - unit[i].base_offset + 1;
        StoredBatch stored = unit[i];
        store_be<int64_t>(reinterpret_cast<uint8_t*>(stored.bytes.data()), first);
        stored.base_offset = first;
        stored.last_offset = log.end - 1;
        log.batches.push_back(std::move(stored));
        if (!effect_only) result->batches[i] = {first, log.end - 1, static_cast<uint32_t>(log.end - first), 0};
      }
      FakeStorage::wake(*engine, id);
      return SLUICE_OK;
    }
    sluice_status status = SLUICE_OK;
    if (token != log.token) {
      status = SLUICE_FENCED;
    } else if (at != log.end) {
      status = SLUICE_CONFLICT;
    } else {
      for (const StoredBatch& b : unit) log.batches.push_back(b);
      log.end = unit.back().last_offset + 1;
    }
    if (!effect_only) {
      result->end = log.end;
      result->token = log.token;
    }
    return status;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status read(sluice_log* handle, sluice_ticket* ticket, const sluice_read* request, sluice_read_result* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("read", ticket);
  c->result = result;
  c->at = request->offset;
  c->run = [engine = fake.engine, id = fake.id, offset = request->offset, limit = request->limit,
            most = request->max_bytes, result](bool effect_only) {
    if (effect_only) return SLUICE_OK;
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    const StoredLog& log = it->second;
    result->start = log.start;
    result->end = log.end;
    if (offset < log.start || offset > log.end) return SLUICE_OUT_OF_RANGE;
    struct Lease {
      FakeEngine* engine;
      std::vector<std::string> bytes;
      std::vector<sluice_slice> slices;
    };
    auto* lease = new Lease{engine, {}, {}};
    result->next = offset;
    uint64_t total = 0;
    for (const StoredBatch& b : log.batches) {
      if (b.last_offset < offset) continue;
      if (b.bytes.empty()) {
        result->skipped += static_cast<uint64_t>(b.last_offset - std::max(b.base_offset, offset) + 1);
        result->next = b.last_offset + 1;
        continue;
      }
      if (b.last_offset >= limit || (!lease->bytes.empty() && total + b.bytes.size() > most)) break;
      lease->bytes.push_back(b.bytes);
      total += b.bytes.size();
      result->next = b.last_offset + 1;
    }
    for (const std::string& bytes : lease->bytes) {
      lease->slices.push_back({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), 0, -1, 0});
    }
    result->slices = lease->slices.data();
    result->slice_count = static_cast<uint32_t>(lease->slices.size());
    result->pinned_bytes = total;
    result->owner = lease;
    ++engine->leases;
    result->release = [](void* owner) {
      auto* l = static_cast<Lease*>(owner);
      {
        std::lock_guard lock(l->engine->mutex);
        --l->engine->leases;
      }
      delete l;
    };
    return SLUICE_OK;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status bounds(sluice_log* handle, sluice_ticket* ticket, sluice_bounds* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("bounds", ticket);
  c->result = result;
  c->run = [engine = fake.engine, id = fake.id, result](bool effect_only) {
    if (effect_only) return SLUICE_OK;
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    result->start = it->second.start;
    result->end = it->second.end;
    result->token = it->second.token;
    result->bytes = SLUICE_UNKNOWN_NUMBER;
    result->newest_timestamp = SLUICE_UNKNOWN_NUMBER;
    result->largest_unit = engine->largest_unit;
    result->capabilities = engine->capabilities;
    return SLUICE_OK;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status locate(sluice_log* handle, sluice_ticket* ticket, int64_t timestamp, sluice_locate_result* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("locate", ticket);
  c->result = result;
  c->run = [engine = fake.engine, id = fake.id, timestamp, result](bool effect_only) {
    if (effect_only) return SLUICE_OK;
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    result->end = result->offset = it->second.end;
    for (const StoredBatch& b : it->second.batches) {
      if (b.max_timestamp < timestamp) continue;
      result->offset = b.base_offset;
      break;
    }
    return SLUICE_OK;
  };
  return FakeStorage::submit(*fake.engine, c);
}

/// The token's verdict for trim and save.
sluice_status may_write(FakeEngine& engine, const LogId& id, uint64_t token) {
  const auto it = engine.logs.find(id);
  if (it == engine.logs.end()) return SLUICE_NOT_FOUND;
  return it->second.token == token ? SLUICE_OK : SLUICE_FENCED;
}

sluice_status trim(sluice_log* handle, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  FakeLog& fake = log_of(handle);
  auto c = command("trim", ticket);
  c->token = token;
  c->at = offset;
  c->run = [engine = fake.engine, id = fake.id, token, offset](bool) {
    const sluice_status status = engine->kind == SLUICE_KIND_NATIVE ? SLUICE_OK : may_write(*engine, id, token);
    if (status == SLUICE_OK)
      engine->logs.at(id).start = std::clamp(offset, engine->logs.at(id).start, engine->logs.at(id).end);
    return status;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status fence(sluice_log* handle, sluice_ticket* ticket, uint64_t token, sluice_fence_result* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("fence", ticket);
  c->result = result;
  c->token = token;
  c->run = [engine = fake.engine, id = fake.id, token, result](bool effect_only) {
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    StoredLog& log = it->second;
    const bool ok = token > log.token || (token == log.token && !engine->equal_fence_refused);
    if (ok) log.token = token;
    if (!effect_only) {
      result->end = log.end;
      result->token = log.token;
    }
    return ok ? SLUICE_OK : SLUICE_FENCED;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status save(sluice_log* handle, sluice_ticket* ticket, const sluice_save* request) {
  FakeLog& fake = log_of(handle);
  auto c = command("save", ticket);
  c->token = request->token;
  c->run = [engine = fake.engine, id = fake.id, token = request->token,
            name = std::string(request->name, request->name_size),
            value = std::string(reinterpret_cast<const char*>(request->value), request->value_size)](bool) {
    const sluice_status status = may_write(*engine, id, token);
    if (status == SLUICE_OK && value.empty()) engine->logs.at(id).saved.erase(name);
    if (status == SLUICE_OK && !value.empty()) engine->logs.at(id).saved[name] = value;
    return status;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status load(sluice_log* handle, sluice_ticket* ticket, const sluice_load* request, sluice_load_result* result) {
  FakeLog& fake = log_of(handle);
  auto c = command("load", ticket);
  c->result = result;
  c->run = [engine = fake.engine, id = fake.id, name = std::string(request->name, request->name_size),
            result](bool effect_only) {
    if (effect_only) return SLUICE_OK;
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    const auto value = it->second.saved.find(name);
    if (value == it->second.saved.end()) return SLUICE_OK;
    auto* copy = new std::string(value->second);
    result->present = 1;
    result->value = reinterpret_cast<const uint8_t*>(copy->data());
    result->value_size = copy->size();
    result->owner = copy;
    result->release = [](void* owner) { delete static_cast<std::string*>(owner); };
    return SLUICE_OK;
  };
  return FakeStorage::submit(*fake.engine, c);
}

sluice_status watch(sluice_log* handle, sluice_ticket* ticket, int64_t offset) {
  FakeLog& fake = log_of(handle);
  if (fake.engine->kind != SLUICE_KIND_NATIVE) return SLUICE_UNSUPPORTED;
  auto c = command("watch", ticket);
  c->at = offset;
  c->run = [engine = fake.engine, id = fake.id, offset, ticket](bool) {
    const auto it = engine->logs.find(id);
    if (it == engine->logs.end()) return SLUICE_NOT_FOUND;
    if (it->second.end > offset) return SLUICE_OK;
    FakeStorage::watch(*engine, id, offset, ticket);
    return SLUICE_PENDING;
  };
  return FakeStorage::submit(*fake.engine, c);
}
void flush(sluice_storage*) {}

constexpr sluice_option kOptions[] = {
    {"engine", "Which engine of the test.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_REQUIRED, 0, 0},
};

constexpr sluice_storage_api kApi = {sizeof(sluice_storage_api),
                                     0,
                                     create,
                                     destroy,
                                     start,
                                     stop,
                                     health,
                                     bind,
                                     create_log,
                                     delete_log,
                                     list_logs,
                                     open,
                                     close,
                                     append,
                                     read,
                                     bounds,
                                     locate,
                                     trim,
                                     fence,
                                     save,
                                     load,
                                     watch,
                                     flush};

constexpr sluice_plugin kPlugin = {SLUICE_ABI_MAGIC,
                                   sizeof(sluice_plugin),
                                   SLUICE_ABI_MAJOR,
                                   SLUICE_ABI_MINOR,
                                   0,
                                   "fake",
                                   "1.0",
                                   "A storage that tests script.",
                                   ~uint64_t{0},
                                   SLUICE_KIND_LOG | SLUICE_KIND_NATIVE,
                                   1,
                                   kOptions,
                                   &kApi,
                                   nullptr};

}  // namespace

FakeEngine::FakeEngine() {
  static std::atomic<int> count{0};
  key_ = "engine-" + std::to_string(++count);
  std::lock_guard lock(g_mutex);
  g_engines[key_] = this;
}

FakeEngine::~FakeEngine() {
  for (std::thread& thread : threads_) thread.join();
  std::lock_guard lock(g_mutex);
  g_engines.erase(key_);
}

StorageOptions FakeEngine::options() {
  StorageOptions options;
  options.name = "fake";
  options.data_directory = "/nowhere";
  options.inputs["engine"] = key_;
  options.log = [](int, const std::string&) {};
  return options;
}

std::shared_ptr<const Library> FakeEngine::library() {
  return *Library::adopt(kPlugin);
}

std::shared_ptr<Storage> FakeEngine::start(StorageOptions options) {
  auto storage = Storage::create(library(), std::move(options));
  if (!storage || !(*storage)->start()) return nullptr;
  return *storage;
}

sluice_status FakeEngine::submit(std::shared_ptr<Command> command) {
  if (on_call) on_call(*command);
  std::unique_lock lock(mutex);
  if (refuse) {
    if (const std::optional<sluice_status> status = refuse(*command)) return *status;
  }
  if (mode == Mode::manual || (hold && hold(command->name))) {
    commands.push_back(std::move(command));
    return SLUICE_PENDING;
  }
  if (mode == Mode::thread) {
    threads_.emplace_back([this, command] {
      sluice_status status;
      {
        std::lock_guard inside(mutex);
        status = command->run(false);
        if (on_outcome) status = on_outcome(*command, status);
      }
      host->complete(host, command->ticket, status);
    });
    return SLUICE_PENDING;
  }
  sluice_status status = command->run(false);
  if (on_outcome) status = on_outcome(*command, status);
  if (mode == Mode::inline_final || status == SLUICE_PENDING) return status;
  host->complete(host, command->ticket, status);
  return SLUICE_PENDING;
}

std::vector<size_t> FakeEngine::waiting(const std::string& name) const {
  std::lock_guard lock(mutex);
  std::vector<size_t> found;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!commands[i]->replied && (name.empty() || commands[i]->name == name)) found.push_back(i);
  }
  return found;
}

sluice_status FakeEngine::carry_out(size_t index) {
  std::lock_guard lock(mutex);
  Command& c = *commands.at(index);
  const sluice_status status = c.run(c.replied);
  c.outcome = status;
  return status;
}

void FakeEngine::reply(size_t index, std::optional<sluice_status> instead) {
  sluice_ticket* ticket = nullptr;
  sluice_status status = SLUICE_OK;
  {
    std::lock_guard lock(mutex);
    Command& c = *commands.at(index);
    c.replied = true;
    ticket = c.ticket;
    status = instead ? *instead : c.outcome.value();
  }
  host->complete(host, ticket, status);
}

void FakeEngine::reply_to_all(sluice_status status) {
  for (const size_t index : waiting()) reply(index, status);
  std::lock_guard lock(mutex);
  for (const Watch& watch : watches_) host->complete(host, watch.ticket, SLUICE_UNAVAILABLE);
  watches_.clear();
}

void FakeEngine::wake_watches(const LogId& id) {
  const int64_t end = logs.at(id).end;
  std::erase_if(watches_, [&](const Watch& watch) {
    if (watch.id != id || watch.offset >= end) return false;
    host->complete(host, watch.ticket, SLUICE_OK);
    return true;
  });
}

void FakeEngine::write_foreign(const LogId& id, StoredBatch batch) {
  std::lock_guard lock(mutex);
  StoredLog& log = logs.at(id);
  const int64_t count = batch.last_offset - batch.base_offset + 1;
  batch.base_offset = log.end;
  if (!batch.bytes.empty()) store_be<int64_t>(reinterpret_cast<uint8_t*>(batch.bytes.data()), log.end);
  log.end += count;
  batch.last_offset = log.end - 1;
  log.batches.push_back(std::move(batch));
  wake_watches(id);
}

std::string make_batch(int64_t base, int32_t records, int64_t timestamp, size_t payload) {
  std::string bytes(61 + payload, 'x');
  auto* at = reinterpret_cast<uint8_t*>(bytes.data());
  std::memset(at, 0, 61);
  store_be<int64_t>(at, base);
  store_be<int32_t>(at + 8, static_cast<int32_t>(bytes.size() - 12));
  at[16] = 2;
  store_be<int32_t>(at + 23, std::max(records - 1, 0));
  store_be<int64_t>(at + 27, timestamp);
  store_be<int64_t>(at + 35, timestamp);
  store_be<int32_t>(at + 57, records);
  store_be<uint32_t>(at + 17, crc32c({at + 21, bytes.size() - 21}));
  return bytes;
}

}  // namespace sluice::host::testing
