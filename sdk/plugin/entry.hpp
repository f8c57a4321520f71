// SPDX-License-Identifier: Apache-2.0
// The one exported symbol of a C++ adapter. Included by plugin/adapter.hpp.
#pragma once

#include "plugin/adapter.hpp"

namespace sluice::plugin {

// The functions behind the table, for the macro below; see adapter.cc.
struct Edge {
  static void destroy(sluice_storage* storage);
  static sluice_status start(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition,
                             sluice_error* error);
  static sluice_status stop(sluice_storage* storage, int64_t deadline_ns, sluice_error* error);
  static sluice_status health(sluice_storage* storage, int64_t deadline_ns, sluice_condition* condition,
                              sluice_error* error);
  static sluice_status bind(sluice_storage* storage, int64_t deadline_ns, sluice_bind* bind, sluice_error* error);
  static sluice_status create_log(sluice_storage* storage, sluice_ticket* ticket,
                                  const sluice_log_descriptor* descriptor);
  static sluice_status delete_log(sluice_storage* storage, sluice_ticket* ticket,
                                  const sluice_log_descriptor* descriptor);
  static sluice_status list_logs(sluice_storage* storage, sluice_ticket* ticket, sluice_log_list* list);
  static sluice_status open(sluice_storage* storage, const sluice_log_descriptor* descriptor, sluice_log** log,
                            sluice_error* error);
  static void close(sluice_log* log);
  static sluice_status append(sluice_log* log, sluice_ticket* ticket, const sluice_append* request,
                              sluice_append_result* result);
  static sluice_status read(sluice_log* log, sluice_ticket* ticket, const sluice_read* request,
                            sluice_read_result* result);
  static sluice_status bounds(sluice_log* log, sluice_ticket* ticket, sluice_bounds* result);
  static sluice_status locate(sluice_log* log, sluice_ticket* ticket, int64_t timestamp, sluice_locate_result* result);
  static sluice_status trim(sluice_log* log, sluice_ticket* ticket, uint64_t token, int64_t offset);
  static sluice_status fence(sluice_log* log, sluice_ticket* ticket, uint64_t token, sluice_fence_result* result);
  static sluice_status save(sluice_log* log, sluice_ticket* ticket, const sluice_save* request);
  static sluice_status load(sluice_log* log, sluice_ticket* ticket, const sluice_load* request,
                            sluice_load_result* result);
  static sluice_status watch(sluice_log* log, sluice_ticket* ticket, int64_t offset);
  static void flush(sluice_storage* storage);
};

constexpr sluice_storage_api make_api(sluice_status (*create)(const sluice_create*, sluice_storage**, sluice_error*)) {
  return {sizeof(sluice_storage_api),
          0,
          create,
          &Edge::destroy,
          &Edge::start,
          &Edge::stop,
          &Edge::health,
          &Edge::bind,
          &Edge::create_log,
          &Edge::delete_log,
          &Edge::list_logs,
          &Edge::open,
          &Edge::close,
          &Edge::append,
          &Edge::read,
          &Edge::bounds,
          &Edge::locate,
          &Edge::trim,
          &Edge::fence,
          &Edge::save,
          &Edge::load,
          &Edge::watch,
          &Edge::flush};
}

}  // namespace sluice::plugin

/// Defines sluice_plugin_entry. `info` is a constexpr sluice::plugin::PluginInfo with static storage, `create_function`
/// a sluice::plugin::CreateFunction. Once per adapter, outside all namespaces.
#define SLUICE_PLUGIN(info, create_function)                                                                 \
  static sluice_status sluice_plugin_create(const sluice_create* request, sluice_storage** storage,          \
                                            sluice_error* error) {                                           \
    return ::sluice::plugin::create_storage(request, storage, error, create_function, (info).options,        \
                                            (info).option_count);                                            \
  }                                                                                                          \
  static constexpr sluice_storage_api sluice_plugin_api = ::sluice::plugin::make_api(&sluice_plugin_create); \
  extern "C" SLUICE_PLUGIN_EXPORT constinit const sluice_plugin sluice_plugin_entry = {                      \
      SLUICE_ABI_MAGIC,    sizeof(sluice_plugin),                                                            \
      SLUICE_ABI_MAJOR,    SLUICE_ABI_MINOR,                                                                 \
      SLUICE_ABI_MINOR,    (info).name,                                                                      \
      (info).version,      (info).description,                                                               \
      (info).capabilities, (info).kinds,                                                                     \
      (info).option_count, (info).options,                                                                   \
      &sluice_plugin_api,  nullptr}
