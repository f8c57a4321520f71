# SPDX-License-Identifier: Apache-2.0
"""The schema language of broker/protocol/schema: reads its files into Message, Struct and Field objects.

The language is described in broker/protocol/README.md. Whatever does not fit is an error with file and line; nothing is
guessed.
"""

import dataclasses
import pathlib
import re

SCALARS = {"bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uuid": 16, "error": 2}
VARIABLE = {"string", "bytes", "records"}
FIELD = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*)\s+(?P<classic>classic\s+)?(?P<array>\[\])?(?P<type>[A-Za-z0-9]+)"
    r"(?P<nullable>\?(?P<null_range>[0-9+-]*))?(?:\s+(?P<range>[0-9]+(?:\+|-[0-9]+)?))?"
    r"(?:\s+tag\s+(?P<tag>[0-9]+))?(?:\s+=\s+(?P<default>\S+))?$"
)


class SchemaError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Versions:
    """A range of versions, both ends included."""

    low: int
    high: int

    def __contains__(self, version):
        return self.low <= version <= self.high

    def covers(self, other):
        return self.low <= other.low and self.high >= other.high

    def __iter__(self):
        return iter(range(self.low, self.high + 1))


@dataclasses.dataclass
class Field:
    name: str
    type: str  # of the element, for an array
    array: bool
    classic: bool  # keeps its old form in flexible versions
    versions: Versions
    null_versions: Versions | None
    tag: int | None
    default: str | None
    struct: "Struct | None" = None

    def min_wire_bytes(self, version, flexible):
        """The least that the field takes in a version that has it."""
        if self.array:
            return 1 if flexible else 4
        if self.type in SCALARS:
            return SCALARS[self.type]
        if self.type in VARIABLE:
            return 1 if flexible and not self.classic else (2 if self.type == "string" else 4)
        return 1 if self.null_versions else self.struct.wire_bytes_in(version)


@dataclasses.dataclass
class Struct:
    name: str  # with those around it: FetchRequest::Topic
    versions: Versions
    flexible_from: int | None
    fields: list

    def is_flexible(self, version):
        return self.flexible_from is not None and version >= self.flexible_from

    def wire_bytes_in(self, version):
        flexible = self.is_flexible(version)
        present = [f for f in self.fields if version in f.versions and f.tag is None]
        return sum(f.min_wire_bytes(version, flexible) for f in present) + (1 if flexible else 0)

    def min_wire_bytes(self):
        """The least that the structure takes in any of its versions."""
        return max(1, min(self.wire_bytes_in(version) for version in self.versions))

    def nested(self):
        """The structures within, each once, those that others hold before their holders."""
        found = []
        for field in self.fields:
            if field.struct:
                found += [s for s in field.struct.nested() + [field.struct] if s not in found]
        return found


@dataclasses.dataclass
class Message:
    struct: Struct
    kind: str  # request, response, header, data
    owns: bool  # text and bytes are copied out of the decoded buffer


@dataclasses.dataclass
class File:
    stem: str  # produce, for 00_produce.schema
    name: str  # Produce
    summary: str
    messages: list
    key: int | None = None
    served: Versions | None = None
    advertised: Versions | None = None
    flexible_from: int | None = None
    plain_response_header: bool = False


