// SPDX-License-Identifier: Apache-2.0
#include "jetstream/message.hpp"

#include <algorithm>
#include <cstring>

namespace sluice::jetstream {
namespace {

constexpr std::string_view kEndOfLine = "\r\n";

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/// The next line of a block; false: there is none.
bool next_line(std::string_view& block, std::string_view& line) {
  if (block.empty()) return false;
  const size_t size = std::min(block.find(kEndOfLine), block.size());
  line = block.substr(0, size);
  block.remove_prefix(std::min(size + kEndOfLine.size(), block.size()));
  return true;
}

/// Takes the block's headers one by one; the first line is no header.
class HeaderLines {
 public:
  explicit HeaderLines(std::string_view block) : block_(block) {
    std::string_view version;
    next_line(block_, version);
  }
  bool next(std::string_view& name, std::string_view& value) {
    for (std::string_view line; next_line(block_, line);) {
      const size_t colon = line.find(':');
      if (colon == 0 || colon == std::string_view::npos) continue;
      name = line.substr(0, colon);
      value = line.substr(colon + 1);
      while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
      while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
      return true;
    }
    return false;
  }

 private:
  std::string_view block_;
};

}  // namespace

void read_headers(std::string_view block, HeaderViews& headers) {
  HeaderLines lines(block);
  for (std::string_view name, value; lines.next(name, value);) headers.emplace_back(name, value);
}

std::optional<std::string_view> find_header(std::string_view block, std::string_view name) {
  HeaderLines lines(block);
  for (std::string_view each, value; lines.next(each, value);) {
    if (each == name) return value;
  }
  return std::nullopt;
}

std::string_view Message::last_header(std::string_view name) const {
  HeaderLines lines(parts_.headers);
  std::string_view last;
  for (std::string_view each, value; lines.next(each, value);) {
    if (each == name) last = value;
  }
  return last;
}

std::string_view Message::status() const {
  constexpr std::string_view kVersion = "NATS/1.0";
  if (!parts_.headers.starts_with(kVersion)) return {};
  std::string_view line = parts_.headers.substr(kVersion.size());
  line = line.substr(0, line.find(kEndOfLine));
  while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
  return line;
}

Message Message::alone() const {
  if (!shared_) return *this;
  auto copy = std::make_shared_for_overwrite<uint8_t[]>(whole_.size());
  std::memcpy(copy.get(), whole_.data(), whole_.size());
  const auto moved = [&](const auto* at) {
    return copy.get() + (reinterpret_cast<const uint8_t*>(at) - whole_.data());
  };
  const auto text = [&](std::string_view part) {
    if (part.empty()) return std::string_view();
    return std::string_view(reinterpret_cast<const char*>(moved(part.data())), part.size());
  };
  const Parts parts{text(parts_.subject), text(parts_.reply), text(parts_.headers),
                    parts_.payload.empty() ? Bytes() : Bytes(moved(parts_.payload.data()), parts_.payload.size())};
  const Bytes whole(copy.get(), whole_.size());
  return {std::move(copy), whole, parts, false};
}

}  // namespace sluice::jetstream
