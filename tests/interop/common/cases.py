# SPDX-License-Identifier: Apache-2.0
"""How a client suite in Python runs its cases and reports them; suites in other languages print the same lines.

A suite is started as `SUITE BOOTSTRAP CORPUS PREFIX [CASE...]`: the broker's host:port, the corpus file (corpus.py) and a
prefix for the names of topics and groups. It prints one line per case,

    CASE <name> <PASS|FAIL|SKIP> <milliseconds> [reason]

and whatever else on stderr, and ends with 0 when nothing failed. Cases named as further arguments run alone.
"""

import sys
import time
import traceback

import corpus

DEADLINE_S = 40  # for any one condition a case waits for


class Failure(Exception):
    """A case found something wrong; the message says what."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(description, condition, deadline_s=DEADLINE_S, pause_s=0.05):
    """Calls condition() until it is truthy and returns what it gave; Failure after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failure(f"{description}: not within {deadline_s} s")
        time.sleep(pause_s)


class Arguments:
    def __init__(self, argv=None):
        argv = sys.argv if argv is None else argv
        if len(argv) < 4:
            sys.exit(f"usage: {argv[0]} BOOTSTRAP CORPUS PREFIX [CASE...]")
        self.bootstrap, self.corpus_path, self.prefix = argv[1:4]
        self.only = argv[4:]
        self.corpus = corpus.read(self.corpus_path)


def run(cases, only=()):
    """Runs (name, function) pairs in order, prints their lines, returns the exit code."""
    failed = 0
    for name, function in cases:
        if only and name not in only:
            continue
        started = time.monotonic()
        verdict, reason = "PASS", ""
        try:
            reason = function() or ""
        except Failure as failure:
            verdict, reason = "FAIL", str(failure)
        except Exception as error:  # a client's own exceptions are many; each is a failed case
            verdict, reason = "FAIL", f"{type(error).__name__}: {error}"
            traceback.print_exc()
        failed += verdict == "FAIL"
        elapsed_ms = int((time.monotonic() - started) * 1000)
        print("CASE", name, verdict, elapsed_ms, " ".join(str(reason).split()), flush=True)
    return 1 if failed else 0
