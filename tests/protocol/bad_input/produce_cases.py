# SPDX-License-Identifier: Apache-2.0
"""Record batches that are wrong, and Produce requests that ask for what is not there."""

import gzip
import time

import messages
import wire
from broker import Failure, expect

TITLE = "Produce"
CASES = []
TOPIC = "produce-cases"


def case(name):
    return lambda run: CASES.append((name, run))


def refused(broker, records, error, topic=TOPIC, partition=0, acks=-1, logged=True, transactional_id=None):
    """Produce v8 of one batch is answered with `error`, offset -1. Gives the message."""
    answer = broker.refuses(wire.PRODUCE, 8, messages.produce([(topic, [(partition, records)])], acks, transactional_id),
                            messages.read_produce, error, lambda a: a[0][1][0][1], logged)
    expect(answer[0][1][0][2], -1, "base offset of a refused batch")
    return answer[0][1][0][3]


def accepted(broker, records, topic=TOPIC):
    """Gives the base offset."""
    with broker.connect() as c:
        _, error, offset, _ = messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce([(topic, [(0, records)])])))[0][1][0]
    expect(error, wire.NONE)
    return offset


def end_of(broker, topic, partition=0):
    with broker.connect() as c:
        return messages.read_list_offsets(c.call(wire.LIST_OFFSETS, 5, messages.list_offsets([(topic, [(partition, -1, -1)])])))[0][1][0][3]


@case("the topic for it")
def _(broker):
    broker.create(TOPIC, configs=[("retention.ms", "-1")])
    expect(accepted(broker, wire.batch([b"first"])), 0, "offset")


@case("a wrong checksum")
def _(broker):
    before = broker.metric("sluice_produce_refused_batches_total")
    message = refused(broker, wire.batch(crc_flip=1), wire.CORRUPT_MESSAGE)
    expect("checksum" in message, True, "the message speaks of the checksum")
    flipped = bytearray(wire.batch([b"0123456789"]))
    flipped[-3] ^= 0x10
    refused(broker, bytes(flipped), wire.CORRUPT_MESSAGE)
    broker.expect_metric("sluice_produce_refused_batches_total", before + 2)


@case("wrong record counts")
def _(broker):
    three = [b"a", b"b", b"c"]
    for count in (0, -1, 2, 4, wire.I32, -(1 << 31)):
        refused(broker, wire.batch(three, count=count, last_delta=2), wire.INVALID_RECORD)
    for count in (1, 2, 4, 1000, wire.I32):  # the header agrees with itself, not with what follows
        refused(broker, wire.batch(three, count=count), wire.INVALID_RECORD)


@case("wrong last offset deltas")
def _(broker):
    for delta in (-1, 0, 1, 3, wire.I32, -(1 << 31)):
        refused(broker, wire.batch([b"a", b"b", b"c"], last_delta=delta), wire.INVALID_RECORD)


@case("records that are none")
def _(broker):
    for records in (b"", bytes(20), b"\xff" * 20, wire.varint(-1) + bytes(20), wire.varint(wire.I32) + bytes(20),
                    wire.record(0) + b"\x00", wire.record(0)[:-1]):
        refused(broker, wire.batch(records=records, count=1), wire.INVALID_RECORD)


@case("a base offset that is not 0")
def _(broker):
    for offset in (1, -1, wire.I64, -(1 << 63)):
        refused(broker, wire.batch(base_offset=offset), wire.INVALID_RECORD)


@case("older formats and formats to come")
def _(broker):
    refused(broker, wire.message_set(0), wire.INVALID_RECORD)
    refused(broker, wire.message_set(1), wire.INVALID_RECORD)
    refused(broker, wire.batch(magic=3), wire.CORRUPT_MESSAGE)
    refused(broker, wire.batch(magic=-1), wire.CORRUPT_MESSAGE)


@case("codecs that are none, and zstd before its time")
def _(broker):
    for codec in (5, 6, 7):
        refused(broker, wire.batch(attributes=codec), wire.INVALID_RECORD)
    zstd = wire.batch(attributes=4, records=bytes.fromhex("28b52ffd0000010000"), count=1)
    broker.refuses(wire.PRODUCE, 6, messages.produce([(TOPIC, [(0, zstd)])]),
                   lambda r: r.array(lambda r: (r.text(), r.array(lambda r: (r.i32(), r.i16(), r.i64(), r.i64(), r.i64())))),
                   wire.UNSUPPORTED_COMPRESSION_TYPE, lambda a: a[0][1][0][1])