class Parser:
    def __init__(self, path):
        self.path = path
        self.number = 0

    def fail(self, text):
        raise SchemaError(f"{self.path}:{self.number}: {text}")

    def range(self, text, within):
        match = re.fullmatch(r"([0-9]+)(?:(\+)|-([0-9]+))?", text)
        if not match:
            self.fail(f"'{text}' is no range of versions")
        low = int(match[1])
        high = within.high if match[2] else int(match[3] or low)
        result = Versions(low, high)
        if low > high or not within.covers(result):
            self.fail(f"versions {text} reach beyond {within.low}-{within.high}")
        return result

    def parse(self):
        facts, sections, summary = {}, {}, []
        section = None
        for self.number, line in enumerate(self.path.read_text().splitlines(), 1):
            text = line.split("#", 1)[0].rstrip()
            if not text:
                if line.startswith("#") and not facts:
                    summary.append(line[1:].strip())
                continue
            if line.startswith(" "):
                if section is None:
                    self.fail("a field before 'request', 'response' or 'fields'")
                section.append((self.number, text))
                continue
            words = text.split()
            if len(words) == 1:
                section = sections.setdefault(words[0], [])
            else:
                facts[words[0]] = " ".join(words[1:])
        return self.build(facts, sections, " ".join(summary))

    def build(self, facts, sections, summary):
        everything = Versions(0, 32767)
        flexible = facts.pop("flexible", None) or self.fail("'flexible' is missing")
        flexible_from = None if flexible == "none" else self.range(flexible, everything).low
        stem = re.sub(r"^[0-9]+_", "", self.path.stem)
        if "api" in facts:
            name = facts.pop("api")
            file = File(stem, name, summary, [], int(facts.pop("key")), flexible_from=flexible_from)
            file.served = self.range(facts.pop("served"), everything)
            file.advertised = self.range(facts.pop("advertised", f"{file.served.low}-{file.served.high}"), everything)
            file.plain_response_header = facts.pop("response_header", None) == "0"
            wanted = [("request", name + "Request"), ("response", name + "Response")]
            versions = file.served
        else:
            kind = "header" if "header" in facts else "data"
            name = facts.pop(kind, None) or self.fail("'api', 'header' or 'data' is missing")
            file = File(stem, name, summary, [], flexible_from=flexible_from)
            wanted = [("fields", name)]
            versions = self.range(facts.pop("versions"), everything)
        if facts or set(sections) != {section for section, _ in wanted}:
            self.fail(f"unexpected: {', '.join([*facts, *sections])}")
        for section, message_name in wanted:
            self.lines = list(sections[section])
            struct = Struct(message_name, versions, flexible_from, [])
            struct.fields = self.fields(2, struct, message_name)
            nested = [inner.name for inner in struct.nested()]
            if len(set(nested)) != len(nested):
                self.fail(f"two structures of one name in {message_name}")
            if self.lines:
                self.number = self.lines[0][0]
                self.fail("indented too far")
            message_kind = kind if section == "fields" else section
            file.messages.append(Message(struct, message_kind, message_kind == "response"))
        return file

    def fields(self, indent, holder, message_name):
        found = []
        while self.lines:
            self.number, text = self.lines[0]
            if len(text) - len(text.lstrip()) < indent:
                break
            if not text.startswith(" " * indent) or text[indent] == " ":
                self.fail("indented too far")
            self.lines.pop(0)
            match = FIELD.match(text.strip()) or self.fail(f"not a field: {text.strip()}")
            if match["name"] in (f.name for f in found):
                self.fail(f"field {match['name']} twice")
            found.append(self.field(match, indent, holder, message_name))
        if not found:
            self.fail(f"{holder.name} has no fields")
        return found

    def field(self, match, indent, holder, message_name):
        versions = self.range(match["range"], holder.versions) if match["range"] else holder.versions
        null_versions = None
        if match["nullable"]:
            null_versions = self.range(match["null_range"], versions) if match["null_range"] else versions
        tag = None if match["tag"] is None else int(match["tag"])
        if tag is not None and (holder.flexible_from is None or versions.low < holder.flexible_from):
            self.fail("tagged fields are for flexible versions")
        field = Field(match["name"], match["type"], bool(match["array"]), bool(match["classic"]), versions, null_versions,
                      tag, match["default"])
        if field.type not in SCALARS and field.type not in VARIABLE:
            field.struct = Struct(f"{message_name}::{field.type}", versions, holder.flexible_from, [])
            field.struct.fields = self.fields(indent + 2, field.struct, message_name)
        elif null_versions and not field.array and field.type in SCALARS:
            self.fail(f"{field.type} cannot be null")
        return field


def load(folder):
    """All schema files of a folder, APIs by key, then the rest by name."""
    files = [Parser(path).parse() for path in sorted(pathlib.Path(folder).glob("*.schema"))]
    return sorted(files, key=lambda f: (f.key is None, f.key or 0, f.name))
