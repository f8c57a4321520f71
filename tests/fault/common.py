# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: how they wait, their verdicts, and how they come to the client they need."""

import os
import sys
import time
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent / "interop"
sys.path[:0] = [str(INTEROP)]

from harness import prepare  # noqa: E402

DEADLINE_S = 90  # for any one condition: clients recover within their own time-outs
SHOWN = 5  # problems of one check
STARTED_AGAIN = "SLUICE_FAULT_TEST_ENVIRONMENT"


class Failure(Exception):
    """The test cannot go on; the message says what did not happen."""


def wait_for(description, condition, within=DEADLINE_S, every=0.01):
    """What the condition returns once it is true; Failure when the time is up."""
    end = time.monotonic() + within
    while not (result := condition()):
        if time.monotonic() > end:
            raise Failure(f"{description}: not within {within} s")
        time.sleep(every)
    return result


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def result(self, name, problems):
        self.passed += not problems
        self.failed += bool(problems)
        more = f" ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        print(f"FAIL {name}: {'; '.join(problems[:SHOWN])}{more}" if problems else f"PASS {name}", flush=True)

    def summary(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped", flush=True)
        return 1 if self.failed else 0


def run_with_client():
    """Starts this program once more, in the environment that has confluent-kafka. Returns only where that cannot be: the reason."""
    if os.environ.get(STARTED_AGAIN):
        return "confluent-kafka cannot be imported from its own environment"
    try:
        python = prepare.python_environment(INTEROP / "confluent-kafka" / "requirements.txt")
    except prepare.Unavailable as error:
        return str(error)
    sys.stdout.flush()
    os.environ[STARTED_AGAIN] = "1"
    os.execv(python, [str(python), "-u", *sys.argv])
