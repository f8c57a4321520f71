// SPDX-License-Identifier: Apache-2.0
#include "redis/scripts.hpp"

#include <string_view>

namespace sluice::redis {
namespace {

// What writes several times is a transaction in the append-only file. A server that is killed while it writes one there
// may leave its beginning, which is carried out at the start after the next, before what was written meanwhile (see
// entry.hpp). So writes come in an order in which each of them does no harm without those that follow.

// The last generated id of a stream without a look at its entries, which XINFO STREAM would copy: a group that nobody
// reads from is set to it, and asked where it is. KEYS[1] is the hash: taking nothing out of it changes nothing and is
// allowed when memory is spent, as is then whatever the script writes behind it; on 6.2 the group alone is not.
constexpr std::string_view kLastId = R"(
local function last_id(stream)
  redis.call('HDEL', KEYS[1], 'nothing')
  if redis.pcall('XGROUP', 'SETID', stream, 'end', '$').err then redis.call('XGROUP', 'CREATE', stream, 'end', '$') end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields['name'] == 'end' then return fields['last-delivered-id'] end
  end
end
)";

// Numbers as texts of 19 digits: a Lua number loses what is above 2^53.
constexpr std::string_view kPadded = R"(
local function padded(digits) return string.rep('0', 19 - #digits) .. digits end
)";

constexpr std::string_view kCreate = R"(
local fields = {}
for i = 2, #ARGV, 2 do fields[#fields + 1] = ARGV[i] end
local there = redis.call('HMGET', KEYS[1], unpack(fields))
if redis.call('EXISTS', KEYS[1]) == 1 then
  for i, name in ipairs(fields) do
    local wanted = ARGV[2 * i + 1]
    if name == 'partitions' then
      if tonumber(wanted) > tonumber(there[i]) then redis.call('HSET', KEYS[1], name, wanted) end
    elseif there[i] ~= wanted then
      return {'EXISTS', name}
    end
  end
  return {'OK'}
end
-- What is left of half a create.
if redis.call('TYPE', KEYS[2]).ok == 'stream' and redis.call('XLEN', KEYS[2]) == 0 then
  redis.call('UNLINK', KEYS[2])
end
redis.call('XGROUP', 'CREATE', KEYS[2], 'end', '$', 'MKSTREAM')
if ARGV[1] ~= '0-0' then redis.call('XSETID', KEYS[2], ARGV[1]) end
local set = {}
for i = 2, #ARGV do set[#set + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], 'token', '0000000000000000', 'start', string.match(ARGV[3], '%d+'), unpack(set))
return {'OK'}
)";

// The stream first: what is left of a log without it is removed by the next try, which would not find the stream alone.
constexpr std::string_view kRemove = R"(
for _, token in ipairs(redis.call('HMGET', KEYS[1], 'token', 'before')) do
  if token then redis.call('UNLINK', KEYS[1] .. ':' .. token) end
end
redis.call('UNLINK', KEYS[1], KEYS[1] .. ':values', KEYS[1] .. ':times')
return {'OK'}
)";

// RENAME is the last write. Were it not, it might be carried out without what follows it, and the RENAME of a fence
// that was written behind it would find no stream; without RENAME, the token before says where the stream is. (A cut in
// EXEC does that harm yet.) HSET as the first write would be refused when memory is spent; behind last_id() it is not.
constexpr std::string_view kFence = R"(
local there = redis.call('HMGET', KEYS[1], 'token', 'start', 'before')
local token = there[1]
if not token then return {'NOT_FOUND'} end
if ARGV[1] < token then return {'FENCED', token} end
local from = token
if there[3] and redis.call('EXISTS', KEYS[1] .. ':' .. token) == 0 then from = there[3] end
local stream = KEYS[1] .. ':' .. from
if redis.call('EXISTS', stream) == 0 then return {'GONE'} end
local last = last_id(stream)
local raised = ARGV[1] > from
if raised then
  redis.call('HSET', KEYS[1], 'token', ARGV[1], 'before', from)
  redis.call('RENAME', stream, KEYS[2])
end
return {'OK', ARGV[1], there[2], last, raised and 'raised' or 'repeated'}
)";

constexpr std::string_view kTrim = R"(
local there = redis.call('HMGET', KEYS[1], 'token', 'start')
if not there[1] then return {'NOT_FOUND'} end
if ARGV[1] ~= there[1] then return {'FENCED', there[1]} end
if ARGV[2] <= padded(there[2]) then return {'OK', there[2]} end
local stream = KEYS[1] .. ':' .. there[1]
if redis.call('EXISTS', stream) == 0 then return {'GONE'} end
local last = last_id(stream)
if last == '0-0' or ARGV[3] > padded(string.match(last, '%d+')) then return {'PAST', last} end
local start = string.gsub(ARGV[2], '^0+(%d)', '%1')
redis.call('HSET', KEYS[1], 'start', start)
return {'OK', start}
)";

// The stamp first: alone it refuses what is older, while a value without it would be one that was never saved. A
// removal is allowed when memory is spent, as is what a script writes behind a write that is allowed.
constexpr std::string_view kSave = R"(
local there = redis.call('HMGET', KEYS[1], 'token', 'saved')
if not there[1] then return {'NOT_FOUND'} end
if ARGV[1] ~= there[1] then return {'FENCED', there[1]} end
local saved = ARGV[1] .. ':' .. ARGV[2]
if there[2] and there[2] >= saved then return {'OLD'} end
if ARGV[4] == '' then redis.call('HDEL', KEYS[1], 'nothing') end
redis.call('HSET', KEYS[1], 'saved', saved)
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
return {'OK'}
)";

