#!/usr/bin/env python3
"""Damage that no crash explains is found, named and never served; nothing is overwritten."""

import contextlib
import os

import logformat
from harness import EX_DATAERR, KEYSTONE_LOG, SLOW, SystemTest, main, run
from logformat import GROUP_GOES_ON, Log


def snapshot(directory):
    return {name: logformat.read_file(directory, name) for name in sorted(os.listdir(directory))
            if name != "LOCK"}


@contextlib.contextmanager
def flipped_bit(path, offset, bit=0):
    """Damage for as long as the block runs."""
    logformat.flip_bit(path, offset, bit)
    try:
        yield
    finally:
        logformat.flip_bit(path, offset, bit)


class DamageTest(SystemTest):
    TIMEOUT_S = 180

    def made(self, *logs):
        daemon = self.new_daemon()
        logformat.write_store(daemon.data, *logs)
        return daemon

    def log_file(self, daemon, number=1):
        return os.path.join(daemon.data, logformat.segment_name(number))

    def assert_refused_untouched(self, daemon, *texts, way_out="keystone-log check"):
        """Exit 65, a message with texts and the way out, and every file as it was."""
        before = snapshot(daemon.data)
        self.assert_start_refused(daemon, EX_DATAERR, way_out, *texts)
        after = snapshot(daemon.data)
        after.pop("keystoned.port", None)
        self.assertEqual(after, before)


class SealedSegment(DamageTest):
    def setUp(self):
        super().setUp()
        self.first = Log().set(b"alpha", b"one").set(b"beta", b"two", GROUP_GOES_ON)
        self.first.set(b"gamma", b"three", attributes=(3, 0)).delete(b"alpha").mark()
        self.second = self.first.next().set(b"delta", b"four")

    def test_flipped_bit_in_a_value_is_refused_with_file_and_offset(self):
        daemon = self.made(self.first, self.second)
        logformat.flip_bit(self.log_file(daemon), self.first.offsets[1] - 1, 5)
        self.assert_refused_untouched(daemon, "000000000001.log", str(self.first.offsets[0]))

    def test_flipped_bit_in_a_key_is_refused_with_file_and_offset(self):
        daemon = self.made(self.first, self.second)
        logformat.flip_bit(self.log_file(daemon), self.first.offsets[1] + 24)
        self.assert_refused_untouched(daemon, "000000000001.log", str(self.first.offsets[1]))

    def test_flipped_bit_in_a_record_header_is_refused_with_file_and_offset(self):
        daemon = self.made(self.first, self.second)
        logformat.flip_bit(self.log_file(daemon), self.first.offsets[2] + 16)
        self.assert_refused_untouched(daemon, "000000000001.log", str(self.first.offsets[2]))

    def test_flipped_bit_in_the_segment_header_is_refused(self):
        daemon = self.made(self.first, self.second)
        logformat.flip_bit(self.log_file(daemon), 48)
        self.assert_refused_untouched(daemon, "000000000001.log")

    def test_unfinished_group_at_its_end_is_refused(self):
        first = Log().set(b"a", b"1").set(b"b", b"2", GROUP_GOES_ON)
        self.assert_refused_untouched(self.made(first, first.next()), "000000000001.log")

    def test_check_finds_every_flipped_bit(self):
        daemon = self.made(self.first, self.second)
        self.assertEqual(run(KEYSTONE_LOG, "check", daemon.data).returncode, 0)
        path = self.log_file(daemon)
        step = 1 if SLOW == 1 else 7
        for offset in range(0, len(self.first.data), step):
            bit = offset * 5 % 8
            with self.subTest(offset=offset, bit=bit), flipped_bit(path, offset, bit):
                result = run(KEYSTONE_LOG, "check", daemon.data)
                self.assertEqual(result.returncode, EX_DATAERR, result.stdout + result.stderr)
                self.assertIn("000000000001.log", result.stdout + result.stderr)
        self.assertEqual(run(KEYSTONE_LOG, "check", daemon.data).returncode, 0)


