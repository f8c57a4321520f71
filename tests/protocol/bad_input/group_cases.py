# SPDX-License-Identifier: Apache-2.0
"""Consumer groups: strangers, wrong generations, members that disagree, offsets that nobody may commit."""

import messages
import wire
from broker import expect

TITLE = "Groups"
CASES = []
TOPIC = "group-cases"


def case(name):
    return lambda run: CASES.append((name, run))


def first_error(answer):
    return answer[0]


def join(connection, group, **options):
    """Joins as one that has been told its id. Gives (generation, member)."""
    error, _, _, member = messages.read_join_group(connection.call(wire.JOIN_GROUP, 5, messages.join_group(group, **options)))
    expect((error, bool(member)), (wire.MEMBER_ID_REQUIRED, True), "first join")
    error, generation, _, joined = messages.read_join_group(connection.call(wire.JOIN_GROUP, 5, messages.join_group(group, member, **options)))
    expect((error, joined), (wire.NONE, member), "second join")
    return generation, member


def settle(connection, group, generation, member):
    error, assignment = messages.read_sync_group(connection.call(wire.SYNC_GROUP, 3, messages.sync_group(group, generation, member, [(member, b"all")])))
    expect((error, assignment), (wire.NONE, b"all"), "sync")


def commit(connection, group, generation=-1, member="", offset=5, metadata="", topic=TOPIC, partition=0, instance=None):
    answer = messages.read_offset_commit(connection.call(wire.OFFSET_COMMIT, 7, messages.offset_commit(
        group, generation, member, [(topic, [(partition, offset, metadata)])], instance)))
    return answer[0][1][0][1]


def fetched(connection, group, topic=TOPIC, partition=0):
    topics, error = messages.read_offset_fetch(connection.call(wire.OFFSET_FETCH, 5, messages.offset_fetch(group, [(topic, [partition])])))
    expect(error, wire.NONE, "OffsetFetch")
    return topics[0][1][0]


@case("the topic for it")
def _(broker):
    broker.create(TOPIC, 2)


@case("JoinGroup: the empty group")
def _(broker):
    broker.refuses(wire.JOIN_GROUP, 5, messages.join_group(""), messages.read_join_group, wire.INVALID_GROUP_ID, first_error)


@case("JoinGroup: session timeouts out of bounds")
def _(broker):
    for timeout in (0, -1, 5_999, 1_800_001, wire.I32, -(1 << 31)):
        broker.refuses(wire.JOIN_GROUP, 5, messages.join_group("g-timeouts", session_ms=timeout), messages.read_join_group,
                       wire.INVALID_SESSION_TIMEOUT, first_error)


@case("JoinGroup: rebalance timeouts at their extremes")
def _(broker):
    for i, timeout in enumerate((0, -1, wire.I32, -(1 << 31))):
        with broker.connect() as c:
            generation, member = join(c, f"g-rebalance-{i}", rebalance_ms=timeout)
            error, left = messages.read_leave_group(c.call(wire.LEAVE_GROUP, 3, messages.leave_group(f"g-rebalance-{i}", [(member, None)])))
            # Who gives the others no time to ask for their assignments has none either, and may be out already.
            expect((error, left[0] in ([wire.NONE] if timeout > 0 else [wire.NONE, wire.UNKNOWN_MEMBER_ID])), (wire.NONE, True), "leave")


@case("JoinGroup: a member that nobody knows")
def _(broker):
    broker.refuses(wire.JOIN_GROUP, 5, messages.join_group("g-nobody", "stranger"), messages.read_join_group, wire.UNKNOWN_MEMBER_ID,
                   first_error, logged=False)


@case("JoinGroup: no protocols, no protocol type")
def _(broker):
    for options in ({"protocols": ()}, {"protocol_type": ""}):
        broker.refuses(wire.JOIN_GROUP, 5, messages.join_group("g-none", **options), messages.read_join_group,
                       wire.INCONSISTENT_GROUP_PROTOCOL, first_error)


