// SPDX-License-Identifier: Apache-2.0
// An adapter in C++ that throws out of create, or takes its time in start and stop, as its one option says. What makes
// it slow is a file: it waits until that is gone.
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "sluice/storage_abi.h"

struct sluice_storage {
  std::string mode;
  std::string file;
};

namespace {

void wait_while_there(const std::string& file) {
  while (::access(file.c_str(), F_OK) == 0) ::usleep(1000);
}

sluice_status create(const sluice_create* request, sluice_storage** storage, sluice_error*) {
  const std::string mode = request->values[0].text;
  if (mode == "throw in create") throw std::runtime_error("thrown in create");
  *storage = new sluice_storage{mode, request->values[1].present != 0 ? request->values[1].text : ""};
  return SLUICE_OK;
}
void destroy(sluice_storage* storage) {
  delete storage;
}
sluice_status start(sluice_storage* storage, int64_t, sluice_condition* condition, sluice_error*) {
  if (storage->mode == "throw in start") throw 1;
  if (storage->mode == "slow start") wait_while_there(storage->file);
  condition->kind = SLUICE_KIND_LOG;
  return SLUICE_OK;
}
sluice_status stop(sluice_storage* storage, int64_t, sluice_error*) {
  if (storage->mode == "slow stop") wait_while_there(storage->file);
  return SLUICE_OK;
}
sluice_status bind(sluice_storage*, int64_t, sluice_bind*, sluice_error*) {
  return SLUICE_UNSUPPORTED;
}

template <class... Args>
sluice_status unsupported(Args...) {
  return SLUICE_UNSUPPORTED;
}
template <class T>
void ignore(T*) {}

const sluice_option kOptions[] = {
    {"mode", "What goes wrong.", nullptr, nullptr, SLUICE_OPTION_TEXT, SLUICE_OPTION_REQUIRED, 0, 0},
    {"file", "Slow until this file is gone.", nullptr, nullptr, SLUICE_OPTION_PATH, 0, 0, 0},
};

const sluice_storage_api kApi = {sizeof(sluice_storage_api),
                                 0,
                                 create,
                                 destroy,
                                 start,
                                 stop,
                                 start,
                                 bind,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 ignore<sluice_log>,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 unsupported,
                                 ignore<sluice_storage>};

}  // namespace

extern "C" const sluice_plugin sluice_plugin_entry = {SLUICE_ABI_MAGIC,
                                                      sizeof(sluice_plugin),
                                                      SLUICE_ABI_MAJOR,
                                                      SLUICE_ABI_MINOR,
                                                      0,
                                                      "throwing",
                                                      "0.2",
                                                      "Throws.",
                                                      0,
                                                      SLUICE_KIND_LOG,
                                                      2,
                                                      kOptions,
                                                      &kApi,
                                                      nullptr};
