#!/usr/bin/env python3
"""Nothing acknowledged is lost and no deleted key comes back, wherever kill -9 strikes.

KEYSTONE_TEST_ROUNDS says how often each kind of crash is tried.
"""

import random
import time

import logformat
from harness import ROUNDS, SystemTest, main, poll_until
from load import Load


class Crash(SystemTest):
    TIMEOUT_S = 60 + 10 * ROUNDS

    def setUp(self):
        super().setUp()
        self.random = random.Random(20240517)

    def crash_rounds(self, *options, segment_size="64k", load=None, between=None):
        """Load, crash, restart, verify; returns how many rounds left files of unfinished work."""
        daemon = self.start_daemon("--segment-size", segment_size, *options)
        load = load or Load()
        unfinished = 0
        for _ in range(ROUNDS):
            load.start(daemon.addresses[0])
            load.wait_acknowledged(self.random.randint(1, 1500))
            if between:
                between(daemon, load)
            load.crash(daemon)
            unfinished += self.has_unfinished_work(daemon)
            daemon.restart()
            load.verify(daemon.addresses[0])
        self.assertEqual(daemon.stop(), 0)
        load.verify(daemon.restart().addresses[0])
        return unfinished

    @staticmethod
    def has_unfinished_work(daemon):
        """True where the crash left a file that the MANIFEST does not name."""
        manifest = logformat.parse_manifest(logformat.read_file(daemon.data, "MANIFEST"))
        named = {logformat.segment_name(number) for number in manifest.segments}
        return bool(daemon.files(".tmp") or set(daemon.files(".log")) - named)

    def compaction_rounds(self, *options, begin=lambda daemon: daemon.hup()):
        unfinished = self.crash_rounds(
            *options, load=Load(keys=2000, value_size=1000),
            between=lambda daemon, load: self.into_a_compaction(daemon, load, begin))
        if ROUNDS >= 30:  # enough of them to be sure that it is not by luck
            self.assertGreater(unfinished, 0, "no crash has hit a compaction")

    def test_kill_9_in_the_middle_of_writes_with_fsync_always(self):
        self.crash_rounds("--fsync", "always")

    def test_kill_9_in_the_middle_of_writes_with_fsync_everysec(self):
        self.crash_rounds("--fsync", "everysec")

    def test_kill_9_in_the_middle_of_writes_with_fsync_no(self):
        self.crash_rounds("--fsync", "no")

    def test_kill_9_with_one_segment_that_is_never_full(self):
        self.crash_rounds(segment_size="256m")

    def test_kill_9_at_a_random_point_of_a_compaction(self):
        self.compaction_rounds()

    def test_kill_9_at_a_random_point_of_a_compaction_with_fsync_always(self):
        self.compaction_rounds("--fsync", "always")

    def begin_online(self, daemon):
        self.connect(daemon).send_raw(b"COMPACT\n")

    def test_kill_9_at_a_random_point_of_an_online_compaction(self):
        self.compaction_rounds(begin=self.begin_online)

    def test_kill_9_at_a_random_point_of_an_online_compaction_with_fsync_always(self):
        self.compaction_rounds("--fsync", "always", begin=self.begin_online)

    def test_kill_9_in_recovery_after_a_crash(self):
        daemon = self.start_daemon("--segment-size", "64k")
        load = Load().start(daemon.addresses[0])
        load.wait_acknowledged(3000)
        load.crash(daemon)
        for _ in range(ROUNDS * 3):
            daemon.launch()
            self.let_pass(self.random.uniform(0, 0.03))
            daemon.kill9()
        load.verify(daemon.restart().addresses[0])

    def into_a_compaction(self, daemon, load, begin):
        """Returns at a random moment of a compaction, or a little after it."""
        load.wait_more(2000)
        before = int(daemon.stats()["compactions"])
        begin(daemon)
        poll_until(lambda: int(daemon.stats()["compactions"]) > before, what="a compaction")
        length_s = int(daemon.stats()["compaction_last_us"]) / 1e6
        load.wait_more(200)
        begin(daemon)
        self.let_pass(self.random.uniform(0, length_s * 1.3))

    @staticmethod
    def let_pass(seconds):
        """A random moment is what is wanted here, so there is nothing else to wait for."""
        end = time.monotonic() + seconds
        poll_until(lambda: time.monotonic() >= end)