@case("a member among strangers: protocols, generations, sync, heartbeats, commits")
def _(broker):
    group = "g-member"
    with broker.connect() as c:
        generation, member = join(c, group)
        settle(c, group, generation, member)

        def refused(api, body, read, error, pick, logged=False):
            broker.refuses(api, {wire.JOIN_GROUP: 5, wire.OFFSET_COMMIT: 7}.get(api, 3), body, read, error, pick, logged)
        for options in ({"protocols": (("sticky", b""),)}, {"protocol_type": "connect"}, {"protocols": ()}):
            refused(wire.JOIN_GROUP, messages.join_group(group, **options), messages.read_join_group, wire.INCONSISTENT_GROUP_PROTOCOL,
                    first_error, logged=True)
        refused(wire.JOIN_GROUP, messages.join_group(group, "stranger"), messages.read_join_group, wire.UNKNOWN_MEMBER_ID, first_error)
        refused(wire.JOIN_GROUP, messages.join_group(group, member, instance="nobody"), messages.read_join_group, wire.UNKNOWN_MEMBER_ID,
                first_error)
        refused(wire.SYNC_GROUP, messages.sync_group(group, generation, "stranger"), messages.read_sync_group, wire.UNKNOWN_MEMBER_ID, first_error)
        refused(wire.HEARTBEAT, messages.heartbeat(group, generation, "stranger"), messages.read_error, wire.UNKNOWN_MEMBER_ID, lambda a: a)
        for wrong in (generation + 1, generation - 1, -1, wire.I32, -(1 << 31)):
            refused(wire.SYNC_GROUP, messages.sync_group(group, wrong, member), messages.read_sync_group, wire.ILLEGAL_GENERATION, first_error)
            refused(wire.HEARTBEAT, messages.heartbeat(group, wrong, member), messages.read_error, wire.ILLEGAL_GENERATION, lambda a: a)
            refused(wire.OFFSET_COMMIT, messages.offset_commit(group, wrong, member, [(TOPIC, [(0, 1, "")])]), messages.read_offset_commit,
                    wire.ILLEGAL_GENERATION, lambda a: a[0][1][0][1])
        for stranger, its_generation in (("stranger", generation), ("", -1), ("", generation)):
            refused(wire.OFFSET_COMMIT, messages.offset_commit(group, its_generation, stranger, [(TOPIC, [(0, 1, "")])]),
                    messages.read_offset_commit, wire.UNKNOWN_MEMBER_ID, lambda a: a[0][1][0][1])
        expect(fetched(c, group)[1], -1, "committed by strangers")
        # Through all this it was left in peace.
        expect(messages.read_error(c.call(wire.HEARTBEAT, 3, messages.heartbeat(group, generation, member))), wire.NONE, "heartbeat")
        expect(commit(c, group, generation, member, 7), wire.NONE, "commit")
        expect(fetched(c, group)[1], 7, "committed offset")


@case("heartbeat, sync and commit while others join")
def _(broker):
    group = "g-rebalancing"
    with broker.connect() as c, broker.connect() as other:
        generation, member = join(c, group)
        settle(c, group, generation, member)
        error, _, _, second = messages.read_join_group(other.call(wire.JOIN_GROUP, 5, messages.join_group(group)))
        expect(error, wire.MEMBER_ID_REQUIRED)
        waiting = other.ask(wire.JOIN_GROUP, 5, messages.join_group(group, second))
        while (error := messages.read_error(c.call(wire.HEARTBEAT, 3, messages.heartbeat(group, generation, member)))) == wire.NONE:
            pass  # until the other's join has come
        expect(error, wire.REBALANCE_IN_PROGRESS, "heartbeat")
        expect(messages.read_sync_group(c.call(wire.SYNC_GROUP, 3, messages.sync_group(group, generation, member)))[0], wire.REBALANCE_IN_PROGRESS,
               "sync")
        expect(commit(c, group, generation, member, 3), wire.NONE, "commit of the generation that ends")
        joined = messages.read_join_group(c.call(wire.JOIN_GROUP, 5, messages.join_group(group, member)))
        expect((joined[0], joined[1]), (wire.NONE, generation + 1), "join again")
        expect(messages.read_join_group(other.answer(waiting, wire.JOIN_GROUP, 5))[:2], (wire.NONE, generation + 1), "the other's join")
        expect(commit(c, group, generation + 1, member), wire.REBALANCE_IN_PROGRESS, "commit before the assignment")


