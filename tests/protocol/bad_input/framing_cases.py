# SPDX-License-Identifier: Apache-2.0
"""Frames, headers, lengths and counts that are wrong before any handler sees them, and connections that misbehave."""

import socket
import struct
import time

import messages
import wire
from broker import Failure, expect

TITLE = "Framing"
CASES = []

MALFORMED = "sluice_requests_malformed_total"
MAX_FRAME_BYTES = 104_857_600  # socket.request.max.bytes
MIB = 1 << 20


def case(name):
    return lambda run: CASES.append((name, run))


def grows_less_than(broker, limit_bytes, action, what):
    before = broker.rss_bytes()
    action()
    grown = broker.rss_bytes() - before
    if grown > limit_bytes:
        raise Failure(f"{what}: memory grew by {grown / MIB:.1f} MiB, more than {limit_bytes / MIB:.0f}")


def is_fine(connection):
    expect(messages.read_api_versions_0(connection.call(wire.API_VERSIONS, 0))[0], wire.NONE, "ApiVersions")


@case("a negative size")
def _(broker):
    for size in (-1, -2, -(1 << 31)):
        broker.closes(struct.pack(">i", size), "sluice_net_frames_negative_total", f"size {size}")


@case("a size of zero")
def _(broker):
    broker.closes(struct.pack(">i", 0), "sluice_net_frames_empty_total", "size 0")


@case("a size over socket.request.max.bytes")
def _(broker):
    for size in (MAX_FRAME_BYTES + 1, 0x47455420, 0x16030100):  # the last two: HTTP's "GET ", TLS's first record
        broker.closes(struct.pack(">i", size) + bytes(100), "sluice_net_frames_too_large_total", str(size), "socket.request.max.bytes")


@case("S12: a frame that claims 2 GiB takes no memory")
def _(broker):
    def claim():
        for _ in range(20):
            broker.closes(struct.pack(">i", wire.I32) + bytes(1000), "sluice_net_frames_too_large_total", str(wire.I32))
    grows_less_than(broker, MIB, claim, "frames of 2 GiB")


@case("S12: records, texts and arrays that claim 2 GiB take no memory")
def _(broker):
    long_text = wire.Out().i16(wire.I16)
    bodies = [
        (wire.PRODUCE, 8, wire.Out().text(None).i16(-1).i32(1000).i32(1).text("t").i32(1).i32(0).i32(wire.I32)),
        (wire.PRODUCE, 9, wire.Out(True).text(None).i16(-1).i32(1000).count(1).text("t").count(1).i32(0).raw(wire.varuint(wire.I32))),
        (wire.METADATA, 8, wire.Out().i32(wire.I32)),
        (wire.METADATA, 8, long_text),
        (wire.METADATA, 9, wire.Out(True).raw(wire.varuint(0xFFFFFFFF))),
    ]

    def claim():
        for _ in range(4):
            for api, version, body in bodies:
                broker.closes(wire.request(api, version, 1, body), MALFORMED)
    grows_less_than(broker, MIB, claim, "lengths of 2 GiB")


@case("a frame that ends early")
def _(broker):
    whole = wire.request(wire.METADATA, 8, 1, messages.metadata(["t"]))
    for sent in (5, 10, len(whole) - 1):
        broker.closes(whole[:sent], "sluice_net_frames_cut_total", "in the middle of a frame", half_close=True)
    before = broker.metric("sluice_net_frames_cut_total")
    broker.line_due()
    with broker.connect() as c:
        received = broker.metric("sluice_net_received_bytes_total")
        c.send(whole[:10])
        broker.expect_metric("sluice_net_received_bytes_total", received + 10)  # unread, a reset would undo it
        c.reset()
        broker.expect_lines(c, 1, "in the middle of a frame")
    broker.expect_metric("sluice_net_frames_cut_total", before + 1)


@case("a header that is too short")
def _(broker):
    header = wire.header(wire.METADATA, 8, 7, "client")
    for size in (1, 3, 4, 7, 8, 9, 11):
        broker.closes(wire.frame(header[:size]), MALFORMED)


