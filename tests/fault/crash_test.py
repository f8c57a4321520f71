#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the broker with SIGKILL at random moments under load, or the server of its storage, and checks that clients were told the truth.

    tests/fault/crash_test.py --cycles 20 --seed 7
    tests/fault/crash_test.py --storage redis --victim storage
    tests/fault/crash_test.py --broker kafka --cycles 2     the same test against a real Apache Kafka
    tests/fault/crash_test.py --self-check                  only: does the check notice broken histories?

Idempotent producers (acks=all) send numbered records, a group of two consumes and commits them; meanwhile the broker (or
redis-server, nats-server) is killed, restarted on the same data and port, and the broker is asked for the committed offsets. Afterwards the whole log is read and
history.py compares. The clients are confluent-kafka's, in a virtual environment of their own under build/. One seed draws
the same moments again; which requests they hit is up to the machine.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import history as histories  # noqa: E402
from common import DEADLINE_S, Failure, Report, run_with_client, wait_for  # noqa: E402
from harness.broker import SLUICE_BINARY, Broker, BrokerError  # noqa: E402
from harness.storages import LIBRARIES, Storages  # noqa: E402

try:
    import confluent_kafka
    from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    confluent_kafka = None

TOPIC, GROUP = "crash", "crash-group"
PRODUCERS, PARTITIONS, MEMBERS = 3, 4, 2
MAX_UNACKNOWLEDGED = 2000  # per producer; what waits through a restart
BURST, BURST_PAUSE_S = 20, 0.02
PADDING = b"." * 100
MIN_ACKNOWLEDGED = 200  # in a cycle, before its moment is drawn
MAX_EXTRA_S = 1.5  # of load after that
EARLY_KILLS = 0.25  # share of cycles that are killed while clients still recover
MAX_EARLY_S = 0.5
KILLS_WHILE_STARTING = 0.25  # share of restarts that are killed once before they answer, or soon after
MAX_STARTING_S = 0.1


