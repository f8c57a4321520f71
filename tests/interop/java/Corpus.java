// SPDX-License-Identifier: Apache-2.0

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The corpus of a run (../common/corpus.py describes the file), and the same encoding of what was consumed. */
final class Corpus {
    /** One record; its encoding is its identity. */
    static final class Entry {
        final long timestamp;
        final byte[] key;
        final byte[] value;
        final List<Header> headers;

        Entry(long timestamp, byte[] key, byte[] value, List<Header> headers) {
            this.timestamp = timestamp;
            this.key = key;
            this.value = value;
            this.headers = headers;
        }

        ProducerRecord<byte[], byte[]> toRecord(String topic, int partition) {
            return new ProducerRecord<>(topic, partition, timestamp, key, value, headers);
        }

        byte[] encoded() {
            return encode(timestamp, key, value, headers);
        }
    }

    final List<Entry> entries = new ArrayList<>();

    Corpus(Path path) throws IOException {
        ByteBuffer data = ByteBuffer.wrap(Files.readAllBytes(path));
        int count = data.getInt();
        for (int i = 0; i < count; i++) {
            long timestamp = data.getLong();
            byte[] key = bytes(data);
            byte[] value = bytes(data);
            int headerCount = data.getInt();
            List<Header> headers = new ArrayList<>();
            for (int h = 0; h < headerCount; h++) {
                String name = new String(bytes(data), StandardCharsets.UTF_8);
                headers.add(new RecordHeader(name, bytes(data)));
            }
            entries.add(new Entry(timestamp, key, value, headers));
        }
    }

    private static byte[] bytes(ByteBuffer data) {
        int size = data.getInt();
        if (size < 0) {
            return null;
        }
        byte[] bytes = new byte[size];
        data.get(bytes);
        return bytes;
    }

    static byte[] encode(ConsumerRecord<byte[], byte[]> record) {
        return encode(record.timestamp(), record.key(), record.value(), record.headers());
    }

    private static byte[] encode(long timestamp, byte[] key, byte[] value, Iterable<Header> headers) {
        try {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            DataOutputStream out = new DataOutputStream(bytes);
            out.writeLong(timestamp);
            write(out, key);
            write(out, value);
            int count = 0;
            for (Header ignored : headers) {
                count++;
            }
            out.writeInt(count);
            for (Header header : headers) {
                write(out, header.key().getBytes(StandardCharsets.UTF_8));
                write(out, header.value());
            }
            return bytes.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static void write(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            out.write(bytes);
        }
    }
}
