# SPDX-License-Identifier: Apache-2.0
"""Starts, stops and kills one broker on free loopback ports: Sluice, or a real Apache Kafka that judges the tests."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import wire
from harness.process import HOST, BrokerError, Process, free_ports

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent.parent
CACHE = ROOT / "build" / "interop-cache"
SLUICE_BINARY = ROOT / "build" / "release" / "bin" / "sluiced"

READY_DEADLINE_S = {"sluice": 60, "kafka": 120}
REBALANCE_DELAY_MS = 0  # by default a new group waits 3 s, in every case that makes one


class Broker(Process):
    """kind: "sluice" or "kafka". Data and logs go below `directory`."""

    name = "the broker"

    def __init__(self, kind, directory, binary=SLUICE_BINARY, arguments=()):
        super().__init__(directory, "broker.log")
        self.kind = kind
        self.ready_deadline_s = READY_DEADLINE_S[kind]
        self.port, controller_port = free_ports(2)
        data = self.directory / "data"
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
            self.environment = {"KAFKA_JARS": str(jars), "KAFKA_REBALANCE_DELAY_MS": str(REBALANCE_DELAY_MS)}
            self._command = [str(INTEROP / "kafka" / "start"), str(self.port), str(controller_port), str(data)]

    @property
    def bootstrap(self):
        return f"{HOST}:{self.port}"

    def command(self):
        return self._command

    def answers(self):
        return wire.answers(HOST, self.port)

    def stop(self):
        """BrokerError when it ends otherwise than it should, or not in time."""
        if self._process is None:
            return
        if not super().stop():
            raise BrokerError(f"{self.name} did not stop within {self.stop_deadline_s} s of SIGTERM")
        code = self._process.returncode
        # Java answers SIGTERM with 143 after an orderly stop.
        if code != 0 and not (self.kind == "kafka" and code in (143, -signal.SIGTERM)):
            raise BrokerError(f"{self.name} ended with {code}")


def fetch_jars(pom, directory):
    result = subprocess.run([str(INTEROP / "kafka" / "fetch"), str(pom), str(directory)], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise BrokerError(f"{pom.name} of {pom.parent.name} could not be fetched: {result.stdout[-300:]} {result.stderr[-300:]}")
