# SPDX-License-Identifier: Apache-2.0
"""Fetch, its sessions, and questions about offsets, with every field at its worst."""

import time

import messages
import wire
from broker import Failure, expect

TITLE = "Fetch"
CASES = []
TOPIC = "fetch-cases"


def case(name):
    return lambda run: CASES.append((name, run))


def fetch(connection, partitions, **options):
    return messages.read_fetch(connection.call(wire.FETCH, 11, messages.fetch([(TOPIC, partitions)], **options)))


def first(answer):
    return answer[2][0][1][0]


def refused(broker, partition, error, logged=False):
    """One partition of a sessionless Fetch is answered with `error`, without offsets or records."""
    answer = broker.refuses(wire.FETCH, 11, messages.fetch([(TOPIC, [partition])], max_wait_ms=5000, min_bytes=1), messages.read_fetch, error,
                            lambda a: first(a)[1], logged)
    expect(first(answer)[2:], (-1, b""), "high watermark and records of an error")


@case("the topic for it: offsets 0 to 9")
def _(broker):
    broker.create(TOPIC, 2, configs=[("retention.ms", "-1")])  # the records are of 1970
    with broker.connect() as c:
        for i in range(10):
            c.call(wire.PRODUCE, 8, messages.produce([(TOPIC, [(0, wire.batch([b"%d" % i], timestamp=1000 + i))])]))


@case("offsets out of range")
def _(broker):
    for offset in (-1, -2, -(1 << 63), 11, wire.I64):
        refused(broker, (0, offset, -1, 1 << 20), wire.OFFSET_OUT_OF_RANGE)


@case("topics and partitions that are not there")
def _(broker):
    for partition in (2, -1, wire.I32, -(1 << 31)):
        refused(broker, (partition, 0, -1, 1 << 20), wire.UNKNOWN_TOPIC_OR_PARTITION)
    for name in ("nobody-made-this", "__consumer_offsets", "", "a b", b"\xff", "a" * 30_000):
        broker.refuses(wire.FETCH, 11, messages.fetch([(name, [(0, 0, -1, 1)])], max_wait_ms=5000, min_bytes=1), messages.read_fetch,
                       wire.UNKNOWN_TOPIC_OR_PARTITION, lambda a: first(a)[1], logged=False)


@case("leader epochs that are not the partition's")
def _(broker):
    with broker.connect() as c:
        expect(first(fetch(c, [(0, 0, -1, 1 << 20)]))[1], wire.NONE, "without an epoch")
    for epoch in (wire.I32, 1 << 20):
        refused(broker, (0, 0, epoch, 1 << 20), wire.UNKNOWN_LEADER_EPOCH)
    for epoch in (-2, -(1 << 31)):
        refused(broker, (0, 0, epoch, 1 << 20), wire.FENCED_LEADER_EPOCH)


@case("max_bytes at its extremes: one batch at least, and no more than there is")
def _(broker):
    one = len(wire.batch([b"0"]))
    with broker.connect() as c:
        for max_bytes in (0, 1, -1, -(1 << 31)):
            expect(len(first(fetch(c, [(0, 0, -1, 1 << 20)], max_bytes=max_bytes))[3]), one, f"max_bytes {max_bytes}: bytes")
            expect(len(first(fetch(c, [(0, 0, -1, max_bytes)]))[3]), one, f"partition_max_bytes {max_bytes}: bytes")
        expect(len(first(fetch(c, [(0, 0, -1, wire.I32)], max_bytes=wire.I32))[3]), 10 * one, "bytes of all")


@case("waits at their extremes")
def _(broker):
    with broker.connect() as c:
        for wait, minimum in ((-1, 1), (-(1 << 31), wire.I32), (0, wire.I32), (wire.I32, 0), (wire.I32, -1), (wire.I32, -(1 << 31))):
            began = time.monotonic()
            expect(first(fetch(c, [(0, 10, -1, 1 << 20)], max_wait_ms=wait, min_bytes=minimum))[1], wire.NONE)
            if time.monotonic() - began > 5:
                raise Failure(f"max_wait_ms {wait}, min_bytes {minimum}: took {time.monotonic() - began:.1f} s")