@case("a static member that comes twice: the first is fenced")
def _(broker):
    group, instance = "g-static", "instance"
    with broker.connect() as c, broker.connect() as again:
        error, generation, _, old = messages.read_join_group(c.call(wire.JOIN_GROUP, 5, messages.join_group(group, instance=instance)))
        expect(error, wire.NONE, "join")
        expect(messages.read_sync_group(c.call(wire.SYNC_GROUP, 3, messages.sync_group(group, generation, old, [(old, b"all")], instance)))[0],
               wire.NONE, "sync")
        error, _, _, new = messages.read_join_group(again.call(wire.JOIN_GROUP, 5, messages.join_group(group, instance=instance)))
        expect((error, new != old), (wire.NONE, True), "join of the same instance")
        for api, version, body, read in (
                (wire.HEARTBEAT, 3, messages.heartbeat(group, generation, old, instance), messages.read_error),
                (wire.SYNC_GROUP, 3, messages.sync_group(group, generation, old, (), instance), lambda r: messages.read_sync_group(r)[0]),
                (wire.OFFSET_COMMIT, 7, messages.offset_commit(group, generation, old, [(TOPIC, [(0, 1, "")])], instance),
                 lambda r: messages.read_offset_commit(r)[0][1][0][1]),
                (wire.LEAVE_GROUP, 3, messages.leave_group(group, [(old, instance)]), lambda r: messages.read_leave_group(r)[1][0])):
            broker.refuses(api, version, body, read, wire.FENCED_INSTANCE_ID, lambda a: a, logged=False)
        expect(messages.read_leave_group(c.call(wire.LEAVE_GROUP, 3, messages.leave_group(group, [("", instance)]))), (wire.NONE, [wire.NONE]))


@case("Heartbeat, SyncGroup, LeaveGroup: groups that are not there")
def _(broker):
    for group, error, logged in (("g-nowhere", wire.UNKNOWN_MEMBER_ID, False), ("", wire.INVALID_GROUP_ID, True)):
        broker.refuses(wire.HEARTBEAT, 3, messages.heartbeat(group, 1, "m"), messages.read_error, error, lambda a: a, logged)
        broker.refuses(wire.SYNC_GROUP, 3, messages.sync_group(group, 1, "m"), messages.read_sync_group, error, first_error, logged)
    broker.refuses(wire.LEAVE_GROUP, 3, messages.leave_group("g-nowhere", [("m", None), ("", "i")]), messages.read_leave_group,
                   wire.UNKNOWN_MEMBER_ID, lambda a: a[1][0], logged=False, errors=2)
    broker.refuses(wire.LEAVE_GROUP, 3, messages.leave_group("", [("m", None)]), messages.read_leave_group, wire.INVALID_GROUP_ID, first_error)


@case("OffsetCommit: a group that is not there, with a generation")
def _(broker):
    for generation in (0, 1, wire.I32):
        broker.refuses(wire.OFFSET_COMMIT, 7, messages.offset_commit("g-nowhere", generation, "m", [(TOPIC, [(0, 1, "")])]),
                       messages.read_offset_commit, wire.ILLEGAL_GENERATION, lambda a: a[0][1][0][1], logged=False)


@case("OffsetCommit: topics and partitions that are not there")
def _(broker):
    for topic, partition in (("nobody-made-this", 0), (TOPIC, 2), (TOPIC, -1), (TOPIC, wire.I32), ("__consumer_offsets", 0), ("", 0), ("a b", 0)):
        broker.refuses(wire.OFFSET_COMMIT, 7, messages.offset_commit("g-simple", -1, "", [(topic, [(partition, 1, "")])]),
                       messages.read_offset_commit, wire.UNKNOWN_TOPIC_OR_PARTITION, lambda a: a[0][1][0][1], logged=False)


@case("OffsetCommit: metadata of absurd size, beside one that fits")
def _(broker):
    for size in (4_097, wire.I16):
        answer = broker.refuses(wire.OFFSET_COMMIT, 7, messages.offset_commit("g-metadata", -1, "", [(TOPIC, [(0, 1, "m" * size), (1, 2, "m" * 4_096)])]),
                                messages.read_offset_commit, wire.OFFSET_METADATA_TOO_LARGE, lambda a: a[0][1][0][1])
        expect(answer[0][1][1][1], wire.NONE, "the other partition")
    with broker.connect() as c:
        expect(fetched(c, "g-metadata")[1], -1, "offset of what was refused")
        expect(fetched(c, "g-metadata", partition=1)[1:3], (2, "m" * 4_096), "offset and metadata of the other")


