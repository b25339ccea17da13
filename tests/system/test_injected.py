#!/usr/bin/env python3
"""System calls of the real daemon fail, by strace: it lives, says which file, and loses nothing."""

import os
import resource
import shutil
import subprocess

from harness import (EX_IOERR, EX_OSERR, SLOW, SystemTest, is_sanitized, main, poll_until, read_text,
                     run)
from load import Load

DEVICE_FULL = b"ERROR log device full: writes are refused, reads go on"
WRITES = "?pwrite64,?pwritev,?pwritev2"
RENAMES = "?rename,?renameat,?renameat2"


class Injection:
    """Faults in a running daemon for as long as the block runs; `spec` is strace's, behind
    the names of the calls: error=EIO:when=2."""

    def __init__(self, test, daemon, calls, spec):
        self.daemon = daemon
        self.path = test.path("strace.%d" % daemon.pid)
        self.messages = self.path + ".messages"
        self.argv = ["strace", "-f", "-o", self.path, "-e", "trace=" + calls,
                     "-e", "inject=%s:%s" % (calls, spec), "-p", str(daemon.pid)]
        self.process = None

    def __enter__(self):
        with open(self.messages, "wb") as messages:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=messages)
        poll_until(self._attached, what="strace attaches to all threads")
        return self

    def __exit__(self, *_):
        self.process.terminate()  # it detaches
        self.process.wait(timeout=20 * SLOW)

    def _attached(self):
        """Not before it says so: a thread that has a tracer may still run on for a call."""
        if self.process.poll() is not None:
            raise AssertionError("strace: " + read_text(self.messages))
        return " attached" in read_text(self.messages)

    def count(self):
        """Calls that were made to fail so far."""
        return read_text(self.path).count("(INJECTED)")


def strace_fails():
    """Why strace can't be used here; empty where it can."""
    if shutil.which("strace") is None:
        return "there is no strace"
    tried = run("strace", "-f", "-e", "inject=fsync:error=EIO", "true")
    return tried.stderr.strip() if tried.returncode != 0 else ""


class InjectedTest(SystemTest):
    def setUp(self):
        super().setUp()
        why = strace_fails()
        if why:
            self.skipTest("strace does not work here: " + why)

    def inject(self, daemon, calls, spec):
        return Injection(self, daemon, calls, spec)

    def assert_keeps(self, daemon, expected):
        """It lives, holds just that, and does so after kill -9, too."""
        with daemon.connect() as client:
            self.assertEqual(client.contents(), expected)
        daemon.kill9()
        with daemon.restart().connect() as client:
            self.assertEqual(client.contents(), expected)
            self.assertEqual(client.stats()["recovered_truncated_bytes"], "0")


class Writes(InjectedTest):
    def assert_refused(self, error, pattern):
        daemon = self.start_daemon("--fsync", "no")
        with daemon.connect() as client:
            client.set("a", "1")
            with self.inject(daemon, WRITES, "error=" + error):
                self.assertRegex(client.request("SET a 2"), pattern)
                self.assertRegex(client.request("SET b 2"), pattern)
                self.assertRegex(client.request("DELETE a"), pattern)
                self.assertEqual(client.get("a"), b"1")
            # After a full disk: once the reserve is there again.
            poll_until(lambda: client.request("SET c 3") == b"OK", what="writes work again")
        self.assert_keeps(daemon, {b"a": b"1", b"c": b"3"})

    def test_without_room_are_refused_until_there_is_some(self):
        self.assert_refused("ENOSPC", DEVICE_FULL)

    def test_over_quota_are_refused_until_there_is_room(self):
        self.assert_refused("EDQUOT", DEVICE_FULL)

    def test_that_fail_are_refused_and_name_the_file(self):
        self.assert_refused("EIO", rb"\AERROR .*/000000000001\.log: Input/output error")

    def test_that_are_interrupted_are_done_again(self):
        daemon = self.start_daemon("--fsync", "no")
        expected = {b"key-%d" % n: b"%d" % n for n in range(20)}
        with daemon.connect() as client:
            with self.inject(daemon, WRITES, "error=EINTR:when=1+2") as injection:
                for key, value in expected.items():
                    client.set(key, value)
                self.assertGreaterEqual(injection.count(), 20)
        self.assert_keeps(daemon, expected)

    def test_under_load_lose_nothing_when_some_fail(self):
        daemon = self.start_daemon("--segment-size", "64k")
        load = Load(errors_allowed=True)
        load.start(daemon.addresses[0])
        with self.inject(daemon, WRITES, "error=ENOSPC:when=3+5"):
            load.wait_refused(100)
            load.wait_acknowledged(400)
        load.wait_more(100)
        load.crash(daemon)
        load.verify(daemon.restart().addresses[0])


