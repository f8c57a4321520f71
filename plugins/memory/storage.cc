// SPDX-License-Identifier: Apache-2.0
#include "storage.hpp"

#include <exception>
#include <string>
#include <utility>

namespace sluice::memory {
namespace {

Status stopped() {
  return Status(StatusCode::unavailable, "the storage is not started");
}

template <class Function>
Status caught(Function& function) noexcept {
  try {
    return function();
  } catch (const std::exception& error) {
    try {
      return Status(StatusCode::internal, error.what());
    } catch (...) {
      return Status(StatusCode::internal);
    }
  }
}

}  // namespace

template <class Function>
Status Core::later(plugin::Call& call, Function function) {
  auto pending = std::make_shared<plugin::Pending>(call.defer());
  const bool posted =
      worker.post([pending, function = std::move(function)]() mutable { pending->complete(caught(function)); });
  if (!posted) pending->complete(started ? Status(StatusCode::busy, "too many large calls wait") : stopped());
  return plugin::pending();
}

Status Logs::create(const sluice_log_descriptor& descriptor) {
  auto wanted = plugin::LogDescriptor::copy_of(descriptor);
  const std::lock_guard lock(mutex_);
  const auto found = logs_.find(wanted.id);
  if (found != logs_.end()) {
    if (found->second->descriptor().same_log(wanted)) return {};
    return Status(StatusCode::exists, "the id is taken by a log with another descriptor");
  }
  if (!pool_->reserve(kLogBytes)) return Status(StatusCode::no_space, "max_bytes is reached");
  Reservation counted(pool_, kLogBytes);
  const Uuid id = wanted.id;
  logs_.emplace(id, std::make_shared<MemoryLog>(std::move(wanted), pool_, std::move(counted)));
  return {};
}

std::shared_ptr<MemoryLog> Logs::remove(const Uuid& id) {
  std::shared_ptr<MemoryLog> removed;
  {
    const std::lock_guard lock(mutex_);
    const auto found = logs_.find(id);
    if (found == logs_.end()) return nullptr;
    removed = std::move(found->second);
    logs_.erase(found);
  }
  removed->remove();
  return removed;
}

std::shared_ptr<MemoryLog> Logs::find(const Uuid& id) {
  const std::lock_guard lock(mutex_);
  const auto found = logs_.find(id);
  return found != logs_.end() ? found->second : nullptr;
}

void Logs::list(plugin::LogList& list) {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, log] : logs_) list.add(id, log->descriptor().topic, log->descriptor().partition);
}

bool Logs::empty() {
  const std::lock_guard lock(mutex_);
  return logs_.empty();
}

Storage::Storage(plugin::Host host, uint64_t max_bytes)
    : StorageAdapter(std::move(host)), core_(std::make_shared<Core>(max_bytes)) {}

Status Storage::start(int64_t deadline_ns, plugin::Condition& condition) {
  core_->worker.start();
  core_->started = true;
  return health(deadline_ns, condition);
}

Status Storage::stop(int64_t) {
  core_->started = false;
  core_->worker.stop();
  return {};
}

Status Storage::health(int64_t, plugin::Condition& condition) {
  if (!core_->started) return stopped();
  condition.largest_unit = core_->logs.pool()->max_bytes();
  condition.server = "memory of this process";
  condition.advice = "nothing survives the process; use the disk adapter for what must";
  return {};
}

Status Storage::bind(int64_t, bool replace, Uuid& cluster_id) {
  if (!core_->started) return stopped();
  if (replace && !core_->logs.empty()) return Status(StatusCode::exists, "the storage holds logs");
  if (replace || !cluster_) cluster_ = cluster_id;
  cluster_id = *cluster_;
  return {};
}

Status Storage::create_log(plugin::Call&, const sluice_log_descriptor& descriptor) {
  return core_->started ? core_->logs.create(descriptor) : stopped();
}

Status Storage::delete_log(plugin::Call& call, const sluice_log_descriptor& descriptor) {
  if (!core_->started) return stopped();
  auto removed = core_->logs.remove(plugin::log_id(descriptor));
  if (removed == nullptr) return {};
  // Freeing it may take long: on the worker, whose reference is then the last but for calls that are under way.
  return core_->later(call, [removed = std::move(removed)]() mutable {
    removed.reset();
    return Status();
  });
}

Status Storage::list_logs(plugin::Call& call, sluice_log_list& list) {
  if (!core_->started) return stopped();
  return core_->later(call, [core = core_, &list] {
    auto made = std::make_unique<plugin::LogList>();
    core->logs.list(*made);
    plugin::LogList::lend(std::move(made), list);
    return Status();
  });
}

Result<std::unique_ptr<plugin::LogAdapter>> Storage::open(const sluice_log_descriptor& descriptor) {
  return std::make_unique<Handle>(core_, plugin::log_id(descriptor));
}

Result<std::shared_ptr<MemoryLog>> Handle::find() {
  if (!core_->started) return fail(stopped());
  const std::lock_guard lock(mutex_);
  if (log_ == nullptr) log_ = core_->logs.find(id_);
  if (log_ == nullptr) return fail(StatusCode::not_found, "no such log");
  return log_;
}

Status Handle::append(plugin::Call& call, const sluice_append& request, sluice_append_result& result) {
  auto log = find();
  if (!log) return log.error();
  if (request.bytes <= kMaxInlineBytes) {
    if (auto status = (*log)->append_now(request, result)) return *status;
  }
  return core_->later(call, [log = *log, &request, &result] { return log->append_later(request, result); });
}

Status Handle::read(plugin::Call&, const sluice_read& request, sluice_read_result& result) {
  auto log = find();
  return log ? (*log)->read(request, result) : log.error();
}

Status Handle::bounds(plugin::Call&, sluice_bounds& result) {
  auto log = find();
  return log ? (*log)->bounds(result) : log.error();
}

Status Handle::locate(plugin::Call&, int64_t timestamp, sluice_locate_result& result) {
  auto log = find();
  return log ? (*log)->locate(timestamp, result) : log.error();
}

Status Handle::trim(plugin::Call& call, uint64_t token, int64_t offset) {
  auto log = find();
  if (!log) return log.error();
  bool more = false;
  Status status = (*log)->trim(token, offset, more);
  if (!status.ok() || !more) return status;
  return core_->later(call, [log = *log] {
    while (log->trim_step()) {
    }
    return Status();
  });
}

Status Handle::fence(plugin::Call&, uint64_t token, sluice_fence_result& result) {
  auto log = find();
  return log ? (*log)->fence(token, result) : log.error();
}

Status Handle::save(plugin::Call& call, const sluice_save& request) {
  auto log = find();
  if (!log) return log.error();
  auto save = [log = *log, core = core_, &request] {
    std::string name(request.name, request.name_size);
    if (request.value_size == 0) return log->save(request.token, std::move(name), nullptr);
    const auto& pool = core->logs.pool();
    if (!pool->reserve(request.value_size)) return Status(StatusCode::no_space, "max_bytes is reached");
    Reservation counted(pool, request.value_size);
    auto value = std::make_shared<Value>(
        Value{std::vector<uint8_t>(request.value, request.value + request.value_size), std::move(counted)});
    return log->save(request.token, std::move(name), std::move(value));
  };
  return request.value_size <= kMaxInlineBytes ? save() : core_->later(call, std::move(save));
}

Status Handle::load(plugin::Call&, const sluice_load& request, sluice_load_result& result) {
  auto log = find();
  return log ? (*log)->load(std::string(request.name, request.name_size), result) : log.error();
}

}  // namespace sluice::memory