constexpr std::string_view kNote = R"(
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {'FENCED'} end
redis.call('ZADD', KEYS[2], 0, ARGV[2])
return {'OK'}
)";

// Asks for the last id without last_id(), which writes: what writes twice is a transaction in the append-only file (see
// entry.hpp). The entries that XINFO STREAM copies are as small as the units of such logs.
constexpr std::string_view kAppend = R"(
if redis.call('EXISTS', KEYS[1]) == 0 then return {'NOT_FOUND'} end
if redis.call('EXISTS', KEYS[2]) == 0 then return {'GONE'} end
local info = redis.call('XINFO', 'STREAM', KEYS[2])
local last
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
if last ~= ARGV[1] then return {'SHUT', last} end
redis.call('XADD', KEYS[2], 'NOMKSTREAM', ARGV[2], unpack(ARGV, 3))
return {'OK'}
)";

// A file that ends while a transaction is open, with a command that is whole, is cut back to before the transaction,
// with whatever was written behind its half. So one that may be open is ended, by two writes that leave nothing.
constexpr std::string_view kClose = R"(
if redis.call('EXISTS', KEYS[1]) == 0 then return {'NOT_FOUND'} end
redis.call('HSET', KEYS[1], 'closed', '1')
redis.call('HDEL', KEYS[1], 'closed')
return {'OK'}
)";

// The marker first: a stream that is not there is an empty one.
constexpr std::string_view kStand = R"(
local names = {'id', 'native', 'partition', 'adopted'}
local there = redis.call('HMGET', KEYS[1], unpack(names))
if there[1] then
  if there[1] ~= ARGV[1] then return {'TAKEN'} end
  for i, name in ipairs(names) do
    if there[i] ~= ARGV[i] then return {'EXISTS', name} end
  end
  return {'OK'}
end
local kind = redis.call('TYPE', KEYS[2]).ok
if ARGV[4] == '1' then
  if kind ~= 'stream' then return {'ABSENT', kind} end
else
  if kind ~= 'none' then return {'PRESENT', kind} end
end
local set = {}
for i, name in ipairs(names) do
  set[#set + 1] = name
  set[#set + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(set))
if kind == 'none' then
  redis.call('XGROUP', 'CREATE', KEYS[2], 'sluice', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[2], 'sluice')
end
return {'OK'}
)";

constexpr std::string_view kLeave = R"(
local there = redis.call('HMGET', KEYS[1], 'id', 'adopted')
if there[1] ~= ARGV[1] then return {'OK'} end
if there[2] == '0' then redis.call('UNLINK', KEYS[2]) end
redis.call('UNLINK', KEYS[1])
return {'OK'}
)";

// Records in runs: of those with key, value and timestamp alone only these are told, because each argument and each
// table of them costs as much as half of an XADD; of others all fields.
//
// Which id comes next is cheapest found out by taking it: XINFO STREAM copies entries, and would cost as much as two
// appends of one record. The first record of those that do not all get ids with an offset is taken back, and the last
// generated id, behind which nothing has one anyway, is all that has moved.
constexpr std::string_view kAddRecords = R"(
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return {'NOT_FOUND'} end
local call, told, stream, id, key, value = redis.call, ARGV, KEYS[2], ARGV[2], ARGV[3], ARGV[4]
local function fit(first)
  local ms, sequence = string.match(first, '(%d+)-(%d+)')
  return id ~= '*' or tonumber(ms) < 8796093022207 and tonumber(sequence) + tonumber(told[5]) <= 1048576
end
local function take_back(first)
  local kept = {}
  local info = call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do kept[info[i]] = info[i + 1] end
  call('XDEL', stream, first)
  local gone = kept['max-deleted-entry-id']
  if gone == '0-0' then gone = '0-1' end  -- as 0-0 leaves it
  call('XSETID', stream, first, 'ENTRIESADDED', kept['entries-added'] - 1, 'MAXDELETEDID', gone)
end
local ids = {}
local at = 6
while at <= #told do
  local form, count = told[at], tonumber(told[at + 1])
  at = at + 2
  if form == 'kv' then
    for i = at, at + 3 * count - 1, 3 do
      ids[#ids + 1] = call('XADD', stream, id, key, told[i], value, told[i + 1], 'timestamp', told[i + 2])
    end
    at = at + 3 * count
  elseif form == 'v' then
    for i = at, at + 2 * count - 1, 2 do
      ids[#ids + 1] = call('XADD', stream, id, value, told[i], 'timestamp', told[i + 1])
    end
    at = at + 2 * count
  else
    ids[#ids + 1] = call('XADD', stream, id, unpack(told, at, at + count - 1))
    at = at + count
  end
  if #ids == 1 and not fit(ids[1]) then
    take_back(ids[1])
    return {'BEYOND', ids[1]}
  end
end
return ids
)";

}  // namespace

std::string script_text(Script script) {
  const auto with = [](auto... parts) { return (std::string() + ... + std::string(parts)); };
  switch (script) {
    case Script::create:
      return with(kCreate);
    case Script::remove:
      return with(kRemove);
    case Script::fence:
      return with(kLastId, kFence);
    case Script::trim:
      return with(kLastId, kPadded, kTrim);
    case Script::save:
      return with(kSave);
    case Script::note:
      return with(kNote);
    case Script::append:
      return with(kAppend);
    case Script::close:
      return with(kClose);
    case Script::stand:
      return with(kStand);
    case Script::leave:
      return with(kLeave);
    case Script::add_records:
      return with(kAddRecords);
  }
  return {};
}

}  // namespace sluice::redis