class WhileRunning(DamageTest):
    def test_damaged_value_is_an_error_and_never_served(self):
        daemon = self.start_daemon("--segment-size", "4k")
        with daemon.connect() as client:
            for n in range(40):
                client.set("key-%d" % n, b"v" * 300)
            path = self.log_file(daemon)
            record = logformat.parse_segment(logformat.read_file(path)).records[1]
            self.assertTrue(record.value)
            line = b"GET " + record.key
            with flipped_bit(path, record.end - 1):
                self.assertRegex(client.request(line), rb"\AERROR .*")
                self.assertEqual(client.request("PING"), b"OK PONG")
                daemon.wait_log("000000000001.log")
            self.assertEqual(client.request(line), b"VALUE " + b"v" * 300)

    def test_compaction_does_not_launder_a_damaged_value(self):
        daemon = self.start_daemon("--segment-size", "4k")
        with daemon.connect() as client:
            for n in range(40):
                client.set("key-%d" % n, b"v" * 300)
            path = self.log_file(daemon)
            record = logformat.parse_segment(logformat.read_file(path)).records[1]
            with flipped_bit(path, record.end - 1):
                self.assertRegex(client.request("COMPACT"), rb"\AERROR .*")
                self.assertRegex(client.request(b"GET " + record.key), rb"\AERROR .*")
                self.assertEqual(client.request("SET other value"), b"OK")
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertEqual(client.get(record.key), b"v" * 300)


class ActiveSegment(DamageTest):
    def test_damage_below_a_later_sync_mark_is_refused(self):
        log = Log().set(b"a", b"1").set(b"b", b"2").mark().set(b"c", b"3")
        daemon = self.made(log)
        logformat.flip_bit(self.log_file(daemon), log.offsets[1] - 1)
        self.assert_refused_untouched(daemon, "000000000001.log", str(log.offsets[0]))

    def test_damaged_header_below_a_later_sync_mark_is_refused(self):
        log = Log().set(b"a", b"1").set(b"b", b"2").set(b"c", b"3").mark()
        daemon = self.made(log)
        logformat.flip_bit(self.log_file(daemon), log.offsets[1] + 17)
        self.assert_refused_untouched(daemon, "000000000001.log", str(log.offsets[1]))

    def test_unfinished_group_below_a_later_sync_mark_is_refused(self):
        log = Log().set(b"a", b"1", GROUP_GOES_ON)
        log.mark()
        self.assert_refused_untouched(self.made(log), "000000000001.log")

    def test_damage_above_the_last_sync_mark_is_cut_and_kept(self):
        log = Log().set(b"a", b"1").mark().set(b"b", b"2").set(b"c", b"3")
        daemon = self.made(log)
        logformat.flip_bit(self.log_file(daemon), log.offsets[3] - 1)
        damaged = logformat.read_file(self.log_file(daemon))
        daemon.start()
        with daemon.connect() as client:
            self.assertEqual(client.contents(), {b"a": b"1"})
        cut = "000000000001.log.cut-%d" % log.offsets[2]
        self.assertEqual(logformat.read_file(daemon.data, cut), damaged[log.offsets[2]:])

    def test_a_later_sync_mark_that_claims_less_does_not_matter(self):
        log = Log().set(b"a", b"1").set(b"b", b"2").mark(offset=64).set(b"c", b"3")
        daemon = self.made(log)
        logformat.flip_bit(self.log_file(daemon), log.offsets[2] - 1)
        daemon.start()
        with daemon.connect() as client:
            self.assertEqual(client.contents(), {b"a": b"1"})


