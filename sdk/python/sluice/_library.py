# SPDX-License-Identifier: Apache-2.0
"""libsluice.so and the declarations of sluice.h. Nothing here is for users of the package."""

import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_int64, c_uint8, c_uint32, c_uint64
from pathlib import Path

from .errors import SluiceError, error_of

NO_TIMESTAMP = -(2**63)


class Failure(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("code", c_int32), ("native_code", c_int64), ("retry_after_ms", c_int64), ("index", c_int64), ("text", c_char * 512)]


class Span(ctypes.Structure):
    _fields_ = [("data", POINTER(c_uint8)), ("size", c_uint64)]


class Field(ctypes.Structure):
    _fields_ = [("name", Span), ("value", Span)]


class RecordStruct(ctypes.Structure):
    _fields_ = [("position", c_int64), ("timestamp_ns", c_int64), ("key", Span), ("value", Span), ("headers", POINTER(Field)), ("header_count", c_uint32),
                ("shard", c_uint32), ("partition", c_int32), ("late", c_uint32)]


class NoteStruct(ctypes.Structure):
    _fields_ = [("shard_id", Span), ("shard", c_uint32), ("condition", c_uint32), ("cause", c_int32), ("attempts", c_uint32), ("text", Span),
                ("position", c_int64), ("elapsed_ns", c_int64)]


class Poll(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("max_records", c_uint32), ("max_bytes", c_uint64), ("wait_ms", c_int64), ("min_records", c_uint32), ("reserved", c_uint32)]


class Polled(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("has_more", c_uint32), ("done", c_uint32), ("notes", c_uint32), ("records", c_uint64), ("rejected", c_uint64),
                ("corrupt", c_uint64), ("late", c_uint64), ("lost", c_uint64), ("elapsed_ns", c_int64)]


class Candidate(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("partition", c_int32), ("position", c_int64), ("timestamp_ns", c_int64), ("key", Span), ("value", Span),
                ("headers", POINTER(Field)), ("header_count", c_uint64)]


class EventStruct(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("header_count", c_uint32), ("key", Span), ("value", Span), ("headers", POINTER(Field))]


class Ingested(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("outcome", c_uint32), ("index", c_uint64), ("queued", c_uint64), ("dropped", c_uint64)]


class BusCounts(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("shards", c_uint32),
                *((name, c_uint64) for name in ("offered", "accepted", "delivered", "pending", "refused", "unrouted", "dropped_newest", "dropped_oldest",
                                                "dropped_sampled", "dropped_refused", "dropped_failed", "dropped_abandoned", "epoch")),
                ("health", c_uint32), ("reserved", c_uint32)]


def made(struct, **members):
    """A struct with its size set."""
    return struct(size=ctypes.sizeof(struct), **members)


def span(data, keep):
    """A span over bytes (None: null) that `keep`, a list, holds on to."""
    if data is None:
        return Span(None, 0)
    buffer = (c_uint8 * max(len(data), 1)).from_buffer_copy(bytes(data) or b"\0")
    keep.append(buffer)
    return Span(ctypes.cast(buffer, POINTER(c_uint8)), len(data))


def fields(headers, keep):
    """(pointer to fields, count) of (name, value) pairs."""
    headers = list(headers)
    array = (Field * max(len(headers), 1))()
    for i, (name, value) in enumerate(headers):
        array[i] = Field(span(name.encode() if isinstance(name, str) else name, keep), span(value, keep))
    keep.append(array)
    return ctypes.cast(array, POINTER(Field)) if headers else None, len(headers)


def bytes_of(element):
    """Bytes of a span; None for null."""
    if not element.data:
        return None
    return ctypes.string_at(element.data, element.size)


