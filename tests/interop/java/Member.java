// SPDX-License-Identifier: Apache-2.0

import java.time.Duration;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** A group member that polls on a thread of its own and commits what it got, as an application does. */
final class Member implements AutoCloseable {
    /** Values consumed; read by the case while the thread adds to it. */
    final Set<String> values = ConcurrentHashMap.newKeySet();

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread;
    private volatile Set<Integer> assignment = Collections.emptySet();
    private volatile boolean stop;
    private volatile Throwable error;

    Member(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        this.consumer = consumer;
        consumer.subscribe(Collections.singletonList(topic));
        thread = new Thread(this::run, "member");
        thread.start();
    }

    Set<Integer> assignment() {
        if (error != null) {
            throw new AssertionError("member: " + error, error);
        }
        return assignment;
    }

    private void run() {
        try (KafkaConsumer<byte[], byte[]> closing = consumer) {
            while (!stop) {
                ConsumerRecords<byte[], byte[]> records = closing.poll(Duration.ofMillis(100));
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    values.add(new String(record.value()));
                }
                Set<Integer> partitions = new HashSet<>();
                for (TopicPartition partition : closing.assignment()) {
                    partitions.add(partition.partition());
                }
                assignment = partitions;
                if (!records.isEmpty()) {
                    commit(closing);
                }
            }
        } catch (Throwable failed) {
            error = failed;
        }
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RebalanceInProgressException moved) {
            // A rebalance took the partitions; whoever has them now reads on from the last commit.
        }
    }

    @Override
    public void close() throws InterruptedException {
        stop = true;
        thread.join(Suite.DEADLINE.toMillis());
        Suite.check(!thread.isAlive(), "a member did not close");
        assignment();
    }
}
