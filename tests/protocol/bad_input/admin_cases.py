# SPDX-License-Identifier: Apache-2.0
"""Topics, settings and ids: names, numbers and combinations that are refused."""

import messages
import wire
from broker import Failure, expect

TITLE = "Administration"
CASES = []

ILLEGAL_NAMES = ("", ".", "..", "a b", "a/b", "a\n", "\N{SNOWMAN}", "a" * 250, b"\xff\xfe", "a\0b", "a" * 30_000)
LEGAL_NAMES = ("a", "...", "a.b_c-D9", "a" * 249)


def case(name):
    return lambda run: CASES.append((name, run))


def create_refused(broker, error, name="refused", partitions=1, factor=1, assignments=(), configs=(), says=""):
    answer = broker.refuses(wire.CREATE_TOPICS, 4, messages.create_topics([(name, partitions, factor, assignments, configs)]),
                            messages.read_named_errors, error, lambda a: a[0][1], logged=error != wire.TOPIC_ALREADY_EXISTS)
    message = answer[0][2]
    if not message or says not in message:
        raise Failure(f"the message should say \"{says}\": {message!r}")
    if isinstance(name, str) and name:
        expect(exists(broker, name), False, "the refused topic is there")


def exists(broker, name):
    with broker.connect() as c:
        return messages.read_metadata(c.call(wire.METADATA, 8, messages.metadata([name])))[0][0] == wire.NONE


@case("Metadata with illegal names")
def _(broker):
    for create in (False, True):
        for name in ILLEGAL_NAMES:
            broker.refuses(wire.METADATA, 8, messages.metadata([name], create), messages.read_metadata, wire.INVALID_TOPIC_EXCEPTION,
                           lambda a: a[0][0])
    for name in LEGAL_NAMES:
        broker.refuses(wire.METADATA, 8, messages.metadata([name]), messages.read_metadata, wire.UNKNOWN_TOPIC_OR_PARTITION,
                       lambda a: a[0][0], logged=False)


@case("Metadata with legal and illegal names together, and one of them many times")
def _(broker):
    broker.line_due()
    with broker.connect() as c:
        answer = messages.read_metadata(c.call(wire.METADATA, 8, messages.metadata(["healthy", "a b", "healthy"] + ["healthy"] * 50_000, True)))
        expect(sorted(answer), [(wire.NONE, "healthy", 1), (wire.INVALID_TOPIC_EXCEPTION, "a b", 0)])


@case("Metadata does not make or show the broker's own topics")
def _(broker):
    for name in ("__consumer_offsets", "__cluster_metadata", "__transaction_state"):
        broker.refuses(wire.METADATA, 8, messages.metadata([name], True), messages.read_metadata, wire.UNKNOWN_TOPIC_OR_PARTITION,
                       lambda a: a[0][0], logged=False)


@case("Metadata with ids that nobody has, and null names")
def _(broker):
    for topic_id in (b"\x11" * 16, b"\xff" * 16):
        broker.refuses(wire.METADATA, 12, messages.metadata_of([(topic_id, None)]), messages.read_metadata_of, wire.UNKNOWN_TOPIC_ID,
                       lambda a: a[0][0], logged=False)
    broker.refuses(wire.METADATA, 12, messages.metadata_of([(wire.ZERO_ID, None)]), messages.read_metadata_of, wire.INVALID_TOPIC_EXCEPTION,
                   lambda a: a[0][0])


@case("CreateTopics: illegal names")
def _(broker):
    for name in ILLEGAL_NAMES:
        create_refused(broker, wire.INVALID_TOPIC_EXCEPTION, name, says="invalid")
    for name in ("__consumer_offsets", "__cluster_metadata"):
        create_refused(broker, wire.INVALID_TOPIC_EXCEPTION, name)


@case("CreateTopics: numbers of partitions")
def _(broker):
    for partitions in (0, -2, -(1 << 31)):
        create_refused(broker, wire.INVALID_PARTITIONS, partitions=partitions)
    for partitions in (10_001, wire.I32):
        create_refused(broker, wire.POLICY_VIOLATION, partitions=partitions, says="partitions per request")
    answer = broker.refuses(wire.CREATE_TOPICS, 4, messages.create_topics([(f"many-{i}", 1000, 1, (), ()) for i in range(11)]),
                            messages.read_named_errors, wire.POLICY_VIOLATION, lambda a: a[0][1], errors=11)
    expect({topic[1] for topic in answer}, {wire.POLICY_VIOLATION}, "every topic of the request")


@case("CreateTopics: replication factors")
def _(broker):
    for factor in (0, 2, 3, -2, wire.I16, -(1 << 15)):
        create_refused(broker, wire.INVALID_REPLICATION_FACTOR, factor=factor)


@case("CreateTopics: assignments")
def _(broker):
    for assignments in ([(0, [])], [(0, [1, 1])], [(0, [2])], [(0, [-1])], [(1, [1])], [(-1, [1])], [(0, [1]), (0, [1])],
                        [(0, [1]), (2, [1])], [(wire.I32, [1])]):
        create_refused(broker, wire.INVALID_REPLICA_ASSIGNMENT, partitions=-1, factor=-1, assignments=assignments)
    create_refused(broker, wire.INVALID_REQUEST, partitions=1, factor=-1, assignments=[(0, [1])], says="-1")
    create_refused(broker, wire.INVALID_REQUEST, partitions=-1, factor=1, assignments=[(0, [1])], says="-1")


