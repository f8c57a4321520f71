# SPDX-License-Identifier: Apache-2.0
"""The package as its users see it: python -m unittest, with SLUICE_LIBRARY naming libsluice.so."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

import sluice
from sluice import errors


class FilterTest(unittest.TestCase):
    def test_judges_records(self):
        wanted = sluice.Filter("value.total >= 100 and headers.tenant = 'a'")
        self.assertIs(wanted.judge(value=b'{"total": 120}', headers=[("tenant", b"a")]), True)
        self.assertIs(wanted.judge(value=b'{"total": 20}', headers=[("tenant", b"a")]), False)
        self.assertIsNone(wanted.judge(value=b"{}", headers=[("tenant", b"a")]))

    def test_text_and_data_are_the_same(self):
        wanted = sluice.Filter("partition = 3 or key = 'x'")
        self.assertEqual(str(sluice.Filter(wanted.data())), str(wanted))

    def test_a_fault_has_its_place(self):
        with self.assertRaises(errors.Invalid) as caught:
            sluice.Filter("partition = = 3")
        self.assertEqual(caught.exception.native_code, 12)


class BusTest(unittest.TestCase):
    def test_events_come_through_a_consumer(self):
        with sluice.Bus(shards=2, retain_events=1000) as bus:
            bus.ingest(b"null", key=b"", headers=[("h", b"1"), ("h", None), ("g", b"")])
            bus.ingest(None, key=None)
            done = bus.ingest_batch([sluice.Event(b'{"n": %d}' % n, key=b"k%d" % (n % 7)) for n in range(100)])
            self.assertEqual(done, ("queued", 100, 100, 0))
            bus.drain()
            with sluice.Consumer(sources=[{"kind": "bus", "bus": bus.handle}]) as consumer:
                records = []
                while len(records) < 102:
                    records += consumer.poll().records
            first = [record for record in records if record.value == b"null"][0]
            self.assertEqual((first.key, first.headers), (b"", (("h", b"1"), ("h", None), ("g", b""))))
            self.assertEqual(sum(record.value is None and record.key is None for record in records), 1)
            stats = bus.stats()
            self.assertEqual((stats["accepted"], stats["delivered"], stats["pending"]), (102, 102, 0))

    def test_a_batch_that_finds_room_for_some_says_for_how_many(self):
        held = threading.Event()
        events = [sluice.Event(b"%d" % n, key=b"k") for n in range(40)]
        with sluice.Bus(shards=1, capacity_events=16, when_full="fail", sink=sluice.Sink(lambda batch: held.wait(60))) as bus:
            with self.assertRaises(errors.Busy) as caught:
                bus.ingest_batch(events)
            self.assertEqual(caught.exception.ingested, ("full", 16, 16, 0))
            self.assertEqual(caught.exception.index, 16)
            with self.assertRaises(errors.Busy) as caught:
                bus.ingest_batch(events[16:])
            self.assertEqual(caught.exception.ingested, ("full", 0, 0, 0))
            held.set()
            left, delivered = events[16:], 16
            while left:
                try:
                    delivered += bus.ingest_batch(left).queued
                    break
                except errors.Busy as error:
                    delivered += error.ingested.queued
                    left = left[error.ingested.index:]
                    bus.drain()
            bus.drain()
            self.assertEqual((delivered, bus.stats()["delivered"]), (40, 40))
            with self.assertRaises(errors.Invalid) as caught:
                bus.ingest_batch([events[0], sluice.Event(b"", headers=[("h", b"")] * 100_000)])
            self.assertEqual((caught.exception.ingested, bus.stats()["accepted"]), (("invalid", 1, 0, 0), 40))
            bus.shutdown()
            with self.assertRaises(errors.Fenced) as caught:
                bus.ingest_batch(events[:2])
            self.assertEqual(caught.exception.ingested, ("shutting_down", 0, 0, 0))

    def test_a_cursor_goes_on_where_it_was_left(self):
        with sluice.Bus(shards=3, retain_events=1000) as bus:
            bus.ingest_batch([sluice.Event(b'{"n": %d}' % n, key=b"%d" % n) for n in range(300)])
            bus.drain()
            seen, cursor = [], ""
            while len(seen) < 100:
                with sluice.Consumer(cursor, sources=[{"kind": "bus", "bus": bus.handle}], filter="value.n < 100") as consumer:
                    page = consumer.poll(max_records=7)
                seen += [record.value for record in page.records]
                if cursor:
                    self.assertEqual(sluice.compare_cursors(cursor, page.cursor), -1)
                cursor = page.cursor
            self.assertEqual(len(seen), len(set(seen)))

    def test_a_configuration_names_its_fault(self):
        with self.assertRaisesRegex(errors.Invalid, "batch.max_event: there is no such setting"):
            sluice.Bus(batch={"max_event": 1})
        with self.assertRaisesRegex(errors.Invalid, r"sources\[1\].storage"):
            sluice.Consumer(sources=[{"kind": "bus", "bus": 1}, {"kind": "log", "storage": "x", "log": "l"}])

    def test_what_was_shut_down_says_so(self):
        bus = sluice.Bus(retain_events=1)
        bus.shutdown()
        with self.assertRaises(errors.Fenced):
            bus.ingest(b"x")

    def test_wake_ends_a_poll(self):
        with sluice.Bus(retain_events=10) as bus, sluice.Consumer(sources=[{"kind": "bus", "bus": bus.handle}]) as consumer:
            timer = threading.Timer(0.05, consumer.wake)
            timer.start()
            self.assertEqual(consumer.poll(wait_ms=60_000).records, [])
            timer.join()


class CheckpointTest(unittest.TestCase):
    def test_the_newest_wins_and_conflicts_are_told(self):
        with tempfile.TemporaryDirectory() as directory:
            store = sluice.CheckpointStore(directory + "/checkpoints")
            self.assertIsNone(store.newest("g"))
            first = store.commit("g", "one")
            second = store.commit("g", "two" * 10_000, after=first)
            with self.assertRaises(errors.Conflict):
                store.commit("g", "three", after=first)
            newest = store.newest("g")
            self.assertEqual((newest.id, newest.cursor, newest.damaged_newer), (second, "two" * 10_000, 0))
            store.commit("g", "four", after=second, metadata=[("host", "a")])
            self.assertEqual([one["metadata"] for one in store.list("g")["checkpoints"]], [[["host", "a"]], [], []])
            self.assertEqual(store.groups(), ["g"])


def shard_of(*values):
    shard = sluice.MemoryShard("m")
    shard.append(*(sluice.Record(value=value, timestamp_ns=100 * at) for at, value in enumerate(values)))
    return shard


class ConsumerTest(unittest.TestCase):
    def test_places_are_sought_and_shards_dropped(self):
        shard = shard_of(b"a", b"b", b"c")
        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard}]) as consumer:
            self.assertEqual([record.value for record in consumer.poll(min_records=3, wait_ms=60_000).records], [b"a", b"b", b"c"])
            consumer.seek_to("position", 1, "m")
            self.assertEqual(consumer.poll(min_records=2, wait_ms=60_000).records[0].value, b"b")
            consumer.seek_to("time", 200)
            self.assertEqual(consumer.poll(wait_ms=60_000).records[0].position, 2)
            self.assertEqual(dict(sluice.Cursor(consumer.cursor)), {"m": 3})
            self.assertGreaterEqual(consumer.buffered_bytes, 0)
            with self.assertRaises(errors.Exists):
                consumer.forget("m")
            consumer.drop("m")
            consumer.forget("m")
            self.assertEqual(consumer.cursor, str(sluice.Cursor()))

    def test_a_function_judges(self):
        shard = shard_of(b"1", b"2", b"3", b"4")
        shard.seal()
        with sluice.Consumer(accept=lambda record: int(record.value) % 2 == 0, sources=[{"kind": "memory", "memory": shard}]) as consumer:
            self.assertEqual([record.value for record in consumer], [b"2", b"4"])

    def test_what_a_judging_function_raises_passes_no_record(self):
        for raised in (ValueError("not this one"), KeyboardInterrupt()):
            faults = [raised]

            def accept(record, faults=faults):
                if record.value == b"2" and faults:
                    raise faults.pop()
                return record.value != b"4"

            shard = shard_of(b"1", b"2", b"3", b"4")
            shard.seal()
            with sluice.Consumer(accept=accept, sources=[{"kind": "memory", "memory": shard}]) as consumer:
                with self.assertRaises(type(raised)) as caught:
                    consumer.poll(wait_ms=60_000)
                self.assertIs(caught.exception, raised)
                consumer.resume()
                self.assertEqual([record.value for record in consumer], [b"1", b"2", b"3"])

    def test_an_interrupt_passes_no_record(self):
        interrupts = [b"2"]

        def accept(record):
            if record.value in interrupts:
                interrupts.remove(record.value)
                os.kill(os.getpid(), signal.SIGINT)
            return True

        shard, seen, interrupted = shard_of(b"1", b"2", b"3", b"4"), [], 0
        shard.seal()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with sluice.Consumer(accept=accept, sources=[{"kind": "memory", "memory": shard}]) as consumer:
                done = False
                while not done:
                    try:
                        page = consumer.poll(wait_ms=60_000)
                        seen += [record.value for record in page.records]
                        done = page.done and not page.has_more
                    except KeyboardInterrupt:
                        interrupted += 1
        finally:
            signal.signal(signal.SIGINT, before)
        self.assertEqual((seen, interrupted), ([b"1", b"2", b"3", b"4"], 1))

    def test_a_page_that_does_not_reach_its_reader_comes_again(self):
        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard_of(b"a", b"b", b"c")}]) as consumer:
            for _ in range(2):
                with mock.patch("sluice.consumers._records", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
                    consumer.poll(max_records=1, wait_ms=60_000)
            self.assertEqual([record.value for record in consumer.poll(min_records=3, wait_ms=60_000).records], [b"a", b"b", b"c"])

    def test_what_a_pushed_function_raises_is_told_it_last(self):
        told, over = [], threading.Event()

        def push(page, error):
            if page is not None:
                raise SystemExit("no more")
            told.append(error)
            over.set()
            raise ValueError("not this either")

        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard_of(b"a", b"b")}]) as consumer, mock.patch("traceback.print_exc"):
            with consumer.subscribe(push, max_records=1) as subscription:
                self.assertTrue(over.wait(60))
                subscription.stop(60_000)
        self.assertEqual([str(error) for error in told], ["no more"])

    def test_a_subscription_ends_with_what_a_judging_function_raises(self):
        told, over = [], threading.Event()

        def accept(_):
            raise ValueError("not this one")

        def push(page, error):
            told.append((page, str(error)))
            over.set()

        with sluice.Consumer(accept=accept, sources=[{"kind": "memory", "memory": shard_of(b"a")}]) as consumer:
            with consumer.subscribe(push):
                self.assertTrue(over.wait(60))
        self.assertEqual(told, [(None, "not this one")])

    def test_pages_are_pushed(self):
        shard, seen, over = shard_of(b"a", b"b"), [], threading.Event()

        def push(page, error):
            self.assertIsNone(error)
            seen.extend(record.value for record in page.records)
            if page.done:
                over.set()

        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard}]) as consumer, consumer.subscribe(push) as subscription:
            subscription.pause()
            subscription.resume()
            shard.append(sluice.Record(value=b"c", headers=(("h", None),)))
            shard.seal()
            self.assertTrue(over.wait(60))
        self.assertEqual(seen, [b"a", b"b", b"c"])

    def test_a_subscription_ends_when_its_function_says_so(self):
        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard_of(b"a", b"b")}]) as consumer:
            with consumer.subscribe(lambda page, error: False, max_records=1) as subscription:
                subscription.stop(60_000)
                self.assertFalse(subscription.running)


class SourceTest(unittest.TestCase):
    def test_functions_are_read_as_a_shard(self):
        values = [b"a", b"b", b"c", b"d"]

        def read(position, max_records, max_bytes, wait_ms):
            page = [sluice.Record(position=at, timestamp_ns=at, value=values[at], headers=(("h", None),)) for at in range(position, len(values))][:max_records]
            return sluice.SourcePage(page, position + len(page), finished=position + len(page) == len(values))

        source = sluice.Source("mine", read, lambda: (0, len(values)), lambda timestamp_ns: min(timestamp_ns, len(values)))
        with sluice.Consumer(sources=[source], page_records=3) as consumer:
            with self.assertRaises(errors.Busy):
                sluice.Consumer(sources=[source])
            page = consumer.poll(max_records=2, min_records=2, wait_ms=60_000)
            self.assertEqual([(record.value, record.headers) for record in page.records], [(b"a", (("h", None),)), (b"b", (("h", None),))])
            consumer.seek_to("time", 3)
            self.assertEqual([record.value for record in consumer], [b"d"])

    def test_what_a_function_raises_is_told_of_its_shard(self):
        def read(*_):
            raise errors.Corrupt("nobody can read this", code=503)

        with sluice.Consumer(sources=[sluice.Source("mine", read, lambda: (0, 1))]) as consumer:
            page = consumer.poll(wait_ms=60_000)
        self.assertTrue(page.done)
        self.assertIn("nobody can read this", str(page.notes[0].cause))
        with sluice.Consumer(sources=[sluice.Source("mine", lambda *_: sluice.SourcePage([], -1), lambda: (0, 1))]) as consumer:
            self.assertIn("shown.next is -1", str(consumer.poll(wait_ms=60_000).notes[0].cause))


    def test_a_read_that_waits_does_not_keep_a_poll(self):
        waits, woken, threads = threading.Event(), threading.Event(), set()

        def read(position, *_):
            threads.add(threading.current_thread())
            waits.set()
            self.assertTrue(woken.wait(60))
            return sluice.SourcePage([], position)

        source = sluice.Source("mine", read, lambda: (0, 0), wake=woken.set)
        with sluice.Consumer(sources=[source]) as consumer:
            self.assertEqual(consumer.poll(wait_ms=0).records, [])
            self.assertTrue(waits.wait(60))
            self.assertEqual(consumer.poll(wait_ms=10).records, [])
            self.assertFalse(woken.is_set())
        self.assertTrue(woken.is_set())
        del source, consumer
        worker, = threads
        worker.join(60)
        self.assertFalse(worker.is_alive())

    def test_whatever_a_function_raises_is_answered(self):
        class Speechless(Exception):
            def __str__(self):
                raise ValueError("no words")

        workers = []
        with mock.patch("traceback.print_exc"):
            for raised in (SystemExit("stop"), ValueError("\ud800"), errors.SluiceError("said nothing", code=0), Speechless(),
                           errors.SluiceError("nor a number", native_code="x")):
                def read(*_, raised=raised):
                    workers.append(threading.current_thread())
                    raise raised

                with sluice.Consumer(sources=[sluice.Source("mine", read, lambda: (0, 1))]) as consumer:
                    page = consumer.poll(wait_ms=60_000)
                self.assertTrue(page.done, raised)
                self.assertEqual(page.notes[0].cause.code, 500)
            del consumer
            for worker in workers:
                worker.join(60)

    def test_a_header_that_is_no_text_goes_on_as_it_came(self):
        shard = sluice.MemoryShard("m")
        shard.append(sluice.Record(headers=(("\udcff", b"1"),)))
        with sluice.Consumer(sources=[{"kind": "memory", "memory": shard}]) as consumer:
            record = consumer.poll(wait_ms=60_000).records[0]
            shard.append(record)
            self.assertEqual(consumer.poll(wait_ms=60_000).records[0].headers, (("\udcff", b"1"),))


class ErrorTest(unittest.TestCase):
    def test_a_class_of_ones_own_means_what_its_base_does(self):
        class Away(errors.Unavailable):
            pass

        class Full(errors.Busy):
            pass

        for error, code in ((Away("x"), 300), (Full("x"), 301), (errors.Busy("x", code=0), 301), (errors.SluiceError("x", code=0), 500), (OSError(), 500),
                            (errors.Unavailable("x", code=399), 399)):
            self.assertEqual(errors.code_of(error), code)


class ExitTest(unittest.TestCase):
    def test_a_process_ends_while_its_functions_are_called(self):
        program = """
