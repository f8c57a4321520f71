// SPDX-License-Identifier: Apache-2.0
#include "sluice/cursor.hpp"

#include <gtest/gtest.h>

#include "cli/commands.hpp"

namespace sluice::cli {
namespace {

// What a command prints, and how it ended.
template <class Command>
std::pair<std::string, Status> output_of(const Command& command, bool json = false) {
  Common common;
  common.json = json;
  ::testing::internal::CaptureStdout();
  Status status = run(command, common);
  std::fflush(stdout);
  return {::testing::internal::GetCapturedStdout(), std::move(status)};
}

TEST(CursorCommand, ShowsShardsAndPositions) {
  Cursor cursor;
  ASSERT_TRUE(cursor.set("orders/10", 7));
  ASSERT_TRUE(cursor.set("orders/9", 1042));
  CursorShow show;
  show.text = cursor.encode();
  const auto [table, status] = output_of(show);
  EXPECT_TRUE(status) << status.describe();
  EXPECT_NE(table.find("orders/10"), std::string::npos);
  EXPECT_NE(table.find("1042"), std::string::npos);
  const auto [json, json_status] = output_of(show, true);
  EXPECT_TRUE(json_status);
  EXPECT_NE(json.find("\"orders/9\""), std::string::npos);
}

TEST(CursorCommand, SaysWhatIsWrongAndWhere) {
  CursorShow show;
  show.text = "slc1.AQ*A";
  const auto [text, status] = output_of(show);
  EXPECT_EQ(text, "");
  EXPECT_EQ(status.code(), StatusCode::invalid);
  EXPECT_EQ(status.text(), "cursor: byte 7: not base64url");
}

TEST(CursorCommand, PutsShardsElsewhere) {
  Cursor cursor;
  ASSERT_TRUE(cursor.set("a=b", 7));
  CursorSet set;
  set.text = cursor.encode();
  set.places = {"a=b=8", "new=0"};
  const auto [text, status] = output_of(set);
  ASSERT_TRUE(status) << status.describe();
  const auto changed = Cursor::decode(text.substr(0, text.size() - 1));
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->next("a=b"), 8);
  EXPECT_EQ(changed->next("new"), 0);
  for (const char* bad : {"a", "a=08", "a=-1", "=1", "a=9223372036854775808"}) {
    set.places = {bad};
    EXPECT_EQ(output_of(set).second.code(), StatusCode::invalid) << bad;
  }
}

}  // namespace
}  // namespace sluice::cli
