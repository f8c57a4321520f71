// SPDX-License-Identifier: Apache-2.0
#include "filter/time.hpp"

namespace sluice::filter {
namespace {

/// Takes fixed parts off the front of a text; a part that is not there fails it.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return text_.empty(); }
  bool failed() const { return failed_; }
  bool take(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) failed_ = true;
  }
  /// A number of exactly `digits` digits from `low` to `high`.
  int64_t number(size_t digits, int64_t low, int64_t high) {
    int64_t value = 0;
    for (size_t i = 0; i < digits; ++i) value = value * 10 + digit();
    if (value < low || value > high) failed_ = true;
    return value;
  }
  /// 1 to 9 digits behind a decimal point, as nanoseconds.
  int64_t nanoseconds() {
    int64_t value = digit();
    int64_t scale = kNanosPerSecond / 10;
    while (!failed_ && !text_.empty() && text_[0] >= '0' && text_[0] <= '9') {
      value = value * 10 + digit();
      scale /= 10;
      if (scale == 0) failed_ = true;
    }
    return value * scale;
  }

 private:
  int64_t digit() {
    if (text_.empty() || text_[0] < '0' || text_[0] > '9') {
      failed_ = true;
      return 0;
    }
    const int64_t value = text_[0] - '0';
    text_.remove_prefix(1);
    return value;
  }

  std::string_view text_;
  bool failed_ = false;
};

bool is_leap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t days_in(int64_t year, int64_t month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/// Days from 1970-01-01, for years from 1 on.
int64_t days_since_epoch(int64_t year, int64_t month, int64_t day) {
  const int64_t before = year - 1;
  int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719'162;
  for (int64_t i = 1; i < month; ++i) days += days_in(year, i);
  return days + day - 1;
}

}  // namespace

std::optional<Int128> parse_time(std::string_view text) {
  Scanner scan(text);
  const int64_t year = scan.number(4, 1, 9999);
  scan.expect('-');
  const int64_t month = scan.number(2, 1, 12);
  scan.expect('-');
  if (scan.failed()) return std::nullopt;
  const int64_t day = scan.number(2, 1, days_in(year, month));
  int64_t seconds = days_since_epoch(year, month, day) * 86'400;
  int64_t nanoseconds = 0;
  if (!scan.done()) {
    if (!scan.take('T') && !scan.take('t')) scan.expect(' ');
    seconds += scan.number(2, 0, 23) * 3'600;
    scan.expect(':');
    seconds += scan.number(2, 0, 59) * 60;
    if (scan.take(':')) {
      seconds += scan.number(2, 0, 59);
      if (scan.take('.')) nanoseconds = scan.nanoseconds();
    }
    if (!scan.done() && !scan.take('Z') && !scan.take('z')) {
      const bool east = scan.take('+');
      if (!east) scan.expect('-');
      int64_t offset = scan.number(2, 0, 23) * 3'600;
      scan.expect(':');
      offset += scan.number(2, 0, 59) * 60;
      seconds -= east ? offset : -offset;
    }
  }
  if (scan.failed() || !scan.done()) return std::nullopt;
  return static_cast<Int128>(seconds) * kNanosPerSecond + nanoseconds;
}

}  // namespace sluice::filter
