# SPDX-License-Identifier: Apache-2.0
"""The protocol by hand: what a client may write, and what no client should. Knows nothing of the broker's own codec."""

import struct
import time

NONE = 0
UNKNOWN_SERVER_ERROR = -1
OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
MESSAGE_TOO_LARGE = 10
OFFSET_METADATA_TOO_LARGE = 12
INVALID_TOPIC_EXCEPTION = 17
INVALID_REQUIRED_ACKS = 21
ILLEGAL_GENERATION = 22
INCONSISTENT_GROUP_PROTOCOL = 23
INVALID_GROUP_ID = 24
UNKNOWN_MEMBER_ID = 25
INVALID_SESSION_TIMEOUT = 26
REBALANCE_IN_PROGRESS = 27
INVALID_TIMESTAMP = 32
UNSUPPORTED_VERSION = 35
TOPIC_ALREADY_EXISTS = 36
INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38
INVALID_REPLICA_ASSIGNMENT = 39
INVALID_CONFIG = 40
INVALID_REQUEST = 42
POLICY_VIOLATION = 44
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
INVALID_PRODUCER_EPOCH = 47
INVALID_TXN_STATE = 48
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
NON_EMPTY_GROUP = 68
GROUP_ID_NOT_FOUND = 69
FETCH_SESSION_ID_NOT_FOUND = 70
INVALID_FETCH_SESSION_EPOCH = 71
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
UNSUPPORTED_COMPRESSION_TYPE = 76
MEMBER_ID_REQUIRED = 79
FENCED_INSTANCE_ID = 82
INVALID_RECORD = 87
UNKNOWN_TOPIC_ID = 100
FETCH_SESSION_TOPIC_ID_ERROR = 106

ERROR_NAMES = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 8, 9, 10, 11, 12, 13, 14
DESCRIBE_GROUPS, LIST_GROUPS, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 15, 16, 18, 19, 20, 21, 22
OFFSET_FOR_LEADER_EPOCH, DESCRIBE_CONFIGS, CREATE_PARTITIONS, DELETE_GROUPS, OFFSET_DELETE = 23, 32, 37, 42, 47
DESCRIBE_CLUSTER, DESCRIBE_TOPIC_PARTITIONS = 60, 75

API_NAMES = {
    PRODUCE: "Produce", FETCH: "Fetch", LIST_OFFSETS: "ListOffsets", METADATA: "Metadata", OFFSET_COMMIT: "OffsetCommit",
    OFFSET_FETCH: "OffsetFetch", FIND_COORDINATOR: "FindCoordinator", JOIN_GROUP: "JoinGroup", HEARTBEAT: "Heartbeat",
    LEAVE_GROUP: "LeaveGroup", SYNC_GROUP: "SyncGroup", DESCRIBE_GROUPS: "DescribeGroups", LIST_GROUPS: "ListGroups",
    API_VERSIONS: "ApiVersions", CREATE_TOPICS: "CreateTopics", DELETE_TOPICS: "DeleteTopics", DELETE_RECORDS: "DeleteRecords",
    INIT_PRODUCER_ID: "InitProducerId", OFFSET_FOR_LEADER_EPOCH: "OffsetForLeaderEpoch", DESCRIBE_CONFIGS: "DescribeConfigs",
    CREATE_PARTITIONS: "CreatePartitions", DELETE_GROUPS: "DeleteGroups", OFFSET_DELETE: "OffsetDelete",
    DESCRIBE_CLUSTER: "DescribeCluster", DESCRIBE_TOPIC_PARTITIONS: "DescribeTopicPartitions",
}

# The first version of each API with compact lengths and tagged fields.
FIRST_FLEXIBLE = {PRODUCE: 9, FETCH: 12, LIST_OFFSETS: 6, METADATA: 9, OFFSET_COMMIT: 8, OFFSET_FETCH: 6, FIND_COORDINATOR: 3,
                  JOIN_GROUP: 6, HEARTBEAT: 4, LEAVE_GROUP: 4, SYNC_GROUP: 4, DESCRIBE_GROUPS: 5, LIST_GROUPS: 3, API_VERSIONS: 3,
                  CREATE_TOPICS: 5, DELETE_TOPICS: 4, DELETE_RECORDS: 2, INIT_PRODUCER_ID: 2, OFFSET_FOR_LEADER_EPOCH: 4,
                  DESCRIBE_CONFIGS: 4, CREATE_PARTITIONS: 2, DELETE_GROUPS: 2, DESCRIBE_CLUSTER: 0, DESCRIBE_TOPIC_PARTITIONS: 0}

I8, I16, I32, I64 = 0x7F, 0x7FFF, 0x7FFFFFFF, 0x7FFFFFFFFFFFFFFF  # the largest of each
ZERO_ID = bytes(16)


def is_flexible(api, version):
    return version >= FIRST_FLEXIBLE.get(api, 1 << 15)


def varuint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value):
    return varuint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


