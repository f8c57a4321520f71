// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

TEST(ServicesFace, checkpoints_follow_each_other) {
  const auto directory = std::filesystem::path(::testing::TempDir()) / ("c-face-" + std::to_string(::getpid()));
  const std::string config = R"({"directory": ")" + directory.string() + R"("})";
  Owned store;
  Failure failure;
  ASSERT_EQ(sluice_checkpoints_open(config.data(), config.size(), &store.handle, &failure), SLUICE_OK) << failure.text;
  uint64_t id = 0;
  char cursor[16];
  uint64_t needed = 0;
  EXPECT_EQ(sluice_checkpoints_newest(store, "g", 1, &id, cursor, sizeof cursor, &needed, &failure), SLUICE_NOT_FOUND);
  ASSERT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "one", 3, &id, &failure), SLUICE_OK) << failure.text;
  EXPECT_EQ(sluice_checkpoints_commit(store, "g", 1, 0, "two", 3, nullptr, &failure), SLUICE_CONFLICT);
  ASSERT_EQ(sluice_checkpoints_commit(store, "g", 1, id, "three", 5, nullptr, &failure), SLUICE_OK) << failure.text;
  ASSERT_EQ(sluice_checkpoints_newest(store, "g", 1, &id, cursor, sizeof cursor, &needed, &failure), SLUICE_OK);
  EXPECT_EQ(std::string_view(cursor, needed), "three");
  EXPECT_EQ(sluice_checkpoints_newest(store, "g", 1, &id, cursor, 2, &needed, &failure), SLUICE_TOO_LARGE);
  EXPECT_EQ(needed, 5U);
  std::filesystem::remove_all(directory);
}

TEST(ServicesFace, an_envelope_comes_back) {
  const std::string message(10'000, 'x');
  for (uint32_t codec = 0; codec <= 4; ++codec) {
    std::vector<uint8_t> frame(20'000);
    uint64_t needed = 0;
    Failure failure;
    ASSERT_EQ(sluice_envelope_encode(span(message), codec, 1 << 20, frame.data(), frame.size(), &needed, &failure),
              SLUICE_OK)
        << failure.text;
    frame.resize(needed);
    std::vector<uint8_t> back(message.size());
    uint64_t taken = 0;
    ASSERT_EQ(sluice_envelope_decode({frame.data(), frame.size()}, 1 << 20, back.data(), back.size(), &needed, &taken,
                                     &failure),
              SLUICE_OK)
        << failure.text;
    EXPECT_EQ(taken, frame.size());
    EXPECT_EQ(std::string(back.begin(), back.end()), message);
    EXPECT_EQ(sluice_envelope_decode({frame.data(), frame.size() - 1}, 1 << 20, back.data(), back.size(), &needed,
                                     &taken, &failure),
              SLUICE_OUT_OF_RANGE);
    EXPECT_EQ(
        sluice_envelope_decode({frame.data(), frame.size()}, 100, back.data(), back.size(), &needed, &taken, &failure),
        SLUICE_TOO_LARGE);
    frame[0] ^= 1;
    EXPECT_EQ(sluice_envelope_decode({frame.data(), frame.size()}, 1 << 20, back.data(), back.size(), &needed, &taken,
                                     &failure),
              SLUICE_CORRUPT);
  }
  uint64_t needed = 0;
  EXPECT_EQ(sluice_envelope_encode(span("x"), 5, 100, nullptr, 0, &needed, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_envelope_encode({nullptr, 7}, 0, 100, nullptr, 0, &needed, nullptr), SLUICE_INVALID);
}

}  // namespace
}  // namespace sluice::c::testing
