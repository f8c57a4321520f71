// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

sluice_candidate candidate(std::string_view value) {
  sluice_candidate made{};
  made.size = sizeof made;
  made.value = span(value);
  return made;
}

TEST(FilterFace, judges_by_any_thread) {
  Owned filter;
  const std::string_view text = "value.n >= 10";
  ASSERT_EQ(sluice_filter_parse(text.data(), text.size(), &filter.handle, nullptr), SLUICE_OK);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1'000; ++n) {
        const std::string value = R"({"n": )" + std::to_string(n % 20) + "}";
        const auto record = candidate(value);
        int32_t truth = -1;
        wrong += sluice_filter_judge(filter, &record, &truth, nullptr) != SLUICE_OK;
        wrong += truth != (n % 20 >= 10 ? SLUICE_FILTER_YES : SLUICE_FILTER_NO);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto missing = candidate("{}");
  int32_t truth = -1;
  EXPECT_EQ(sluice_filter_judge(filter, &missing, &truth, nullptr), SLUICE_OK);
  EXPECT_EQ(truth, SLUICE_FILTER_UNKNOWN);
}

TEST(FilterFace, says_whether_it_looks_into_values) {
  for (const auto& [text, expected] : {std::pair<std::string_view, uint32_t>{"value.n >= 10", 1},
                                       {"partition = 3 or value.n = 1", 1},
                                       {"partition = 3", 0}}) {
    Owned filter;
    ASSERT_EQ(sluice_filter_parse(text.data(), text.size(), &filter.handle, nullptr), SLUICE_OK);
    uint32_t reads = 7;
    EXPECT_EQ(sluice_filter_reads_payload(filter, &reads, nullptr), SLUICE_OK);
    EXPECT_EQ(reads, expected) << text;
    EXPECT_EQ(sluice_filter_reads_payload(filter, nullptr, nullptr), SLUICE_INVALID);
  }
}

TEST(FilterFace, a_fault_has_its_byte) {
  sluice_handle filter = 0;
  Failure failure;
  const std::string_view text = "partition = = 3";
  EXPECT_EQ(sluice_filter_parse(text.data(), text.size(), &filter, &failure), SLUICE_INVALID);
  EXPECT_EQ(failure.native_code, 12);
  EXPECT_EQ(filter, 0U);
}

TEST(FilterFace, text_and_json_are_one_filter) {
  Owned filter;
  const std::string_view text = "partition = 3";
  ASSERT_EQ(sluice_filter_parse(text.data(), text.size(), &filter.handle, nullptr), SLUICE_OK);
  char json[256];
  uint64_t needed = 0;
  ASSERT_EQ(sluice_filter_json(filter, json, sizeof json, &needed, nullptr), SLUICE_OK);
  Owned again;
  ASSERT_EQ(sluice_filter_from_json(json, needed, &again.handle, nullptr), SLUICE_OK);
  char back[256];
  ASSERT_EQ(sluice_filter_text(again, back, sizeof back, &needed, nullptr), SLUICE_OK);
  EXPECT_EQ(std::string_view(back, needed), text);
}

}  // namespace
}  // namespace sluice::c::testing
