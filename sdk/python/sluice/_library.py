# SPDX-License-Identifier: Apache-2.0
"""libsluice.so and the declarations of sluice.h. Nothing here is for users of the package."""

import atexit
import ctypes
import ctypes.util
import itertools
import json
import os
import queue
import threading
import time
import traceback
import weakref
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path

from .errors import SluiceError, code_of, error_of

NO_TIMESTAMP = -(2**63)
_EXIT_S = 3  # at most, to end what still lives at the process's end


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


def _counts(name, first, *rest, last=()):
    """A struct of a size, a first member, counters, and what came later."""
    return type(name, (ctypes.Structure,), {"_fields_": [("size", c_uint32), first, *((member, c_uint64) for member in rest), *last]})


LimiterCounts = _counts("LimiterCounts", ("reserved", c_uint32), "allowed", "refused", "failed", "invalid")
LogCounts = _counts("LogCounts", ("epoch", c_int32), "appended", "written", "failed", "pending", "refused", "retries", "pending_bytes")
DeadLetterCounts = _counts("DeadLetterCounts", ("last_failure", c_int32), "offered", "dropped", "sent", "failed", "retries", "waiting", "in_flight",
                           "held_bytes", last=(("opening", c_int32), ("reserved", c_uint32)))
EnvelopeCounts = _counts("EnvelopeCounts", ("reserved", c_uint32), "messages", "message_bytes", "stored_bytes", "refused")


class LimiterRequest(ctypes.Structure):
    _fields_ = [("key", Span), ("tokens", c_uint64)]


class LimiterDecision(ctypes.Structure):
    _fields_ = [("allowed", c_uint32), ("status", c_int32), ("retry_after_ms", c_int64)]


class Instrument(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("kind", c_uint32), ("name", Span), ("unit", Span), ("attributes", POINTER(Field)), ("attribute_count", c_uint64)]


class TraceIds(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("trace_id", c_uint8 * 16), ("span_id", c_uint8 * 8)]


class WrittenStruct(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("epoch", c_int32), ("first", c_int64), ("last", c_int64)]


class CheckpointStruct(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("damaged_newer", c_uint32), ("id", c_uint64), ("created_ns", c_int64)]


class Cause(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("attempts", c_uint32), ("why", POINTER(Failure)), ("source", Span)]


class BatchStruct(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("attempt", c_uint32), ("bus", Span), ("epoch", c_uint64), ("shard", c_uint64), ("payload_bytes", c_uint64),
                ("records", POINTER(RecordStruct)), ("count", c_uint64)]


class PageWanted(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("max_records", c_uint32), ("from_", c_int64), ("max_bytes", c_uint64), ("wait_ms", c_int64)]


class PageShown(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("finished", c_uint32), ("next", c_int64), ("end", c_int64), ("corrupt", c_uint64), ("records", POINTER(RecordStruct)),
                ("count", c_uint64)]


# Functions of ours that the library calls. Each is made once and never freed; whom it is for, its context says.
LogDone = ctypes.CFUNCTYPE(None, c_void_p, POINTER(WrittenStruct), POINTER(Failure))
Push = ctypes.CFUNCTYPE(c_uint32, c_void_p, c_uint64, POINTER(Polled), POINTER(Failure))
Predicate = ctypes.CFUNCTYPE(c_uint32, c_void_p, POINTER(RecordStruct))
Gone = ctypes.CFUNCTYPE(None, c_void_p)
SinkOpen = ctypes.CFUNCTYPE(None, c_void_p, c_uint64)
SinkDeliver = ctypes.CFUNCTYPE(None, c_void_p, POINTER(BatchStruct), c_uint64)
SinkEnd = ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_uint64)
Route = ctypes.CFUNCTYPE(c_uint32, c_void_p, POINTER(EventStruct), c_uint32)
SinkForShard = ctypes.CFUNCTYPE(c_uint64, c_void_p, c_uint64)
OnChange = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint32)
Log = ctypes.CFUNCTYPE(None, c_void_p, POINTER(c_char), c_uint64)
SourceRead = ctypes.CFUNCTYPE(None, c_void_p, POINTER(PageWanted), c_uint64)
SourceBounds = ctypes.CFUNCTYPE(None, c_void_p, c_uint64)
SourceLocate = ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_uint64)
SourceWake = ctypes.CFUNCTYPE(None, c_void_p)
Observer = ctypes.CFUNCTYPE(None, c_void_p, c_uint64)
Clock = ctypes.CFUNCTYPE(c_int64, c_void_p)


