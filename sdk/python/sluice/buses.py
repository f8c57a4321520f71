# SPDX-License-Identifier: Apache-2.0
"""The event bus inside a process."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

from . import _library as lib

OUTCOMES = ("queued", "dropped", "full", "timed_out", "no_route", "shutting_down", "invalid", "too_large", "no_memory", "exhausted")


class Event(NamedTuple):
    value: Optional[bytes]
    key: Optional[bytes] = None
    headers: Tuple[Tuple[str, Optional[bytes]], ...] = ()


class Ingested(NamedTuple):
    outcome: str  # of the first event that was not accepted; "queued": all were
    index: int    # which that is
    queued: int
    dropped: int


class Bus:
    """`settings` as in sdk/c/README.md. Any thread. A context manager, which shuts down."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_bus_open", *lib.text(json.dumps(settings)))

    @property
    def handle(self) -> int:
        """What a consumer's source of the kind "bus" names."""
        return self._handle.value

    def ingest(self, value: Optional[bytes], key: Optional[bytes] = None, headers: Iterable[Tuple[str, Optional[bytes]]] = ()) -> None:
        keep: list = []
        lib.call("sluice_bus_ingest", self._handle.value, ctypes.byref(_event(Event(value, key, tuple(headers)), keep)))

    def ingest_batch(self, events: Iterable[Event]) -> Ingested:
        """All are checked before any is taken."""
        keep: list = []
        structs = [_event(event, keep) for event in events]
        array = (ctypes.POINTER(lib.EventStruct) * max(len(structs), 1))(*map(ctypes.pointer, structs))
        result = lib.made(lib.Ingested)
        lib.call("sluice_bus_ingest_batch", self._handle.value, array, len(structs), ctypes.byref(result))
        return Ingested(OUTCOMES[result.outcome], result.index, result.queued, result.dropped)

    def add_shard(self) -> int:
        shard = ctypes.c_uint64()
        lib.call("sluice_bus_add_shard", self._handle.value, ctypes.byref(shard))
        return shard.value

    def remove_shard(self, shard: int) -> None:
        lib.call("sluice_bus_remove_shard", self._handle.value, shard)

    def drain(self, timeout_ms: int = 10_000) -> None:
        lib.call("sluice_bus_drain", self._handle.value, timeout_ms)

    def flush(self, timeout_ms: int = 10_000) -> None:
        lib.call("sluice_bus_flush", self._handle.value, timeout_ms)

    def shutdown(self, timeout_ms: int = 10_000) -> None:
        lib.call("sluice_bus_shutdown", self._handle.value, timeout_ms)

    def stats(self) -> Dict[str, int]:
        counts = lib.made(lib.BusCounts)
        lib.call("sluice_bus_stats", self._handle.value, ctypes.byref(counts))
        return {name: getattr(counts, name) for name, _ in lib.BusCounts._fields_ if name not in ("size", "reserved")}

    def __enter__(self) -> "Bus":
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._handle.release()


def _event(event: Event, keep: list) -> lib.EventStruct:
    pointer, count = lib.fields(event.headers, keep)
    return lib.made(lib.EventStruct, key=lib.span(event.key, keep), value=lib.span(event.value, keep), headers=pointer, header_count=count)
