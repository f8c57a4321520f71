// SPDX-License-Identifier: Apache-2.0
// A cursor of 1,000 shards into its text and back, beside base64 alone of as many bytes: what a consumer does with each
// response, whose ids stay the same, and once after a start, when nothing is known of the ids but the text.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "consumer/base64url.hpp"
#include "sluice/cursor.hpp"

namespace {

constexpr int kShards = 1'000;
constexpr int kRounds = 20'000;

/// Of `work` on what `prepare` makes anew each time, which takes no part in it.
template <class Prepare, class Work>
double median_us(Prepare&& prepare, Work&& work) {
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) {
    auto with = prepare();
    const auto start = std::chrono::steady_clock::now();
    work(with);
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}
template <class Work>
double median_us(Work&& work) {
  return median_us([] { return 0; }, [&](int) { work(); });
}

}  // namespace

int main() {
  sluice::Cursor cursor;
  std::mt19937_64 random(1);
  for (int i = 0; i < kShards; ++i) {
    if (!cursor.set(fmt::format("orders-eu/{}", i), static_cast<int64_t>(random() % 100'000'000))) return 1;
  }
  const std::string text = cursor.encode();
  size_t sum = 0;
  const double encode = median_us([&] { sum += cursor.encode().size(); });
  const double decode = median_us([&] { sum += sluice::Cursor::decode(text)->size(); });
  const double first_encode = median_us([&] { return sluice::Cursor::decode(text); },
                                        [&](auto& decoded) {
                                          decoded->set_at(0, static_cast<int64_t>(sum % 100));
                                          sum += decoded->encode().size();
                                        });
  const std::vector<uint8_t> bytes(text.size() * 3 / 4);
  const double base64 = median_us([&] {
    std::string coded;
    sluice::consumer::base64url_append(bytes, coded);
    sum += coded.size();
  });
  fmt::print(
      "{} shards, {} characters: encode {:.1f} us, decode {:.1f} us (aim: 10); first encode after a decode {:.1f} us; "
      "base64 of as much {:.1f} us ({})\n",
      kShards, text.size(), encode, decode, first_encode, base64, sum % 10);
}
