// SPDX-License-Identifier: Apache-2.0
//
// The corpus of a run (../common/corpus.py describes the file), as kafkajs messages, and the same encoding of what was
// consumed. kafkajs keeps headers in an object: values of one name together, as an array when there are several.
'use strict';

const fs = require('fs');

function read(path) {
  const data = fs.readFileSync(path);
  let at = 0;
  const int32 = () => data.readInt32BE((at += 4) - 4);
  const bytes = () => {
    const size = int32();
    if (size < 0) return null;
    at += size;
    return data.subarray(at - size, at);
  };
  const records = [];
  for (let left = int32(); left > 0; left--) {
    const start = at;
    const timestamp = data.readBigInt64BE((at += 8) - 8).toString();
    const message = { timestamp, key: bytes(), value: bytes(), headers: {} };
    for (let headers = int32(); headers > 0; headers--) {
      const name = bytes().toString();
      const value = bytes();
      const before = message.headers[name];
      if (before === undefined) message.headers[name] = value;
      else message.headers[name] = Array.isArray(before) ? [...before, value] : [before, value];
    }
    records.push({ message, encoded: data.subarray(start, at) });
  }
  return records;
}

function encode(message) {
  const parts = [];
  const int32 = value => {
    const buffer = Buffer.alloc(4);
    buffer.writeInt32BE(value);
    parts.push(buffer);
  };
  const bytes = value => {
    int32(value === null || value === undefined ? -1 : value.length);
    if (value) parts.push(value);
  };
  const timestamp = Buffer.alloc(8);
  timestamp.writeBigInt64BE(BigInt(message.timestamp));
  parts.push(timestamp);
  bytes(message.key);
  bytes(message.value);
  const headers = Object.entries(message.headers || {}).flatMap(
    ([name, value]) => (Array.isArray(value) ? value : [value]).map(one => [name, one]));
  int32(headers.length);
  for (const [name, value] of headers) {
    bytes(Buffer.from(name));
    bytes(value);
  }
  return Buffer.concat(parts);
}

module.exports = { read, encode };
