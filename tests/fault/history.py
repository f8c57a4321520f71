# SPDX-License-Identifier: Apache-2.0
"""What clients saw while a broker was killed again and again, and the check of it.

A record is known by who sent it and its number: each producer numbers its records per partition from 0, and keeps them in
that order. The history holds what was sent and acknowledged, what the group delivered, commits and what OffsetFetch
answered, in the order of their answers, and the whole log as read at the end. verify() is pure; broken_histories() shows
that it notices what it is there for.
"""

import copy
from collections import defaultdict



class History:
    def __init__(self, producers, partitions):
        self.producers = range(producers)
        self.partitions = range(partitions)
        self.sent = defaultdict(int)  # (producer, partition): how many
        self.acknowledged = defaultdict(dict)  # (producer, partition): {number: offset, -1 when the answer had none}
        self.delivered = defaultdict(dict)  # partition: {offset: (producer, number)}
        self.changed = []  # (partition, offset, before, after): delivered twice with different contents
        self.offsets = defaultdict(list)  # partition: [(event, offset)], see _verify_offsets
        self.log = defaultdict(list)  # partition: [(offset, producer, number)]
        self.errors = []  # what a client reported that ends its work

    def deliver(self, partition, offset, producer, number):
        before = self.delivered[partition].setdefault(offset, (producer, number))
        if before != (producer, number):
            self.changed.append((partition, offset, before, (producer, number)))


def verify(history):
    """{check: [problem]} with every check named, an empty list meaning that it holds."""
    problems = {name: [] for name in CHECKS}
    problems["clients go on"] += history.errors
    for partition in history.partitions:
        entries = history.log[partition]
        by_offset = {offset: (producer, number) for offset, producer, number in entries}
        if [offset for offset, _, _ in entries] != list(range(len(entries))):
            problems["offsets are dense"].append(f"partition {partition} has other offsets than 0 to {len(entries) - 1}")
        for producer in history.producers:
            _verify_producer(history, partition, producer, entries, by_offset, problems)
        for offset, record in history.delivered[partition].items():
            if by_offset.get(offset) != record:
                problems["what was delivered stays"].append(
                    f"partition {partition} offset {offset} was delivered as {record}, the log has {by_offset.get(offset)}")
        unseen = [offset for offset in by_offset if offset not in history.delivered[partition]]
        if unseen:
            problems["the group sees everything"].append(
                f"partition {partition}: {len(unseen)} records never delivered, the first at offset {unseen[0]}")
        _verify_offsets(partition, history.offsets[partition], len(entries), problems)
    for partition, offset, before, after in history.changed:
        problems["what was delivered stays"].append(f"partition {partition} offset {offset} was {before}, later {after}")
    return problems


CHECKS = (
    "no acknowledged record is lost",
    "no record is doubled",
    "no record is reordered",
    "no record is made up",
    "acknowledged offsets are true",
    "offsets are dense",
    "what was delivered stays",
    "the group sees everything",
    "committed offsets never go back",
    "clients go on",
)


def _verify_producer(history, partition, producer, entries, by_offset, problems):
    who = f"partition {partition} producer {producer}"
    numbers = [number for _, owner, number in entries if owner == producer]
    present = set(numbers)
    acknowledged = history.acknowledged[producer, partition]
    for number in sorted(set(acknowledged) - present):
        problems["no acknowledged record is lost"].append(f"{who}: number {number}, acknowledged at {acknowledged[number]}")
    if len(present) != len(numbers):
        seen = set()
        doubled = [number for number in numbers if number in seen or seen.add(number)]
        problems["no record is doubled"].append(f"{who}: {len(doubled)} of them, the first is number {doubled[0]}")
    firsts = list(dict.fromkeys(numbers))  # a doubled record is reported once, as doubled
    for before, after in zip(firsts, firsts[1:]):
        if after < before:
            problems["no record is reordered"].append(f"{who}: number {after} follows {before}")
    foreign = [number for number in present if not 0 <= number < history.sent[producer, partition]]
    if foreign:
        problems["no record is made up"].append(f"{who}: number {min(foreign)} was never sent")
    for number, offset in acknowledged.items():
        if offset >= 0 and number in present and by_offset.get(offset) != (producer, number):
            problems["acknowledged offsets are true"].append(
                f"{who}: number {number} was acknowledged at {offset}, where {by_offset.get(offset)} is")


