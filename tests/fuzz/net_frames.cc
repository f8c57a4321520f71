// SPDX-License-Identifier: Apache-2.0
// The frame parser against a model: the same stream, cut in pieces chosen by the input, gives the frames that reading
// it in one go gives, and never asks for memory out of proportion to what has come.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "net/frame_parser.hpp"

namespace {

using namespace sluice;
using net::FrameParser;

constexpr int64_t kMaxFrameBytes = 1 << 20;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::vector<std::string> frames;
  bool refused = false;
  bool operator==(const Outcome&) const = default;
};

Outcome model_of(Bytes stream) {
  Outcome outcome;
  while (stream.size() >= 4) {
    const auto size = load_be<int32_t>(stream.data());
    outcome.refused = size <= 0 || size > kMaxFrameBytes;
    if (outcome.refused || stream.size() - 4 < static_cast<size_t>(size)) break;
    outcome.frames.emplace_back(as_text(stream.subspan(4, static_cast<size_t>(size))));
    stream = stream.subspan(4 + static_cast<size_t>(size));
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first byte says how the rest is cut: into pieces of that many bytes, or read in place where it is odd.
  if (size < 2) return 0;
  const size_t piece = 1 + data[0] % 64;
  const bool in_place = data[0] % 2 == 1;
  const Bytes stream(data + 1, size - 1);

  static const auto budget = std::make_shared<net::MemoryBudget>(int64_t{1} << 40);
  static const auto pool = net::FramePool::create(budget);
  {
    FrameParser parser(kMaxFrameBytes);
    Outcome outcome;
    int64_t reserved_for_frame = 0;
    for (size_t at = 0; at < stream.size() && !outcome.refused;) {
      Bytes input = stream.subspan(at, std::min(piece, stream.size() - at));
      at += input.size();
      if (const MutableBytes room = parser.room(); in_place && !room.empty()) {
        const size_t n = std::min(room.size(), input.size());
        std::copy_n(input.begin(), n, room.begin());
        parser.filled(n);
        input = input.subspan(n);
      }
      for (bool more = true; more;) {
        switch (parser.next(input)) {
          case FrameParser::Event::more:
            require(input.empty());
            more = false;
            break;
          case FrameParser::Event::memory:
            if (!parser.has_frame()) reserved_for_frame = 0;
            reserved_for_frame += parser.wanted();
            require(reserved_for_frame <= 2 * static_cast<int64_t>(at) + FrameParser::kFirstShareBytes);
            require(budget->try_reserve(parser.wanted()));
            if (parser.has_frame()) {
              parser.grow();
            } else {
              parser.begin(pool->take(static_cast<size_t>(parser.claimed_size())));
            }
            break;
          case FrameParser::Event::whole:
            outcome.frames.emplace_back(as_text(parser.take()->bytes()));
            break;
          default:
            outcome.refused = true;
            more = false;
        }
      }
    }
    require(outcome == model_of(stream));
  }
  require(budget->used() == 0);
  return 0;
}
