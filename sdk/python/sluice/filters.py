# SPDX-License-Identifier: Apache-2.0
"""Filters: see sdk/filter/README.md for the language."""

from __future__ import annotations

import ctypes
import json
from typing import Iterable, Optional, Tuple, Union

from . import _library as lib


class Filter:
    """A compiled filter; any thread."""

    def __init__(self, expression: Union[str, dict, list]):
        """A text, or the same as JSON data."""
        if isinstance(expression, str):
            self._handle = lib.opened("sluice_filter_parse", *lib.text(expression))
        else:
            self._handle = lib.opened("sluice_filter_from_json", *lib.text(json.dumps(expression)))

    def judge(self, *, key: Optional[bytes] = None, value: Optional[bytes] = None, headers: Iterable[Tuple[str, Optional[bytes]]] = (),
              timestamp_ns: Optional[int] = None, partition: int = 0, position: int = 0) -> Optional[bool]:
        """True, False, or None where it cannot be said."""
        keep: list = []
        pointer, count = lib.fields(headers, keep)
        record = lib.made(lib.Candidate, partition=partition, position=position, timestamp_ns=lib.NO_TIMESTAMP if timestamp_ns is None else timestamp_ns,
                          key=lib.span(key, keep), value=lib.span(value, keep), headers=pointer, header_count=count)
        truth = ctypes.c_int32()
        lib.call("sluice_filter_judge", self._handle.value, ctypes.byref(record), ctypes.byref(truth))
        return {0: False, 1: None, 2: True}[truth.value]

    def __str__(self) -> str:
        return lib.text_from("sluice_filter_text", self._handle.value)

    def data(self) -> Union[dict, list]:
        """The filter as JSON data."""
        return json.loads(lib.text_from("sluice_filter_json", self._handle.value))
