#!/usr/bin/env python3
"""Hints: made when they should be, exact, harmless when they are bad, missing or in the making."""

import os
import resource
import shutil

import logformat
from harness import EX_DATAERR, KEYSTONE_LOG, ROUNDS, SystemTest, main, poll_until, run
from load import Load
from logformat import GROUP_GOES_ON, Log

SAME = ("keys", "segments", "live_bytes", "stale_bytes", "log_bytes", "recovered_records",
        "recovered_truncated_bytes")


class HintTest(SystemTest):
    def filled(self, *options):
        """A running daemon with some segments of sets, overwrites and deletes."""
        daemon = self.start_daemon("--segment-size", "16k", *options)
        with daemon.connect() as client:
            for n in range(600):
                client.set("key-%d" % (n * 7 % 200), b"v" * (n % 150))
                if n % 5 == 0:
                    client.delete("key-%d" % (n % 200))
        return daemon

    def stopped(self, *options):
        daemon = self.filled(*options)
        poll_until(lambda: self.has_hints(daemon, self.numbers(daemon)[:-1]))  # a stop has no time
        self.assertEqual(daemon.stop(), 0)
        return daemon

    def made(self, *logs):
        daemon = self.new_daemon()
        logformat.write_store(daemon.data, *logs)
        return daemon

    def hint(self, daemon, number=1):
        return os.path.join(daemon.data, logformat.hint_name(number))

    def numbers(self, daemon):
        manifest = logformat.parse_manifest(logformat.read_file(daemon.data, "MANIFEST"))
        return manifest.segments

    def has_hints(self, daemon, numbers):
        return daemon.files(".hint") == [logformat.hint_name(n) for n in sorted(numbers)]

    def assert_hints_are_exact(self, daemon):
        manifest, _ = logformat.read_store(daemon.data)
        for number in manifest.segments:
            hint = logformat.parse_hint(logformat.read_file(self.hint(daemon, number)))
            self.assertEqual(hint.seed, int(manifest.seed, 16))
            logformat.check_hint(hint, logformat.read_file(daemon.data,
                                                           logformat.segment_name(number)))

    def found(self, daemon):
        """What a started daemon has."""
        with daemon.connect() as client:
            stats = client.stats()
            return client.contents(), {name: stats[name] for name in SAME}

    def found_without_hints(self, daemon):
        """What a scan finds in a copy of a stopped or killed daemon's directory."""
        other = self.new_daemon()
        shutil.copytree(daemon.data, other.data, ignore=shutil.ignore_patterns("*.hint"))
        found = self.found(other.start())
        self.assertIn(" 0 of them by hints", other.log())
        other.kill9()
        return found

    def assert_restart_is_the_same(self, daemon):
        expected = self.found_without_hints(daemon)
        daemon.restart()
        self.assertEqual(self.found(daemon), expected)


class Made(HintTest):
    def test_a_clean_stop_leaves_an_exact_one_for_every_segment(self):
        daemon = self.stopped()
        self.assertGreater(len(self.numbers(daemon)), 3)
        self.assertTrue(self.has_hints(daemon, self.numbers(daemon)))
        self.assert_hints_are_exact(daemon)
        self.assert_restart_is_the_same(daemon)
        count = len(self.numbers(daemon))
        self.assertIn("%d segments, %d of them by hints" % (count, count), daemon.log())

    def test_an_empty_store_has_one_too(self):
        daemon = self.start_daemon()
        self.assertEqual(daemon.stop(), 0)
        self.assert_hints_are_exact(daemon)

    def test_a_rotation_has_one_made(self):
        daemon = self.filled()
        poll_until(lambda: self.has_hints(daemon, self.numbers(daemon)[:-1]))
        daemon.kill9()
        self.assert_restart_is_the_same(daemon)

    def test_a_compaction_has_them_made_and_takes_the_old_ones_along(self):
        daemon = self.filled()
        old = self.numbers(daemon)
        daemon.hup()
        daemon.wait_log("compaction: reclaimed")
        self.assertFalse(set(old) & set(self.numbers(daemon)))
        poll_until(lambda: self.has_hints(daemon, self.numbers(daemon)[:-1]))
        daemon.kill9()
        self.assert_restart_is_the_same(daemon)
        self.assertEqual(daemon.stop(), 0)
        self.assert_hints_are_exact(daemon)

    def test_a_start_has_the_missing_ones_made(self):
        daemon = self.stopped()
        for name in daemon.files(".hint"):
            os.unlink(os.path.join(daemon.data, name))
        daemon.restart()
        poll_until(lambda: self.has_hints(daemon, self.numbers(daemon)[:-1]))
        self.assertEqual(daemon.stop(), 0)
        self.assert_hints_are_exact(daemon)

    def test_groups_tombstones_marks_and_attributes(self):
        first = Log().set(b"a", b"1").mark().set(b"b", b"2", attributes=(7, 9 * 10**12))
        first.set(b"c", b"3", GROUP_GOES_ON).delete(b"a", GROUP_GOES_ON).set(b"d", b"")
        second = first.next().delete(b"b").mark().set(b"\0\xff", b"\n" * 100)
        second.set(b"e", b"5", GROUP_GOES_ON, attributes=(1, 0)).set(b"a", b"back")
        second.set(b"c", b"again", attributes=(2, 9 * 10**12))
        daemon = self.made(first, second, second.next().delete(b"e"))
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        self.assert_hints_are_exact(daemon)
        self.assert_restart_is_the_same(daemon)
        self.assertEqual(self.found(daemon)[0], {b"a": b"back", b"c": b"again", b"d": b"",
                                                 b"\0\xff": b"\n" * 100})

    def test_an_active_segment_that_has_grown_since_is_read_from_there(self):
        daemon = self.stopped()
        daemon.restart()
        with daemon.connect() as client:
            client.set("key-1", "newer")
            client.delete("key-2")
        daemon.kill9()
        self.assert_restart_is_the_same(daemon)
        self.assertEqual(self.found(daemon)[0][b"key-1"], b"newer")


