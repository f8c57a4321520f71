# SPDX-License-Identifier: Apache-2.0
"""Sluice from Python: many shards as one filtered, ordered, resumable stream, and an event bus."""

from . import errors
from ._library import LIBRARY as _LIBRARY
from .buses import Bus, Event, Ingested
from .checkpoints import Checkpoint, CheckpointStore
from .consumers import Consumer, Note, Page, Record, compare_cursors
from .errors import SluiceError
from .filters import Filter

__version__ = _LIBRARY.sluice_version().decode()
__all__ = ["Bus", "Checkpoint", "CheckpointStore", "Consumer", "Event", "Filter", "Ingested", "Note", "Page", "Record", "SluiceError", "compare_cursors", "errors"]
