// SPDX-License-Identifier: Apache-2.0
// A directory that goes with its owner, in memory where the machine has room for files there.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "sluice/checkpoint.hpp"

namespace sluice {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    for (const std::string& base : {std::string("/dev/shm"), std::filesystem::temp_directory_path().string()}) {
      path_ = base + "/sluice-checkpoint-XXXXXX";
      if (::mkdtemp(path_.data()) != nullptr) return;
    }
    ADD_FAILURE() << "no directory for tests";
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::unique_ptr<CheckpointStore> open_store(const std::string& directory, uint32_t keep = 8,
                                                   int64_t lock_timeout_ms = 10'000) {
  CheckpointSettings settings;
  settings.directory = directory;
  settings.keep = keep;
  settings.lock_timeout_ms = lock_timeout_ms;
  auto store = CheckpointStore::open(std::move(settings));
  EXPECT_TRUE(store) << store.error().describe();
  return store ? std::move(*store) : nullptr;
}

}  // namespace sluice
