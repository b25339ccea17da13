#!/usr/bin/env python3
"""Starts after a crash: torn tails, leftovers of interrupted work, logs made by hand."""

import os
import shutil

import logformat
from harness import EX_DATAERR, SLOW, SystemTest, main
from logformat import GROUP_GOES_ON, Log


class RecoveryTest(SystemTest):
    """Makes data directories by hand and starts daemons on them."""

    TIMEOUT_S = 180

    def made(self, *logs):
        """A daemon, not started, with a data directory of these logs."""
        daemon = self.new_daemon()
        logformat.write_store(daemon.data, *logs)
        return daemon

    def contents(self, daemon):
        with daemon.connect() as client:
            return client.contents()

    def log_file(self, daemon, number=1):
        return os.path.join(daemon.data, logformat.segment_name(number))


class TornTail(RecoveryTest):
    def test_tail_cut_at_every_byte_of_the_last_records(self):
        log = Log().set(b"first", b"kept").set(b"second", b"kept").set(b"third", b"short")
        log.delete(b"second")
        kept_until = log.offsets[2]
        step = 1 if SLOW == 1 else 5
        for size in range(kept_until, len(log.data) + 1, step):
            with self.subTest(size=size):
                self.cut_and_check(log, size)

    def test_group_cut_at_every_record_of_it_disappears_whole(self):
        log = Log().set(b"before", b"kept")
        log.set(b"a", b"1", GROUP_GOES_ON).delete(b"before", GROUP_GOES_ON).set(b"b", b"2")
        for size in log.offsets[1:] + [len(log.data) - 1, len(log.data)]:
            with self.subTest(size=size):
                daemon = self.cut_and_check(log, size)
                whole = size == len(log.data)
                self.assertEqual(set(daemon.last_contents),
                                 {b"a", b"b", b"new"} if whole else {b"before", b"new"})

    def cut_and_check(self, log, size):
        """Starts on the first size bytes; expects all whole groups, and writes that last."""
        daemon = self.made(log)
        os.truncate(self.log_file(daemon), size)
        segment = logformat.parse_segment(bytes(log.data[:size]))
        expected = logformat.replay([segment])
        boundary = max([logformat.HEADER_SIZE] +
                       [r.end for r in segment.records if not r.flags & GROUP_GOES_ON])
        daemon.start()
        self.assertEqual(self.contents(daemon), expected)
        self.check_cut_bytes(daemon, log, boundary, size)
        self.assertEqual(daemon.request("SET new value"), b"OK")
        daemon.kill9()
        daemon.restart()
        daemon.last_contents = self.contents(daemon)
        self.assertEqual(daemon.last_contents, {**expected, b"new": b"value"})
        daemon.kill9()
        shutil.rmtree(daemon.data)
        return daemon

    def check_cut_bytes(self, daemon, log, boundary, size):
        name = "%s.cut-%d" % (logformat.segment_name(1), boundary)
        self.assertEqual(daemon.stats()["recovered_truncated_bytes"], str(size - boundary))
        if size == boundary:
            self.assertEqual([f for f in daemon.files() if ".cut-" in f], [])
            return
        self.assertEqual(logformat.read_file(daemon.data, name), log.data[boundary:size])
        self.assertIn("%d bytes" % (size - boundary), daemon.log())

    def test_zeros_behind_the_last_record_are_a_clean_end(self):
        log = Log().set(b"key", b"value")
        log.data += bytes(100000)
        daemon = self.made(log).start()
        self.assertEqual(self.contents(daemon), {b"key": b"value"})
        self.assertEqual(daemon.stats()["recovered_truncated_bytes"], "0")
        self.assertEqual(daemon.request("SET key new"), b"OK")
        daemon.kill9()
        self.assertEqual(self.contents(daemon.restart()), {b"key": b"new"})

    def test_garbage_behind_the_last_record_is_cut_and_kept(self):
        log = Log().set(b"key", b"value")
        end = len(log.data)
        log.data += b"\xde\xad\xbe\xef" * 50
        daemon = self.made(log).start()
        self.assertEqual(self.contents(daemon), {b"key": b"value"})
        cut = logformat.read_file(daemon.data, "000000000001.log.cut-%d" % end)
        self.assertEqual(cut, b"\xde\xad\xbe\xef" * 50)

    def test_a_segment_that_is_all_header_is_an_empty_store(self):
        self.assertEqual(self.contents(self.made(Log()).start()), {})

    def test_tail_of_an_earlier_segment_is_never_cut(self):
        first = Log().set(b"a", b"1").set(b"b", b"2")
        second = first.next().set(b"c", b"3")
        daemon = self.made(first, second)
        os.truncate(self.log_file(daemon), len(first.data) - 1)
        self.assert_start_refused(daemon, EX_DATAERR, "000000000001.log", str(first.offsets[1]),
                                  "keystone-log check")
        self.assertEqual(os.path.getsize(self.log_file(daemon)), len(first.data) - 1)


