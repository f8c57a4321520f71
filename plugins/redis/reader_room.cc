// SPDX-License-Identifier: Apache-2.0
// Its own file because hiredis.h shows sds.h, which is C, to C++ compilers as C++.
extern "C" {
#include <hiredis/sds.h>
}

#include "redis/reader_room.hpp"

namespace sluice::redis {

char* room_of(redisReader& reader, size_t bytes) {
  const sds grown = sdsMakeRoomFor(reader.buf, bytes);
  if (grown == nullptr) return nullptr;
  reader.buf = grown;
  return grown + reader.len;
}

void received(redisReader& reader, size_t bytes) {
  sdsIncrLen(reader.buf, static_cast<int>(bytes));
  reader.len = sdslen(reader.buf);
}

}  // namespace sluice::redis
