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
  add_unit(command, "key", {&batch, 1}, 38);
  const Reply sent = parse_reply(text_of(command));
  ASSERT_NE(sent, nullptr);
  const ReplyView arguments(sent);
  ASSERT_EQ(arguments.size(), 8u);
  EXPECT_EQ(arguments[0].text(), "XADD");
  EXPECT_EQ(arguments[1].text(), "key");
  EXPECT_EQ(arguments[2].text(), "NOMKSTREAM");
  const Reply read = element(arguments[3].text(), {std::string(arguments[4].text()), std::string(arguments[5].text()),
                                                   std::string(arguments[6].text()), std::string(arguments[7].text())});
  std::vector<BatchEntry> batches;
  ASSERT_TRUE(parse_unit(read, batches));
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].previous_end, 38);
  EXPECT_EQ(batches[0].base, 40);
  EXPECT_EQ(batches[0].last, 41);
  EXPECT_EQ(batches[0].newest, -5);
  EXPECT_EQ(as_text(batches[0].bytes), bytes);
  EXPECT_EQ(unit_bytes(read), bytes.size());
}

TEST(RedisEntry, SeveralBatchesAreOneCommand) {
  const std::string first(5'000, 'a');
  const std::string second = "b";
  const sluice_batch unit[] = {{as_bytes(first).data(), first.size(), 40, 41, 7, 2, 0},
                               {as_bytes(second).data(), second.size(), 44, 44, 5, 1, 0}};
  Command command;
  add_unit(command, "key", unit, 38);
  EXPECT_EQ(command.count(), 1u);
  const Reply sent = parse_reply(text_of(command));
  const ReplyView arguments(sent);
  ASSERT_EQ(arguments.size(), 12u);
  EXPECT_EQ(arguments[3].text(), "44-1");
  std::vector<std::string> fields;
  for (size_t i = 4; i < arguments.size(); ++i) fields.emplace_back(arguments[i].text());
  const Reply read = element("44-1", fields);
  std::vector<BatchEntry> batches;
  ASSERT_TRUE(parse_unit(read, batches));
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].last, 41);
  EXPECT_EQ(as_text(batches[0].bytes), first);
  EXPECT_EQ(batches[1].previous_end, 42);
  EXPECT_EQ(batches[1].base, 44);
  EXPECT_EQ(batches[1].last, 44);
  EXPECT_EQ(batches[1].newest, 5);
  EXPECT_EQ(unit_bytes(read), 5'001u);
}

TEST(RedisEntry, LargestOffsets) {
  std::vector<BatchEntry> batches;
  ASSERT_TRUE(parse_unit(element("9223372036854775806-1", {"m", "0:9223372036854775806:9223372036854775807", "d", "x"}),
                         batches));
  EXPECT_EQ(batches[0].last, INT64_MAX - 1);
}

bool is_unit(ReplyView element) {
  std::vector<BatchEntry> batches;
  return parse_unit(element, batches);
}

// S12, B34: what somebody else wrote is told apart, whatever it is.
TEST(RedisEntry, ForeignEntriesAreNoBatches) {
  EXPECT_FALSE(is_unit(element("1700000000000-0", {"m", "0:0:0", "d", "x"}))) << "an id that XADD * gives";
  EXPECT_FALSE(is_unit(element("5-1", {"d", "x"})));
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "d", "x", "more", "y"})));
  EXPECT_FALSE(is_unit(element("5-1", {"x", "0:0:0", "d", "x"})));
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "x", "x"})));
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "d", ""})));
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "d", "x", "m", "0:5:0", "d", "y"}))) << "one begins in the other";
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "d", "x", "m", "6:6:0", "d", "y"}))) << "it ends before the last";
  EXPECT_FALSE(is_unit(element("5-1", {"m", "0:0:0", "d", "x", "m", "-9223372036854775808:5:0", "d", "y"})));
  for (const char* meta : {"", "0", "0:0", "0:0:", ":0:0", "a:0:0", "0:0:0:0", "-1:0:0", "3:2:0", "0:6:0"}) {
    EXPECT_FALSE(is_unit(element("5-1", {"m", meta, "d", "x"}))) << meta;
  }
  EXPECT_FALSE(is_unit(parse_reply("*1\r\n$3\r\n5-1\r\n")));
  EXPECT_FALSE(is_unit(parse_reply(":5\r\n")));
  EXPECT_FALSE(is_unit(ReplyView()));
}

}  // namespace
}  // namespace sluice::redis
