#!/usr/bin/env python3
"""HUP, USR1 and TERM under load: storms, folding, and how a stop drains."""

import signal

from harness import SystemTest, main, poll_until, stays_true
from load import Load


def fill(client, count, value_size):
    """Writes count keys twice, so that half of the log is stale."""
    value = b"x" * value_size
    for _ in range(2):
        for start in range(0, count, 500):
            some = range(start, min(start + 500, count))
            client.pipeline(b"SET key-%d %s" % (n, value) for n in some)


class Storms(SystemTest):
    def test_500_hups_and_usr1s_under_load(self):
        daemon = self.start_daemon()
        load = Load().start(daemon.addresses[0])
        for n in range(500):
            daemon.hup()
            if n % 10 == 0:
                daemon.signal(signal.SIGUSR1)
                load.wait_more(1)
        load.wait_more(1000)
        load.stop()
        poll_until(lambda: daemon.stats()["compaction_running"] == "0", what="it calms down")
        load.verify(daemon.addresses[0])
        self.assertGreaterEqual(int(daemon.stats()["compactions"]), 1)
        self.assertEqual(daemon.stop(), 0)
        load.verify(daemon.restart().addresses[0])

    def test_term_in_the_middle_of_a_storm(self):
        daemon = self.start_daemon()
        load = Load().start(daemon.addresses[0])
        load.wait_acknowledged(500)
        for _ in range(100):
            daemon.hup()
        load.expect_end()
        daemon.term()
        for _ in range(100):
            self.signal_if_alive(daemon, signal.SIGHUP)
            self.signal_if_alive(daemon, signal.SIGUSR1)
        self.assertEqual(daemon.wait_exit(), 0)
        load.join_after_end()
        load.verify(daemon.restart().addresses[0])

    @staticmethod
    def signal_if_alive(daemon, number):
        try:
            daemon.signal(number)  # not reaped yet, so the PID is still its own
        except ProcessLookupError:
            pass


class Hup(SystemTest):
    def big_store(self, *options):
        daemon = self.start_daemon("--fsync", "no", *options)
        with daemon.connect() as client:
            fill(client, 20000, 1000)
        return daemon

    @staticmethod
    def compacting(daemon):
        return any(name.endswith(".tmp") and ".hint" not in name for name in daemon.files())

    def begin_compaction(self, daemon):
        """Returns in the middle of one."""
        heard = 0

        def at_work():  # one that was over before it was seen is followed by another
            nonlocal heard
            if self.compacting(daemon):
                return True
            done = int(daemon.stats()["compactions"])
            if done == heard:
                daemon.hup()
                heard = done + 1
            return False

        poll_until(at_work, what="a compaction at work")

    def test_it_compacts_and_the_log_shrinks(self):
        daemon = self.start_daemon()
        with daemon.connect() as client:
            fill(client, 1000, 100)
        before = int(daemon.stats()["log_bytes"])
        daemon.hup()
        poll_until(lambda: daemon.stats()["compactions"] == "1", what="a compaction")
        self.assertLess(int(daemon.stats()["log_bytes"]), before * 0.6)
        self.assertEqual(daemon.stats()["keys"], "1000")

    def test_a_second_one_is_folded_into_the_running_compaction(self):
        daemon = self.big_store()
        daemon.hup()
        daemon.wait_log("SIGHUP: compacting")
        daemon.hup()
        poll_until(lambda: daemon.log().count("SIGHUP: ") == 2, what="the second is heard")
        if "this one is part of it" not in daemon.log():
            self.skipTest("the compaction was over before the second signal")
        poll_until(lambda: daemon.stats()["compactions"] == "1", what="its end")
        self.assertTrue(stays_true(lambda: daemon.stats()["compactions"] == "1", 0.5))

    def test_one_is_folded_into_a_clients_compaction(self):
        daemon = self.big_store()

        def is_folded():  # not where the signal came before the compaction or behind it
            before = daemon.log().count("SIGHUP: ")
            with daemon.connect() as client:
                client.send_raw(b"COMPACT\n")
                for _ in range(100):
                    if daemon.stats()["compaction_running"] == "1":
                        break
                daemon.hup()
                poll_until(lambda: daemon.log().count("SIGHUP: ") > before)
                client.read_line()
            poll_until(lambda: daemon.stats()["compaction_running"] == "0")
            return "a compaction is under way, this one is part of it" in daemon.log()

        poll_until(is_folded, what="a signal in the middle of one")

    def test_clients_wait_for_a_compaction_but_are_not_dropped(self):
        daemon = self.big_store()
        with daemon.connect() as client:
            self.begin_compaction(daemon)
            self.assertEqual(client.request("GET key-1"), b"VALUE " + b"x" * 1000)
            self.assertEqual(client.request("SET key-1 new"), b"OK")
            self.assertEqual(client.request("GET key-1"), b"VALUE new")

    def test_a_client_that_does_not_read_does_not_hold_up_a_compaction(self):
        daemon = self.big_store()
        deaf = self.connect(daemon, receive_buffer=4096)
        deaf.send_raw(b"GET key-1\n" * 20000)  # 20 MB of replies
        daemon.hup()
        poll_until(lambda: daemon.stats()["compactions"] == "1", what="a compaction")

    def test_a_half_sent_request_does_not_hold_up_a_compaction(self):
        daemon = self.big_store()
        slow = self.connect(daemon)
        slow.send_raw(b"SET key-1 half")
        daemon.hup()
        poll_until(lambda: daemon.stats()["compactions"] == "1", what="a compaction")
        slow.send_raw(b" and half\n")
        self.assertEqual(slow.read_line(), b"OK")
        self.assertEqual(slow.get("key-1"), b"half and half")

    def test_term_in_the_middle_of_a_compaction_leaves_a_whole_store(self):
        daemon = self.big_store("--log-level", "error")
        self.begin_compaction(daemon)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(daemon.files(".tmp"), [])
        self.assertEqual(daemon.log(), "")  # it was asked to stop: that is no error
        stats = daemon.restart().stats()
        self.assertEqual((stats["keys"], stats["recovered_truncated_bytes"]), ("20000", "0"))

    def test_compact_is_refused_or_done_while_another_runs(self):
        daemon = self.big_store()
        with daemon.connect() as one, daemon.connect() as two:
            one.send_raw(b"COMPACT\n")
            two.send_raw(b"COMPACT\n")
            replies = {one.read_line(), two.read_line()}
        self.assertIn(b"OK", replies)
        self.assertLessEqual(replies, {b"OK", b"ERROR compaction already running"})


