# SPDX-License-Identifier: Apache-2.0
"""The storages that a broker under test has, with the servers behind them on free loopback ports."""

import json
import os
import socket
from pathlib import Path

from harness.process import HOST, BrokerError, Process, free_ports


class Server(Process):
    """One process of an engine. Subclasses give `name`, `command()`, `answers()` and the adapter's `options()`."""

    # Debian keeps servers where ordinary users do not look.
    environment = {"PATH": os.pathsep.join((os.environ.get("PATH", "/usr/bin"), "/usr/sbin", "/usr/local/sbin"))}

    def __init__(self, directory):
        super().__init__(directory)
        (self.port,) = free_ports(1)

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
