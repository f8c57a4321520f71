// SPDX-License-Identifier: Apache-2.0
// The scripts: where something has to be decided beside the log's hash, and, but for records and logs of several
// writers, never with a batch as an argument. Each takes the hash's key as its first; other keys of the log begin with
// it.
//
// Answers are arrays of texts whose first says what happened: OK, NOT_FOUND, FENCED (token), EXISTS, GONE (the hash is
// there and its stream is not), PAST and SHUT (the last generated id).
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace sluice::redis {

enum class Script : size_t {
  create,  // KEYS hash, stream of token 0; ARGV last id, then names and values of fields: OK, EXISTS
  remove,  // KEYS hash: OK
  fence,   // KEYS hash, stream of the token; ARGV token: OK token start last_id raised|repeated, FENCED token, ...
  trim,    // KEYS hash; ARGV token, offset, offset - 1, padded to 19 digits: OK start, PAST last_id, FENCED token, ...
  save,  // KEYS hash, values; ARGV token, stamp, name, value or "": OK, FENCED token, NOT_FOUND, OLD (a later one came)
  note,  // KEYS hash, times; ARGV token, member: OK, else nothing was done
  append,  // KEYS hash, stream; ARGV last id, id, then fields and values: OK, SHUT last_id, NOT_FOUND, GONE
  close,   // KEYS hash: OK; whatever transaction the append-only file was left in is over
  // The layout `record`: KEYS marker, stream.
  stand,  // ARGV id, native name, partition, adopted: OK, EXISTS name, TAKEN, ABSENT type, PRESENT type
  leave,  // ARGV id: OK
  // ARGV id, "*" or "0-*", names of key and value, how many records, then these in runs, the first alone: their ids, or
  // BEYOND id: the first would have got this id, or the last one behind it, which has no offset.
  add_records,
};
inline constexpr size_t kScripts = 11;

std::string script_text(Script script);

/// The names that the server gave them; the same on every server.
using ScriptNames = std::array<std::string, kScripts>;

}  // namespace sluice::redis
