#!/usr/bin/env python3
"""keystone-log check, dump and compact on real directories."""

import base64
import json
import os

import logformat
from harness import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE, KEYSTONE_LOG, SystemTest, main, run
from logformat import GROUP_GOES_ON, Log


class LogTool(SystemTest):
    def made(self, *logs):
        logformat.write_store(self.path("data"), *logs)
        return self.path("data")

    def real_store(self):
        """What a daemon has left: several segments, a stopped process."""
        daemon = self.start_daemon("--segment-size", "4k")
        with daemon.connect() as client:
            for n in range(100):
                client.set("key-%d" % n, "x" * 100)
            for n in range(50):
                client.delete("key-%d" % n)
        self.assertEqual(daemon.stop(), 0)
        return daemon

    def tree(self, directory):
        return {name: (os.stat(os.path.join(directory, name)).st_mtime_ns,
                       logformat.read_file(directory, name))
                for name in os.listdir(directory) if name != "LOCK"}


class Check(LogTool):
    def test_whole_store_has_a_line_for_each_segment(self):
        daemon = self.real_store()
        result = run(KEYSTONE_LOG, "check", daemon.data)
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in daemon.files(".log"):
            self.assertIn(name, result.stdout)

    def test_it_changes_nothing(self):
        daemon = self.real_store()
        before = self.tree(daemon.data)
        run(KEYSTONE_LOG, "check", daemon.data)
        self.assertEqual(self.tree(daemon.data), before)

    def test_directory_held_by_a_daemon_is_refused(self):
        daemon = self.start_daemon()
        for command in ("check", "dump"):
            result = run(KEYSTONE_LOG, command, daemon.data)
            self.assertEqual(result.returncode, EX_UNAVAILABLE, command)
            self.assertIn(daemon.data, result.stderr)

    def test_damage_is_told_with_file_and_offset(self):
        log = Log().set(b"a", b"1").set(b"b", b"2")
        data = self.made(log, log.next())
        logformat.flip_bit(os.path.join(data, "000000000001.log"), log.offsets[1] + 24)
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("000000000001.log", result.stdout + result.stderr)
        self.assertIn(str(log.offsets[1]), result.stdout + result.stderr)

    def test_damage_in_two_segments_is_told_in_one_run(self):
        first = Log().set(b"a", b"1")
        second = first.next().set(b"b", b"2")
        data = self.made(first, second, second.next())
        for number in (1, 2):
            logformat.flip_bit(os.path.join(data, logformat.segment_name(number)), 64 + 24)
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("000000000001.log", result.stdout + result.stderr)
        self.assertIn("000000000002.log", result.stdout + result.stderr)

    def test_damaged_manifest_is_told(self):
        data = self.made(Log())
        logformat.flip_bit(os.path.join(data, "MANIFEST"), 40)
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("MANIFEST", result.stdout + result.stderr)

    def test_tail_that_ends_too_early_is_told_and_no_damage(self):
        log = Log().set(b"a", b"1").set(b"b", b"2")
        data = self.made(log)
        path = os.path.join(data, logformat.segment_name(1))
        os.truncate(path, os.path.getsize(path) - 1)
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, 0)
        self.assertIn("torn tail: 25 bytes at offset %d" % log.offsets[1], result.stdout)

    def test_tail_with_a_wrong_byte_is_damage(self):
        log = Log().set(b"a", b"1").set(b"b", b"2")
        data = self.made(log)
        path = os.path.join(data, logformat.segment_name(1))
        logformat.flip_bit(path, os.path.getsize(path) - 1)
        result = run(KEYSTONE_LOG, "check", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("offset %d" % log.offsets[1], result.stdout)
        result = run(KEYSTONE_LOG, "dump", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertEqual(len(result.stdout.splitlines()), 1)

    def test_directory_without_a_store_is_not_whole(self):
        os.mkdir(self.path("elsewhere"))
        result = run(KEYSTONE_LOG, "check", self.path("elsewhere"))
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn(self.path("elsewhere"), result.stderr)

    def test_missing_directory_is_an_error_that_names_it(self):
        result = run(KEYSTONE_LOG, "check", self.path("absent"))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(self.path("absent"), result.stderr)
        self.assertFalse(os.path.exists(self.path("absent")))

    def test_bad_command_lines_are_refused(self):
        for arguments in ((), ("nonsense", self.path()), ("check",)):
            self.assertEqual(run(KEYSTONE_LOG, *arguments).returncode, EX_USAGE, arguments)


class Dump(LogTool):
    def dump(self, data):
        result = run(KEYSTONE_LOG, "dump", data)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_every_record_is_a_json_object(self):
        log = Log().set(b"a", b"1").set(b"quote\"d", b"\\", GROUP_GOES_ON).delete(b"a")
        records = self.dump(self.made(log))
        self.assertEqual([record["sequence"] for record in records], [1, 2, 3])
        self.assertEqual([record["key"] for record in records], ["a", "quote\"d", "a"])
        self.assertEqual([record.get("value") for record in records], ["1", "\\", None])
        self.assertEqual([record["offset"] for record in records], log.offsets)
        self.assertEqual(records[0]["op"], records[1]["op"])
        self.assertNotEqual(records[0]["op"], records[2]["op"])

    def test_flags_and_expiry_are_told_where_a_record_has_them(self):
        log = Log().set(b"a", b"1", attributes=(7, 0)).set(b"b", b"2", attributes=(0, 9 * 10**12))
        records = self.dump(self.made(log.set(b"c", b"3")))
        self.assertEqual([(record.get("client_flags"), record.get("expires_at_ms"))
                          for record in records], [(7, None), (None, 9 * 10**12), (None, None)])

    def test_bytes_that_are_not_utf_8_are_base64(self):
        value = b"\xff\xfe\x00"
        result = run(KEYSTONE_LOG, "dump", self.made(Log().set(b"a", value)))
        self.assertIn(base64.b64encode(value).decode(), result.stdout)
        json.loads(result.stdout)

    def test_dump_of_a_real_store_adds_up_to_it(self):
        daemon = self.real_store()
        found = {}
        for record in self.dump(daemon.data):
            if record.get("value") is None:
                found.pop(record.get("key"), None)
            else:
                found[record["key"]] = record["value"]
        with daemon.restart().connect() as client:
            expected = {k.decode(): v.decode() for k, v in client.contents().items()}
        self.assertEqual(found, expected)


class Compact(LogTool):
    def test_live_data_and_nothing_else_is_left(self):
        daemon = self.real_store()
        before = logformat.replay(logformat.read_store(daemon.data)[1])
        result = run(KEYSTONE_LOG, "compact", daemon.data)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("50 keys", result.stdout)
        _, segments = logformat.read_store(daemon.data)
        self.assertEqual(logformat.replay(segments), before)
        self.assertEqual(sum(len(segment.records) for segment in segments), 50)
        self.assertEqual(run(KEYSTONE_LOG, "check", daemon.data).returncode, 0)
        with daemon.restart().connect() as client:
            self.assertEqual(client.contents(), before)

    def test_damaged_log_is_refused_untouched(self):
        log = Log().set(b"a", b"1")
        data = self.made(log, log.next())
        logformat.flip_bit(os.path.join(data, logformat.segment_name(1)), 64 + 24)
        before = self.tree(data)
        result = run(KEYSTONE_LOG, "compact", data)
        self.assertEqual(result.returncode, EX_DATAERR)
        self.assertIn("keystone-log repair " + data, result.stderr)
        self.assertEqual(self.tree(data), before)

    def test_bar_is_for_terminals_only(self):
        daemon = self.real_store()
        self.assertEqual(run(KEYSTONE_LOG, "compact", daemon.data).stderr, "")


if __name__ == "__main__":
    main()
