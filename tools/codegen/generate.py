#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the protocol's codec from its schema. Run by the build; python3's standard library alone; the same input gives
the same bytes. Files whose content stays the same are not touched.

    generate.py --schema DIR --out DIR      the codec: protocol/gen/*.hpp, codec_N.cc, registry_table.cc
    generate.py --schema DIR --tests FILE   random fillers and the table of messages, for tests
    generate.py --schema DIR --table FILE   the table of supported APIs, in Markdown
"""

import argparse
import pathlib
import sys

import emit_cpp
import emit_tests
import schema

# Enough files to build in parallel, few enough that the standard headers are not parsed too often. CMake knows this
# number too.
CODEC_SOURCES = 6


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_codec(files, out):
    apis = [file for file in files if file.key is not None]
    for file in files:
        write(out / "protocol" / "gen" / f"{file.stem}.hpp", emit_cpp.header(file))
    write(out / "protocol" / "gen" / "api_key.hpp", emit_cpp.api_key_header(apis))
    write(out / "registry_table.cc", emit_cpp.registry_source(apis))
    for index in range(CODEC_SOURCES):
        write(out / f"codec_{index}.cc", emit_cpp.source(files[index::CODEC_SOURCES]))


def table(files):
    lines = ["| key | API | versions | flexible from | |", "| --- | --- | --- | --- | --- |"]
    for api in files:
        if api.key is None:
            continue
        served, advertised = (f"{v.low} to {v.high}" if v.high > v.low else f"{v.low}" for v in (api.served, api.advertised))
        versions = served if served == advertised else f"{served}, advertised {advertised}"
        flexible = "never" if api.flexible_from is None else str(api.flexible_from)
        lines.append(f"| {api.key} | {api.name} | {versions} | {flexible} | {api.summary.split('. ')[0].rstrip('.')} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--schema", required=True)
    arguments.add_argument("--out")
    arguments.add_argument("--tests")
    arguments.add_argument("--table")
    options = arguments.parse_args()
    try:
        files = schema.load(options.schema)
    except schema.SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    if options.out:
        write_codec(files, pathlib.Path(options.out))
    if options.tests:
        write(options.tests, emit_tests.source(files))
    if options.table:
        write(options.table, table(files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
