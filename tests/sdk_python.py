#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package, installed by pip into an environment of its own and tested there on build/release/lib/libsluice.so, and with the
release build's sluiced and a redis-server; what its README shows is run too.

    tests/sdk_python.py

Closes with `N passed, N failed, N skipped`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "abi"))
from readme_code import python_blocks  # pylint: disable=wrong-import-position
LIBRARY = ROOT / "build" / "release" / "lib" / "libsluice.so"
PLUGINS = ROOT / "build" / "release" / "plugins"
DEADLINE_S = 300
BIN = ROOT / "build" / "release" / "bin"
# What starts the server that tests need, and which tests.
RUNS = (
    ((), ("test_package",)),
    ((BIN / "with_kafka", BIN / "sluiced", "--", "env", "SLUICE_TEST_KAFKA=@ADDRESS@"), ("test_servers.KafkaTest",)),
    ((BIN / "with_redis", "--", "env", "SLUICE_TEST_REDIS=@ADDRESS@"), ("test_servers.RedisTest",)),
)


def main():
    with tempfile.TemporaryDirectory(prefix="sluice-python-") as directory:
        work = Path(directory)
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True, timeout=DEADLINE_S)
        python = work / "venv" / "bin" / "python"
        # A copy: what builds a package leaves files in the tree.
        subprocess.run(["cp", "-r", ROOT / "sdk" / "python", work / "package"], check=True)
        installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", work / "package"], timeout=DEADLINE_S, check=False)
        if installed.returncode != 0:
            print("FAIL the package does not install\n0 passed, 1 failed, 0 skipped")
            return 1
        print("PASS the package installs")
        environment = {**os.environ, "SLUICE_LIBRARY": str(LIBRARY), "SLUICE_PLUGIN_DIRECTORY": str(PLUGINS)}
        passed, failed = 1, 0
        shown = list(python_blocks(work / "package" / "README.md"))
        if not shown:
            print("FAIL sdk/python/README.md shows no code")
            failed += 1
        for line, code in shown:
            ran = subprocess.run([python, "-c", code], cwd=work, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            print(f"{'PASS' if ran.returncode == 0 else 'FAIL'} sdk/python/README.md:{line}")
            if ran.returncode == 0:
                passed += 1
            else:
                failed += 1
                print(ran.stderr)
        for server, tests in RUNS:
            done = subprocess.run([*server, python, "-m", "unittest", "-v", *tests], cwd=work / "package" / "tests", env=environment,
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            print(done.stderr)
            ran = re.search(r"^Ran (\d+) tests?", done.stderr, re.MULTILINE)
            wrong = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", done.stderr)) if ran else 1
            if done.returncode != 0 and wrong == 0:
                wrong = 1
            failed += wrong
            passed += int(ran.group(1)) - wrong if ran else 0
        print(f"{passed} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