class Syncs(InjectedTest):
    def assert_read_only(self, daemon):
        with daemon.connect() as client:
            self.assertRegex(client.request("SET late 1"), rb"\AERROR the store is read-only ")
            self.assertEqual(client.stats()["read_only"], "1")
            self.assertEqual(client.get("a"), b"1")
        daemon.wait_log("000000000001.log: Input/output error")

    def test_that_fail_under_always_make_the_store_read_only(self):
        daemon = self.start_daemon("--fsync", "always")
        with daemon.connect() as client:
            client.set("a", "1")
            with self.inject(daemon, "fdatasync", "error=EIO"):
                self.assertRegex(client.request("SET b 2"), rb"\AERROR .*Input/output error")
                self.assertEqual(client.get("b"), None)
        self.assert_read_only(daemon)
        daemon.kill9()
        with daemon.restart().connect() as client:
            self.assertEqual(client.get("a"), b"1")
            client.set("late", "1")

    def test_that_fail_every_second_make_the_store_read_only(self):
        daemon = self.start_daemon("--fsync", "everysec")
        with daemon.connect() as client:
            with self.inject(daemon, "fdatasync", "error=EIO"):
                client.set("a", "1")
                poll_until(lambda: client.stats()["read_only"] == "1", what="it is read-only")
        self.assert_read_only(daemon)
        daemon.kill9()
        with daemon.restart().connect() as client:
            self.assertEqual(client.contents(), {b"a": b"1"})

    def test_that_a_client_asks_for_tell_it(self):
        daemon = self.start_daemon("--fsync", "no")
        with daemon.connect() as client:
            client.set("a", "1")
            with self.inject(daemon, "fdatasync", "error=EIO"):
                self.assertRegex(client.request("SYNC"), rb"\AERROR .*Input/output error")
        self.assert_read_only(daemon)


class Compactions(InjectedTest):
    MOST_CALLS = 60

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--segment-size", "64k", "--fsync", "no",
                                        "--compact-stale-percent", "0")
        self.expected = {b"key-%d" % n: b"v" * 1000 + b"%d" % n for n in range(100)}
        with self.daemon.connect() as client:
            for _ in range(2):
                for key, value in self.expected.items():
                    client.set(key, value)

    def assert_each_call_may_fail(self, calls, error, may_fail_others=False, refuses=True):
        """Compacts with the first call of each thread failing, then the second, until no thread has so
        many."""
        refused = 0
        for n in range(1, self.MOST_CALLS):
            with self.inject(self.daemon, calls, "error=%s:when=%d" % (error, n)) as injection:
                refused += self.compact(may_fail_others)
                hit = injection.count() > 0
            self.check(n)
            if not hit:
                break
        else:
            self.fail("there is no end of calls that fail")
        self.assertEqual(refused > 0, refuses)
        self.assertEqual(self.daemon.request("COMPACT"), b"OK")
        self.assert_keeps(self.daemon, self.expected)

    def compact(self, may_fail_others):
        """True where it was refused."""
        try:
            reply = self.daemon.request("COMPACT")
        except OSError:
            if may_fail_others:
                return False
            raise
        self.assertRegex(reply, rb"\A(OK\Z|ERROR .)")
        return reply != b"OK"

    def check(self, n):
        """The daemon goes on; only a restart helps where it can't know what is on the disk."""
        if self.daemon.stats()["read_only"] == "1":
            self.daemon.kill9()
            self.daemon.restart()
        with self.daemon.connect() as client:
            self.assertEqual(client.contents(), self.expected)
            poll_until(lambda: client.request("SET round %d" % n) == b"OK", what="writes work")
            self.expected[b"round"] = b"%d" % n
        poll_until(lambda: not self.daemon.files(".log.tmp"), what="no half segment is left")

    def test_without_descriptors_leave_the_store_as_it_was(self):
        self.assert_each_call_may_fail("openat", "EMFILE")

    def test_without_room_once_go_on_in_the_reserve(self):
        self.assert_each_call_may_fail(WRITES, "ENOSPC", refuses=False)

    def test_that_can_not_write_leave_the_store_as_it_was(self):
        self.assert_each_call_may_fail(WRITES, "EIO")

    def test_that_can_not_sync_leave_the_store_as_it_was(self):
        self.assert_each_call_may_fail("fsync", "EIO")

    def test_that_can_not_rename_leave_the_store_as_it_was(self):
        self.assert_each_call_may_fail(RENAMES, "EIO")

    def test_without_memory_leave_the_store_as_it_was(self):
        if is_sanitized():
            self.skipTest("a sanitizer's own memory must not fail")
        self.assert_each_call_may_fail("mmap", "ENOMEM", may_fail_others=True)


