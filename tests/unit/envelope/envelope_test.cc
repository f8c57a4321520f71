// SPDX-License-Identifier: Apache-2.0
#include "sluice/envelope.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/crc32c.hpp"
#include "envelope/frame.hpp"
#include "records/codec.hpp"

namespace sluice {
namespace {

using envelope::FrameHeader;

constexpr uint32_t kFourMiB = 4 << 20;
constexpr EnvelopeCodec kCodecs[] = {EnvelopeCodec::none, EnvelopeCodec::gzip, EnvelopeCodec::snappy,
                                     EnvelopeCodec::lz4, EnvelopeCodec::zstd};

std::unique_ptr<EnvelopeWriter> writer(EnvelopeCodec codec, uint32_t max_message_bytes = kFourMiB) {
  EnvelopeSettings settings;
  settings.codec = codec;
  settings.max_message_bytes = max_message_bytes;
  return std::move(EnvelopeWriter::open(settings).value());
}
std::unique_ptr<EnvelopeReader> reader(uint32_t max_message_bytes = kFourMiB) {
  return std::move(EnvelopeReader::open(max_message_bytes).value());
}

// A frame around what is stored already, whatever it is.
Buffer frame(EnvelopeCodec codec, uint32_t stored_bytes, uint32_t message_bytes, Bytes stored) {
  FrameHeader header;
  header.codec = codec;
  header.stored_bytes = stored_bytes;
  header.message_bytes = message_bytes;
  header.stored_crc = crc32c(stored);
  Buffer out(kEnvelopeHeaderBytes);
  envelope::write_header(header, out.data());
  out.append(stored);
  return out;
}

// Feeds `stream` in pieces of `piece` bytes; the messages, or the error in place of the rest.
Result<std::vector<std::string>> read_all(EnvelopeReader& from, Bytes stream, size_t piece) {
  std::vector<std::string> messages;
  while (!stream.empty()) {
    Bytes input = stream.first(std::min(piece, stream.size()));
    stream = stream.subspan(input.size());
    for (;;) {
      const Result<std::optional<Bytes>> message = from.next(input);
      if (!message) return fail(message.error());
      if (!message->has_value()) break;
      messages.emplace_back(as_text(**message));
    }
    EXPECT_TRUE(input.empty());
  }
  return messages;
}

// The most address space that this process ever had, in bytes.
size_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmPeak:")) return std::stoul(line.substr(7)) * 1024;
  }
  return 0;
}