@case("an API key that nobody knows")
def _(broker):
    for key in (-1, -(1 << 15), 9999, wire.I16):
        broker.closes(wire.frame(wire.header(key, 0, 1, flexible=False)), MALFORMED, f"unknown API key {key}")


@case("an API of Kafka's that is not served")
def _(broker):
    for key, name in ((5, "StopReplica"), (24, "AddPartitionsToTxn"), (29, "DescribeAcls")):
        broker.closes(wire.frame(wire.header(key, 0, 1, flexible=False)), MALFORMED)


@case("a version that no API has")
def _(broker):
    with broker.connect() as c:
        ranges = messages.read_api_versions_0(c.call(wire.API_VERSIONS, 0))[1]
    for api, (_, highest) in sorted(ranges.items()):
        if api != wire.API_VERSIONS:
            broker.closes(wire.request(api, highest + 1, 1, bytes(64)), "sluice_requests_unsupported_version_total", f"version {highest + 1}")
    for version in (-1, -(1 << 15), wire.I16):
        broker.closes(wire.request(wire.FETCH, version, 1, bytes(64)), "sluice_requests_unsupported_version_total")


@case("Produce v0 to v2: in the list, and refused")
def _(broker):
    with broker.connect() as c:
        expect(messages.read_api_versions_0(c.call(wire.API_VERSIONS, 0))[1][wire.PRODUCE][0], 0, "lowest version of Produce")
    for version in range(3):
        broker.closes(wire.request(wire.PRODUCE, version, 1, wire.Out().i16(-1).i32(1000).i32(0)),
                      "sluice_requests_unsupported_version_total", f"Produce version {version}")


@case("ApiVersions of a version to come is answered as version 0, with the list")
def _(broker):
    for version in (5, 35, wire.I16):
        before = broker.metric("sluice_requests_unsupported_version_total")
        with broker.connect() as c:
            # What a client of that day would send in it, nobody knows.
            correlation = c.ask(wire.API_VERSIONS, version, b"\x05what\x03is\x7f\x00")
            error, ranges = messages.read_api_versions_0(c.answer(correlation, wire.API_VERSIONS, version, flexible=False))
            expect(error, wire.UNSUPPORTED_VERSION)
            expect(wire.API_VERSIONS in ranges and wire.PRODUCE in ranges, True, "the list")
            is_fine(c)
            broker.expect_lines(c, 0)
        broker.expect_metric("sluice_requests_unsupported_version_total", before + 1)


@case("ApiVersions with an illegal name of the client's software")
def _(broker):
    for name, version in (("", "1"), ("a", ""), ("-a", "1"), ("a b", "1"), ("a\nb", "1"), ("ä", "1")):
        with broker.connect() as c:
            answer = c.call(wire.API_VERSIONS, 3, wire.Out(True).text(name).text(version).tags())
            expect(answer.i16(), wire.INVALID_REQUEST, f"name {name!r}, version {version!r}")
            is_fine(c)


@case("client ids: null, empty, long, not UTF-8")
def _(broker):
    for client_id in (None, "", "c" * wire.I16, b"\xff\xfe\x00\n", "\N{SNOWMAN}" * 100):
        with broker.connect() as c:
            answer = messages.read_metadata(c.call(wire.METADATA, 8, messages.metadata(["healthy"]), client_id))
            expect(answer, [(wire.NONE, "healthy", 1)], f"client id {client_id!r:.20}")
            broker.expect_lines(c, 0)


@case("client ids whose length is wrong")
def _(broker):
    start = wire.Out().i16(wire.METADATA).i16(8).i32(1).data
    for length in (-2, -(1 << 15), 100, wire.I16):
        broker.closes(wire.frame(bytes(start) + struct.pack(">h", length) + b"short"), MALFORMED, "Metadata")


