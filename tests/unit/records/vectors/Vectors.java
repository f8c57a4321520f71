// SPDX-License-Identifier: Apache-2.0
// Record batches made, and read back, by Kafka's own Java client. See README.md.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;

public class Vectors {
  static final long BASE = 1700000000000L;
  record Expected(long timestamp, byte[] key, byte[] value, Header[] headers) {}

  static byte[] utf8(String text) { return text == null ? null : text.getBytes(StandardCharsets.UTF_8); }

  static List<Expected> content(boolean large) {
    List<Expected> all = new ArrayList<>();
    all.add(new Expected(BASE + 100, utf8("k0"), utf8("first"), new Header[] {
        new RecordHeader("h", utf8("1")), new RecordHeader("h", null), new RecordHeader("e", utf8(""))}));
    all.add(new Expected(BASE + 400, null, utf8(""), new Header[0]));
    all.add(new Expected(BASE + 250, utf8(""), null, new Header[0]));
    for (int i = 3; i < 20; ++i) all.add(new Expected(BASE + 250, utf8("k" + i), utf8(("value " + i + " ").repeat(8)), new Header[0]));
    if (large) {
      all.add(new Expected(BASE + 399, utf8("a"), utf8("a".repeat(40000)), new Header[0]));
      all.add(new Expected(BASE + 399, utf8("b"), utf8("b".repeat(40000)), new Header[0]));
    }
    return all;
  }

  static void write(Path directory, String name, ByteBuffer bytes) throws Exception {
    byte[] copy = new byte[bytes.remaining()];
    bytes.duplicate().get(copy);
    String hex = HexFormat.of().formatHex(copy);
    Files.writeString(directory.resolve(name + ".hex"), hex.replaceAll("(.{120})", "$1\n") + "\n");
  }

  static ByteBuffer build(Compression compression, boolean large, TimestampType type, long producerId, boolean transactional) {
    ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
    MemoryRecordsBuilder builder = new MemoryRecordsBuilder(buffer, (byte) 2, compression, type, 0L, BASE + 1000, producerId,
        producerId < 0 ? (short) -1 : (short) 5, producerId < 0 ? -1 : 17, transactional, false, -1, 1 << 20);
    for (Expected e : content(large)) builder.append(e.timestamp, e.key, e.value, e.headers);
    return builder.build().buffer();
  }

  static void check(Path file, boolean large) throws Exception {
    byte[] bytes = HexFormat.of().parseHex(Files.readString(file).replaceAll("\\s", ""));
    List<Expected> expected = content(large);
    Iterator<Expected> next = expected.iterator();
    for (RecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches()) {
      batch.ensureValid();
      for (org.apache.kafka.common.record.Record got : batch) {
        Expected want = next.next();
        byte[] key = got.key() == null ? null : org.apache.kafka.common.utils.Utils.toArray(got.key());
        byte[] value = got.value() == null ? null : org.apache.kafka.common.utils.Utils.toArray(got.value());
        if (got.timestamp() != want.timestamp || !Arrays.equals(key, want.key) || !Arrays.equals(value, want.value)
            || !Arrays.equals(got.headers(), want.headers)) throw new AssertionError(file + " at offset " + got.offset());
      }
    }
    if (next.hasNext()) throw new AssertionError(file + ": records are missing");
    System.out.println("java reads " + file.getFileName());
  }

  public static void main(String[] arguments) throws Exception {
    Path directory = Path.of(arguments[1]);
    if (arguments[0].equals("check")) {
      for (CompressionType type : CompressionType.values()) {
        check(directory.resolve("sluice-" + type.name + ".hex"), type != CompressionType.NONE);
      }
      return;
    }
    for (CompressionType type : CompressionType.values()) {
      boolean large = type != CompressionType.NONE;
      write(directory, "java-" + type.name, build(Compression.of(type).build(), large, TimestampType.CREATE_TIME, -1, false));
    }
    write(directory, "java-append-time", build(Compression.NONE, false, TimestampType.LOG_APPEND_TIME, -1, false));
    write(directory, "java-transactional", build(Compression.NONE, false, TimestampType.CREATE_TIME, 4711, true));
    write(directory, "java-commit-marker", MemoryRecords.withEndTransactionMarker(0L, BASE, -1, 4711L, (short) 5,
        new EndTransactionMarker(ControlRecordType.COMMIT, 23)).buffer());
    write(directory, "java-abort-marker", MemoryRecords.withEndTransactionMarker(0L, BASE, -1, 4711L, (short) 5,
        new EndTransactionMarker(ControlRecordType.ABORT, 23)).buffer());
  }
}
