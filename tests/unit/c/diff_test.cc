// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

constexpr std::string_view kBefore = R"({"total":4,"items":["tea"]})";
constexpr std::string_view kAfter = R"({"total":6,"items":["tea","milk"]})";

std::string diff_of(std::string_view before, std::string_view after) {
  return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_diff_make(before.data(), before.size(), after.data(), after.size(), nullptr, buffer, capacity, needed,
                            nullptr);
  });
}

TEST(DiffFace, a_diff_gives_the_second_state_and_fits_no_other) {
  const std::string diff = diff_of(kBefore, kAfter);
  const std::string applied = text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_diff_apply(kBefore.data(), kBefore.size(), diff.data(), diff.size(), nullptr, buffer, capacity,
                             needed, nullptr);
  });
  EXPECT_EQ(applied, R"({"items":["tea","milk"],"total":6})");
  EXPECT_EQ(sluice_diff_verify(kBefore.data(), kBefore.size(), diff.data(), diff.size(), nullptr, nullptr), SLUICE_OK);
  Failure failure;
  EXPECT_EQ(sluice_diff_verify(kAfter.data(), kAfter.size(), diff.data(), diff.size(), nullptr, &failure),
            SLUICE_CONFLICT);
  EXPECT_STRNE(failure.text, "");
  const auto hash_of = [](std::string_view state) {
    return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
      return sluice_diff_hash(state.data(), state.size(), nullptr, buffer, capacity, needed, nullptr);
    });
  };
  EXPECT_EQ(hash_of(applied), hash_of(kAfter));
  EXPECT_EQ(hash_of(applied).size(), SLUICE_DIFF_HASH_BYTES);
}

TEST(DiffFace, limits_and_arguments_are_checked) {
  sluice_diff_limits limits{};
  limits.size = sizeof limits;
  limits.max_state_bytes = 10;
  EXPECT_EQ(sluice_diff_hash(kBefore.data(), kBefore.size(), &limits, nullptr, 0, nullptr, nullptr), SLUICE_TOO_LARGE);
  limits.size = 4;
  EXPECT_EQ(sluice_diff_hash(kBefore.data(), kBefore.size(), &limits, nullptr, 0, nullptr, nullptr), SLUICE_INVALID);
  Failure failure;
  EXPECT_EQ(sluice_diff_verify("{}", 2, nullptr, 7, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.index, 1);
  EXPECT_EQ(sluice_diff_verify("{}", 2, "{}", 2, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_diff_hash("[1,,2]", 6, nullptr, nullptr, 0, nullptr, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.native_code, 4);
}

}  // namespace
}  // namespace sluice::c::testing