@case("CreateTopics: settings, each refused with a sentence that names it")
def _(broker):
    for name, value in (
            ("no.such.setting", "1"), ("", "1"), ("retention.ms ", "1"), ("RETENTION.MS", "1"),
            ("retention.ms", "soon"), ("retention.ms", ""), ("retention.ms", "-2"), ("retention.ms", "9223372036854775808"),
            ("retention.ms", "1.5"), ("retention.ms", " 1"), ("retention.ms", "0x10"), ("retention.ms", "1\n"), ("retention.bytes", "-2"),
            ("max.message.bytes", "-1"), ("max.message.bytes", "2147483648"), ("segment.bytes", "0"), ("segment.ms", "0"),
            ("cleanup.policy", "compact"), ("cleanup.policy", "delete,compact"), ("cleanup.policy", "x"), ("compression.type", "zstd"),
            ("message.timestamp.type", "createtime"), ("min.cleanable.dirty.ratio", "2"), ("min.cleanable.dirty.ratio", "nan"),
            ("preallocate", "yes"), ("remote.storage.enable", "true"), ("retention.ms", None)):
        create_refused(broker, wire.INVALID_CONFIG, configs=[(name, value)], says=name)
    create_refused(broker, wire.INVALID_CONFIG, configs=[("retention.ms", "1"), ("retention.ms", "2")], says="retention.ms")
    create_refused(broker, wire.INVALID_CONFIG, configs=[("retention.ms", "1"), ("no.such.setting", "2")], says="no.such.setting")


@case("CreateTopics: one name twice, beside a good one")
def _(broker):
    topics = [("twice", 1, 1, (), ()), ("once", 1, 1, (), ()), ("twice", 2, 1, (), ())]
    answer = broker.refuses(wire.CREATE_TOPICS, 4, messages.create_topics(topics), messages.read_named_errors, wire.INVALID_REQUEST,
                            lambda a: a[0][1], errors=2)
    expect([(name, error) for name, error, _ in answer],
           [("twice", wire.INVALID_REQUEST), ("once", wire.NONE), ("twice", wire.INVALID_REQUEST)])
    expect((exists(broker, "twice"), exists(broker, "once")), (False, True), "which are there")
    broker.refuses(wire.CREATE_TOPICS, 4, messages.create_topics([("once", 1, 1, (), ())]), messages.read_named_errors,
                   wire.TOPIC_ALREADY_EXISTS, lambda a: a[0][1], logged=False)


@case("CreateTopics: validate_only makes nothing")
def _(broker):
    with broker.connect() as c:
        answer = messages.read_named_errors(c.call(wire.CREATE_TOPICS, 4, messages.create_topics([("only-validated", 5, 1, (), ())], True)))
        expect(answer[0][1], wire.NONE)
    broker.refuses(wire.CREATE_TOPICS, 4, messages.create_topics([("only-validated", 0, 1, (), ())], True), messages.read_named_errors,
                   wire.INVALID_PARTITIONS, lambda a: a[0][1])
    expect(exists(broker, "only-validated"), False, "the topic is there")


@case("CreatePartitions: fewer, as many, absurdly many, and wrong assignments")
def _(broker):
    broker.create("partitions", 3)

    def refused(error, count, assignments=None, name="partitions", logged=True, times=1):
        broker.refuses(wire.CREATE_PARTITIONS, 1, messages.create_partitions([(name, count, assignments)] * times),
                       messages.read_named_errors, error, lambda a: a[0][1], logged, errors=times)
    for count in (3, 2, 0, -1, -(1 << 31), wire.I32):
        refused(wire.INVALID_PARTITIONS, count)
    for assignments in ([], [[1], [1]], [[2]], [[]], [[1, 1]]):
        refused(wire.INVALID_REPLICA_ASSIGNMENT, 4, assignments)
    refused(wire.UNKNOWN_TOPIC_OR_PARTITION, 4, name="nobody-made-this", logged=False)
    refused(wire.UNKNOWN_TOPIC_OR_PARTITION, 100, name="__consumer_offsets", logged=False)
    refused(wire.INVALID_REQUEST, 4, times=2)
    with broker.connect() as c:
        c.call(wire.CREATE_PARTITIONS, 1, messages.create_partitions([("partitions", 5, None)], True))
        expect(messages.read_metadata(c.call(wire.METADATA, 8, messages.metadata(["partitions"])))[0][2], 3, "partitions, after validate_only")