def _verify_offsets(partition, events, end, problems):
    """Events: a commit is "attempted", then "committed" unless its answer got lost: then it may count or not. OffsetFetch is
    "asked" (with offset 0), then "fetched": it must answer what was committed before it was asked, or something newer."""
    floor, floor_when_asked, ceiling = 0, 0, 0
    for kind, offset in events:
        if kind == "attempted":
            ceiling = max(ceiling, offset)
        elif kind == "asked":
            floor_when_asked = floor
        else:
            least = floor if kind == "committed" else floor_when_asked
            if not least <= offset <= ceiling:
                problems["committed offsets never go back"].append(
                    f"partition {partition}: {kind} {offset} where {least} was committed and {ceiling} the last attempt")
            floor = max(floor, offset)
    if floor > end:
        problems["committed offsets never go back"].append(f"partition {partition}: committed {floor}, the log ends at {end}")


def sound_history():
    """A small history without fault: two producers, two partitions, a commit whose answer was lost."""
    history = History(producers=2, partitions=2)
    for partition in history.partitions:
        for offset in range(10):
            producer, number = offset % 2, offset // 2
            history.log[partition].append((offset, producer, number))
            history.sent[producer, partition] += 1
            history.acknowledged[producer, partition][number] = offset
            history.deliver(partition, offset, producer, number)
        history.offsets[partition] = [("attempted", 3), ("committed", 3), ("attempted", 7), ("asked", 0), ("fetched", 7),
                                      ("asked", 0), ("attempted", 10), ("committed", 10), ("fetched", 7), ("asked", 0),
                                      ("fetched", 10)]
    # Sent and not acknowledged: both in the log and not are fine.
    del history.acknowledged[0, 0][4]
    history.sent[1, 1] += 1
    return history


def broken_histories():
    """[(what was broken, the check that must notice, history)]"""

    def broken(description, check, damage):
        history = copy.deepcopy(sound_history())
        damage(history)
        return description, check, history

    def lose(history):
        history.log[0] = [(i, p, n) for i, (_, p, n) in enumerate(e for e in history.log[0] if e[1:] != (1, 2))]

    def double(history):
        history.log[0].append((10, 1, 4))
        history.deliver(0, 10, 1, 4)

    def double_elsewhere(history):
        history.log[1].insert(3, (3, 0, 0))
        history.log[1] = [(i, p, n) for i, (_, p, n) in enumerate(history.log[1])]

    def reorder(history):
        entries = history.log[0]
        entries[2], entries[4] = (2, *entries[4][1:]), (4, *entries[2][1:])

    def invent(history):
        history.log[1].append((10, 0, 77))

    def misplace(history):
        history.acknowledged[0, 1][1] = 7

    def gap(history):
        history.log[0] = [(offset + (offset > 5), producer, number) for offset, producer, number in history.log[0]]

    def rewrite(history):
        history.deliver(1, 4, 1, 0)

    def skip(history):
        del history.delivered[1][6]

    def regress_after_commit(history):
        history.offsets[0] += [("asked", 0), ("fetched", 9)]

    def regress_to_unknown(history):
        history.offsets[1] = [("attempted", 5), ("committed", 5), ("asked", 0), ("fetched", 0)]

    def invent_commit(history):
        history.offsets[1] += [("asked", 0), ("fetched", 11)]

    def commit_past_the_end(history):
        history.offsets[1] += [("attempted", 12), ("committed", 12)]

    def give_up(history):
        history.errors.append("producer 0: fatal")

    return [
        broken("an acknowledged record lost", "no acknowledged record is lost", lose),
        broken("the last record doubled", "no record is doubled", double),
        broken("an old record doubled", "no record is doubled", double_elsewhere),
        broken("two records exchanged", "no record is reordered", reorder),
        broken("a record nobody sent", "no record is made up", invent),
        broken("an acknowledged offset of another record", "acknowledged offsets are true", misplace),
        broken("an offset left out", "offsets are dense", gap),
        broken("a delivered record replaced", "what was delivered stays", rewrite),
        broken("a record never delivered", "the group sees everything", skip),
        broken("a commit taken back by one", "committed offsets never go back", regress_after_commit),
        broken("a commit forgotten", "committed offsets never go back", regress_to_unknown),
        broken("a commit nobody made", "committed offsets never go back", invent_commit),
        broken("a commit past the end of the log", "committed offsets never go back", commit_past_the_end),
        broken("a producer that gave up", "clients go on", give_up),
    ]
