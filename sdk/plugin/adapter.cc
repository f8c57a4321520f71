// SPDX-License-Identifier: Apache-2.0
// The edge between the C table and the C++ classes. Each function checks its request, calls the method, stops
// exceptions, and writes the error of a final answer. After a method took its Pending, the ticket is not touched here:
// it may be complete, and gone, before the method returns.
#include "plugin/adapter.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "plugin/check.hpp"

namespace sluice::plugin {
namespace {

StorageAdapter& adapter(sluice_storage* storage) {
  return *reinterpret_cast<StorageAdapter*>(storage);
}
LogAdapter& adapter(sluice_log* log) {
  return *reinterpret_cast<LogAdapter*>(log);
}

// What the exception in flight says, as INTERNAL. Throws nothing: where even the text cannot be allocated, there is
// none.
Status caught(const char* what) noexcept {
  try {
    return Status(StatusCode::internal, what);
  } catch (...) {
    return Status(StatusCode::internal);
  }
}

template <class Function>
Status guarded(Function&& function) noexcept {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return caught("out of memory");
  } catch (const std::exception& error) {
    return caught(error.what());
  } catch (...) {
    return caught("an exception that is no std::exception");
  }
}

sluice_status finish(const Status& status, sluice_error* error) noexcept {
  if (status.code() == StatusCode::pending) {
    write_error(error, caught("the adapter answered pending and did not take the call"));
    return SLUICE_INTERNAL;
  }
  if (!status.ok()) write_error(error, status);
  return static_cast<sluice_status>(status.code());
}

template <class Function>
sluice_status lifecycle(sluice_error* error, Function&& function) noexcept {
  return finish(guarded(function), error);
}

template <class Function>
sluice_status asynchronous(const sluice_host* host, sluice_ticket* ticket, Function&& function) noexcept {
  Call call(host, ticket);
  const Status status = guarded([&] { return function(call); });
  if (call.deferred()) return SLUICE_PENDING;
  return finish(status, ticket->error);
}

void copy_text(const std::string& text, char* target, size_t capacity) {
  const size_t size = std::min(text.size(), capacity - 1);
  std::memcpy(target, text.data(), size);
  target[size] = '\0';
}

void report(const Condition& from, sluice_condition& to) {
  set(to, &sluice_condition::kind, from.kind);
  set(to, &sluice_condition::capabilities, from.capabilities);
  set(to, &sluice_condition::largest_unit, from.largest_unit);
  set(to, &sluice_condition::preferred_unit, from.preferred_unit);
  set(to, &sluice_condition::appends_in_flight, from.appends_in_flight);
  if (to.size >= offsetof(sluice_condition, server) + sizeof to.server)
    copy_text(from.server, to.server, sizeof to.server);
  if (to.size >= offsetof(sluice_condition, advice) + sizeof to.advice)
    copy_text(from.advice, to.advice, sizeof to.advice);
}

}  // namespace

LogDescriptor LogDescriptor::copy_of(const sluice_log_descriptor& descriptor) {
  LogDescriptor copy;
  copy.id = log_id(descriptor);
  copy.flags = descriptor.flags;
  copy.start_offset = descriptor.start_offset;
  copy.topic = descriptor.topic != nullptr ? descriptor.topic : "";
  std::memcpy(copy.topic_id.bytes.data(), descriptor.topic_id, sizeof descriptor.topic_id);
  copy.partition = descriptor.partition;
  copy.partition_count = descriptor.partition_count;
  for (uint32_t i = 0; i < descriptor.setting_count; ++i) {
    copy.settings.emplace_back(descriptor.settings[i].name, descriptor.settings[i].value);
  }
  return copy;
}

bool LogDescriptor::same_log(const LogDescriptor& other) const {
  return id == other.id && flags == other.flags && start_offset == other.start_offset && topic == other.topic &&
         topic_id == other.topic_id && partition == other.partition;
}

Uuid log_id(const sluice_log_descriptor& descriptor) {
  Uuid id;
  std::memcpy(id.bytes.data(), descriptor.id, sizeof descriptor.id);
  return id;
}

Status LogAdapter::fence(Call&, uint64_t, sluice_fence_result&) {
  return Status(StatusCode::unsupported, "no fences here");
}
Status LogAdapter::save(Call&, const sluice_save&) {
  return Status(StatusCode::unsupported, "no saved values here");
}
Status LogAdapter::load(Call&, const sluice_load&, sluice_load_result&) {
  return Status(StatusCode::unsupported, "no saved values here");
}
Status LogAdapter::watch(Call&, int64_t) {
  return Status(StatusCode::unsupported, "nobody else writes to this storage");
}
Status StorageAdapter::bind(int64_t, bool, Uuid&) {
  return Status(StatusCode::unsupported, "not tied to clusters");
}

sluice_status create_storage(const sluice_create* request, sluice_storage** storage, sluice_error* error,
                             CreateFunction function, const sluice_option* options, uint32_t option_count) noexcept {
  *storage = nullptr;
  return lifecycle(error, [&]() -> Status {
    if (request->value_count != option_count)
      return Status(StatusCode::invalid, "as many values as options are needed");
    auto made = function(CreateRequest{Host(request->host, request->name), request->data_directory,
                                       Options({options, option_count}, {request->values, request->value_count})});
    if (!made) return made.error();
    *storage = reinterpret_cast<sluice_storage*>(made->release());
    return {};
  });
}

