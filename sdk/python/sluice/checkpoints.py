# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: where a group of readers has got to, in files that processes share."""

from __future__ import annotations

import ctypes
import json
from typing import NamedTuple, Optional

from . import _library as lib
from .errors import NotFound, SluiceError


class Checkpoint(NamedTuple):
    id: int
    cursor: str


class CheckpointStore:
    """Any thread, any number of stores and processes on one directory."""

    def __init__(self, directory: str, keep: int = 8, lock_timeout_ms: int = 10_000):
        settings = json.dumps({"directory": directory, "keep": keep, "lock_timeout_ms": lock_timeout_ms})
        self._handle = lib.opened("sluice_checkpoints_open", *lib.text(settings))

    def commit(self, group: str, cursor: str, after: int = 0) -> int:
        """The checkpoint that follows `after`; gives its id. Raises Conflict where the newest is another one."""
        made = ctypes.c_uint64()
        lib.call("sluice_checkpoints_commit", self._handle.value, *lib.text(group), after, *lib.text(cursor), ctypes.byref(made))
        return made.value

    def newest(self, group: str) -> Optional[Checkpoint]:
        """The newest valid one, or None."""
        identity, needed = ctypes.c_uint64(), ctypes.c_uint64(4096)
        while True:
            capacity = needed.value
            buffer = ctypes.create_string_buffer(max(capacity, 1))
            try:
                lib.call("sluice_checkpoints_newest", self._handle.value, *lib.text(group), ctypes.byref(identity), buffer, capacity, ctypes.byref(needed))
            except NotFound:
                return None
            except SluiceError:
                if needed.value > capacity:
                    continue
                raise
            return Checkpoint(identity.value, buffer.raw[: needed.value].decode())
