#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package, installed by pip into an environment of its own and tested there on build/release/lib/libsluice.so; what its README
shows is run too.

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
        env = {**os.environ, "SLUICE_LIBRARY": str(LIBRARY), "SLUICE_PLUGIN_DIRECTORY": str(PLUGINS)}
        shown = list(python_blocks(work / "package" / "README.md"))
        for line, code in shown:
            ran = subprocess.run([python, "-c", code], cwd=work, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            if ran.returncode != 0:
                print(f"FAIL sdk/python/README.md:{line}\n{ran.stderr}1 passed, 1 failed, 0 skipped")
                return 1
            print(f"PASS sdk/python/README.md:{line}")
        if not shown:
            print("FAIL sdk/python/README.md shows no code\n1 passed, 1 failed, 0 skipped")
            return 1
        done = subprocess.run([python, "-m", "unittest", "-v", "test_package"], cwd=work / "package" / "tests", env=env,
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        print(done.stderr)
        ran = re.search(r"^Ran (\d+) tests?", done.stderr, re.MULTILINE)
        failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", done.stderr)) if ran else 1
        if done.returncode != 0 and failed == 0:
            failed = 1
        count = int(ran.group(1)) if ran else 0
        print(f"{1 + len(shown) + count - failed if ran else 1 + len(shown)} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
