// SPDX-License-Identifier: Apache-2.0
#include "disk/verify.hpp"

#include "support.hpp"

namespace sluice::disk {
namespace {

using namespace test;
namespace fs = std::filesystem;

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    Settings settings{.directory = directory_.path()};
    settings.segment_bytes = 1000;
    World world(settings);
    auto log = world.log(1);
    EXPECT_TRUE(create(*log, descriptor(1)).ok());
    for (int64_t at = 0; at < 40; ++at) EXPECT_TRUE(append(*log, at, one(batch(at, 1))).status.ok());
    log_directory_ = world.log_directory(1);
    log.reset();
    EXPECT_TRUE(world.stop().ok());
  }
  std::vector<std::string> problems() {
    const auto report = verify_storage(system_files(), directory_.path());
    EXPECT_TRUE(report.has_value());
    return report ? report->problems : std::vector<std::string>{};
  }
  void flip(const std::string& path, size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
  }

  Directory directory_;
  std::string log_directory_;
};

TEST_F(VerifyTest, AGoodDirectoryHasNoProblems) {
  const auto report = verify_storage(system_files(), directory_.path());
  ASSERT_TRUE(report.has_value());
  EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  EXPECT_EQ(report->logs, 1U);
  EXPECT_GT(report->segments, 3U);
  EXPECT_EQ(report->bytes, 40 * batch(0, 1).size());
}

TEST_F(VerifyTest, EveryKindOfDamageIsNamed) {
  const std::string segment = log_directory_ + "/" + segment_name(0);
  flip(segment, kSegmentHeaderBytes + 80);
  ASSERT_EQ(problems().size(), 1U);
  EXPECT_NE(problems()[0].find(segment), std::string::npos);
  flip(segment, kSegmentHeaderBytes + 80);
  EXPECT_TRUE(problems().empty());

  flip(log_directory_ + "/" + index_name(0), 40);
  EXPECT_EQ(problems().size(), 1U);
  flip(log_directory_ + "/" + index_name(0), 40);

  fs::resize_file(segment, fs::file_size(segment) - 1);
  EXPECT_EQ(problems().size(), 1U);
  flip(log_directory_ + "/log", 20);
  EXPECT_EQ(problems().size(), 1U) << "nothing else can be said of a log without its file";
}

TEST_F(VerifyTest, AMissingSegmentIsNoticed) {
  std::vector<int64_t> bases;
  for (const auto& entry : fs::directory_iterator(log_directory_)) {
    if (const auto base = offset_of_name(entry.path().filename().string(), kSegmentSuffix)) bases.push_back(*base);
  }
  std::sort(bases.begin(), bases.end());
  fs::remove(log_directory_ + "/" + segment_name(bases[1]));
  EXPECT_EQ(problems().size(), 2U) << "its index is left alone, and the next does not follow";
}

TEST(VerifyStorageTest, WhatIsNoStorageIsRefused) {
  Directory directory;
  const auto report = verify_storage(system_files(), directory.path());
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code(), StatusCode::not_found);
}

}  // namespace
}  // namespace sluice::disk
