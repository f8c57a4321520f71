// SPDX-License-Identifier: Apache-2.0
// Reads a log through the merging consumer, in two parts: the second goes on from the cursor of the first.
#include "sluice/storage_source.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "sluice/consumer.hpp"
#include "sluice/log_writer.hpp"

namespace {

int failed(const sluice::Status& status) {
  std::printf("%s\n", status.describe().c_str());
  return 1;
}

int run(const std::string& directory) {
  auto storage = sluice::StorageHost::open({.name = "store", .library = "disk", .data_directory = directory});
  if (!storage) return failed(storage.error());
  auto writer = sluice::LogWriter::open(*storage, {.log = "orders", .state_directory = directory + "/state"});
  if (!writer) return failed(writer.error());
  for (int i = 0; i < 10; ++i) {
    const std::string value = "order " + std::to_string(i);
    sluice::Record record;
    record.value = sluice::as_bytes(value);
    if (const auto accepted = (*writer)->append({&record, 1}, [](const auto&) {}); !accepted) return failed(accepted);
  }
  if (const sluice::Status flushed = (*writer)->flush(10'000); !flushed) return failed(flushed);

  sluice::Cursor cursor;
  size_t seen = 0;
  for (int part = 0; part < 2; ++part) {
    auto source = sluice::make_log_source(*storage, {.log = "orders", .state_directory = directory + "/state"});
    if (!source) return failed(source.error());
    std::vector<std::shared_ptr<sluice::Source>> sources;
    sources.push_back(std::move(*source));
    auto consumer = sluice::MergingConsumer::create({}, std::move(sources), cursor);
    if (!consumer) return failed(consumer.error());
    sluice::PollRequest five;
    five.max_records = five.min_records = 5;
    five.wait_ms = 10'000;
    const auto response = (*consumer)->poll(five);
    if (!response) return failed(response.error());
    for (const auto& record : response->records) {
      std::printf("%ld %s\n", record->position, std::string(sluice::as_text(*record->value)).c_str());
    }
    seen += response->records.size();
    cursor = response->cursor;
  }
  return seen == 10 ? 0 : 1;
}

}  // namespace

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "sluice-example-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  const int code = run(directory);
  std::filesystem::remove_all(directory);
  return code;
}