class Leftovers(RecoveryTest):
    def test_tmp_files_are_removed_and_told(self):
        daemon = self.made(Log().set(b"key", b"value"))
        for name in ("MANIFEST.tmp", "000000000002.log.tmp"):
            logformat.write_file(os.path.join(daemon.data, name), b"half")
        daemon.start()
        self.assertEqual(daemon.files(".tmp"), [])
        self.assertIn("000000000002.log.tmp", daemon.log())
        self.assertEqual(self.contents(daemon), {b"key": b"value"})

    def test_segment_that_no_manifest_names_is_removed_and_told(self):
        log = Log().set(b"key", b"value")
        stranger = log.next().set(b"key", b"from a rotation that never was")
        daemon = self.made(log)
        logformat.write_file(self.log_file(daemon, 2), stranger.data)
        daemon.start()
        self.assertIn("000000000002.log", daemon.log())
        self.assertEqual(self.contents(daemon), {b"key": b"value"})
        daemon.kill9()
        self.assertEqual(self.contents(daemon.restart()), {b"key": b"value"})


class MadeByHand(RecoveryTest):
    def test_groups_tombstones_sync_marks_and_attributes_are_read(self):
        first = Log().set(b"a", b"1").mark().set(b"b", b"2", attributes=(7, 0))
        first.set(b"c", b"3", GROUP_GOES_ON).delete(b"a", GROUP_GOES_ON).set(b"d", b"")
        second = first.next().delete(b"b").mark().set(b"\0\xff", b"\n" * 100)
        second.set(b"e", b"5", GROUP_GOES_ON, attributes=(1, 0)).set(b"a", b"back")
        daemon = self.made(first, second).start()
        expected = {b"a": b"back", b"c": b"3", b"d": b"", b"e": b"5", b"\0\xff": b"\n" * 100}
        self.assertEqual(self.contents(daemon), expected)
        self.assertEqual(daemon.stats()["segments"], "2")
        self.assertEqual(daemon.request("COMPACT"), b"OK")
        daemon.kill9()
        self.assertEqual(self.contents(daemon.restart()), expected)

    def test_gaps_in_the_sequence_are_what_a_compaction_leaves(self):
        log = Log(sequence=10).set(b"a", b"1")
        log.sequence = 1000
        log.set(b"b", b"2")
        daemon = self.made(log).start()
        self.assertEqual(self.contents(daemon), {b"a": b"1", b"b": b"2"})
        self.assertEqual(daemon.request("SET c 3"), b"OK")
        self.assertEqual(daemon.stop(), 0)
        records = logformat.read_store(daemon.data)[1][0].records
        self.assertGreater(records[-1].sequence, 1000)

    def test_attributes_survive_a_compaction(self):
        daemon = self.made(Log().set(b"a", b"1", attributes=(77, 0))).start()
        self.assertEqual(daemon.request("COMPACT"), b"OK")
        self.assertEqual(daemon.stop(), 0)
        records = [r for s in logformat.read_store(daemon.data)[1] for r in s.records if r.key]
        self.assertEqual([r.attributes for r in records], [(77, 0)])

    def test_what_the_daemon_writes_is_what_the_format_says(self):
        daemon = self.start_daemon("--segment-size", "4k")
        with daemon.connect() as client:
            for n in range(150):
                client.set("key-%d" % n, b"\0" * n)
            client.delete("key-7")
            told = client.contents()
        self.assertEqual(daemon.stop(), 0)
        manifest, segments = logformat.read_store(daemon.data)
        self.assertGreater(len(manifest.segments), 2)
        self.assertEqual(logformat.replay(segments), told)
        for segment in segments[:-1]:
            self.assertLessEqual(segment.end, 4096)
            self.assertLessEqual(segment.first_sequence, segment.records[0].sequence)

    def test_group_bigger_than_a_segment_has_one_to_itself(self):
        daemon = self.start_daemon("--segment-size", "4k")
        with daemon.connect() as client:
            for name in ("small", "big", "later"):
                client.set(name, b"x" * (10000 if name == "big" else 10))
        daemon.kill9()
        self.assertEqual(len(self.contents(daemon.restart())[b"big"]), 10000)
        self.assertEqual(daemon.stop(), 0)
        keys = [[r.key for r in s.records if r.key] for s in logformat.read_store(daemon.data)[1]]
        self.assertIn([b"big"], keys)

    def test_progress_and_result_are_logged(self):
        daemon = self.made(Log().set(b"a", b"1").set(b"b", b"2").set(b"b", b"3")).start()
        stats = daemon.stats()
        self.assertEqual(stats["recovered_records"], "3")
        self.assertRegex(daemon.log(), r"3 records.*2 keys|recover")


if __name__ == "__main__":
    main()