def settings(bootstrap, **more):
    shared = {"bootstrap.servers": bootstrap, "broker.address.family": "v4", "reconnect.backoff.ms": 20,
              "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "log_level": 0}
    return {**shared, **{name.replace("_", "."): value for name, value in more.items()}}


class LoadProducer(threading.Thread):
    """Sends numbered records until stopped, then waits for every acknowledgement."""

    def __init__(self, index, bootstrap, history):
        super().__init__(daemon=True)
        self._index = index
        self._history = history
        self._stop_sending = threading.Event()
        self._unacknowledged = 0  # touched by this thread alone: callbacks run in its poll()
        self.acknowledged = 0
        self._producer = Producer({
            **settings(bootstrap, enable_idempotence=True, acks="all", linger_ms=5, message_timeout_ms=0,
                       request_timeout_ms=10_000, socket_timeout_ms=12_000), "batch.num.messages": 100, "error_cb": self._on_error})

    def _on_error(self, error):
        if error.fatal():
            self._history.errors.append(f"producer {self._index}: {error.str()}")
            self._stop_sending.set()

    def _send(self, partition):
        number = self._history.sent[self._index, partition]
        acknowledged = self._history.acknowledged[self._index, partition]

        def on_delivery(error, message):
            self._unacknowledged -= 1
            if error is not None:
                self._history.errors.append(f"producer {self._index}: number {number} failed: {error.str()}")
                return
            offset = message.offset()
            acknowledged[number] = offset if offset is not None and offset >= 0 else -1
            self.acknowledged += 1

        self._history.sent[self._index, partition] = number + 1
        self._producer.produce(TOPIC, b"%d:%d:" % (self._index, number) + PADDING, partition=partition, on_delivery=on_delivery)
        self._unacknowledged += 1

    def run(self):
        try:
            turn = 0
            while not self._stop_sending.is_set():
                for _ in range(BURST if self._unacknowledged < MAX_UNACKNOWLEDGED else 0):
                    # A run of records to one partition, then the next: batches of several sizes.
                    self._send(turn // 7 % PARTITIONS)
                    turn += 1
                end = time.monotonic() + BURST_PAUSE_S
                while (left := end - time.monotonic()) > 0:
                    self._producer.poll(left)
            self._producer.flush(DEADLINE_S)
        except Exception as error:
            self._history.errors.append(f"producer {self._index}: {type(error).__name__}: {error}")

    def finish(self):
        self._stop_sending.set()
        self.join(DEADLINE_S + 10)
        if self._unacknowledged and not self._history.errors:
            self._history.errors.append(f"producer {self._index}: {self._unacknowledged} records were never answered")


class GroupMember(threading.Thread):
    """Consumes in the group and commits after every poll that gave records. The lock keeps the order of commits and answers."""

    def __init__(self, index, bootstrap, history, lock):
        super().__init__(daemon=True)
        self._index = index
        self._history = history
        self._lock = lock
        self._stop_polling = threading.Event()
        self.commits = 0
        # "error": offsets were committed for all partitions before, so that no reset is ever due.
        self._consumer = Consumer(settings(bootstrap, group_id=GROUP, enable_auto_commit=False, auto_offset_reset="error",
                                           session_timeout_ms=10_000, heartbeat_interval_ms=500))

    def run(self):
        try:
            self._consumer.subscribe([TOPIC])
            while not self._stop_polling.is_set():
                self._poll()
            self._consumer.close()
        except Exception as error:
            self._history.errors.append(f"member {self._index}: {type(error).__name__}: {error}")

    def _poll(self):
        positions = {}
        for message in self._consumer.consume(500, 0.1):
            if message.error():
                if message.error().code() == KafkaError._AUTO_OFFSET_RESET:
                    self._history.errors.append(f"member {self._index}: {message.error().str()}")
                continue
            producer, number, _ = message.value().split(b":", 2)
            with self._lock:
                self._history.deliver(message.partition(), message.offset(), int(producer), int(number))
            positions[message.partition()] = message.offset() + 1
        if positions:
            self._commit(positions)

    def _commit(self, positions):
        with self._lock:
            for partition, offset in positions.items():
                self._history.offsets[partition].append(("attempted", offset))
        try:
            results = self._consumer.commit(offsets=[TopicPartition(TOPIC, p, o) for p, o in positions.items()],
                                            asynchronous=False)
        except KafkaException:  # the broker was killed, or a rebalance took the partitions: it may count or not
            return
        with self._lock:
            for result in results:
                if not result.error:
                    self._history.offsets[result.partition].append(("committed", result.offset))
        self.commits += 1

    def finish(self):
        self._stop_polling.set()
        self.join(DEADLINE_S)
        if self.is_alive():
            self._history.errors.append(f"member {self._index} did not close")


class CrashTest:
    """`victims`: what is killed, each with alive, kill, launch and start. One is drawn in each cycle."""

    def __init__(self, broker, storages, victims, seed):
        self._broker = broker
        self._storages = storages
        self._victims = victims
        self._draw = random.Random(seed)
        self.history = histories.History(PRODUCERS, PARTITIONS)
        self._lock = threading.Lock()
        self._producers = []
        self._members = []

    def run(self, cycles):
        took = self._broker.start()
        print(f"{self._broker.kind} answers on {self._broker.bootstrap} after {took:.2f} s", flush=True)
        self._create_topic()
        self._commit_zero()
        bootstrap = self._broker.bootstrap
        self._producers = [LoadProducer(i, bootstrap, self.history) for i in range(PRODUCERS)]
        self._members = [GroupMember(i, bootstrap, self.history, self._lock) for i in range(MEMBERS)]
        for thread in self._producers + self._members:
            thread.start()
        try:
            for cycle in range(1, cycles + 1):
                self._cycle(cycle, cycles)
            wait_for("progress after the last kill", self._progress())
            self._settle()
        finally:
            for producer in self._producers:
                producer.finish()
        self._read_log()
        try:
            wait_for("the group to reach the end", self._group_is_done)
        except Failure as failure:
            print(f"FAIL {failure}", flush=True)  # the history tells what is missing
        for member in self._members:
            member.finish()
        self._fetch_offsets()
        self._broker.stop()

    def _settle(self):
        """After the last kill, while clients still work."""

    def _acknowledged(self):
        return sum(producer.acknowledged for producer in self._producers)

    def _progress(self):
        """A condition: since now, records were acknowledged and offsets committed, or a client gave up."""
        acknowledged = self._acknowledged()
        commits = sum(member.commits for member in self._members)
        return lambda: self.history.errors or (self._acknowledged() >= acknowledged + MIN_ACKNOWLEDGED
                                               and sum(member.commits for member in self._members) > commits)

    def _cycle(self, cycle, cycles):
        early = cycle > 1 and self._draw.random() < EARLY_KILLS
        started, before = time.monotonic(), self._acknowledged()
        if early:
            time.sleep(self._draw.uniform(0, MAX_EARLY_S))
        else:
            wait_for("records acknowledged and offsets committed", self._progress())
            time.sleep(self._draw.uniform(0, MAX_EXTRA_S))
        if self.history.errors:
            raise Failure("a client gave up")
        if not self._broker.alive():
            raise Failure("the broker ended by itself")
        alive_s = time.monotonic() - started
        name, victim = self._draw.choice(self._victims)
        victim.kill()
        if self._draw.random() < KILLS_WHILE_STARTING:
            victim.launch()
            time.sleep(self._draw.uniform(0, MAX_STARTING_S))
            victim.kill()
        took = victim.start()
        print(f"cycle {cycle}/{cycles}: {name} killed after {alive_s:.2f} s{' (early)' if early else ''}, "
              f"{self._acknowledged() - before} acknowledged, back after {took:.2f} s", flush=True)
        self._fetch_offsets()

    def _create_topic(self):
        admin = AdminClient(settings(self._broker.bootstrap))
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(DEADLINE_S)

        def ready():
            topic = admin.list_topics(TOPIC, timeout=10).topics[TOPIC]
            return len(topic.partitions) == PARTITIONS and all(p.leader >= 0 for p in topic.partitions.values())

        wait_for("the topic", ready)

    def _commit_zero(self):
        consumer = Consumer(settings(self._broker.bootstrap, group_id=GROUP))
        done = []

        def commit():
            try:
                done.extend(consumer.commit(offsets=[TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)], asynchronous=False))
            except KafkaException:  # the coordinator may need a moment
                return False
            return True

        wait_for("the first commit", commit)
        consumer.close()

    def _fetch_offsets(self):
        """Asks for the committed offsets, and notes the answer between the members' commits."""
        admin = AdminClient(settings(self._broker.bootstrap))
        request = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, p) for p in range(PARTITIONS)])

        def fetch():
            self._note("asked", {p: 0 for p in range(PARTITIONS)})
            try:
                answer = admin.list_consumer_group_offsets([request], request_timeout=10)[GROUP].result(DEADLINE_S)
            except KafkaException:  # still loading
                return False
            if any(p.error for p in answer.topic_partitions):
                return False
            self._note("fetched", {p.partition: p.offset for p in answer.topic_partitions})
            return True

        wait_for("OffsetFetch", fetch)

    def _note(self, event, offsets):
        with self._lock:
            for partition, offset in offsets.items():
                self.history.offsets[partition].append((event, offset))

    def _read_log(self):
        consumer = Consumer(settings(self._broker.bootstrap, group_id="crash-audit", enable_auto_commit=False,
                                     enable_partition_eof=True, auto_offset_reset="error"))
        consumer.assign([TopicPartition(TOPIC, p, -2) for p in range(PARTITIONS)])
        ended = set()
        end = time.monotonic() + DEADLINE_S
        while len(ended) < PARTITIONS:
            if time.monotonic() > end:
                raise Failure(f"reading the log got on no more for {DEADLINE_S} s, after {sum(map(len, self.history.log.values()))} records")
            messages = consumer.consume(1000, 0.5)
            if messages:
                end = time.monotonic() + DEADLINE_S
            for message in messages:
                if message.error():
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
                    continue
                producer, number, _ = message.value().split(b":", 2)
                self.history.log[message.partition()].append((message.offset(), int(producer), int(number)))
        consumer.close()

    def _group_is_done(self):
        with self._lock:
            return all(len(self.history.delivered[p]) >= len(self.history.log[p]) for p in range(PARTITIONS))


