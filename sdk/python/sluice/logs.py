# SPDX-License-Identifier: Apache-2.0
"""Storages and clusters that several readers and writers share, logs of one's own on them, and shards in memory."""

from __future__ import annotations

import ctypes
import json
from concurrent.futures import Future
from typing import Any, Dict, Iterable, List, NamedTuple

from . import _library as lib
from .consumers import Record
from .errors import SluiceError


class Written(NamedTuple):
    """Where the records of one append are."""
    first: int
    last: int
    epoch: int


class Storage:
    """An adapter, opened and connected: `settings` as in sdk/c/README.md. What takes a storage takes this object."""

    def __init__(self, name: str, library: str, **settings: Any):
        self.name = name
        self._handle = lib.opened("sluice_storage_open", *lib.settings({"name": name, "library": library, **settings}))

    def as_setting(self) -> Dict[str, Any]:
        return {"name": self.name, "handle": self._handle.value}

    def health(self) -> Dict[str, Any]:
        return json.loads(lib.text_from("sluice_storage_health", self._handle.value))

    def logs(self) -> List[Dict[str, Any]]:
        """All logs and native topics."""
        return json.loads(lib.text_from("sluice_storage_logs", self._handle.value, first_bytes=65_536))

    def stop(self, deadline_ms: int = 10_000) -> None:
        """Drains and lets go, also for those who share it."""
        lib.call("sluice_storage_stop", self._handle.value, deadline_ms)


class Cluster:
    """Connections to a Kafka cluster. What takes a cluster takes this object."""

    def __init__(self, bootstrap: str, name: str = "kafka", **settings: Any):
        self.name = name
        self._handle = lib.opened("sluice_cluster_open", *lib.settings({"name": name, "bootstrap": bootstrap, **settings}))

    def as_setting(self) -> Dict[str, Any]:
        return {"name": self.name, "handle": self._handle.value}

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        count = ctypes.c_int32()
        lib.call("sluice_cluster_partitions", self._handle.value, *lib.text(topic), ctypes.byref(count))
        return count.value


class Log:
    """The one writer of a log: `storage` (a Storage, or its settings), `log`, `state_directory`, ... Any thread. A context manager, which closes."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_log_open", *lib.settings(settings))

    def append(self, records: Iterable[Record]) -> "Future[Written]":
        """All of them land together, or none. Its callbacks run on a thread of the library and must not wait for this log."""
        hold: list = []
        array, count = lib.record_array(records, hold)
        future: "Future[Written]" = Future()
        future.set_running_or_notify_cancel()
        context = lib.keep(future)
        try:
            lib.call("sluice_log_append", self._handle.value, array, count, _DONE, context)
        except SluiceError:
            lib.drop(context)
            raise
        return future

    def write(self, records: Iterable[Record], timeout_ms: int = 60_000) -> Written:
        """The same, and waits. Raises Unknown where the storage has not answered in time."""
        hold: list = []
        array, count = lib.record_array(records, hold)
        written = lib.made(lib.WrittenStruct)
        lib.call("sluice_log_write", self._handle.value, array, count, timeout_ms, ctypes.byref(written))
        return Written(written.first, written.last, written.epoch)

    def flush(self, deadline_ms: int = 60_000) -> None:
        """Waits until all is settled; raises the first failure since the last flush."""
        lib.call("sluice_log_flush", self._handle.value, deadline_ms)

    def trim(self, position: int) -> None:
        lib.call("sluice_log_trim", self._handle.value, position)

    def stats(self) -> Dict[str, int]:
        return lib.stats_of("sluice_log_stats", self._handle, lib.LogCounts)

    @property
    def id(self) -> str:
        return lib.text_from("sluice_log_id", self._handle.value)

    def close(self, deadline_ms: int = 10_000) -> None:
        if self._handle.value:
            lib.call("sluice_log_close", self._handle.value, deadline_ms)
            self._handle.release()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class MemoryShard:
    """A shard in memory, which one consumer at a time reads: sources=[{"kind": "memory", "memory": shard}]."""

    def __init__(self, id: str, **settings: Any):  # pylint: disable=redefined-builtin
        self._handle = lib.opened("sluice_memory_open", *lib.settings({"id": id, **settings}))

    def as_setting(self) -> int:
        return self._handle.value

    def append(self, *records: Record) -> int:
        """Copies records to the end; gives the position of the last."""
        hold: list = []
        array, count = lib.record_array(records, hold)
        position = ctypes.c_int64(-1)
        lib.call("sluice_memory_append", self._handle.value, array, count, ctypes.byref(position))
        return position.value

    def seal(self) -> None:
        """Nothing comes after this."""
        lib.call("sluice_memory_seal", self._handle.value)

    def trim(self, before: int) -> None:
        lib.call("sluice_memory_trim", self._handle.value, before)


@lib.LogDone
def _DONE(context, written, failure):
    future = lib.kept(context)
    lib.drop(context)
    if future is None:
        return
    if written:
        future.set_result(Written(written[0].first, written[0].last, written[0].epoch))
    else:
        future.set_exception(lib.error_from(failure[0]))