import sluice
def deliver(batch):
    raise sluice.errors.Unavailable("not yet")
shard = sluice.MemoryShard("m")
shard.append(sluice.Record(value=b"a"))
consumer = sluice.Consumer(sources=[{"kind": "memory", "memory": shard}])
def push(page, error):
    if page is not None:
        shard.append(sluice.Record(value=b"b"))
subscription = consumer.subscribe(push)
bus = sluice.Bus(sink=sluice.Sink(deliver), retry={"first_ms": 1, "longest_ms": 1, "retries": 1000000})
bus.ingest(b"x")
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class CursorTest(unittest.TestCase):
    def test_it_is_a_mapping(self):
        cursor = sluice.Cursor()
        cursor["b"], cursor["a"] = 2, 1
        self.assertEqual(list(sluice.Cursor(str(cursor)).items()), [("a", 1), ("b", 2)])
        other = sluice.Cursor()
        other["a"] = 5
        self.assertEqual(dict(cursor.least(other)), {"a": 1})
        self.assertEqual(dict(cursor.greatest(other)), {"a": 5, "b": 2})
        with self.assertRaises(errors.Invalid):
            cursor.advance("a", 0)
        del cursor["a"]
        with self.assertRaises(KeyError):
            cursor["a"]  # pylint: disable=pointless-statement


