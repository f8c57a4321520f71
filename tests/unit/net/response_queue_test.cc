// SPDX-License-Identifier: Apache-2.0
#include "net/response_queue.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace sluice::net {
namespace {

Response response_of(const std::string& text) {
  Response response;
  // In pieces, so that positions fall inside and between segments.
  for (size_t at = 0; at < text.size(); at += 3)
    response.segments.append(Buffer::copy_of(as_bytes(text).subspan(at, std::min<size_t>(3, text.size() - at))));
  return response;
}

/// Writes up to `most` bytes of what is ready.
std::string write_some(ResponseQueue& queue, size_t most) {
  std::string written;
  queue.show([&](const Segment& segment) {
    const size_t n = std::min<size_t>(segment.length, most - written.size());
    written += as_text({segment.data, n});
    return written.size() < most;
  });
  queue.advance(written.size());
  return written;
}

TEST(ResponseQueue, WritesInOrderWhateverTheOrderOfFinishingAndThePieces) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    ResponseQueue queue;
    std::vector<uint64_t> places(20);
    std::string expected, written;
    std::vector<std::string> texts;
    for (size_t i = 0; i < places.size(); ++i) {
      places[i] = queue.open();
      texts.emplace_back(random() % 30, static_cast<char>('a' + i));
      expected += std::string({0, 0, 0, static_cast<char>(texts.back().size())}) + texts.back();
    }
    std::vector<size_t> order(places.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t i : order) {
      queue.finish(places[i], response_of(texts[i]));
      written += write_some(queue, 1 + random() % 40);
    }
    while (queue.ready()) written += write_some(queue, 1 + random() % 40);
    EXPECT_EQ(written, expected);
    EXPECT_EQ(queue.waiting(), 0u);
    EXPECT_EQ(queue.in_flight(), 0u);
    EXPECT_EQ(queue.queued_bytes(), 0u);
  }
}

TEST(ResponseQueue, FreesAResponseOnceItIsWritten) {
  ResponseQueue queue;
  const auto lease = std::make_shared<std::string>("lent");
  Response response;
  response.segments.append(as_bytes(*lease), lease);
  const uint64_t place = queue.open();
  queue.finish(place, std::move(response));
  EXPECT_EQ(write_some(queue, 7).size(), 7u);
  EXPECT_EQ(lease.use_count(), 2);
  EXPECT_EQ(write_some(queue, 7), "t");
  EXPECT_EQ(lease.use_count(), 1);
}

TEST(ResponseQueue, NoneIsSkippedWhereverItIs) {
  ResponseQueue queue;
  std::vector<uint64_t> places;
  for (int i = 0; i < 5; ++i) places.push_back(queue.open());
  for (const int i : {0, 1, 3}) {
    Response none;
    none.none = true;
    queue.finish(places[static_cast<size_t>(i)], std::move(none));
  }
  EXPECT_TRUE(queue.ready());
  EXPECT_EQ(write_some(queue, 100), "");
  EXPECT_FALSE(queue.ready());
  EXPECT_EQ(queue.waiting(), 3u);
  queue.finish(places[4], response_of("d"));
  queue.finish(places[2], response_of("c"));
  EXPECT_EQ(write_some(queue, 100).size(), 10u);
  EXPECT_EQ(queue.waiting(), 0u);
}

TEST(ResponseQueue, NothingComesAfterTheOneThatCloses) {
  ResponseQueue queue;
  const uint64_t first = queue.open(), second = queue.open();
  queue.finish(second, response_of("second"));
  Response last = response_of("first");
  last.close_connection = true;
  queue.finish(first, std::move(last));
  EXPECT_EQ(write_some(queue, 100), std::string({0, 0, 0, 5}) + "first");
  EXPECT_TRUE(queue.closing());
}

TEST(ResponseQueue, FileRangesKeepTheirPlace) {
  ResponseQueue queue;
  Response response;
  response.segments.append(as_bytes("ab"));
  response.segments.append_file(7, 1000, 50);
  queue.finish(queue.open(), std::move(response));
  queue.advance(4 + 2 + 20);
  int shown = 0;
  queue.show([&](const Segment& segment) {
    ++shown;
    EXPECT_EQ(segment.fd, 7);
    EXPECT_EQ(segment.position, 1020u);
    EXPECT_EQ(segment.length, 30u);
    return true;
  });
  EXPECT_EQ(shown, 1);
  queue.advance(30);
  EXPECT_EQ(queue.waiting(), 0u);
}

TEST(ResponseQueue, LateAndDoubleFinishesAreHarmless) {
  ResponseQueue queue;
  const uint64_t place = queue.open(), other = queue.open();
  queue.finish(place, response_of("x"));
  queue.finish(place, response_of("y"));
  EXPECT_EQ(write_some(queue, 100).back(), 'x');
  queue.finish(place, response_of("z"));
  queue.drop();
  queue.finish(other, response_of("late"));
  EXPECT_FALSE(queue.ready());
  EXPECT_EQ(queue.queued_bytes(), 0u);
}

}  // namespace
}  // namespace sluice::net
