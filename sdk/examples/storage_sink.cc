// SPDX-License-Identifier: Apache-2.0
// An event bus that delivers to a log on the disk, and a source that reads back what was written there.
#include "sluice/storage_sink.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "sluice/bus.hpp"
#include "sluice/storage_source.hpp"

namespace {

constexpr int kEvents = 100;

int failed(const sluice::Status& status) {
  std::printf("%s\n", status.describe().c_str());
  return 1;
}

int write(const std::shared_ptr<sluice::StorageHost>& storage, const std::string& state) {
  auto sink = sluice::StorageSink::make(storage, {.log = "visits", .state_directory = state});
  if (!sink) return failed(sink.error());
  sluice::BusOptions options;
  options.name = "visits";
  options.sink = std::shared_ptr<sluice::Sink>(std::move(*sink));
  auto bus = sluice::Bus::create(std::move(options));
  if (!bus) return failed(bus.error());
  for (int i = 0; i < kEvents; ++i) {
    const std::string visit = "visit " + std::to_string(i);
    const sluice::Outcome outcome = (*bus)->ingest({.key = sluice::as_bytes("ann"), .value = sluice::as_bytes(visit)});
    if (outcome != sluice::Outcome::queued) return failed(sluice::describe(outcome));
  }
  // Delivers what is queued, and closes the sink.
  if (const sluice::Status status = (*bus)->shutdown(10'000); !status) return failed(status);
  const sluice::BusStats stats = (*bus)->stats();
  std::printf("delivered %llu\n", static_cast<unsigned long long>(stats.delivered));
  return stats.delivered == kEvents ? 0 : 1;
}

int read(const std::shared_ptr<sluice::StorageHost>& storage, const std::string& state) {
  auto source = sluice::make_log_source(storage, {.log = "visits", .state_directory = state});
  if (!source) return failed(source.error());
  std::promise<sluice::Result<sluice::Page>> answer;
  (*source)->read({.from = 0}, [&](sluice::Result<sluice::Page> page) { answer.set_value(std::move(page)); });
  const auto page = answer.get_future().get();
  if (!page) return failed(page.error());
  std::printf("read back %zu, the first is \"%s\"\n", page->records.size(),
              std::string(sluice::as_text(*page->records.at(0).value)).c_str());
  return page->records.size() == kEvents ? 0 : 1;
}

int run(const std::string& directory) {
  auto storage = sluice::StorageHost::open({.name = "store", .library = "disk", .data_directory = directory});
  if (!storage) return failed(storage.error());
  const std::string state = directory + "/state";
  const int written = write(*storage, state);
  return written != 0 ? written : read(*storage, state);
}

}  // namespace

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "sluice-example-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  const int code = run(directory);
  std::filesystem::remove_all(directory);
  return code;
}
