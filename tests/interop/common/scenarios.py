# SPDX-License-Identifier: Apache-2.0
"""What every Python client is asked to do, written once against the small interface `Client`.

Each client folder has an adapter that carries these calls out with that library's own means. Cases whose call a library
does not have are left out by its `lacks`. Topics and groups are per case, so that a failure does not spread.
"""

import random
import sys
import threading
import time

import cases
import corpus
from cases import DEADLINE_S, Failure, check, wait_for
from corpus import Record

PARTITIONS = 3
LONG_POLL_WAIT_MS = 15_000  # what the consumer allows the broker to wait
LONG_POLL_LIMIT_S = 5  # what a record produced meanwhile may take to arrive


class Reader:
    """A consumer. poll() returns [(partition, offset, Record)], waiting at most timeout_s."""

    def poll(self, timeout_s):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


class Member(Reader):
    """A consumer in a group; offsets are committed by commit() alone, those of all that poll() returned."""

    def assignment(self):
        raise NotImplementedError

    def commit(self):
        raise NotImplementedError


class Client:
    """What an adapter implements. Every call raises on failure and returns when the broker has answered."""

    codecs = ("none",)
    lacks = frozenset()

    def can_send(self, record):
        """False for the records of the corpus that the library itself refuses."""
        return True

    def create_topic(self, topic, partitions): ...
    def topics(self):
        """{topic: number of partitions}"""
    def delete_topic(self, topic): ...
    def grow_topic(self, topic, partitions): ...
    def produce(self, topic, records, codec="none", idempotent=False):
        """records: [(partition, Record)]. Returns their offsets, in the order given, once all are acknowledged (acks=all)."""
    def reader(self, topic, partitions, start, max_wait_ms=500):
        """A Reader of these partitions, `start` being "earliest" or "latest"."""
    def member(self, group, topic): ...
    def committed(self, group, topic, partitions):
        """{partition: committed offset, or None}"""
    def offset(self, topic, partition, at):
        """The offset at "earliest", "latest" or a timestamp in ms; None past the end."""
    def groups(self):
        """Names of the groups"""
    def describe_group(self, group):
        """(state in lower case, number of members)"""
    def delete_group(self, group): ...
    def delete_records(self, topic, partition, before): ...
    def close(self): ...


def collect(reader, count, deadline_s=DEADLINE_S):
    got = []
    end = time.monotonic() + deadline_s
    while len(got) < count:
        if time.monotonic() > end:
            raise Failure(f"consumed {len(got)} of {count} records within {deadline_s} s")
        got += reader.poll(0.5)
    return got


def numbered(first, count):
    return [(i % PARTITIONS, Record(b"%d" % i, b"value %d" % i)) for i in range(first, first + count)]


class BackgroundMember:
    """A member that polls on a thread of its own and commits what it got, as an application does."""

    def __init__(self, client, group, topic):
        self._stop = threading.Event()
        self._assignment = frozenset()
        self._values = set()
        self._error = None
        self._thread = threading.Thread(target=self._run, args=(client, group, topic), daemon=True)
        self._thread.start()

    def _run(self, client, group, topic):
        try:
            member = client.member(group, topic)
            try:
                self._poll(member)
            except Exception as error:  # told before it leaves, which may take its time
                self._error = error
            finally:
                member.close()
        except Exception as error:
            self._error = self._error or error

    def _poll(self, member):
        while not self._stop.is_set():
            # Not the same each time: kafka-python 3 drops a join that ends between two polls, and would do so for ever on a machine where joins
            # take as long as a poll.
            got = member.poll(random.uniform(0.2, 1.0))
            self._values |= {record.value for _, _, record in got}
            self._assignment = frozenset(member.assignment())
            if got:
                try:
                    member.commit()
                except Exception:  # a rebalance may have taken the partitions; their next owner reads on
                    pass

    def _raise(self):
        if self._error:
            raise Failure(f"member: {type(self._error).__name__}: {self._error}")

    @property
    def assignment(self):
        self._raise()
        return self._assignment

    @property
    def values(self):
        self._raise()
        return self._values

    def close(self):
        self._stop.set()
        self._thread.join(DEADLINE_S)
        check(not self._thread.is_alive(), "a member did not close")
        self._raise()


