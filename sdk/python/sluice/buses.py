# SPDX-License-Identifier: Apache-2.0
"""The event bus inside a process."""

from __future__ import annotations

import ctypes
import json
import traceback
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _library as lib
from .errors import SluiceError

OUTCOMES = ("queued", "dropped", "full", "timed_out", "no_route", "shutting_down", "invalid", "too_large", "no_memory", "exhausted")


_NOT_JUDGED = 0xFFFFFFFF  # no outcome: the library has not come so far


class Event(NamedTuple):
    value: Optional[bytes]
    key: Optional[bytes] = None
    headers: Tuple[Tuple[str, Optional[bytes]], ...] = ()


class Ingested(NamedTuple):
    outcome: str  # of the first event that was not accepted; "queued": all were
    index: int    # which that is; the number of events if none
    queued: int
    dropped: int


def _ingested(struct) -> Ingested:
    known = struct.outcome < len(OUTCOMES)
    return Ingested(OUTCOMES[struct.outcome] if known else str(struct.outcome), struct.index, struct.queued, struct.dropped)


class Bus:
    """`settings` as in sdk/c/README.md; `sink` may be a Sink. Functions: `route`, from an event and the number of shards to one of them (with
    routing="custom"; where it raises, there is no route), `on_change`, which hears of shards "added", "draining" and "finished", and `log`, of warnings.
    Any thread. A context manager, which shuts down."""

    def __init__(self, route: Optional[Callable[[Event, int], int]] = None, on_change: Optional[Callable[[int, str], None]] = None,
                 log: Optional[Callable[[str], None]] = None, **settings: Any):
        if route is None and on_change is None and log is None:
            self._handle = lib.opened("sluice_bus_open", *lib.settings(settings))
            return
        context = lib.keep((route, on_change, log))
        calls = lib.made(lib.BusCalls, context=context, gone=lib.drop)
        if route is not None:
            calls.route = _ROUTE
        if on_change is not None:
            calls.on_change = _ON_CHANGE
        if log is not None:
            calls.log = _LOG
        try:
            self._handle = lib.opened("sluice_bus_open_with", *lib.settings(settings), ctypes.byref(calls))
        except SluiceError:
            lib.drop(context)
            raise

    @property
    def handle(self) -> int:
        """What a consumer's source of the kind "bus" names."""
        return self._handle.value

    def as_setting(self) -> int:
        return self._handle.value

    def ingest(self, value: Optional[bytes], key: Optional[bytes] = None, headers: Iterable[Tuple[str, Optional[bytes]]] = ()) -> None:
        keep: list = []
        lib.call("sluice_bus_ingest", self._handle.value, ctypes.byref(_event(Event(value, key, tuple(headers)), keep)))

    def ingest_batch(self, events: Iterable[Event]) -> Ingested:
        """All are checked before any is taken. Where some found no room (or no shard, or no memory), those that did are taken all the same: the error
        then has what became of them as `ingested`. Those before its `index` are taken; behind it, where shards differ in room, some may be. To offer
        events again without any twice, one by one, or with events of one key in each batch: then events[index:] are those that are left."""
        keep: list = []
        structs = [_event(event, keep) for event in events]
        array = (ctypes.POINTER(lib.EventStruct) * max(len(structs), 1))(*map(ctypes.pointer, structs))
        result = lib.made(lib.Ingested, outcome=_NOT_JUDGED)
        try:
            lib.call("sluice_bus_ingest_batch", self._handle.value, array, len(structs), ctypes.byref(result))
        except SluiceError as error:
            if result.outcome != _NOT_JUDGED:
                error.ingested = _ingested(result)
            raise
        return _ingested(result)

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

    def report(self) -> Dict[str, Any]:
        """Everything it knows of itself: counts, shards one by one, and "health"."""
        return json.loads(lib.text_from("sluice_bus_report", self._handle.value, first_bytes=16_384))

    def subscribable(self) -> List[int]:
        """Ids of the shards that a consumer can read."""
        count = ctypes.c_uint64()
        array = (ctypes.c_uint64 * 1024)()  # more than there can be
        lib.call("sluice_bus_subscribable", self._handle.value, array, 1024, ctypes.byref(count))
        return list(array[: count.value])

    def __enter__(self) -> "Bus":
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._handle.release()


@lib.Route
def _ROUTE(context, event, shards):
    try:
        functions, one = lib.kept(context), event[0]
        headers = lib.pairs(one.headers[i] for i in range(one.header_count))
        shard = functions[0](Event(lib.bytes_of(one.value), lib.bytes_of(one.key), headers), shards)
        return shard if 0 <= shard < shards else shards
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
        return shards  # there is no route


@lib.OnChange
def _ON_CHANGE(context, shard, what):
    if (functions := lib.kept(context)) is not None:
        functions[1](shard, ("added", "draining", "finished")[what])


@lib.Log
def _LOG(context, data, size):
    if (functions := lib.kept(context)) is not None:
        functions[2](ctypes.string_at(data, size).decode(errors="replace"))


def _event(event: Event, keep: list) -> lib.EventStruct:
    pointer, count = lib.fields(event.headers, keep)
    return lib.made(lib.EventStruct, key=lib.span(event.key, keep), value=lib.span(event.value, keep), headers=pointer, header_count=count)
