# SPDX-License-Identifier: Apache-2.0
"""Writes the C++ of one schema file: a header with its structures, and the bodies of their read, write and print."""

SCALAR_TYPES = {"bool": "bool", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t",
                "uuid": "Uuid", "error": "ErrorCode"}
SCALAR_DEFAULTS = {"bool": "false", "uuid": "{}", "error": "ErrorCode::kNone"}
LICENSE = "// SPDX-License-Identifier: Apache-2.0\n"


def cpp_type(field, owns):
    if field.struct:
        base = field.type
    elif field.type in SCALAR_TYPES:
        base = SCALAR_TYPES[field.type]
    elif field.type == "string":
        base = "std::string" if owns else "std::string_view"
    elif field.type == "records" and owns:
        return "RecordsOut"  # knows null by itself
    else:
        base = "std::string" if owns else "Bytes"
    if field.array:
        base = f"std::vector<{base}>"
    return f"std::optional<{base}>" if field.null_versions else base


def initial_value(field):
    """What follows the member's name in its declaration."""
    if field.default is not None:
        return f" = {field.default}"
    if field.null_versions or field.array or field.struct or field.type in ("string", "bytes", "records", "uuid"):
        return ""
    return f" = {SCALAR_DEFAULTS.get(field.type, '0')}"


def condition(versions, holder):
    """The test on `version` that tells whether the holder's version has it; empty if all have."""
    tests = []
    if versions.low > holder.low:
        tests.append(f"version >= {versions.low}")
    if versions.high < holder.high:
        tests.append(f"version <= {versions.high}")
    return " && ".join(tests)


def flexible_expression(struct):
    if struct.flexible_from is None or struct.flexible_from > struct.versions.high:
        return "false"
    return "true" if struct.flexible_from <= struct.versions.low else f"version >= {struct.flexible_from}"


def may_be_flexible(struct):
    return flexible_expression(struct) != "false"


def differs_from_default(field):
    if field.null_versions:
        return f"{field.name}.has_value()"
    if field.array or field.type in ("string", "bytes"):
        return f"!{field.name}.empty()"
    if field.type == "uuid":
        return f"!{field.name}.is_zero()"
    if field.struct:
        return f"!({field.name} == {field.type}{{}})"
    if field.type == "bool" and field.default != "true":
        return field.name
    return f"{field.name} != {field.default or SCALAR_DEFAULTS.get(field.type, '0')}"


def codec_call(field, reading):
    """The Reader's or Writer's function for one field, without looking at its version."""
    flexible = "false" if field.classic else "flexible"
    object_name = "reader" if reading else "writer"
    nullable = ""
    if field.null_versions:
        nullable = ", " + (condition(field.null_versions, field.versions) or "true")
    elif field.type == "records":
        nullable = ", false"
    name = field.name
    if field.array:
        if field.struct:
            size = f", {field.struct.min_wire_bytes()}" if reading else ""
            return f"{object_name}.structs({name}, version, {flexible}{nullable}{size})"
        function = "texts" if field.type == "string" else "values"
        return f"{object_name}.{function}({name}, {flexible}{nullable})"
    if field.struct:
        if field.null_versions:
            return f"{object_name}.nullable_struct({name}, version)"
        return f"{name}.{'read' if reading else 'write'}({object_name}, version)"
    if field.type in SCALAR_TYPES:
        return f"{object_name}.{'read' if reading else 'write'}({name})"
    function = {"string": "text", "bytes": "bytes", "records": "records"}[field.type]
    return f"{object_name}.{function}({name}, {flexible}{nullable})"


def records_are_bytes(call, field, owns):
    """Records of requests are plain views; only those of responses can be lent slices."""
    if field.type != "records" or owns:
        return call
    call = call.replace(".records(", ".bytes(")
    return call if field.null_versions else call.replace(", false)", ")")


def struct_declaration(struct, owns, lines, indent, message=None):
    pad = "  " * indent
    lines.append(f"{pad}struct {struct.name.split('::')[-1]} {{")
    if message:
        lines += [f"{pad}  {line}".rstrip() for line in message]
        for nested in struct.nested():
            struct_declaration(nested, owns, lines, indent + 1)
            lines.append("")
    for field in struct.fields:
        lines.append(f"{pad}  {cpp_type(field, owns)} {field.name}{initial_value(field)};")
    name = struct.name.split("::")[-1]
    lines += ["",
              f"{pad}  bool read(Reader& reader, int16_t version);",
              f"{pad}  void write(Writer& writer, int16_t version) const;",
              f"{pad}  void print(Printer& printer) const;",
              f"{pad}  bool operator==(const {name}&) const = default;",
              f"{pad}}};"]


def header(file):
    lines = [LICENSE + f"// Generated from {file.stem}.schema: {file.summary}", "#pragma once", "",
             "#include <cstdint>", "#include <optional>", "#include <string>", "#include <string_view>",
             "#include <vector>", "", '#include "base/uuid.hpp"', '#include "errors/error_code.hpp"',
             '#include "protocol/gen/api_key.hpp"', '#include "protocol/types.hpp"', "",
             "namespace sluice::protocol {", "", "class Printer;", "class Reader;", "class Writer;", ""]
    for message in file.messages:
        struct = message.struct
        constants = [f'static constexpr std::string_view kName = "{struct.name}";']
        if file.key is not None:
            constants.append(f"static constexpr ApiKey kKey = ApiKey::k{file.name};")
        constants += [f"static constexpr int16_t kMinVersion = {struct.versions.low};",
                      f"static constexpr int16_t kMaxVersion = {struct.versions.high};", ""]
        struct_declaration(struct, message.owns, lines, 0, constants)
        lines.append("")
    return "\n".join(lines + ["}  // namespace sluice::protocol", ""])