TEST(Envelope, MessagesComeBackWhateverCodecAndPieces) {
  std::minstd_rand random(1);
  std::vector<std::string> messages = {"", "x", std::string("\0\xff\0", 3), std::string(100'000, 'a')};
  std::string noise(5'000, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  messages.push_back(noise);
  for (const EnvelopeCodec codec : kCodecs) {
    const auto out = writer(codec);
    Buffer stream;
    for (const std::string& message : messages) ASSERT_TRUE(out->write(as_bytes(message), stream).ok());
    EXPECT_EQ(out->counters().messages, messages.size());
    EXPECT_EQ(out->counters().stored_bytes, stream.size());
    if (codec != EnvelopeCodec::none) {
      EXPECT_LT(stream.size(), 20'000U);
    }
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{23}, size_t{24}, size_t{25}, size_t{1000}, stream.size()}) {
      const auto in = reader();
      const auto back = read_all(*in, stream, piece);
      ASSERT_TRUE(back) << back.error().describe();
      EXPECT_EQ(*back, messages) << "pieces of " << piece;
      EXPECT_TRUE(in->finish().ok());
      EXPECT_EQ(in->position(), stream.size());
      EXPECT_EQ(in->counters().messages, messages.size());
    }
  }
}

TEST(Envelope, S04_AFailingSerialiserWritesNothing) {
  const auto out = writer(EnvelopeCodec::zstd);
  Buffer stream;
  ASSERT_TRUE(out->write(as_bytes("before"), stream).ok());
  const size_t size = stream.size();

  EnvelopeWriter::Serialiser fails = [](Buffer& to) {
    to.append(as_bytes("half of"));
    return Status(StatusCode::invalid, "field 3 has no value");
  };
  const Status status = out->write(fails, stream);
  EXPECT_EQ(status.code(), StatusCode::invalid);
  EXPECT_EQ(status.text(), "field 3 has no value");
  EnvelopeWriter::Serialiser throws = [](Buffer&) -> Status { throw std::runtime_error("out of paper"); };
  EXPECT_EQ(out->write(throws, stream).text(), "the serialiser threw: out of paper");
  EXPECT_EQ(stream.size(), size);
  EXPECT_EQ(out->counters().serialiser_failures, 2U);
  EXPECT_EQ(out->counters().messages, 1U);

  EnvelopeWriter::Serialiser works = [](Buffer& to) {
    to.append(as_bytes("after"));
    return Status();
  };
  EXPECT_TRUE(out->write(works, stream).ok());
  const auto in = reader();
  EXPECT_EQ(read_all(*in, stream, stream.size()).value(), (std::vector<std::string>{"before", "after"}));
}

TEST(Envelope, S12_AClaimedSizeTakesNoMemory) {
  const size_t before = peak_bytes();
  ASSERT_GT(before, 0U);
  const Buffer huge = frame(EnvelopeCodec::none, 0x80000000, 0x80000000, {});
  const Buffer expanding = frame(EnvelopeCodec::zstd, 0x7fffffff, 0x80000000, {});
  for (const Buffer* claim : {&huge, &expanding}) {
    const auto in = reader();
    Bytes input = *claim;
    const auto message = in->next(input);
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error().code(), StatusCode::too_large);
    EXPECT_TRUE(message.error().text().starts_with("byte 0: ")) << message.error().text();
    EXPECT_EQ(in->counters().refused, 1U);
  }
  // Within the limit too, memory is taken for what arrives.
  const Buffer slow =
      frame(EnvelopeCodec::none, kLargestMaxMessageBytes, kLargestMaxMessageBytes, as_bytes("a few bytes"));
  const auto in = reader(kLargestMaxMessageBytes);
  Bytes input = slow;
  EXPECT_FALSE(in->next(input).value().has_value());
  EXPECT_LT(peak_bytes() - before, 1U << 20);
}

TEST(Envelope, S14_WhatIsExpandedIsHeldToTheMessageLimit) {
  const std::string most(kFourMiB, 'm');
  const std::string more(kFourMiB + 1, 'm');
  for (const EnvelopeCodec codec : kCodecs) {
    Buffer stream;
    ASSERT_TRUE(writer(codec)->write(as_bytes(most), stream).ok());
    auto in = reader();
    EXPECT_EQ(read_all(*in, stream, stream.size()).value().at(0).size(), kFourMiB);

    Buffer larger;
    EXPECT_EQ(writer(codec)->write(as_bytes(more), larger).code(), StatusCode::too_large);
    EXPECT_TRUE(larger.empty());
    ASSERT_TRUE(writer(codec, 2 * kFourMiB)->write(as_bytes(more), larger).ok());
    in = reader();
    EXPECT_EQ(read_all(*in, larger, larger.size()).error().code(), StatusCode::too_large);
    EXPECT_EQ(read_all(*reader(2 * kFourMiB), larger, larger.size()).value().at(0).size(), kFourMiB + 1);
    if (codec == EnvelopeCodec::none) continue;

    // A bomb: says that it is 4 MiB, and is 64.
    Buffer bomb;
    ASSERT_TRUE(records::compress(static_cast<records::Codec>(codec), records::kDefaultLevel,
                                  as_bytes(std::string(16 * size_t{kFourMiB}, 'b')), bomb)
                    .ok());
    const size_t before = peak_bytes();
    const Buffer framed = frame(codec, static_cast<uint32_t>(bomb.size()), kFourMiB, bomb);
    in = reader();
    const auto exploded = read_all(*in, framed, framed.size());
    ASSERT_FALSE(exploded);
    EXPECT_EQ(exploded.error().code(), StatusCode::too_large) << exploded.error().describe();
    EXPECT_LT(peak_bytes() - before, 5 * size_t{kFourMiB});
  }
}

TEST(Envelope, EveryFlippedBitIsTold) {
  Buffer stream;
  ASSERT_TRUE(writer(EnvelopeCodec::none)->write(as_bytes("payload"), stream).ok());
  for (size_t bit = 0; bit < 8 * stream.size(); ++bit) {
    const auto mask = static_cast<uint8_t>(1U << (bit % 8));
    stream.data()[bit / 8] ^= mask;
    const auto in = reader();
    const auto back = read_all(*in, stream, stream.size());
    ASSERT_FALSE(back) << "bit " << bit;
    EXPECT_EQ(back.error().code(), StatusCode::corrupt);
    Bytes more;
    EXPECT_EQ(in->next(more).error().text(), back.error().text()) << "it is said again";
    EXPECT_FALSE(in->finish().ok());
    stream.data()[bit / 8] ^= mask;
  }
}

TEST(Envelope, UnknownVersionsCodecsAndFlagsAreRefused) {
  const auto with = [](size_t at, uint8_t value) {
    Buffer stream = frame(EnvelopeCodec::none, 1, 1, as_bytes("m"));
    stream.data()[at] = value;
    store_be(stream.data() + envelope::kHeaderCrcAt, crc32c(stream.view().first(envelope::kHeaderCrcAt)));
    return read_all(*reader(), stream, stream.size()).error().code();
  };
  EXPECT_EQ(with(4, 2), StatusCode::unsupported);
  EXPECT_EQ(with(5, 5), StatusCode::unsupported);
  EXPECT_EQ(with(7, 1), StatusCode::unsupported);
}

TEST(Envelope, FramesThatLieAboutTheirSizeAreToldAtTheirPosition) {
  Buffer small;
  ASSERT_TRUE(
      records::compress(records::Codec::lz4, records::kDefaultLevel, as_bytes(std::string(1000, 's')), small).ok());
  const auto stored = static_cast<uint32_t>(small.size());
  Buffer stream;
  ASSERT_TRUE(writer(EnvelopeCodec::none)->write(as_bytes("fine"), stream).ok());
  stream.append(frame(EnvelopeCodec::lz4, stored, 1001, small));
  const auto back = read_all(*reader(), stream, stream.size());
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code(), StatusCode::corrupt);
  EXPECT_EQ(back.error().text(), "byte 28: a message of 1000 bytes where 1001 were told");
  EXPECT_FALSE(read_all(*reader(), frame(EnvelopeCodec::lz4, stored, 999, small), 100));
  EXPECT_FALSE(read_all(*reader(), frame(EnvelopeCodec::lz4, stored, stored, small), 100));
  EXPECT_FALSE(read_all(*reader(), frame(EnvelopeCodec::none, 5, 4, as_bytes("fives")), 100));
}