class Harmless(HintTest):
    def assert_not_used(self, daemon, number, text):
        """A start warns, has everything, and makes a good one."""
        self.assert_restart_is_the_same(daemon)
        self.assertIn(logformat.hint_name(number), daemon.log())
        self.assertIn(text, daemon.log())
        self.assertIn("is read instead", daemon.log())
        self.assertEqual(daemon.log().count("is read instead"), 1)
        self.assertEqual(daemon.stop(), 0)
        self.assert_hints_are_exact(daemon)

    def test_a_flipped_bit(self):
        daemon = self.stopped()
        size = os.path.getsize(self.hint(daemon))
        for offset in (0, 8, 20, 30, 50, 200, 4195, 4200, 4300, size - 1):
            with self.subTest(offset=offset):
                logformat.flip_bit(self.hint(daemon), offset, offset % 8)
                self.assert_not_used(daemon, 1, "hint not used")

    def test_one_that_is_cut_or_empty(self):
        daemon = self.stopped()
        for size in (os.path.getsize(self.hint(daemon)) - 1, 4200, 100, 0):
            with self.subTest(size=size):
                os.truncate(self.hint(daemon), size)
                self.assert_not_used(daemon, 1, "hint not used")

    def test_damage_in_the_active_segment_is_found_behind_it(self):
        log = Log().set(b"a", b"1").set(b"b", b"2")
        daemon = self.made(log)
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        path = os.path.join(daemon.data, logformat.segment_name(1))
        logformat.flip_bit(path, os.path.getsize(path) - 1)
        self.assert_not_used(daemon, 1, "it tells of records that are damaged")
        self.assertEqual(self.found(daemon.restart())[0], {b"a": b"1"})
        self.assertIn(logformat.segment_name(1) + ".cut-%d" % log.offsets[1], daemon.files())

    def test_damage_below_a_mark_is_found_behind_it(self):
        daemon = self.made(Log().set(b"a", b"1").mark().set(b"b", b"2"))
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        path = os.path.join(daemon.data, logformat.segment_name(1))
        logformat.flip_bit(path, 64 + 24 + 1)
        self.assert_start_refused(self.new_daemon(data=daemon.data), EX_DATAERR, path)

    def test_one_of_a_future_version_is_named(self):
        daemon = self.stopped()
        data = bytearray(logformat.read_file(self.hint(daemon)))
        data[8] = 3
        logformat.write_file(self.hint(daemon), data)
        self.assert_not_used(daemon, 1, "version 3")

    def test_one_of_the_version_before_is_made_anew(self):
        daemon = self.made(Log().set(b"a", b"1", attributes=(0, 9 * 10**12)).set(b"b", b"2"))
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        hint = logformat.parse_hint(logformat.read_file(self.hint(daemon)))
        logformat.write_file(self.hint(daemon), logformat.encode_hint(hint, version=1))
        self.assert_not_used(daemon, 1, "version 1")

    def test_one_of_another_segment_or_store(self):
        daemon = self.stopped()
        shutil.copyfile(self.hint(daemon, 2), self.hint(daemon, 1))
        self.assert_not_used(daemon, 1, "another segment")
        other = self.stopped()
        shutil.copyfile(self.hint(other), self.hint(daemon))
        self.assert_not_used(daemon, 1, "another store")

    def test_one_that_tells_of_more_than_there_is(self):
        daemon = self.stopped()
        active = self.numbers(daemon)[-1]
        path = os.path.join(daemon.data, logformat.segment_name(active))
        records = logformat.parse_segment(logformat.read_file(path)).records
        os.truncate(path, records[-1].offset)
        self.assert_not_used(daemon, active, "more than the segment has")

    def test_one_without_a_segment_is_removed(self):
        daemon = self.stopped()
        shutil.copyfile(self.hint(daemon), self.hint(daemon, 99))
        daemon.restart()
        self.assertNotIn(logformat.hint_name(99), daemon.files())
        self.assertIn(logformat.hint_name(99), daemon.log())

    def test_no_room_for_one_is_a_warning(self):
        daemon = self.new_daemon("--segment-size", "4k")
        daemon.start()
        daemon.set_limit(resource.RLIMIT_FSIZE, 4150)  # a hint is bigger
        with daemon.connect() as client:
            for n in range(100):
                client.set("key-%d" % n, b"v" * 100)
        daemon.wait_log("no hint made")
        self.assertEqual(daemon.request("GET key-0"), b"VALUE " + b"v" * 100)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(daemon.files(".hint") + daemon.files(".tmp"), [])
        self.assert_restart_is_the_same(daemon)

    def test_kill_9_beside_their_writing_loses_nothing(self):
        daemon = self.start_daemon("--segment-size", "64k", "--fsync", "no")
        load = Load(keys=2000, value_size=200)
        for _ in range(ROUNDS):
            load.start(daemon.addresses[0])
            load.wait_more(3000)
            load.crash(daemon)
            self.assert_restart_is_the_same(daemon)
            load.verify(daemon.addresses[0])
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(daemon.files(".tmp"), [])
        self.assertEqual(run(KEYSTONE_LOG, "check", daemon.data).returncode, 0)


