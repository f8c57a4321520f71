// SPDX-License-Identifier: Apache-2.0
#include "jetstream/inbox.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace sluice::jetstream {
namespace {

constexpr size_t kEndOfLineBytes = 2;
constexpr size_t kLeastRoomBytes = Inbox::kChunkBytes / 8;

/// What stands between blanks.
class Words {
 public:
  static constexpr size_t kMost = 6;

  explicit Words(std::string_view line) {
    while (!line.empty()) {
      const size_t size = std::min(line.find(' '), line.size());
      if (size > 0 && count_ == kMost) {
        count_ = 0;
        return;
      }
      if (size > 0) words_[count_++] = line.substr(0, size);
      line.remove_prefix(std::min(size + 1, line.size()));
    }
  }
  /// 0: more than any line has.
  size_t count() const { return count_; }
  std::string_view operator[](size_t index) const { return words_[index]; }
  bool size_at(size_t index, size_t& size) const {
    const std::string_view word = words_[index];
    const auto [at, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    return error == std::errc() && at == word.data() + word.size();
  }

 private:
  std::array<std::string_view, kMost> words_;
  size_t count_ = 0;
};

}  // namespace

// What is there goes along.
void Inbox::move_to(size_t size) {
  auto memory = std::make_shared_for_overwrite<uint8_t[]>(size);
  if (there() > 0) std::memcpy(memory.get(), memory_.get() + begin_, there());
  memory_ = std::move(memory);
  size_ = size;
  end_ = there();
  begin_ = 0;
  alone_ = false;
}

std::span<uint8_t> Inbox::room() {
  // Nobody else has a chunk whose messages are all done with: they are only kept by the thread that calls this.
  const bool ours = memory_.use_count() == 1 && !alone_;
  if (begin_ == end_ && ours) begin_ = end_ = 0;
  if (needed_ >= kAloneBytes && needed_ > there() && !alone_) {
    move_to(needed_);
    alone_ = true;
  } else if (!alone_ || begin_ == end_) {
    const size_t wanted = std::max(needed_, there() + kLeastRoomBytes);
    if (begin_ + wanted > size_ || alone_) {
      if (ours && wanted <= size_) {
        std::memmove(memory_.get(), memory_.get() + begin_, there());
        end_ = there();
        begin_ = 0;
      } else {
        move_to(std::max(kChunkBytes, 2 * wanted));
      }
    }
  }
  const size_t most = large_before_ && !alone_ ? kHeadBytes : SIZE_MAX;
  return {memory_.get() + end_, std::min(size_ - end_, most)};
}

Inbox::Item Inbox::next() {
  if (there() == 0 || there() < needed_) return {};
  const char* begin = reinterpret_cast<const char*>(memory_.get()) + begin_;
  const auto* end = static_cast<const char*>(std::memchr(begin, '\n', there()));
  if (end == nullptr) return {there() > kLongestLineBytes ? Kind::nonsense : Kind::nothing};
  const size_t size = static_cast<size_t>(end - begin) + 1;
  std::string_view line(begin, size - 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  Item item = take_line(line, size);
  if (item.kind == Kind::nothing) return item;
  if (item.kind != Kind::message) begin_ += size;
  return item;
}

// `size`: of the line, with its end.
Inbox::Item Inbox::take_line(std::string_view line, size_t size) {
  const bool with_headers = line.starts_with("HMSG ");
  if (!with_headers && !line.starts_with("MSG ")) {
    constexpr std::string_view kError = "-ERR";
    if (line == "PING") return {Kind::ping};
    if (line == "PONG") return {Kind::pong};
    if (line == "+OK" || line.starts_with("INFO ")) return {Kind::other};
    if (!line.starts_with(kError)) return {Kind::nonsense};
    line.remove_prefix(kError.size());
    while (!line.empty() && (line.front() == ' ' || line.front() == '\'')) line.remove_prefix(1);
    while (!line.empty() && line.back() == '\'') line.remove_suffix(1);
    return {Kind::error, {}, line};
  }
  // MSG subject sid [reply] bytes; HMSG subject sid [reply] bytes-of-headers bytes
  const Words words(line);
  const size_t least = with_headers ? 5 : 4;
  size_t headers = 0;
  size_t bytes = 0;
  if (words.count() < least || words.count() > least + 1 || !words.size_at(words.count() - 1, bytes) ||
      (with_headers && !words.size_at(words.count() - 2, headers)) || headers > bytes || bytes > kLargestMessageBytes) {
    return {Kind::nonsense};
  }
  needed_ = size + bytes + kEndOfLineBytes;
  if (there() < needed_) return {};
  const uint8_t* content = memory_.get() + begin_ + size;
  const Message::Parts parts{words[1], words.count() > least ? words[3] : std::string_view(),
                             std::string_view(reinterpret_cast<const char*>(content), headers),
                             Bytes(content + headers, bytes - headers)};
  const Bytes whole(memory_.get() + begin_, size + bytes);
  begin_ += needed_;
  needed_ = 0;
  large_before_ = alone_;
  return {Kind::message, Message(memory_, whole, parts, !alone_), {}};
}

}  // namespace sluice::jetstream
