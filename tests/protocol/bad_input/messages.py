# SPDX-License-Identifier: Apache-2.0
"""Requests of one chosen version each, and what their answers say. Arrays nest as in the protocol."""

from wire import Out


def produce(topics, acks=-1, transactional_id=None, timeout_ms=5000):
    """v8. topics: [(name, [(partition, records)])]"""
    return Out().text(transactional_id).i16(acks).i32(timeout_ms).array(topics, lambda o, t: o.text(t[0]).array(
        t[1], lambda o, p: o.i32(p[0]).blob(p[1])))


def read_produce(r):
    """[(topic, [(partition, error, base offset, message)])]"""
    def partition(r):
        index, error, offset, _, _ = r.i32(), r.i16(), r.i64(), r.i64(), r.i64()
        r.array(lambda r: (r.i32(), r.text()))
        return index, error, offset, r.text()
    topics = r.array(lambda r: (r.text(), r.array(partition)))
    r.i32()
    return topics


def fetch(topics, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, session=0, epoch=-1, forgotten=()):
    """v11. topics: [(name, [(partition, offset, leader epoch, max bytes)])]"""
    return Out().i32(-1).i32(max_wait_ms).i32(min_bytes).i32(max_bytes).i8(0).i32(session).i32(epoch).array(
        topics, lambda o, t: o.text(t[0]).array(t[1], lambda o, p: o.i32(p[0]).i32(p[2]).i64(p[1]).i64(-1).i32(p[3]))).array(
        forgotten, lambda o, t: o.text(t[0]).array(t[1])).text("")


def read_fetch(r):
    """(error, session, [(topic, [(partition, error, high watermark, records)])])"""
    def partition(r):
        index, error, high, _, _ = r.i32(), r.i16(), r.i64(), r.i64(), r.i64()
        r.array(lambda r: (r.i64(), r.i64()))
        r.i32()
        return index, error, high, r.blob()
    r.i32()
    return r.i16(), r.i32(), r.array(lambda r: (r.text(), r.array(partition)))


def fetch_by_id(topics, session=0, epoch=-1):
    """v13. topics: [(id, [(partition, offset)])]"""
    return Out(True).i32(-1).i32(0).i32(0).i32(1 << 20).i8(0).i32(session).i32(epoch).array(
        topics, lambda o, t: o.raw(t[0]).array(
            t[1], lambda o, p: o.i32(p[0]).i32(-1).i64(p[1]).i32(-1).i64(-1).i32(1 << 20).tags()).tags()).array(()).text("").tags()


def read_fetch_by_id(r):
    def partition(r):
        index, error, high, _, _ = r.i32(), r.i16(), r.i64(), r.i64(), r.i64()
        r.array(lambda r: (r.i64(), r.i64(), r.tags()))
        r.i32()
        records = r.blob()
        r.tags()
        return index, error, high, records

    def topic(r):
        result = r.raw(16), r.array(partition)
        r.tags()
        return result
    r.i32()
    return r.i16(), r.i32(), r.array(topic)


def list_offsets(topics, version=5):
    """v5, v7, v11. topics: [(name, [(partition, leader epoch, timestamp)])]"""
    out = Out(version >= 6).i32(-1).i8(0).array(topics, lambda o, t: o.text(t[0]).array(
        t[1], lambda o, p: o.i32(p[0]).i32(p[1]).i64(p[2]).tags()).tags())
    return (out.i32(1000) if version >= 10 else out).tags()


def read_list_offsets(r):
    """[(topic, [(partition, error, timestamp, offset)])]"""
    def partition(r):
        result = r.i32(), r.i16(), r.i64(), r.i64()
        r.i32()
        r.tags()
        return result

    def topic(r):
        result = r.text(), r.array(partition)
        r.tags()
        return result
    r.i32()
    return r.array(topic)


def metadata(names, create=False):
    """v8"""
    return Out().array(names, Out.text).i8(create).i8(0).i8(0)


