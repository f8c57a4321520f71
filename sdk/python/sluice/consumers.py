# SPDX-License-Identifier: Apache-2.0
"""The merging consumer: many shards as one stream that can be left and taken up again."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List, Optional, Tuple

from . import _library as lib
from .errors import SluiceError, error_of

CONDITIONS = ("failed", "retrying", "stalled", "passed_over", "holding", "capped", "finished")
PLACES = ("start", "end", "time", "position")


@dataclass(frozen=True)
class Record:
    """What a consumer gives, and logs, shards in memory and dead letter queues take."""
    shard: int = 0
    partition: int = 0
    position: int = 0
    timestamp_ns: Optional[int] = None
    key: Optional[bytes] = None
    value: Optional[bytes] = None
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
    """`settings` as in sdk/c/README.md: sources, storages, filter, order, ...; `accept`, a function, judges records in place of a filter.
    Any thread; one poll at a time. A context manager."""

    def __init__(self, cursor: str = "", accept: Optional[Callable[[Record], bool]] = None, **settings: Any):
        if accept is None:
            self._handle = lib.opened("sluice_consumer_open", *lib.settings(settings), *lib.text(cursor))
        else:
            self._accept = accept
            self._context = lib.keep(accept)
            self._handle = lib.opened("sluice_consumer_open_with", *lib.settings(settings), *lib.text(cursor), _ACCEPT, self._context)

    def poll(self, max_records: int = 1000, wait_ms: int = 1000, max_bytes: int = 16 << 20, min_records: int = 1) -> Page:
        request = lib.made(lib.Poll, max_records=max_records, max_bytes=max_bytes, wait_ms=wait_ms, min_records=min_records)
        polled, handle = lib.made(lib.Polled), ctypes.c_uint64()
        lib.call("sluice_consumer_poll", self._handle.value, ctypes.byref(request), ctypes.byref(handle), ctypes.byref(polled))
        return _page(handle.value, polled)

    def subscribe(self, push: Callable[[Optional[Page], Optional[SluiceError]], Optional[bool]], max_records: int = 1000, wait_ms: int = 1000,
                  max_bytes: int = 16 << 20) -> Subscription:
        """Pages pushed to a function, on a thread of their own, until it returns False or the shards end. An error comes last, as its second argument."""
        request = lib.made(lib.Poll, max_records=max_records, max_bytes=max_bytes, wait_ms=wait_ms, min_records=1)
        context = lib.keep(push)
        try:
            return Subscription(lib.opened("sluice_subscribe", self._handle.value, ctypes.byref(request), _PUSH, lib.drop, context))
        except SluiceError:
            lib.drop(context)
            raise

    @property
    def cursor(self) -> str:
        """The place after the last page, or where it was sought since."""
        return lib.text_from("sluice_consumer_cursor", self._handle.value)

    @property
    def buffered_bytes(self) -> int:
        """Of pages that are read and not delivered."""
        buffered = ctypes.c_uint64()
        lib.call("sluice_consumer_state", self._handle.value, ctypes.byref(buffered), None)
        return buffered.value

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
        """Adds a shard, one element of `sources`, which begins at `start` if the cursor does not name it; gives its number."""
        shard = ctypes.c_uint32()
        lib.call("sluice_consumer_add", self._handle.value, *lib.settings(source), ctypes.byref(shard))
        return shard.value

    def remove(self, shard_id: str) -> None:
        """The shard is read to the end that it has now."""
        lib.call("sluice_consumer_remove", self._handle.value, *lib.text(shard_id))

    def drop(self, shard_id: str) -> None:
        """Lets the shard go at once. Its place stays in the cursor until it is forgotten."""
        lib.call("sluice_consumer_drop", self._handle.value, *lib.text(shard_id))

    def forget(self, shard_id: str) -> None:
        lib.call("sluice_consumer_forget", self._handle.value, *lib.text(shard_id))

    def seek(self, cursor: str) -> None:
        lib.call("sluice_consumer_seek", self._handle.value, *lib.text(cursor))

    def seek_to(self, place: str, value: int = 0, shard_id: str = "") -> None:
        """One shard, or all, to "start", "end", "time" (nanoseconds since the epoch) or "position"."""
        lib.call("sluice_consumer_seek_to", self._handle.value, *lib.text(shard_id), PLACES.index(place), value)

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
            lib.drop(getattr(self, "_context", 0))

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Subscription:
    """Pages on their way to a function; keep it as long as they shall come. A context manager, which stops it."""

    def __init__(self, handle: lib.Handle):
        self._handle = handle

    def pause(self) -> None:
        """No page comes after the return, but for the one that the function may have at that moment."""
        lib.call("sluice_subscription_pause", self._handle.value)

    def resume(self) -> None:
        lib.call("sluice_subscription_resume", self._handle.value)

    @property
    def running(self) -> bool:
        running = ctypes.c_uint32()
        lib.call("sluice_subscription_running", self._handle.value, ctypes.byref(running))
        return bool(running.value)

    def stop(self, deadline_ms: int = 5000) -> None:
        """Ends it; a page that was polled by then still comes. Raises Unavailable where the function has not returned in time."""
        lib.call("sluice_subscription_stop", self._handle.value, deadline_ms)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._handle.release()


def compare_cursors(left: str, right: str) -> Optional[int]:
    """-1 before, 0 equal, 1 after, None apart."""
    order = ctypes.c_int32()
    lib.call("sluice_cursor_compare", *lib.text(left), *lib.text(right), ctypes.byref(order))
    return None if order.value == 2 else order.value


def record_of(one: lib.RecordStruct) -> Record:
    return Record(one.shard, one.partition, one.position, None if one.timestamp_ns == lib.NO_TIMESTAMP else one.timestamp_ns, lib.bytes_of(one.key),
                  lib.bytes_of(one.value), lib.pairs(one.headers[j] for j in range(one.header_count)), bool(one.late))


@lib.Predicate
def _ACCEPT(context, record):
    accept = lib.kept(context)
    return 1 if accept is not None and accept(record_of(record[0])) else 0


@lib.Push
def _PUSH(context, page, polled, failure):
    push = lib.kept(context)
    if push is None:
        return 0
    if failure:
        push(None, lib.error_from(failure[0]))
        return 0
    return 0 if push(_page(page, polled[0]), None) is False else 1


def _page(handle: int, polled: lib.Polled) -> Page:
    page = lib.Handle(handle)
    try:
        return Page(_records(page), lib.text_from("sluice_page_cursor", page.value), _notes(page), bool(polled.has_more), bool(polled.done),
                    polled.rejected, polled.corrupt, polled.late, polled.lost)
    finally:
        page.release()


def _records(page: lib.Handle) -> List[Record]:
    array, count = ctypes.POINTER(lib.RecordStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_records", page.value, ctypes.byref(array), ctypes.byref(count))
    return [record_of(array[i]) for i in range(count.value)]


def _notes(page: lib.Handle) -> List[Note]:
    array, count = ctypes.POINTER(lib.NoteStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_notes", page.value, ctypes.byref(array), ctypes.byref(count))
    notes = []
    for i in range(count.value):
        one = array[i]
        cause = error_of(one.cause, (lib.bytes_of(one.text) or b"").decode(errors="replace")) if one.cause else None
        notes.append(Note(one.shard, lib.bytes_of(one.shard_id).decode(), CONDITIONS[one.condition], cause, one.position, one.elapsed_ns, one.attempts))
    return notes
