# SPDX-License-Identifier: Apache-2.0
"""The merging consumer: many shards as one stream that can be left and taken up again."""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass, field
from typing import Any, Iterator, List, Optional, Tuple

from . import _library as lib
from .errors import SluiceError, error_of

CONDITIONS = ("failed", "retrying", "stalled", "passed_over", "holding", "capped", "finished")


@dataclass(frozen=True)
class Record:
    shard: int
    partition: int
    position: int
    timestamp_ns: Optional[int]
    key: Optional[bytes]
    value: Optional[bytes]
    headers: Tuple[Tuple[str, Optional[bytes]], ...] = ()
    late: bool = False


@dataclass(frozen=True)
class Note:
    """What there is to say of a shard."""
    shard: int
    shard_id: str
    condition: str  # one of CONDITIONS
    cause: Optional[SluiceError]
    position: int
    elapsed_ns: int
    attempts: int


@dataclass(frozen=True)
class Page:
    """Records, and the place after exactly these."""
    records: List[Record]
    cursor: str
    notes: List[Note] = field(default_factory=list)
    has_more: bool = False
    done: bool = False
    rejected: int = 0
    corrupt: int = 0
    late: int = 0
    lost: int = 0


class Consumer:
    """`settings` as in sdk/c/README.md: sources, storages, filter, order, ... Any thread; one poll at a time. A context manager."""

    def __init__(self, cursor: str = "", **settings: Any):
        self._handle = lib.opened("sluice_consumer_open", *lib.text(json.dumps(settings)), *lib.text(cursor))

    def poll(self, max_records: int = 1000, wait_ms: int = 1000, max_bytes: int = 16 << 20, min_records: int = 1) -> Page:
        request = lib.made(lib.Poll, max_records=max_records, max_bytes=max_bytes, wait_ms=wait_ms, min_records=min_records)
        polled, handle = lib.made(lib.Polled), ctypes.c_uint64()
        lib.call("sluice_consumer_poll", self._handle.value, ctypes.byref(request), ctypes.byref(handle), ctypes.byref(polled))
        page = lib.Handle(handle.value)
        try:
            return Page(_records(page), lib.text_from("sluice_page_cursor", page.value), _notes(page), bool(polled.has_more), bool(polled.done),
                        polled.rejected, polled.corrupt, polled.late, polled.lost)
        finally:
            page.release()

    def pages(self, **request: int) -> Iterator[Page]:
        """Pages until every shard is finished or failed."""
        while True:
            page = self.poll(**request)
            yield page
            if page.done and not page.has_more:
                return

    def __iter__(self) -> Iterator[Record]:
        """Records until every shard is finished or failed. Use pages() where the place matters."""
        for page in self.pages():
            yield from page.records

    def add(self, **source: Any) -> int:
        """Adds a shard, one element of `sources`; gives its number."""
        shard = ctypes.c_uint32()
        lib.call("sluice_consumer_add", self._handle.value, *lib.text(json.dumps(source)), ctypes.byref(shard))
        return shard.value

    def remove(self, shard_id: str) -> None:
        """The shard is read to the end that it has now."""
        lib.call("sluice_consumer_remove", self._handle.value, *lib.text(shard_id))

    def seek(self, cursor: str) -> None:
        lib.call("sluice_consumer_seek", self._handle.value, *lib.text(cursor))

    def pause(self, shard_id: str = "") -> None:
        lib.call("sluice_consumer_pause", self._handle.value, *lib.text(shard_id))

    def resume(self, shard_id: str = "") -> None:
        lib.call("sluice_consumer_resume", self._handle.value, *lib.text(shard_id))

    def wake(self) -> None:
        """Ends a poll that waits in another thread."""
        lib.call("sluice_consumer_wake", self._handle.value)

    def close(self, deadline_ms: int = 5000) -> None:
        if self._handle.value:
            lib.call("sluice_consumer_close", self._handle.value, deadline_ms)
            self._handle.release()

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def compare_cursors(left: str, right: str) -> Optional[int]:
    """-1 before, 0 equal, 1 after, None apart."""
    order = ctypes.c_int32()
    lib.call("sluice_cursor_compare", *lib.text(left), *lib.text(right), ctypes.byref(order))
    return None if order.value == 2 else order.value


def _records(page: lib.Handle) -> List[Record]:
    array, count = ctypes.POINTER(lib.RecordStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_records", page.value, ctypes.byref(array), ctypes.byref(count))
    records = []
    for i in range(count.value):
        one = array[i]
        headers = tuple((lib.bytes_of(one.headers[j].name).decode(errors="surrogateescape"), lib.bytes_of(one.headers[j].value))
                        for j in range(one.header_count))
        records.append(Record(one.shard, one.partition, one.position, None if one.timestamp_ns == lib.NO_TIMESTAMP else one.timestamp_ns,
                              lib.bytes_of(one.key), lib.bytes_of(one.value), headers, bool(one.late)))
    return records


def _notes(page: lib.Handle) -> List[Note]:
    array, count = ctypes.POINTER(lib.NoteStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_notes", page.value, ctypes.byref(array), ctypes.byref(count))
    notes = []
    for i in range(count.value):
        one = array[i]
        cause = error_of(one.cause, (lib.bytes_of(one.text) or b"").decode(errors="replace")) if one.cause else None
        notes.append(Note(one.shard, lib.bytes_of(one.shard_id).decode(), CONDITIONS[one.condition], cause, one.position, one.elapsed_ns, one.attempts))
    return notes
