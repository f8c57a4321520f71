// SPDX-License-Identifier: Apache-2.0
#include "jetstream/inbox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace sluice::jetstream {
namespace {

using Kind = Inbox::Kind;

/// What a message says, so that it can be compared.
std::string content(const Message& message) {
  return std::string(message.subject()) + "|" + std::string(message.reply()) + "|" + std::string(message.headers()) +
         "|" + std::string(as_text(message.payload()));
}

/// Gives `text` to the inbox in pieces of up to `most()` bytes, and has `take` see each item, as soon as it is there.
template <class Most, class Take>
void feed(Inbox& inbox, std::string_view text, Most most, Take take) {
  while (!text.empty()) {
    const std::span<uint8_t> room = inbox.room();
    ASSERT_FALSE(room.empty());
    const size_t size = std::min({room.size(), text.size(), static_cast<size_t>(most())});
    std::copy_n(text.begin(), size, room.begin());
    inbox.received(size);
    text.remove_prefix(size);
    for (Inbox::Item item = inbox.next(); item.kind != Kind::nothing; item = inbox.next()) {
      take(item);
      if (item.kind == Kind::nonsense) return;
    }
  }
}

std::vector<Kind> kinds(std::string_view text) {
  Inbox inbox;
  std::vector<Kind> all;
  feed(
      inbox, text, [] { return SIZE_MAX; }, [&](const Inbox::Item& item) { all.push_back(item.kind); });
  return all;
}

TEST(JetstreamInbox, LinesOfTheProtocol) {
  EXPECT_EQ(kinds("PING\r\nPONG\r\n+OK\r\nINFO {\"a\":1}\r\nMSG a 1 0\r\n\r\nPING\r\nPI"),
            (std::vector{Kind::ping, Kind::pong, Kind::other, Kind::other, Kind::message, Kind::ping}));
  std::string text;
  Inbox inbox;
  feed(
      inbox, "-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n", [] { return SIZE_MAX; },
      [&](const Inbox::Item& item) {
        EXPECT_EQ(item.kind, Kind::error);
        text = item.text;
      });
  EXPECT_EQ(text, "Permissions Violation for Publish to \"a.b\"");
}

TEST(JetstreamInbox, WhatIsNoLineOfTheProtocolEndsIt) {
  for (const char* line :
       {"hello\r\n", "MSG\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 -1\r\n", "MSG a 1 r 5 6\r\n", "HMSG a 1 5\r\n",
        "HMSG a 1 6 5\r\n", "HMSG a 1 r x 5\r\n", "MSG a 1 99999999999999\r\n", "MSG a 1 999999999999999999999999\r\n",
        "MSG a b c d e f g h\r\n", "\r\n"}) {
    EXPECT_EQ(kinds(line), std::vector{Kind::nonsense}) << line;
  }
  const std::string endless(Inbox::kLongestLineBytes + Inbox::kChunkBytes * 4, 'x');
  EXPECT_EQ(kinds(endless), std::vector{Kind::nonsense});
}

TEST(JetstreamInbox, PartsOfMessages) {
  const std::string block = "NATS/1.0\r\nA:  1 \r\nempty:\r\nb: 10:30\r\nno header\r\nA: 2\r\n\r\n";
  Inbox inbox;
  std::vector<Message> all;
  feed(
      inbox,
      "MSG a.b 1 5\r\nhello\r\nHMSG c 1 $JS.ACK.x " + std::to_string(block.size()) + " " +
          std::to_string(block.size() + 2) + "\r\n" + block + "xy\r\nHMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
      [] { return SIZE_MAX; }, [&](const Inbox::Item& item) { all.push_back(item.message); });
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(content(all[0]), "a.b|||hello");
  EXPECT_EQ(content(all[1]), "c|$JS.ACK.x|" + block + "|xy");
  EXPECT_EQ(all[1].header("A"), "1");
  EXPECT_EQ(all[1].last_header("A"), "2");
  EXPECT_EQ(all[1].header("b"), "10:30") << "an empty header before it swallows nothing";
  EXPECT_EQ(all[1].header("B"), "");
  HeaderViews headers;
  read_headers(all[1].headers(), headers);
  EXPECT_EQ(headers, (HeaderViews{{"A", "1"}, {"empty", ""}, {"b", "10:30"}, {"A", "2"}}));
  EXPECT_EQ(all[1].status(), "");
  EXPECT_FALSE(all[1].no_responders());
  EXPECT_EQ(all[2].status(), "503");
  EXPECT_TRUE(all[2].no_responders());
}

// Whatever is received at once, every message is what was sent, also those that are kept while others arrive.
TEST(JetstreamInbox, AnyWayOfReceivingGivesTheSameMessages) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::string text;
    std::vector<std::string> wanted;
    for (int i = 0; i < 40; ++i) {
      const size_t largest = i % 10 == 9 ? 300'000 : i % 3 == 0 ? 20'000 : 300;
      const std::string payload(random() % largest, static_cast<char>('a' + i % 26));
      const std::string subject = "s." + std::to_string(i);
      if (i % 2 == 0) {
        const std::string block = "NATS/1.0\r\nN: " + std::to_string(i) + "\r\n\r\n";
        text += "HMSG " + subject + " 1 reply " + std::to_string(block.size()) + " " +
                std::to_string(block.size() + payload.size()) + "\r\n" + block + payload + "\r\n";
        wanted.push_back(subject + "|reply|" + block + "|" + payload);
      } else {
        text += "MSG " + subject + " 1 " + std::to_string(payload.size()) + "\r\n" + payload + "\r\n";
        wanted.push_back(subject + "|||" + payload);
      }
      if (i % 7 == 0) text += "PING\r\n";
    }
    Inbox inbox;
    std::vector<Message> kept;
    size_t count = 0;
    size_t pings = 0;
    const size_t most = round % 3 == 0 ? 100 : round % 3 == 1 ? 10'000 : 1'000'000;
    feed(
        inbox, text, [&] { return 1 + random() % most; },
        [&](const Inbox::Item& item) {
          if (item.kind == Kind::ping) {
            ++pings;
            return;
          }
          ASSERT_EQ(item.kind, Kind::message);
          ASSERT_LT(count, wanted.size());
          ASSERT_EQ(content(item.message), wanted[count++]);
          if (round % 2 == 0) kept.push_back(random() % 2 == 0 ? item.message : item.message.alone());
          if (round % 2 == 1) kept.push_back(item.message.alone());
        });
    EXPECT_EQ(pings, 6u);
    ASSERT_EQ(kept.size(), wanted.size());
    for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(content(kept[i]), wanted[i]);
  }
}

// What goes to other threads shares its memory with nothing that is yet to come.
TEST(JetstreamInbox, WhatIsAloneSharesNoMemory) {
  Inbox inbox;
  std::vector<Message> all;
  const std::string large(200'000, 'x');
  feed(
      inbox, "MSG a 1 1\r\n1\r\nMSG b 1 200000\r\n" + large + "\r\nMSG c 1 1\r\n2\r\n", [] { return SIZE_MAX; },
      [&](const Inbox::Item& item) { all.push_back(item.message); });
  ASSERT_EQ(all.size(), 3u);
  EXPECT_NE(all[0].alone().owner(), all[0].owner());
  EXPECT_EQ(all[1].alone().owner(), all[1].owner()) << "a large one is not copied";
  EXPECT_EQ(content(all[1]), "b|||" + large);
  const auto& chunk = all[2].owner();
  for (const Message* message : {&all[0], &all[1]}) EXPECT_NE(message->owner(), chunk);
}

}  // namespace
}  // namespace sluice::jetstream
