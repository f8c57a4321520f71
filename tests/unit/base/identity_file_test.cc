// SPDX-License-Identifier: Apache-2.0
#include "base/identity_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "../support/folder.hpp"

namespace sluice {
namespace {

class IdentityFileTest : public testing::Test {
 protected:
  void overwrite(std::streamoff at, char byte) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(byte);
  }

  test::Folder folder_;
  const std::string path_ = folder_.path() + "/nonce";
};

TEST_F(IdentityFileTest, B26_no_id_is_given_twice_and_the_epoch_rises_across_restarts) {
  std::set<uint64_t> ids;
  uint64_t epoch = 0;
  uint64_t nonce = 0;
  for (int start = 0; start < 5; ++start) {
    const auto file = IdentityFile::open(path_);
    ASSERT_TRUE(file) << file.error().describe();
    EXPECT_GT((*file)->epoch(), epoch);
    epoch = (*file)->epoch();
    EXPECT_TRUE(start == 0 || (*file)->nonce() == nonce);
    nonce = (*file)->nonce();
    for (const uint64_t count : {1, 1, 3}) {
      const auto first = (*file)->reserve(count);
      ASSERT_TRUE(first);
      for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(ids.insert(*first + i).second);
    }
  }
  EXPECT_EQ(ids.size(), 25U);
}

TEST_F(IdentityFileTest, one_holder_at_a_time) {
  const auto file = IdentityFile::open(path_);
  ASSERT_TRUE(file);
  const auto second = IdentityFile::open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::conflict);
}

TEST_F(IdentityFileTest, a_torn_slot_leaves_the_other_one_two_are_an_error) {
  uint64_t used = 0;
  {
    const auto file = IdentityFile::open(path_);  // first slot
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->reserve(10));  // second slot
    used = *(*file)->reserve(10) + 10;  // first slot again
  }
  overwrite(4096 + 20, '\x55');
  {
    const auto file = IdentityFile::open(path_);
    ASSERT_TRUE(file) << file.error().describe();
    EXPECT_GE(*(*file)->reserve(1), used);
  }
  overwrite(20, '\x55');
  overwrite(4096 + 20, '\x55');
  const auto file = IdentityFile::open(path_);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), StatusCode::corrupt);
}

TEST_F(IdentityFileTest, a_missing_folder_and_the_end_of_ids_are_errors) {
  const auto nowhere = IdentityFile::open(folder_.path() + "/no/nonce");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code(), StatusCode::not_found);
  const auto file = IdentityFile::open(path_);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->reserve(UINT64_MAX));
  EXPECT_EQ((*file)->reserve(1).error().code(), StatusCode::out_of_range);
}

TEST_F(IdentityFileTest, is_given_back_although_a_process_that_is_being_started_has_a_copy) {
  auto file = IdentityFile::open(path_);
  ASSERT_TRUE(file) << file.error().describe();
  const int copy = test::copy_of_descriptor(std::filesystem::canonical(path_).string());
  ASSERT_GE(copy, 0);
  file->reset();
  const auto again = IdentityFile::open(path_);
  EXPECT_TRUE(again) << again.error().describe();
  ::close(copy);
}

}  // namespace
}  // namespace sluice