@case("array counts beyond reason")
def _(broker):
    for count in (wire.I32, 1 << 30, -2, -(1 << 31)):
        broker.closes(wire.request(wire.METADATA, 8, 1, wire.Out().i32(count).raw(bytes(3))), MALFORMED, "Metadata")
        broker.closes(wire.request(wire.FETCH, 11, 1, messages.fetch([]).data[:-6] + struct.pack(">i", count)), MALFORMED, "Fetch")
    # Null where the version has none.
    broker.closes(wire.request(wire.CREATE_TOPICS, 4, 1, wire.Out().array(None).i32(0).i8(0)), MALFORMED, "CreateTopics", "null")


@case("compact lengths beyond reason")
def _(broker):
    for length in (wire.varuint(0xFFFFFFFF), wire.varuint(1 << 30), b"\xff\xff\xff\xff\x7f", b"\xff" * 10, b"\x80"):
        broker.closes(wire.request(wire.METADATA, 9, 1, length), MALFORMED, "Metadata")
        broker.closes(wire.request(wire.METADATA, 9, 1, wire.varuint(2) + length), MALFORMED, "Metadata")


@case("many small elements that would take much memory")
def _(broker):
    # A byte each on the wire; a broker that takes the count at its word, and has an object for each, is soon out of memory.
    body = wire.Out(True).count(24 * MIB).raw(bytes(24 * MIB))

    def ask():
        broker.closes(wire.request(wire.DESCRIBE_GROUPS, 5, 1, body), MALFORMED, "more elements")
        broker.closes(wire.request(wire.FIND_COORDINATOR, 4, 1, wire.Out(True).i8(0).raw(bytes(body.data))), MALFORMED, "more elements")
    grows_less_than(broker, 128 * MIB, ask, "24 MiB of empty texts")


@case("tagged fields with wrong sizes, counts and order")
def _(broker):
    start = bytes(wire.Out().i16(wire.METADATA).i16(9).i32(1).text("c").data)
    body = b"\x01\x00\x00\x00\x00"
    for tags in (
            wire.varuint(0xFFFFFFFF),  # so many
            b"\x01\x09" + wire.varuint(0xFFFFFFFF),  # so long
            b"\x01\x09\x64",  # longer than the frame
            b"\x02\x09\x01a\x03\x01b",  # out of order
            b"\x02\x09\x01a\x09\x01b",  # one twice
            b"\x01",  # one, that is not there
    ):
        broker.closes(wire.frame(start + tags), MALFORMED)
        broker.closes(wire.frame(start + b"\0" + body[:4] + tags), MALFORMED)


@case("tagged fields that nobody knows are passed over")
def _(broker):
    start = bytes(wire.Out().i16(wire.METADATA).i16(9).i32(1).text("c").data)
    tags = b"\x02" + wire.varuint(77) + wire.varuint(200) + bytes(200) + wire.varuint(0xFFFFFFFF) + b"\x00"
    with broker.connect() as c:
        c.send(wire.frame(start + tags + b"\x01\x00\x00\x00" + tags))
        c.answer(1, wire.METADATA, 9)
        broker.expect_lines(c, 0)


@case("bytes after a request are passed over, as Kafka does")
def _(broker):
    with broker.connect() as c:
        body = bytes(messages.metadata(["healthy"]).data) + b"and then some"
        expect(messages.read_metadata(c.call(wire.METADATA, 8, body)), [(wire.NONE, "healthy", 1)])
        broker.expect_lines(c, 0)


@case("a frame that comes byte by byte")
def _(broker):
    with broker.connect() as c:
        for byte in wire.request(wire.METADATA, 8, 1, messages.metadata(["healthy"])):
            c.send(bytes([byte]))
        expect(messages.read_metadata(c.answer(1, wire.METADATA, 8)), [(wire.NONE, "healthy", 1)])