class Strangers(DamageTest):
    def test_missing_segment_is_refused_by_name(self):
        first = Log().set(b"a", b"1")
        daemon = self.made(first, first.next())
        os.unlink(self.log_file(daemon))
        self.assert_refused_untouched(daemon, "000000000001.log")

    def test_segment_of_another_store_is_refused_by_name(self):
        first = Log().set(b"a", b"1")
        daemon = self.made(first, first.next())
        logformat.write_file(self.log_file(daemon), Log(store_id=bytes(16)).set(b"a", b"2").data)
        self.assert_refused_untouched(daemon, "000000000001.log")

    def test_segment_under_another_number_is_refused_by_name(self):
        first = Log().set(b"a", b"1")
        daemon = self.made(first, first.next())
        logformat.write_file(self.log_file(daemon, 2), first.data)
        self.assert_refused_untouched(daemon, "000000000002.log")


    def test_segments_whose_sequences_run_backwards_are_refused_told_and_mended(self):
        first = Log().set(b"a", b"1").set(b"b", b"2")
        daemon = self.made(first, Log(2, first.store_id, 2).set(b"b", b"other"))
        place = "000000000002.log: offset 64: sequence number 2 behind 2"
        self.assert_refused_untouched(daemon, place)
        checked = run(KEYSTONE_LOG, "check", daemon.data)
        self.assertEqual(checked.returncode, EX_DATAERR)
        self.assertIn(place, checked.stdout)
        self.assertEqual(run(KEYSTONE_LOG, "repair", daemon.data).returncode, 0)
        self.assertEqual(run(KEYSTONE_LOG, "check", daemon.data).returncode, 0)
        daemon.start()
        with daemon.connect() as client:
            self.assertEqual(client.contents(), {b"a": b"1", b"b": b"other"})


class ManifestFile(DamageTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.made(Log().set(b"a", b"1"))
        self.manifest = os.path.join(self.daemon.data, "MANIFEST")

    def rewrite(self, text):
        logformat.write_file(self.manifest, text + b"crc32 %08x\n" % logformat.crc32(text))

    def text(self):
        return logformat.read_file(self.manifest).rpartition(b"crc32 ")[0]

    def test_missing_beside_segments_is_refused(self):
        os.unlink(self.manifest)
        self.assert_refused_untouched(self.daemon, self.manifest)

    def test_damaged_one_is_refused_with_its_path_and_the_way_out(self):
        with flipped_bit(self.manifest, 40):
            self.assert_refused_untouched(self.daemon, self.manifest)

    def test_any_flipped_bit_is_refused(self):
        for offset in range(0, os.path.getsize(self.manifest), 3 if SLOW == 1 else 17):
            with self.subTest(offset=offset), flipped_bit(self.manifest, offset, offset % 5):
                self.assert_refused_untouched(self.daemon, way_out="MANIFEST")
        self.daemon.start()

    def test_truncated_one_is_refused(self):
        for size in (0, 10, os.path.getsize(self.manifest) - 1):
            whole = logformat.read_file(self.manifest)
            logformat.write_file(self.manifest, whole[:size])
            self.assert_refused_untouched(self.daemon, way_out="MANIFEST")
            logformat.write_file(self.manifest, whole)

    def test_format_version_of_the_future_is_refused_by_name(self):
        self.rewrite(self.text().replace(b"keystonelight-manifest 1", b"keystonelight-manifest 2"))
        before = snapshot(self.daemon.data)
        stderr = self.assert_start_refused(self.daemon, EX_DATAERR, "MANIFEST", "version")
        self.assertRegex(stderr, r"\b2\b")
        self.assertEqual(snapshot(self.daemon.data), before)


class NewerFormat(DamageTest):
    def refused_by_name(self, daemon, *texts):
        before = snapshot(daemon.data)
        self.assert_start_refused(daemon, EX_DATAERR, *texts)
        self.assertEqual(snapshot(daemon.data), before)

    def test_segment_version_of_the_future_is_refused_by_name(self):
        log = Log()
        log.data[:] = logformat.encode_header(1, log.store_id, version=2)
        self.refused_by_name(self.made(log), "000000000001.log", "version")

    def test_segment_flag_of_the_future_is_refused_by_name(self):
        log = Log()
        log.data[:] = logformat.encode_header(1, log.store_id, flags=1)
        self.refused_by_name(self.made(log), "000000000001.log", "flag")

    def test_record_flag_of_the_future_is_refused_even_in_the_tail(self):
        log = Log().set(b"a", b"1").set(b"b", b"2", flags=8)
        self.refused_by_name(self.made(log), "000000000001.log", str(log.offsets[1]), "flag")


if __name__ == "__main__":
    main()