@case("a fetch that waits for ever, whose client goes")
def _(broker):
    for _ in range(20):
        with broker.connect() as c:
            c.ask(wire.FETCH, 11, messages.fetch([(TOPIC, [(0, 10, -1, 1 << 20)])], max_wait_ms=wire.I32, min_bytes=wire.I32))
            broker.expect_metric("sluice_net_requests_in_flight", 1)
    broker.expect_metric("sluice_net_connections", 1)  # the healthy one
    broker.expect_metric("sluice_net_requests_in_flight", 0)


@case("a session that nobody has")
def _(broker):
    for session, epoch in ((12345, 1), (-1, 1), (wire.I32, wire.I32), (0, 1), (-(1 << 31), 7)):
        broker.refuses(wire.FETCH, 11, messages.fetch([], session=session, epoch=epoch), messages.read_fetch,
                       wire.FETCH_SESSION_ID_NOT_FOUND, lambda a: a[0], logged=False)


@case("a session's wrong epochs leave it as it is")
def _(broker):
    with broker.connect() as c:
        error, session, _ = fetch(c, [(0, 0, -1, 1 << 20)], epoch=0)
        expect((error, session > 0), (wire.NONE, True), "a new session")
        for epoch in (2, -2, wire.I32, -(1 << 31)):
            broker.refuses(wire.FETCH, 11, messages.fetch([], session=session, epoch=epoch), messages.read_fetch,
                           wire.INVALID_FETCH_SESSION_EPOCH, lambda a: a[0], logged=False)
        expect(fetch(c, [(1, 0, -1, 1 << 20)], session=session, epoch=1)[:2], (wire.NONE, session), "the session")
        broker.refuses(wire.FETCH, 13, messages.fetch_by_id([], session, 2), messages.read_fetch_by_id, wire.FETCH_SESSION_TOPIC_ID_ERROR,
                       lambda a: a[0], logged=False)
        expect(fetch(c, [], session=session, epoch=2)[:2], (wire.NONE, session), "the session")
        expect(fetch(c, [], session=session, epoch=-1)[:2], (wire.NONE, 0), "its end")
        expect(fetch(c, [], session=session, epoch=3)[0], wire.FETCH_SESSION_ID_NOT_FOUND, "after its end")


@case("a session of partitions that are not there, and forgotten ones that never were")
def _(broker):
    with broker.connect() as c:
        nothing = [(partition, 0, -1, 1) for partition in range(2, 5_000)]
        error, session, topics = fetch(c, nothing + [(0, 10, -1, 1)], epoch=0)
        expect(error, wire.NONE)
        expect({p[1] for p in topics[0][1]}, {wire.UNKNOWN_TOPIC_OR_PARTITION, wire.NONE}, "errors")
        forgotten = [(TOPIC, list(range(2, 5_000)) * 2), ("nobody-made-this", [1, 2, -1, wire.I32])]
        answer = messages.read_fetch(c.call(wire.FETCH, 11, messages.fetch([], session=session, epoch=1, forgotten=forgotten)))
        expect((answer[0], answer[1], answer[2]), (wire.NONE, session, []), "what is left: nothing new")
        fetch(c, [], session=session, epoch=-1)


@case("a partition many times in one request counts once")
def _(broker):
    with broker.connect() as c:
        answer = fetch(c, [(0, 0, -1, 0)] * 100_000 + [(0, 9, -1, 0)])
        expect(len(answer[2][0][1]), 1, "partitions in the answer")
        expect(len(first(answer)[3]), len(wire.batch([b"0"])), "bytes")


@case("topic ids that nobody has")
def _(broker):
    for topic_id in (wire.ZERO_ID, b"\x11" * 16, b"\xff" * 16):
        broker.refuses(wire.FETCH, 13, messages.fetch_by_id([(topic_id, [(0, 0)])]), messages.read_fetch_by_id, wire.UNKNOWN_TOPIC_ID,
                       lambda a: first(a)[1], logged=False)


