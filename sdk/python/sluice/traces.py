# SPDX-License-Identifier: Apache-2.0
"""Trace context through records: W3C's traceparent and tracestate."""

from __future__ import annotations

import ctypes
from typing import Iterable, List, Optional, Tuple

from . import _library as lib
from .errors import NotFound

Headers = Iterable[Tuple[str, Optional[bytes]]]


class TraceContext:
    """Never changes: what continues or changes it gives another."""

    def __init__(self, parent: str, state: str = ""):
        """From its two texts."""
        self._set(lib.opened("sluice_trace_parse", *lib.text(parent), *lib.text(state)))

    def _set(self, handle: lib.Handle) -> "TraceContext":
        self._handle = handle
        self._ids = lib.made(lib.TraceIds)
        lib.call("sluice_trace_read", handle.value, ctypes.byref(self._ids))
        return self

    @classmethod
    def begin(cls, sampled: bool = True) -> "TraceContext":
        """A new trace."""
        return cls.__new__(cls)._set(lib.opened("sluice_trace_begin", int(sampled)))

    @classmethod
    def extract(cls, headers: Headers) -> Optional["TraceContext"]:
        """The one that a record's headers carry; None: begin one."""
        hold: list = []
        try:
            return cls.__new__(cls)._set(lib.opened("sluice_trace_extract", *lib.fields(headers, hold)))
        except NotFound:
            return None

    def child(self) -> "TraceContext":
        """The next span of the trace."""
        return self.__class__.__new__(self.__class__)._set(lib.opened("sluice_trace_child", self._handle.value))

    def with_state(self, key: str, value: str) -> "TraceContext":
        """With a member of the state put first."""
        return self.__class__.__new__(self.__class__)._set(lib.opened("sluice_trace_with_state", self._handle.value, *lib.text(key), *lib.text(value)))

    @property
    def trace_id(self) -> str:
        return bytes(self._ids.trace_id).hex()

    @property
    def span_id(self) -> str:
        return bytes(self._ids.span_id).hex()

    @property
    def sampled(self) -> bool:
        return bool(self._ids.flags & 1)

    @property
    def parent(self) -> str:
        """The traceparent header."""
        return lib.text_from("sluice_trace_parent", self._handle.value)

    @property
    def state(self) -> str:
        return lib.text_from("sluice_trace_state", self._handle.value)

    def headers(self, original: Headers = ()) -> List[Tuple[str, Optional[bytes]]]:
        """A record's headers with this context's in place of any other."""
        hold: list = []
        pointer, count = lib.fields(original, hold)
        array, needed = (lib.Field * (count + 2))(), ctypes.c_uint64()
        lib.call("sluice_trace_headers", self._handle.value, pointer, count, array, count + 2, ctypes.byref(needed))
        return list(lib.pairs(array[i] for i in range(needed.value)))
