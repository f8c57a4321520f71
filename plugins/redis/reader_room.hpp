// SPDX-License-Identifier: Apache-2.0
// Receives straight into the buffer of hiredis' parser: redisReaderFeed() would copy every byte once more. The parser
// is one that has no error. One thread at a time.
#pragma once

#include <hiredis/hiredis.h>

#include <cstddef>

namespace sluice::redis {

/// Where `bytes` bytes may be received to; nullptr: out of memory. Valid until the parser's next use.
char* room_of(redisReader& reader, size_t bytes);
/// So many of them were: they are parsed next.
void received(redisReader& reader, size_t bytes);

}  // namespace sluice::redis
