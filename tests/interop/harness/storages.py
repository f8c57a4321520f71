# SPDX-License-Identifier: Apache-2.0
"""The storages that a broker under test has, with the servers behind them on free loopback ports.

A server keeps its port and data over kill() and start(), so that whoever used it finds it again. Only processes that were started
here are ever signalled.
"""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from harness.broker import HOST, BrokerError, free_ports

SERVER_READY_DEADLINE_S = 60  # of a busy machine, and of a server that reads its files first
SERVER_STOP_DEADLINE_S = 20
# Debian keeps servers where ordinary users do not look.
SERVER_PATH = os.pathsep.join((os.environ.get("PATH", "/usr/bin"), "/usr/sbin", "/usr/local/sbin"))


class Server:
    """One process of an engine. Subclasses give `name`, `command()`, `answers()`."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self._process = None

    def launch(self):
        with open(self.directory / "log", "ab") as log:
            try:
                self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 env={**os.environ, "PATH": SERVER_PATH}, start_new_session=True)
            except FileNotFoundError as error:
                raise BrokerError(f"{self.name} cannot be started: {error}; tools/install-deps installs it") from None

    def start(self):
        """Starts the server and returns, in seconds, how long it took to answer."""
        started = time.monotonic()
        self.launch()
        while not self.answers():
            if not self.alive():
                raise BrokerError(f"{self.name} ended with {self._process.returncode} before it answered: {self.directory}/log")
            if time.monotonic() > started + SERVER_READY_DEADLINE_S:
                self.kill()
                raise BrokerError(f"{self.name} did not answer within {SERVER_READY_DEADLINE_S} s")
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
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(SERVER_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _talk(self, line=b""):
        """What the server says at once, or after a line."""
        try:
            with socket.create_connection((HOST, self.port), 2.0) as connection:
                connection.sendall(line)
                return connection.recv(1024)
        except OSError:
            return b""


class RedisServer(Server):
    name = "redis-server"

    def command(self):
        return ["redis-server", "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory), "--save", "",
                "--appendonly", "yes", "--appendfsync", "always"]

    def answers(self):
        return self._talk(b"PING\r\n").startswith(b"+PONG")  # -LOADING while it reads its file

    def options(self):
        return {"address": f"{HOST}:{self.port}"}


class NatsServer(Server):
    name = "nats-server"

    def command(self):
        return ["nats-server", "--addr", HOST, "--port", str(self.port), "--jetstream", "--store_dir", str(self.directory / "store")]

    def answers(self):
        return self._talk().startswith(b"INFO ")

    def options(self):
        return {"servers": f"nats://{HOST}:{self.port}"}


SERVERS = {"redis": RedisServer, "jetstream": NatsServer}
LIBRARIES = ("disk", "memory", *SERVERS)


class Storages:
    """Storages by the names of their adapters; the second of a kind is "disk2", with a server of its own. The first is for everything that
    no topic chose, Sluice's own logs too.
    """

    def __init__(self, libraries, directory):
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.servers = {}
        self._described = {}
        for library in libraries:
            if library not in LIBRARIES:
                raise BrokerError(f"no storage {library}; there are {', '.join(LIBRARIES)}")
            same = sum(one["library"] == library for one in self._described.values())
            name = f"{library}{same + 1}" if same else library
            options = {}
            if library == "disk":
                options = {"path": str(self._directory / name)}
            elif library in SERVERS:
                self.servers[name] = SERVERS[library](self._directory / name)
                options = self.servers[name].options()
            self._described[name] = {"library": library, "options": options}
        self.names = list(self._described)

    def arguments(self):
        """What the broker is started with."""
        file = self._directory / "plugins.json"
        file.write_text(json.dumps({"storages": self._described, "default": self.names[0], "internal": self.names[0]}))
        return ("--plugins", str(file))

    def start(self):
        for server in self.servers.values():
            server.start()

    def kill(self):
        for server in self.servers.values():
            server.kill()

    def stop(self):
        for server in self.servers.values():
            server.stop()
