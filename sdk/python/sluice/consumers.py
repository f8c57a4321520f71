# SPDX-License-Identifier: Apache-2.0
"""The merging consumer: many shards as one stream that can be left and taken up again."""

from __future__ import annotations

import ctypes
import threading
import traceback
from contextlib import suppress
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
    """`settings` as in sdk/c/README.md: sources, storages, filter, order, ...; `accept`, a function, judges records in place of a filter:
    what it raises, poll() raises, and no record is passed; resume() tries its shard again. It may run on another thread than that which polls, and waits
    for: locks and what is bound to a thread are not shared. Any thread; one poll at a time. A context manager."""

    def __init__(self, cursor: str = "", accept: Optional[Callable[[Record], bool]] = None, **settings: Any):
        sources = settings.get("sources")
        self._calls_us = accept is not None or (isinstance(sources, (list, tuple)) and any(map(_calls_us, sources)))
        self._judge = None if accept is None else _Judge(accept)
        if accept is None:
            self._handle = lib.opened("sluice_consumer_open", *lib.settings(settings), *lib.text(cursor))
            return
        self._context = lib.keep(self._judge)
        try:
            self._handle = lib.opened("sluice_consumer_open_with", *lib.settings(settings), *lib.text(cursor), _ACCEPT, self._context)
        except SluiceError:
            lib.drop(self._context)
            raise

    def poll(self, max_records: int = 1000, wait_ms: int = 1000, max_bytes: int = 16 << 20, min_records: int = 1) -> Page:
        request = lib.made(lib.Poll, max_records=max_records, max_bytes=max_bytes, wait_ms=wait_ms, min_records=min_records)
        polled, handle = lib.made(lib.Polled), ctypes.c_uint64()
        ask = self._ask_apart if self._calls_us and threading.current_thread() is threading.main_thread() else self._ask
        try:
            ask(request, handle, polled)
            return _page(handle.value, polled, self._judge)
        except BaseException:  # also what a signal raises
            _give_back(self._handle.value, handle.value)
            raise
        finally:
            lib.LIBRARY.sluice_release(handle, None)

    def _ask(self, request: lib.Poll, handle: ctypes.c_uint64, polled: lib.Polled) -> None:
        lib.call("sluice_consumer_poll", self._handle.value, ctypes.byref(request), ctypes.byref(handle), ctypes.byref(polled))

    def _ask_apart(self, request: lib.Poll, handle: ctypes.c_uint64, polled: lib.Polled) -> None:
        """The same on another thread. What a signal raises comes on the main thread, also before the first line of a function that the library calls there:
        the function could not answer then, and nobody would hear of it."""
        over, left, failed = threading.Event(), [], []

        def run():
            try:
                self._ask(request, handle, polled)
            except BaseException as error:  # pylint: disable=broad-except
                failed.append(error)
            if left:
                _give_back(self._handle.value, handle.value)
                lib.LIBRARY.sluice_release(handle, None)
            over.set()

        thread = threading.Thread(target=run, name="sluice-poll", daemon=True)
        try:
            thread.start()
            over.wait()
        except BaseException:
            left.append(True)
            with suppress(SluiceError):
                self.wake()
            if thread.ident is not None:  # it began
                over.wait()
            raise
        if failed:
            raise failed[0]

    def subscribe(self, push: Callable[[Optional[Page], Optional[BaseException]], Optional[bool]], max_records: int = 1000, wait_ms: int = 1000,
                  max_bytes: int = 16 << 20) -> Subscription:
        """Pages pushed to a function, on a thread of their own, until it returns False or the shards end. An error comes last, as its second argument,
        also what it raises itself."""
        request = lib.made(lib.Poll, max_records=max_records, max_bytes=max_bytes, wait_ms=wait_ms, min_records=1)
        context = lib.keep((push, self._judge, self._handle.value))
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
        self._calls_us = self._calls_us or _calls_us(source)
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


def _calls_us(source: Any) -> bool:
    """Whether an element of `sources` is made of functions."""
    setting = source.as_setting() if hasattr(source, "as_setting") else source
    return isinstance(setting, dict) and setting.get("kind") == "calls"


class _Judge:
    """A function that judges records, and what it raised."""

    def __init__(self, accept: Callable[[Record], bool]):
        self.accept, self._raised = accept, None

    def fail(self, error: BaseException) -> None:
        self._raised = self._raised or error

    def check(self) -> None:
        """Raises it, once."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised


@lib.Predicate
def _ACCEPT(context, record):
    judge = lib.kept(context)
    try:
        return 1 if judge.accept(record_of(record[0])) else 0
    except BaseException as error:  # pylint: disable=broad-except
        if judge is not None:
            judge.fail(error)
        return 2  # the record is not passed


@lib.Push
def _PUSH(context, page, polled, failure):
    kept = lib.kept(context)
    if kept is None:
        lib.LIBRARY.sluice_release(page, None)
        return 0
    push, judge, consumer = kept
    if failure:
        return _push_last(push, lib.error_from(failure[0]))
    try:
        try:
            shown = _page(page, polled[0], judge)
        except BaseException:
            _give_back(consumer, page)
            raise
        finally:
            lib.LIBRARY.sluice_release(page, None)
        return 0 if push(shown, None) is False else 1
    except BaseException as error:  # pylint: disable=broad-except
        return _push_last(push, error)


def _push_last(push: Callable[..., Any], error: BaseException) -> int:
    try:
        push(None, error)
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()  # nobody is left to hear it
    return 0


def _give_back(consumer: int, page: int) -> None:
    """What nobody has seen comes again; a consumer that is closed needs that no more."""
    if page:
        lib.LIBRARY.sluice_consumer_give_back(consumer, page, None)


def _page(page: int, polled: lib.Polled, judge: Optional[_Judge]) -> Page:
    if judge is not None:
        judge.check()
    return Page(_records(page), lib.text_from("sluice_page_cursor", page), _notes(page), bool(polled.has_more), bool(polled.done), polled.rejected,
                polled.corrupt, polled.late, polled.lost)


def _records(page: int) -> List[Record]:
    array, count = ctypes.POINTER(lib.RecordStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_records", page, ctypes.byref(array), ctypes.byref(count))
    return [record_of(array[i]) for i in range(count.value)]


def _notes(page: int) -> List[Note]:
    array, count = ctypes.POINTER(lib.NoteStruct)(), ctypes.c_uint64()
    lib.call("sluice_page_notes", page, ctypes.byref(array), ctypes.byref(count))
    notes = []
    for i in range(count.value):
        one = array[i]
        cause = error_of(one.cause, (lib.bytes_of(one.text) or b"").decode(errors="replace")) if one.cause else None
        notes.append(Note(one.shard, lib.bytes_of(one.shard_id).decode(), CONDITIONS[one.condition], cause, one.position, one.elapsed_ns, one.attempts))
    return notes