def self_check(report):
    found = histories.verify(histories.sound_history())
    report.result("self-check: a sound history", [f"{check}: {p}" for check, ps in found.items() for p in ps])
    for description, check, broken in histories.broken_histories():
        noticed = histories.verify(broken)[check]
        report.result(f"self-check: {description}", [] if noticed else [f"'{check}' did not notice"])


def parse_arguments():
    parser = argparse.ArgumentParser(description="SIGKILL under load; checks that nothing acknowledged is lost.")
    parser.add_argument("--broker", choices=("sluice", "kafka"), default="sluice", help="what to start (default: sluice)")
    parser.add_argument("--binary", type=Path, default=SLUICE_BINARY, help="the sluiced to start")
    parser.add_argument("--storage", choices=LIBRARIES, action="append",
                        help="where everything lies (default: disk); repeatable where topics move")
    parser.add_argument("--victim", choices=("broker", "storage", "both"), default="broker", help="whom to kill (default: the broker)")
    parser.add_argument("--cycles", type=int, default=20, help="how often to kill (default: 20)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: drawn, and printed)")
    parser.add_argument("--self-check", action="store_true", help="only feed the check with broken histories")
    parser.add_argument("--keep", action="store_true", help="keep data and log also when all passed")
    return parser.parse_args()