@case("compressed garbage is stored as it came, and hurts only who looks into it")
def _(broker):
    topic = broker.create("garbage", configs=[("retention.ms", "-1")])  # its records are of 1970
    for i, codec in enumerate((1, 2, 3, 4)):
        expect(accepted(broker, wire.batch(attributes=codec, records=b"this is no compressed data", count=3, timestamp=1000 + i), topic), 3 * i)
    with broker.connect() as c:
        answer = messages.read_list_offsets(c.call(wire.LIST_OFFSETS, 5, messages.list_offsets([(topic, [(0, -1, 1001)])])))
        expect(answer[0][1][0][1], wire.CORRUPT_MESSAGE, "search by time among garbage")
        _, error, high, records = messages.read_fetch(c.call(wire.FETCH, 11, messages.fetch([(topic, [(0, 0, -1, 1 << 20)])])))[2][0][1][0]
        expect((error, high, len(records)), (wire.NONE, 12, 4 * (61 + 26)), "fetch of garbage")


@case("a topic that wants its records looked at takes no compressed garbage")
def _(broker):
    topic = broker.create("validated", configs=[("retention.ms", "-1"), ("sluice.validate.records", "true"), ("message.timestamp.after.max.ms", "1000")])
    for codec in (1, 2, 3, 4):
        message = refused(broker, wire.batch(attributes=codec, records=b"this is no compressed data", count=3), wire.INVALID_RECORD, topic)
        expect("cannot be read" in message, True, "the message says why")
    three = b"".join(wire.record(i) for i in range(3))
    for records in (three[:-1], three + b"\0", wire.record(0) + wire.record(0) + wire.record(1)):
        refused(broker, wire.batch(attributes=1, records=gzip.compress(records), count=3), wire.INVALID_RECORD, topic)
    late = b"".join(wire.record(i, timestamp_delta=10 ** 9 * i) for i in range(3))  # the header says nothing of it
    refused(broker, wire.batch(attributes=1, records=gzip.compress(late), count=3), wire.INVALID_TIMESTAMP, topic)
    expect(accepted(broker, wire.batch(attributes=1, records=gzip.compress(three), count=3), topic), 0, "offset of a batch that is well")


@case("two batches in one record set")
def _(broker):
    refused(broker, wire.batch([b"a"]) + wire.batch([b"b"]), wire.INVALID_RECORD)
    refused(broker, wire.batch([b"a"]) + b"\0", wire.INVALID_RECORD)


@case("batches whose length is wrong")
def _(broker):
    whole = wire.batch([b"0123456789"])
    refused(broker, whole[:-1], wire.INVALID_RECORD)
    for size in (1, 12, 17, 60):
        refused(broker, whole[:size], wire.INVALID_RECORD)
    for length in (-1, 0, 13, 48, -(1 << 31)):
        refused(broker, wire.batch(length=length), wire.CORRUPT_MESSAGE)
    refused(broker, wire.batch(length=wire.I32), wire.INVALID_RECORD)


@case("a batch over max.message.bytes")
def _(broker):
    topic = broker.create("small", configs=[("max.message.bytes", "200")])
    refused(broker, wire.batch([bytes(200)]), wire.MESSAGE_TOO_LARGE, topic)
    refused(broker, wire.batch([bytes(200)], crc_flip=1), wire.MESSAGE_TOO_LARGE, topic)  # its size goes before its checksum
    size_at_limit = 200 - len(wire.batch([b""]))
    while len(wire.batch([bytes(size_at_limit)])) > 200:
        size_at_limit -= 1
    expect(accepted(broker, wire.batch([bytes(size_at_limit)]), topic), 0, "offset of a batch of the very size")
    refused(broker, wire.batch([bytes(1_048_588)]), wire.MESSAGE_TOO_LARGE)


@case("no records, and null ones")
def _(broker):
    refused(broker, None, wire.INVALID_RECORD)
    refused(broker, b"", wire.INVALID_RECORD)