class Term(SystemTest):
    def test_requests_are_answered_or_not_executed(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        client.send_raw(b"".join(b"SET key-%d value\n" % n for n in range(20000)))
        self.assertEqual(client.read_line(), b"OK")
        self.assertEqual(daemon.stop(), 0)
        replies = client.read_all()
        self.assertEqual(replies.strip(b"OK\n"), b"")
        self.assertEqual(replies[-3:], b"OK\n")
        answered = 1 + len(replies) // 3
        self.assertEqual(int(daemon.restart().stats()["keys"]), answered)

    def test_a_client_that_never_reads_holds_it_no_longer_than_drain_timeout(self):
        daemon = self.with_deaf_client("1s")
        self.assertEqual(daemon.stop(timeout_s=20), 0)

    def test_a_second_one_cuts_the_drain_short(self):
        daemon = self.with_deaf_client("60s")
        daemon.term()
        poll_until(lambda: not self.accepts(daemon), what="no more accepts")
        self.assertTrue(stays_true(daemon.alive, 0.2))
        self.assertEqual(daemon.stop(timeout_s=20), 0)

    def test_half_sent_request_does_not_hold_it(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        client.send_raw(b"PING\nSET key half")
        self.assertEqual(client.read_line(), b"OK PONG")
        self.assertEqual(daemon.stop(timeout_s=20), 0)
        self.assertEqual(client.read_all(), b"")
        self.assertEqual(daemon.restart().request("COUNT"), b"OK 0")

    def with_deaf_client(self, drain_timeout):
        daemon = self.start_daemon("--drain-timeout", drain_timeout)
        with daemon.connect() as client:
            client.set("big", b"x" * (8 << 20))
        deaf = self.connect(daemon, receive_buffer=4096)
        deaf.send_raw(b"GET big\n" * 8)
        self.assertEqual(deaf.socket.recv(6), b"VALUE ")
        return daemon

    @staticmethod
    def accepts(daemon):
        try:
            daemon.connect().close()
            return True
        except OSError:
            return False


if __name__ == "__main__":
    main()
