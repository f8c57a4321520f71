# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (a current librdkafka in Python) as a client of the scenarios."""

import sys
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import TIMESTAMP_CREATE_TIME
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

import scenarios
from cases import DEADLINE_S, check
from corpus import Record


def to_record(message):
    kind, timestamp = message.timestamp()
    check(kind == TIMESTAMP_CREATE_TIME, f"timestamp type {kind}")
    return Record(message.key(), message.value(), tuple(message.headers() or ()), timestamp)


class ConfluentReader(scenarios.Member):
    def __init__(self, settings):
        self._consumer = Consumer(settings)
        self._delivered = {}

    def assign(self, topic, partitions, offset):
        self._consumer.assign([TopicPartition(topic, p, offset) for p in partitions])

    def subscribe(self, topic):
        self._consumer.subscribe([topic])

    def poll(self, timeout_s):
        got = []
        for message in self._consumer.consume(500, timeout_s):
            if message.error():
                raise KafkaException(message.error())
            self._delivered[message.topic(), message.partition()] = message.offset() + 1
            got.append((message.partition(), message.offset(), to_record(message)))
        return got

    def assignment(self):
        return {p.partition for p in self._consumer.assignment()}

    def commit(self):
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._delivered.items()]
        for result in self._consumer.commit(offsets=offsets, asynchronous=False):
            if result.error:
                raise KafkaException(result.error)

    def close(self):
        self._consumer.close()


class ConfluentClient(scenarios.Client):
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")

    def __init__(self, arguments):
        self._settings = {"bootstrap.servers": arguments.bootstrap, "broker.address.family": "v4"}
        self._admin = AdminClient(self._settings)

    def create_topic(self, topic, partitions):
        self._admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(DEADLINE_S)

    def topics(self):
        return {name: len(topic.partitions) for name, topic in self._admin.list_topics(timeout=DEADLINE_S).topics.items()}

    def delete_topic(self, topic):
        self._admin.delete_topics([topic])[topic].result(DEADLINE_S)

    def grow_topic(self, topic, partitions):
        self._admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(DEADLINE_S)

    def produce(self, topic, records, codec="none", idempotent=False):
        producer = Producer({**self._settings, "compression.type": codec, "enable.idempotence": idempotent,
                             "acks": "all", "linger.ms": 20})
        offsets = [None] * len(records)

        def on_delivery(index):
            def deliver(error, message):
                if error is None:
                    offsets[index] = message.offset()
                else:
                    raise KafkaException(error)
            return deliver

        for i, (partition, record) in enumerate(records):
            producer.produce(topic, record.value, record.key, partition, headers=list(record.headers),
                             timestamp=record.timestamp_ms, on_delivery=on_delivery(i))
        check(producer.flush(DEADLINE_S) == 0, "records were not acknowledged in time")
        return offsets

    def reader(self, topic, partitions, start, max_wait_ms=500):
        reader = ConfluentReader({**self._settings, "group.id": f"unused-{uuid.uuid4()}", "enable.auto.commit": False,
                                  "fetch.wait.max.ms": max_wait_ms, "auto.offset.reset": start,
                                  "socket.timeout.ms": max_wait_ms + 60_000})
        reader.assign(topic, partitions, {"earliest": -2, "latest": -1}[start])
        return reader

    def member(self, group, topic):
        reader = ConfluentReader({**self._settings, "group.id": group, "enable.auto.commit": False,
                                  "auto.offset.reset": "earliest", "session.timeout.ms": 10_000,
                                  "heartbeat.interval.ms": 500, "topic.metadata.refresh.interval.ms": 1000})
        reader.subscribe(topic)
        return reader

    def committed(self, group, topic, partitions):
        request = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in partitions])
        result = self._admin.list_consumer_group_offsets([request])[group].result(DEADLINE_S)
        return {p.partition: p.offset if p.offset >= 0 else None for p in result.topic_partitions}

    def offset(self, topic, partition, at):
        spec = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest}.get(at)
        key = TopicPartition(topic, partition)
        result = self._admin.list_offsets({key: spec() if spec else OffsetSpec.for_timestamp(at)})[key].result(DEADLINE_S)
        return result.offset

    def groups(self):
        result = self._admin.list_consumer_groups().result(DEADLINE_S)
        check(not result.errors, f"ListGroups: {result.errors}")
        return {group.group_id for group in result.valid}

    def describe_group(self, group):
        description = self._admin.describe_consumer_groups([group])[group].result(DEADLINE_S)
        return description.state.name.lower(), len(description.members)

    def delete_group(self, group):
        self._admin.delete_consumer_groups([group])[group].result(DEADLINE_S)

    def delete_records(self, topic, partition, before):
        key = TopicPartition(topic, partition, before)
        deleted = self._admin.delete_records([key])
        low = next(iter(deleted.values())).result(DEADLINE_S).low_watermark
        check(low == before, f"DeleteRecords answered low watermark {low}")

    def close(self):
        pass


if __name__ == "__main__":
    sys.exit(scenarios.main(ConfluentClient))
