# SPDX-License-Identifier: Apache-2.0
"""State diffs: what changed between two JSON states, as a patch (RFC 6902) with hashes of both."""

from __future__ import annotations

from . import _library as lib


def make_diff(before: str, after: str) -> str:
    """The diff that turns one JSON text into the other."""
    return lib.text_from("sluice_diff_make", *lib.text(before), *lib.text(after), None)


def apply_diff(state: str, diff: str) -> str:
    """The state with the diff applied, in its canonical form. Raises Conflict where the diff is for another state."""
    return lib.text_from("sluice_diff_apply", *lib.text(state), *lib.text(diff), None, first_bytes=max(1024, 2 * len(state)))


def verify_diff(state: str, diff: str) -> None:
    """Raises what apply_diff() would."""
    lib.call("sluice_diff_verify", *lib.text(state), *lib.text(diff), None)


def hash_state(state: str) -> str:
    """The hash of a state, as diffs have it."""
    return lib.text_from("sluice_diff_hash", *lib.text(state), None)
