# SPDX-License-Identifier: Apache-2.0
"""Envelopes: messages in frames, for files, pipes and sockets."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Iterator

from . import _library as lib
from .errors import OutOfRange, TooLarge

_HEADER_BYTES = 24


class EnvelopeWriter:
    """`codec`, `level`, `compress_from_bytes`, `max_message_bytes`; all may be left out."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_envelope_writer_open", *lib.settings(settings))

    def frame(self, message: bytes) -> bytes:
        hold: list = []
        capacity, needed = len(message) + _HEADER_BYTES, ctypes.c_uint64()
        buffer = ctypes.create_string_buffer(capacity)
        lib.call("sluice_envelope_write", self._handle.value, lib.span(message, hold), buffer, capacity, ctypes.byref(needed))
        return buffer.raw[: needed.value]

    def stats(self) -> Dict[str, int]:
        return lib.stats_of("sluice_envelope_stats", self._handle, lib.EnvelopeCounts)


class EnvelopeReader:
    """Takes messages off a stream that arrives in pieces of any size."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_envelope_reader_open", *lib.settings(settings))

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The messages that this piece completes. Iterate to the end before the next piece."""
        hold: list = []
        data, at, capacity = lib.span(piece, hold), 0, 65_536
        while True:
            left = lib.Span(ctypes.cast(ctypes.addressof(hold[0]) + at, ctypes.POINTER(ctypes.c_uint8)), len(piece) - at) if data.size else data
            taken, needed = ctypes.c_uint64(), ctypes.c_uint64()
            buffer = ctypes.create_string_buffer(capacity)
            try:
                lib.call("sluice_envelope_read", self._handle.value, left, ctypes.byref(taken), buffer, capacity, ctypes.byref(needed))
            except OutOfRange:
                return
            except TooLarge:
                if needed.value <= capacity:
                    raise
                at, capacity = at + taken.value, needed.value
                continue
            at += taken.value
            yield buffer.raw[: needed.value]

    def finish(self) -> int:
        """At the end of the stream; raises Corrupt where it ended within a frame. Gives how long the stream was."""
        position = ctypes.c_uint64()
        lib.call("sluice_envelope_finish", self._handle.value, ctypes.byref(position))
        return position.value

    def stats(self) -> Dict[str, int]:
        return lib.stats_of("sluice_envelope_stats", self._handle, lib.EnvelopeCounts)