class SinkTest(unittest.TestCase):
    def test_a_bus_delivers_to_a_function_and_calls_others(self):
        values, changes, attempts = [], [], []

        def deliver(batch):
            attempts.append(batch.attempt)
            if len(attempts) == 1:
                raise errors.Unavailable("not yet", code=300)
            values.extend(record.value for record in batch.records)

        with sluice.Bus(shards=2, retain_events=100, routing="custom", sink=sluice.Sink(deliver), retry={"first_ms": 1}, route=lambda event, shards: shards - 1,
                        on_change=lambda shard, what: changes.append(what)) as bus:
            bus.ingest_batch(sluice.Event(b"%d" % n, headers=(("n", b"1"),)) for n in range(10))
            bus.drain()
            report = bus.report()
            self.assertEqual([shard["delivered"] for shard in report["shards"]], [0, 10])
            self.assertEqual(len(bus.subscribable()), 2)
        self.assertEqual(values, [b"%d" % n for n in range(10)])
        self.assertEqual(attempts[:2], [0, 1])

    def test_whatever_a_function_raises_is_answered(self):
        for raised in (SystemExit("stop"), ValueError("\ud800"), errors.SluiceError("said nothing", code=0)):
            def deliver(_, raised=raised):
                raise raised

            bus = sluice.Bus(sink=sluice.Sink(deliver))
            bus.ingest(b"x")
            with self.assertRaises(errors.SluiceError):
                bus.shutdown(60_000)
            self.assertEqual(bus.stats()["dropped_failed"], 1)

    def test_a_class_of_ones_own_is_tried_again(self):
        class Away(errors.Unavailable):
            pass

        attempts = []

        def deliver(batch):
            attempts.append(batch.attempt)
            if len(attempts) < 3:
                raise Away("not yet")

        with sluice.Bus(sink=sluice.Sink(deliver), retry={"first_ms": 1}) as bus:
            bus.ingest(b"x")
            bus.drain(60_000)
        self.assertEqual(attempts, [0, 1, 2])

    def test_an_event_that_cannot_be_routed_is_refused(self):
        def route(event, shards):
            if event.value == b"raise":
                raise KeyboardInterrupt
            return {b"none": None, b"below": -(2**32), b"above": shards}.get(event.value, 0)

        with sluice.Bus(shards=2, retain_events=10, routing="custom", route=route) as bus, mock.patch("traceback.print_exc"):
            for value in (b"raise", b"none", b"below", b"above"):
                with self.assertRaises(errors.SluiceError):
                    bus.ingest(value)
            bus.ingest(b"x")
            self.assertEqual((bus.stats()["accepted"], bus.stats()["unrouted"]), (1, 4))

    def test_dead_letters_carry_their_cause(self):
        kept = []
        with sluice.DeadLetterQueue(sluice.Sink(lambda batch: kept.extend(batch.records)), max_records=10) as queue:
            queue.offer(sluice.Record(value=b"x", position=7), errors.Corrupt("byte 17", code=503), source="orders-0", attempts=2)
            queue.close()
            self.assertEqual((queue.stats()["sent"], queue.stats()["opening"]), (1, 0))
        headers = dict(kept[0].headers)
        self.assertEqual((headers["sluice.dlq.cause"], headers["sluice.dlq.source"], headers["sluice.dlq.position"]), (b"corrupt", b"orders-0", b"7"))


