#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package, installed by pip into an environment of its own and tested there on build/release/lib/libsluice.so.

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
LIBRARY = ROOT / "build" / "release" / "lib" / "libsluice.so"
PLUGINS = ROOT / "build" / "release" / "plugins"
DEADLINE_S = 300


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
        done = subprocess.run([python, "-m", "unittest", "-v", "test_package"], cwd=work / "package" / "tests", env={**os.environ, "SLUICE_LIBRARY": str(LIBRARY), "SLUICE_PLUGIN_DIRECTORY": str(PLUGINS)},
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        print(done.stderr)
        ran = re.search(r"^Ran (\d+) tests?", done.stderr, re.MULTILINE)
        failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", done.stderr)) if ran else 1
        if done.returncode != 0 and failed == 0:
            failed = 1
        count = int(ran.group(1)) if ran else 0
        print(f"{1 + count - failed if ran else 1} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
