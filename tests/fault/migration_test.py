#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The crash test beside migrations: while clients write, read and commit, their topic moves from storage to storage, is paused, turned round and
slowed, and the broker is killed in the midst of it all, or the servers of its storages.

    tests/fault/migration_test.py --cycles 20 --seed 7
    tests/fault/migration_test.py --storage disk --storage redis --storage jetstream --victim both

Clients must notice nothing but the kills. All goes through the Kafka protocol, as any admin client may do it. At the end the migration under
way must finish, and then one more to each storage in turn, back to where that began.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import crash_test  # noqa: E402
from common import DEADLINE_S, Failure, wait_for  # noqa: E402
from crash_test import TOPIC, CrashTest, settings  # noqa: E402

try:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
except ImportError:  # crash_test starts once more where it can be had
    pass

DEFAULT_STORAGES = ("disk", "disk")
STORAGE, MIGRATION = "sluice.storage", "sluice.migration"
PAUSED, RATE = "sluice.migration.paused", "sluice.migration.max.bytes.per.second"
RATES = ("100000", "1000000", "-1")  # bytes per second; -1: none
CANCELS, PAUSES = 0.25, 0.15  # share of cycles in which a migration under way is turned round, or rests


class MigrationTest(CrashTest):
    def __init__(self, broker, storages, victims, seed):
        super().__init__(broker, storages, victims, seed)
        self.begun = self.finished = self.cancelled = 0
        self._under_way = False

    def _cycle(self, cycle, cycles):
        wait_for("an answer to the operator", self._steer)
        super()._cycle(cycle, cycles)

    def _settle(self):
        def moved():
            try:
                storage, migration = self._look()
            except KafkaException:  # not answered in time
                return False
            if migration:
                return False
            self._count(migration)
            return storage

        wait_for("the commands to be accepted", lambda: self._change({PAUSED: None, RATE: "-1"}))
        wait_for("the migration under way to finish", moved)
        for _ in self._storages.names:
            target = self._next_after(self._look()[0])
            wait_for(f"a migration to {target} to begin", lambda: self._change({STORAGE: target}))
            self.begun += 1
            self._under_way = True
            wait_for(f"the migration to {target} to finish", moved)
            if self._look()[0] != target:
                raise Failure(f"the topic is on {self._look()[0]} and not on {target}")
        print(f"{self.begun} migrations begun, {self.cancelled} turned round, {self.finished} finished", flush=True)

    def _next_after(self, storage):
        names = self._storages.names
        return names[(names.index(storage) + 1) % len(names)]

    def _steer(self):
        try:
            storage, migration = self._look()
        except KafkaException:  # the broker was killed a moment ago
            return False
        self._count(migration)
        if not migration:
            if not self._change({STORAGE: self._next_after(storage), RATE: self._draw.choice(RATES), PAUSED: None}):
                return False
            self.begun += 1
            self._under_way = True
            return True
        if self._draw.random() < CANCELS:
            self.cancelled += 1
            return self._change({STORAGE: migration["from"], PAUSED: None})
        return self._change({PAUSED: "true" if self._draw.random() < PAUSES else None, RATE: self._draw.choice(RATES)})

    def _count(self, migration):
        if self._under_way and not migration:
            self.finished += 1
            self._under_way = False

    def _admin(self):
        return AdminClient(settings(self._broker.bootstrap))

    def _look(self):
        resource = ConfigResource(ResourceType.TOPIC, TOPIC)
        admin = self._admin()  # must live until the answer is there
        configs = admin.describe_configs([resource], request_timeout=10)[resource].result(DEADLINE_S)
        migration = configs[MIGRATION].value
        return configs[STORAGE].value, json.loads(migration) if migration else None

    def _change(self, changes):
        """IncrementalAlterConfigs; None removes a setting. False: to be tried again."""
        operations = AlterConfigOpType
        entries = [ConfigEntry(name, value or "", incremental_operation=operations.DELETE if value is None else operations.SET)
                   for name, value in changes.items()]
        resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=entries)
        try:
            admin = self._admin()
            admin.incremental_alter_configs([resource], request_timeout=10)[resource].result(DEADLINE_S)
        except KafkaException:
            return False
        return True


if __name__ == "__main__":
    sys.exit(crash_test.main(MigrationTest, DEFAULT_STORAGES))
