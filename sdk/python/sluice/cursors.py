# SPDX-License-Identifier: Apache-2.0
"""Composite cursors: a place in many shards at once, looked into and changed."""

from __future__ import annotations

import ctypes
from collections.abc import MutableMapping
from typing import Iterator

from . import _library as lib
from .errors import NotFound


class Cursor(MutableMapping):
    """Positions by shard id; str() gives the text that consumers take. Any thread, but for iterating while another changes it."""

    def __init__(self, text: str = ""):
        self._handle = lib.opened("sluice_cursor_open", *lib.text(text))

    def __str__(self) -> str:
        return lib.text_from("sluice_cursor_text", self._handle.value)

    def __len__(self) -> int:
        count = ctypes.c_uint64()
        lib.call("sluice_cursor_count", self._handle.value, ctypes.byref(count))
        return count.value

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self)):
            yield lib.text_from("sluice_cursor_entry", self._handle.value, index, None)

    def __getitem__(self, shard_id: str) -> int:
        position = ctypes.c_int64()
        try:
            lib.call("sluice_cursor_get", self._handle.value, *lib.text(shard_id), ctypes.byref(position))
        except NotFound:
            raise KeyError(shard_id) from None
        return position.value

    def __setitem__(self, shard_id: str, position: int) -> None:
        lib.call("sluice_cursor_put", self._handle.value, *lib.text(shard_id), position)

    def __delitem__(self, shard_id: str) -> None:
        try:
            lib.call("sluice_cursor_forget", self._handle.value, *lib.text(shard_id))
        except NotFound:
            raise KeyError(shard_id) from None

    def advance(self, shard_id: str, position: int) -> None:
        """Never back: raises Invalid."""
        lib.call("sluice_cursor_advance", self._handle.value, *lib.text(shard_id), position)

    def least(self, other: "Cursor") -> "Cursor":
        """From there nothing is skipped that either has still to see."""
        return self._joined("sluice_cursor_least", other)

    def greatest(self, other: "Cursor") -> "Cursor":
        """From there nothing comes again that either has seen."""
        return self._joined("sluice_cursor_greatest", other)

    def _joined(self, function: str, other: "Cursor") -> "Cursor":
        joined = Cursor.__new__(Cursor)
        joined._handle = lib.opened(function, self._handle.value, other._handle.value)
        return joined