TEST(Envelope, AStreamThatEndsWithinAFrameIsToldAtItsEnd) {
  Buffer stream;
  const auto out = writer(EnvelopeCodec::none);
  ASSERT_TRUE(out->write(as_bytes("one"), stream).ok());
  ASSERT_TRUE(out->write(as_bytes("two"), stream).ok());
  const auto in = reader();
  EXPECT_EQ(read_all(*in, stream.view().first(stream.size() - 1), 5).value(), std::vector<std::string>{"one"});
  EXPECT_EQ(in->finish().text(), "byte 27: the stream ends 26 bytes into a frame");
}

TEST(Envelope, SettingsAreChecked) {
  EnvelopeSettings settings;
  settings.codec = static_cast<EnvelopeCodec>(5);
  EXPECT_EQ(EnvelopeWriter::open(settings).error().text(), "envelope.codec: no codec 5");
  settings.codec = EnvelopeCodec::none;
  for (const uint32_t bytes : {uint32_t{0}, kLargestMaxMessageBytes + 1, UINT32_MAX}) {
    settings.max_message_bytes = bytes;
    EXPECT_EQ(EnvelopeWriter::open(settings).error().code(), StatusCode::invalid);
    EXPECT_EQ(EnvelopeReader::open(bytes).error().code(), StatusCode::invalid);
  }
}

}  // namespace
}  // namespace sluice
