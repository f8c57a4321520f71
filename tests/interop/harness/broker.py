# SPDX-License-Identifier: Apache-2.0
"""Starts, stops and kills one broker on free loopback ports: Sluice, or a real Apache Kafka that judges the tests.

A broker keeps its ports and data folder over kill() and start(), so that clients find it again. Only the process that
start() made is ever signalled.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from harness import wire

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent.parent
CACHE = ROOT / "build" / "interop-cache"
SLUICE_BINARY = ROOT / "build" / "release" / "bin" / "sluiced"

HOST = "127.0.0.1"
READY_DEADLINE_S = {"sluice": 15, "kafka": 120}
STOP_DEADLINE_S = 30
REBALANCE_DELAY_MS = 0  # by default a new group waits 3 s, in every case that makes one


class BrokerError(Exception):
    """The broker cannot be had, did not start, or did not stop; the message says which and why."""


def free_ports(count):
    """Ports that were free a moment ago: bound together, so that they differ, and released."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Broker:
    """kind: "sluice" or "kafka". Data and logs go below `directory`."""

    def __init__(self, kind, directory, binary=SLUICE_BINARY, arguments=()):
        self.kind = kind
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._environment = dict(os.environ)
        self.port, controller_port = free_ports(2)
        self.log_path = self._directory / "broker.log"
        self._process = None
        data = self._directory / "data"
        if kind == "sluice":
            if not os.access(binary, os.X_OK):
                raise BrokerError(f"no broker at {binary}: build it first (cmake --preset release, ninja -C build/release)")
            self._command = [str(binary), "--data-dir", str(data), "--listen", f"{HOST}:{self.port}",
                             "--override", f"group.initial.rebalance.delay.ms={REBALANCE_DELAY_MS}", *arguments]
        else:
            jars = CACHE / "kafka"
            for tool in ("java", "mvn"):
                if not shutil.which(tool):
                    raise BrokerError(f"Apache Kafka needs {tool}")
            fetch_jars(INTEROP / "kafka" / "pom.xml", jars)
            self._environment["KAFKA_JARS"] = str(jars)
            self._environment["KAFKA_REBALANCE_DELAY_MS"] = str(REBALANCE_DELAY_MS)
            self._command = [str(INTEROP / "kafka" / "start"), str(self.port), str(controller_port), str(data)]

    @property
    def bootstrap(self):
        return f"{HOST}:{self.port}"

    def launch(self):
        """Starts the process and does not wait for it to answer."""
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             env=self._environment, start_new_session=True)

    def start(self):
        """Starts the broker and returns, in seconds, how long it took to answer."""
        started = time.monotonic()
        self.launch()
        deadline = started + READY_DEADLINE_S[self.kind]
        while not wire.answers(HOST, self.port):
            if not self.alive():
                raise BrokerError(f"the broker ended with {self._process.returncode} before it answered")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"the broker did not answer within {READY_DEADLINE_S[self.kind]} s")
            time.sleep(0.01)
        return time.monotonic() - started

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """SIGKILL: no farewell, no flush."""
        if self.alive():
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self):
        """SIGTERM; BrokerError when it ends otherwise than it should, or not in time (it is killed then)."""
        if self._process is None:
            return
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise BrokerError(f"the broker did not stop within {STOP_DEADLINE_S} s of SIGTERM") from None
        code = self._process.returncode
        # Java answers SIGTERM with 143 after an orderly stop.
        if code != 0 and not (self.kind == "kafka" and code in (143, -signal.SIGTERM)):
            raise BrokerError(f"the broker ended with {code}")

    def log_tail(self, lines=40):
        try:
            return self.log_path.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            return []


def fetch_jars(pom, directory):
    result = subprocess.run([str(INTEROP / "kafka" / "fetch"), str(pom), str(directory)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise BrokerError(f"{pom.name} of {pom.parent.name} could not be fetched: {result.stdout[-300:]} {result.stderr[-300:]}")
