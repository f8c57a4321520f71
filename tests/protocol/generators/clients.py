# SPDX-License-Identifier: Apache-2.0
"""Lets one Kafka client library do a bit of everything against a broker, so that its requests can be captured.

    clients.py LIBRARY HOST:PORT        LIBRARY: librdkafka, kafka-python, aiokafka, kcat
"""

import asyncio
import subprocess
import sys

TOPIC, GROUP = "orders", "readers"


def librdkafka(address):
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType

    common = {"bootstrap.servers": address, "client.id": "librdkafka"}
    admin = AdminClient(common)
    admin.create_topics([NewTopic(TOPIC, 2, 1, config={"retention.ms": "1000000"})])[TOPIC].result(10)
    admin.create_partitions([NewPartitions(TOPIC, 3)])[TOPIC].result(10)
    for settings in ({}, {"enable.idempotence": True, "compression.type": "gzip"}):
        producer = Producer({**common, **settings})
        for i in range(20):
            producer.produce(TOPIC, f"value {i}", key=f"key {i}" if i % 2 else None, headers={"h": b"1"})
        producer.flush(10)
    consumer = Consumer({**common, "group.id": GROUP, "group.instance.id": "i", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    read = 0
    for _ in range(200):
        message = consumer.poll(0.1)
        read += message is not None and message.error() is None
        if read == 40:
            break
    consumer.commit(asynchronous=False)
    consumer.committed([TopicPartition(TOPIC, 0)], 10)
    consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 10)
    consumer.offsets_for_times([TopicPartition(TOPIC, 0, 1)], 10)
    consumer.close()
    dynamic = Consumer({**common, "group.id": GROUP + "2"})
    dynamic.subscribe([TOPIC])
    dynamic.poll(4)
    dynamic.close()
    admin.list_consumer_groups().result(10)
    admin.describe_consumer_groups([GROUP])[GROUP].result(10)
    admin.describe_configs([ConfigResource(ResourceType.TOPIC, TOPIC)])
    admin.describe_cluster().result(10)
    admin.delete_records([TopicPartition(TOPIC, 0, 1)])
    admin.list_topics(timeout=10)
    admin.delete_consumer_groups([GROUP + "2"])[GROUP + "2"].exception(10)
    admin.delete_topics([TOPIC])[TOPIC].result(10)


def kafka_python(address):
    import kafka
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import NewTopic

    name = "kafka-python" if not kafka.__version__.startswith("2.0") else f"kafka-python-{kafka.__version__}"
    common = {"bootstrap_servers": address, "client_id": name}
    admin = KafkaAdminClient(**common)
    admin.create_topics([NewTopic(TOPIC, 2, 1)])
    producer = KafkaProducer(acks="all", compression_type="gzip", **common)
    for i in range(20):
        producer.send(TOPIC, b"value", key=b"key" if i % 2 else None, headers=[("h", b"1")])
    producer.flush(10)
    producer.close()
    consumer = KafkaConsumer(TOPIC, group_id=GROUP, auto_offset_reset="earliest", enable_auto_commit=False,
                             heartbeat_interval_ms=500, **common)
    read = 0
    for _ in range(100):
        read += sum(len(records) for records in consumer.poll(200).values())
        if read == 20:
            break
    for _ in range(10):
        consumer.poll(200)
    consumer.commit()
    partition = TopicPartition(TOPIC, 0)
    consumer.committed(partition)
    consumer.end_offsets([partition])
    consumer.offsets_for_times({partition: 1})
    consumer.close()
    calls = [("list_consumer_groups", "list_groups"), ("describe_consumer_groups", "describe_groups", [GROUP]),
             ("list_consumer_group_offsets", "list_group_offsets", GROUP), ("describe_cluster", "describe_cluster"),
             ("delete_consumer_groups", "delete_groups", [GROUP]), ("delete_topics", "delete_topics", [TOPIC])]
    for old, new, *arguments in calls:  # named differently before and after version 3
        try:
            getattr(admin, old if hasattr(admin, old) else new)(*arguments)
        except Exception as error:  # what it sent is all that matters
            print(name, old, error, file=sys.stderr)
    admin.close()


async def aiokafka_calls(address):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    producer = AIOKafkaProducer(bootstrap_servers=address, client_id="aiokafka", enable_idempotence=True)
    await producer.start()
    for i in range(20):
        await producer.send_and_wait(TOPIC, b"value", key=b"key")
    await producer.stop()
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=address, client_id="aiokafka", group_id=GROUP,
                                auto_offset_reset="earliest", enable_auto_commit=False, heartbeat_interval_ms=500)
    await consumer.start()
    for _ in range(20):
        await asyncio.wait_for(consumer.getone(), 20)
    await asyncio.sleep(2)  # heartbeats
    await consumer.commit()
    partition = TopicPartition(TOPIC, 0)
    await consumer.committed(partition)
    await consumer.end_offsets([partition])
    await consumer.stop()


def kcat(address):
    common = ["kcat", "-b", address, "-X", "client.id=kcat"]
    subprocess.run([*common, "-P", "-t", TOPIC, "-z", "gzip"], input=b"one\ntwo\n", check=True, timeout=20)
    # The group's rebalance and a few heartbeats take their time; it is stopped so that it leaves the group.
    reader = subprocess.Popen([*common, "-G", GROUP, "-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=500",
                               "-X", "auto.commit.interval.ms=500", TOPIC])
    try:
        reader.wait(8)
    except subprocess.TimeoutExpired:
        reader.terminate()
        reader.wait(10)
    subprocess.run([*common, "-Q", "-t", f"{TOPIC}:0:-1"], check=True, timeout=20)
    subprocess.run([*common, "-L"], check=True, timeout=20)


if __name__ == "__main__":
    library, address = sys.argv[1:]
    if library == "aiokafka":
        asyncio.run(aiokafka_calls(address))
    else:
        {"librdkafka": librdkafka, "kafka-python": kafka_python, "kcat": kcat}[library](address)
