# SPDX-License-Identifier: Apache-2.0
"""Shards of one's own, which consumers read."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import _library as lib
from .consumers import Record
from .errors import SluiceError, Unsupported


class SourcePage(NamedTuple):
    """What one read showed: everything from the position that was asked for up to `next` was looked at, and is in `records`, or is no record."""
    records: List[Record]  # by rising position
    next: int  # where to read on; the position that was asked for: there is nothing yet
    end: int = -1  # of the shard as far as known
    finished: bool = False  # nothing will ever come at or above `next`
    corrupt: int = 0  # entries passed because they could not be decoded


class Source:
    """A shard made of functions: sources=[source]. One consumer at a time reads it.

    `read(position, max_records, max_bytes, wait_ms)` gives a SourcePage, and may wait so long for a first record; OutOfRange where the position is below the
    start or above the end. `bounds()` gives (start, end); `locate(timestamp_ns)` the position of the first record at that time or later, where that is known.
    `wake()` ends a read that waits, from any thread; closing a consumer waits for one that has none. The others run one after the other on a thread of the
    source's own. Exceptions of this package are told as what their class says, others fail the shard.
    """

    def __init__(self, id: str, read: Callable[[int, int, int, int], SourcePage], bounds: Callable[[], Tuple[int, int]],  # pylint: disable=redefined-builtin
                 locate: Optional[Callable[[int], int]] = None, wake: Optional[Callable[[], None]] = None):
        context = lib.keep(_Functions(read, bounds, locate, wake, lib.Worker("sluice-source")))
        calls = lib.made(lib.SourceCalls, context=context, read=_READ, bounds=_BOUNDS, locate=_LOCATE, wake=_WAKE, gone=_GONE)
        try:
            self._handle = lib.opened("sluice_source_open", *lib.text(id), ctypes.byref(calls))
        except SluiceError:
            lib.drop(context)
            raise

    def as_setting(self) -> Dict[str, Any]:
        return {"kind": "calls", "source": self._handle.value}


class _Functions(NamedTuple):
    read: Callable[[int, int, int, int], SourcePage]
    bounds: Callable[[], Tuple[int, int]]
    locate: Optional[Callable[[int], int]]
    wake: Optional[Callable[[], None]]
    worker: lib.Worker  # that the first three run on: the library may call inside a poll, which must not wait for them


def _answer(function: str, answer: int, nothing: tuple, ask: Callable[[], tuple]) -> None:
    """Gives what `ask` does as arguments of `function`, or why it did not; `nothing` stands for them then."""
    try:
        lib.call(function, answer, None, *ask())
    except BaseException as error:  # pylint: disable=broad-except
        getattr(lib.LIBRARY, function)(answer, ctypes.byref(lib.failure_of(error)), *nothing, None)
    finally:
        lib.LIBRARY.sluice_release(answer, None)  # INTERNAL where nothing could be answered


def _later(context: int, function: str, answer: int, nothing: tuple, ask: Callable[[_Functions], tuple]) -> None:
    """The same on the worker of the source."""
    try:
        functions = lib.kept(context)
        functions.worker.do(lambda: _answer(function, answer, nothing, lambda: ask(functions)))
    except BaseException:  # pylint: disable=broad-except
        lib.LIBRARY.sluice_release(answer, None)
        raise


@lib.SourceRead
def _READ(context, wanted, answer):
    one, hold = wanted[0], []
    asked = (one.from_, one.max_records, one.max_bytes, one.wait_ms)  # `wanted` is gone when this returns

    def ask(functions):
        page = functions.read(*asked)
        array, count = lib.record_array(page.records, hold)
        hold.append(array)
        shown = lib.made(lib.PageShown, finished=int(page.finished), next=page.next, end=page.end, corrupt=page.corrupt, count=count,
                         records=ctypes.cast(array, ctypes.POINTER(lib.RecordStruct)))
        return (ctypes.byref(shown),)

    _later(context, "sluice_answer_page", answer, (None,), ask)


@lib.SourceBounds
def _BOUNDS(context, answer):
    _later(context, "sluice_answer_bounds", answer, (0, 0), lambda functions: tuple(functions.bounds()))


@lib.SourceLocate
def _LOCATE(context, timestamp_ns, answer):
    def ask(functions):
        if functions.locate is None:
            raise Unsupported("the source has no times", code=104)
        return (functions.locate(timestamp_ns),)

    _later(context, "sluice_answer_position", answer, (0,), ask)


@lib.SourceWake
def _WAKE(context):
    functions = lib.kept(context)
    if functions is not None and functions.wake is not None:
        functions.wake()


@lib.Gone
def _GONE(context):
    functions = lib.kept(context)
    lib.drop(context)
    if functions is not None:
        functions.worker.end()
