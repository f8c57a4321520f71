# SPDX-License-Identifier: Apache-2.0
"""The package as its users see it: python -m unittest, with SLUICE_LIBRARY naming libsluice.so."""

import tempfile
import threading
import unittest

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
            self.assertEqual(store.newest("g"), (second, "two" * 10_000))


if __name__ == "__main__":
    unittest.main()
