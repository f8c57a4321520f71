#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One broker, a storage of every kind; each in turn is stopped, killed, made slow, or lies: and costs only its own topics.

    tests/fault/isolation_test.py            the whole round, about a minute
    tests/fault/isolation_test.py --keep     keep data and logs

A topic on each storage, on each topic a producer that numbers its records and a group that reads them; besides, one consumer of all
topics together. While a storage is ill, what is acknowledged and read on the others keeps its latency, no group is rebalanced, no
request outlives its time-out, bytes in flight are bounded, and /health, metrics and `sluice storage health` name the ill one. When its
engine is back, its topics are served again within a second, and at the end nothing acknowledged is missing.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
FAULT = Path(__file__).resolve().parent
sys.path.insert(0, str(FAULT))

from common import DEADLINE_S, Failure, Report, run_with_client, wait_for  # noqa: E402
from harness.broker import SLUICE_BINARY, Broker  # noqa: E402
from harness.process import HOST, BrokerError, free_ports  # noqa: E402
from harness.storages import NatsServer, RedisServer  # noqa: E402

try:
    import confluent_kafka
    from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    confluent_kafka = None

P99_MS = 500  # of acknowledgements and of reads on the others; or three times what it was before, on a machine that is busy
BUSY_FACTOR = 3
LONGEST_MS = 5_000  # of any one of them, or three times what it was: a machine may stand still, and isolation that is broken lasts as long as the fault
RECOVERY_S = 3.0  # from the moment that an engine takes calls again to the first acknowledgement; meant is 1, and printed is what it was
NAMED_WITHIN_S = 15  # a storage that is ill in /health; the broker asks it every second, and is patient for some
ANSWER_S = 20  # of the broker to an operator, on a machine that is busy
EVERY_S = 0.02  # between two records of a producer
MAX_UNACKNOWLEDGED = 200
REQUEST_TIMEOUT_MS = 3_000  # of a Produce; the client gives the broker one second more, and counts what comes later
REQUEST_MEMORY = 64 << 20  # queued.max.request.bytes
HELD_OFF_AFTER_S = 5  # the broker's patience with a storage that answers nothing
FLOOD_BYTES = 48 << 20
FLOOD_RECORD = 500_000
FLOOD = b"flood"


def p99(values):
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


def keeps_up(took, since):
    """Whether the last of (when, milliseconds) came after `since`, and were quick."""
    last = took[-20:]
    return len(last) == 20 and all(at >= since and ms < P99_MS for at, ms in last)


def read_after(message):
    """(now, milliseconds since it was sent) of a numbered record; None for all else."""
    if message is None or message.error() or message.value().startswith(FLOOD):
        return None
    now = time.monotonic()
    return now, (now - float(message.value().split(b":")[1])) * 1000