class SinkCalls(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("deduplicates", c_uint32), ("ordered", c_uint32), ("max_batch_events", c_uint32), ("max_batch_bytes", c_uint64),
                ("context", c_void_p), ("open", SinkOpen), ("deliver", SinkDeliver), ("flush", SinkEnd), ("close", SinkEnd), ("gone", Gone)]


class SourceCalls(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("context", c_void_p), ("read", SourceRead), ("bounds", SourceBounds),
                ("locate", SourceLocate), ("wake", SourceWake), ("gone", Gone)]


class BusCalls(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("context", c_void_p), ("route", Route), ("sink_for_shard", SinkForShard),
                ("on_change", OnChange), ("log", Log), ("clock", Clock), ("gone", Gone)]


_KEPT = {}
_NUMBERS = itertools.count(1)


def keep(value):
    """A context for the library to call us with; `kept` gives the value until `drop`."""
    number = next(_NUMBERS)
    _KEPT[number] = value
    return number


def kept(context):
    return _KEPT.get(context)


@Gone
def drop(context):
    _KEPT.pop(context, None)


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
        array[i] = Field(span(name.encode(errors="surrogateescape") if isinstance(name, str) else name, keep), span(value, keep))
    keep.append(array)
    return ctypes.cast(array, POINTER(Field)) if headers else None, len(headers)


def bytes_of(element):
    """Bytes of a span; None for null."""
    if not element.data:
        return None
    return ctypes.string_at(element.data, element.size)


def pairs(headers):
    """A pointer's worth of fields as (name, value) pairs."""
    return tuple((bytes_of(one.name).decode(errors="surrogateescape"), bytes_of(one.value)) for one in headers)


def record_struct(record, hold):
    """A Record as C takes it."""
    pointer, count = fields(record.headers, hold)
    return RecordStruct(position=record.position, timestamp_ns=NO_TIMESTAMP if record.timestamp_ns is None else record.timestamp_ns,
                        key=span(record.key, hold), value=span(record.value, hold), headers=pointer, header_count=count, partition=record.partition)


def record_array(records, hold):
    """(array, count) of Records."""
    structs = [record_struct(record, hold) for record in records]
    return (RecordStruct * max(len(structs), 1))(*structs), len(structs)


def failure_of(error):
    """An exception as a failure; what is not ours is INTERNAL."""
    try:
        words = str(error)
    except Exception:  # pylint: disable=broad-except
        words = type(error).__name__
    words = words.encode(errors="replace")[:511].decode(errors="ignore").encode()  # cut between characters
    ours = isinstance(error, SluiceError)
    return made(Failure, code=code_of(error), native_code=error.native_code if ours else 0, retry_after_ms=error.retry_after_ms if ours else 0, index=-1,
                text=words)


def error_from(failure):
    """A failure that the library shows, as an exception."""
    return error_of(failure.code, failure.text.decode(errors="replace"), failure.native_code, failure.index, failure.retry_after_ms)


def settings(values):
    """A configuration as (bytes, length) of its JSON; storages, sinks, buses and shards may be given as objects."""
    return text(json.dumps(values, default=lambda value: value.as_setting()))