@case("topics and partitions that are not there")
def _(broker):
    for topic in ("nobody-made-this", "__consumer_offsets", "__cluster_metadata"):
        refused(broker, wire.batch(), wire.UNKNOWN_TOPIC_OR_PARTITION, topic, logged=False)
    for partition in (1, -1, wire.I32, -(1 << 31)):
        refused(broker, wire.batch(), wire.UNKNOWN_TOPIC_OR_PARTITION, partition=partition, logged=False)
    for topic in ("", "..", "a b", "a/b", "a" * 250, b"\xff\xfe"):
        refused(broker, wire.batch(), wire.INVALID_TOPIC_EXCEPTION, topic)


@case("what is wrong in one partition leaves the others of the request alone")
def _(broker):
    topic = broker.create("three", 3)
    broker.line_due()
    with broker.connect() as c:
        answer = messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce(
            [(topic, [(0, wire.batch([b"a"])), (1, wire.batch([b"b"], crc_flip=1)), (2, wire.batch([b"c"])), (3, wire.batch([b"d"]))])])))
        expect([p[:3] for p in answer[0][1]],
               [(0, wire.NONE, 0), (1, wire.CORRUPT_MESSAGE, -1), (2, wire.NONE, 0), (3, wire.UNKNOWN_TOPIC_OR_PARTITION, -1)])
        broker.expect_lines(c, 1, "CORRUPT_MESSAGE")


@case("acks that are none")
def _(broker):
    for acks in (2, 5, -2, wire.I16, -(1 << 15)):
        refused(broker, wire.batch(), wire.INVALID_REQUIRED_ACKS, acks=acks)


@case("timestamps at their extremes")
def _(broker):
    before = end_of(broker, TOPIC)
    for timestamp in (-2, -(1 << 63)):
        refused(broker, wire.batch(timestamp=timestamp), wire.INVALID_TIMESTAMP)
        refused(broker, wire.batch(max_timestamp=timestamp), wire.INVALID_TIMESTAMP)
    for timestamp in (wire.I64, int(time.time() * 1000) + 3_700_000):
        refused(broker, wire.batch(timestamp=timestamp), wire.INVALID_TIMESTAMP)
        refused(broker, wire.batch(max_timestamp=timestamp), wire.INVALID_TIMESTAMP)
    refused(broker, wire.batch(attributes=8), wire.INVALID_TIMESTAMP)  # says that the broker stamped it
    expect(accepted(broker, wire.batch(timestamp=-1)), before, "offset of a batch without timestamps")
    expect(accepted(broker, wire.batch(timestamp=0)), before + 1, "offset of a batch of 1970")


@case("control batches and reserved attributes from a client")
def _(broker):
    refused(broker, wire.batch(attributes=0x20), wire.INVALID_RECORD)
    refused(broker, wire.batch(attributes=0x30, producer=1, epoch=0, sequence=0), wire.INVALID_RECORD)
    refused(broker, wire.batch(attributes=0x40), wire.INVALID_RECORD)
    refused(broker, wire.batch(attributes=-0x8000), wire.INVALID_RECORD)


@case("a transactional batch, which is not offered")
def _(broker):
    batch = wire.batch(attributes=0x10, producer=1, epoch=0, sequence=0)
    refused(broker, batch, wire.INVALID_TXN_STATE)
    refused(broker, batch, wire.INVALID_TXN_STATE, transactional_id="txn")
    refused(broker, wire.batch(attributes=0x10), wire.INVALID_RECORD)  # of no producer


@case("producer ids, epochs and sequences that cannot be")
def _(broker):
    for producer, epoch, sequence in ((-2, 0, 0), (-(1 << 63), 0, 0), (5, -1, 0), (5, 0, -1), (5, 0, -(1 << 31))):
        refused(broker, wire.batch(producer=producer, epoch=epoch, sequence=sequence), wire.INVALID_RECORD)


