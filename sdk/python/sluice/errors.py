# SPDX-License-Identifier: Apache-2.0
"""Statuses of the SDK as exceptions, in classes of a hundred: an unknown code is the exception of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .buses import Ingested


class SluiceError(Exception):
    """`code` and `native_code` as in sluice.h; `index`: the element that is at fault, or -1. `ingested`: what became of the events, where
    Bus.ingest_batch() raised; None: nothing was taken, or it is the error of another call."""

    ingested: Optional[Ingested] = None

    def __init__(self, text: str, code: int = 500, native_code: int = 0, index: int = -1, retry_after_ms: int = 0):
        super().__init__(text)
        self.code, self.native_code, self.index, self.retry_after_ms = code, native_code, index, retry_after_ms


class CallerError(SluiceError):
    """The caller's fault: never to be tried again as it is."""


class Invalid(CallerError):
    pass


class NotFound(CallerError):
    pass


class Exists(CallerError):
    pass


class OutOfRange(CallerError):
    pass


class Unsupported(CallerError):
    pass


class TooLarge(CallerError):
    pass


class LookAgain(SluiceError):
    """Something changed: look again."""


class Conflict(LookAgain):
    pass


class Fenced(LookAgain):
    """This object takes nothing more: it was closed, or another one took its place."""


class Unavailable(SluiceError):
    """Not done; again later."""


class Busy(Unavailable):
    pass


class Unknown(SluiceError):
    """Done or not: nobody knows."""


class OperatorError(SluiceError):
    """Somebody must act."""


class Denied(OperatorError):
    pass


class NoSpace(OperatorError):
    pass


class Corrupt(OperatorError):
    pass


_BY_CODE = {100: Invalid, 101: NotFound, 102: Exists, 103: OutOfRange, 104: Unsupported, 105: TooLarge, 200: Conflict, 201: Fenced, 300: Unavailable,
            301: Busy, 400: Unknown, 500: OperatorError, 501: Denied, 502: NoSpace, 503: Corrupt}
_BY_CLASS = {1: CallerError, 2: LookAgain, 3: Unavailable, 4: Unknown}


def code_of(error: BaseException) -> int:
    """The number of an exception: its own, that of its class, or INTERNAL where it is none of ours."""
    if isinstance(error, SluiceError) and error.code not in (0, 500):
        return error.code
    codes = {kind: code for code, kind in _BY_CODE.items()}
    return next((codes[kind] for kind in type(error).__mro__ if kind in codes), 500)


def error_of(code: int, text: str, native_code: int = 0, index: int = -1, retry_after_ms: int = 0) -> SluiceError:
    kind = _BY_CODE.get(code) or _BY_CLASS.get(code // 100, OperatorError)
    return kind(text, code, native_code, index, retry_after_ms)
