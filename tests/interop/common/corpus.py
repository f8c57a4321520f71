# SPDX-License-Identifier: Apache-2.0
"""The records that every client writes and must read back unchanged.

They are made once per run and handed to every client, in any language, as one file:

    int32 record count, then per record: int64 timestamp in ms, bytes key, bytes value,
    int32 header count, then per header: bytes name, bytes value

with integers big endian and `bytes` an int32 length (-1: null) and that many bytes. A client encodes what it consumed in
the same way and compares it with the file, so that nothing (a null turned into an empty value, the order of headers, a
timestamp) can get lost unseen.
"""

import random
import struct
import time
from typing import NamedTuple, Optional


class Record(NamedTuple):
    key: Optional[bytes]
    value: Optional[bytes]
    headers: tuple = ()
    timestamp_ms: int = 0


def encode_bytes(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + bytes(data)


def encode(record):
    parts = [struct.pack(">q", record.timestamp_ms), encode_bytes(record.key), encode_bytes(record.value)]
    parts.append(struct.pack(">i", len(record.headers)))
    for name, value in record.headers:
        parts += [encode_bytes(name.encode()), encode_bytes(value)]
    return b"".join(parts)


def make(seed=1):
    """About 64 records, 400 KB: nulls, empties, every byte, long and short, compressible and not, headers of all kinds."""
    draw = random.Random(seed)
    every_byte = bytes(range(256))
    special = [
        (b"key", b"value", ()),
        (None, b"null key", ()),
        (b"null value", None, ()),
        (None, None, ()),
        (b"", b"empty key", ()),
        (b"empty value", b"", ()),
        (b"", b"", ()),
        (every_byte, every_byte, ()),
        (b"one header", b"v", (("name", b"value"),)),
        (b"several", b"v", (("a", b"1"), ("b", b"2"), ("c", b"3"))),
        (b"duplicates", b"v", (("same", b"first"), ("same", b"second"), ("same", b"third"), ("other", b"x"))),
        (b"binary", b"v", (("binary", every_byte), ("zeros", bytes(64)))),
        (b"empty header", b"v", (("empty", b""),)),
        (b"unicode", "größer ≥ 0".encode(), (("schlüssel", "日本".encode()),)),
        (None, None, (("tombstone", b"with a header"),)),
        (b"incompressible", draw.randbytes(100_000), ()),
        (b"compressible", b"abcdefgh" * 12_500, ()),
        (b"k" * 5_000, b"long key", ()),
        (b"many headers", b"v", tuple((f"header-{i}", draw.randbytes(i)) for i in range(40))),
    ]
    # Numbered text and noise around them, so that batches hold several records.
    for i in range(45):
        size = draw.choice((1, 10, 100, 1000, 5000))
        special.append((b"%d" % i, draw.randbytes(size) if i % 2 else b"line %d " % i * (size // 7 + 1), ()))
    base = (int(time.time()) - 3600) * 1000
    return [Record(key, value, headers, base + 7 * i) for i, (key, value, headers) in enumerate(special)]


def write(path, records):
    with open(path, "wb") as file:
        file.write(struct.pack(">i", len(records)))
        for record in records:
            file.write(encode(record))


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0

    def take(form):
        nonlocal at
        (value,) = struct.unpack_from(form, data, at)
        at += struct.calcsize(form)
        return value

    def take_bytes():
        nonlocal at
        size = take(">i")
        if size < 0:
            return None
        at += size
        return data[at - size : at]

    records = []
    for _ in range(take(">i")):
        timestamp = take(">q")
        key, value = take_bytes(), take_bytes()
        headers = tuple((take_bytes().decode(), take_bytes()) for _ in range(take(">i")))
        records.append(Record(key, value, headers, timestamp))
    return records