_TEXT = (c_char_p, c_uint64)
_OUT = (c_char_p, c_uint64, POINTER(c_uint64))
_HANDLE = c_uint64
_DECLARATIONS = {
    "sluice_release": (_HANDLE,),
    "sluice_consumer_open": (*_TEXT, *_TEXT, POINTER(_HANDLE)),
    "sluice_consumer_poll": (_HANDLE, POINTER(Poll), POINTER(_HANDLE), POINTER(Polled)),
    "sluice_consumer_give_back": (_HANDLE, _HANDLE),
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
    "sluice_checkpoints_commit": (_HANDLE, *_TEXT, c_uint64, *_TEXT, POINTER(Field), c_uint64, POINTER(c_uint64)),
    "sluice_checkpoints_newest": (_HANDLE, *_TEXT, POINTER(CheckpointStruct), *_OUT),
    "sluice_checkpoints_list": (_HANDLE, *_TEXT, *_OUT),
    "sluice_checkpoints_groups": (_HANDLE, *_OUT),
    "sluice_consumer_open_with": (*_TEXT, *_TEXT, Predicate, c_void_p, POINTER(_HANDLE)),
    "sluice_consumer_cursor": (_HANDLE, *_OUT),
    "sluice_consumer_drop": (_HANDLE, *_TEXT),
    "sluice_consumer_forget": (_HANDLE, *_TEXT),
    "sluice_consumer_seek_to": (_HANDLE, *_TEXT, c_uint32, c_int64),
    "sluice_consumer_state": (_HANDLE, POINTER(c_uint64), POINTER(c_uint32)),
    "sluice_subscribe": (_HANDLE, POINTER(Poll), Push, Gone, c_void_p, POINTER(_HANDLE)),
    "sluice_subscription_pause": (_HANDLE,),
    "sluice_subscription_resume": (_HANDLE,),
    "sluice_subscription_running": (_HANDLE, POINTER(c_uint32)),
    "sluice_subscription_stop": (_HANDLE, c_int64),
    "sluice_cursor_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_cursor_text": (_HANDLE, *_OUT),
    "sluice_cursor_count": (_HANDLE, POINTER(c_uint64)),
    "sluice_cursor_entry": (_HANDLE, c_uint64, POINTER(c_int64), *_OUT),
    "sluice_cursor_get": (_HANDLE, *_TEXT, POINTER(c_int64)),
    "sluice_cursor_put": (_HANDLE, *_TEXT, c_int64),
    "sluice_cursor_advance": (_HANDLE, *_TEXT, c_int64),
    "sluice_cursor_forget": (_HANDLE, *_TEXT),
    "sluice_cursor_least": (_HANDLE, _HANDLE, POINTER(_HANDLE)),
    "sluice_cursor_greatest": (_HANDLE, _HANDLE, POINTER(_HANDLE)),
    "sluice_bus_open_with": (*_TEXT, POINTER(BusCalls), POINTER(_HANDLE)),
    "sluice_bus_report": (_HANDLE, *_OUT),
    "sluice_bus_subscribable": (_HANDLE, POINTER(c_uint64), c_uint64, POINTER(c_uint64)),
    "sluice_storage_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_storage_health": (_HANDLE, *_OUT),
    "sluice_storage_logs": (_HANDLE, *_OUT),
    "sluice_storage_stop": (_HANDLE, c_int64),
    "sluice_cluster_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_cluster_partitions": (_HANDLE, *_TEXT, POINTER(c_int32)),
    "sluice_log_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_log_append": (_HANDLE, POINTER(RecordStruct), c_uint64, LogDone, c_void_p),
    "sluice_log_write": (_HANDLE, POINTER(RecordStruct), c_uint64, c_int64, POINTER(WrittenStruct)),
    "sluice_log_flush": (_HANDLE, c_int64),
    "sluice_log_close": (_HANDLE, c_int64),
    "sluice_log_trim": (_HANDLE, c_int64),
    "sluice_log_stats": (_HANDLE, POINTER(LogCounts)),
    "sluice_log_id": (_HANDLE, *_OUT),
    "sluice_memory_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_memory_append": (_HANDLE, POINTER(RecordStruct), c_uint64, POINTER(c_int64)),
    "sluice_memory_seal": (_HANDLE,),
    "sluice_memory_trim": (_HANDLE, c_int64),
    "sluice_sink_open": (POINTER(SinkCalls), POINTER(_HANDLE)),
    "sluice_answer": (_HANDLE, POINTER(Failure), c_void_p),
    "sluice_source_open": (*_TEXT, POINTER(SourceCalls), POINTER(_HANDLE)),
    "sluice_answer_page": (_HANDLE, POINTER(Failure), POINTER(PageShown)),
    "sluice_answer_bounds": (_HANDLE, POINTER(Failure), c_int64, c_int64),
    "sluice_answer_position": (_HANDLE, POINTER(Failure), c_int64),
    "sluice_dead_letters_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_dead_letters_offer": (_HANDLE, POINTER(RecordStruct), POINTER(Cause)),
    "sluice_dead_letters_run": (_HANDLE, POINTER(c_int64)),
    "sluice_dead_letters_close": (_HANDLE, c_int64),
    "sluice_dead_letters_stats": (_HANDLE, POINTER(DeadLetterCounts)),
    "sluice_limiter_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_limiter_acquire_batch": (_HANDLE, POINTER(LimiterRequest), c_uint64, POINTER(LimiterDecision)),
    "sluice_limiter_stats": (_HANDLE, POINTER(LimiterCounts)),
    "sluice_telemetry_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_telemetry_instrument": (_HANDLE, POINTER(Instrument), POINTER(_HANDLE)),
    "sluice_telemetry_observe": (_HANDLE, Observer, Gone, c_void_p, POINTER(_HANDLE)),
    "sluice_observe": (_HANDLE, POINTER(Instrument), c_int64),
    "sluice_counter_add": (_HANDLE, c_uint64),
    "sluice_gauge_set": (_HANDLE, c_int64),
    "sluice_gauge_add": (_HANDLE, c_int64),
    "sluice_durations_record": (_HANDLE, c_int64),
    "sluice_instrument_value": (_HANDLE, POINTER(c_int64)),
    "sluice_durations_quantile": (_HANDLE, c_double, POINTER(c_uint64)),
    "sluice_telemetry_meter": (_HANDLE, Span, Span, Span, POINTER(_HANDLE)),
    "sluice_meter_start": (_HANDLE, POINTER(c_int64)),
    "sluice_meter_succeed": (_HANDLE, c_int64),
    "sluice_meter_fail": (_HANDLE, c_int64, POINTER(Failure)),
    "sluice_telemetry_failure": (_HANDLE, Span, Span, Span, c_int64, POINTER(Failure)),
    "sluice_telemetry_text": (_HANDLE, c_uint32, POINTER(Field), c_uint64, *_OUT),
    "sluice_diff_make": (*_TEXT, *_TEXT, c_void_p, *_OUT),
    "sluice_diff_apply": (*_TEXT, *_TEXT, c_void_p, *_OUT),
    "sluice_diff_verify": (*_TEXT, *_TEXT, c_void_p),
    "sluice_diff_hash": (*_TEXT, c_void_p, *_OUT),
    "sluice_trace_begin": (c_uint32, POINTER(_HANDLE)),
    "sluice_trace_child": (_HANDLE, POINTER(_HANDLE)),
    "sluice_trace_parse": (*_TEXT, *_TEXT, POINTER(_HANDLE)),
    "sluice_trace_extract": (POINTER(Field), c_uint64, POINTER(_HANDLE)),
    "sluice_trace_with_state": (_HANDLE, *_TEXT, *_TEXT, POINTER(_HANDLE)),
    "sluice_trace_read": (_HANDLE, POINTER(TraceIds)),
    "sluice_trace_parent": (_HANDLE, *_OUT),
    "sluice_trace_state": (_HANDLE, *_OUT),
    "sluice_trace_headers": (_HANDLE, POINTER(Field), c_uint64, POINTER(Field), c_uint64, POINTER(c_uint64)),
    "sluice_envelope_writer_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_envelope_write": (_HANDLE, Span, c_char_p, c_uint64, POINTER(c_uint64)),
    "sluice_envelope_reader_open": (*_TEXT, POINTER(_HANDLE)),
    "sluice_envelope_read": (_HANDLE, Span, POINTER(c_uint64), c_char_p, c_uint64, POINTER(c_uint64)),
    "sluice_envelope_finish": (_HANDLE, POINTER(c_uint64)),
    "sluice_envelope_stats": (_HANDLE, POINTER(EnvelopeCounts)),
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
        failure.code = status
        raise error_from(failure)


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


def stats_of(function, handle, struct):
    """What a function fills in, as a dictionary."""
    counts = made(struct)
    call(function, handle.value, byref(counts))
    return {name: getattr(counts, name) for name, _ in struct._fields_ if name not in ("size", "reserved")}


_LIVE = weakref.WeakSet()
_LIVE_LOCK = threading.RLock()


class Handle:
    """A number of the C face that is released once. Released objects answer with NotFound."""

    def __init__(self, value):
        self.value = value
        with _LIVE_LOCK:
            _LIVE.add(self)

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


class Worker:
    """A thread that does jobs one after the other; the first begins it, end() is its end."""

    def __init__(self, name):
        self._name, self._jobs, self._thread = name, queue.SimpleQueue(), None

    def do(self, job):
        """One caller at a time."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        self._jobs.put(job)

    def end(self):
        self._jobs.put(None)

    def _run(self):
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()


@atexit.register
def _end(process=os.getpid()):
    """A thread of the library that calls a function of ours while Python ends would end the process with it: before that, everything is ended."""
    if os.getpid() != process:
        return  # a fork, where those threads are not
    with _LIVE_LOCK:
        live = list(_LIVE)
    for handle in live:
        handle.release()
    deadline = time.monotonic() + _EXIT_S
    while LIBRARY.sluice_handles() and time.monotonic() < deadline:
        time.sleep(0.005)