class CompactionUnderLoad(SystemTest):
    def compact_under_load(self, compact):
        daemon = self.start_daemon("--segment-size", "64k")
        load = Load().start(daemon.addresses[0])
        for _ in range(5):
            load.wait_more(1000)
            compact(daemon)
        load.stop()
        load.verify(daemon.addresses[0])
        self.assertGreaterEqual(int(daemon.stats()["compactions"]), 5)
        daemon.kill9()
        load.verify(daemon.restart().addresses[0])
        return daemon

    def test_by_the_command(self):
        self.compact_under_load(lambda daemon: self.assertEqual(daemon.request("COMPACT"), b"OK"))

    def test_by_hup(self):
        def hup(daemon):
            before = int(daemon.stats()["compactions"])
            daemon.hup()
            poll_until(lambda: int(daemon.stats()["compactions"]) > before, what="a compaction")

        self.compact_under_load(hup)

    def test_files_hold_what_the_daemon_says(self):
        daemon = self.compact_under_load(lambda daemon: daemon.request("COMPACT"))
        with daemon.connect() as client:
            told = client.contents()
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(logformat.replay(logformat.read_store(daemon.data)[1]), told)

    def test_compaction_leaves_only_live_records(self):
        daemon = self.compact_under_load(lambda daemon: daemon.request("COMPACT"))
        self.assertEqual(daemon.request("COMPACT"), b"OK")
        stats = daemon.stats()
        self.assertEqual(daemon.stop(), 0)
        records = [record for segment in logformat.read_store(daemon.data)[1]
                   for record in segment.records if not record.flags & logformat.SYNC_MARK]
        self.assertEqual(len(records), int(stats["keys"]))
        self.assertEqual([record for record in records if record.value is None], [])

    def test_a_deleted_key_stays_deleted_through_compactions_and_crashes(self):
        daemon = self.start_daemon("--segment-size", "4k")
        for n in range(3):
            with daemon.connect() as client:
                client.pipeline("SET doomed-%d value" % n for n in range(200))
                client.pipeline("DELETE doomed-%d" % n for n in range(200))
                client.set("keeper-%d" % n, "value")
                self.assertEqual(client.request("COMPACT"), b"OK")
            daemon.kill9()
            daemon.restart()
            self.assertEqual(daemon.request("COUNT"), b"OK %d" % (n + 1))


class Acknowledgement(SystemTest):
    def test_each_reply_stands_for_bytes_in_the_file(self):
        for policy in ("always", "everysec", "no"):
            daemon = self.start_daemon("--fsync", policy)
            client = self.connect(daemon)
            for n in range(50):
                client.set("key", "value-%d" % n)
                segment = logformat.parse_segment(
                    logformat.read_file(daemon.data, daemon.files(".log")[-1]))
                self.assertEqual(logformat.replay([segment]), {b"key": b"value-%d" % n})

    def test_always_syncs_before_it_replies(self):
        daemon = self.start_daemon("--fsync", "always")
        client = self.connect(daemon)
        for n in range(10):
            before = int(client.stats()["fsyncs"])
            client.set("key", str(n))
            self.assertGreater(int(client.stats()["fsyncs"]), before)

    def test_everysec_syncs_by_itself(self):
        daemon = self.start_daemon("--fsync", "everysec")
        client = self.connect(daemon)
        before = int(client.stats()["fsyncs"])
        client.set("key", "value")
        poll_until(lambda: int(client.stats()["fsyncs"]) > before, what="a sync")

    def test_sync_marks_claim_only_what_stands_before_them(self):
        daemon = self.start_daemon("--fsync", "always")
        client = self.connect(daemon)
        for n in range(20):
            client.set("key-%d" % n, "value")
        self.assertEqual(daemon.stop(), 0)
        segment = logformat.read_store(daemon.data)[1][-1]
        marks = [record for record in segment.records if record.flags & logformat.SYNC_MARK]
        self.assertGreaterEqual(len(marks), 19)
        for mark in marks:
            self.assertLessEqual(int.from_bytes(mark.value, "little"), mark.offset)


if __name__ == "__main__":
    main()
