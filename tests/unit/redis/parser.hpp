// SPDX-License-Identifier: Apache-2.0
// Text as the server sends it, parsed as the adapter parses it.
#pragma once

#include <hiredis/hiredis.h>

#include <string>
#include <string_view>

#include "redis/command.hpp"
#include "redis/reply.hpp"

namespace sluice::redis {

/// nullptr if the text is not one whole reply.
inline Reply parse_reply(std::string_view text) {
  redisReader* reader = redisReaderCreate();
  void* reply = nullptr;
  redisReaderFeed(reader, text.data(), text.size());
  redisReaderGetReply(reader, &reply);
  redisReaderFree(reader);
  return Reply(static_cast<redisReply*>(reply));
}

inline std::string text_of(const Command& command) {
  std::string text;
  for (size_t i = 0; i < command.pieces(); ++i) text += as_text(command.piece(i));
  return text;
}

}  // namespace sluice::redis
