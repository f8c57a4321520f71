// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <vector>

#include "face.hpp"

namespace sluice::c::testing {
namespace {

using ::testing::HasSubstr;

TEST(EnvelopeFace, an_envelope_comes_back) {
  const std::string message(10'000, 'x');
  for (uint32_t codec = 0; codec <= 4; ++codec) {
    std::vector<uint8_t> frame(20'000);
    uint64_t needed = 0;
    Failure failure;
    ASSERT_EQ(sluice_envelope_encode(span(message), codec, 1 << 20, frame.data(), frame.size(), &needed, &failure),
              SLUICE_OK)
        << failure.text;
    frame.resize(needed);
    std::vector<uint8_t> back(message.size());
    uint64_t taken = 0;
    ASSERT_EQ(sluice_envelope_decode({frame.data(), frame.size()}, 1 << 20, back.data(), back.size(), &needed, &taken,
                                     &failure),
              SLUICE_OK)
        << failure.text;
    EXPECT_EQ(taken, frame.size());
    EXPECT_EQ(std::string(back.begin(), back.end()), message);
    EXPECT_EQ(sluice_envelope_decode({frame.data(), frame.size() - 1}, 1 << 20, back.data(), back.size(), &needed,
                                     &taken, &failure),
              SLUICE_OUT_OF_RANGE);
    EXPECT_EQ(
        sluice_envelope_decode({frame.data(), frame.size()}, 100, back.data(), back.size(), &needed, &taken, &failure),
        SLUICE_TOO_LARGE);
    frame[0] ^= 1;
    EXPECT_EQ(sluice_envelope_decode({frame.data(), frame.size()}, 1 << 20, back.data(), back.size(), &needed, &taken,
                                     &failure),
              SLUICE_CORRUPT);
  }
  uint64_t needed = 0;
  EXPECT_EQ(sluice_envelope_encode(span("x"), 5, 100, nullptr, 0, &needed, nullptr), SLUICE_INVALID);
  EXPECT_EQ(sluice_envelope_encode({nullptr, 7}, 0, 100, nullptr, 0, &needed, nullptr), SLUICE_INVALID);
}

sluice_envelope_counts stats(sluice_handle either) {
  sluice_envelope_counts counts{};
  counts.size = sizeof counts;
  EXPECT_EQ(sluice_envelope_stats(either, &counts, nullptr), SLUICE_OK);
  return counts;
}

TEST(EnvelopeFace, a_stream_is_read_in_pieces) {
  Owned writer;
  Owned reader;
  open_by(&sluice_envelope_writer_open, R"({"codec": "zstd", "level": 3})", writer);
  open_by(&sluice_envelope_reader_open, "{}", reader);
  const std::vector<std::string> messages = {"", "short", std::string(5'000, 'a'), std::string(1'000, 'b')};
  std::vector<uint8_t> stream;
  for (const std::string& message : messages) {
    std::vector<uint8_t> frame(message.size() + SLUICE_ENVELOPE_HEADER_BYTES);
    uint64_t needed = 0;
    EXPECT_EQ(sluice_envelope_write(writer, span(message), frame.data(), frame.size() - 1, &needed, nullptr),
              SLUICE_TOO_LARGE);
    EXPECT_EQ(needed, frame.size());
    ASSERT_EQ(sluice_envelope_write(writer, span(message), frame.data(), frame.size(), &needed, nullptr), SLUICE_OK);
    stream.insert(stream.end(), frame.begin(), frame.begin() + static_cast<ptrdiff_t>(needed));
  }
  EXPECT_EQ(stats(writer).messages, 4U);
  EXPECT_EQ(stats(writer).stored_bytes, stream.size());

  std::vector<std::string> read;
  size_t at = 0;
  size_t shown = 0;  // pieces of seven bytes arrive
  while (read.size() < messages.size()) {
    std::vector<uint8_t> buffer(100);
    uint64_t taken = 0;
    uint64_t needed = 0;
    sluice_status status = sluice_envelope_read(reader, {stream.data() + at, shown - at}, &taken, buffer.data(),
                                                buffer.size(), &needed, nullptr);
    at += taken;
    if (status == SLUICE_TOO_LARGE) {
      buffer.resize(needed);
      status = sluice_envelope_read(reader, {stream.data() + at, shown - at}, &taken, buffer.data(), buffer.size(),
                                    &needed, nullptr);
      EXPECT_EQ(taken, 0U);
    }
    if (status == SLUICE_OUT_OF_RANGE) {
      ASSERT_LT(shown, stream.size());
      shown = std::min(shown + 7, stream.size());
      continue;
    }
    ASSERT_EQ(status, SLUICE_OK);
    read.emplace_back(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(needed));
  }
  EXPECT_EQ(read, messages);
  uint64_t position = 0;
  EXPECT_EQ(sluice_envelope_finish(reader, &position, nullptr), SLUICE_OK);
  EXPECT_EQ(position, stream.size());
  EXPECT_EQ(stats(reader).messages, 4U);
  uint64_t taken = 0;
  uint64_t needed = 0;
  EXPECT_EQ(sluice_envelope_read(reader, span("SLxx, this is no frame at all"), &taken, nullptr, 0, &needed, nullptr),
            SLUICE_CORRUPT);
  EXPECT_EQ(sluice_envelope_finish(reader, nullptr, nullptr), SLUICE_CORRUPT);
}

TEST(EnvelopeFace, wrong_settings_are_named) {
  struct Case {
    std::string_view config;
    const char* expected;
  };
  for (const Case& wrong : {Case{R"({"codec": "tar"})", "codec"}, Case{R"({"max_message_bytes": 0})", "max_message"},
                            Case{R"({"level": 1e3})", "level"}, Case{R"({"colour": 1})", "colour"}}) {
    sluice_handle writer = 0;
    Failure failure;
    EXPECT_EQ(sluice_envelope_writer_open(wrong.config.data(), wrong.config.size(), &writer, &failure), SLUICE_INVALID)
        << wrong.config;
    EXPECT_THAT(std::string(failure.text), HasSubstr(wrong.expected)) << wrong.config;
  }
  Failure failure;
  EXPECT_EQ(sluice_envelope_read(0, span("x"), nullptr, nullptr, 0, nullptr, &failure), SLUICE_NOT_FOUND);
}

}  // namespace
}  // namespace sluice::c::testing
