#!/usr/bin/env python3
"""A disk that can't be trusted: what can't be read, what can't be synced, and the way back."""

import os
import shutil
import signal
import subprocess

import logformat
from harness import EX_IOERR, KEYSTONE_LOG, SystemTest, is_sanitized, main, poll_until, read_text

PAGE = 4096
VALUE = b"v" * 3 * PAGE


class Unreadable(SystemTest):
    """The log is cut under the daemon: to read there is SIGBUS, as it is of a bad sector."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--fsync", "no", "--segment-size", "64k")
        self.client = self.connect(self.daemon)
        for n in range(20):
            self.assertEqual(self.client.request(b"SET key-%d %s" % (n, VALUE)), b"OK")
        # A sealed one: not what the daemon watches.
        self.first = os.path.join(self.daemon.data, logformat.segment_name(1))
        os.truncate(self.first, PAGE)

    def test_the_read_fails_and_the_daemon_lives(self):
        for _ in range(2):
            reply = self.client.request("GET key-1")
            self.assertRegex(reply, rb"\AERROR read .*/000000000001.log: Input/output error, or "
                                    rb"the file was cut")
        self.assertIn("000000000001.log: Input/output error", self.daemon.log())
        self.assertEqual(self.client.get("key-19"), VALUE)
        self.assertTrue(self.daemon.alive())

    def test_every_other_request_that_needs_it_fails_alone(self):
        requests = [b"GET key-19", b"GET key-1", b"EXISTS key-2", b"DELETE key-3", b"SCAN 0 1000",
                    b"GET key-18", b"SET key-1 new", b"GET key-1"]
        replies = self.client.pipeline(requests)
        self.assertEqual([reply[:5] for reply in replies],
                         [b"VALUE", b"ERROR", b"ERROR", b"ERROR", b"ERROR",
                          b"VALUE", b"OK", b"VALUE"])

    def test_many_clients_that_read_there_all_get_their_error(self):
        clients = [self.connect(self.daemon) for _ in range(8)]
        for client in clients:
            client.send_raw(b"GET key-1\nGET key-19\n")
        for client in clients:
            self.assertEqual(client.read_line()[:10], b"ERROR read")
            self.assertEqual(client.read_line(), b"VALUE " + VALUE)

    def test_a_compaction_fails_and_leaves_the_old_log(self):
        before = self.daemon.files(".log")
        self.assertRegex(self.client.request("COMPACT"), rb"\AERROR read .*Input/output error")
        self.assertLessEqual(set(before), set(self.daemon.files(".log")))
        self.assertEqual(self.daemon.files(".log.tmp"), [])
        self.assertEqual(self.client.get("key-19"), VALUE)

    def test_a_bus_error_that_is_none_of_these_ends_the_daemon(self):
        if is_sanitized():
            self.skipTest("a sanitizer reports it")
        self.daemon.signal(signal.SIGBUS)
        self.assertEqual(self.daemon.wait_exit(), -signal.SIGBUS)


class UnreadableOffline(SystemTest):
    def test_a_file_that_is_cut_while_it_is_dumped_ends_the_dump(self):
        log = logformat.Log()
        for n in range(2000):
            log.set(b"key-%d" % n, b"v" * 1000)
        data = self.path("data")
        logformat.write_store(data, log)
        first = os.path.join(data, logformat.segment_name(1))
        with subprocess.Popen([KEYSTONE_LOG, "dump", data], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as dump:
            dump.stdout.read(1000)  # it waits for the rest to be taken
            os.truncate(first, PAGE)
            _, stderr = dump.communicate(timeout=60)
        self.assertEqual(dump.returncode, EX_IOERR)
        self.assertIn("000000000001.log: Input/output error", stderr.decode())


class ActiveSegment(SystemTest):
    """Another program has its hands in the file that the daemon appends to."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--fsync", "no")
        self.client = self.connect(self.daemon)
        self.client.set("key", "value")
        self.active = os.path.join(self.daemon.data, logformat.segment_name(1))

    def assert_noticed(self, what, way_out):
        poll_until(lambda: self.client.stats()["read_only"] == "1", what="it is noticed")
        for request in ("SET key new", "DELETE key"):
            reply = self.client.request(request).decode()
            self.assertRegex(reply, r"\AERROR the store is read-only \(\S*/000000000001.log%s\): %s"
                             % (what, way_out))
        self.assertRegex(self.daemon.log(), "000000000001.log%s: the store is read-only" % what)
        self.assertEqual(self.client.get("key"), b"value")

    def assert_cured_by_a_compaction(self):
        self.assertEqual(self.client.request("COMPACT"), b"OK")
        self.assertEqual(self.client.stats()["read_only"], "0")
        self.client.set("late", "value")
        self.daemon.kill9()
        self.daemon.restart()
        self.assertEqual(self.daemon.request("GET key"), b"VALUE value")
        self.assertEqual(self.daemon.request("GET late"), b"VALUE value")

    def test_that_is_removed_is_noticed_and_a_compaction_brings_it_back(self):
        os.unlink(self.active)
        self.assert_noticed(" was removed by another program", "compact")
        self.assert_cured_by_a_compaction()

    def test_that_is_replaced_is_noticed_and_a_compaction_brings_it_back(self):
        shutil.copy(self.active, self.path("copy"))
        os.link(self.active, self.path("kept"))
        os.rename(self.path("copy"), self.active)
        self.assert_noticed(" was replaced by another program", "compact")
        self.assert_cured_by_a_compaction()

    def test_that_is_cut_is_noticed_and_no_compaction_hides_it(self):
        for n in range(100):
            self.client.set("lost-%d" % n, "v" * PAGE)
        os.truncate(self.active, PAGE)
        self.assert_noticed(" was cut to 4096 bytes by another program, [0-9]+ are lost",
                            "stop the daemon, run keystone-log check")
        self.assertRegex(self.client.request("COMPACT"), rb"\AERROR read .*Input/output error")
        self.assertRegex(self.client.request("GET lost-99"), rb"\AERROR ")
        self.assertEqual(self.client.stats()["read_only"], "1")
        self.assertEqual(self.client.get("key"), b"value")

    def test_that_is_cut_while_writes_go_on_is_noticed(self):
        for n in range(10):
            self.client.set("lost-%d" % n, "v" * PAGE)
        os.truncate(self.active, PAGE)
        poll_until(lambda: b"was cut" in self.client.request("SET more " + "v" * PAGE),
                   what="it is noticed")
        self.assertEqual(self.client.stats()["read_only"], "1")


