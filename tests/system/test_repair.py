#!/usr/bin/env python3
"""keystone-log repair: what is intact is kept, what is damaged is moved aside, and the daemon starts."""

import os
import random
import re
import shutil
import time

import logformat
from harness import (EX_DATAERR, EX_UNAVAILABLE, EX_USAGE, KEYSTONE_LOG, ROUNDS, SLOW, SystemTest,
                     main, run)
from logformat import GROUP_GOES_ON, RECORD_SIZE, SYNC_MARK, Log

FIRST, SECOND = logformat.segment_name(1), logformat.segment_name(2)
ASIDE = ".damaged"


def files(directory):
    return {name: logformat.read_file(directory, name) for name in os.listdir(directory)
            if name != "LOCK"}


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def kept_records(directory):
    """sequence -> (key, value, attributes) of all that a whole store holds."""
    _, segments = logformat.read_store(directory)
    records = [record for segment in segments for record in segment.records]
    sequences = [record.sequence for record in records]
    if sequences != sorted(set(sequences)):
        raise AssertionError("sequences do not rise: %r" % sequences)
    return facts(records)


def facts(records):
    return {record.sequence: (record.key, record.value, record.attributes) for record in records
            if not record.flags & SYNC_MARK}


class RepairTest(SystemTest):
    TIMEOUT_S = 180

    def made(self, *logs):
        logformat.write_store(self.path("data"), *logs)
        return self.path("data")

    def repair(self, data, *options):
        result = run(KEYSTONE_LOG, "repair", *options, data)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def assert_whole(self, data):
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def contents(self, data):
        """What a daemon serves of it."""
        daemon = self.new_daemon(data=data).start()
        with daemon.connect() as client:
            found = client.contents()
        self.assertEqual(daemon.stop(), 0)
        return found


class DamagedRecord(RepairTest):
    def setUp(self):
        super().setUp()
        self.first = Log().set(b"a", b"1").set(b"b", b"2").set(b"c", b"3")
        self.second = self.first.next().set(b"d", b"4")
        self.data = self.made(self.first, self.second)
        self.log_file = os.path.join(self.data, FIRST)

    def test_records_on_both_sides_are_kept(self):
        logformat.flip_bit(self.log_file, self.first.offsets[2] - 1)
        self.repair(self.data)
        self.assert_whole(self.data)
        self.assertEqual(self.contents(self.data), {b"a": b"1", b"c": b"3", b"d": b"4"})

    def test_those_behind_a_damaged_header_are_kept(self):
        overwrite(self.log_file, self.first.offsets[1], b"\xff" * RECORD_SIZE)
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), {b"a": b"1", b"c": b"3", b"d": b"4"})

    def test_those_behind_zeros_are_kept(self):
        overwrite(self.log_file, self.first.offsets[1], bytes(RECORD_SIZE + 2))
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), {b"a": b"1", b"c": b"3", b"d": b"4"})

    def test_report_names_offset_sequence_and_key(self):
        logformat.flip_bit(self.log_file, self.first.offsets[2] - 1)
        report = self.repair(self.data)
        self.assertRegex(report, r"(?m)^%s: damaged at offset %d: .*sequence 2, key 'b'"
                         % (FIRST, self.first.offsets[1]))

    def test_older_value_shows_where_the_newest_is_lost_and_the_report_says_so(self):
        log = Log().set(b"a", b"old").set(b"a", b"new").mark()
        data = os.path.join(self.path(), "older")
        logformat.write_store(data, log, log.next())
        logformat.flip_bit(os.path.join(data, FIRST), log.offsets[2] - 1)
        self.assertIn("older value", self.repair(data))
        self.assertEqual(self.contents(data), {b"a": b"old"})

    def test_damaged_file_is_moved_aside_whole_and_outlives_a_start(self):
        logformat.flip_bit(self.log_file, self.first.offsets[1] + 3)
        damaged = logformat.read_file(self.log_file)
        self.assertIn(FIRST + ASIDE, self.repair(self.data))
        self.contents(self.data)
        self.assertEqual(logformat.read_file(self.data, FIRST + ASIDE), damaged)
        self.assertFalse(os.path.exists(self.log_file))

    def test_older_evidence_is_not_overwritten(self):
        logformat.write_file(self.log_file + ASIDE, b"older")
        logformat.flip_bit(self.log_file, self.first.offsets[1])
        damaged = logformat.read_file(self.log_file)
        self.repair(self.data)
        self.assertEqual(logformat.read_file(self.log_file + ASIDE), b"older")
        self.assertEqual(logformat.read_file(self.log_file + ASIDE + ".1"), damaged)

    def test_whole_segments_are_not_touched(self):
        before = logformat.read_file(self.data, SECOND)
        logformat.flip_bit(self.log_file, self.first.offsets[1])
        self.repair(self.data)
        self.assertEqual(logformat.read_file(self.data, SECOND), before)

    def test_rest_of_a_damaged_group_is_kept(self):
        log = Log().set(b"a", b"1", GROUP_GOES_ON).set(b"b", b"2", GROUP_GOES_ON).set(b"c", b"3")
        data = os.path.join(self.path(), "group")
        logformat.write_store(data, log, log.next().set(b"d", b"4"))
        logformat.flip_bit(os.path.join(data, FIRST), log.offsets[2] - 1)
        self.repair(data)
        self.assertEqual(self.contents(data), {b"a": b"1", b"c": b"3", b"d": b"4"})

    def test_sequences_of_what_was_lost_are_not_used_again(self):
        logformat.flip_bit(os.path.join(self.data, SECOND), 64 + RECORD_SIZE)
        self.repair(self.data)
        daemon = self.new_daemon(data=self.data).start()
        with daemon.connect() as client:
            client.set("e", "5")
        daemon.stop()
        self.assertNotIn(4, kept_records(self.data))
        self.assertGreater(max(kept_records(self.data)), 4)


