// SPDX-License-Identifier: Apache-2.0
#include "redis/entry.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "parser.hpp"

namespace sluice::redis {
namespace {

std::string bulk(std::string_view text) {
  return fmt::format("${}\r\n{}\r\n", text.size(), text);
}

// An element of XRANGE's reply.
Reply element(std::string_view id, const std::vector<std::string>& fields) {
  std::string text = "*2\r\n" + bulk(id) + fmt::format("*{}\r\n", fields.size());
  for (const std::string& field : fields) text += bulk(field);
  return parse_reply(text);
}

TEST(RedisEntry, RoundTrip) {
  const std::string bytes("batch\0bytes", 11);
  const sluice_batch batch{as_bytes(bytes).data(), bytes.size(), 40, 41, -5, 2, 0};
  Command command;
  add_batch(command, "key", batch, 38);
  const Reply sent = parse_reply(text_of(command));
  ASSERT_NE(sent, nullptr);
  const ReplyView arguments(sent);
  ASSERT_EQ(arguments.size(), 8u);
  EXPECT_EQ(arguments[0].text(), "XADD");
  EXPECT_EQ(arguments[1].text(), "key");
  EXPECT_EQ(arguments[2].text(), "NOMKSTREAM");
  const Reply read = element(arguments[3].text(), {std::string(arguments[4].text()), std::string(arguments[5].text()),
                                                   std::string(arguments[6].text()), std::string(arguments[7].text())});
  const auto entry = parse_batch(read);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->previous_end, 38);
  EXPECT_EQ(entry->base, 40);
  EXPECT_EQ(entry->last, 41);
  EXPECT_EQ(entry->newest, -5);
  EXPECT_EQ(as_text(entry->bytes), bytes);
}

TEST(RedisEntry, LargestOffsets) {
  const auto entry =
      parse_batch(element("9223372036854775806-1", {"m", "0:9223372036854775806:9223372036854775807", "d", "x"}));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->last, INT64_MAX - 1);
}

// S12, B34: what somebody else wrote is told apart, whatever it is.
TEST(RedisEntry, ForeignEntriesAreNoBatches) {
  EXPECT_FALSE(parse_batch(element("1700000000000-0", {"m", "0:0:0", "d", "x"}))) << "an id that XADD * gives";
  EXPECT_FALSE(parse_batch(element("5-1", {"d", "x"})));
  EXPECT_FALSE(parse_batch(element("5-1", {"m", "0:0:0", "d", "x", "more", "y"})));
  EXPECT_FALSE(parse_batch(element("5-1", {"x", "0:0:0", "d", "x"})));
  EXPECT_FALSE(parse_batch(element("5-1", {"m", "0:0:0", "x", "x"})));
  EXPECT_FALSE(parse_batch(element("5-1", {"m", "0:0:0", "d", ""})));
  for (const char* meta : {"", "0", "0:0", "0:0:", ":0:0", "a:0:0", "0:0:0:0", "-1:0:0", "3:2:0", "0:6:0"}) {
    EXPECT_FALSE(parse_batch(element("5-1", {"m", meta, "d", "x"}))) << meta;
  }
  EXPECT_FALSE(parse_batch(parse_reply("*1\r\n$3\r\n5-1\r\n")));
  EXPECT_FALSE(parse_batch(parse_reply(":5\r\n")));
  EXPECT_FALSE(parse_batch(ReplyView()));
}

}  // namespace
}  // namespace sluice::redis