class FailedSync(SystemTest):
    """strace makes the daemon's syncs fail."""

    def setUp(self):
        super().setUp()
        if not shutil.which("strace"):
            self.skipTest("there is no strace")
        self.daemon = self.start_daemon("--fsync", "always")
        self.client = self.connect(self.daemon)
        self.client.set("key", "old")

    def fail(self, *calls):
        """Makes system calls of the daemon fail until the returned function is called."""
        messages = self.path("strace.messages")
        with open(messages, "wb") as file:
            strace = subprocess.Popen(
                ["strace", "-f", "-o", self.path("strace"), "-p", str(self.daemon.pid),
                 "-e", "trace=" + ",".join(calls), "-e", "inject=%s:error=EIO" % ",".join(calls)],
                stderr=file)
        self.addCleanup(strace.wait)
        self.addCleanup(strace.kill)

        def traced():
            if strace.poll() is not None:
                self.skipTest("strace can't: " + read_text(messages))
            return " attached" in read_text(messages)
        poll_until(traced, what="strace has the daemon")

        def stop():
            strace.terminate()
            strace.wait()
        return stop

    def assert_read_only(self):
        self.assertEqual(self.client.stats()["read_only"], "1")
        for request in ("SET key new", "DELETE key", "SYNC"):
            self.assertRegex(self.client.request(request),
                             rb"\AERROR the store is read-only \(fdatasync .*000000000001.log: "
                             rb"Input/output error\): compact, or restart the daemon\Z")
        self.assertEqual(self.client.get("key"), b"old")

    def test_only_a_compaction_with_its_own_syncs_is_the_cure(self):
        stop = self.fail("fdatasync", "fsync")
        self.assertRegex(self.client.request("SET key new"), rb"\AERROR the store is read-only")
        self.daemon.wait_log("Input/output error: the store is read-only: compact, or restart the daemon")
        self.assert_read_only()
        self.assertRegex(self.client.request("COMPACT"), rb"\AERROR fsync ")
        self.assert_read_only()
        stop()
        self.assert_read_only()  # the disk is well again, but what it has dropped is not there
        self.assertEqual(self.client.request("COMPACT"), b"OK")
        self.assertEqual(self.client.stats()["read_only"], "0")
        self.client.set("key", "new")
        self.daemon.kill9()
        self.assertEqual(self.daemon.restart().request("GET key"), b"VALUE new")

    def test_a_restart_serves_what_was_acknowledged(self):
        stop = self.fail("fdatasync")
        self.assertRegex(self.client.request("SET key new"), rb"\AERROR the store is read-only")
        stop()
        self.assert_read_only()
        self.daemon.kill9()
        self.daemon.restart()
        self.assertEqual(self.daemon.request("GET key"), b"VALUE old")
        self.assertEqual(self.daemon.request("SET key new"), b"OK")


if __name__ == "__main__":
    main()