class CopyInAValue(RepairTest):
    """A value that holds a copy of a segment, behind a header that does not tell its size."""

    def damaged(self, copy, size):
        log = Log(sequence=10).set(b"a", b"1").set(b"copy", bytes(copy))
        log.set(b"b", b"2").set(b"c", b"3")
        data = self.made(log, log.next())
        overwrite(os.path.join(data, FIRST), log.offsets[1], os.urandom(size))
        self.repair(data)
        self.assertEqual(self.contents(data), {b"a": b"1", b"b": b"2", b"c": b"3"})

    def test_its_records_are_not_taken_for_the_log(self):
        for name, copy in (
                ("older", Log().set(b"x", b"9").set(b"b", b"8").data),
                ("without its header", Log().set(b"x", b"9").set(b"b", b"8").data[64:]),
                ("cut", Log().set(b"x", b"9").set(b"b", b"8" * 100).data[:-50]),
                ("newer", Log(sequence=1000).set(b"x", b"9").set(b"b", b"8").data),
                ("newer, in front of other bytes", Log(sequence=99).set(b"x", b"9").data + b"zz"),
                ("of the very sequences", Log(sequence=12).set(b"x", b"9").set(b"b", b"8").data)):
            for size in (RECORD_SIZE, RECORD_SIZE + 3):
                with self.subTest(copy=name, size=size):
                    self.damaged(copy, size)
                    shutil.rmtree(self.path("data"))


