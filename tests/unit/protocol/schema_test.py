# SPDX-License-Identifier: Apache-2.0
"""Tests of the schema language: what is read, and that everything else is refused with file and line."""

import pathlib
import tempfile
import unittest

import schema

GOOD = """# Says hello. And more.
api Hello
key 99
served 1-4
advertised 0-4
flexible 3+

request
  name      string?2+       = "x"
  people    []Person   2+
    age     int32      -4
  extra     int64      3+ tag 0 = 7
response
  error_code  error
"""


def parse(text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "99_hello.schema"
        path.write_text(text)
        return schema.Parser(path).parse()


class SchemaTest(unittest.TestCase):
    def test_reads_an_api(self):
        file = parse(GOOD.replace("      -4", ""))
        self.assertEqual((file.name, file.stem, file.key, file.summary), ("Hello", "hello", 99, "Says hello. And more."))
        self.assertEqual(file.served, schema.Versions(1, 4))
        self.assertEqual(file.advertised, schema.Versions(0, 4))
        request, response = file.messages
        self.assertEqual((request.struct.name, request.owns), ("HelloRequest", False))
        self.assertEqual((response.struct.name, response.owns), ("HelloResponse", True))
        name, people, extra = request.struct.fields
        self.assertEqual(name.null_versions, schema.Versions(2, 4))
        self.assertEqual(people.versions, schema.Versions(2, 4))
        self.assertEqual(people.struct.name, "HelloRequest::Person")
        self.assertEqual((extra.tag, extra.default), (0, "7"))
        self.assertEqual(people.struct.min_wire_bytes(), 4)  # classic at version 2, with tags from 3 on

    def refused(self, old, new, expected):
        text = GOOD.replace("      -4", "").replace(old, new)
        with self.assertRaises(schema.SchemaError) as caught:
            parse(text)
        self.assertIn(expected, str(caught.exception))

    def test_refuses_what_it_does_not_know(self):
        with self.assertRaises(schema.SchemaError) as caught:
            parse(GOOD)
        self.assertRegex(str(caught.exception), r"99_hello\.schema:11: not a field")
        self.refused("3+ tag 0", "2+ tag 0", "flexible versions")
        self.refused("[]Person   2+", "[]Person   2-9", "reach beyond 1-4")
        self.refused("    age", "      age", "indented too far")
        self.refused("    age     int32", "", "has no fields")
        self.refused("  extra ", "  name ", "twice")
        self.refused("key 99", "key 99\nkeys 98", "unexpected")
        self.refused("response\n", "answer\n", "unexpected")
        self.refused("error_code  error", "error_code  error?", "cannot be null")
        self.refused("flexible 3+\n", "", "'flexible' is missing")

    def test_refuses_two_structures_of_one_name(self):
        self.refused("  extra     int64      3+ tag 0 = 7", "  others []Person\n    age int64", "two structures")


if __name__ == "__main__":
    unittest.main()
