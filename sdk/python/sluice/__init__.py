# SPDX-License-Identifier: Apache-2.0
"""Sluice from Python: many shards as one filtered, ordered, resumable stream, an event bus, and the services around them."""

from . import errors
from ._library import LIBRARY as _LIBRARY
from .buses import Bus, Event, Ingested
from .checkpoints import Checkpoint, CheckpointStore
from .consumers import Consumer, Note, Page, Record, Subscription, compare_cursors
from .cursors import Cursor
from .diffs import apply_diff, hash_state, make_diff, verify_diff
from .envelopes import EnvelopeReader, EnvelopeWriter
from .errors import SluiceError
from .filters import Filter
from .limiters import Decision, RateLimiter
from .logs import Cluster, Log, MemoryShard, Storage, Written
from .sinks import Batch, DeadLetterQueue, Sink
from .sources import Source, SourcePage
from .telemetry import Telemetry
from .traces import TraceContext

__version__ = _LIBRARY.sluice_version().decode()
__all__ = [
    "Batch", "Bus", "Checkpoint", "CheckpointStore", "Cluster", "Consumer", "Cursor", "DeadLetterQueue", "Decision", "EnvelopeReader", "EnvelopeWriter",
    "Event", "Filter", "Ingested", "Log", "MemoryShard", "Note", "Page", "RateLimiter", "Record", "Sink", "SluiceError", "Source", "SourcePage", "Storage",
    "Subscription", "Telemetry", "TraceContext", "Written", "apply_diff", "compare_cursors", "errors", "hash_state", "make_diff", "verify_diff",
]
