#!/usr/bin/env python3
"""Event mode: many clients share a thread, and none of them feels the others."""

import contextlib
import os
import pwd
import resource
import select
import signal
import socket
import threading

from harness import (EX_OSERR, SLOW, SystemTest, has_stopped, is_sanitized, main, poll_until, run,
                     stays_true, with_descriptors)

CROWD = 2000


class Crowds(SystemTest):
    def allow_descriptors(self, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < count:
            self.skipTest("the descriptor limit is %d" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def served(self, daemon, count):
        """So many clients; each has got a reply to a write and to a read."""
        clients = [self.connect(daemon) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send_raw(b"SET key-%d value\nGET key-%d\n" % (number % 100, number % 100))
        for client in clients:
            self.assertEqual([client.read_line(), client.read_line()], [b"OK", b"VALUE value"])
        return clients

    def test_an_idle_client_costs_at_most_2_kib(self):
        self.allow_descriptors(CROWD + 400)
        daemon = self.start_daemon("--io-threads", "1", "--max-connections", str(CROWD + 300))
        self.served(daemon, 200)
        before_kib = daemon.rss_kib()
        self.served(daemon, CROWD)
        if is_sanitized():
            self.skipTest("a sanitizer needs memory of its own")
        self.assertLessEqual(daemon.rss_kib() - before_kib, 2 * CROWD)

    def test_clients_share_the_threads(self):
        daemon = self.start_daemon("--io-threads", "2")
        before = int(daemon.status_field("Threads"))
        self.served(daemon, 50)
        self.assertLessEqual(int(daemon.status_field("Threads")), before)

    def test_clients_are_spread_over_the_loops(self):
        daemon = self.start_daemon("--io-threads", "2")
        clients = self.served(daemon, 40)
        before = self.switches(daemon)
        for _ in range(50):
            for client in clients:  # its loop waits before and after
                self.assertEqual(client.request("PING"), b"OK PONG")
        grown = sorted(count - before.get(thread, 0)
                       for thread, count in self.switches(daemon).items())
        self.assertGreater(grown[-2], sum(grown) / 4)

    @staticmethod
    def switches(daemon):
        """How often each thread has begun to wait."""
        tasks = "/proc/%d/task" % daemon.pid
        found = {}
        for thread in os.listdir(tasks):
            with open("%s/%s/status" % (tasks, thread), encoding="ascii") as status:
                for line in status:
                    if line.startswith("voluntary_ctxt_switches:"):
                        found[thread] = int(line.split()[1])
        return found

    def test_writes_that_come_together_share_a_sync(self):
        daemon = self.start_daemon("--io-threads", "1", "--fsync", "always")
        clients = [self.connect(daemon) for _ in range(50)]
        self.assertEqual([c.request("PING") for c in clients], [b"OK PONG"] * 50)
        before = int(daemon.stats()["fsyncs"])
        daemon.signal(signal.SIGSTOP)
        poll_until(lambda: has_stopped(daemon.pid), what="it has stopped")
        for number, client in enumerate(clients):
            client.send_raw(b"SET key-%d value\n" % number)
        daemon.signal(signal.SIGCONT)
        self.assertEqual([c.read_line() for c in clients], [b"OK"] * 50)
        self.assertLess(int(daemon.stats()["fsyncs"]) - before, 10)
        daemon.kill9()
        with daemon.restart().connect() as client:
            self.assertEqual(len(client.contents()), 50)

    def test_who_asked_in_time_is_served_after_the_daemon_was_held_up(self):
        options = ("--io-threads", "1", "--idle-timeout", "%dms" % (1500 * SLOW))
        daemon = self.start_daemon(*options)
        other = self.start_daemon(*options)
        clients = [self.connect(daemon) for _ in range(200)]
        for client in clients:
            client.send_raw(b"PING\n")
        self.assertEqual([c.read_line() for c in clients], [b"OK PONG"] * 200)
        daemon.signal(signal.SIGSTOP)
        poll_until(lambda: has_stopped(daemon.pid), what="it has stopped")
        for client in clients:
            client.send_raw(b"PING\n")
        witness = self.connect(other)
        self.assertEqual(witness.request("PING"), b"OK PONG")
        self.assertEqual(witness.read_all(), b"")  # so long ago
        daemon.signal(signal.SIGCONT)
        self.assertEqual([c.read_line() for c in clients], [b"OK PONG"] * 200)
        self.assertEqual([c.read_all() for c in clients], [b""] * 200)

    def test_start_fails_where_a_thread_can_not_be_started(self):
        if is_sanitized():
            self.skipTest("a sanitizer reserves more memory than the test allows")
        wrapper = ["/bin/sh", "-c", 'ulimit -v 300000; exec "$0" "$@"']
        daemon = self.new_daemon("--io-threads", "64", "--segment-size", "1m", wrapper=wrapper)
        self.assert_start_refused(daemon, EX_OSERR, "event loop")


    def test_who_may_not_have_the_descriptors_for_all_clients_does_not_start(self):
        # 64 for the daemon itself, 2 for each loop.
        options = ("--io-threads", "8", "--max-connections", "100")
        refused = self.new_daemon(*options, wrapper=with_descriptors(100 + 16 + 63))
        self.assert_start_refused(refused, EX_OSERR, "max-connections")
        daemon = self.new_daemon(*options, wrapper=with_descriptors(100 + 16 + 64)).start()
        first = self.connect(daemon)
        poll_until(lambda: first.stats()["connections_current"] == "1", what="probes are gone")
        self.served(daemon, 99)
        self.assertEqual(self.connect(daemon).read_all(), b"ERROR too many connections\n")


class OutOfThreads(SystemTest):
    def test_a_command_that_needs_one_is_refused_and_the_client_stays(self):
        if os.getuid() != 0:
            self.skipTest("only root can start it as another user")
        nobody = pwd.getpwnam("nobody")
        daemon = self.new_daemon("--user", "nobody", "--io-threads", "1")
        os.mkdir(daemon.data, 0o700)
        os.chown(daemon.data, nobody.pw_uid, nobody.pw_gid)
        client = self.connect(daemon.start())
        self.assertEqual(client.request("SYNC"), b"OK")
        self.set_process_limit(daemon, nobody, "1")
        replies = client.pipeline(["SET key 1", "SYNC", "GET key", "COMPACT", "PING"])
        if b"OK" in (replies[1], replies[3]):
            self.skipTest("the limit does not bind here")
        self.assertEqual(replies[0::2], [b"OK", b"VALUE 1", b"OK PONG"])
        for reply in replies[1::2]:
            self.assertRegex(reply, rb"\AERROR start a thread for it: [ -~]+\Z")
        self.assertEqual(daemon.request("GET key"), b"VALUE 1")  # a new client needs none
        self.set_process_limit(daemon, nobody, "10000")
        self.assertEqual(client.request("SYNC"), b"OK")

    def set_process_limit(self, daemon, user, soft):
        """As the user, who may do so even where root may not (in a container)."""
        result = run("prlimit", "--pid", str(daemon.pid), "--nproc=%s:" % soft, user=user.pw_uid,
                     group=user.pw_gid, extra_groups=[])
        if result.returncode != 0:
            self.skipTest("prlimit is refused: " + result.stderr.strip())


class Neighbours(SystemTest):
    """All clients are on one loop."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--io-threads", "1")

    def in_background(self, target):
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    @staticmethod
    def compact_until(client, seen, what):
        """Has client compact again and again until something is seen that lasts as long as that."""
        def under_way():
            if select.select([client.socket], [], [], 0)[0]:
                assert client.read_line() == b"OK"
                client.send_raw(b"COMPACT\n")
            return seen()
        client.send_raw(b"COMPACT\n")
        poll_until(under_way, what=what)

    def start_compaction(self, client, other):
        """Both stay connected."""
        self.compact_until(client, lambda: other.stats()["compaction_running"] == "1",
                           "a compaction is seen while it runs")

    def fill(self):
        with self.daemon.connect() as client:
            for number in range(200):
                client.set("key-%d" % number, b"x" * 200000)

    def test_a_compaction_does_not_stop_the_loop(self):
        self.fill()
        client, other = self.connect(self.daemon), self.connect(self.daemon)
        self.start_compaction(client, other)
        self.assertEqual(client.read_line(), b"OK")
        self.assertEqual(client.request("GET key-0"), b"VALUE " + b"x" * 200000)

    def test_a_loop_serves_for_latency_while_the_store_compacts(self):
        self.fill()
        client, other = self.connect(self.daemon), self.connect(self.daemon)
        if not self.has_batch_thread(other):
            self.skipTest("threads have no SCHED_BATCH here")
        self.compact_until(client, lambda: not self.has_batch_thread(other),
                           "no thread is left under SCHED_BATCH")
        self.assertEqual(client.read_line(), b"OK")
        poll_until(lambda: self.has_batch_thread(other), what="the loop is back under SCHED_BATCH")

    def has_batch_thread(self, client):
        """Once its loop has served the client."""
        self.assertEqual(client.request("PING"), b"OK PONG")
        policies = set()
        for task in os.listdir("/proc/%d/task" % self.daemon.pid):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                policies.add(os.sched_getscheduler(int(task)))
        return os.SCHED_BATCH in policies

    def test_the_time_of_a_compaction_is_not_taken_from_the_next_request(self):
        self.daemon.stop()
        options = ("--io-threads", "1", "--request-timeout", "%dms" % (2000 * SLOW))
        self.daemon = self.start_daemon(*options)
        other = self.start_daemon(*options)
        self.fill()
        client = self.connect(self.daemon)
        compacts = False
        while not compacts:  # else it was over too soon
            client.send_raw(b"COMPACT\nPI")
            poll_until(lambda: self.daemon.stats()["compaction_running"] == "1" or
                       select.select([client.socket], [], [], 0)[0], what="a compaction")
            self.daemon.signal(signal.SIGSTOP)
            poll_until(lambda: has_stopped(self.daemon.pid), what="it has stopped")
            compacts = not select.select([client.socket], [], [], 0.1)[0]
            if compacts:
                self.wait_request_timeout(other)
            self.daemon.signal(signal.SIGCONT)
            self.assertEqual(client.read_line(), b"OK")
            if compacts:  # its loop looks after timeouts eight times a second
                self.assertTrue(stays_true(lambda: not self.is_closed(client), 0.3))
            self.assertEqual(client.request("NG"), b"OK PONG")

    def wait_request_timeout(self, daemon):
        """Until a request that begins now is too late for a daemon which has that timeout."""
        witness = self.connect(daemon)
        witness.send_raw(b"PI")
        self.assertEqual(witness.read_all(), b"")

    @staticmethod
    def is_closed(client):
        return bool(select.select([client.socket], [], [], 0)[0])

    def test_syncs_in_a_pipeline_keep_their_places(self):
        client, other = self.connect(self.daemon), self.connect(self.daemon)
        threads = int(self.daemon.status_field("Threads"))
        client.send_raw(b"SET a 1\nSYNC\nGET a\nSYNC\n" * 500)
        self.assertEqual(other.request("PING"), b"OK PONG")
        self.assertLessEqual(int(self.daemon.status_field("Threads")), threads + 10)
        for _ in range(500):
            self.assertEqual([client.read_line() for _ in range(4)],
                             [b"OK", b"OK", b"VALUE 1", b"OK"])

    def test_a_stop_during_a_compaction_waits_for_nothing_else(self):
        self.fill()
        client, other = self.connect(self.daemon), self.connect(self.daemon)
        self.start_compaction(client, other)
        self.daemon.term()
        self.assertRegex(client.read_all(), rb"\A(OK|ERROR [ -~]+)\n\Z")
        self.assertEqual(self.daemon.wait_exit(), 0)

    def test_a_client_that_leaves_during_its_compaction_harms_nobody(self):
        self.fill()
        client, other = self.connect(self.daemon), self.connect(self.daemon)
        self.start_compaction(client, other)
        client.close()
        poll_until(lambda: other.stats()["connections_current"] == "1", what="it is gone")
        self.assertEqual(other.request("COMPACT"), b"OK")

    def test_who_does_not_read_replies_holds_up_nobody_and_gets_them_all(self):
        slow, fast = self.connect(self.daemon, receive_buffer=4096), self.connect(self.daemon)
        fast.set("big", b"x" * 100000)
        slow.send_raw(b"GET big\n" * 500)
        for number in range(200):
            fast.set("key", str(number))
            self.assertEqual(fast.get("key"), b"%d" % number)
        for _ in range(500):
            self.assertEqual(len(slow.read_line()), len("VALUE ") + 100000)

    def test_who_does_not_read_replies_costs_bounded_memory(self):
        if is_sanitized():
            self.skipTest("a sanitizer needs memory of its own")
        deaf, other = self.connect(self.daemon), self.connect(self.daemon)
        other.set("big", b"x" * 100000)
        before_kib = self.daemon.rss_kib()
        deaf.socket.settimeout(0.3)
        with self.assertRaises(OSError):  # it is not read from without end
            for _ in range(100):
                deaf.send_raw(b"GET big\n" * 100000)
        self.assertEqual(other.request("PING"), b"OK PONG")
        self.assertLess(self.daemon.rss_kib() - before_kib, 40 * 1024)

    def test_an_endless_pipeline_starves_nobody(self):
        greedy, other = self.connect(self.daemon), self.connect(self.daemon)

        def send():
            try:
                while True:
                    greedy.send_raw(b"SET a 1\nGET a\n\n\n" * 20000)
            except OSError:
                pass  # the test has seen enough

        threads = [self.in_background(send), self.in_background(greedy.read_all)]
        for number in range(100):
            other.set("key", str(number))
            self.assertEqual(other.get("key"), b"%d" % number)
        self.assertTrue(all(thread.is_alive() for thread in threads))
        greedy.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        self.assertEqual(other.request("PING"), b"OK PONG")

    def test_a_big_value_in_small_pieces_holds_up_nobody(self):
        sender, other = self.connect(self.daemon), self.connect(self.daemon)
        value = b"x" * (4 << 20)
        sender.send_raw(b"SET big ")
        for start in range(0, len(value), 1 << 18):
            sender.send_raw(value[start:start + (1 << 18)])
            self.assertEqual(other.request("PING"), b"OK PONG")
        self.assertEqual(other.request("EXISTS big"), b"NOT_FOUND")
        sender.send_raw(b"\nGET key\n")
        self.assertEqual([sender.read_line(), sender.read_line()], [b"OK", b"NOT_FOUND"])
        self.assertEqual(other.get("big"), value)


if __name__ == "__main__":
    main()
