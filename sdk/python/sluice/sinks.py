# SPDX-License-Identifier: Apache-2.0
"""Sinks of one's own for buses and dead letter queues, and the queue itself."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Dict, List, NamedTuple, Union

from . import _library as lib
from .consumers import Record, record_of
from .errors import SluiceError


class Batch(NamedTuple):
    """Events of one shard, by rising sequence, which is their position."""
    records: List[Record]
    bus: str
    epoch: int
    shard: int
    attempt: int  # 0 for the first at these events


class Sink:
    """A function that gets batches, on threads of the library: it returns when all of the batch is delivered, and raises otherwise (Unavailable and Busy:
    to be tried again; other errors of this package as their class says, and any other exception for ever). One bus or queue has it."""

    def __init__(self, deliver: Callable[[Batch], None], deduplicates: bool = False, ordered: bool = False, max_batch_events: int = 0):
        calls = lib.made(lib.SinkCalls, deduplicates=int(deduplicates), ordered=int(ordered), max_batch_events=max_batch_events,
                         context=lib.keep(deliver), deliver=_DELIVER, gone=lib.drop)
        self._handle = lib.opened("sluice_sink_open", ctypes.byref(calls))

    def as_setting(self) -> Dict[str, Any]:
        return {"kind": "calls", "sink": self._handle.value}


@lib.SinkDeliver
def _DELIVER(context, batch, answer):
    try:
        deliver, one = lib.kept(context), batch[0]
        if deliver is None:
            raise SluiceError("the sink is gone")
        deliver(Batch([record_of(one.records[i]) for i in range(one.count)], (lib.bytes_of(one.bus) or b"").decode(), one.epoch, one.shard, one.attempt))
        lib.LIBRARY.sluice_answer(answer, None, None, None)
    except BaseException as error:  # pylint: disable=broad-except
        lib.LIBRARY.sluice_answer(answer, ctypes.byref(lib.failure_of(error)), None, None)
    finally:
        lib.LIBRARY.sluice_release(answer, None)  # INTERNAL where nothing could be answered


class DeadLetterQueue:
    """Records that could not be handled, on their way to a sink: a Sink, or settings as in sdk/c/README.md. Any thread. A context manager, which closes."""

    def __init__(self, sink: Union[Sink, Dict[str, Any]], **settings: Any):
        self._handle = lib.opened("sluice_dead_letters_open", *lib.settings({"sink": sink, **settings}))

    def offer(self, record: Record, error: BaseException, source: str = "", attempts: int = 1) -> None:
        """Raises where there is no room; the record is dropped then, and counted."""
        hold: list = []
        why = lib.failure_of(error)
        cause = lib.made(lib.Cause, attempts=attempts, why=ctypes.pointer(why), source=lib.span(source.encode(), hold))
        struct = lib.record_struct(record, hold)
        lib.call("sluice_dead_letters_offer", self._handle.value, ctypes.byref(struct), ctypes.byref(cause))

    def stats(self) -> Dict[str, int]:
        return lib.stats_of("sluice_dead_letters_stats", self._handle, lib.DeadLetterCounts)

    def close(self, timeout_ms: int = 10_000) -> None:
        """Waits until nothing is held. Raises Busy where that takes longer; call again."""
        if self._handle.value:
            lib.call("sluice_dead_letters_close", self._handle.value, timeout_ms)

    def __enter__(self) -> "DeadLetterQueue":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self._handle.release()
