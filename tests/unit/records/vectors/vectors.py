#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record batches made, and read back, by kafka-python. See README.md."""

import pathlib
import sys

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

BASE = 1700000000000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def content(large):
    yield BASE + 100, b"k0", b"first", [("h", b"1"), ("h", None), ("e", b"")]
    yield BASE + 400, None, b"", []
    yield BASE + 250, b"", None, []
    for i in range(3, 20):
        yield BASE + 250, b"k%d" % i, b"value %d " % i * 8, []
    if large:
        yield BASE + 399, b"a", b"a" * 40000, []
        yield BASE + 399, b"b", b"b" * 40000, []


def write(directory):
    for codec, name in enumerate(CODECS):
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
        )
        for offset, (timestamp, key, value, headers) in enumerate(content(codec != 0)):
            assert builder.append(offset, timestamp, key, value, headers) is not None
        text = bytes(builder.build()).hex()
        lines = [text[at : at + 120] for at in range(0, len(text), 120)]
        (directory / f"python-{name}.hex").write_text("\n".join(lines) + "\n")


def check(directory):
    for codec, name in enumerate(CODECS):
        batch = DefaultRecordBatch(bytearray.fromhex((directory / f"sluice-{name}.hex").read_text().replace("\n", "")))
        assert batch.validate_crc()
        got = [(record.timestamp, record.key, record.value, list(record.headers)) for record in batch]
        assert got == list(content(codec != 0)), name
        print("python reads", name)


{"write": write, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
