// SPDX-License-Identifier: Apache-2.0
// Feeds the JetStream adapter's inbox arbitrary bytes as a server's, in pieces: what it makes of them must not depend
// on the pieces, and what was kept must not change while more arrives.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "jetstream/inbox.hpp"

namespace sluice::jetstream {
namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

std::string content(const Message& message) {
  std::string text;
  for (const std::string_view part : {message.subject(), message.reply(), message.headers(), message.status(),
                                      message.header("A"), message.last_header("A"), as_text(message.payload())}) {
    text += part;
    text += '|';
  }
  HeaderViews headers;
  read_headers(message.headers(), headers);
  for (const auto& [name, value] : headers) {
    text += name;
    text += '=';
    text += value;
  }
  return text;
}

std::vector<std::string> take(Bytes stream, size_t piece) {
  Inbox inbox;
  std::vector<std::string> items;
  std::vector<Message> kept;
  std::vector<std::string> of_kept;
  bool over = false;
  while (!stream.empty() && !over) {
    const auto room = inbox.room();
    require(!room.empty());
    const Bytes now = stream.first(std::min({piece, room.size(), stream.size()}));
    std::copy(now.begin(), now.end(), room.begin());
    inbox.received(now.size());
    stream = stream.subspan(now.size());
    for (;;) {
      const Inbox::Item item = inbox.next();
      if (item.kind == Inbox::Kind::nothing) break;
      items.push_back(std::to_string(static_cast<int>(item.kind)) + std::string(item.text));
      if (item.kind == Inbox::Kind::nonsense) {
        over = true;
        break;
      }
      if (item.kind != Inbox::Kind::message) continue;
      items.push_back(content(item.message));
      kept.push_back(kept.size() % 2 == 0 ? item.message : item.message.alone());
      of_kept.push_back(items.back());
    }
  }
  for (size_t i = 0; i < kept.size(); ++i) require(content(kept[i]) == of_kept[i]);
  return items;
}

/// Messages of a server that counts right, made of the bytes; what is in them is as it comes.
Buffer as_messages(Bytes bytes) {
  std::string text;
  while (bytes.size() >= 2) {
    const size_t headers = bytes[0] % 64;
    const size_t size = headers + bytes[1];
    bytes = bytes.subspan(2);
    const Bytes body = bytes.first(std::min(size, bytes.size()));
    bytes = bytes.subspan(body.size());
    const size_t block = std::min(headers, body.size());
    text += block > 0 ? "HMSG s 1 r " + std::to_string(block) + " " : std::string("MSG s 1 ");
    text += std::to_string(body.size()) + "\r\n";
    text += as_text(body);
    text += "\r\n";
  }
  return Buffer::copy_of(as_bytes(text));
}

}  // namespace
}  // namespace sluice::jetstream

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  if (size < 2) return 0;
  const size_t piece = 1 + data[0] + 16 * data[1];
  for (const bool counted : {false, true}) {
    const Bytes bytes(data + 2, size - 2);
    const Buffer made = counted ? jetstream::as_messages(bytes) : Buffer();
    const Bytes stream = counted ? Bytes(made.data(), made.size()) : bytes;
    jetstream::require(jetstream::take(stream, SIZE_MAX) == jetstream::take(stream, piece));
  }
  return 0;
}