def read_metadata(r):
    """[(error, name, partitions)]"""
    def topic(r):
        error, name, _ = r.i16(), r.text(), r.i8()
        partitions = r.array(lambda r: (r.i16(), r.i32(), r.i32(), r.i32(), r.array(), r.array(), r.array()))
        r.i32()
        return error, name, len(partitions)
    r.i32()
    r.array(lambda r: (r.i32(), r.text(), r.i32(), r.text()))
    r.text()
    r.i32()
    return r.array(topic)


def metadata_of(topics):
    """v12. topics: [(id, name)]"""
    return Out(True).array(topics, lambda o, t: o.raw(t[0]).text(t[1]).tags()).i8(0).i8(0).tags()


def read_metadata_of(r):
    """[(error, name, id)]"""
    def broker(r):
        r.i32(), r.text(), r.i32(), r.text()
        r.tags()

    def partition(r):
        r.i16(), r.i32(), r.i32(), r.i32(), r.array(), r.array(), r.array()
        r.tags()

    def topic(r):
        error, name, uuid, _ = r.i16(), r.text(), r.raw(16), r.i8()
        r.array(partition)
        r.i32()
        r.tags()
        return error, name, uuid
    r.i32()
    r.array(broker)
    r.text()
    r.i32()
    return r.array(topic)


def create_topics(topics, validate_only=False):
    """v4. topics: [(name, partitions, replication factor, [(partition, brokers)], [(config, value)])]"""
    return Out().array(topics, lambda o, t: o.text(t[0]).i32(t[1]).i16(t[2]).array(
        t[3], lambda o, a: o.i32(a[0]).array(a[1])).array(t[4], lambda o, c: o.text(c[0]).text(c[1]))).i32(5000).i8(validate_only)


def create_partitions(topics, validate_only=False):
    """v1. topics: [(name, count, [brokers] or None)]"""
    return Out().array(topics, lambda o, t: o.text(t[0]).i32(t[1]).array(t[2], lambda o, a: o.array(a))).i32(5000).i8(validate_only)


def read_named_errors(r):
    """[(name, error, message)], of CreateTopics and CreatePartitions"""
    r.i32()
    return r.array(lambda r: (r.text(), r.i16(), r.text()))


def delete_topics(names):
    """v3"""
    return Out().array(names, Out.text).i32(5000)


def read_names(r):
    """[(name, error)], of DeleteTopics and DeleteGroups"""
    r.i32()
    return r.array(lambda r: (r.text(), r.i16()))


def delete_topics_by_id(topics):
    """v6. topics: [(name, id)]"""
    return Out(True).array(topics, lambda o, t: o.text(t[0]).raw(t[1]).tags()).i32(5000).tags()


def read_delete_topics_by_id(r):
    """[(name, error, message)]"""
    def topic(r):
        name, _, error, message = r.text(), r.raw(16), r.i16(), r.text()
        r.tags()
        return name, error, message
    r.i32()
    return r.array(topic)


def delete_records(topics):
    """v1. topics: [(name, [(partition, offset)])]"""
    return Out().array(topics, lambda o, t: o.text(t[0]).array(t[1], lambda o, p: o.i32(p[0]).i64(p[1]))).i32(5000)


def read_delete_records(r):
    """[(name, [(partition, low watermark, error)])]"""
    r.i32()
    return r.array(lambda r: (r.text(), r.array(lambda r: (r.i32(), r.i64(), r.i16()))))


def join_group(group, member="", session_ms=10_000, rebalance_ms=10_000, instance=None, protocol_type="consumer",
               protocols=(("range", b""),)):
    """v5"""
    return Out().text(group).i32(session_ms).i32(rebalance_ms).text(member).text(instance).text(protocol_type).array(
        protocols, lambda o, p: o.text(p[0]).blob(p[1]))


def read_join_group(r):
    """(error, generation, leader, member)"""
    r.i32()
    error, generation, _, leader, member = r.i16(), r.i32(), r.text(), r.text(), r.text()
    r.array(lambda r: (r.text(), r.text(), r.blob()))
    return error, generation, leader, member


