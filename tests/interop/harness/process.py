# SPDX-License-Identifier: Apache-2.0
"""A server of a test's: a process on free loopback ports, which keeps its ports and data folder over kill() and start(), so that
whoever used it finds it again. Only processes that were started here are ever signalled.
"""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST = "127.0.0.1"
SERVER_PORTS = range(10_000, 20_000)
_given = set()  # what is told to one server is not told to another before that has bound it


class BrokerError(Exception):
    """A broker or a server of its storage cannot be had, did not start, or did not stop; the message says which and why."""


def free_ports(count):
    """Ports that were free a moment ago: bound together, so that they differ, and released. Not those that systems give to clients: one of
    them could have the port of a server that is down, or be connected to itself."""
    bound = []
    try:
        for port in random.sample(SERVER_PORTS, len(SERVER_PORTS)):
            if len(bound) == count:
                break
            if port in _given:
                continue
            one = socket.socket()
            try:
                one.bind((HOST, port))
                bound.append(one)
            except OSError:
                one.close()
        if len(bound) < count:
            raise BrokerError(f"no {count} free ports from {SERVER_PORTS.start} to {SERVER_PORTS.stop - 1}")
        ports = [one.getsockname()[1] for one in bound]
        _given.update(ports)
        return ports
    finally:
        for one in bound:
            one.close()


class Process:
    """Subclasses give `name`, `command()`, `answers()`, and change what else is theirs."""

    name = None
    environment = {}  # added to this process's
    ready_deadline_s = 60  # of a busy machine, and of a server that reads its files first
    stop_deadline_s = 30

    def __init__(self, directory, log="log"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log_path = self.directory / log
        self._process = None

    def launch(self):
        """Starts the process and does not wait for it to answer."""
        with open(self.log_path, "ab") as log:
            try:
                self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 env={**os.environ, **self.environment}, start_new_session=True)
            except FileNotFoundError as error:
                raise BrokerError(f"{self.name} cannot be started: {error}; tools/install-deps installs what tests need") from None

    def start(self):
        """Starts the process and returns, in seconds, how long it took to answer."""
        started = time.monotonic()
        self.launch()
        while not self.answers():
            if not self.alive():
                raise BrokerError(f"{self.name} ended with {self._process.returncode} before it answered: {self.log_path}")
            if time.monotonic() > started + self.ready_deadline_s:
                self.kill()
                raise BrokerError(f"{self.name} did not answer within {self.ready_deadline_s} s: {self.log_path}")
            time.sleep(0.01)
        return time.monotonic() - started

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def cpu_seconds(self):
        """CPU time that it has used so far, by the kernel's clock of that process (clock_getcpuclockid(3)): exact, where /proc counts ticks."""
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def kill(self):
        """SIGKILL: no farewell, no flush."""
        if self.alive():
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def pause(self):
        """SIGSTOP: its connections stay, and nothing is answered until resume()."""
        if self.alive():
            self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        if self.alive():
            self._process.send_signal(signal.SIGCONT)

    def stop(self):
        """SIGTERM, and SIGKILL when it does not end in time. Whether it ended by itself."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self.stop_deadline_s)
            except subprocess.TimeoutExpired:
                self.kill()
                return False
        return True

    def log_tail(self, lines=40):
        try:
            return self.log_path.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            return []
