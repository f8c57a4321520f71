// SPDX-License-Identifier: Apache-2.0
// Resumes where the last run ended: reads the newest checkpoint, goes on from it, commits the next.
#include "sluice/checkpoint.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

// One run of a program that works through ten records at a time.
bool run(const std::string& directory) {
  sluice::CheckpointSettings settings;
  settings.directory = directory;
  const auto store = sluice::CheckpointStore::open(settings);
  if (!store) return std::printf("%s\n", store.error().describe().c_str()), false;

  uint64_t id = 0;
  std::string cursor = "0";
  if (const auto newest = (*store)->newest("billing")) {
    id = newest->id;
    cursor = newest->cursor;
  } else if (newest.error().code() != sluice::StatusCode::not_found) {
    return std::printf("%s\n", newest.error().describe().c_str()), false;
  }
  const std::string next = std::to_string(std::stol(cursor) + 10);
  const auto committed = (*store)->commit("billing", id, next, {{"program", "example"}});
  if (!committed) return std::printf("%s\n", committed.error().describe().c_str()), false;
  std::printf("from %s to %s, checkpoint %lu\n", cursor.c_str(), next.c_str(), static_cast<unsigned long>(*committed));
  return true;
}

}  // namespace

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "sluice-example-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  const bool well = run(directory) && run(directory) && run(directory);
  std::filesystem::remove_all(directory);
  return well ? 0 : 1;
}