@case("OffsetCommit: offsets at their extremes, and metadata that is null")
def _(broker):
    with broker.connect() as c:
        for offset in (0, wire.I64):
            expect(commit(c, "g-offsets", offset=offset, metadata=None), wire.NONE)
            expect(fetched(c, "g-offsets")[1:], (offset, "", wire.NONE))


@case("OffsetFetch: groups, topics and partitions that are not there")
def _(broker):
    with broker.connect() as c:
        for group, topic, partition in (("g-nowhere", TOPIC, 0), ("", TOPIC, 0), ("g-offsets", "nobody-made-this", 0), ("g-offsets", TOPIC, -1),
                                        ("g-offsets", TOPIC, wire.I32), ("g-offsets", "", 0)):
            expect(fetched(c, group, topic, partition), (partition, -1, "", wire.NONE))
        expect(messages.read_offset_fetch(c.call(wire.OFFSET_FETCH, 5, messages.offset_fetch("g-nowhere", None))), ([], wire.NONE))


@case("DeleteGroups and OffsetDelete: what is not there, what is in use")
def _(broker):
    for group in ("g-nowhere", ""):
        broker.refuses(wire.DELETE_GROUPS, 1, wire.Out().array([group], wire.Out.text), messages.read_names, wire.GROUP_ID_NOT_FOUND,
                       lambda a: a[0][1], logged=False)
    with broker.connect() as c:
        generation, member = join(c, "g-in-use")
        settle(c, "g-in-use", generation, member)
        broker.refuses(wire.DELETE_GROUPS, 1, wire.Out().array(["g-in-use"], wire.Out.text), messages.read_names, wire.NON_EMPTY_GROUP,
                       lambda a: a[0][1], logged=False)
    for group, error, logged in (("g-nowhere", wire.GROUP_ID_NOT_FOUND, False), ("", wire.INVALID_GROUP_ID, True)):
        body = wire.Out().text(group).array([(TOPIC, [0])], lambda o, t: o.text(t[0]).array(t[1]))
        broker.refuses(wire.OFFSET_DELETE, 0, body, lambda r: r.i16(), error, lambda a: a, logged)


@case("DescribeGroups: what is not there is dead")
def _(broker):
    with broker.connect() as c:
        r = c.call(wire.DESCRIBE_GROUPS, 4, wire.Out().array(["g-nowhere", ""], wire.Out.text).i8(0))
        r.i32()
        states = r.array(lambda r: (r.i16(), r.text(), r.text(), r.text(), r.text(), r.array(lambda r: r.raw(0)), r.i32())[:3])
        expect(states, [(wire.NONE, "g-nowhere", "Dead"), (wire.NONE, "", "Dead")])


@case("names of groups and members at their extremes")
def _(broker):
    for group in ("g" * wire.I16, b"\xff\xfe\xfd", "a\0b\n", "\N{SNOWMAN}" * 1_000):
        with broker.connect() as c:
            generation, member = join(c, group)
            settle(c, group, generation, member)
            expect(commit(c, group, generation, member), wire.NONE, "commit")
            expect(messages.read_leave_group(c.call(wire.LEAVE_GROUP, 3, messages.leave_group(group, [(member, None)]))), (wire.NONE, [wire.NONE]))
            expect(messages.read_names(c.call(wire.DELETE_GROUPS, 1, wire.Out().array([group], wire.Out.text)))[0][1], wire.NONE, "deletion")


@case("a member whose client goes without a word holds nobody up for longer than it said")
def _(broker):
    group = "g-gone"
    with broker.connect() as c:
        generation, member = join(c, group, session_ms=6_000, rebalance_ms=3_000)
        settle(c, group, generation, member)
    with broker.connect() as other:
        error, _, _, second = messages.read_join_group(other.call(wire.JOIN_GROUP, 5, messages.join_group(group, rebalance_ms=3_000)))
        expect(error, wire.MEMBER_ID_REQUIRED)
        joined = messages.read_join_group(other.call(wire.JOIN_GROUP, 5, messages.join_group(group, second, rebalance_ms=3_000)))
        expect(joined[:3], (wire.NONE, generation + 1, second), "join once the other's rebalance timeout is over")
