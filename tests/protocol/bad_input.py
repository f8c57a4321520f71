#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bad input gets from a live broker: the exact error or a closed connection, one log line, a counter, and nothing else.

    tests/protocol/bad_input.py                      all of it
    tests/protocol/bad_input.py --bin build/asan/bin another build's broker
    tests/protocol/bad_input.py --only Produce       cases whose names have that in them
    tests/protocol/bad_input.py --seed 7             the same mutations again

After each case a connection that was opened at the start produces and fetches. The last line is `N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE / "bad_input"))

import admin_cases  # noqa: E402
import fetch_cases  # noqa: E402
import framing_cases  # noqa: E402
import group_cases  # noqa: E402
import mutation  # noqa: E402
import produce_cases  # noqa: E402
from broker import Broker, Failure  # noqa: E402

MODULES = [framing_cases, produce_cases, fetch_cases, admin_cases, group_cases]
# What the broker must not say, whatever it was sent: it means that something was met for which nobody wrote an answer.
BAD_LINE = re.compile(r"unexpected|not encodable|breach|exception|assert|^\S+ E ")


def check_log(broker):
    bad = [line for line in broker.log().splitlines() if BAD_LINE.search(line)]
    if bad:
        raise Failure(f"{len(bad)} lines like: {bad[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.environ.get("SLUICE_BIN", str(ROOT / "build" / "release" / "bin")), help="folder of sluiced")
    parser.add_argument("--only", default="", help="run the cases with this in their name")
    parser.add_argument("--seed", type=int, default=mutation.SEED, help="of the random mutations")
    parser.add_argument("--frames", type=int, default=mutation.FRAMES, help="how many mutated frames")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the broker is stopped

    binary = Path(options.bin) / "sluiced"
    if not os.access(binary, os.X_OK):
        print(f"no broker at {binary}: build it first (cmake --preset release, ninja -C build/release)\n0 passed, 1 failed, 0 skipped")
        return 1
    passed = failed = 0
    broker = Broker(binary)

    def attempt(name, case):
        nonlocal passed, failed
        if options.only not in name:
            return
        began = time.monotonic()
        try:
            case()
            broker.check_healthy()
            print(f"PASS {name} {time.monotonic() - began:.2f} s", flush=True)
            passed += 1
        except Exception as error:
            print(f"FAIL {name}: {error if isinstance(error, Failure) else traceback.format_exc()}", flush=True)
            failed += 1

    try:
        for module in MODULES:
            for name, case in module.CASES:
                attempt(f"{module.TITLE}: {name}", lambda case=case: case(broker))
                if broker.process.poll() is not None:
                    raise Failure(f"the broker ended with {broker.process.returncode}")
        attempt("Log: nothing that nobody expected", lambda: check_log(broker))
        attempt(f"Mutation: seed {options.seed}", lambda: mutation.run(broker, options.seed, options.frames))
        attempt("Log: nothing that nobody expected, after mutations", lambda: check_log(broker))
    except Failure as error:
        print(f"FAIL run: {error}", flush=True)
        failed += 1
    finally:
        code = broker.stop()
    if code == 0:
        print("PASS stops in order", flush=True)
        passed += 1
    else:
        print(f"FAIL stops in order: {'killed, it did not stop' if code is None else f'ended with {code}'}", flush=True)
        failed += 1
    if failed:
        print("\n".join("    | " + line for line in broker.log().splitlines()[-30:]))
    broker.remove()
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


sys.exit(main())