class Scenarios:
    def __init__(self, client, arguments):
        self.client = client
        self.prefix = arguments.prefix
        self.corpus = [record for record in arguments.corpus if client.can_send(record)]

    def cases(self):
        listed = [("topics", self.topics)]
        listed += [(f"codec-{codec}", lambda codec=codec: self.round_trip(codec, False)) for codec in self.client.codecs]
        listed += [
            ("idempotent", lambda: self.round_trip("none", True)),
            ("rebalance", self.rebalance),
            ("resume", self.resume),
            ("offsets", self.offsets),
            ("groups", self.groups),
            ("delete-group", self.delete_group),
            ("delete-records", self.delete_records),
            ("grow", self.grow),
            ("long-poll", self.long_poll),
            ("delete-topic", self.delete_topic),
        ]
        return [(name, function) for name, function in listed if name not in self.client.lacks]

    def _topic(self, case, partitions=PARTITIONS):
        topic = f"{self.prefix}-{case}"
        self.client.create_topic(topic, partitions)
        self._await_topic(topic, partitions)
        return topic

    def _await_topic(self, topic, partitions):
        """A broker may list a topic before its partitions answer; not every client tries again by itself."""

        def ready():
            try:
                return (self.client.topics().get(topic) == partitions
                        and all(self.client.offset(topic, p, "latest") == 0 for p in range(partitions)))
            except Exception as error:
                print(f"{topic}: {error!r}", file=sys.stderr)
                return False

        wait_for(f"{topic} to be ready", ready)

    def topics(self):
        topic = self._topic("topics")
        try:
            self.client.create_topic(topic, PARTITIONS)
        except Exception as error:
            check("exist" in f"{type(error).__name__} {error}".lower(), f"created twice, the error is {error!r}")
        else:
            raise Failure("a topic could be created twice")

    def round_trip(self, codec, idempotent):
        topic = self._topic(f"idempotent-{codec}" if idempotent else f"codec-{codec}")
        offsets = self.client.produce(
            topic, [(i % PARTITIONS, r) for i, r in enumerate(self.corpus)], codec=codec, idempotent=idempotent)
        check(offsets == [i // PARTITIONS for i in range(len(self.corpus))], f"acknowledged with offsets {offsets}")
        reader = self.client.reader(topic, range(PARTITIONS), "earliest")
        try:
            got = collect(reader, len(self.corpus))
        finally:
            reader.close()
        check(len(got) == len(self.corpus), f"consumed {len(got)} records, produced {len(self.corpus)}")
        for partition, offset, record in got:
            wanted = self.corpus[offset * PARTITIONS + partition]
            if corpus.encode(record) != corpus.encode(wanted):
                raise Failure(f"partition {partition} offset {offset}: {str(record)[:200]} instead of {str(wanted)[:200]}")
        check(len({(p, o) for p, o, _ in got}) == len(got), "an offset was delivered twice")

    def rebalance(self):
        topic, group = self._topic("rebalance"), f"{self.prefix}-rebalance"
        everything = frozenset(range(PARTITIONS))
        produced = []

        def produce(count):
            records = numbered(len(produced), count)
            self.client.produce(topic, records)
            produced.extend(record.value for _, record in records)

        first = BackgroundMember(self.client, group, topic)
        second = None
        try:
            wait_for("one member to own every partition", lambda: first.assignment == everything)
            produce(30)
            wait_for("one member to consume all", lambda: len(first.values) == 30)
            second = BackgroundMember(self.client, group, topic)
            wait_for("two members to share the partitions", lambda: first.assignment and second.assignment
                     and first.assignment | second.assignment == everything
                     and not first.assignment & second.assignment)
            produce(30)
            wait_for("two members to consume all", lambda: len(first.values | second.values) == 60)
            check(second.values, "the second member consumed nothing")
            first.close()
            wait_for("the member that stayed to own every partition", lambda: second.assignment == everything)
            produce(30)
            wait_for("the member that stayed to consume all", lambda: first.values | second.values == set(produced))
        finally:
            first.close()
            if second:
                second.close()

    def resume(self):
        topic, group = self._topic("resume"), f"{self.prefix}-resume"
        self.client.produce(topic, numbered(0, 90))
        member = self.client.member(group, topic)
        try:
            before = collect(member, 20)
            member.commit()
        finally:
            member.close()
        # What is committed is what was delivered, and a second life goes on exactly there.
        expected = {p: 0 for p in range(PARTITIONS)}
        for partition, offset, _ in before:
            expected[partition] = offset + 1
        committed = self.client.committed(group, topic, range(PARTITIONS))
        check({p: committed.get(p) or 0 for p in expected} == expected, f"committed {committed}, delivered up to {expected}")
        self.client.produce(topic, numbered(90, 30))
        member = self.client.member(group, topic)
        try:
            after = collect(member, 120 - len(before))
            member.commit()
        finally:
            member.close()
        positions = [(p, o) for p, o, _ in before + after]
        check(len(set(positions)) == len(positions), "a committed record was delivered again")
        check({r.value for _, _, r in before + after} == {b"value %d" % i for i in range(120)}, "a record was lost")
        check(self.client.committed(group, topic, range(PARTITIONS)) == {p: 40 for p in range(PARTITIONS)},
              "the last commit is not what OffsetFetch answers")

    def offsets(self):
        topic = self._topic("offsets", 1)
        base = (int(time.time()) - 60) * 1000
        check(self.client.offset(topic, 0, "latest") == 0, "latest of an empty topic is not 0")
        for i in range(10):
            # One batch per record, so that a search has something to find.
            self.client.produce(topic, [(0, Record(None, b"%d" % i, (), base + 1000 * i))])
        check(self.client.offset(topic, 0, "earliest") == 0, "earliest is not 0")
        check(self.client.offset(topic, 0, "latest") == 10, "latest is not 10")
        for at, wanted in ((base - 5000, 0), (base, 0), (base + 1, 1), (base + 4500, 5), (base + 9000, 9)):
            found = self.client.offset(topic, 0, at)
            check(found == wanted, f"by timestamp +{at - base} ms: {found} instead of {wanted}")
        # Some clients turn "none" into the end of the partition.
        past = self.client.offset(topic, 0, base + 9001)
        check(past in (None, -1, 10), f"a timestamp past the end gives {past}")

    def groups(self):
        topic, group = self._topic("groups"), f"{self.prefix}-groups"
        self.client.produce(topic, numbered(0, 3))
        member = self.client.member(group, topic)
        try:
            collect(member, 3)
            member.commit()
            check(group in self.client.groups(), "the group is not listed")
            state, members = self.client.describe_group(group)
            check((state, members) == ("stable", 1), f"described as {state} with {members} members")
        finally:
            member.close()
        wait_for("the group to be empty", lambda: self.client.describe_group(group) == ("empty", 0))

    def delete_group(self):
        topic, group = self._topic("delete-group"), f"{self.prefix}-delete-group"
        self.client.produce(topic, numbered(0, 3))
        member = self.client.member(group, topic)
        try:
            collect(member, 3)
            member.commit()
            try:
                self.client.delete_group(group)
            except Exception:
                pass
            else:
                raise Failure("a group with a member could be deleted")
        finally:
            member.close()
        wait_for("the group to be empty", lambda: self.client.describe_group(group) == ("empty", 0))
        self.client.delete_group(group)
        wait_for("the group to be gone", lambda: group not in self.client.groups())

    def delete_records(self):
        topic = self._topic("delete-records")
        self.client.produce(topic, [(0, Record(None, b"%d" % i)) for i in range(10)])
        self.client.delete_records(topic, 0, 4)
        check(self.client.offset(topic, 0, "earliest") == 4, "earliest is not where records were deleted to")
        check(self.client.offset(topic, 0, "latest") == 10, "latest moved")
        reader = self.client.reader(topic, [0], "earliest")
        try:
            got = collect(reader, 6)
        finally:
            reader.close()
        check([r.value for _, _, r in got] == [b"%d" % i for i in range(4, 10)], f"consumed {got}")
        check(self.client.produce(topic, [(0, Record(None, b"more"))]) == [10], "producing does not go on after it")

    def grow(self):
        topic = self._topic("grow")
        self.client.grow_topic(topic, 5)
        wait_for("five partitions", lambda: self.client.topics().get(topic) == 5)
        self.client.produce(topic, [(4, Record(None, b"in the new one"))])
        reader = self.client.reader(topic, [4], "earliest")
        try:
            check(collect(reader, 1)[0][2].value == b"in the new one", "the new partition gave something else")
        finally:
            reader.close()
        try:
            self.client.grow_topic(topic, 2)
        except Exception:
            return
        raise Failure("a topic could be made smaller")

    def long_poll(self):
        topic = self._topic("long-poll", 1)
        self.client.produce(topic, [(0, Record(None, b"first"))])
        reader = self.client.reader(topic, [0], "earliest", max_wait_ms=LONG_POLL_WAIT_MS)
        try:
            check(collect(reader, 1)[0][2].value == b"first", "the first record gave something else")
            # Having read what is there, the reader leaves a fetch waiting at the broker.
            check(reader.poll(0.5) == [], "a record arrived twice")
            self.client.produce(topic, [(0, Record(None, b"awaited"))])
            produced = time.monotonic()
            got = collect(reader, 1)
            elapsed = time.monotonic() - produced
        finally:
            reader.close()
        check([r.value for _, _, r in got] == [b"awaited"], f"consumed {got}")
        check(elapsed < LONG_POLL_LIMIT_S, f"a waiting fetch got its record after {elapsed:.1f} s")

    def delete_topic(self):
        topic = self._topic("delete-topic")
        self.client.produce(topic, numbered(0, 3))
        self.client.delete_topic(topic)
        wait_for("the topic to be gone", lambda: topic not in self.client.topics())
        # A new topic of the same name starts empty.
        self.client.create_topic(topic, 1)
        self._await_topic(topic, 1)


def main(make_client):
    arguments = cases.Arguments()
    client = make_client(arguments)
    try:
        return cases.run(Scenarios(client, arguments).cases(), arguments.only)
    finally:
        client.close()
