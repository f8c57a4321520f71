// SPDX-License-Identifier: Apache-2.0
// Prints every message of the schema at every version as the Java client (kafka-clients) encodes it: filled, with nulls
// wherever the version allows them, and with defaults. Run by generators/make, which writes vectors/java.txt.
//
// Which fields a version has is taken from the client's own SCHEMAS, and the fields are set by reflection, so that nothing
// here depends on our schema.
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class JavaVectors {
    private final boolean nulls;
    private long counter = 1;

    private JavaVectors(boolean nulls) {
        this.nulls = nulls;
    }

    public static void main(String[] arguments) throws Exception {
        for (String argument : arguments) {
            String[] parts = argument.split(":");
            Class<?> type = Class.forName("org.apache.kafka.common.message." + parts[0] + (parts[0].startsWith("Consumer") ? "" : "Data"));
            Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
            for (short version = Short.parseShort(parts[1]); version <= Short.parseShort(parts[2]); version++) {
                Message filled = (Message) type.getConstructor().newInstance();
                new JavaVectors(false).fill(filled, schemas[version]);
                print(parts[0], version, "filled", filled);
                Message withNulls = (Message) type.getConstructor().newInstance();
                new JavaVectors(true).fill(withNulls, schemas[version]);
                print(parts[0], version, "nulls", withNulls);
                print(parts[0], version, "default", (Message) type.getConstructor().newInstance());
            }
        }
    }

    private static void print(String name, short version, String variant, Message message) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        StringBuilder hex = new StringBuilder();
        for (byte value : buffer.array()) {
            hex.append(String.format("%02x", value));
        }
        System.out.println(name + " " + version + " " + variant + " " + (hex.length() == 0 ? "-" : hex));
    }

    private void fill(Object message, Schema schema) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (Field field : ((TaggedFields) bound.def.type).fields().values()) {
                    set(message, field);
                }
            } else {
                set(message, bound.def);
            }
        }
    }

    private void set(Object message, Field field) throws Exception {
        StringBuilder name = new StringBuilder("set");
        for (String word : field.name.split("_")) {
            name.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        }
        for (Method method : message.getClass().getMethods()) {
            if (method.getName().equals(name.toString())) {
                method.invoke(message, value(method.getGenericParameterTypes()[0], field.type));
                return;
            }
        }
        throw new IllegalStateException(message.getClass() + " has no " + name);
    }

    private Object value(Type type, org.apache.kafka.common.protocol.types.Type wire) throws Exception {
        if (nulls && wire.isNullable()) {
            return null;
        }
        long next = counter++;
        if (type == boolean.class) return next % 2 == 0;
        if (type == byte.class) return (byte) next;
        if (type == short.class) return (short) (next + 40);
        if (type == int.class) return (int) (next * 0x01010101);
        if (type == long.class) return next * 0x0101010101010101L;
        if (type == String.class) return "text-\u00e4-" + next;
        if (type == Uuid.class) return new Uuid(next, -next);
        if (type == byte[].class) return bytes(next);
        if (type == ByteBuffer.class) return ByteBuffer.wrap(bytes(next));
        if (type instanceof Class && ((Class<?>) type).getSimpleName().equals("BaseRecords")) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes(next)));
        }
        if (type instanceof ParameterizedType) {
            Type element = ((ParameterizedType) type).getActualTypeArguments()[0];
            return fillCollection(new ArrayList<>(), element, wire);
        }
        Class<?> structure = (Class<?>) type;
        if (Collection.class.isAssignableFrom(structure)) {
            Type element = ((ParameterizedType) structure.getGenericSuperclass()).getActualTypeArguments()[0];
            @SuppressWarnings("unchecked")
            Collection<Object> collection = (Collection<Object>) structure.getConstructor().newInstance();
            return fillCollection(collection, element, wire);
        }
        Object nested = structure.getConstructor().newInstance();
        fill(nested, (Schema) wire);
        return nested;
    }

    private Object fillCollection(Collection<Object> out, Type element, org.apache.kafka.common.protocol.types.Type wire)
            throws Exception {
        org.apache.kafka.common.protocol.types.Type elementWire = wire.arrayElementType().get();
        for (int i = 0; i < 2; i++) {
            Object boxed = element == Integer.class ? (Object) value(int.class, elementWire)
                    : element == Short.class ? (Object) value(short.class, elementWire)
                    : element == Byte.class ? (Object) value(byte.class, elementWire)
                    : element == Long.class ? (Object) value(long.class, elementWire)
                    : value(element, elementWire);
            out.add(boxed);
        }
        return out;
    }

    private static byte[] bytes(long seed) {
        byte[] out = new byte[3 + (int) (seed % 5)];
        for (int i = 0; i < out.length; i++) {
            out[i] = (byte) (seed * 31 + i * 7);
        }
        return out;
    }
}