class Checked(HintTest):
    def check(self, daemon):
        result = run(KEYSTONE_LOG, "check", daemon.data)
        self.assertEqual(result.stderr, "")
        return result.returncode, result.stdout

    def test_good_ones_are_whole(self):
        daemon = self.stopped()
        code, out = self.check(daemon)
        self.assertEqual(code, 0)
        for number in self.numbers(daemon):
            self.assertRegex(out, logformat.segment_name(number) +
                             r": \d+ records, \d+ bytes: whole, and its hint of \d+ keys\n")
        self.assertEqual(len(out.splitlines()), len(self.numbers(daemon)))

    def test_one_of_a_part_says_so(self):
        daemon = self.stopped()
        daemon.restart()
        daemon.request("SET later value")
        daemon.kill9()
        active = self.numbers(daemon)[-1]
        self.assertRegex(self.check(daemon)[1], logformat.segment_name(active) +
                         r": .* bytes: whole, and its hint of \d+ keys in the first \d+ bytes\n")

    def test_a_bad_one_is_told_and_is_no_damage(self):
        daemon = self.stopped()
        for offset in (16, 4150, 4210):
            logformat.flip_bit(self.hint(daemon), offset)
            code, out = self.check(daemon)
            self.assertEqual(code, 0)
            self.assertIn(logformat.hint_name(1) + ": not good", out)
            logformat.flip_bit(self.hint(daemon), offset)

    def test_one_that_contradicts_its_segment_is_told(self):
        daemon = self.stopped()
        hint = logformat.parse_hint(logformat.read_file(self.hint(daemon)))
        # Neither a tombstone nor the last record: a size that can't be is found out before.
        entry = min((entry for entry in hint.entries
                     if not entry.flags & logformat.HINT_TOMBSTONE),
                    key=lambda entry: entry.offset)
        place = hint.entries.index(entry)
        for wrong in ([], [entry._replace(size=entry.size + 1)],
                      [entry._replace(key=b"other-" + entry.key, size=entry.size + 6)]):
            changed = hint._replace(
                entries=hint.entries[:place] + wrong + hint.entries[place + 1:])
            logformat.write_file(self.hint(daemon), logformat.encode_hint(changed))
            code, out = self.check(daemon)
            self.assertEqual(code, 0)
            self.assertIn("contradicts its segment", out)
        logformat.write_file(self.hint(daemon), logformat.encode_hint(hint))
        self.assertNotIn("not good", self.check(daemon)[1])

    def test_one_without_a_segment_is_left_over(self):
        daemon = self.stopped()
        shutil.copyfile(self.hint(daemon), self.hint(daemon, 99))
        code, out = self.check(daemon)
        self.assertEqual(code, 0)
        self.assertIn(logformat.hint_name(99) + ": left over", out)

    def test_a_damaged_segment_stays_damage(self):
        daemon = self.stopped()
        logformat.flip_bit(os.path.join(daemon.data, logformat.segment_name(1)), 64 + 24)
        code = run(KEYSTONE_LOG, "check", daemon.data).returncode
        self.assertEqual(code, EX_DATAERR)


if __name__ == "__main__":
    main()
