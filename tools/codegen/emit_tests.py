# SPDX-License-Identifier: Apache-2.0
"""Writes what tests alone need: fillers that put random values into every field that a version has, and a table of all
messages through which tests and fuzzers reach each codec without knowing its type."""

import emit_cpp


def fill_body(struct, owns, lines):
    lines += [f"static void fill(RandomValues& random, int16_t version, {struct.name}& out) {{"]
    for field in struct.fields:
        test = emit_cpp.condition(field.versions, struct.versions)
        nullable = "false"
        if field.null_versions:
            nullable = emit_cpp.condition(field.null_versions, field.versions) or "true"
        version = "version, " if field.struct else ""
        optional = field.null_versions and not (field.type == "records" and owns)
        argument = f", {nullable}" if optional or field.type == "records" and owns else ""
        lines.append(f"  {f'if ({test}) ' if test else ''}fill(random, {version}out.{field.name}{argument});")
    lines += ["  (void)version;", "}", ""]


def source(files):
    lines = [emit_cpp.LICENSE + "// Generated: random messages, and the table of all messages.",
             '#include "message_cases.hpp"', '#include "message_cases_impl.hpp"']
    lines += [f'#include "protocol/gen/{file.stem}.hpp"' for file in files]
    lines += ["", "namespace sluice::protocol::cases {", ""]
    messages = [message for file in files for message in file.messages]
    for message in messages:
        for struct in message.struct.nested() + [message.struct]:
            fill_body(struct, message.owns, lines)
    lines += ["std::span<const MessageCase> message_cases() {",
              "  static constexpr MessageCase kCases[] = {"]
    lines += [f"      make_case<{message.struct.name}>()," for message in messages]
    lines += ["  };", "  return kCases;", "}", "", "}  // namespace sluice::protocol::cases", ""]
    return "\n".join(lines)
