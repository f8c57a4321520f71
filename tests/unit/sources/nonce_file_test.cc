// SPDX-License-Identifier: Apache-2.0
// The lock that makes a log one process's.
#include "sources/nonce_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include "world.hpp"

namespace sluice::test {
namespace {

TEST(FileLock, is_given_back_although_a_process_that_is_being_started_has_a_copy) {
  const Folder folder;
  const std::string path = std::filesystem::canonical(folder.path()).string() + "/events.lock";
  auto taken = sources::take_lock(path);
  ASSERT_TRUE(taken) << taken.error().describe();
  std::optional<FileLock> lock(std::move(*taken));
  const int copy = copy_of_descriptor(path);
  ASSERT_GE(copy, 0);
  EXPECT_EQ(sources::take_lock(path).error().code(), StatusCode::conflict);
  lock.reset();
  const auto again = sources::take_lock(path);
  EXPECT_TRUE(again) << again.error().describe();
  ::close(copy);
}

}  // namespace
}  // namespace sluice::test
