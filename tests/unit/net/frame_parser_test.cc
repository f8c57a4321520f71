// SPDX-License-Identifier: Apache-2.0
#include "net/frame_parser.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "net/response_queue.hpp"

namespace sluice::net {
namespace {

struct Parsing {
  explicit Parsing(int64_t max_frame_bytes) : parser(max_frame_bytes) {}

  /// Feeds `input`, giving memory as asked; returns the last event.
  FrameParser::Event feed(Bytes input) {
    for (;;) {
      const auto event = parser.next(input);
      switch (event) {
        case FrameParser::Event::memory:
          reserved += parser.wanted();
          EXPECT_TRUE(budget->try_reserve(parser.wanted()));
          if (parser.has_frame()) {
            parser.grow();
          } else {
            parser.begin(pool->take(static_cast<size_t>(parser.claimed_size())));
          }
          break;
        case FrameParser::Event::whole:
          frames.emplace_back(as_text(parser.take()->bytes()));
          break;
        default:
          return event;
      }
    }
  }

  std::shared_ptr<MemoryBudget> budget = std::make_shared<MemoryBudget>(int64_t{1} << 40);
  std::shared_ptr<FramePool> pool = FramePool::create(budget);
  FrameParser parser;
  int64_t reserved = 0;
  std::vector<std::string> frames;
};

std::string stream_of(const std::vector<std::string>& bodies) {
  std::string stream;
  for (const auto& body : bodies) {
    std::string prefix(4, '\0');
    store_be(reinterpret_cast<uint8_t*>(prefix.data()), static_cast<int32_t>(body.size()));
    stream += prefix + body;
  }
  return stream;
}

TEST(FrameParser, CutsAnyStreamAnyWay) {
  std::mt19937 random(7);
  std::vector<std::string> bodies;
  for (int i = 0; i < 60; ++i) bodies.emplace_back(1 + random() % (i % 10 == 0 ? 600'000 : 300), static_cast<char>(i));
  const std::string stream = stream_of(bodies);
  for (const size_t longest : {size_t{1} << 20, size_t{5000}, size_t{40}}) {
    Parsing p(1 << 20);
    for (size_t at = 0; at < stream.size();) {
      const size_t n = std::min(stream.size() - at, 1 + random() % longest);
      EXPECT_EQ(p.feed(as_bytes(stream).subspan(at, n)), FrameParser::Event::more);
      at += n;
    }
    EXPECT_EQ(p.frames, bodies);
    EXPECT_FALSE(p.parser.in_frame());
    EXPECT_EQ(p.budget->used(), 0);
  }
}

TEST(FrameParser, MemoryIsAskedForInProportionToWhatHasCome) {
  Parsing p(INT32_MAX);
  const std::string start = stream_of({std::string(1000, 'x')});
  std::string prefix(4, '\0');
  store_be<int32_t>(reinterpret_cast<uint8_t*>(prefix.data()), 1 << 30);
  EXPECT_EQ(p.feed(as_bytes(prefix)), FrameParser::Event::more);
  EXPECT_EQ(p.reserved, FrameParser::kFirstShareBytes);
  const std::string piece(100'000, 'x');
  for (int64_t sent = 0; sent < 5'000'000; sent += static_cast<int64_t>(piece.size())) {
    p.feed(as_bytes(piece));
    EXPECT_LE(p.reserved, 2 * (sent + static_cast<int64_t>(piece.size())) + FrameParser::kFirstShareBytes);
  }
  p.parser.reset();
  EXPECT_EQ(p.budget->used(), 0);
}

TEST(FrameParser, RefusesSizes) {
  const auto event_of = [](int32_t size) {
    std::string prefix(4, '\0');
    store_be(reinterpret_cast<uint8_t*>(prefix.data()), size);
    return Parsing(1000).feed(as_bytes(prefix));
  };
  EXPECT_EQ(event_of(0), FrameParser::Event::empty);
  EXPECT_EQ(event_of(-1), FrameParser::Event::negative);
  EXPECT_EQ(event_of(INT32_MIN), FrameParser::Event::negative);
  EXPECT_EQ(event_of(1001), FrameParser::Event::too_large);
  EXPECT_EQ(event_of(INT32_MAX), FrameParser::Event::too_large);
  EXPECT_EQ(event_of(1000), FrameParser::Event::more);
}

}  // namespace
}  // namespace sluice::net
