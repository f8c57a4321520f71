# SPDX-License-Identifier: Apache-2.0
"""aiokafka as a client of the scenarios: its coroutines run on an event loop of their own, and each call waits for one.

It has no call that deletes a group.
"""

import asyncio
import sys
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import for_code

import scenarios
from cases import DEADLINE_S, check
from corpus import Record


class Loop:
    """An event loop on a thread; call(coroutine) waits for its result."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)


def raise_for(code, what):
    if code:
        raise for_code(code)(what)


class AsyncReader(scenarios.Member):
    def __init__(self, loop, consumer):
        self._loop = loop
        self._consumer = consumer
        self._delivered = {}

    def poll(self, timeout_s):
        got = []
        for partition, messages in self._loop.call(self._consumer.getmany(timeout_ms=int(timeout_s * 1000))).items():
            for m in messages:
                check(m.timestamp_type == 0, f"timestamp type {m.timestamp_type}")
                got.append((m.partition, m.offset, Record(m.key, m.value, tuple(m.headers), m.timestamp)))
                self._delivered[partition] = m.offset + 1
        return got

    def assignment(self):
        return {p.partition for p in self._consumer.assignment()}

    def commit(self):
        self._loop.call(self._consumer.commit(dict(self._delivered)))

    def close(self):
        self._loop.call(self._consumer.stop())


class AsyncClient(scenarios.Client):
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    lacks = frozenset({"delete-group"})

    def __init__(self, arguments):
        self._loop = Loop()
        self._settings = {"bootstrap_servers": arguments.bootstrap}
        self._admin = self._started(lambda: AIOKafkaAdminClient(**self._settings))
        self._consumer = self._started(lambda: AIOKafkaConsumer(**self._settings))

    def _started(self, make):
        async def start():
            made = make()  # inside the loop it will belong to
            await made.start()
            return made
        return self._loop.call(start())

    def can_send(self, record):
        return record.key is not None or record.value is not None

    def create_topic(self, topic, partitions):
        answer = self._loop.call(self._admin.create_topics([NewTopic(topic, partitions, 1)]))
        raise_for(answer.topic_errors[0][1], topic)

    def topics(self):
        return {t["topic"]: len(t["partitions"]) for t in self._loop.call(self._admin.describe_topics())}

    def delete_topic(self, topic):
        answer = self._loop.call(self._admin.delete_topics([topic]))
        raise_for(answer.topic_error_codes[0][1], topic)

    def grow_topic(self, topic, partitions):
        self._loop.call(self._admin.create_partitions({topic: NewPartitions(partitions)}))

    def produce(self, topic, records, codec="none", idempotent=False):
        producer = self._started(lambda: AIOKafkaProducer(
            **self._settings, compression_type=None if codec == "none" else codec, acks="all", linger_ms=20,
            enable_idempotence=idempotent))

        async def send():
            futures = [await producer.send(topic, r.value, r.key, partition, r.timestamp_ms or None, list(r.headers))
                       for partition, r in records]
            return [result.offset for result in await asyncio.gather(*futures)]

        try:
            return self._loop.call(send())
        finally:
            self._loop.call(producer.stop())

    def reader(self, topic, partitions, start, max_wait_ms=500):
        consumer = self._started(lambda: AIOKafkaConsumer(
            **self._settings, auto_offset_reset=start, fetch_max_wait_ms=max_wait_ms, request_timeout_ms=max_wait_ms + 60_000))

        async def assign():  # makes futures, for which it wants to be inside the loop
            consumer.assign([TopicPartition(topic, p) for p in partitions])

        self._loop.call(assign())
        return AsyncReader(self._loop, consumer)

    def member(self, group, topic):
        return AsyncReader(self._loop, self._started(lambda: AIOKafkaConsumer(
            topic, **self._settings, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
            session_timeout_ms=10_000, heartbeat_interval_ms=500, metadata_max_age_ms=1000)))

    def committed(self, group, topic, partitions):
        offsets = self._loop.call(self._admin.list_consumer_group_offsets(group))
        return {p.partition: entry.offset if entry.offset >= 0 else None for p, entry in offsets.items() if p.topic == topic}

    def offset(self, topic, partition, at):
        key = TopicPartition(topic, partition)
        if at == "earliest":
            return self._loop.call(self._consumer.beginning_offsets([key]))[key]
        if at == "latest":
            return self._loop.call(self._consumer.end_offsets([key]))[key]
        found = self._loop.call(self._consumer.offsets_for_times({key: at}))[key]
        return found.offset if found else None

    def groups(self):
        return {group[0] for group in self._loop.call(self._admin.list_consumer_groups())}

    def describe_group(self, group):
        (answer,) = self._loop.call(self._admin.describe_consumer_groups([group]))
        error, _, state, _, _, members = answer.groups[0][:6]
        raise_for(error, group)
        return state.lower(), len(members)

    def delete_records(self, topic, partition, before):
        key = TopicPartition(topic, partition)
        low = self._loop.call(self._admin.delete_records({key: RecordsToDelete(before)}))[key]
        check(low == before, f"DeleteRecords answered low watermark {low}")

    def close(self):
        self._loop.call(self._consumer.stop())
        self._loop.call(self._admin.close())


if __name__ == "__main__":
    sys.exit(scenarios.main(AsyncClient))