class Rotation(InjectedTest):
    def test_that_fails_refuses_writes_and_names_the_file(self):
        daemon = self.start_daemon("--segment-size", "4k", "--fsync", "no")
        expected = {}
        with daemon.connect() as client:
            with self.inject(daemon, "openat", "error=EMFILE"):
                reply = b"OK"
                while reply == b"OK":
                    key = b"key-%d" % len(expected)
                    reply = client.request(b"SET %s %s" % (key, b"v" * 300))
                    if reply == b"OK":
                        expected[key] = b"v" * 300
                    self.assertLess(len(expected), 20)
                self.assertRegex(reply, rb"\AERROR .*000000000002\.log.*Too many open files")
            for n in range(20):
                client.set("later-%d" % n, b"w" * 300)
                expected[b"later-%d" % n] = b"w" * 300
        self.assert_keeps(daemon, expected)


class Connections(InjectedTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon()
        self.daemon.request("SET a 1")

    def test_that_can_not_be_accepted_are_served_later(self):
        for error in ("EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED", "EINTR"):
            with self.subTest(error=error), self.daemon.connect() as early:
                self.assertEqual(early.get("a"), b"1")
                with self.inject(self.daemon, "accept4", "error=" + error) as injection:
                    late = self.connect(self.daemon)
                    poll_until(injection.count, what="accept4 fails")
                    self.assertEqual(early.get("a"), b"1")
                self.assertEqual(late.get("a"), b"1")

    def test_that_are_reset_end_and_others_go_on(self):
        for calls in ("recvfrom", "sendto"):
            with self.subTest(calls=calls), self.daemon.connect() as client:
                self.assertEqual(client.get("a"), b"1")
                with self.inject(self.daemon, calls, "error=ECONNRESET"):
                    client.send_raw(b"SET b 2\n")
                    # A receive that waits already may yet end well; the next one does not.
                    replies = client.read_all()
                self.assertIn(replies, (b"", b"OK\n") if calls == "recvfrom" else (b"",))
                self.assertEqual(self.daemon.request("GET a"), b"VALUE 1")

    def test_that_are_interrupted_lose_no_byte(self):
        for calls in ("recvfrom", "sendto", "recvfrom,sendto"):
            with self.subTest(calls=calls), self.daemon.connect() as client:
                with self.inject(self.daemon, calls, "error=EINTR:when=1+2"):
                    for n in range(20):
                        client.set("key", str(n))
                        self.assertEqual(client.get("key"), b"%d" % n)


class Start(InjectedTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.new_daemon(environment={"ASAN_OPTIONS": "detect_leaks=0"})

    def make_fail(self, calls, spec, name=None):
        """Has calls fail in the next start, those on a file where a name is given."""
        self.daemon.wrapper = ["strace", "-D", "-f", "-qq", "-o", self.path("strace"),
                               "-e", "trace=" + calls, "-e", "inject=%s:error=%s" % (calls, spec)]
        if name:
            self.daemon.wrapper += ["-P", os.path.join(self.daemon.data, name)]

    def assert_refused(self, calls, spec, code, *texts, name=None):
        """With such calls failing it does not start."""
        self.make_fail(calls, spec, name)
        self.assert_start_refused(self.daemon, code, *texts)
        self.daemon.wrapper = []

    def test_writes_over_a_port_file_that_it_has_no_room_to_replace(self):
        self.daemon.start().kill9()  # leaves one
        before = self.daemon.addresses
        self.make_fail("?write,?pwrite64", "ENOSPC", "keystoned.port.tmp")
        self.assertEqual(self.daemon.start().request("PING"), b"OK PONG")
        self.assertNotEqual(self.daemon.addresses, before)
        self.assertNotIn("keystoned.port", self.daemon.log())
        self.assertEqual(self.daemon.stop(), 0)
        self.assertNotIn("keystoned.port", self.daemon.files())

    def test_of_a_store_that_can_not_be_read_is_refused_and_changes_nothing(self):
        self.daemon.start().request("SET a 1")
        self.daemon.kill9()
        for calls, name, error, code, reason in (
                ("openat", "LOCK", "EMFILE", EX_OSERR, "Too many open files"),
                ("openat", "MANIFEST", "EIO", EX_IOERR, "Input/output error"),
                ("?read,?pread64", "MANIFEST", "EIO", EX_IOERR, "Input/output error"),
                ("openat", "000000000001.log", "EIO", EX_IOERR, "Input/output error"),
                ("mmap", "000000000001.log", "ENOMEM", EX_OSERR, "Cannot allocate memory"),
                ("fdatasync", "000000000001.log", "EIO", EX_IOERR, "Input/output error")):
            with self.subTest(calls=calls, name=name):
                self.assert_refused(calls, error, code, name, reason, name=name)
        with self.daemon.start().connect() as client:
            self.assertEqual(client.contents(), {b"a": b"1"})

    def test_of_a_new_store_that_can_not_be_written_can_be_tried_again(self):
        full, broken = "No space left on device", "Input/output error"
        for calls, spec, name, named, reason in (
                ("openat", "ENOSPC", "000000000001.log.tmp", "000000000001.log.tmp", full),
                (WRITES, "ENOSPC", "000000000001.log.tmp", "000000000001.log", full),
                ("fsync", "EIO", "000000000001.log.tmp", "000000000001.log.tmp", broken),
                (RENAMES, "EIO", None, "000000000001.log", broken),
                ("?write,?pwrite64", "ENOSPC", "MANIFEST.tmp", "MANIFEST.tmp", full),
                ("fsync", "EIO", "MANIFEST.tmp", "MANIFEST.tmp", broken),
                (RENAMES, "EIO:when=2", None, "MANIFEST", broken)):
            with self.subTest(calls=calls, spec=spec, named=named):
                self.assert_refused(calls, spec, EX_IOERR, named, reason, name=name)
        with self.daemon.start().connect() as client:
            self.assertEqual(client.contents(), {})


class FileSizeLimit(SystemTest):
    def test_compaction_over_it_is_refused_and_kills_nobody(self):
        daemon = self.start_daemon("--fsync", "no")
        with daemon.connect() as client:
            expected = {b"key-%d" % n: b"v" * 1000 for n in range(100)}
            for key, value in expected.items():
                client.set(key, value)
            daemon.set_limit(resource.RLIMIT_FSIZE, 50000)
            self.assertRegex(client.request("COMPACT"), rb"\AERROR .*File too large")
            self.assertEqual(client.contents(), expected)
            daemon.set_limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertEqual(client.contents(), expected)

    def test_start_of_a_new_store_over_it_is_refused_and_names_the_file(self):
        daemon = self.new_daemon(wrapper=["prlimit", "--fsize=40"])
        code, _ = daemon.start_fails()
        self.assertGreater(code, 0)
        daemon.wrapper = []
        self.assertEqual(daemon.start().request("COUNT"), b"OK 0")


if __name__ == "__main__":
    main()