void Edge::destroy(sluice_storage* storage) {
  if (storage != nullptr) delete &adapter(storage);
}

sluice_status Edge::start(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition,
                          sluice_error* error) {
  return lifecycle(error, [&] {
    Condition now;
    Status status = adapter(storage).start(deadline_ns, now);
    if (status.ok()) report(now, *condition);
    return status;
  });
}

sluice_status Edge::stop(sluice_storage* storage, int64_t deadline_ns, sluice_error* error) {
  return lifecycle(error, [&] { return adapter(storage).stop(deadline_ns); });
}

sluice_status Edge::health(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition,
                           sluice_error* error) {
  return lifecycle(error, [&] {
    Condition now;
    Status status = adapter(storage).health(deadline_ns, now);
    if (status.ok()) report(now, *condition);
    return status;
  });
}

sluice_status Edge::bind(sluice_storage* storage, int64_t deadline_ns, sluice_bind* bind, sluice_error* error) {
  return lifecycle(error, [&]() -> Status {
    if ((bind->flags & ~SLUICE_BIND_REPLACE) != 0) return Status(StatusCode::invalid, "unknown flag");
    Uuid id;
    std::memcpy(id.bytes.data(), bind->cluster_id, sizeof bind->cluster_id);
    Status status = adapter(storage).bind(deadline_ns, (bind->flags & SLUICE_BIND_REPLACE) != 0, id);
    if (status.ok()) std::memcpy(bind->cluster_id, id.bytes.data(), sizeof bind->cluster_id);
    return status;
  });
}

sluice_status Edge::create_log(sluice_storage* storage, sluice_ticket* ticket,
                               const sluice_log_descriptor* descriptor) {
  return asynchronous(adapter(storage).host().table(), ticket, [&](Call& call) {
    Status checked = check(*descriptor);
    return checked.ok() ? adapter(storage).create_log(call, *descriptor) : checked;
  });
}

sluice_status Edge::delete_log(sluice_storage* storage, sluice_ticket* ticket,
                               const sluice_log_descriptor* descriptor) {
  return asynchronous(adapter(storage).host().table(), ticket, [&](Call& call) {
    Status checked = check(*descriptor);
    return checked.ok() ? adapter(storage).delete_log(call, *descriptor) : checked;
  });
}

sluice_status Edge::list_logs(sluice_storage* storage, sluice_ticket* ticket, sluice_log_list* list) {
  return asynchronous(adapter(storage).host().table(), ticket,
                      [&](Call& call) { return adapter(storage).list_logs(call, *list); });
}

sluice_status Edge::open(sluice_storage* storage, const sluice_log_descriptor* descriptor, sluice_log** log,
                         sluice_error* error) {
  *log = nullptr;
  return lifecycle(error, [&]() -> Status {
    if (Status checked = check(*descriptor); !checked.ok()) return checked;
    auto opened = adapter(storage).open(*descriptor);
    if (!opened) return opened.error();
    (*opened)->host_ = adapter(storage).host().table();
    *log = reinterpret_cast<sluice_log*>(opened->release());
    return {};
  });
}

void Edge::close(sluice_log* log) {
  if (log != nullptr) delete &adapter(log);
}

sluice_status Edge::append(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                           sluice_append_result* result) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) {
    Status checked = check(*request);
    return checked.ok() ? adapter(log).append(call, *request, *result) : checked;
  });
}

sluice_status Edge::read(sluice_log* log, sluice_ticket* ticket, const sluice_read* request,
                         sluice_read_result* result) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) {
    if (request->flags != 0) return Status(StatusCode::invalid, "unknown flag");
    return adapter(log).read(call, *request, *result);
  });
}

sluice_status Edge::bounds(sluice_log* log, sluice_ticket* ticket, sluice_bounds* result) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) { return adapter(log).bounds(call, *result); });
}

sluice_status Edge::locate(sluice_log* log, sluice_ticket* ticket, int64_t timestamp, sluice_locate_result* result) {
  return asynchronous(adapter(log).host_, ticket,
                      [&](Call& call) { return adapter(log).locate(call, timestamp, *result); });
}

sluice_status Edge::trim(sluice_log* log, sluice_ticket* ticket, uint64_t token, int64_t offset) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) { return adapter(log).trim(call, token, offset); });
}

sluice_status Edge::fence(sluice_log* log, sluice_ticket* ticket, uint64_t token, sluice_fence_result* result) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) { return adapter(log).fence(call, token, *result); });
}

sluice_status Edge::save(sluice_log* log, sluice_ticket* ticket, const sluice_save* request) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) {
    Status checked = check(*request);
    return checked.ok() ? adapter(log).save(call, *request) : checked;
  });
}

sluice_status Edge::load(sluice_log* log, sluice_ticket* ticket, const sluice_load* request,
                         sluice_load_result* result) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) {
    Status checked = check_name(request->name, request->name_size);
    return checked.ok() ? adapter(log).load(call, *request, *result) : checked;
  });
}

sluice_status Edge::watch(sluice_log* log, sluice_ticket* ticket, int64_t offset) {
  return asynchronous(adapter(log).host_, ticket, [&](Call& call) { return adapter(log).watch(call, offset); });
}

void Edge::flush(sluice_storage* storage) {
  static_cast<void>(guarded([&] {
    adapter(storage).flush();
    return Status();
  }));
}

}  // namespace sluice::plugin
