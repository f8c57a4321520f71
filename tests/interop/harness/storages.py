# SPDX-License-Identifier: Apache-2.0
"""The storages that a broker under test has, with the servers behind them on free loopback ports."""

import json
import os
import socket
from pathlib import Path

from harness import wire
from harness.broker import SLUICE_BINARY, Broker
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
    # A benchmark turns this off: the server would write its whole file anew in the middle of a measurement.
    rewrites_its_file = True

    def command(self):
        return ["redis-server", "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory), "--save", "",
                "--appendonly", "yes", "--appendfsync", "always",
                *([] if self.rewrites_its_file else ["--auto-aof-rewrite-percentage", "0"])]

    def answers(self):
        return self._talk(b"PING\r\n").startswith(b"+PONG")  # -LOADING while it reads its file

    def options(self):
        return {"address": f"{HOST}:{self.port}"}


class RedisRecordServer(RedisServer):
    """Streams with one entry for each record: kind NATIVE. Dense ids, so that offsets count records as the cases do."""

    def options(self):
        return {**super().options(), "layout": "record", "ids": "dense"}


class NatsServer(Server):
    name = "nats-server"

    def command(self):
        return ["nats-server", "--addr", HOST, "--port", str(self.port), "--jetstream", "--store_dir", str(self.directory / "store")]

    def answers(self):
        return self._talk().startswith(b"INFO ")

    def options(self):
        return {"servers": f"nats://{HOST}:{self.port}"}


class NatsRecordServer(NatsServer):
    """Streams with one message for each record: kind NATIVE."""

    def options(self):
        return {**super().options(), "layout": "record"}


class KafkaServer(Server):
    """Another cluster, as every Kafka client sees it: a sluiced of its own, on disk."""

    name = "the other cluster"
    ready_deadline_s = 60

    def command(self):
        return [str(SLUICE_BINARY), "--data-dir", str(self.directory / "data"), "--listen", f"{HOST}:{self.port}"]

    def answers(self):
        return wire.answers(HOST, self.port)

    def options(self):
        return {"bootstrap": f"{HOST}:{self.port}"}


class ApacheServer(KafkaServer):
    """... an Apache Kafka, whose jars Maven fetches."""

    ready_deadline_s = 120

    def __init__(self, directory):
        super().__init__(directory)
        self._cluster = Broker("kafka", directory)
        self.port = self._cluster.port
        self.environment = {**self.environment, **self._cluster.environment}

    def command(self):
        return self._cluster.command()


SERVERS = {"redis": RedisServer, "jetstream": NatsServer}  # of kind LOG
LIBRARIES = ("disk", "memory", *SERVERS)
NATIVE_SERVERS = {"redis-record": ("redis", RedisRecordServer), "jetstream-record": ("jetstream", NatsRecordServer),
                  "kafka": ("kafka", KafkaServer), "kafka-apache": ("kafka", ApacheServer)}
NATIVE = tuple(NATIVE_SERVERS)


class Storages:
    """Storages by the names of their adapters; the second of a kind is "disk2", with a server of its own. The first is for everything that
    no topic chose, Sluice's own logs too, unless it is of kind NATIVE: those are on a disk then.
    """

    def __init__(self, libraries, directory):
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.servers = {}
        self._described = {}
        for library in libraries:
            if library not in LIBRARIES and library not in NATIVE:
                raise BrokerError(f"no storage {library}; there are {', '.join((*LIBRARIES, *NATIVE))}")
            same = sum(one["library"] == library for one in self._described.values())
            name = f"{library}{same + 1}" if same else library
            options = {}
            if library == "disk":
                options = {"path": str(self._directory / name)}
            elif library in SERVERS:
                self.servers[name] = SERVERS[library](self._directory / name)
                options = self.servers[name].options()
            elif library in NATIVE:
                library, server = NATIVE_SERVERS[library]
                self.servers[name] = server(self._directory / name)
                options = self.servers[name].options()
            self._described[name] = {"library": library, "options": options}
        self.names = list(self._described)
        self._internal = self.names[0]
        if libraries[0] in NATIVE:
            self._internal = "internal"
            self._described["internal"] = {"library": "disk", "options": {"path": str(self._directory / "internal")}}

    def arguments(self):
        """What the broker is started with."""
        file = self._directory / "plugins.json"
        file.write_text(json.dumps({"storages": self._described, "default": self.names[0], "internal": self._internal}))
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