class ServiceTest(unittest.TestCase):
    def test_a_limiter_fails_closed(self):
        limiter = sluice.RateLimiter(tokens=1, period_ms=86_400_000, burst=2)
        self.assertEqual([decision.allowed for decision in limiter.acquire_all([("a", 1), ("a", 2), ("b", 2)])], [True, False, True])
        self.assertGreater(limiter.acquire("b").retry_after_ms, 0)
        self.assertIsInstance(limiter.acquire("a", 3).error, errors.TooLarge)
        self.assertEqual(limiter.stats()["allowed"], 2)
        away = sluice.RateLimiter(kind="redis", tokens=1, burst=1, port=1).acquire("a")
        self.assertFalse(away.allowed)
        self.assertIsInstance(away.error, errors.Unavailable)

    def test_telemetry_asks_observers(self):
        telemetry, asked = sluice.Telemetry(), []

        def observe(observations):
            asked.append(1)
            observations.counter("asked", len(asked))
            observations.gauge("level", -3, {"side": "left"})
            raise ValueError("dropped")

        observing = telemetry.observe(observe)
        self.assertIn('level{side="left"} -3', telemetry.prometheus())
        observing.end()
        self.assertIn(f"asked_total {len(asked)}", telemetry.prometheus())
        self.assertNotIn("level", telemetry.prometheus())

    def test_telemetry_counts_and_times(self):
        telemetry = sluice.Telemetry()
        sent, depth, work = telemetry.counter("sent", {"tenant": "north"}), telemetry.gauge("depth"), telemetry.durations("work")
        sent.add(3)
        depth.set(5)
        depth.add(-1)
        work.record_ns(1_000_000)
        self.assertEqual((sent.value, depth.value, work.value), (3, 4, 1))
        self.assertAlmostEqual(work.quantile_ns(0.5), 1e6, delta=0.3e6)
        meter = telemetry.meter("send", "kafka", "orders-0")
        with meter.time():
            pass
        with self.assertRaises(errors.Corrupt), meter.time():
            raise errors.Corrupt("byte 17", code=503)
        self.assertIn('sent_total{tenant="north"} 3', telemetry.prometheus())
        self.assertIn("byte 17", telemetry.otlp_logs({"service.name": "shop"}))
        self.assertIn("depth", telemetry.otlp_metrics())

    def test_a_diff_fits_one_state(self):
        before, after = '{"total": 4, "items": ["tea"]}', '{"total": 6, "items": ["tea", "milk"]}'
        diff = sluice.make_diff(before, after)
        self.assertEqual(sluice.hash_state(sluice.apply_diff(before, diff)), sluice.hash_state(after))
        sluice.verify_diff(before, diff)
        with self.assertRaises(errors.Conflict):
            sluice.verify_diff(after, diff)

    def test_a_trace_goes_on(self):
        received = [("tenant", b"north"), ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
        parent = sluice.TraceContext.extract(received)
        span = parent.child().with_state("shop", "1")
        self.assertEqual((span.trace_id, span.state, span.sampled), (parent.trace_id, "shop=1", True))
        self.assertNotEqual(span.span_id, parent.span_id)
        self.assertEqual(span.headers(received), [("tenant", b"north"), ("traceparent", span.parent.encode()), ("tracestate", b"shop=1")])
        self.assertIsNone(sluice.TraceContext.extract([]))
        self.assertFalse(sluice.TraceContext.begin(sampled=False).sampled)

    def test_envelopes_are_read_in_pieces(self):
        writer, reader = sluice.EnvelopeWriter(codec="zstd"), sluice.EnvelopeReader()
        messages = [b"", b"short", b"a" * 100_000]
        stream = b"".join(map(writer.frame, messages))
        self.assertEqual([message for at in range(0, len(stream), 11) for message in reader.feed(stream[at : at + 11])], messages)
        self.assertEqual(reader.finish(), len(stream))
        self.assertEqual((writer.stats()["messages"], reader.stats()["messages"]), (3, 3))


@unittest.skipUnless(os.environ.get("SLUICE_PLUGIN_DIRECTORY"), "no adapters")
class LogTest(unittest.TestCase):
    def test_what_is_written_is_read(self):
        with tempfile.TemporaryDirectory() as directory:
            storage = sluice.Storage("d", "disk", data_directory=directory)
            with sluice.Log(storage=storage, log="l", state_directory=directory) as log:
                self.assertEqual(log.write([sluice.Record(value=b"a"), sluice.Record(value=b"b")]), (0, 1, 1))
                appended = [log.append([sluice.Record(key=b"k", value=b"%d" % n)]) for n in range(5)]
                self.assertEqual([future.result(60).first for future in appended], [2, 3, 4, 5, 6])
                log.flush()
                self.assertEqual(log.stats()["written"], 7)
                self.assertEqual(storage.logs()[0]["id"], log.id)
                with self.assertRaises(errors.Conflict):
                    sluice.Log(storage=storage, log="l", state_directory=directory)
            with sluice.Consumer(storages=[storage], sources=[{"kind": "log", "storage": "d", "log": "l", "state_directory": directory}]) as consumer:
                self.assertEqual(len(consumer.poll(min_records=7, wait_ms=60_000).records), 7)
            self.assertFalse(storage.health()["native"])
            storage.stop()


if __name__ == "__main__":
    unittest.main()
