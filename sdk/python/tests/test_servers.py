# SPDX-License-Identifier: Apache-2.0
"""The package on real servers, each class with the address of its own in the environment; skipped without."""

import os
import socket
import unittest

import sluice
from sluice import errors

KAFKA = os.environ.get("SLUICE_TEST_KAFKA")
REDIS = os.environ.get("SLUICE_TEST_REDIS")


@unittest.skipUnless(KAFKA, "no broker")
class KafkaTest(unittest.TestCase):
    def test_a_bus_writes_a_topic_that_a_consumer_reads(self):
        sink = {"kind": "kafka", "bootstrap": KAFKA, "topic": "events", "create_partitions": 2}
        wanted = [b"%02d" % n for n in range(20)]
        with sluice.Bus(sink=sink) as bus:
            for value in wanted:
                bus.ingest(value, key=value)
            bus.flush(60_000)
        cluster = sluice.Cluster(KAFKA, request_timeout_ms=60_000)
        self.assertEqual(cluster.partitions("events"), 2)
        with self.assertRaises(errors.NotFound):
            cluster.partitions("absent")
        with sluice.Consumer(clusters=[cluster], sources=[{"kind": "kafka", "topic": "events"}]) as consumer:
            page = consumer.poll(min_records=20, wait_ms=60_000)
            self.assertEqual(sorted(record.value for record in page.records), wanted)


@unittest.skipUnless(REDIS, "no Redis")
class RedisTest(unittest.TestCase):
    def add(self, value):
        """As another program adds an entry."""
        host, port = REDIS.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"XADD orders * key k value %s\r\n" % value)
            self.assertTrue(connection.recv(1_000).startswith(b"$"))

    def test_a_native_stream_is_read_and_waited_for(self):
        self.add(b"first")
        storage = sluice.Storage("r", "redis", options={"address": REDIS, "layout": "record"})
        self.assertTrue(storage.health()["native"])
        with sluice.Consumer(storages=[storage], sources=[{"kind": "native", "storage": "r", "stream": "orders"}]) as consumer:
            self.assertEqual([record.value for record in consumer.poll(wait_ms=60_000).records], [b"first"])
            self.add(b"second")
            self.assertEqual([record.value for record in consumer.poll(wait_ms=60_000).records], [b"second"])


if __name__ == "__main__":
    unittest.main()
