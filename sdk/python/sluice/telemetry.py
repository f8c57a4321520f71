# SPDX-License-Identifier: Apache-2.0
"""Counters, levels, durations and failures, printed for Prometheus and OpenTelemetry."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Optional

from . import _library as lib
from .errors import SluiceError


class _Instrument:
    def __init__(self, handle: lib.Handle):
        self._handle = handle

    @property
    def value(self) -> int:
        """What was counted, or where the level stands."""
        value = ctypes.c_int64()
        lib.call("sluice_instrument_value", self._handle.value, ctypes.byref(value))
        return value.value


class Counter(_Instrument):
    def add(self, count: int = 1) -> None:
        lib.call("sluice_counter_add", self._handle.value, count)


class Gauge(_Instrument):
    def set(self, level: int) -> None:
        lib.call("sluice_gauge_set", self._handle.value, level)

    def add(self, by: int) -> None:
        lib.call("sluice_gauge_add", self._handle.value, by)


class Durations(_Instrument):
    def record_ns(self, nanos: int) -> None:
        lib.call("sluice_durations_record", self._handle.value, nanos)

    def quantile_ns(self, quantile: float) -> int:
        """An upper bound, within 25%."""
        nanos = ctypes.c_uint64()
        lib.call("sluice_durations_quantile", self._handle.value, quantile, ctypes.byref(nanos))
        return nanos.value


class Meter:
    """Times one kind of operation on one adapter and shard."""

    def __init__(self, handle: lib.Handle):
        self._handle = handle

    @contextmanager
    def time(self) -> Iterator[None]:
        """The block is the operation; an exception is its failure, with the cause."""
        started = ctypes.c_int64()
        lib.call("sluice_meter_start", self._handle.value, ctypes.byref(started))
        try:
            yield
        except BaseException as error:
            lib.call("sluice_meter_fail", self._handle.value, started, ctypes.byref(lib.failure_of(error)))
            raise
        lib.call("sluice_meter_succeed", self._handle.value, started)


class Observations:
    """What an observer says, each series once in a call."""

    def __init__(self, handle: int):
        self._handle = handle

    def counter(self, name: str, count: int, attributes: Optional[Mapping[str, str]] = None, unit: Optional[str] = None) -> None:
        """Since the observer is there; only rises."""
        self._say(0, name, count, attributes, unit)

    def gauge(self, name: str, level: int, attributes: Optional[Mapping[str, str]] = None, unit: Optional[str] = None) -> None:
        self._say(1, name, level, attributes, unit)

    def _say(self, kind: int, name: str, value: int, attributes: Optional[Mapping[str, str]], unit: Optional[str]) -> None:
        hold: list = []
        lib.call("sluice_observe", self._handle, ctypes.byref(_described(kind, name, attributes, unit, hold)), value)


class Observing:
    """An observer at its telemetry, until end(); its counters stay."""

    def __init__(self, handle: lib.Handle):
        self._handle = handle

    def end(self) -> None:
        self._handle.release()


class Telemetry:
    """Instruments are made once and kept. A bus, a consumer, a dead letter queue, a limiter, checkpoints and a log tell what
    they do: telemetry=this. Any thread."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_telemetry_open", *lib.settings(settings))

    def as_setting(self) -> int:
        return self._handle.value

    def counter(self, name: str, attributes: Optional[Mapping[str, str]] = None, unit: Optional[str] = None) -> Counter:
        return Counter(self._instrument(0, name, attributes, unit))

    def gauge(self, name: str, attributes: Optional[Mapping[str, str]] = None, unit: Optional[str] = None) -> Gauge:
        return Gauge(self._instrument(1, name, attributes, unit))

    def durations(self, name: str, attributes: Optional[Mapping[str, str]] = None) -> Durations:
        return Durations(self._instrument(2, name, attributes, None))

    def observe(self, observer: Callable[[Observations], None]) -> Observing:
        """Asks `observer` for what it counts itself whenever this is printed. It must not print it. What it raises is dropped."""
        context = lib.keep(observer)
        try:
            return Observing(lib.opened("sluice_telemetry_observe", self._handle.value, _OBSERVE, lib.drop, context))
        except SluiceError:
            lib.drop(context)
            raise

    def meter(self, operation: str, adapter: str, shard: str) -> Meter:
        hold: list = []
        return Meter(lib.opened("sluice_telemetry_meter", self._handle.value, *(lib.span(part.encode(), hold) for part in (operation, adapter, shard))))

    def failure(self, operation: str, adapter: str, shard: str, error: BaseException, elapsed_ns: int = 1) -> None:
        hold: list = []
        lib.call("sluice_telemetry_failure", self._handle.value, *(lib.span(part.encode(), hold) for part in (operation, adapter, shard)), elapsed_ns,
                 ctypes.byref(lib.failure_of(error)))

    def prometheus(self) -> str:
        return self._text(0, {})

    def otlp_metrics(self, resource: Optional[Mapping[str, str]] = None) -> str:
        """The body for an OTLP/HTTP receiver's v1/metrics."""
        return self._text(1, resource)

    def otlp_logs(self, resource: Optional[Mapping[str, str]] = None) -> str:
        """The body for v1/logs: failures."""
        return self._text(2, resource)

    def _text(self, form: int, resource: Optional[Mapping[str, str]]) -> str:
        hold: list = []
        pointer, count = _attributes(resource, hold)
        return lib.text_from("sluice_telemetry_text", self._handle.value, form, pointer, count, first_bytes=65_536)

    def _instrument(self, kind: int, name: str, attributes: Optional[Mapping[str, str]], unit: Optional[str]) -> lib.Handle:
        hold: list = []
        return lib.opened("sluice_telemetry_instrument", self._handle.value, ctypes.byref(_described(kind, name, attributes, unit, hold)))


def _described(kind: int, name: str, attributes: Optional[Mapping[str, str]], unit: Optional[str], hold: list) -> lib.Instrument:
    pointer, count = _attributes(attributes, hold)
    return lib.made(lib.Instrument, kind=kind, name=lib.span(name.encode(), hold), unit=lib.span(None if unit is None else unit.encode(), hold),
                    attributes=pointer, attribute_count=count)


def _attributes(attributes: Optional[Mapping[str, str]], hold: list):
    return lib.fields([(name, value.encode()) for name, value in (attributes or {}).items()], hold)


@lib.Observer
def _OBSERVE(context, observations):
    observer = lib.kept(context)
    if observer is None:
        return
    try:
        observer(Observations(observations))
    except Exception:  # pylint: disable=broad-except
        pass  # a print is no place for it
