# SPDX-License-Identifier: Apache-2.0
"""Rate limiters: token buckets by key, in this process or shared through Redis."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _library as lib
from .errors import SluiceError, error_of


class Decision(NamedTuple):
    allowed: bool
    retry_after_ms: int = 0              # refused for want of tokens: there are enough then
    error: Optional[SluiceError] = None  # why nobody could decide; refused


class RateLimiter:
    """`kind` "local" or "redis", `tokens` per `period_ms` up to `burst`, ... Any thread. It fails closed: what goes wrong is in the decision, and refused."""

    def __init__(self, **settings: Any):
        self._handle = lib.opened("sluice_limiter_open", *lib.settings(settings))

    def acquire(self, key: str, tokens: int = 1) -> Decision:
        return self.acquire_all([(key, tokens)])[0]

    def acquire_all(self, requests: Iterable[Tuple[str, int]]) -> List[Decision]:
        """Several, in one trip to the backend."""
        hold: list = []
        asked = [lib.LimiterRequest(lib.span(key.encode(), hold), tokens) for key, tokens in requests]
        array = (lib.LimiterRequest * max(len(asked), 1))(*asked)
        decisions = (lib.LimiterDecision * max(len(asked), 1))()
        cause: Optional[SluiceError] = None
        try:
            lib.call("sluice_limiter_acquire_batch", self._handle.value, array, len(asked), decisions)
        except SluiceError as error:
            cause = error
        return [_decision(decisions[i], cause if cause is not None and cause.index in (i, -1) else None) for i in range(len(asked))]

    def stats(self) -> Dict[str, int]:
        return lib.stats_of("sluice_limiter_stats", self._handle, lib.LimiterCounts)


def _decision(one: lib.LimiterDecision, cause: Optional[SluiceError]) -> Decision:
    if one.status != 0 and cause is None:
        cause = error_of(one.status, "not decided")
    return Decision(bool(one.allowed), one.retry_after_ms, cause)
