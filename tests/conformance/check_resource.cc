// SPDX-License-Identifier: Apache-2.0
// What handles cost.
#include <dirent.h>
#include <malloc.h>

#include "conformance/check.hpp"

namespace sluice::conformance {
namespace {

size_t entries_of(const char* folder) {
  size_t count = 0;
  DIR* open = opendir(folder);
  require(open != nullptr, "{} cannot be read", folder);
  while (readdir(open) != nullptr) ++count;
  closedir(open);
  return count;
}

constexpr size_t kHandles = 10'000;

void handles(Context& context) {
  Storage& storage = context.storage();
  const Descriptor descriptor = context.descriptor();
  storage.must_create(descriptor);
  std::vector<sluice_log*> open(kHandles);
  LifecycleError error;
  Call call("open", context.options().call_timeout_ms);
  const sluice_log_descriptor* wanted = descriptor.in(call);
  const size_t descriptors_before = entries_of("/proc/self/fd");
  const size_t threads_before = entries_of("/proc/self/task");
  const size_t bytes_before = mallinfo2().uordblks;
  for (sluice_log*& log : open) {
    const sluice_status status = storage.api().open(storage.raw(), wanted, &log, &error.error);
    require(status == SLUICE_OK, "open answered {}", status_text(status));
  }
  const size_t bytes = mallinfo2().uordblks - bytes_before;
  const size_t descriptors = entries_of("/proc/self/fd");
  const size_t threads = entries_of("/proc/self/task");
  for (sluice_log* log : open) storage.api().close(log);
  require(descriptors <= descriptors_before, "{} handles hold {} file descriptors", kHandles,
          descriptors - descriptors_before);
  require(threads <= threads_before, "{} handles hold {} threads", kHandles, threads - threads_before);
  // Sanitizers have an allocator of their own, of which mallinfo2 knows nothing.
  require(bytes < kHandles * 1024, "{} handles take {} bytes, {} each", kHandles, bytes, bytes / kHandles);
}

void logs(Context& context) {
  Storage& storage = context.storage();
  const size_t descriptors_before = entries_of("/proc/self/fd");
  const size_t threads_before = entries_of("/proc/self/task");
  std::vector<std::unique_ptr<Log>> open;
  for (int i = 0; i < 200; ++i) {
    const Descriptor descriptor = context.descriptor();
    storage.must_create(descriptor);
    open.push_back(std::make_unique<Log>(storage, descriptor));
    open.back()->must_append(0, 0, make_unit(0, 1));
    const ReadAnswer answer = open.back()->read(0);
    expect_status(SLUICE_OK, answer, "read");
  }
  const size_t threads = entries_of("/proc/self/task");
  require(threads <= threads_before + 8, "200 logs in use took {} threads more", threads - threads_before);
  const size_t descriptors = entries_of("/proc/self/fd");
  require(descriptors <= descriptors_before + 3 * 200, "200 logs in use took {} descriptors more",
          descriptors - descriptors_before);
}

constexpr Check kChecks[] = {
    {"open.cost", "B13: A handle: no file descriptor, no thread, under 1 KiB.", &handles},
    {"logs.cost", "B13: No thread per log; a bounded number of descriptors.", &logs},
};

}  // namespace

std::span<const Check> resource_checks() {
  return kChecks;
}

}  // namespace sluice::conformance