@case("ListOffsets: timestamps at their extremes")
def _(broker):
    def offsets(*timestamps, version=5):
        with broker.connect() as c:
            result = []
            for timestamp in timestamps:
                topics = messages.read_list_offsets(c.call(wire.LIST_OFFSETS, version, messages.list_offsets([(TOPIC, [(0, -1, timestamp)])], version)))
                result.append((topics[0][1][0][1], topics[0][1][0][3]))
            return result
    expect(offsets(wire.I64, 0, -1, -2), [(0, -1), (0, 0), (0, 10), (0, 0)])
    expect(offsets(-3, -4, -5, -6, version=11), [(0, 9), (0, 0), (0, -1), (0, -1)])
    for timestamp, version in ((-3, 5), (-4, 7), (-6, 7), (-7, 11), (-7, 5), (-(1 << 63), 11)):
        broker.refuses(wire.LIST_OFFSETS, version, messages.list_offsets([(TOPIC, [(0, -1, timestamp)])], version), messages.read_list_offsets,
                       wire.UNSUPPORTED_VERSION, lambda a: a[0][1][0][1])


@case("ListOffsets: partitions that are not there, named twice, of other epochs")
def _(broker):
    for name, partition, epoch, error, logged, times in (
            (TOPIC, 2, -1, wire.UNKNOWN_TOPIC_OR_PARTITION, False, 1), (TOPIC, -1, -1, wire.UNKNOWN_TOPIC_OR_PARTITION, False, 1),
            ("nobody-made-this", 0, -1, wire.UNKNOWN_TOPIC_OR_PARTITION, False, 1), (TOPIC, 0, wire.I32, wire.UNKNOWN_LEADER_EPOCH, False, 1),
            (TOPIC, 0, -2, wire.FENCED_LEADER_EPOCH, False, 1), (TOPIC, 0, -1, wire.INVALID_REQUEST, True, 2)):
        broker.refuses(wire.LIST_OFFSETS, 5, messages.list_offsets([(name, [(partition, epoch, -1)] * times)]), messages.read_list_offsets,
                       error, lambda a: a[0][1][0][1], logged, errors=times)


@case("OffsetForLeaderEpoch: epochs at their extremes")
def _(broker):
    def ask(partition, current, epoch, name=TOPIC):
        with broker.connect() as c:
            return messages.read_offset_for_leader_epoch(c.call(wire.OFFSET_FOR_LEADER_EPOCH, 3, messages.offset_for_leader_epoch(
                [(name, [(partition, current, epoch)])])))[0][1][0]
    for epoch in (-1, -(1 << 31), wire.I32):
        expect(ask(0, -1, epoch), (wire.NONE, 0, -1, -1), f"epoch {epoch}")
    expect(ask(0, wire.I32, 0)[0], wire.UNKNOWN_LEADER_EPOCH)
    expect(ask(0, -2, 0)[0], wire.FENCED_LEADER_EPOCH)
    for partition, name in ((2, TOPIC), (-1, TOPIC), (0, "nobody-made-this"), (0, "")):
        expect(ask(partition, -1, 0, name), (wire.UNKNOWN_TOPIC_OR_PARTITION, partition, -1, -1))


@case("DeleteRecords: offsets out of range, and what a good one leaves")
def _(broker):
    def ask(partition, offset, error, name=TOPIC):
        return broker.refuses(wire.DELETE_RECORDS, 1, messages.delete_records([(name, [(partition, offset)])]), messages.read_delete_records,
                              error, lambda a: a[0][1][0][2], logged=False)
    for offset in (-2, -(1 << 63), 11, wire.I64):
        ask(0, offset, wire.OFFSET_OUT_OF_RANGE)
    for partition, name in ((2, TOPIC), (-1, TOPIC), (0, "nobody-made-this"), (0, "__consumer_offsets")):
        ask(partition, 0, wire.UNKNOWN_TOPIC_OR_PARTITION, name)
    with broker.connect() as c:
        def delete(offset):
            return messages.read_delete_records(c.call(wire.DELETE_RECORDS, 1, messages.delete_records([(TOPIC, [(0, offset)])])))[0][1][0]
        expect(delete(3), (0, 3, wire.NONE))
        expect(delete(1), (0, 3, wire.NONE), "an offset that is gone already")
        expect(first(fetch(c, [(0, 2, -1, 1 << 20)]))[1], wire.OFFSET_OUT_OF_RANGE, "fetch of what was deleted")
        expect(delete(-1), (0, 10, wire.NONE), "all")
        expect(first(fetch(c, [(0, 10, -1, 1 << 20)]))[1:3], (wire.NONE, 10), "fetch at the end")
