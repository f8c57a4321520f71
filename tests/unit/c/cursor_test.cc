// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

std::string text_of(sluice_handle cursor) {
  return text_from([&](char* buffer, uint64_t capacity, uint64_t* needed) {
    return sluice_cursor_text(cursor, buffer, capacity, needed, nullptr);
  });
}
void open_cursor(std::string_view text, Owned& cursor) {
  ASSERT_EQ(sluice_cursor_open(text.data(), text.size(), &cursor.handle, nullptr), SLUICE_OK);
}
int64_t place_of(sluice_handle cursor, std::string_view id) {
  int64_t next = -1;
  EXPECT_EQ(sluice_cursor_get(cursor, id.data(), id.size(), &next, nullptr), SLUICE_OK);
  return next;
}

TEST(CursorFace, entries_are_put_read_and_forgotten) {
  Owned cursor;
  open_cursor("", cursor);
  EXPECT_EQ(sluice_cursor_put(cursor, "b", 1, 20, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_put(cursor, "a", 1, 10, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_advance(cursor, "a", 1, 11, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_advance(cursor, "a", 1, 3, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_cursor_put(cursor, "", 0, 3, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_cursor_put(cursor, "a", 1, -1, nullptr), SLUICE_INVALID);
  uint64_t count = 0;
  EXPECT_EQ(sluice_cursor_count(cursor, &count, nullptr), SLUICE_OK);
  EXPECT_EQ(count, 2U);
  Owned again;
  open_cursor(text_of(cursor), again);
  char id[4];
  uint64_t needed = 0;
  int64_t next = 0;
  ASSERT_EQ(sluice_cursor_entry(again, 1, &next, id, sizeof id, &needed, nullptr), SLUICE_OK);
  EXPECT_EQ(std::string_view(id, needed), "b");
  EXPECT_EQ(next, 20);
  EXPECT_EQ(sluice_cursor_entry(again, 2, &next, id, sizeof id, &needed, nullptr), SLUICE_OUT_OF_RANGE);
  EXPECT_EQ(sluice_cursor_forget(again, "b", 1, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_forget(again, "b", 1, nullptr), SLUICE_NOT_FOUND);
  EXPECT_EQ(sluice_cursor_get(again, "b", 1, &next, nullptr), SLUICE_NOT_FOUND);
  EXPECT_EQ(place_of(again, "a"), 11);
}

TEST(CursorFace, two_are_joined_either_way) {
  Owned left;
  Owned right;
  Owned least;
  Owned greatest;
  open_cursor("", left);
  open_cursor("", right);
  EXPECT_EQ(sluice_cursor_put(left, "a", 1, 10, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_put(left, "b", 1, 1, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_cursor_put(right, "a", 1, 7, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_cursor_least(left, right, &least.handle, nullptr), SLUICE_OK);
  ASSERT_EQ(sluice_cursor_greatest(left, right, &greatest.handle, nullptr), SLUICE_OK);
  EXPECT_EQ(place_of(least, "a"), 7);
  int64_t next = 0;
  EXPECT_EQ(sluice_cursor_get(least, "b", 1, &next, nullptr), SLUICE_NOT_FOUND);
  EXPECT_EQ(place_of(greatest, "a"), 10);
  EXPECT_EQ(place_of(greatest, "b"), 1);
  EXPECT_EQ(sluice_cursor_least(left, 0, &least.handle, nullptr), SLUICE_NOT_FOUND);
  Owned same;
  ASSERT_EQ(sluice_cursor_least(left, left, &same.handle, nullptr), SLUICE_OK);
  EXPECT_EQ(text_of(same), text_of(left));
}

TEST(CursorFace, B31_malformed_text_and_positions_are_errors) {
  Owned cursor;
  Failure failure;
  EXPECT_EQ(sluice_cursor_open("slc1.!!", 7, &cursor.handle, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_cursor_open(nullptr, 7, &cursor.handle, &failure), SLUICE_INVALID);
  int64_t position = 0;
  EXPECT_EQ(sluice_parse_position("17", 2, &position, &failure), SLUICE_OK);
  EXPECT_EQ(position, 17);
  EXPECT_EQ(sluice_parse_position("00", 2, &position, &failure), SLUICE_INVALID);
  EXPECT_EQ(sluice_parse_position("9223372036854775808", 19, &position, &failure), SLUICE_INVALID);
}

TEST(CursorFace, B01_changes_race_with_release) {
  race_with_release(
      100,
      [] {
        sluice_handle cursor = 0;
        EXPECT_EQ(sluice_cursor_open(nullptr, 0, &cursor, nullptr), SLUICE_OK);
        return cursor;
      },
      [](sluice_handle cursor) {
        char id[4];
        int64_t next = 0;
        uint64_t needed = 0;
        sluice_cursor_entry(cursor, 0, &next, id, sizeof id, &needed, nullptr);
        return sluice_cursor_put(cursor, "a", 1, 1, nullptr);
      },
      [](sluice_handle cursor) { sluice_cursor_forget(cursor, "a", 1, nullptr); }, [](sluice_status) { return false; });
}

}  // namespace
}  // namespace sluice::c::testing
