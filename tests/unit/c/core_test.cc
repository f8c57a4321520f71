// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "c/boundary.hpp"
#include "c/handle_table.hpp"
#include "sluice/sluice.h"

namespace sluice::c {
namespace {

sluice_failure empty() {
  sluice_failure failure{};
  failure.size = sizeof failure;
  return failure;
}

TEST(Core, a_failure_carries_code_text_and_place) {
  auto failure = empty();
  Status status(StatusCode::busy, "later", 17);
  status.set_retry_after_ms(250);
  EXPECT_EQ(tell(&failure, Verdict(status, 3)), SLUICE_BUSY);
  EXPECT_EQ(failure.code, SLUICE_BUSY);
  EXPECT_EQ(failure.native_code, 17);
  EXPECT_EQ(failure.retry_after_ms, 250);
  EXPECT_EQ(failure.index, 3);
  EXPECT_STREQ(failure.text, "later");
}

TEST(Core, long_text_is_cut_between_characters) {
  auto failure = empty();
  std::string text(sizeof failure.text - 2, 'a');
  text += "\u00e9\u00e9";
  tell(&failure, Status(StatusCode::internal, text));
  EXPECT_EQ(std::string(failure.text), std::string(sizeof failure.text - 2, 'a'));
}

TEST(Core, a_failure_of_no_size_or_none_at_all_is_left_alone) {
  auto failure = empty();
  failure.size = 4;
  EXPECT_EQ(tell(&failure, Status(StatusCode::invalid, "x")), SLUICE_INVALID);
  EXPECT_EQ(failure.code, 0);
  EXPECT_EQ(tell(nullptr, Status(StatusCode::invalid, "x")), SLUICE_INVALID);
}

TEST(Core, exceptions_stop_at_the_edge) {
  auto failure = empty();
  EXPECT_EQ(guarded(&failure, []() -> Status { throw std::runtime_error("inner"); }), SLUICE_INTERNAL);
  EXPECT_STREQ(failure.text, "inner");
  EXPECT_EQ(guarded(&failure, []() -> Status { throw std::bad_alloc(); }), SLUICE_NO_SPACE);
  EXPECT_EQ(guarded(&failure, []() -> Status { throw 7; }), SLUICE_INTERNAL);
}

TEST(Core, null_and_empty_bytes_differ) {
  const uint8_t byte = 1;
  EXPECT_FALSE(bytes_of({nullptr, 0}, "key")->has_value());
  EXPECT_TRUE(bytes_of({&byte, 0}, "key")->has_value());
  EXPECT_EQ(bytes_of({nullptr, 3}, "key").error().code(), StatusCode::invalid);
  EXPECT_EQ(bytes_of({&byte, UINT64_MAX}, "key").error().code(), StatusCode::invalid);
  EXPECT_EQ(span_of(std::nullopt).data, nullptr);
  EXPECT_NE(span_of(Bytes()).data, nullptr);
}

TEST(Core, text_comes_whole_or_not_at_all) {
  char buffer[4] = "...";
  uint64_t needed = 0;
  EXPECT_EQ(write_text("four", buffer, 3, &needed).code(), StatusCode::too_large);
  EXPECT_EQ(needed, 4U);
  EXPECT_STREQ(buffer, "...");
  EXPECT_TRUE(write_text("four", buffer, 4, &needed).ok());
  EXPECT_EQ(std::string_view(buffer, 4), "four");
  EXPECT_EQ(write_text("four", nullptr, 4, &needed).code(), StatusCode::invalid);
}

TEST(Core, handles_of_nothing) {
  auto failure = empty();
  EXPECT_EQ(sluice_release(0, &failure), SLUICE_NOT_FOUND);
  EXPECT_EQ(sluice_release(0, nullptr), SLUICE_NOT_FOUND);
  EXPECT_STREQ(sluice_status_name(SLUICE_NO_SPACE), "no_space");
  EXPECT_STREQ(sluice_status_name(599), "internal");
}

}  // namespace
}  // namespace sluice::c
