# SPDX-License-Identifier: Apache-2.0
"""kafka-python as a client of the scenarios: 2.0.2, which many still run, and a current one, from the same source.

2.0.2 speaks the protocol versions of 2020 (none of them flexible), and has neither an idempotent producer
nor DeleteRecords. Both refuse a record with neither key nor value.
"""

import logging
import sys

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

import scenarios
from cases import DEADLINE_S, check
from corpus import Record

CURRENT = int(kafka.__version__.split(".")[0]) >= 3
API_VERSION = {} if CURRENT else {"api_version": (2, 5, 0)}  # the newest that 2.0.2 knows, and does not find out by itself


def checked(response):
    """2.0.2 hands back responses whose errors the caller must look for."""
    for field in ("topic_errors", "topic_error_codes", "topic_partition_errors"):
        for entry in getattr(response, field, ()):
            error = kafka.errors.for_code(entry[1])
            if error is not kafka.errors.NoError:
                raise error(entry)
    return response


class PythonReader(scenarios.Member):
    def __init__(self, consumer):
        self._consumer = consumer
        self._delivered = {}

    def poll(self, timeout_s):
        got = []
        for partition, messages in self._consumer.poll(int(timeout_s * 1000)).items():
            for m in messages:
                check(m.timestamp_type == 0, f"timestamp type {m.timestamp_type}")
                got.append((m.partition, m.offset, Record(m.key, m.value, tuple(m.headers), m.timestamp)))
                self._delivered[partition] = m.offset + 1
        return got

    def assignment(self):
        return {p.partition for p in self._consumer.assignment()}

    def commit(self):
        extra = (-1,) if CURRENT else ()
        self._consumer.commit({p: OffsetAndMetadata(offset, "", *extra) for p, offset in self._delivered.items()})

    def close(self):
        self._consumer.close()


class PythonClient(scenarios.Client):
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    lacks = frozenset() if CURRENT else frozenset({"idempotent", "delete-records"})

    def __init__(self, arguments):
        self._settings = {"bootstrap_servers": arguments.bootstrap, **API_VERSION}
        self._admin = KafkaAdminClient(**self._settings)
        self._consumer = KafkaConsumer(**self._settings)

    def can_send(self, record):
        return record.key is not None or record.value is not None

    def create_topic(self, topic, partitions):
        if CURRENT:
            self._admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})
        else:
            self._admin.create_topics([kafka.admin.NewTopic(topic, partitions, 1)])

    def topics(self):
        described = self._admin.describe_topics()
        return {t.get("name", t.get("topic")): len(t["partitions"]) for t in described}

    def delete_topic(self, topic):
        self._admin.delete_topics([topic])

    def grow_topic(self, topic, partitions):
        if CURRENT:
            self._admin.create_partitions({topic: partitions})
        else:
            checked(self._admin.create_partitions({topic: kafka.admin.NewPartitions(partitions)}))

    def produce(self, topic, records, codec="none", idempotent=False):
        settings = {**self._settings, "compression_type": None if codec == "none" else codec, "acks": "all", "linger_ms": 20}
        if CURRENT:
            settings["enable_idempotence"] = idempotent
        producer = KafkaProducer(**settings)
        try:
            futures = [producer.send(topic, r.value, r.key, list(r.headers), partition, r.timestamp_ms or None)
                       for partition, r in records]
            producer.flush(DEADLINE_S)
            return [future.get(DEADLINE_S).offset for future in futures]
        finally:
            producer.close(DEADLINE_S)

    def reader(self, topic, partitions, start, max_wait_ms=500):
        consumer = KafkaConsumer(**self._settings, auto_offset_reset=start, fetch_max_wait_ms=max_wait_ms,
                                 request_timeout_ms=max_wait_ms + 60_000, connections_max_idle_ms=540_000)
        consumer.assign([TopicPartition(topic, p) for p in partitions])
        return PythonReader(consumer)

    def member(self, group, topic):
        return PythonReader(KafkaConsumer(topic, **self._settings, group_id=group, enable_auto_commit=False,
                                          auto_offset_reset="earliest", session_timeout_ms=10_000,
                                          heartbeat_interval_ms=500, metadata_max_age_ms=1000))

    def committed(self, group, topic, partitions):
        if CURRENT:
            offsets = self._admin.list_group_offsets({group: [TopicPartition(topic, p) for p in partitions]})[group]
        else:
            offsets = self._admin.list_consumer_group_offsets(group)
        return {p.partition: entry.offset if entry.offset >= 0 else None for p, entry in offsets.items()}

    def offset(self, topic, partition, at):
        key = TopicPartition(topic, partition)
        if at == "earliest":
            return self._consumer.beginning_offsets([key])[key]
        if at == "latest":
            return self._consumer.end_offsets([key])[key]
        found = self._consumer.offsets_for_times({key: at})[key]
        return found.offset if found else None

    def groups(self):
        if CURRENT:
            return {group["group_id"] for group in self._admin.list_groups()}
        return {group[0] for group in self._admin.list_consumer_groups()}

    def describe_group(self, group):
        if CURRENT:
            description = self._admin.describe_groups([group])[group]
            return description["group_state"].lower(), len(description["members"])
        (description,) = self._admin.describe_consumer_groups([group])
        return description.state.lower(), len(description.members)

    def delete_group(self, group):
        if CURRENT:
            result = self._admin.delete_groups([group])[group]
            check(result == "OK", f"DeleteGroups answered {result}")
        else:
            ((_, error),) = self._admin.delete_consumer_groups([group])
            check(error is kafka.errors.NoError, f"DeleteGroups answered {error}")

    def delete_records(self, topic, partition, before):
        key = TopicPartition(topic, partition)
        low = self._admin.delete_records({key: before})[key]["low_watermark"]
        check(low == before, f"DeleteRecords answered low watermark {low}")

    def close(self):
        self._consumer.close()
        self._admin.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(threadName)s %(name)s %(message)s")  # shown where a case fails
    sys.exit(scenarios.main(PythonClient))