class Flow:
    """A producer and a group of one on one topic: what they were told, and how long it took."""

    def __init__(self, topic, bootstrap, idempotent=True):
        self.topic, self.problems = topic, []
        self.acknowledged = {}  # number -> offset
        self.acks, self.reads = [], []  # (when, milliseconds)
        self.sent = self.rebalances = self.request_timeouts = 0
        self._unacknowledged = 0
        self._stop = threading.Event()
        common = {"bootstrap.servers": bootstrap, "broker.address.family": "v4", "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
                  "retry.backoff.ms": 20, "log_level": 0, "topic.metadata.refresh.interval.ms": 60_000, "topic.metadata.refresh.fast.interval.ms": 20}
        self._producer = Producer({**common, "enable.idempotence": idempotent, "acks": "all", "linger.ms": 0, "message.timeout.ms": 0,
                                   "request.timeout.ms": REQUEST_TIMEOUT_MS, "statistics.interval.ms": 500, "stats_cb": self._on_statistics,
                                   "error_cb": self._on_error})
        self._consumer = Consumer({**common, "group.id": f"readers-of-{topic}", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                   "session.timeout.ms": 6_000, "heartbeat.interval.ms": 500, "fetch.wait.max.ms": 100,
                                   "fetch.error.backoff.ms": 20})
        self._consumer.subscribe([topic], on_assign=self._on_change, on_revoke=self._on_change)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._produce, self._consume)]

    def _on_error(self, error):
        if error.fatal():
            self.problems.append(f"{self.topic}: the producer gave up: {error.str()}")

    def _on_statistics(self, text):
        self.request_timeouts = sum(broker.get("req_timeouts", 0) for broker in json.loads(text)["brokers"].values())

    def _on_change(self, consumer, partitions):
        self.rebalances += 1

    def _produce(self):
        def told(number, at):
            def on_delivery(error, message):
                self._unacknowledged -= 1
                if error is not None:
                    self.problems.append(f"{self.topic}: number {number} failed: {error.str()}")
                    return
                now = time.monotonic()
                self.acks.append((now, (now - at) * 1000))
                self.acknowledged[number] = message.offset()

            return on_delivery

        due = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            if now >= due and self._unacknowledged < MAX_UNACKNOWLEDGED:
                self._producer.produce(self.topic, b"%d:%r" % (self.sent, now), on_delivery=told(self.sent, now))
                self.sent += 1
                self._unacknowledged += 1
                due = max(due + EVERY_S, now)
            self._producer.poll(max(0.0, min(due - time.monotonic(), EVERY_S)))
        if self._producer.flush(DEADLINE_S):
            self.problems.append(f"{self.topic}: {self._unacknowledged} records were never answered")

    def _consume(self):
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if took := read_after(message):
                self.reads.append(took)
        # Only now: a group that is left is a rebalance.
        self.rebalances_at_stop = self.rebalances
        self._consumer.close()

    def since(self, moment):
        return [ms for at, ms in self.acks if at >= moment], [ms for at, ms in self.reads if at >= moment]

    def keeps_up(self, since):
        return keeps_up(self.acks, since) and keeps_up(self.reads, since)

    def stop(self):
        self._stop.set()


class Together:
    """One consumer of all topics over one connection: what it reads of the well ones does not wait for the ill one."""

    def __init__(self, topics, bootstrap):
        self.reads = {topic: [] for topic in topics}
        self._stop = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "broker.address.family": "v4", "group.id": "all", "log_level": 0,
                                   "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
                                   "fetch.error.backoff.ms": 20, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100})
        self._consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
        self.threads = [threading.Thread(target=self._consume, daemon=True)]

    def _consume(self):
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if took := read_after(message):
                self.reads[message.topic()].append(took)
        self._consumer.close()

    def since(self, topic, moment):
        return [ms for at, ms in self.reads[topic] if at >= moment]

    def keeps_up(self, topic, since):
        return keeps_up(self.reads[topic], since)

    def stop(self):
        self._stop.set()


