// SPDX-License-Identifier: Apache-2.0
#include "jetstream/outbox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <list>
#include <random>
#include <string>
#include <vector>

namespace sluice::jetstream {
namespace {

Outgoing message(const std::string& subject, std::string_view payload) {
  Outgoing outgoing;
  outgoing.subject = subject;
  outgoing.payload = Pieces(as_bytes(payload));
  return outgoing;
}

/// Up to `bytes` of what is next, in calls of up to `pieces` pieces.
std::string take(Outbox& outbox, size_t bytes, size_t pieces = 3) {
  std::string taken;
  std::array<iovec, 8> space;
  const size_t count = outbox.next(std::span(space).first(pieces));
  for (size_t i = 0; i < count && taken.size() < bytes; ++i) {
    taken.append(static_cast<const char*>(space[i].iov_base), std::min(space[i].iov_len, bytes - taken.size()));
  }
  outbox.sent(taken.size());
  return taken;
}

std::string take_all(Outbox& outbox) {
  std::string taken;
  while (!outbox.empty()) taken += take(outbox, SIZE_MAX);
  return taken;
}

TEST(Pieces, PartsGoAcrossPlaces) {
  Pieces pieces;
  for (const std::string_view text : {"ab", "", "cdef", "g"}) pieces.add(as_bytes(text));
  EXPECT_EQ(pieces.size(), 7u);
  EXPECT_EQ(pieces.list().size(), 3u);
  EXPECT_EQ(as_text(pieces.copy().view()), "abcdefg");
  EXPECT_EQ(as_text(pieces.part(1, 3).copy().view()), "bcd");
  EXPECT_EQ(as_text(pieces.part(2, 100).copy().view()), "cdefg");
  EXPECT_EQ(pieces.part(7, 1).size(), 0u);
  EXPECT_EQ(pieces.part(0, 0).size(), 0u);
}

TEST(Outbox, WritesThePlainForm) {
  Outbox outbox;
  const Outgoing outgoing = message("a.b", "hello");
  outbox.push(1, outgoing, "_INBOX.1");
  EXPECT_EQ(take_all(outbox), "PUB a.b _INBOX.1 5\r\nhello\r\n");
  EXPECT_TRUE(outbox.empty());
  const Outgoing empty = message("a", "");
  outbox.push(2, empty, "r");
  EXPECT_EQ(take_all(outbox), "PUB a r 0\r\n\r\n");
}

TEST(Outbox, WritesHeadersWithTheirSizes) {
  Outbox outbox;
  Outgoing outgoing = message("a", "xyz");
  outgoing.headers = {{"K", "v w"}, {"K", ""}};
  const std::string block = "NATS/1.0\r\nK: v w\r\nK: \r\n\r\n";
  outbox.push(1, outgoing, "r");
  EXPECT_EQ(take_all(outbox), "HPUB a r " + std::to_string(block.size()) + " " + std::to_string(block.size() + 3) +
                                  "\r\n" + block + "xyz\r\n");
  EXPECT_EQ(Outbox::message_bytes(outgoing), block.size() + 3);
}

TEST(Outbox, RefusesWhatIsNoLine) {
  EXPECT_TRUE(Outbox::is_sound(message("a.b", "\r\n")));
  for (const char* subject : {"", "a b", "a\r\nPUB x", "a\t"}) EXPECT_FALSE(Outbox::is_sound(message(subject, "")));
  using Header = std::pair<std::string, std::string>;
  for (const Header& header : {Header("", "v"), Header("a:b", "v"), Header("a\n", "v"), Header("a", "v\r\nb: c")}) {
    Outgoing outgoing = message("a", "");
    outgoing.headers = {header};
    EXPECT_FALSE(Outbox::is_sound(outgoing)) << header.first;
  }
}

TEST(Outbox, RefersToLargePayloadsAndCopiesSmallOnes) {
  Outbox outbox;
  const std::string large(Outbox::kCopiedBytes + 1, 'x');
  std::string small(Outbox::kCopiedBytes, 'y');
  const Outgoing first = message("a", large);
  const Outgoing second = message("b", small);
  outbox.push(1, first, "r");
  outbox.push(2, second, "r");
  std::array<iovec, 8> space;
  ASSERT_EQ(outbox.next(space), 4u);
  EXPECT_EQ(space[1].iov_base, large.data());
  small.assign(small.size(), 'z');
  EXPECT_EQ(take_all(outbox).find('z'), std::string::npos);
}

TEST(Outbox, WithdrawsWhatHasNotBegun) {
  Outbox outbox;
  const Outgoing first = message("a", "1");
  const Outgoing second = message("b", "2");
  const Outgoing third = message("c", "3");
  outbox.push(5, first, "r");
  outbox.push(7, second, "r");
  outbox.push(9, third, "r");
  EXPECT_EQ(outbox.withdraw(7), Outbox::Sent::no);
  EXPECT_EQ(outbox.withdraw(5), Outbox::Sent::no);
  EXPECT_EQ(outbox.withdraw(6), Outbox::Sent::whole);
  EXPECT_EQ(take_all(outbox), "PUB c r 1\r\n3\r\n");
  EXPECT_EQ(outbox.withdraw(9), Outbox::Sent::whole);
}

TEST(Outbox, EndsWhatHasBegunWithoutItsOwner) {
  const std::string whole = "PUB a r 5000\r\n" + std::string(5'000, 'x') + "\r\n";
  for (const size_t before : {size_t{1}, size_t{14}, size_t{15}, size_t{4'000}, whole.size() - 1}) {
    Outbox outbox;
    std::string payload(5'000, 'x');
    const Outgoing outgoing = message("a", payload);
    const Outgoing next = message("b", "2");
    outbox.push(1, outgoing, "r");
    outbox.push(2, next, "r");
    std::string sent = take(outbox, before);
    EXPECT_EQ(outbox.withdraw(1), Outbox::Sent::partly);
    payload.assign(payload.size(), 'z');
    while (sent.size() < whole.size()) sent += take(outbox, whole.size() - sent.size(), 1);
    EXPECT_EQ(sent, whole);
    EXPECT_EQ(take_all(outbox), "PUB b r 1\r\n2\r\n");
  }
}

TEST(Outbox, LinesKeepTheirPlaceBetweenMessages) {
  Outbox outbox;
  const Outgoing first = message("a", "1");
  const Outgoing second = message("b", "2");
  outbox.push(1, first, "r");
  outbox.push_line(2, "PONG\r\n");
  outbox.push(3, second, "r");
  std::string sent = take(outbox, 5);
  EXPECT_EQ(outbox.withdraw(3), Outbox::Sent::no);
  EXPECT_EQ(outbox.withdraw(1), Outbox::Sent::partly);
  EXPECT_EQ(sent + take_all(outbox), "PUB a r 1\r\n1\r\nPONG\r\n");
}

TEST(Outbox, AnyWayOfSendingGivesTheSameBytes) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    Outbox outbox;
    std::list<std::string> texts;
    std::list<Outgoing> messages;
    std::string wanted;
    std::vector<size_t> begins;
    for (uint64_t id = 1; id <= 6; ++id) {
      begins.push_back(wanted.size());
      Outgoing& outgoing = messages.emplace_back();
      outgoing.subject = "s" + std::to_string(id);
      std::string whole;
      for (size_t pieces = random() % 4; pieces > 0; --pieces) {
        texts.emplace_back(random() % 6'000, static_cast<char>('a' + random() % 26));
        outgoing.payload.add(as_bytes(texts.back()));
        whole += texts.back();
      }
      outbox.push(id, outgoing, "r");
      wanted += "PUB " + outgoing.subject + " r " + std::to_string(whole.size()) + "\r\n" + whole + "\r\n";
    }
    std::string sent;
    while (!outbox.empty()) {
      sent += take(outbox, random() % 3'000, 1 + random() % 8);
      // Only what is under way: the rest is expected.
      const auto next = std::upper_bound(begins.begin(), begins.end(), sent.size());
      const bool inside = !outbox.empty() && *std::prev(next) != sent.size();
      if (inside && random() % 3 == 0) {
        EXPECT_EQ(outbox.withdraw(static_cast<uint64_t>(next - begins.begin())), Outbox::Sent::partly);
      }
    }
    EXPECT_EQ(sent, wanted);
  }
}

}  // namespace
}  // namespace sluice::jetstream
