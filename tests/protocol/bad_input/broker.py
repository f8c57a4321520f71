# SPDX-License-Identifier: Apache-2.0
"""A broker of our own to be bad to, and what can be seen of it from outside: answers, log lines, counters, memory.

What the broker says of a connection names the connection's port, so each case reads its own lines. Lines pass the broker at a
limited rate; line_due() waits until one can pass.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import messages
import wire

START_S, STOP_S, ANSWER_S, LINE_S = 60, 40, 20, 5
BURST_LINES, LINES_PER_SECOND = 50, 10  # the broker's own limits (base/log_limiter.hpp)
MIN_MEMORY_FOLDER_BYTES = 2 << 30
HEALTHY = "healthy"


class Failure(AssertionError):
    pass


def expect(actual, wanted, what="answer"):
    if actual != wanted:
        def name(value):
            return f"{value} ({wire.ERROR_NAMES[value]})" if isinstance(value, int) and value in wire.ERROR_NAMES else repr(value)
        raise Failure(f"{what}: {name(actual)} instead of {name(wanted)}")


class Connection:
    """One TCP connection. Requests get correlation ids of their own, answers are held against them."""

    def __init__(self, port, small_buffers=False):
        self.socket = socket.socket()
        if small_buffers:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(ANSWER_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.socket.getsockname()[1]
        self.log_from = 0  # where lines about this connection may begin, not about one that had its port before
        self._correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST, as a process that dies with unread data does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, api, version, body=b"", client_id="bad-input"):
        """Sends a request; gives its correlation id."""
        self._correlation += 1
        self.send(wire.request(api, version, self._correlation, body, client_id))
        return self._correlation

    def _receive(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise Failure("the broker closed the connection instead of answering")
            data += part
        return bytes(data)

    def answer_frame(self):
        try:
            return self._receive(struct.unpack(">i", self._receive(4))[0])
        except socket.timeout:
            raise Failure(f"no answer within {ANSWER_S} s") from None
        except ConnectionError as error:
            raise Failure(f"the broker closed the connection instead of answering ({error})") from None

    def answer(self, correlation, api, version, flexible=None):
        """The next answer, which must be the one to `correlation`."""
        flexible = wire.is_flexible(api, version) if flexible is None else flexible
        reader = wire.In(self.answer_frame(), flexible)
        expect(reader.i32(), correlation, "correlation id")
        if flexible and api != wire.API_VERSIONS:
            reader.tags()
        return reader

    def call(self, api, version, body=b"", client_id="bad-input"):
        return self.answer(self.ask(api, version, body, client_id), api, version)

    def expect_closed(self):
        """Nothing more comes, and the broker closes soon."""
        try:
            rest = self.socket.recv(4096)
        except ConnectionError:
            return
        except socket.timeout:
            raise Failure(f"the connection is still open after {ANSWER_S} s") from None
        if rest:
            raise Failure(f"{len(rest)} bytes came instead of the end of the connection")


def _folder():
    """In memory, where there is some: what bad input leaves behind is many small files."""
    memory = "/dev/shm"
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= MIN_MEMORY_FOLDER_BYTES:
        return memory
    return None


class Broker:
    def __init__(self, binary):
        self._directory = Path(tempfile.mkdtemp(prefix="sluice-bad-input.", dir=_folder()))
        self._log_path = self._directory / "log"
        self._log_at = 0
        self._log_text = ""
        self._lines_passed = []  # times
        command = [str(binary), "--data-dir", str(self._directory / "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        for name, value in (("group.initial.rebalance.delay.ms", 0), ("sluice.storage.checked", "true")):
            command += ["--override", f"{name}={value}"]
        with open(self._log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid = self.process.pid
        deadline = time.monotonic() + START_S
        while True:
            text = self.log()
            listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", text)
            admin = re.search(r"admin on 127\.0\.0\.1:(\d+)", text)
            if listening and admin and self._ready(int(admin[1])):
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failure(f"the broker did not start:\n{text}")
            time.sleep(0.02)
        self.port, self._admin = int(listening[1]), int(admin[1])
        self.healthy = self.connect()
        with self.connect() as c:
            c.call(wire.CREATE_TOPICS, 4, messages.create_topics([(HEALTHY, 1, 1, (), ())]))
        self._next_offset = 0

    @staticmethod
    def _ready(port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return True
        except OSError:
            return False

    def connect(self, **options):
        log_from = len(self.log())
        connection = Connection(self.port, **options)
        connection.log_from = log_from
        return connection

    def stop(self):
        """SIGTERM; the exit code, or None if it had to be killed."""
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                code = None
        return code

    def remove(self):
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- health

    def check_healthy(self):
        """The connection opened at the start still produces and fetches, and gets what it wrote."""
        if self.process.poll() is not None:
            raise Failure(f"the broker ended with {self.process.returncode}")
        value = b"record %d" % self._next_offset
        answer = messages.read_produce(self.healthy.call(wire.PRODUCE, 8, messages.produce([(HEALTHY, [(0, wire.batch([value]))])])))
        expect(answer, [(HEALTHY, [(0, wire.NONE, self._next_offset, None)])], "healthy connection: produce")
        fetched = messages.read_fetch(self.healthy.call(wire.FETCH, 11, messages.fetch(
            [(HEALTHY, [(0, self._next_offset, -1, 1 << 20)])], max_wait_ms=ANSWER_S * 500, min_bytes=1)))
        expect(fetched[0], wire.NONE, "healthy connection: fetch")
        _, error, high, records = fetched[2][0][1][0]
        expect((error, high), (wire.NONE, self._next_offset + 1), "healthy connection: fetch")
        if value not in records:
            raise Failure("the healthy connection fetched something else than it wrote")
        self._next_offset += 1

    def rss_bytes(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise Failure("no VmRSS")

    # --- log

    def log(self):
        with open(self._log_path, "rb") as log:
            log.seek(self._log_at)
            data = log.read()
        whole = data.rfind(b"\n") + 1
        self._log_at += whole
        self._log_text += data[:whole].decode(errors="replace")
        return self._log_text

    def line_due(self):
        """Waits, where the broker's limits say so, until its next line about a client will not be left out."""
        now = time.monotonic()
        self._lines_passed = [t for t in self._lines_passed if now - t < BURST_LINES / LINES_PER_SECOND]
        if len(self._lines_passed) >= BURST_LINES - 2:
            time.sleep(1.5 / LINES_PER_SECOND)
        self._lines_passed.append(time.monotonic())

    def lines_of(self, connection):
        needle = f"from 127.0.0.1:{connection.port} "
        return [line for line in self.log()[connection.log_from:].splitlines() if needle in line]

    def expect_lines(self, connection, count, *words):
        """Exactly `count` lines speak of the connection; the last one has the words."""
        deadline = time.monotonic() + LINE_S
        while len(lines := self.lines_of(connection)) < count:
            if time.monotonic() > deadline:
                raise Failure(f"{len(lines)} log lines about the connection instead of {count}: {lines}")
            time.sleep(0.005)
        if len(lines) > count:
            raise Failure(f"{len(lines)} log lines about the connection instead of {count}: {lines}")
        for word in words:
            if word not in lines[-1]:
                raise Failure(f"the log line does not say \"{word}\": {lines[-1]}")

    # --- counters

    def metrics(self):
        """{"name{labels}": value}"""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/metrics", timeout=ANSWER_S) as response:
            text = response.read().decode()
        result = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                result[name] = float(value)
        return result

    def metric(self, name):
        return self.metrics().get(name, 0.0)

    def expect_metric(self, name, wanted):
        """Counters of a connection's end may trail what the client sees of it."""
        deadline = time.monotonic() + LINE_S
        while (value := self.metric(name)) != wanted:
            if time.monotonic() > deadline:
                raise Failure(f"{name} is {value:g} instead of {wanted:g}")
            time.sleep(0.01)

    # --- what most cases are

    def closes(self, data, counter, *words, half_close=False):
        """A fresh connection sends `data`: it is closed without an answer, with one line that has the words, and `counter` rises
        by one."""
        before = self.metric(counter)
        self.line_due()
        with self.connect() as c:
            try:
                c.send(data)
                if half_close:
                    c.socket.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass
            c.expect_closed()
            self.expect_lines(c, 1, *words)
        self.expect_metric(counter, before + 1)

    def refuses(self, api, version, body, read, error, pick, logged=True, errors=1):
        """A fresh connection asks, and gets an answer in which `pick(read(answer))` is `error`; the error is counted, and told in
        one line if it speaks of a bad request. The connection lives on. Gives what was read."""
        counter = f'sluice_request_errors_total{{api="{wire.API_NAMES[api]}",error="{wire.ERROR_NAMES[error]}"}}'
        before = self.metric(counter)
        if logged:
            self.line_due()
        with self.connect() as c:
            answer = read(c.call(api, version, body))
            expect(pick(answer), error)
            expect(messages.read_api_versions_0(c.call(wire.API_VERSIONS, 0))[0], wire.NONE, "the same connection, afterwards")
            self.expect_lines(c, 1 if logged else 0, *([wire.API_NAMES[api], wire.ERROR_NAMES[error]] if logged else []))
        self.expect_metric(counter, before + errors)
        return answer

    def create(self, name, partitions=1, configs=()):
        with self.connect() as c:
            answer = messages.read_named_errors(c.call(wire.CREATE_TOPICS, 4, messages.create_topics([(name, partitions, 1, (), configs)])))
        expect(answer[0][1], wire.NONE, f"creation of {name}")
        return name
