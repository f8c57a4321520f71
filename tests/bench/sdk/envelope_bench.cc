// SPDX-License-Identifier: Apache-2.0
// Envelopes written and read beside the codec alone on the same messages, by turns.
//
//     envelope_bench [ROUNDS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "records/codec.hpp"
#include "sluice/envelope.hpp"

namespace {

using sluice::Buffer;
using sluice::Bytes;

constexpr size_t kBytesPerTurn = 16 << 20;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

template <class Work>
double seconds(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void require(bool well) {
  if (well) return;
  fmt::print(stderr, "failed\n");
  std::exit(1);
}

std::string message_of(size_t bytes) {
  std::string message;
  for (uint32_t i = 1; message.size() < bytes; ++i) {
    message += fmt::format(R"({{"id":{},"user":"u{:08x}","amount":{},"state":"accepted"}})", i, i * 2654435761U,
                           i * 7919 % 100'000);
  }
  message.resize(bytes);
  return message;
}

void compare(sluice::records::Codec codec, size_t bytes, int rounds) {
  const std::string text = message_of(bytes);
  const Bytes message = sluice::as_bytes(text);
  const size_t turns = std::max<size_t>(1, kBytesPerTurn / bytes);
  sluice::EnvelopeSettings settings;
  settings.codec = static_cast<sluice::EnvelopeCodec>(codec);
  const auto writer = std::move(sluice::EnvelopeWriter::open(settings).value());
  const auto reader = std::move(sluice::EnvelopeReader::open().value());
  std::vector<double> alone;
  std::vector<double> ours;
  Buffer out;
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(seconds([&] {
      for (size_t i = 0; i < turns; ++i) {
        out.resize(0);
        require(sluice::records::compress(codec, sluice::records::kDefaultLevel, message, out).ok());
        require(sluice::records::decompress(codec, out, sluice::kDefaultMaxMessageBytes).has_value());
      }
    }));
    ours.push_back(seconds([&] {
      for (size_t i = 0; i < turns; ++i) {
        out.resize(0);
        require(writer->write(message, out).ok());
        Bytes input = out;
        require(reader->next(input).value().has_value());
      }
    }));
  }
  const double megabytes = static_cast<double>(turns * bytes) / 1e6;
  fmt::print("{:>6} {:>8} bytes: envelope {:7.0f} MB/s, codec alone {:7.0f} MB/s, ratio of times {:.3f}\n",
             sluice::records::codec_name(codec), bytes, megabytes / median(ours), megabytes / median(alone),
             median(ours) / median(alone));
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 9;
  require(rounds > 0);
  using sluice::records::Codec;
  for (const Codec codec : {Codec::none, Codec::lz4, Codec::snappy, Codec::zstd, Codec::gzip}) {
    for (const size_t bytes : {size_t{1} << 10, size_t{1} << 16, size_t{1} << 20}) compare(codec, bytes, rounds);
  }
  return 0;
}