@case("DeleteTopics: what is not there, what is named twice")
def _(broker):
    for name in ("nobody-made-this", "", "a b", "__consumer_offsets", b"\xff"):
        broker.refuses(wire.DELETE_TOPICS, 3, messages.delete_topics([name]), messages.read_names, wire.UNKNOWN_TOPIC_OR_PARTITION,
                       lambda a: a[0][1], logged=False)
    broker.create("deleted-twice")
    broker.refuses(wire.DELETE_TOPICS, 3, messages.delete_topics(["deleted-twice", "deleted-twice"]), messages.read_names,
                   wire.INVALID_REQUEST, lambda a: a[0][1], errors=2)
    expect(exists(broker, "deleted-twice"), True, "the topic is there")
    broker.refuses(wire.DELETE_TOPICS, 6, messages.delete_topics_by_id([(None, b"\x11" * 16)]), messages.read_delete_topics_by_id,
                   wire.UNKNOWN_TOPIC_ID, lambda a: a[0][1], logged=False)
    for name, topic_id in ((None, wire.ZERO_ID), ("deleted-twice", b"\x11" * 16)):
        broker.refuses(wire.DELETE_TOPICS, 6, messages.delete_topics_by_id([(name, topic_id)]), messages.read_delete_topics_by_id,
                       wire.INVALID_REQUEST, lambda a: a[0][1])


@case("DescribeConfigs: resources that are none")
def _(broker):
    def refused(kind, name, error, logged=True):
        broker.refuses(wire.DESCRIBE_CONFIGS, 3, messages.describe_configs([(kind, name, None)]), messages.read_describe_configs, error,
                       lambda a: a[0][0], logged)
    for kind in (0, 1, 3, 5, 99, -1, wire.I8, -128):
        refused(kind, "x", wire.INVALID_REQUEST)
    for name in ("2", "-1", "x", "1x", " 1", "99999999999999999999"):
        refused(4, name, wire.INVALID_REQUEST)
    refused(2, "nobody-made-this", wire.UNKNOWN_TOPIC_OR_PARTITION, logged=False)
    refused(2, "__consumer_offsets", wire.UNKNOWN_TOPIC_OR_PARTITION, logged=False)
    for name in ("", "a b", ".."):
        refused(2, name, wire.INVALID_TOPIC_EXCEPTION)


@case("DescribeConfigs: unknown keys, and one resource very often")
def _(broker):
    with broker.connect() as c:
        answer = messages.read_describe_configs(c.call(wire.DESCRIBE_CONFIGS, 3, messages.describe_configs(
            [(2, "healthy", ["no.such.setting", "", "retention.ms"])])))
        expect((answer[0][0], sorted(answer[0][3])), (wire.NONE, ["retention.ms"]))
        answer = messages.read_describe_configs(c.call(wire.DESCRIBE_CONFIGS, 3, messages.describe_configs([(2, "healthy", None)] * 50_000)))
        expect(len(answer), 1, "answers to one question asked often")


@case("InitProducerId: transactions, and half a producer")
def _(broker):
    def refused(error, *arguments, **options):
        answer = broker.refuses(wire.INIT_PRODUCER_ID, 3, messages.init_producer_id(*arguments, **options), messages.read_init_producer_id,
                                error, lambda a: a[0])
        expect(answer[1:], (-1, -1), "producer id and epoch")
    refused(wire.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transaction")
    refused(wire.INVALID_REQUEST, "")
    refused(wire.INVALID_REQUEST, producer=5)
    refused(wire.INVALID_REQUEST, epoch=5)
    for timeout in (0, -1, wire.I32, -(1 << 31)):
        with broker.connect() as c:
            expect(messages.read_init_producer_id(c.call(wire.INIT_PRODUCER_ID, 3, messages.init_producer_id(timeout_ms=timeout)))[0], wire.NONE)


@case("FindCoordinator: of what is not offered")
def _(broker):
    for kind in (1, 2, 3, wire.I8, -1):
        broker.refuses(wire.FIND_COORDINATOR, 2, wire.Out().text("key").i8(kind), messages.read_find_coordinator, wire.INVALID_REQUEST,
                       lambda a: a[0])


@case("DescribeTopicPartitions: limits and cursors at their extremes")
def _(broker):
    def ask(limit, cursor):
        body = wire.Out(True).array(["healthy"], lambda o, name: o.text(name).tags()).i32(limit)
        body = (body.i8(-1) if cursor is None else body.i8(1).text(cursor[0]).i32(cursor[1]).tags()).tags()

        def partition(r):
            r.i16(), r.i32(), r.i32(), r.i32()
            for _ in range(5):
                r.array()
            r.tags()

        def topic(r):
            error, name, _, _ = r.i16(), r.text(), r.raw(16), r.i8()
            partitions = r.array(partition)
            r.i32(), r.tags()
            return error, name, len(partitions)
        with broker.connect() as c:
            r = c.call(wire.DESCRIBE_TOPIC_PARTITIONS, 0, body)
            r.i32()
            return r.array(topic)
    for limit in (0, -1, -(1 << 31), wire.I32):
        expect(ask(limit, None), [(wire.NONE, "healthy", 1)], f"limit {limit}")
    expect(ask(10, ("healthy", wire.I32)), [(wire.NONE, "healthy", 0)], "cursor beyond the end")
    expect(ask(10, ("zzz", 0)), [], "cursor beyond all topics")
    broker.line_due()
    expect(ask(10, ("healthy", -1)), [(wire.INVALID_REQUEST, "healthy", 0)], "cursor before the start")
