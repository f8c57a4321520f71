// SPDX-License-Identifier: Apache-2.0
#include "jetstream/outbox.hpp"

#include <algorithm>
#include <charconv>

namespace sluice::jetstream {
namespace {

constexpr std::string_view kEndOfLine = "\r\n";
constexpr std::string_view kHeaderVersion = "NATS/1.0\r\n";
constexpr std::string_view kBetween = ": ";

size_t header_block_bytes(const Outgoing& outgoing) {
  if (outgoing.headers.empty()) return 0;
  size_t bytes = kHeaderVersion.size() + kEndOfLine.size();
  for (const auto& [name, value] : outgoing.headers) {
    bytes += name.size() + kBetween.size() + value.size() + kEndOfLine.size();
  }
  return bytes;
}

void add_number(std::string& text, size_t number) {
  char digits[24];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

bool has_any_of(std::string_view text, std::string_view characters) {
  return text.find_first_of(characters) != std::string_view::npos;
}

}  // namespace

bool Outbox::is_sound(const Outgoing& outgoing) {
  if (outgoing.subject.empty() || has_any_of(outgoing.subject, " \t\r\n")) return false;
  return std::none_of(outgoing.headers.begin(), outgoing.headers.end(), [](const auto& header) {
    return header.first.empty() || has_any_of(header.first, ":\r\n") || has_any_of(header.second, kEndOfLine);
  });
}

size_t Outbox::message_bytes(const Outgoing& outgoing) {
  return header_block_bytes(outgoing) + outgoing.payload.size();
}

void Outbox::push(uint64_t id, const Outgoing& outgoing, std::string_view reply) {
  const Pieces& payload = outgoing.payload;
  const bool copied = payload.size() <= std::max<size_t>(payload.list().size(), 1) * kCopiedBytes;
  const size_t headers = header_block_bytes(outgoing);
  constexpr size_t kVerbAndSizes = 64;
  Frame frame{id, {}, copied ? nullptr : &payload};
  std::string& text = frame.text;
  text.reserve(kVerbAndSizes + outgoing.subject.size() + reply.size() + headers + (copied ? payload.size() : 0));
  text.append(headers > 0 ? "HPUB " : "PUB ").append(outgoing.subject).append(1, ' ').append(reply).append(1, ' ');
  if (headers > 0) {
    add_number(text, headers);
    text += ' ';
  }
  add_number(text, headers + payload.size());
  text += kEndOfLine;
  if (headers > 0) {
    text += kHeaderVersion;
    for (const auto& [name, value] : outgoing.headers) {
      text.append(name).append(kBetween).append(value).append(kEndOfLine);
    }
    text += kEndOfLine;
  }
  if (copied) {
    for (const Bytes piece : payload.list()) text += as_text(piece);
    text += kEndOfLine;
  }
  frames_.push_back(std::move(frame));
}

Bytes Outbox::Frame::piece(size_t index) const {
  if (index == 0) return as_bytes(text);
  return index <= payload->list().size() ? payload->list()[index - 1] : as_bytes(kEndOfLine);
}

size_t Outbox::next(std::span<iovec> pieces) const {
  size_t count = 0;
  size_t piece = piece_;
  size_t offset = offset_;
  for (const Frame& frame : frames_) {
    for (; piece < frame.pieces() && count < pieces.size(); ++piece) {
      const Bytes bytes = frame.piece(piece).subspan(std::exchange(offset, 0));
      pieces[count++] = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
    }
    if (count == pieces.size()) break;
    piece = 0;
  }
  return count;
}

void Outbox::sent(size_t bytes) {
  while (bytes > 0 && !frames_.empty()) {
    const Frame& frame = frames_.front();
    begun_ = true;
    const size_t left = frame.piece(piece_).size() - offset_;
    if (bytes < left) {
      offset_ += bytes;
      return;
    }
    bytes -= left;
    offset_ = 0;
    if (++piece_ < frame.pieces()) continue;
    piece_ = 0;
    begun_ = false;
    frames_.pop_front();
  }
}

Outbox::Sent Outbox::withdraw(uint64_t id) {
  const auto found = std::lower_bound(frames_.begin(), frames_.end(), id,
                                      [](const Frame& frame, uint64_t wanted) { return frame.id < wanted; });
  if (found == frames_.end() || found->id != id) return Sent::whole;
  if (found != frames_.begin() || !begun_) {
    frames_.erase(found);
    return Sent::no;
  }
  Frame& begun = *found;
  if (begun.payload == nullptr) return Sent::partly;
  std::string rest;
  for (size_t i = piece_; i < begun.pieces(); ++i) rest += as_text(begun.piece(i).subspan(i == piece_ ? offset_ : 0));
  begun.text = std::move(rest);
  begun.payload = nullptr;
  piece_ = 0;
  offset_ = 0;
  return Sent::partly;
}

}  // namespace sluice::jetstream