@case("pipelined requests are answered in order, errors among them")
def _(broker):
    broker.line_due()
    topic = broker.create("pipelined")
    bad = wire.batch([b"x"], crc_flip=1)
    with broker.connect() as c:
        requests = []
        for i in range(8):
            requests.append((wire.FETCH, 11, messages.fetch([(topic, [(0, i * 2, -1, 1 << 20)])], max_wait_ms=2000, min_bytes=1), None))
            requests.append((wire.PRODUCE, 8, messages.produce([(topic, [(0, wire.batch([b"%d" % i]))])]), (wire.NONE, 2 * i)))
            requests.append((wire.METADATA, 8, messages.metadata(["healthy"]), None))
            if i == 3:
                requests.append((wire.PRODUCE, 8, messages.produce([(topic, [(0, bad)])]), (wire.CORRUPT_MESSAGE, -1)))
            requests.append((wire.PRODUCE, 8, messages.produce([(topic, [(0, wire.batch([b"%d" % i]))])]), (wire.NONE, 2 * i + 1)))
        asked = [(c.ask(api, version, body), api, version, wanted) for api, version, body, wanted in requests]
        for correlation, api, version, wanted in asked:
            answer = c.answer(correlation, api, version)
            if wanted:
                _, error, offset, _ = messages.read_produce(answer)[0][1][0]
                expect((error, offset), wanted, f"request {correlation}")
        broker.expect_lines(c, 1, "CORRUPT_MESSAGE")


@case("after a malformed request on a pipeline nothing is done; what came before is answered")
def _(broker):
    topic = broker.create("cut-pipeline")
    broker.line_due()
    one = messages.produce([(topic, [(0, wire.batch([b"x"]))])])
    with broker.connect() as c:
        c.send(wire.request(wire.PRODUCE, 8, 1, one) + wire.request(wire.PRODUCE, 8, 2, one) +
               wire.request(wire.METADATA, 8, 3, wire.Out().i32(wire.I32)) + wire.request(wire.PRODUCE, 8, 4, one) +
               wire.request(wire.PRODUCE, 8, 5, one))
        for correlation in (1, 2):
            expect(messages.read_produce(c.answer(correlation, wire.PRODUCE, 8))[0][1][0][1:3], (wire.NONE, correlation - 1))
        c.expect_closed()
        broker.expect_lines(c, 1, "Metadata")
    with broker.connect() as c:
        ends = messages.read_list_offsets(c.call(wire.LIST_OFFSETS, 5, messages.list_offsets([(topic, [(0, -1, -1)])])))
        expect(ends[0][1][0], (0, wire.NONE, -1, 2), "end of the log")


@case("a client that does not read its answers costs only itself")
def _(broker):
    request = wire.request(wire.API_VERSIONS, 0, 1)

    def pour():
        with broker.connect(small_buffers=True) as c:
            c.socket.setblocking(False)
            sent = 0
            deadline = time.monotonic() + 3
            quiet_since = time.monotonic()
            while time.monotonic() < deadline and time.monotonic() - quiet_since < 0.3:
                try:
                    sent += c.socket.send(request * 200)
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.005)
                if sent > 256 * MIB:
                    raise Failure("the broker takes requests without end from one who does not read")
            broker.check_healthy()
            c.reset()
    grows_less_than(broker, 24 * MIB, pour, "unread answers")


@case("many connections, opened and dropped")
def _(broker):
    whole = wire.request(wire.METADATA, 8, 1, messages.metadata(None))
    for i in range(600):
        c = broker.connect()
        if i % 3 == 1:
            c.send(whole)  # and does not wait
        if i % 3 == 2:
            c.send(whole * 3)
            c.reset()
        c.close()
    broker.expect_metric("sluice_net_connections", 1)  # the healthy one


@case("half frames of many connections hold neither memory nor others")
def _(broker):
    held = []

    def hold():
        for _ in range(300):
            c = broker.connect()
            c.send(struct.pack(">i", MAX_FRAME_BYTES) + wire.header(wire.PRODUCE, 8, 1) + bytes(100))
            held.append(c)
        for _ in range(20):
            broker.check_healthy()
    grows_less_than(broker, 16 * MIB, hold, "300 half frames of 100 MiB")
    for c in held:
        c.socket.shutdown(socket.SHUT_RDWR)
        c.close()
    broker.expect_metric("sluice_net_connections", 1)  # the healthy one
