# SPDX-License-Identifier: Apache-2.0
"""Valid frames, as real clients sent them, with something changed, at the live broker: the same ones from the same seed."""

import random
import select
import struct
import time
from pathlib import Path

import wire
from broker import Failure

SEED = 20_260
FRAMES = 20_000
MAX_SECONDS = 15  # then it is left at fewer
MAX_CREATING = 100  # of the frames that may make thousands of partitions each
CHECK_EVERY_S = 0.5
MAX_GROWTH_BYTES = 96 << 20
MAX_OPEN = 32
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "clients.txt"
CREATING = (struct.pack(">h", wire.CREATE_TOPICS), struct.pack(">h", wire.CREATE_PARTITIONS))
INTERESTING = (0, 1, -1, -2, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def captured():
    """Whole requests, without their length, smaller ones first, none of them twice."""
    frames = {bytes.fromhex(line.split()[2]) for line in VECTORS.read_text().splitlines() if line.startswith("frame ")}
    return sorted(frames, key=lambda f: (len(f), f))


def mutate(draw, frame, others):
    data = bytearray(frame)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(len(data)) if data else 0
        kind = draw.randrange(8)
        if kind == 0 and data:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and data:
            data[at] = draw.randrange(256)
        elif kind in (2, 3) and len(data) >= 4:
            size, code = draw.choice(((1, ">B"), (2, ">H"), (4, ">I")))
            at = draw.randrange(len(data) - size + 1)
            data[at:at + size] = struct.pack(code, draw.choice(INTERESTING) & ((1 << 8 * size) - 1))
        elif kind == 4:
            del data[at:at + draw.randrange(1, 16)]
        elif kind == 5:
            data[at:at] = draw.randbytes(draw.randrange(1, 16))
        elif kind == 6:
            del data[at:]
        else:
            other = draw.choice(others)
            data[at:] = other[draw.randrange(len(other)):]
    return bytes(data)


def reseal(data):
    """Mends the checksum of a record batch that is in there, so that a mutation gets past it."""
    for at in range(len(data) - 61):
        length = int.from_bytes(data[at + 8:at + 12], "big")
        if data[at:at + 8] == bytes(8) and data[at + 16] == 2 and 49 <= length <= len(data) - at - 12:
            return data[:at + 17] + struct.pack(">I", wire.crc32c(data[at + 21:at + 12 + length])) + data[at + 21:]
    return data


class Crowd:
    """Connections that are sent to and whose answers are thrown away."""

    def __init__(self, broker):
        self._broker = broker
        self._open = []
        self.answered = self.closed = 0

    def send(self, data):
        try:
            c = self._broker.connect()
            c.send(data)
            c.socket.setblocking(False)
            self._open.append(c)
        except ConnectionError:
            self.closed += 1
        while len(self._open) > MAX_OPEN:
            self._open.pop(0).close()
        self.read()

    def read(self):
        ready, _, _ = select.select([c.socket for c in self._open], [], [], 0)
        for c in [c for c in self._open if c.socket in ready]:
            try:
                data = c.socket.recv(1 << 16)
            except ConnectionError:
                data = b""
            if data:
                self.answered += 1
            else:
                self.closed += 1
                self._open.remove(c)
                c.close()

    def close(self):
        for c in self._open:
            c.close()


def run(broker, seed, frame_count):
    draw = random.Random(seed)
    frames = captured()
    crowd = Crowd(broker)
    before = broker.rss_bytes()
    end = time.monotonic() + MAX_SECONDS
    check_at = sent = creating = 0
    while sent < frame_count and (now := time.monotonic()) < end:
        if now >= check_at:
            broker.check_healthy()
            if (grown := broker.rss_bytes() - before) > MAX_GROWTH_BYTES:
                raise Failure(f"memory grew by {grown >> 20} MiB after {sent} frames of seed {seed}")
            check_at = now + CHECK_EVERY_S
        data = mutate(draw, draw.choice(frames), frames)
        if draw.random() < 0.5:
            data = reseal(data)
        if data[:2] in CREATING:
            creating += 1
            if creating > MAX_CREATING:
                continue
        if draw.random() < 0.05:
            whole = struct.pack(">i", draw.choice(INTERESTING) & 0x7FFFFFFF) + data
        else:
            whole = wire.frame(data)
        if draw.random() < 0.2:
            whole += wire.frame(draw.choice(frames))
        crowd.send(whole)
        sent += 1
    crowd.close()
    print(f"     {sent} frames of seed {seed}: {crowd.answered} answers, {crowd.closed} connections closed by the broker, "
          f"memory {(broker.rss_bytes() - before) / (1 << 20):+.1f} MiB")
    if crowd.answered == 0 or crowd.closed == 0:
        raise Failure("no frame was answered, or none was refused: these are no mutations of valid frames")
