#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The code in the SDK's READMEs compiles: each block of C++, fenced or indented, in what readme/FOLDER.cc says of its surroundings, all in
one translation unit on the public headers alone. What leaves something out by `...` is a fragment and only counted. Blocks of JSON and
Python are parsed; tests/sdk_python.py runs the latter.

    tests/abi/readme_code.py SOURCE COMPILER
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

FRAGMENTS = {"sdk/plugin/README.md": 1}
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-Wno-unused-but-set-variable", "-Wno-missing-field-initializers"]
IGNORED = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)  # strings and comments
DEADLINE_S = 120


def blocks_of(text):
    """(line, language or None, code) of each block; what is indented behind an empty line is a block too."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = at + 1
        if lines[at].startswith("```"):
            while not lines[end].startswith("```"):
                end += 1
            yield at + 2, lines[at][3:].strip(), "\n".join(lines[at + 1:end])
            end += 1
        elif lines[at].startswith("    ") and at > 0 and not lines[at - 1]:
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            yield at + 1, None, textwrap.dedent("\n".join(lines[at:end])).rstrip()
        at = end


def language_of(language, code):
    if language is None:
        return "cpp" if "sluice::" in code else "python" if code.startswith("import ") else ""
    return language


def python_blocks(readme):
    for line, language, code in blocks_of(readme.read_text(encoding="utf-8")):
        if language_of(language, code) == "python":
            yield line, code


def main():
    source, compiler = Path(sys.argv[1]), sys.argv[2]
    faults, compiled, fragments = [], 0, {}
    with tempfile.TemporaryDirectory(prefix="sluice-readme-") as directory:
        work = Path(directory)
        unit = []
        for readme in sorted((source / "sdk").rglob("README.md")):
            name = str(readme.relative_to(source))
            count = 0
            for line, language, code in blocks_of(readme.read_text(encoding="utf-8")):
                try:
                    if language_of(language, code) == "json":
                        json.loads(code)
                    elif language_of(language, code) == "python":
                        ast.parse(code)
                except (ValueError, SyntaxError) as error:
                    faults.append(f"{name}:{line}: {error}")
                if language_of(language, code) != "cpp":
                    continue
                if "..." in IGNORED.sub("", code):
                    fragments[name] = fragments.get(name, 0) + 1
                    continue
                count += 1
                (work / f"{readme.parent.name}_{count}.inc").write_text(f'#line {line} "{name}"\n{code}\n', encoding="utf-8")
            if count == 0:
                continue
            compiled += count
            around = source / "tests" / "abi" / "readme" / f"{readme.parent.name}.cc"
            wanted = [f"{readme.parent.name}_{i + 1}.inc" for i in range(count)]
            if not around.exists() or re.findall(r'#include "(\w+\.inc)"', around.read_text(encoding="utf-8")) != wanted:
                faults.append(f"{name}: {around.relative_to(source)} does not include {', '.join(wanted)}")
            else:
                unit.append(f'#include "{around}"\n')
        if fragments != FRAGMENTS:
            faults.append(f"fragments are {fragments}, and {FRAGMENTS} is written in {sys.argv[0]}")
        (work / "all.cc").write_text("".join(unit), encoding="utf-8")
        done = subprocess.run([compiler, "-std=c++20", *WARNINGS, "-fsyntax-only", f"-I{source / 'sdk' / 'include'}", f"-I{work}", work / "all.cc"],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        if done.returncode != 0:
            faults.append(done.stderr)
    print("\n".join(faults) or f"{compiled} blocks compile")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