def read_body(struct, owns, lines):
    lines += [f"bool {struct.name}::read(Reader& reader, [[maybe_unused]] int16_t version) {{",
              f"  [[maybe_unused]] const bool flexible = {flexible_expression(struct)};"]
    for field in struct.fields:
        if field.tag is not None:
            continue
        test = condition(field.versions, struct.versions)
        call = records_are_bytes(codec_call(field, True), field, owns)
        lines.append(f"  if ({test + ' && ' if test else ''}!{call}) return reader.in(\"{field.name}\");")
    tagged = [field for field in struct.fields if field.tag is not None]
    if may_be_flexible(struct) and not tagged:
        lines.append("  if (flexible && !reader.skip_tags()) return false;")
    elif may_be_flexible(struct):
        lines += ["  if (flexible) {", "    uint32_t tags = 0;", "    Reader::Tag tag;",
                  '    if (!reader.varuint(tags)) return reader.in("tags");', "    for (; tags != 0; --tags) {",
                  '      if (!reader.begin_tag(tag)) return reader.in("tags");', "      switch (tag.number) {"]
        for field in tagged:
            test = condition(field.versions, struct.versions)
            lines.append(f"        case {field.tag}:")
            if test:
                lines.append(f"          if (!({test})) {{")
                lines.append("            reader.skip_tag();")
                lines.append("            break;")
                lines.append("          }")
            lines += [f"          if (!{codec_call(field, True)}) return reader.in(\"{field.name}\");", "          break;"]
        lines += ["        default: reader.skip_tag();", "      }",
                  '      if (!reader.end_tag(tag)) return reader.in("tags");', "    }", "  }"]
    lines += ["  return true;", "}", ""]


def write_body(struct, owns, lines):
    lines += [f"void {struct.name}::write(Writer& writer, [[maybe_unused]] int16_t version) const {{",
              f"  [[maybe_unused]] const bool flexible = {flexible_expression(struct)};"]
    for field in struct.fields:
        if field.tag is not None:
            continue
        test = condition(field.versions, struct.versions)
        call = records_are_bytes(codec_call(field, False), field, owns)
        lines.append(f"  {f'if ({test}) ' if test else ''}{call};")
    tagged = sorted((field for field in struct.fields if field.tag is not None), key=lambda field: field.tag)
    if may_be_flexible(struct) and not tagged:
        lines.append("  if (flexible) writer.varuint(0);")
    elif may_be_flexible(struct):
        lines.append("  if (flexible) {")
        for field in tagged:
            test = condition(field.versions, struct.versions)
            present = " && ".join(filter(None, [test, differs_from_default(field)]))
            lines.append(f"    const bool has_{field.name} = {present};")
        total = " + ".join(f"(has_{field.name} ? 1U : 0U)" for field in tagged)
        lines.append(f"    writer.varuint({total});")
        for field in tagged:
            lines += [f"    if (has_{field.name}) {{", f"      const size_t start = writer.begin_tag({field.tag});",
                      f"      {codec_call(field, False)};", "      writer.end_tag(start);", "    }"]
        lines.append("  }")
    lines += ["}", ""]


def print_body(struct, lines):
    lines += [f"void {struct.name}::print(Printer& printer) const {{", "  printer.open();"]
    for field in struct.fields:
        function = "bytes_field" if field.type in ("bytes", "records") else "field"
        lines.append(f'  printer.{function}("{field.name}", {field.name});')
    lines += ["  printer.close();", "}", ""]


def source(files):
    lines = [LICENSE + "// Generated codec.", '#include "protocol/printer.hpp"', '#include "protocol/reader.hpp"',
             '#include "protocol/writer.hpp"']
    lines += [f'#include "protocol/gen/{file.stem}.hpp"' for file in files]
    lines += ["", "namespace sluice::protocol {", ""]
    for file in files:
        for message in file.messages:
            for struct in message.struct.nested() + [message.struct]:
                read_body(struct, message.owns, lines)
                write_body(struct, message.owns, lines)
                print_body(struct, lines)
    return "\n".join(lines + ["}  // namespace sluice::protocol", ""])


def api_key_header(apis):
    lines = [LICENSE + "// Generated: the keys of the APIs in the schema.", "#pragma once", "", "#include <cstdint>", "",
             "namespace sluice::protocol {", "", "enum class ApiKey : int16_t {"]
    lines += [f"  k{api.name} = {api.key}," for api in apis]
    return "\n".join(lines + ["};", "", "}  // namespace sluice::protocol", ""])


def registry_source(apis):
    lines = [LICENSE + "// Generated: the table behind protocol/registry.hpp.", '#include "protocol/registry.hpp"', "",
             "namespace sluice::protocol {", "", "std::span<const ApiInfo> all_apis() {",
             "  static constexpr ApiInfo kApis[] = {"]
    for api in apis:
        flexible_from = 32767 if api.flexible_from is None else api.flexible_from
        lines.append(f'      {{ApiKey::k{api.name}, "{api.name}", {api.advertised.low}, {api.advertised.high}, '
                     f"{api.served.low}, {api.served.high}, {flexible_from}, {str(api.plain_response_header).lower()}}},")
    return "\n".join(lines + ["  };", "  return kApis;", "}", "", "}  // namespace sluice::protocol", ""])