_TEXT = (c_char_p, c_uint64)
_OUT = (c_char_p, c_uint64, POINTER(c_uint64))
_HANDLE = c_uint64
_DECLARATIONS = {
    "sluice_release": (_HANDLE,),
    "sluice_consumer_open": (*_TEXT, *_TEXT, POINTER(_HANDLE)),
    "sluice_consumer_poll": (_HANDLE, POINTER(Poll), POINTER(_HANDLE), POINTER(Polled)),
    "sluice_consumer_wake": (_HANDLE,),
    "sluice_consumer_add": (_HANDLE, *_TEXT, POINTER(c_uint32)),
    "sluice_consumer_remove": (_HANDLE, *_TEXT),
    "sluice_consumer_seek": (_HANDLE, *_TEXT),
    "sluice_consumer_pause": (_HANDLE, *_TEXT),
    "sluice_consumer_resume": (_HANDLE, *_TEXT),
    "sluice_consumer_close": (_HANDLE, c_int64),
    "sluice_page_records": (_HANDLE, POINTER(POINTER(RecordStruct)), POINTER(c_uint64)),
    "sluice_page_notes": (_HANDLE, POINTER(POINTER(NoteStruct)), POINTER(c_uint64)),
    "sluice_page_cursor": (_HANDLE, *_OUT),
    "sluice_cursor_compare": (*_TEXT, *_TEXT, POINTER(c_int32)),
    "sluice_filter_parse": (*_TEXT, POINTER(_HANDLE)),
    "sluice_filter_from_json": (*_TEXT, POINTER(_HANDLE)),
    "sluice_filter_judge": (_HANDLE, POINTER(Candidate), POINTER(c_int32)),
    "sluice_filter_text": (_HANDLE, *_OUT),
    "sluice_filter_json": (_HANDLE, *_OUT),
    "sluice_bus_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_bus_ingest": (_HANDLE, POINTER(EventStruct)),
    "sluice_bus_ingest_batch": (_HANDLE, POINTER(POINTER(EventStruct)), c_uint64, POINTER(Ingested)),
    "sluice_bus_add_shard": (_HANDLE, POINTER(c_uint64)),
    "sluice_bus_remove_shard": (_HANDLE, c_uint64),
    "sluice_bus_drain": (_HANDLE, c_int64),
    "sluice_bus_flush": (_HANDLE, c_int64),
    "sluice_bus_shutdown": (_HANDLE, c_int64),
    "sluice_bus_stats": (_HANDLE, POINTER(BusCounts)),
    "sluice_checkpoints_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_checkpoints_commit": (_HANDLE, *_TEXT, c_uint64, *_TEXT, POINTER(c_uint64)),
    "sluice_checkpoints_newest": (_HANDLE, *_TEXT, POINTER(c_uint64), *_OUT),
}


def _load():
    """$SLUICE_LIBRARY, a library beside this package, or what the system finds."""
    beside = Path(__file__).with_name("libsluice.so")
    name = os.environ.get("SLUICE_LIBRARY") or (str(beside) if beside.exists() else ctypes.util.find_library("sluice"))
    if not name:
        raise ImportError("libsluice.so is not installed; SLUICE_LIBRARY may name it")
    library = ctypes.CDLL(name)
    for function, arguments in _DECLARATIONS.items():
        declared = getattr(library, function)
        declared.argtypes = [*arguments, POINTER(Failure)]
        declared.restype = c_int32
    library.sluice_version.restype = c_char_p
    library.sluice_handles.restype = c_uint64
    return library


LIBRARY = _load()


def call(function, *arguments):
    """Calls a function of sluice.h; what is not OK is raised."""
    failure = made(Failure, index=-1)
    status = getattr(LIBRARY, function)(*arguments, byref(failure))
    if status != 0:
        raise error_of(status, failure.text.decode(errors="replace"), failure.native_code, failure.index, failure.retry_after_ms)


def text(value):
    """(bytes, length) of a str."""
    data = value.encode()
    return data, len(data)


def text_from(function, *arguments, first_bytes=1024):
    """What a function writes to a buffer of ours."""
    needed = c_uint64(first_bytes)
    while True:
        buffer = ctypes.create_string_buffer(max(needed.value, 1))
        capacity = needed.value
        try:
            call(function, *arguments, buffer, capacity, byref(needed))
        except SluiceError:
            if needed.value > capacity:
                continue
            raise
        return buffer.raw[: needed.value].decode()


class Handle:
    """A number of the C face that is released once. Released objects answer with NotFound."""

    def __init__(self, value):
        self.value = value

    def release(self):
        value, self.value = self.value, 0
        if value:
            LIBRARY.sluice_release(value, None)

    def __del__(self):
        self.release()


def opened(function, *arguments):
    """The handle that a function gives out."""
    handle = c_uint64()
    call(function, *arguments, byref(handle))
    return Handle(handle.value)