class IsolationTest:
    def __init__(self, directory, binaries, report):
        self._directory, self._binaries, self._report = directory, binaries, report
        self._engines, self._proxy, self.broker = [], None, None
        self._flows, self._together = {}, None
        self._baseline = {}

    # ---- Setting up

    def start(self):
        self._redis, self._nats = RedisServer(self._directory / "redis"), NatsServer(self._directory / "nats")
        self._upstream = Broker("sluice", self._directory / "upstream", self._binaries / "sluiced")
        self._engines = [self._redis, self._nats, self._upstream]
        for engine in self._engines:
            engine.start()
        self._proxy = subprocess.Popen([sys.executable, "-B", str(FAULT / "slow_proxy.py"), str(self._redis.port)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        proxy_port = int(self._proxy.stdout.readline())
        faulty = self._binaries.parent / "tests" / "conformance" / "faulty"
        storages = {
            "disk": {"library": "disk"},
            "memory": {"library": "memory"},
            "redis": {"library": "redis", "required": False, "options": self._redis.options()},
            "slow": {"library": "redis", "required": False, "options": {"address": f"{HOST}:{proxy_port}", "prefix": "slow"}},
            "jetstream": {"library": "jetstream", "required": False, "options": self._nats.options()},
            "kafka": {"library": "kafka", "required": False, "options": {"bootstrap": self._upstream.bootstrap}},
            # Every tenth append is forgotten, or never answered.
            "liar": {"library": str(faulty / "libfaulty_dropped_append.so"), "required": False},
            "deaf": {"library": str(faulty / "libfaulty_lost_completion.so"), "required": False},
        }
        self._storages = list(storages)
        routes = [{"topics": name, "storage": name} for name in storages]
        plugins = self._directory / "plugins.json"
        plugins.write_text(json.dumps({"storages": storages, "routes": routes, "default": "disk", "internal": "disk"}))
        (self._admin,) = free_ports(1)
        self.broker = Broker("sluice", self._directory / "broker", self._binaries / "sluiced",
                             ("--plugins", str(plugins), "--admin", f"{HOST}:{self._admin}",
                              "--override", f"queued.max.request.bytes={REQUEST_MEMORY}"))
        self.broker.start()
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        for future in admin.create_topics([NewTopic(name, 1, 1) for name in storages]).values():
            future.result(DEADLINE_S)
        bootstrap = self.broker.bootstrap
        well = [name for name in self._storages if name not in ("liar", "deaf")]
        self._flows = {name: Flow(name, bootstrap, idempotent=name != "kafka") for name in well}
        self._together = Together(well, bootstrap)
        for thread in [thread for flow in [*self._flows.values(), self._together] for thread in flow.threads]:
            thread.start()
        for flow in self._flows.values():
            wait_for(f"records read from {flow.topic}", lambda flow=flow: len(flow.reads) > 20)
        wait_for("records of all topics read together", lambda: all(len(reads) > 20 for reads in self._together.reads.values()))
        began = time.monotonic()
        time.sleep(3)
        for name, flow in self._flows.items():
            self._baseline[name] = tuple((p99(values), max(values, default=0)) for values in (*flow.since(began), self._together.since(name, began)))
            flow.rebalances = 0
        print("before any fault, p99 in ms, of acknowledgements, reads, reads together: " +
              ", ".join("%s %.0f %.0f %.0f" % (name, *(usual for usual, _ in values)) for name, values in self._baseline.items()), flush=True)

    def stop(self):
        if self._proxy is not None:
            self._proxy.stdin.close()
            self._proxy.wait()
        for engine in self._engines:
            engine.kill()
        if self.broker is not None:
            self.broker.kill()

    # ---- Looking

    def _get(self, path):
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._admin}{path}", timeout=ANSWER_S) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError as error:
            raise Failure(f"{path} of the broker: {error}") from None

    def _metric(self, name, storage):
        for line in self._get("/metrics").splitlines():
            if line.startswith(f'{name}{{storage="{storage}"}} '):
                return float(line.rsplit(" ", 1)[1])
        raise Failure(f"there is no metric {name} of {storage}")

    def _component(self, storage):
        return next(one for one in json.loads(self._get("/health"))["components"] if one["name"] == f"storage {storage}")

    def _told_by_command(self):
        try:
            done = subprocess.run([str(self._binaries / "sluice"), "--bootstrap", self.broker.bootstrap, "storage", "health"], capture_output=True,
                                  text=True, timeout=ANSWER_S)
        except subprocess.TimeoutExpired as error:
            raise Failure(str(error)) from None
        return done.returncode, {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[1:] if line.split()}

    # ---- The faults

    def _others_go_on(self, what, began, ill):
        """Latency, rebalances and requests of every storage that is not ill, since `began`."""
        problems = []
        for name, flow in self._flows.items():
            if name in ill:
                continue
            rows = zip(("acknowledgements", "reads", "reads together"), (*flow.since(began), self._together.since(name, began)), self._baseline[name])
            for kind, values, (before, longest_before) in rows:
                most = max(P99_MS, BUSY_FACTOR * before)
                longest = max(LONGEST_MS, BUSY_FACTOR * longest_before)
                expected = 0.3 * (time.monotonic() - began) / EVERY_S
                if len(values) < expected:
                    problems.append(f"{name}: {len(values)} {kind} in {time.monotonic() - began:.1f} s")
                elif p99(values) > most or max(values) > longest:
                    problems.append(f"{name}: {kind} took {p99(values):.0f} ms at p99 and {max(values):.0f} at most")
        self._report.result(f"{what}: the others keep their latency", problems)

    def _fault(self, what, ill, begin, end, for_s, named=True, flood=False, answers=lambda: True):
        ill = set(ill)
        began = time.monotonic()
        begin()
        problems = []
        stop_flood = self._flood(sorted(ill)[0]) if flood else None
        try:
            if named:
                for name in ill:
                    wait_for(f"/health to name {name}", lambda name=name: self._component(name)["status"] == "degraded", within=NAMED_WITHIN_S, every=0.05)
                    if self._metric("sluice_storage_healthy", name) != 0:
                        problems.append(f"sluice_storage_healthy of {name} is not 0")
                code, told = self._told_by_command()
                if code == 0 or any(told.get(name) != "ill" for name in ill) or told.get("disk") != "well":
                    problems.append(f"`sluice storage health` ends with {code} and tells {told}")
            worst = 0
            until = max(began + for_s, time.monotonic() + 1)
            while time.monotonic() < until:
                worst = max([worst] + [self._metric("sluice_storage_in_flight_bytes", name) for name in ill])
                time.sleep(0.1)
            share = REQUEST_MEMORY / (len(self._storages) + 1)
            if worst > share:
                problems.append(f"{worst:.0f} bytes were in flight, the share is {share:.0f}")
            if flood and worst < share / 4:
                problems.append(f"the flood is not in flight: {worst:.0f} bytes")
            if flood and for_s > HELD_OFF_AFTER_S + 2 and self._metric("sluice_storage_held_off", next(iter(ill))) != 1:
                problems.append("its calls are not held off")
            self._others_go_on(what, began, ill)
        finally:
            if stop_flood:
                stop_flood()
            before = {name: len(self._flows[name].acks) for name in ill if name in self._flows}
            end()
        wait_for("the engine to answer", answers)
        back = time.monotonic()
        took = 0
        for name, acks in before.items():
            wait_for(f"{name} to acknowledge again", lambda name=name, acks=acks: len(self._flows[name].acks) > acks, every=0.002)
            took = max(took, self._flows[name].acks[acks][0] - back)
        if took > RECOVERY_S:
            problems.append(f"{took:.2f} s until the first acknowledgement after the engine was back")
        for name in ill if named else ():
            wait_for(f"/health to say that {name} is well", lambda name=name: self._component(name)["status"] == "ok", within=NAMED_WITHIN_S, every=0.05)
        self._report.result(f"{what}: named, bounded, and back after {max(took, 0):.2f} s", problems)
        for name in before:  # what piled up is through before the next fault
            flow = self._flows[name]
            wait_for(f"{name} to catch up", lambda name=name, flow=flow: flow.keeps_up(back) and self._together.keeps_up(name, back))

    def _flood(self, topic):
        """Large records for one topic, more than its storage may have in flight."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 0, "linger.ms": 0, "message.max.bytes": 900_000,
                             "message.timeout.ms": 60_000, "request.timeout.ms": REQUEST_TIMEOUT_MS, "max.in.flight": 1000})
        over = threading.Event()

        def run():
            for _ in range(FLOOD_BYTES // FLOOD_RECORD):
                producer.produce(topic, FLOOD + bytes(FLOOD_RECORD))
            while not over.is_set():
                producer.poll(0.1)
            producer.purge()
            producer.flush(10)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def stop():
            over.set()
            thread.join(DEADLINE_S)

        return stop

    def _lie(self, what, topic, for_s):
        began = time.monotonic()
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 0, "linger.ms": 0, "message.timeout.ms": 20_000,
                             "request.timeout.ms": REQUEST_TIMEOUT_MS, "retry.backoff.ms": 20})
        while time.monotonic() - began < for_s:
            producer.produce(topic, b"lie")
            producer.poll(0.02)
        self._others_go_on(what, began, set())
        producer.purge()
        producer.flush(10)

    def run(self):
        nats, redis, kafka = self._nats, self._redis, self._upstream

        def delay(ms):
            self._proxy.stdin.write(f"{ms}\n")
            self._proxy.stdin.flush()

        long_s = HELD_OFF_AFTER_S + 4
        self._fault("redis killed", ("redis", "slow"), redis.kill, redis.launch, 3, answers=redis.answers)
        self._fault("jetstream killed", ("jetstream",), nats.kill, nats.launch, 3, answers=nats.answers)
        self._fault("jetstream stopped, and flooded", ("jetstream",), nats.pause, nats.resume, long_s, flood=True)
        self._fault("redis stopped", ("redis", "slow"), redis.pause, redis.resume, long_s)
        self._fault("redis slow", ("slow",), lambda: delay(300), lambda: delay(0), 4, named=False)
        self._fault("kafka stopped", ("kafka",), kafka.pause, kafka.resume, long_s)
        self._fault("kafka killed", ("kafka",), kafka.kill, kafka.launch, 4, answers=kafka.answers)
        self._lie("an engine that forgets", "liar", 4)
        self._lie("an engine that does not answer", "deaf", 4)

    def finish(self):
        if not self.broker.alive():
            raise Failure("the broker ended by itself")
        everyone = [*self._flows.values(), self._together]
        for flow in everyone:
            flow.stop()
        for thread in [thread for flow in everyone for thread in flow.threads]:
            thread.join(DEADLINE_S + 10)
        self._report.result("no producer gave up, every record was answered", [p for flow in self._flows.values() for p in flow.problems])
        self._report.result("no request outlived its time-out", [f"{flow.topic}: {flow.request_timeouts}" for flow in self._flows.values()
                                                                 if flow.request_timeouts])
        self._report.result("no group was rebalanced: heartbeats went on", [f"{flow.topic}: {flow.rebalances_at_stop}" for flow in self._flows.values()
                                                                           if flow.rebalances_at_stop])
        for name, flow in self._flows.items():
            self._report.result(f"{name}: nothing acknowledged is lost, doubled or out of order", self._verify(name, flow))
        print(", ".join(f"{name} {len(flow.acknowledged)}" for name, flow in self._flows.items()) + " acknowledged", flush=True)

    def _verify(self, topic, flow):
        log = {}
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "audit", "enable.partition.eof": True, "log_level": 0,
                             "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    break
                continue
            if not message.value().startswith(FLOOD):
                log[message.offset()] = int(message.value().split(b":")[0])
        else:
            return ["it could not be read to its end"]
        consumer.close()
        numbers = [log[offset] for offset in sorted(log)]
        problems = [f"number {number} is lost" for number in sorted(set(flow.acknowledged) - set(numbers))]
        if topic == "kafka":  # of the kind NATIVE: at least once
            return problems
        if len(set(numbers)) != len(numbers):
            problems.append(f"{len(numbers) - len(set(numbers))} are there twice")
        if numbers != sorted(numbers):
            problems.append("they are out of order")
        # An idempotent librdkafka knows by the answer to a record that the one before it is there too, and then not where.
        problems += [f"number {number} was acknowledged at {offset}, where {log.get(offset)} is" for number, offset in flow.acknowledged.items()
                     if offset is not None and log.get(offset) != number]
        return problems


def main():
    parser = argparse.ArgumentParser(description="A storage that is ill costs only its own topics.")
    parser.add_argument("--binaries", type=Path, default=SLUICE_BINARY.parent, help="the folder of sluiced and sluice")
    parser.add_argument("--keep", action="store_true", help="keep data and logs also when all passed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    report = Report()
    if confluent_kafka is None:
        report.result("the client", [run_with_client()])
        return report.summary()
    started = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="sluice-isolation-"))
    test = IsolationTest(directory, arguments.binaries, report)
    try:
        test.start()
        test.run()
        test.finish()
    except (BrokerError, Failure) as error:
        report.result("the run", [str(error)])
    finally:
        log = test.broker.log_tail() if test.broker else []
        test.stop()
    if report.failed:
        print(f"data and logs: {directory}; the end of the broker's log:")
        for line in log:
            print(f"    {line}")
    elif not arguments.keep:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"isolation test, {time.monotonic() - started:.0f} s")
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())