def main(test_type=CrashTest, default_storages=("disk",)):
    arguments = parse_arguments()
    report = Report()
    if arguments.self_check:
        self_check(report)
        return report.summary()
    if confluent_kafka is None:
        report.result("the client", [run_with_client()])
        return report.summary()
    self_check(report)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}, {arguments.cycles} cycles, librdkafka {confluent_kafka.libversion()[0]}", flush=True)
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="sluice-crash-"))
    broker = storages = test = None
    try:
        more = ()
        if arguments.broker == "sluice":
            storages = Storages(arguments.storage or default_storages, directory / "storages")
            storages.start()
            more = storages.arguments()
        broker = Broker(arguments.broker, directory, arguments.binary, more)
        servers = list(storages.servers.items()) if storages else []
        if arguments.victim != "broker" and not servers:
            raise BrokerError("the storage has no server that could be killed")
        victims = {"broker": [("broker", broker)], "storage": servers, "both": [("broker", broker), *servers]}[arguments.victim]
        test = test_type(broker, storages, victims, seed)
        test.run(arguments.cycles)
    except (BrokerError, Failure, confluent_kafka.KafkaException) as error:
        report.result("the run", [str(error)] + (test.history.errors if test else []))
    else:
        for check, problems in histories.verify(test.history).items():
            report.result(check, problems)
        log = sum(len(entries) for entries in test.history.log.values())
        commits = sum(kind == "committed" for events in test.history.offsets.values() for kind, _ in events)
        print(f"{sum(test.history.sent.values())} sent, {sum(map(len, test.history.acknowledged.values()))} acknowledged, "
              f"{log} in the log, {sum(map(len, test.history.delivered.values()))} delivered, {commits} offsets committed")
    finally:
        if broker:
            broker.kill()
        if storages:
            storages.kill()
    if report.failed:
        print(f"seed {seed}; data and log: {directory}; the end of the broker's log:")
        for line in broker.log_tail() if broker else []:
            print(f"    {line}")
    elif not arguments.keep:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"crash test, {time.monotonic() - started:.0f} s")
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())