class DamagedFiles(RepairTest):
    def setUp(self):
        super().setUp()
        self.first = Log().set(b"a", b"1").delete(b"a").set(b"b", b"2")
        self.second = self.first.next().set(b"c", b"3")
        self.third = self.second.next().set(b"d", b"4")
        self.data = self.made(self.first, self.second, self.third)
        self.all = {b"b": b"2", b"c": b"3", b"d": b"4"}

    def file(self, name):
        return os.path.join(self.data, name)

    def assert_refused(self):
        self.assert_start_refused(self.new_daemon(data=self.data), EX_DATAERR)

    def test_segment_header(self):
        overwrite(self.file(SECOND), 0, os.urandom(64))
        self.assert_refused()
        self.repair(self.data)
        self.assert_whole(self.data)
        self.assertEqual(self.contents(self.data), self.all)

    def test_missing_segment(self):
        os.unlink(self.file(SECOND))
        self.assert_refused()
        self.assertRegex(self.repair(self.data), SECOND + ": missing; lost: all of it")
        del self.all[b"c"]
        self.assertEqual(self.contents(self.data), self.all)

    def test_missing_active_segment(self):
        os.unlink(self.file(logformat.segment_name(3)))
        self.assert_refused()
        self.repair(self.data)
        del self.all[b"d"]
        self.assertEqual(self.contents(self.data), self.all)

    def test_segment_of_another_store_is_moved_aside(self):
        stranger = Log(2, bytes(16), self.second.sequence - 1).set(b"x", b"9").data
        logformat.write_file(self.file(SECOND), stranger)
        self.assert_refused()
        self.repair(self.data)
        del self.all[b"c"]
        self.assertEqual(self.contents(self.data), self.all)
        self.assertEqual(logformat.read_file(self.data, SECOND + ASIDE), stranger)

    def test_file_with_the_name_of_a_segment_is_moved_aside(self):
        logformat.write_file(self.file(logformat.segment_name(9)), b"none")
        self.assert_refused()
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), self.all)
        self.assertEqual(logformat.read_file(self.data, logformat.segment_name(9) + ASIDE), b"none")

    def test_swapped_segments_are_put_in_order(self):
        os.rename(self.file(FIRST), self.file("x"))
        os.rename(self.file(SECOND), self.file(FIRST))
        os.rename(self.file("x"), self.file(SECOND))
        self.assert_refused()
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), self.all)

    def test_missing_manifest(self):
        os.unlink(self.file("MANIFEST"))
        self.assert_refused()
        self.repair(self.data)
        self.assert_whole(self.data)
        self.assertEqual(self.contents(self.data), self.all)
        self.assertEqual(kept_records(self.data)[1], (b"a", b"1", None))

    def test_damaged_manifest_is_copied_aside(self):
        logformat.flip_bit(self.file("MANIFEST"), 70)
        damaged = logformat.read_file(self.file("MANIFEST"))
        self.assert_refused()
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), self.all)
        self.assertEqual(logformat.read_file(self.data, "MANIFEST" + ASIDE), damaged)

    def test_manifest_of_another_store(self):
        logformat.write_file(self.file("MANIFEST"), logformat.encode_manifest(bytes(16), [1, 2, 3]))
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), self.all)

    def test_lost_manifest_beside_an_unfinished_compaction(self):
        """The copies it has made are merged with what they are copies of."""
        copy = Log(7, self.first.store_id, 3).set(b"b", b"2").set(b"c", b"3")
        logformat.write_file(self.file(logformat.segment_name(7)), copy.data)
        os.unlink(self.file("MANIFEST"))
        self.repair(self.data)
        self.assertEqual(self.contents(self.data), self.all)
        self.assertEqual(sorted(kept_records(self.data)), [1, 2, 3, 4, 5])

    def test_order_of_replay_is_not_that_of_numbers(self):
        """As an online compaction leaves it: the copies have the higher numbers."""
        newest = Log(1, self.first.store_id, 10).set(b"a", b"new")
        copies = Log(5, self.first.store_id, 2).set(b"a", b"old")
        data = self.path("online")
        logformat.write_store(data, copies, newest)
        os.unlink(os.path.join(data, "MANIFEST"))
        self.repair(data)
        self.assertEqual(self.contents(data), {b"a": b"new"})

    def test_two_stores_without_a_manifest_are_left_alone(self):
        shutil.rmtree(self.data)
        self.made(self.first)
        logformat.write_file(self.file(SECOND), Log(2, bytes(16), 9).set(b"x", b"9").data)
        os.unlink(self.file("MANIFEST"))
        before = files(self.data)
        result = run(KEYSTONE_LOG, "repair", self.data)
        self.assertEqual(result.returncode, EX_DATAERR, result.stdout)
        self.assertEqual(files(self.data), before)