class Out:
    """A message being written; every method gives the writer back."""

    def __init__(self, flexible=False):
        self.data = bytearray()
        self.flexible = flexible

    def raw(self, data):
        self.data += data
        return self

    def i8(self, value):
        return self.raw(struct.pack(">b", value))

    def i16(self, value):
        return self.raw(struct.pack(">h", value))

    def i32(self, value):
        return self.raw(struct.pack(">i", value))

    def i64(self, value):
        return self.raw(struct.pack(">q", value))

    def text(self, value):
        data = value.encode() if isinstance(value, str) else value
        if self.flexible:
            return self.raw(varuint(0) if data is None else varuint(len(data) + 1) + data)
        return self.i16(-1) if data is None else self.i16(len(data)).raw(data)

    def blob(self, data):
        if self.flexible:
            return self.raw(varuint(0) if data is None else varuint(len(data) + 1) + data)
        return self.i32(-1) if data is None else self.i32(len(data)).raw(data)

    def count(self, value):
        return self.raw(varuint(value + 1)) if self.flexible else self.i32(value)

    def array(self, items, write=None):
        """`items`: None for null. `write(out, item)`; without it the items are int32s."""
        self.count(-1 if items is None else len(items))
        for item in items or ():
            write(self, item) if write else self.i32(item)
        return self

    def tags(self):
        """No tagged fields; nothing at all in classic versions."""
        return self.raw(b"\0") if self.flexible else self


class In:
    """An answer being read."""

    def __init__(self, data, flexible=False):
        self._data, self._at, self.flexible = data, 0, flexible

    def raw(self, size):
        if size < 0 or self._at + size > len(self._data):
            raise AssertionError(f"an answer of {len(self._data)} bytes ends in the middle of a field")
        self._at += size
        return self._data[self._at - size:self._at]

    def i8(self):
        return struct.unpack(">b", self.raw(1))[0]

    def i16(self):
        return struct.unpack(">h", self.raw(2))[0]

    def i32(self):
        return struct.unpack(">i", self.raw(4))[0]

    def i64(self):
        return struct.unpack(">q", self.raw(8))[0]

    def varuint(self):
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        size = self.varuint() - 1 if self.flexible else self.i16()
        return None if size < 0 else self.raw(size).decode(errors="replace")

    def blob(self):
        size = self.varuint() - 1 if self.flexible else self.i32()
        return None if size < 0 else self.raw(size)

    def array(self, read=None):
        size = self.varuint() - 1 if self.flexible else self.i32()
        return None if size < 0 else [read(self) if read else self.i32() for _ in range(size)]

    def tags(self):
        if self.flexible:
            for _ in range(self.varuint()):
                self.varuint()
                self.raw(self.varuint())

    def end(self):
        if self._at != len(self._data):
            raise AssertionError(f"{len(self._data) - self._at} bytes are left over in an answer")


def frame(payload):
    return struct.pack(">i", len(payload)) + bytes(payload)


def header(api, version, correlation, client_id="bad-input", flexible=None):
    out = Out().i16(api).i16(version).i32(correlation).text(client_id)
    out.flexible = is_flexible(api, version) if flexible is None else flexible
    return bytes(out.tags().data)


def request(api, version, correlation, body=b"", client_id="bad-input"):
    """A whole frame; `body`: bytes or an Out."""
    return frame(header(api, version, correlation, client_id) + bytes(body.data if isinstance(body, Out) else body))


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def record(index, value=b"value", key=None, timestamp_delta=0, headers=()):
    body = b"\0" + varint(timestamp_delta) + varint(index)
    for field in (key, value):
        body += varint(-1) if field is None else varint(len(field)) + field
    body += varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + (varint(-1) if content is None else varint(len(content)) + content)
    return varint(len(body)) + body


def batch(values=(b"value",), *, records=None, count=None, last_delta=None, base_offset=0, magic=2, attributes=0, timestamp=None,
          max_timestamp=None, producer=-1, epoch=-1, sequence=-1, length=None, crc_flip=0):
    """A record batch of magic 2. What is not said is as it should be; the checksum fits, unless bits of it are flipped."""
    now = int(time.time() * 1000)
    timestamp = now if timestamp is None else timestamp
    max_timestamp = timestamp if max_timestamp is None else max_timestamp
    count = len(values) if count is None else count
    last_delta = count - 1 if last_delta is None else last_delta
    records = b"".join(record(i, value) for i, value in enumerate(values)) if records is None else records
    checked = struct.pack(">HiqqqhiI", attributes & 0xFFFF, last_delta, timestamp, max_timestamp, producer, epoch, sequence, count & 0xFFFFFFFF) + records
    tail = struct.pack(">ibI", -1, magic, crc32c(checked) ^ crc_flip) + checked
    return struct.pack(">qi", base_offset, len(tail) if length is None else length) + tail


def message_set(magic, value=b"value"):
    """One message of the formats before record batches."""
    import zlib
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", int(time.time() * 1000)) if magic == 1 else b"")
    body += struct.pack(">i", -1) + struct.pack(">i", len(value)) + value
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message
