// SPDX-License-Identifier: Apache-2.0
#include "redis/command.hpp"

#include <gtest/gtest.h>

#include "parser.hpp"

namespace sluice::redis {
namespace {

TEST(RedisCommand, IsWhatTheServerReads) {
  Command command{"SET", "key", std::string_view("a\0\r\n", 4)};
  EXPECT_EQ(text_of(command), std::string("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\0\r\n\r\n", 32));
  command.begin(2).add("INCRBY").add(int64_t{-7});
  EXPECT_EQ(command.count(), 2u);
  EXPECT_TRUE(text_of(command).ends_with("*2\r\n$6\r\nINCRBY\r\n$2\r\n-7\r\n"));
  EXPECT_EQ(command.bytes(), text_of(command).size());
}

TEST(RedisCommand, LargeArgumentsAreLentAndSmallOnesCopied) {
  const std::string small(Command::kCopiedBytes, 's');
  const std::string large(Command::kCopiedBytes + 1, 'l');
  Command command;
  command.begin(4).add("X").lend(as_bytes(large)).lend(as_bytes(small)).lend(as_bytes(large));
  EXPECT_EQ(command.pieces(), 5u);
  EXPECT_EQ(command.piece(1).data(), as_bytes(large).data());
  EXPECT_EQ(command.piece(3).data(), as_bytes(large).data());
  EXPECT_EQ(command.bytes(), text_of(command).size());
  const Reply parsed = parse_reply(text_of(command));
  ASSERT_NE(parsed, nullptr);
  const ReplyView view(parsed);
  ASSERT_EQ(view.size(), 4u);
  EXPECT_EQ(view[1].text(), large);
  EXPECT_EQ(view[2].text(), small);
  EXPECT_EQ(view[3].text(), large);
}

// B34: every byte value, and no bytes at all.
TEST(RedisCommand, B34_ArgumentsAreOpaque) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  Command command;
  command.begin(3).add(all).add("").lend({});
  const Reply parsed = parse_reply(text_of(command));
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(ReplyView(parsed)[0].text(), all);
  EXPECT_EQ(ReplyView(parsed)[1].text(), "");
  EXPECT_EQ(ReplyView(parsed).size(), 3u);
}

TEST(RedisCommand, AskingGoesBeforeEachCommand) {
  const std::string large(Command::kCopiedBytes + 1, 'l');
  Command command;
  command.begin(3).add("SET").add("a").lend(as_bytes(large));
  command.begin(2).add("GET").add("*1\r\n$4\r\nPING\r\n");
  command.begin(2).add("SET").lend(as_bytes(large));
  const Command asking = command.asking();
  EXPECT_EQ(asking.count(), 6u);
  EXPECT_EQ(asking.bytes(), text_of(asking).size());
  const std::string ask = "*1\r\n$6\r\nASKING\r\n";
  Command first;
  first.begin(3).add("SET").add("a").lend(as_bytes(large));
  Command second{"GET", "*1\r\n$4\r\nPING\r\n"};
  Command third;
  third.begin(2).add("SET").lend(as_bytes(large));
  EXPECT_EQ(text_of(asking), ask + text_of(first) + ask + text_of(second) + ask + text_of(third));

  std::vector<Reply> replies;
  for (int i = 0; i < 6; ++i) replies.push_back(parse_reply(":" + std::to_string(i) + "\r\n"));
  Command::drop_asking(replies);
  ASSERT_EQ(replies.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ReplyView(replies[static_cast<size_t>(i)]).integer(), 2 * i + 1);
}

}  // namespace
}  // namespace sluice::redis