class Conduct(RepairTest):
    def setUp(self):
        super().setUp()
        self.log = Log().set(b"a", b"1").set(b"b", b"2").mark()
        self.data = self.made(self.log, self.log.next())

    def damage(self):
        logformat.flip_bit(os.path.join(self.data, FIRST), self.log.offsets[1] - 1)

    def test_whole_store_is_left_as_it_is(self):
        before = files(self.data)
        self.assertIn("nothing to repair", self.repair(self.data))
        self.assertEqual(files(self.data), before)

    def test_dry_run_tells_the_same_and_changes_nothing(self):
        self.damage()
        before = files(self.data)
        result = run(KEYSTONE_LOG, "repair", "--dry-run", self.data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertEqual(files(self.data), before)
        self.assertTrue(result.stdout)
        self.assertTrue(self.repair(self.data).startswith(result.stdout))

    def test_dry_run_of_a_whole_store_succeeds(self):
        self.assertIn("nothing to repair", self.repair(self.data, "--dry-run"))

    def test_a_directory_without_a_store_is_left_alone(self):
        os.mkdir(self.path("elsewhere"))
        result = run(KEYSTONE_LOG, "repair", self.path("elsewhere"))
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("elsewhere: there is no store in it", result.stderr)
        self.assertEqual(os.listdir(self.path("elsewhere")), [])

    def test_dry_run_is_for_repair_only(self):
        for command in ("check", "dump", "compact"):
            result = run(KEYSTONE_LOG, command, "--dry-run", self.data)
            self.assertEqual(result.returncode, EX_USAGE, command)

    def test_directory_held_by_a_daemon_is_refused(self):
        daemon = self.start_daemon()
        for command in (["repair"], ["repair", "--dry-run"], ["compact"]):
            result = run(KEYSTONE_LOG, *command, daemon.data)
            self.assertEqual(result.returncode, EX_UNAVAILABLE, command)

    def test_copy_without_a_lock_is_repaired(self):
        self.damage()
        self.assertFalse(os.path.exists(os.path.join(self.data, "LOCK")))
        self.repair(self.data)
        self.assert_whole(self.data)

    def test_directory_without_a_store_is_refused(self):
        os.mkdir(self.path("elsewhere"), 0o700)
        for command in ("repair", "compact"):
            result = run(KEYSTONE_LOG, command, self.path("elsewhere"))
            self.assertEqual(result.returncode, EX_DATAERR, result.stdout + result.stderr)
            self.assertFalse(os.path.exists(self.path("elsewhere", "MANIFEST")))

    def test_missing_directory_is_not_made(self):
        for command in ("repair", "compact"):
            self.assertNotEqual(run(KEYSTONE_LOG, command, self.path("absent")).returncode, 0)
        self.assertFalse(os.path.exists(self.path("absent")))

    def test_newer_versions_are_refused_untouched(self):
        def write(name, data):
            logformat.write_file(os.path.join(self.data, name), data)
        for name, data in (
                ("MANIFEST", logformat.encode_manifest(self.log.store_id, [1, 2], version=2)),
                (FIRST, logformat.encode_header(1, self.log.store_id, version=2)),
                (FIRST, bytes(Log().set(b"a", b"1", 8).data))):
            shutil.rmtree(self.data)
            self.made(self.log, self.log.next())
            write(name, data)
            before = files(self.data)
            result = run(KEYSTONE_LOG, "repair", self.data)
            self.assertEqual(result.returncode, EX_DATAERR, result.stdout)
            self.assertRegex(result.stderr, name + ".*version")
            self.assertEqual(files(self.data), before)

    def test_torn_tail_is_left_to_the_next_start(self):
        log = Log().set(b"a", b"1").set(b"b", b"2", GROUP_GOES_ON).set(b"c", b"3")
        data = self.path("torn")
        logformat.write_store(data, log)
        os.truncate(os.path.join(data, FIRST), log.offsets[2] + 5)
        before = files(data)
        self.assertIn("will be cut at start", self.repair(data))
        self.assertEqual(files(data), before)
        self.assertEqual(self.contents(data), {b"a": b"1"})

    def test_no_part_of_a_torn_group_is_applied(self):
        """The last body is still the zeros that were kept ready for it."""
        log = Log().set(b"a", b"1").set(b"b", b"2", GROUP_GOES_ON).set(b"c", b"3", GROUP_GOES_ON)
        log.set(b"d", b"4")
        data = self.path("torn")
        for claims in (False, True):
            with self.subTest(claims=claims):
                end = len(log.data)
                logformat.write_store(data, log.mark() if claims else log)
                with open(os.path.join(data, FIRST), "ab") as file:
                    file.write(bytes(4096))
                overwrite(os.path.join(data, FIRST), end - 2, bytes(2))
                self.assertEqual("torn tail" in self.repair(data), not claims)
                self.assert_whole(data)
                kept = {b"a": b"1", b"b": b"2", b"c": b"3"} if claims else {b"a": b"1"}
                self.assertEqual(self.contents(data), kept)
                shutil.rmtree(data)

    def test_what_stands_behind_damage_in_the_active_segment_is_kept(self):
        """A start would take it for a torn tail and cut it."""
        log = Log().set(b"a", b"1").set(b"b", b"2").set(b"c", b"3")
        data = self.path("active")
        logformat.write_store(data, log)
        with open(os.path.join(data, FIRST), "ab") as file:
            file.write(bytes(4096))
        logformat.flip_bit(os.path.join(data, FIRST), log.offsets[2] - 1)
        self.repair(data)
        self.assert_whole(data)
        self.assertEqual(self.contents(data), {b"a": b"1", b"c": b"3"})

    def test_interrupted_repair_is_finished_by_the_next(self):
        """Files are moved aside before the MANIFEST says so."""
        self.damage()
        os.rename(os.path.join(self.data, FIRST), os.path.join(self.data, FIRST + ASIDE))
        self.assert_start_refused(self.new_daemon(data=self.data), EX_DATAERR, FIRST)
        self.repair(self.data)
        self.assert_whole(self.data)
        self.assertEqual(self.contents(self.data), {b"b": b"2"})
        self.assertTrue(os.path.exists(os.path.join(self.data, FIRST + ASIDE)))

    def test_commands_in_the_message_of_the_daemon_work_as_typed(self):
        def lose_manifest():
            os.unlink(os.path.join(self.data, "MANIFEST"))
        for damage in (self.damage, lose_manifest):
            damage()
            stderr = self.assert_start_refused(self.new_daemon(data=self.data), EX_DATAERR)
            commands = re.findall(r"keystone-log (check|repair) ([^\s,;]+)", stderr)
            self.assertEqual([command for command, _ in commands], ["check", "repair"], stderr)
            codes = [run(KEYSTONE_LOG, *command).returncode for command in commands]
            self.assertEqual(codes, [EX_DATAERR, 0])
            self.contents(self.data)


class RandomDamage(RepairTest):
    """Random stores, 1 to 64 random bytes at random places: every record that was not hit is kept,
    none is made up, and the store is whole afterwards."""

    def make_logs(self, rng):
        logs, log = [], Log(rng.randint(1, 3))
        compacted = rng.random() < 0.5
        for _ in range(rng.randint(1, 5)):
            in_group = False
            for _ in range(rng.randint(0, 40)):
                in_group = self.add_record(rng, logs, log, in_group, compacted)
            if in_group:
                log.set(b"end", b"of the group")
            logs.append(log)
            log = log.next()
        return logs

    def add_record(self, rng, logs, log, in_group, compacted):
        """True where the group goes on."""
        if not in_group and compacted and rng.random() < 0.3:
            log.sequence += rng.randint(1, 50)
        if not in_group and rng.random() < 0.1:
            log.mark()
            return False
        flags = GROUP_GOES_ON if rng.random() < 0.25 else 0
        key = b"key-%d" % rng.randint(0, 30)
        kind = rng.random()
        if kind < 0.15:
            log.delete(key, flags)
        elif kind < 0.25:
            copy = bytes(rng.choice(logs + [log]).data)
            log.set(key, copy[:rng.choice([len(copy), rng.randint(0, len(copy))])][:5000], flags)
        elif kind < 0.6:
            log.set(key, bytes(rng.randint(0, 100)), flags)
        else:
            log.set(key, rng.randbytes(rng.choice([0, 1, 10, 100, 1000])), flags,
                    (1, 2) if kind < 0.65 else None)
        return bool(flags)

    def damage_file(self, rng, path):
        """The offsets that have changed."""
        data = bytearray(logformat.read_file(path))
        offset = rng.randrange(len(data))
        size = min(rng.randint(1, 64), len(data) - offset)
        new = bytes(size) if rng.random() < 0.3 else rng.randbytes(size)
        changed = [offset + i for i in range(size) if data[offset + i] != new[i]]
        overwrite(path, offset, new)
        return changed

    def damage_store(self, rng, data, logs):
        """The sequences of the records that were hit."""
        hit = set()
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            log = rng.choice(logs)
            path = os.path.join(data, logformat.segment_name(log.number))
            manifest = os.path.join(data, "MANIFEST")
            kind = rng.choice(["segment"] * 8 + ["manifest", "no manifest", "no segment"])
            if kind == "segment" and os.path.exists(path):
                changed = self.damage_file(rng, path)
                hit |= {record.sequence for record in self.records(log)
                        if any(record.offset <= offset < record.end for offset in changed)}
            elif kind == "manifest" and os.path.exists(manifest):
                self.damage_file(rng, manifest)
            elif kind == "no manifest" and os.path.exists(manifest):
                os.unlink(manifest)
            elif kind == "no segment" and len(os.listdir(data)) > 2 and os.path.exists(path):
                os.unlink(path)
                hit |= {record.sequence for record in self.records(log)}
        return hit

    @staticmethod
    def records(log):
        return logformat.parse_segment(bytes(log.data)).records

    def torn(self, data, logs, hit):
        """The sequences that a torn tail may have: of the last records that there are, those behind
        the last whole end of a group."""
        torn = set()
        present = [log for log in logs if self.records(log) and
                   os.path.exists(os.path.join(data, logformat.segment_name(log.number)))]
        for record in reversed(self.records(present[-1]) if present else []):
            if not record.flags & (GROUP_GOES_ON | SYNC_MARK) and record.sequence not in hit:
                break
            torn.add(record.sequence)
        return torn if torn & hit else set()

    def one_round(self, rng, data):
        logs = self.make_logs(rng)
        logformat.write_store(data, *logs)
        if rng.random() < 0.3:  # the active one's reserve
            with open(os.path.join(data, logformat.segment_name(logs[-1].number)), "ab") as file:
                file.write(bytes(rng.randint(1, 3000)))
        written = facts(record for log in logs for record in self.records(log))
        hit = self.damage_store(rng, data, logs)
        torn = self.torn(data, logs, hit)
        whole = run(KEYSTONE_LOG, "check", data).returncode == 0
        self.assertEqual("nothing to repair" in self.repair(data), whole)
        self.assert_whole(data)
        if not os.path.exists(os.path.join(data, "MANIFEST")):
            self.assertEqual(written, {})  # what an interrupted first start leaves
            return
        kept = kept_records(data)
        self.assertEqual({s: fact for s, fact in written.items()
                          if s not in hit | torn and kept.get(s) != fact}, {})
        self.assertEqual({s: fact for s, fact in kept.items() if written.get(s) != fact}, {})

    def test_every_record_that_was_not_hit_is_kept(self):
        for seed in range(40 * ROUNDS if SLOW == 1 else 10 * ROUNDS):
            with self.subTest(seed=seed):
                self.one_round(random.Random(seed), self.path("data"))
                if seed % 10 == 0:
                    _, segments = (logformat.read_store(self.path("data")))
                    self.assertEqual(self.contents(self.path("data")),
                                     logformat.replay(segments, int(time.time() * 1000)))
            shutil.rmtree(self.path("data"), ignore_errors=True)


class RealStore(RepairTest):
    """What a daemon has left, hints and all."""

    def test_any_damaged_file_is_mended(self):
        daemon = self.start_daemon("--segment-size", "4k", "--fsync", "always")
        with daemon.connect() as client:
            for n in range(150):
                client.set("key-%d" % (n % 60), "%d" % n * 30)
            self.assertEqual(client.request("COMPACT"), b"OK")
            for n in range(60, 130):
                client.set("key-%d" % n, "%d" % n * 30)
            client.delete("key-1")
        self.assertEqual(daemon.stop(), 0)
        before = kept_records(daemon.data)
        rng = random.Random(1)
        for name in sorted(daemon.files(".log") + daemon.files(".hint") + ["MANIFEST"]):
            with self.subTest(name=name):
                data = self.path("copy")
                shutil.copytree(daemon.data, data)
                offset = rng.randrange(os.path.getsize(os.path.join(data, name)))
                logformat.flip_bit(os.path.join(data, name), offset)
                self.repair(data)
                self.assert_whole(data)
                kept = kept_records(data)
                self.assertLessEqual(len(before) - len(kept), 1)
                self.assertEqual({s: before[s] for s in kept}, kept)
                _, segments = logformat.read_store(data)
                self.assertEqual(self.contents(data), logformat.replay(segments))
                shutil.rmtree(data)


if __name__ == "__main__":
    main()
