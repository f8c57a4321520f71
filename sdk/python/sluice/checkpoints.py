# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: where a group of readers has got to, in files that processes share."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _library as lib
from .errors import NotFound, SluiceError


class Checkpoint(NamedTuple):
    id: int
    cursor: str
    created_ns: int = 0     # since the epoch; for people
    damaged_newer: int = 0  # files above this one that could not be read


class CheckpointStore:
    """Any thread, any number of stores and processes on one directory."""

    def __init__(self, directory: str, keep: int = 8, lock_timeout_ms: int = 10_000):
        settings = {"directory": directory, "keep": keep, "lock_timeout_ms": lock_timeout_ms}
        self._handle = lib.opened("sluice_checkpoints_open", *lib.settings(settings))

    def commit(self, group: str, cursor: str, after: int = 0, metadata: Iterable[Tuple[str, str]] = ()) -> int:
        """The checkpoint that follows `after`; gives its id. Raises Conflict where the newest is another one."""
        made, hold = ctypes.c_uint64(), []
        pointer, count = lib.fields([(name, value.encode()) for name, value in metadata], hold)
        lib.call("sluice_checkpoints_commit", self._handle.value, *lib.text(group), after, *lib.text(cursor), pointer, count, ctypes.byref(made))
        return made.value

    def newest(self, group: str) -> Optional[Checkpoint]:
        """The newest valid one, or None."""
        about, needed = lib.made(lib.CheckpointStruct), ctypes.c_uint64(4096)
        while True:
            capacity = needed.value
            buffer = ctypes.create_string_buffer(max(capacity, 1))
            try:
                lib.call("sluice_checkpoints_newest", self._handle.value, *lib.text(group), ctypes.byref(about), buffer, capacity, ctypes.byref(needed))
            except NotFound:
                return None
            except SluiceError:
                if needed.value > capacity:
                    continue
                raise
            return Checkpoint(about.id, buffer.raw[: needed.value].decode(), about.created_ns, about.damaged_newer)

    def list(self, group: str) -> Dict[str, Any]:
        """All that is kept: {"checkpoints": [...], "damaged": [...]}, the newest first."""
        return json.loads(lib.text_from("sluice_checkpoints_list", self._handle.value, *lib.text(group), first_bytes=65_536))

    def groups(self) -> List[str]:
        return json.loads(lib.text_from("sluice_checkpoints_groups", self._handle.value))