def sync_group(group, generation, member, assignments=(), instance=None):
    """v3"""
    return Out().text(group).i32(generation).text(member).text(instance).array(assignments, lambda o, a: o.text(a[0]).blob(a[1]))


def read_sync_group(r):
    """(error, assignment)"""
    r.i32()
    return r.i16(), r.blob()


def heartbeat(group, generation, member, instance=None):
    """v3"""
    return Out().text(group).i32(generation).text(member).text(instance)


def read_error(r):
    """After the throttle time."""
    r.i32()
    return r.i16()


def leave_group(group, members):
    """v3. members: [(member, instance)]"""
    return Out().text(group).array(members, lambda o, m: o.text(m[0]).text(m[1]))


def read_leave_group(r):
    """(error, [error of each])"""
    r.i32()
    return r.i16(), r.array(lambda r: (r.text(), r.text(), r.i16())[2])


def offset_commit(group, generation, member, topics, instance=None):
    """v7. topics: [(name, [(partition, offset, metadata)])]"""
    return Out().text(group).i32(generation).text(member).text(instance).array(topics, lambda o, t: o.text(t[0]).array(
        t[1], lambda o, p: o.i32(p[0]).i64(p[1]).i32(-1).text(p[2])))


def read_offset_commit(r):
    """[(name, [(partition, error)])]"""
    r.i32()
    return r.array(lambda r: (r.text(), r.array(lambda r: (r.i32(), r.i16()))))


def offset_fetch(group, topics):
    """v5. topics: [(name, [partition])], or None for all"""
    return Out().text(group).array(topics, lambda o, t: o.text(t[0]).array(t[1]))


def read_offset_fetch(r):
    """([(name, [(partition, offset, metadata, error)])], error)"""
    def partition(r):
        index, offset, _ = r.i32(), r.i64(), r.i32()
        return index, offset, r.text(), r.i16()
    r.i32()
    return r.array(lambda r: (r.text(), r.array(partition))), r.i16()


def describe_configs(resources):
    """v3. resources: [(type, name, [key] or None)]"""
    return Out().array(resources, lambda o, x: o.i8(x[0]).text(x[1]).array(x[2], Out.text)).i8(0).i8(0)


def read_describe_configs(r):
    """[(error, message, name, {config: value})]"""
    def config(r):
        name, value = r.text(), r.text()
        r.i8(), r.i8(), r.i8()
        r.array(lambda r: (r.text(), r.text(), r.i8()))
        r.i8(), r.text()
        return name, value

    def result(r):
        error, message, _, name = r.i16(), r.text(), r.i8(), r.text()
        return error, message, name, dict(r.array(config))
    r.i32()
    return r.array(result)


def init_producer_id(transactional_id=None, timeout_ms=60_000, producer=-1, epoch=-1):
    """v3"""
    return Out(True).text(transactional_id).i32(timeout_ms).i64(producer).i16(epoch).tags()


def read_init_producer_id(r):
    """(error, producer id, epoch)"""
    r.i32()
    return r.i16(), r.i64(), r.i16()


def offset_for_leader_epoch(topics):
    """v3. topics: [(name, [(partition, current leader epoch, leader epoch)])]"""
    return Out().i32(-1).array(topics, lambda o, t: o.text(t[0]).array(t[1], lambda o, p: o.i32(p[0]).i32(p[1]).i32(p[2])))


def read_offset_for_leader_epoch(r):
    """[(name, [(error, partition, leader epoch, end offset)])]"""
    r.i32()
    return r.array(lambda r: (r.text(), r.array(lambda r: (r.i16(), r.i32(), r.i32(), r.i64()))))


def read_api_versions_0(r):
    """(error, {api: (lowest, highest)})"""
    error = r.i16()
    ranges = {key: (low, high) for key, low, high in r.array(lambda r: (r.i16(), r.i16(), r.i16()))}
    r.end()
    return error, ranges


def read_find_coordinator(r):
    """v2: (error, message, node)"""
    r.i32()
    return r.i16(), r.text(), r.i32()