@case("sequences: gaps, repeats, epochs")
def _(broker):
    topic = broker.create("sequences")
    with broker.connect() as c:
        error, producer, epoch = messages.read_init_producer_id(c.call(wire.INIT_PRODUCER_ID, 3, messages.init_producer_id()))
    expect((error, epoch), (wire.NONE, 0), "InitProducerId")

    def batch(sequence, count=1, epoch=0):
        return wire.batch([b"%d" % (sequence + i) for i in range(count)], producer=producer, epoch=epoch, sequence=sequence)

    expect(accepted(broker, batch(0, 3), topic), 0)
    refused(broker, batch(4), wire.OUT_OF_ORDER_SEQUENCE_NUMBER, topic)
    refused(broker, batch(2), wire.OUT_OF_ORDER_SEQUENCE_NUMBER, topic)
    refused(broker, batch(wire.I32), wire.OUT_OF_ORDER_SEQUENCE_NUMBER, topic)
    expect(accepted(broker, batch(3, 2), topic), 3)
    for _ in range(3):
        expect(accepted(broker, batch(0, 3), topic), 0, "offset of a repeated batch")
        expect(accepted(broker, batch(3, 2), topic), 3, "offset of a repeated batch")
    expect(end_of(broker, topic), 5, "end of the log")
    refused(broker, batch(7, epoch=1), wire.OUT_OF_ORDER_SEQUENCE_NUMBER, topic)  # a new epoch begins at 0
    expect(accepted(broker, batch(0, epoch=1), topic), 5)
    refused(broker, batch(5), wire.INVALID_PRODUCER_EPOCH, topic)
    refused(broker, batch(0, 3), wire.INVALID_PRODUCER_EPOCH, topic)
    expect(accepted(broker, batch(1, epoch=1), topic), 6)
    expect(accepted(broker, wire.batch(producer=wire.I64, epoch=wire.I16, sequence=wire.I32), topic), 7)  # all at the largest
    expect(accepted(broker, wire.batch(producer=wire.I64, epoch=wire.I16, sequence=0), topic), 8, "offset after sequences wrapped")


@case("acks=0 with an error closes the connection")
def _(broker):
    for records, topic, error in ((wire.batch(crc_flip=1), TOPIC, "CORRUPT_MESSAGE"),
                                  (wire.batch(), "nobody-made-this", "UNKNOWN_TOPIC_OR_PARTITION")):
        counter = f'sluice_request_errors_total{{api="Produce",error="{error}"}}'
        broker.closes(wire.request(wire.PRODUCE, 8, 1, messages.produce([(topic, [(0, records)])], acks=0)), counter, "acks=0", error)


@case("acks=0 without an error has no answer, and keeps its place")
def _(broker):
    before = end_of(broker, TOPIC)
    with broker.connect() as c:
        for i in range(3):
            c.ask(wire.PRODUCE, 8, messages.produce([(TOPIC, [(0, wire.batch())])], acks=0))
        answer = messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce([(TOPIC, [(0, wire.batch())])])))
        expect(answer[0][1][0][1:3], (wire.NONE, before + 3))
        broker.expect_lines(c, 0)


@case("the same partition twice in one request")
def _(broker):
    before = end_of(broker, TOPIC)
    with broker.connect() as c:
        answer = messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce([(TOPIC, [(0, wire.batch([b"a"])), (0, wire.batch([b"b"]))])])))
    if len(answer[0][1]) != 2 or {p[1] for p in answer[0][1]} != {wire.NONE}:
        raise Failure(f"answer: {answer}")
    expect(end_of(broker, TOPIC), before + 2, "end of the log")


@case("timeouts at their extremes")
def _(broker):
    for timeout in (0, -1, -(1 << 31), wire.I32):
        with broker.connect() as c:
            answer = messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce([(TOPIC, [(0, wire.batch())])], timeout_ms=timeout)))
            expect(answer[0][1][0][1], wire.NONE, f"timeout {timeout}")


@case("an empty request")
def _(broker):
    for topics in ([], [(TOPIC, [])]):
        with broker.connect() as c:
            messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce(topics)))
            c.ask(wire.PRODUCE, 8, messages.produce(topics, acks=0))
            messages.read_produce(c.call(wire.PRODUCE, 8, messages.produce(topics)))


@case("v13: topic ids that nobody has")
def _(broker):
    for topic_id in (wire.ZERO_ID, b"\x11" * 16, b"\xff" * 16):
        body = wire.Out(True).text(None).i16(-1).i32(1000).count(1).raw(topic_id).count(1).i32(0).blob(wire.batch()).tags().tags().tags()

        def read(r):
            return r.array(lambda r: (r.raw(16), r.array(lambda r: (r.i32(), r.i16(), r.i64(), r.i64(), r.i64(),
                                                                     r.array(lambda r: (r.i32(), r.text(), r.tags())), r.text(), r.tags())), r.tags()))
        broker.refuses(wire.PRODUCE, 13, body, read, wire.UNKNOWN_TOPIC_ID, lambda a: a[0][1][0][1], logged=False)
