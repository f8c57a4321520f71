// SPDX-License-Identifier: Apache-2.0
#include "host/services.hpp"

#include <mutex>
#include <utility>
#include <vector>

#include "base/crc32c.hpp"
#include "host/storage_impl.hpp"

namespace sluice::host {
namespace {

thread_local int g_depth = 0;

struct Inside {
  Inside() { ++g_depth; }
  ~Inside() { --g_depth; }
};

/// `abi` comes first, so that the functions find their way back.
struct Services {
  sluice_host abi;
  std::shared_ptr<Voice> voice;
};

void complete(const sluice_host*, sluice_ticket* ticket, sluice_status status) {
  const Inside inside;
  Call::complete(ticket, status);
}

void log(const sluice_host* host, const char*, int32_t level, const char* text) {
  const Inside inside;
  if (text == nullptr) return;
  reinterpret_cast<const Services*>(host)->voice->say(level, text);
}

uint32_t crc32c(uint32_t crc, const void* data, uint64_t size) {
  return crc32c_extend(crc, {static_cast<const uint8_t*>(data), size});
}

}  // namespace

const sluice_host* make_host_services(std::shared_ptr<Voice> voice) {
  auto* services = new Services{};
  services->voice = std::move(voice);
  services->abi.size = sizeof(sluice_host);
  services->abi.major = SLUICE_ABI_MAJOR;
  services->abi.minor = SLUICE_ABI_MINOR;
  services->abi.complete = complete;
  services->abi.log = log;
  services->abi.crc32c = crc32c;
  static std::mutex mutex;
  static auto* all = new std::vector<const Services*>();  // never freed, and findable by whoever looks for leaks
  std::lock_guard lock(mutex);
  all->push_back(services);
  return &services->abi;
}

bool inside_host_service() {
  return g_depth > 0;
}

}  // namespace sluice::host
