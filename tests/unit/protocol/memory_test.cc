// SPDX-License-Identifier: Apache-2.0
// How much memory decoding takes, by counting what this program allocates.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "message_cases.hpp"
#include "protocol/codec.hpp"
#include "protocol/gen/describe_groups.hpp"
#include "protocol/gen/fetch.hpp"
#include "protocol/gen/metadata.hpp"
#include "wire.hpp"

namespace {
thread_local size_t allocated_bytes = 0;
}

// Not inlined: the compiler, seeing malloc on one side alone, would take these for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  allocated_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace sluice::protocol {
namespace {

template <class F>
size_t allocated_by(F f) {
  const size_t before = allocated_bytes;
  f();
  return allocated_bytes - before;
}

TEST(Memory, S12_SizesAreCheckedBeforeMemoryIsTaken) {
  // Array, text and bytes lengths near 2 GiB, in both encodings, at the start of every message and behind plausible
  // bytes.
  const std::vector<Wire> claims = {wire({0x7f, 0xff, 0xff, 0xff}), wire({0x80, 0x80, 0x80, 0x80, 0x08}),
                                    wire({0xff, 0xff, 0xff, 0xff, 0x0f}), wire({0x7f, 0xff})};
  for (const auto& message : cases::message_cases()) {
    for (int16_t version = message.min_version; version <= message.max_version; ++version) {
      for (const Wire& claim : claims) {
        for (size_t before = 0; before < 40; ++before) {
          const Wire frame = Wire(before, std::byte{0}) + claim + Wire(20, std::byte{1});
          const size_t taken = allocated_by([&] { (void)message.describe(frame, version); });
          ASSERT_LT(taken, size_t{1} << 20) << message.name << " v" << version << " after " << before;
        }
      }
    }
  }
}

TEST(Memory, ARequestTakesNoMoreThanItMayHoweverLargeItIs) {
  // Empty names, a byte each on the wire, and a view of sixteen in memory.
  constexpr size_t kNames = 8 << 20;
  Wire frame(kNames + 10, std::byte{1});
  const Wire count = wire({0x81, 0x80, 0x80, 0x04});  // kNames, plus one
  std::copy(count.begin(), count.end(), frame.begin());
  bool decoded = true;
  const size_t taken = allocated_by([&] { decoded = decode_front<DescribeGroupsRequest>(frame, 5).has_value(); });
  EXPECT_FALSE(decoded);
  EXPECT_LE(taken, kMaxRequestDecodeBytes + (64 << 10));
}

TEST(Memory, DecodingTakesAtMostItsBudget) {
  // Each element of this array is as small as it gets: 18 bytes of id and name, and the end of its tags.
  Wire frame = wire({0x81, 0x80, 0x04});  // 65536, plus one
  for (int i = 0; i < 65536; ++i) frame.resize(frame.size() + 18, std::byte{0});
  frame = frame + wire({0, 0, 0});
  const size_t taken = allocated_by([&] {
    const auto decoded = decode<MetadataRequest>(frame, 12);
    ASSERT_TRUE(decoded.has_value()) << decoded.error().describe();
  });
  EXPECT_LT(taken, kDecodeAllowanceBytes + kMaxDecodeGrowth * frame.size());
}

TEST(Memory, ARequestOfViewsCopiesNoText) {
  FetchRequest request;
  request.topics.push_back(
      {.topic = "a topic name that no small string optimisation holds", .topic_id = {}, .partitions = {}});
  request.rack_id = "a rack name that no small string optimisation holds either";
  const Wire body = encode(request, 11)->to_vector();
  const size_t taken = allocated_by([&] { ASSERT_TRUE(decode<FetchRequest>(body, 11).has_value()); });
  EXPECT_EQ(taken, sizeof(FetchRequest::Topic));
}

}  // namespace
}  // namespace sluice::protocol
