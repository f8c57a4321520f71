# SPDX-License-Identifier: Apache-2.0
"""kcat (Debian's, on librdkafka 2.0.2): a command line that has no admin calls, so topics appear by first use.

A topic made that way has one partition; the group cases therefore share two topics between two members.
"""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cases
from cases import DEADLINE_S, Failure, check, wait_for

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FORMAT = r"%p %o %T %K %S %h\n%k%s\n"
LONG_POLL_WAIT_MS = 15_000
LONG_POLL_LIMIT_S = 5


def parse(output):
    """[(partition, offset, timestamp, key, value, headers)] of what kcat printed with FORMAT; values may hold any byte."""
    got, at = [], 0
    while at < len(output):
        end = output.index(b"\n", at)
        partition, offset, timestamp, key_size, value_size, headers = output[at:end].decode().split(" ", 5)
        at = end + 1

        def take(size):
            nonlocal at
            if size < 0:
                return None
            at += size
            return output[at - size : at]

        key, value = take(int(key_size)), take(int(value_size))
        check(output[at : at + 1] == b"\n", "kcat's output cannot be followed")
        at += 1
        got.append((int(partition), int(offset), int(timestamp), key, value, headers))
    return got


class GroupMember:
    """A `kcat -G` that prints one value per line; its assignment is read from what it says on stderr."""

    def __init__(self, bootstrap, group, topics):
        command = ["kcat", "-b", bootstrap, "-X", "auto.offset.reset=earliest", "-X", "partition.assignment.strategy=roundrobin",
                   "-X", "session.timeout.ms=10000", "-X", "heartbeat.interval.ms=500", "-u", "-f", r"%s\n", "-G", group, *topics]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.values, self.assignment = [], frozenset()
        self._threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._watch, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read(self):
        for line in self._process.stdout:
            self.values.append(line.rstrip(b"\n"))

    def _watch(self):
        for raw in self._process.stderr:
            line = raw.decode(errors="replace")
            sys.stderr.write(line)
            if "assigned:" in line:
                self.assignment = frozenset(re.findall(r"(\S+) \[\d+\]", line.split("assigned:", 1)[1]))
            elif "revoked:" in line:
                self.assignment = frozenset()

    def close(self):
        """Leaves the group as ctrl-C makes kcat leave: it commits what it printed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failure("kcat did not leave its group") from None
        for thread in self._threads:
            thread.join(DEADLINE_S)


class Kcat:
    def __init__(self, arguments, directory):
        self.bootstrap = arguments.bootstrap
        self.prefix = arguments.prefix
        self.values = [record.value for record in arguments.corpus if record.value]
        self.directory = Path(directory)

    def run(self, *arguments, stdin=b""):
        command = ["kcat", "-b", self.bootstrap, "-m", "15", *map(str, arguments)]
        try:
            result = subprocess.run(command, input=stdin, capture_output=True, timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)[:200]}: no end within {DEADLINE_S} s") from None
        sys.stderr.write(result.stderr.decode(errors="replace"))
        check(result.returncode == 0, f"{' '.join(command)[:200]} ended with {result.returncode}: {result.stderr.decode()[-300:]}")
        return result.stdout

    def produce_lines(self, topic, lines, *options):
        self.run("-P", "-t", topic, "-p", 0, *options, stdin=b"".join(line + b"\n" for line in lines))

    def consume(self, topic, *options):
        return parse(self.run("-C", "-t", topic, "-p", 0, "-o", "beginning", "-e", "-q", *options, "-f", FORMAT))

    def topics(self):
        topic = f"{self.prefix}-topics"
        self.produce_lines(topic, [b"first use"])
        listed = self.run("-L").decode()
        check(f'topic "{topic}" with 1 partitions' in listed, f"the topic is not listed: {listed[-500:]}")
        one = self.run("-L", "-t", topic).decode()
        check("partition 0, leader" in one, f"its partition is not listed: {one}")

    def codec(self, codec):
        topic = f"{self.prefix}-codec-{codec}"
        files = []
        for i, value in enumerate(self.values):
            files.append(self.directory / f"value-{i}")
            files[-1].write_bytes(value)
        self.run("-P", "-t", topic, "-p", 0, "-z", codec, "-X", "linger.ms=20", *files)
        got = self.consume(topic)
        check([g[1] for g in got] == list(range(len(self.values))), f"offsets {[g[1] for g in got]}")
        for wanted, (_, offset, _, key, value, _) in zip(self.values, got):
            check(key is None, f"offset {offset} has the key {key}")
            check(value == wanted, f"offset {offset} came back changed")

    def headers_and_nulls(self):
        topic = f"{self.prefix}-headers"
        self.produce_lines(topic, [b"k1:v1", b":v2", b"k3:", b":"], "-Z", "-K", ":",
                           "-H", "a=1", "-H", "same=first", "-H", "same=second", "-H", "empty=")
        got = self.consume(topic)
        check([(g[3], g[4]) for g in got] == [(b"k1", b"v1"), (None, b"v2"), (b"k3", None), (None, None)], f"consumed {got}")
        check({g[5] for g in got} == {"a=1,same=first,same=second,empty="}, f"headers {got[0][5]}")
        age_ms = time.time() * 1000 - got[0][2]
        check(0 <= age_ms < 120_000, f"the timestamp is {age_ms} ms old")

    def idempotent(self):
        topic = f"{self.prefix}-idempotent"
        lines = [b"%d" % i for i in range(2000)]
        self.produce_lines(topic, lines, "-X", "enable.idempotence=true", "-X", "batch.num.messages=50")
        check([g[4] for g in self.consume(topic)] == lines, "lines were lost, doubled or reordered")

    def offsets(self):
        topic = f"{self.prefix}-offsets"
        self.produce_lines(topic, [b"a", b"b", b"c"])
        first = self.consume(topic)[0][2]
        for at, wanted in ((-2, 0), (-1, 3), (first - 10_000, 0), (first + 600_000, -1)):
            answer = self.run("-Q", "-t", f"{topic}:0:{at}").decode()
            found = int(re.search(r"offset (-?\d+)", answer).group(1))
            # For a timestamp past the end librdkafka 2.0 answers -1 (OFFSET_END).
            check(found == wanted, f"query {at} answered {answer.strip()!r}, not {wanted}")

    def rebalance(self):
        topics, group = [f"{self.prefix}-rebalance-{i}" for i in range(2)], f"{self.prefix}-rebalance"
        for topic in topics:
            self.produce_lines(topic, [b"%s %d" % (topic.encode(), i) for i in range(10)])
        first = GroupMember(self.bootstrap, group, topics)
        second = None
        try:
            wait_for("one member to own both topics", lambda: first.assignment == frozenset(topics))
            wait_for("one member to consume all", lambda: len(set(first.values)) == 20)
            second = GroupMember(self.bootstrap, group, topics)
            wait_for("two members to own one topic each", lambda: len(first.assignment) == len(second.assignment) == 1
                     and first.assignment != second.assignment)
            for topic in topics:
                self.produce_lines(topic, [b"%s %d" % (topic.encode(), i) for i in range(10, 20)])
            wait_for("two members to consume all", lambda: len(set(first.values + second.values)) == 40)
            first.close()
            wait_for("the member that stayed to own both", lambda: second.assignment == frozenset(topics))
            for topic in topics:
                self.produce_lines(topic, [b"%s %d" % (topic.encode(), i) for i in range(20, 30)])
            wait_for("the member that stayed to consume all", lambda: len(set(first.values + second.values)) == 60)
        finally:
            first.close()
            if second:
                second.close()

    def resume(self):
        topic, group = f"{self.prefix}-resume", f"{self.prefix}-resume"
        self.produce_lines(topic, [b"%d" % i for i in range(50)])
        lives = []
        for life in range(2):
            member = GroupMember(self.bootstrap, group, [topic])
            try:
                wait_for("the group to consume", lambda: len(member.values) >= 50)
            finally:
                member.close()
            lives.append(member.values)
            if life == 0:
                self.produce_lines(topic, [b"%d" % i for i in range(50, 100)])
        check(lives[0] == [b"%d" % i for i in range(50)], "the first life lost or doubled records")
        check(lives[1] == [b"%d" % i for i in range(50, 100)], f"the second life began with {lives[1][:3]}")

    def long_poll(self):
        topic = f"{self.prefix}-long-poll"
        self.produce_lines(topic, [b"first"])
        reader = subprocess.Popen(["kcat", "-b", self.bootstrap, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-q",
                                   "-u", "-X", f"fetch.wait.max.ms={LONG_POLL_WAIT_MS}"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        overdue = threading.Timer(DEADLINE_S, reader.kill)
        overdue.start()
        try:
            # Having read what is there, it leaves a fetch waiting at the broker.
            check(reader.stdout.readline() == b"first\n", "the first record did not arrive")
            self.produce_lines(topic, [b"awaited"])
            produced = time.monotonic()
            check(reader.stdout.readline() == b"awaited\n", "something else arrived")
            elapsed = time.monotonic() - produced
        finally:
            overdue.cancel()
            reader.kill()
            reader.communicate()
        check(elapsed < LONG_POLL_LIMIT_S, f"a waiting fetch got its record after {elapsed:.1f} s")


def main():
    arguments = cases.Arguments()
    with TemporaryDirectory(prefix="sluice-kcat-") as directory:
        kcat = Kcat(arguments, directory)
        listed = [("topics", kcat.topics)]
        listed += [(f"codec-{codec}", lambda codec=codec: kcat.codec(codec)) for codec in CODECS]
        listed += [("headers-and-nulls", kcat.headers_and_nulls), ("idempotent", kcat.idempotent), ("offsets", kcat.offsets),
                   ("rebalance", kcat.rebalance), ("resume", kcat.resume), ("long-poll", kcat.long_poll)]
        return cases.run(listed, arguments.only)


if __name__ == "__main__":
    sys.exit(main())
