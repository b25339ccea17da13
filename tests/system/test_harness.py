#!/usr/bin/env python3
"""The tests' own tools can fail: what they exist to find, they find."""

import os
import random

import logformat
from harness import Daemon, SystemTest, main, poll_until, sanitizer_reports
from load import Load, Mismatch
from logformat import GROUP_GOES_ON, SYNC_MARK, FormatError, Log


class VerifiedLoad(SystemTest):
    def loaded(self):
        """A load that has ended, all of it acknowledged, and its stopped daemon."""
        daemon = self.start_daemon("--fsync", "no")
        load = Load(keys=40).start(daemon.addresses[0])
        load.wait_acknowledged(500)
        load.stop()
        self.assertEqual(daemon.stop(), 0)
        return daemon, load

    def cut_before_last(self, daemon, wanted):
        """Cuts the log in front of the last record that is wanted and is the last of its key."""
        path = os.path.join(daemon.data, daemon.files(".log")[-1])
        records = [r for r in logformat.parse_segment(logformat.read_file(path)).records
                   if not r.flags & SYNC_MARK]
        newest = {record.key: record for record in records}
        cut = max(r.offset for r in newest.values() if wanted(r))
        whole = [logformat.HEADER_SIZE] + [r.end for r in records if not r.flags & GROUP_GOES_ON]
        os.truncate(path, max(end for end in whole if end <= cut))

    def test_a_lost_write_is_reported(self):
        daemon, load = self.loaded()
        self.cut_before_last(daemon, lambda record: record.value is not None)
        with self.assertRaises(Mismatch):
            load.verify(daemon.restart().addresses[0])

    def test_a_deleted_key_that_comes_back_is_reported(self):
        daemon, load = self.loaded()
        daemon.restart()
        with daemon.connect() as client:
            victim = load.keys[0]
            client.delete(victim.name)
            victim.acknowledged = None
            client.set(victim.name, "a value that was deleted long ago")
        with self.assertRaisesRegex(Mismatch, victim.name.decode()):
            load.verify(daemon.addresses[0])

    def test_a_key_that_nobody_wrote_is_reported(self):
        daemon, load = self.loaded()
        daemon.restart()
        daemon.request("SET stranger value")
        with self.assertRaisesRegex(Mismatch, "stranger"):
            load.verify(daemon.addresses[0])

    def test_a_store_that_is_right_passes(self):
        daemon, load = self.loaded()
        load.verify(daemon.restart().addresses[0])

    def test_a_wrong_reply_is_reported(self):
        daemon = self.start_daemon()
        load = Load(keys=4, workers=1).start(daemon.addresses[0])
        with daemon.connect() as client:
            poll_until(lambda: self.meddle(client, load) or not load.alive(), what="it notices")
        with self.assertRaises(Mismatch):
            load.stop()

    @staticmethod
    def meddle(client, load):
        client.pipeline(b"SET %s meddled" % key.name for key in load.keys)


class Sanitizers(SystemTest):
    def test_a_report_on_stderr_fails_the_test(self):
        directory = self.path("daemon")
        os.mkdir(directory)
        self.assertEqual(sanitizer_reports(directory), "")
        self.write_file("daemon/stderr.1", "==1==ERROR: AddressSanitizer: heap-use-after-free\n")
        with self.assertRaises(AssertionError):
            Daemon(directory).cleanup()

    def test_a_report_in_a_file_fails_the_test(self):
        os.mkdir(self.path("daemon"))
        self.write_file("daemon/sanitizer.4711", "WARNING: ThreadSanitizer: data race\n")
        with self.assertRaises(AssertionError):
            Daemon(self.path("daemon")).cleanup()


class LogFormat(SystemTest):
    def test_what_it_writes_it_reads(self):
        log = Log().set(b"a", b"1").mark().set(b"b", b"2", GROUP_GOES_ON, (7, 8)).delete(b"a")
        segment = logformat.parse_segment(bytes(log.data) + bytes(100))
        self.assertEqual((segment.problem, segment.end), (None, len(log.data)))
        self.assertEqual([r.offset for r in segment.records], log.offsets)
        self.assertEqual(segment.records[2].attributes, (7, 8))
        self.assertEqual(logformat.replay([segment]), {b"b": b"2"})

    def test_any_flipped_bit_is_seen(self):
        log = Log().set(b"key", b"value").delete(b"key")
        for _ in range(500):
            data = bytearray(log.data)
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            try:
                self.assertIsNotNone(logformat.parse_segment(bytes(data)).problem)
            except FormatError:
                pass

    def test_an_unfinished_group_does_not_count(self):
        log = Log().set(b"a", b"1").set(b"b", b"2", GROUP_GOES_ON)
        segment = logformat.parse_segment(bytes(log.data))
        self.assertEqual(logformat.replay([segment]), {b"a": b"1"})


class Polling(SystemTest):
    def test_what_never_comes_true_fails_in_time(self):
        with self.assertRaises(AssertionError):
            poll_until(lambda: False, 0.05, "never")


if __name__ == "__main__":
    main()
