// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Paths;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The interop cases for the Java client. Started and reporting as ../common/cases.py describes; the same source is compiled
 * against clients from 2.8 to today's.
 */
public final class Suite {
    static final Duration DEADLINE = Duration.ofSeconds(40);
    private static final int PARTITIONS = 3;
    private static final int LONG_POLL_WAIT_MS = 15_000;
    private static final long LONG_POLL_LIMIT_MS = 5_000;

    private final String bootstrap;
    private final String prefix;
    private final Corpus corpus;
    private final Admin admin;

    private Suite(String bootstrap, String corpusPath, String prefix) throws Exception {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.corpus = new Corpus(Paths.get(corpusPath));
        this.admin = Admin.create(settings());
    }

    private interface Case {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3) {
            System.err.println("usage: Suite BOOTSTRAP CORPUS PREFIX [CASE...]");
            System.exit(2);
        }
        Suite suite = new Suite(arguments[0], arguments[1], arguments[2]);
        Set<String> only = new HashSet<>(Arrays.asList(arguments).subList(3, arguments.length));
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("topics", suite::topics);
        for (String codec : Arrays.asList("none", "gzip", "snappy", "lz4", "zstd")) {
            cases.put("codec-" + codec, () -> suite.roundTrip("codec-" + codec, codec, false));
        }
        cases.put("idempotent", () -> suite.roundTrip("idempotent", "none", true));
        cases.put("rebalance", suite::rebalance);
        cases.put("resume", suite::resume);
        cases.put("offsets", suite::offsets);
        cases.put("groups", suite::groups);
        cases.put("delete-records", suite::deleteRecords);
        cases.put("grow", suite::grow);
        cases.put("describe-configs", suite::describeConfigs);
        cases.put("alter-configs", suite::alterConfigs);
        cases.put("long-poll", suite::longPoll);
        cases.put("delete-topic", suite::deleteTopic);
        boolean failed = false;
        for (Map.Entry<String, Case> entry : cases.entrySet()) {
            if (!only.isEmpty() && !only.contains(entry.getKey())) {
                continue;
            }
            long started = System.nanoTime();
            String verdict = "PASS ";
            String reason = "";
            try {
                entry.getValue().run();
            } catch (Throwable error) {
                error.printStackTrace();
                failed = true;
                verdict = "FAIL ";
                reason = " " + String.valueOf(error).replaceAll("\\s+", " ");
            }
            System.out.println("CASE " + entry.getKey() + " " + verdict + (System.nanoTime() - started) / 1_000_000 + reason);
        }
        suite.admin.close(DEADLINE);
        System.exit(failed ? 1 : 0);
    }

    static void check(boolean condition, String message) {
        if (!condition) {
            throw new AssertionError(message);
        }
    }

    private static void waitFor(String description, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!condition.call()) {
            check(System.nanoTime() < end, description + ": not within " + DEADLINE.getSeconds() + " s");
            Thread.sleep(20);
        }
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(DEADLINE.toMillis(), java.util.concurrent.TimeUnit.MILLISECONDS);
    }

    private static void expect(Class<? extends Throwable> wanted, KafkaFuture<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException error) {
            check(wanted.isInstance(error.getCause()), "expected " + wanted.getSimpleName() + ", got " + error.getCause());
            return;
        }
        throw new AssertionError("expected " + wanted.getSimpleName() + ", the call succeeded");
    }

    private Map<String, Object> settings(Object... more) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < more.length; i += 2) {
            settings.put((String) more[i], more[i + 1]);
        }
        return settings;
    }

    private String createTopic(String name, int partitions) throws Exception {
        String topic = prefix + "-" + name;
        get(admin.createTopics(Collections.singleton(new NewTopic(topic, partitions, (short) 1))).all());
        waitFor(topic + " to be listed", () -> get(admin.listTopics().names()).contains(topic));
        return topic;
    }

    /** Sends all and returns their offsets once they are acknowledged. */
    private List<Long> produce(Collection<ProducerRecord<byte[], byte[]>> records, String codec, boolean idempotent) throws Exception {
        Map<String, Object> settings = settings("acks", "all", "compression.type", codec, "enable.idempotence", idempotent,
            "linger.ms", 20);
        List<Long> offsets = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : records) {
                sent.add(producer.send(record));
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) {
                offsets.add(one.get().offset());
            }
        }
        return offsets;
    }

    private List<Long> produceNumbers(String topic, int first, int count) throws Exception {
        return produce(IntStream.range(first, first + count)
            .mapToObj(i -> new ProducerRecord<byte[], byte[]>(topic, i % PARTITIONS, null, ("" + i).getBytes()))
            .collect(Collectors.toList()), "none", false);
    }

    private KafkaConsumer<byte[], byte[]> consumer(Object... more) {
        Map<String, Object> settings = settings(more);
        settings.putIfAbsent("enable.auto.commit", false);
        settings.putIfAbsent("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private KafkaConsumer<byte[], byte[]> reader(String topic, int partitions, Object... more) {
        KafkaConsumer<byte[], byte[]> consumer = consumer(more);
        consumer.assign(IntStream.range(0, partitions).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList()));
        return consumer;
    }

    private KafkaConsumer<byte[], byte[]> groupConsumer(String group) {
        return consumer("group.id", group, "session.timeout.ms", 10_000, "heartbeat.interval.ms", 500);
    }

    private static List<ConsumerRecord<byte[], byte[]>> collect(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (got.size() < count) {
            check(System.nanoTime() < end, "consumed " + got.size() + " of " + count + " records");
            consumer.poll(Duration.ofMillis(200)).forEach(got::add);
        }
        return got;
    }

    private static Set<String> values(Collection<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(record -> new String(record.value())).collect(Collectors.toSet());
    }

    private static Set<String> numbers(int first, int count) {
        return IntStream.range(first, first + count).mapToObj(i -> "" + i).collect(Collectors.toSet());
    }

    private long offset(String topic, int partition, OffsetSpec spec) throws Exception {
        TopicPartition key = new TopicPartition(topic, partition);
        ListOffsetsResultInfo found = get(admin.listOffsets(Collections.singletonMap(key, spec)).partitionResult(key));
        return found.offset();
    }

    private void topics() throws Exception {
        String topic = createTopic("topics", PARTITIONS);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            check(consumer.partitionsFor(topic).size() == PARTITIONS, "the topic has not three partitions");
        }
        expect(TopicExistsException.class, admin.createTopics(Collections.singleton(new NewTopic(topic, 1, (short) 1))).all());
    }

    private void roundTrip(String name, String codec, boolean idempotent) throws Exception {
        String topic = createTopic(name, PARTITIONS);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < corpus.entries.size(); i++) {
            records.add(corpus.entries.get(i).toRecord(topic, i % PARTITIONS));
        }
        List<Long> offsets = produce(records, codec, idempotent);
        for (int i = 0; i < offsets.size(); i++) {
            check(offsets.get(i) == i / PARTITIONS, "record " + i + " was acknowledged at " + offsets.get(i));
        }
        try (KafkaConsumer<byte[], byte[]> reader = reader(topic, PARTITIONS)) {
            List<ConsumerRecord<byte[], byte[]>> got = collect(reader, records.size());
            check(got.size() == records.size(), "consumed " + got.size() + " records, produced " + records.size());
            long[] next = new long[PARTITIONS];
            for (ConsumerRecord<byte[], byte[]> record : got) {
                String at = "partition " + record.partition() + " offset " + record.offset();
                check(record.offset() == next[record.partition()]++, at + " is out of turn");
                Corpus.Entry wanted = corpus.entries.get((int) record.offset() * PARTITIONS + record.partition());
                check(Arrays.equals(Corpus.encode(record), wanted.encoded()), at + " came back changed");
            }
        }
    }

    private void rebalance() throws Exception {
        String topic = createTopic("rebalance", PARTITIONS);
        String group = prefix + "-rebalance";
        Set<Integer> everything = IntStream.range(0, PARTITIONS).boxed().collect(Collectors.toSet());
        try (Member first = new Member(groupConsumer(group), topic)) {
            waitFor("one member to own every partition", () -> first.assignment().equals(everything));
            produceNumbers(topic, 0, 30);
            waitFor("one member to consume all", () -> first.values.size() == 30);
            try (Member second = new Member(groupConsumer(group), topic)) {
                waitFor("two members to share the partitions", () -> {
                    Set<Integer> union = new HashSet<>(first.assignment());
                    union.addAll(second.assignment());
                    return union.equals(everything) && !first.assignment().isEmpty() && !second.assignment().isEmpty()
                        && Collections.disjoint(first.assignment(), second.assignment());
                });
                produceNumbers(topic, 30, 30);
                Callable<Set<String>> union = () -> {
                    Set<String> values = new HashSet<>(first.values);
                    values.addAll(second.values);
                    return values;
                };
                waitFor("two members to consume all", () -> union.call().equals(numbers(0, 60)));
                first.close();
                waitFor("the member that stayed to own every partition", () -> second.assignment().equals(everything));
                produceNumbers(topic, 60, 30);
                waitFor("the member that stayed to consume all", () -> union.call().equals(numbers(0, 90)));
            }
        }
    }

    private void resume() throws Exception {
        String topic = createTopic("resume", PARTITIONS);
        String group = prefix + "-resume";
        produceNumbers(topic, 0, 90);
        List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
        for (int life = 0; life < 2; life++) {
            // Ten at a time, so that the first life ends with records left.
            try (KafkaConsumer<byte[], byte[]> member =
                    consumer("group.id", group, "max.poll.records", 10, "session.timeout.ms", 10_000)) {
                member.subscribe(Collections.singleton(topic));
                all.addAll(collect(member, life == 0 ? 40 : 90 - all.size()));
                member.commitSync();
            }
            Map<Integer, Long> delivered = new HashMap<>();
            all.forEach(record -> delivered.merge(record.partition(), record.offset() + 1, Math::max));
            Map<TopicPartition, OffsetAndMetadata> committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            for (Map.Entry<Integer, Long> entry : delivered.entrySet()) {
                OffsetAndMetadata offset = committed.get(new TopicPartition(topic, entry.getKey()));
                check(offset != null && offset.offset() == entry.getValue(), "committed " + committed + ", delivered " + delivered);
            }
        }
        check(all.size() == 90 && values(all).equals(numbers(0, 90)), "a record was lost, or a committed one came again");
    }

    private void offsets() throws Exception {
        String topic = createTopic("offsets", 1);
        check(offset(topic, 0, OffsetSpec.latest()) == 0, "latest of an empty topic is not 0");
        long base = System.currentTimeMillis() - 60_000;
        for (int i = 0; i < 10; i++) {
            // One batch per record, so that a search has something to find.
            produce(Collections.singleton(new ProducerRecord<>(topic, 0, base + 1000 * i, null, new byte[] {1})), "none", false);
        }
        check(offset(topic, 0, OffsetSpec.earliest()) == 0, "earliest is not 0");
        check(offset(topic, 0, OffsetSpec.latest()) == 10, "latest is not 10");
        long[][] queries = {{-5000, 0}, {0, 0}, {1, 1}, {4500, 5}, {9000, 9}, {9001, -1}};
        for (long[] query : queries) {
            long found = offset(topic, 0, OffsetSpec.forTimestamp(base + query[0]));
            check(found == query[1], "by timestamp +" + query[0] + " ms: " + found + " instead of " + query[1]);
        }
    }

    private void groups() throws Exception {
        String topic = createTopic("groups", PARTITIONS);
        String group = prefix + "-groups";
        produceNumbers(topic, 0, 3);
        try (KafkaConsumer<byte[], byte[]> member = groupConsumer(group)) {
            member.subscribe(Collections.singleton(topic));
            collect(member, 3);
            member.commitSync();
            check(get(admin.listConsumerGroups().all()).stream().anyMatch(listed -> listed.groupId().equals(group)),
                "the group is not listed");
            ConsumerGroupDescription description = describe(group);
            check(description.state().toString().equals("Stable"), "described as " + description);
            check(description.members().size() == 1, "described with " + description.members());
            check(description.members().iterator().next().assignment().topicPartitions().size() == PARTITIONS,
                "described with the assignment " + description.members());
            expect(GroupNotEmptyException.class, admin.deleteConsumerGroups(Collections.singleton(group)).all());
        }
        waitFor("the group to be empty", () -> describe(group).state().toString().equals("Empty"));
        get(admin.deleteConsumerGroups(Collections.singleton(group)).all());
        waitFor("the group to be gone",
            () -> get(admin.listConsumerGroups().all()).stream().noneMatch(listed -> listed.groupId().equals(group)));
        expect(GroupIdNotFoundException.class, admin.deleteConsumerGroups(Collections.singleton(group)).all());
    }

    private ConsumerGroupDescription describe(String group) throws Exception {
        return get(admin.describeConsumerGroups(Collections.singleton(group)).describedGroups().get(group));
    }

    private void deleteRecords() throws Exception {
        String topic = createTopic("delete-records", 1);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            records.add(new ProducerRecord<>(topic, 0, null, ("" + i).getBytes()));
        }
        produce(records, "none", true);
        TopicPartition key = new TopicPartition(topic, 0);
        long low = get(admin.deleteRecords(Collections.singletonMap(key, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(key))
            .lowWatermark();
        check(low == 4, "DeleteRecords answered low watermark " + low);
        check(offset(topic, 0, OffsetSpec.earliest()) == 4, "earliest is not where records were deleted to");
        try (KafkaConsumer<byte[], byte[]> reader = reader(topic, 1)) {
            check(values(collect(reader, 6)).equals(numbers(4, 6)), "other records than those that are left were consumed");
        }
        check(produce(records.subList(0, 1), "none", true).equals(Collections.singletonList(10L)), "producing does not go on");
    }

    private void grow() throws Exception {
        String topic = createTopic("grow", PARTITIONS);
        get(admin.createPartitions(Collections.singletonMap(topic, NewPartitions.increaseTo(5))).all());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer("metadata.max.age.ms", 50)) {
            waitFor("five partitions", () -> consumer.listTopics().get(topic).size() == 5);
        }
        check(produce(Collections.singleton(new ProducerRecord<>(topic, 4, null, new byte[] {1})), "none", false)
            .equals(Collections.singletonList(0L)), "the new partition does not begin at 0");
        expect(InvalidPartitionsException.class,
            admin.createPartitions(Collections.singletonMap(topic, NewPartitions.increaseTo(2))).all());
    }

    private void describeConfigs() throws Exception {
        String topic = prefix + "-describe-configs";
        NewTopic wanted = new NewTopic(topic, 1, (short) 1).configs(Collections.singletonMap("retention.ms", "123456789"));
        get(admin.createTopics(Collections.singleton(wanted)).all());
        waitFor(topic + " to be listed", () -> get(admin.listTopics().names()).contains(topic));
        Map<String, String> values = settingsOf(topic);
        check("123456789".equals(values.get("retention.ms")), "retention.ms is " + values.get("retention.ms"));
        check("delete".equals(values.get("cleanup.policy")), "cleanup.policy is " + values.get("cleanup.policy"));
        check(values.containsKey("max.message.bytes"), "max.message.bytes is not described");
    }

    private Map<String, String> settingsOf(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, String> values = new HashMap<>();
        get(admin.describeConfigs(Collections.singleton(resource)).all()).get(resource).entries()
            .forEach(entry -> values.put(entry.name(), entry.value()));
        return values;
    }

    private KafkaFuture<Void> alter(String topic, AlterConfigOp.OpType operation, String name, String value) {
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(name, value), operation);
        return admin.incrementalAlterConfigs(Collections.singletonMap(new ConfigResource(ConfigResource.Type.TOPIC, topic),
            Collections.singleton(change))).all();
    }

    private void alterConfigs() throws Exception {
        String topic = createTopic("alter-configs", 1);
        String before = settingsOf(topic).get("retention.ms");
        get(alter(topic, AlterConfigOp.OpType.SET, "retention.ms", "123456789"));
        get(alter(topic, AlterConfigOp.OpType.SET, "max.message.bytes", "2000"));
        waitFor("the changed settings", () -> "123456789".equals(settingsOf(topic).get("retention.ms"))
            && "2000".equals(settingsOf(topic).get("max.message.bytes")));
        try {
            produce(Collections.singleton(new ProducerRecord<>(topic, 0, null, new byte[3000])), "none", false);
            throw new AssertionError("a batch larger than the changed limit was taken");
        } catch (ExecutionException error) {
            check(error.getCause() instanceof RecordTooLargeException, "refused with " + error.getCause());
        }
        get(alter(topic, AlterConfigOp.OpType.DELETE, "retention.ms", ""));
        waitFor("the default", () -> before.equals(settingsOf(topic).get("retention.ms")));
        check("2000".equals(settingsOf(topic).get("max.message.bytes")), "a setting that was not named did not stay");
        expect(InvalidConfigurationException.class, alter(topic, AlterConfigOp.OpType.SET, "retention.ms", "soon"));
        expect(InvalidConfigurationException.class, alter(topic, AlterConfigOp.OpType.SET, "no.such.setting", "1"));
        expect(UnknownTopicOrPartitionException.class, alter(topic + "-not-there", AlterConfigOp.OpType.SET, "retention.ms", "1"));
    }

    private void longPoll() throws Exception {
        String topic = createTopic("long-poll", 1);
        KafkaConsumer<byte[], byte[]> reader = reader(topic, 1, "fetch.max.wait.ms", LONG_POLL_WAIT_MS);
        try {
            produceNumbers(topic, 0, 1);
            collect(reader, 1);
            // Having read what is there, the reader leaves a fetch waiting at the broker.
            check(reader.poll(Duration.ofMillis(300)).isEmpty(), "a record arrived twice");
            produce(Collections.singleton(new ProducerRecord<>(topic, 0, null, "awaited".getBytes())), "none", false);
            long produced = System.nanoTime();
            check(values(collect(reader, 1)).contains("awaited"), "something else arrived");
            long elapsed = (System.nanoTime() - produced) / 1_000_000;
            check(elapsed < LONG_POLL_LIMIT_MS, "a waiting fetch got its record after " + elapsed + " ms");
        } finally {
            reader.close(Duration.ZERO); // else the client first waits for the fetch it left waiting
        }
    }

    private void deleteTopic() throws Exception {
        String topic = createTopic("delete-topic", PARTITIONS);
        produceNumbers(topic, 0, 3);
        get(admin.deleteTopics(Collections.singleton(topic)).all());
        waitFor("the topic to be gone", () -> !get(admin.listTopics().names()).contains(topic));
        createTopic("delete-topic", 1);
        check(offset(topic, 0, OffsetSpec.latest()) == 0, "a topic created again is not empty");
    }
}
