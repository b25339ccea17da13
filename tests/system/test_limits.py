#!/usr/bin/env python3
"""Many clients, too few descriptors, no more threads, big values: one client suffers at most."""

import hashlib
import os
import pwd
import random
import resource
import socket

from harness import (IO_THREADS, SLOW, SystemTest, is_sanitized, main, poll_until, run,
                     with_descriptors)

CONNECTIONS = 1000


ANSWER = rb"\A(OK PONG\n|ERROR .*\n)\Z"


def answer(client, timeout_s):
    """What PING brings within that time: a reply line, b"" for a close, None for silence."""
    try:
        client.send_raw(b"PING\n")
    except ConnectionError:
        return b""
    return received(client, timeout_s)


def received(client, timeout_s):
    """What comes within that time, as answer() tells it."""
    client.socket.settimeout(timeout_s)
    try:
        return client.socket.recv(100)
    except socket.timeout:
        return None
    except ConnectionError:
        return b""


class ManyConnections(SystemTest):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + 200:
            self.skipTest("the descriptor limit is %d" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 200, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def test_1000_clients_are_served_at_once_and_idle_ones_cost_little(self):
        daemon = self.start_daemon("--max-connections", "1100")
        before_kib = daemon.rss_kib()
        clients = [self.connect(daemon) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients):
            client.send_raw(b"SET key-%d %s\nGET key-%d\n" % (number, b"x" * 1000, number))
        for client in clients:
            self.assertEqual(client.read_line(), b"OK")
            self.assertEqual(client.read_line(), b"VALUE " + b"x" * 1000)
        if not is_sanitized():
            self.assertLessEqual(daemon.rss_kib() - before_kib, 40 * 1024)
        self.assertEqual(daemon.stop(), 0)

    def test_what_a_client_needed_for_much_at_once_is_given_back_while_it_is_silent(self):
        if IO_THREADS or is_sanitized():
            self.skipTest("about the memory of threads; a sanitizer needs some of its own")
        daemon = self.start_daemon("--max-connections", "1100")
        before_kib = self.anonymous_kib(daemon)
        clients = [self.connect(daemon) for _ in range(500)]
        for client in clients:
            client.set("key", b"x" * 50000)
        poll_until(lambda: self.anonymous_kib(daemon) - before_kib < 20 * len(clients),
                   what="it is")
        for client in clients:
            self.assertEqual(client.get("key"), b"x" * 50000)

    @staticmethod
    def anonymous_kib(daemon):
        return int(daemon.status_field("RssAnon").split()[0])

    def test_connections_that_come_and_go_leave_nothing_behind(self):
        daemon = self.start_daemon()
        for _ in range(CONNECTIONS):
            self.assertEqual(daemon.request("PING"), b"OK PONG")
        poll_until(lambda: daemon.stats()["connections_current"] == "1", what="all are gone")
        poll_until(lambda: int(daemon.status_field("Threads")) < 20, what="spare threads end")
        self.assertLess(len(os.listdir("/proc/%d/fd" % daemon.pid)), 40)

    def test_limit_of_descriptors_is_raised_to_fit_max_connections(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        daemon = self.start_daemon("--max-connections", "1000")
        self.assertGreater(resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0], 1000)

    def test_start_fails_where_the_limit_can_not_be_raised(self):
        daemon = self.new_daemon("--max-connections", "1000", wrapper=with_descriptors(100))
        code, stderr = daemon.start_fails()
        self.assertNotEqual(code, 0)
        self.assertRegex(stderr, "max-connections|descriptor")


class OutOfDescriptors(SystemTest):
    def test_clients_are_served_and_the_rest_waits_until_there_are_some(self):
        daemon = self.start_daemon()
        old = [self.connect(daemon) for _ in range(5)]
        self.assertEqual([c.request("SET key value") for c in old], [b"OK"] * 5)
        limit = max(int(fd) for fd in os.listdir("/proc/%d/fd" % daemon.pid)) + 1
        daemon.set_limit(resource.RLIMIT_NOFILE, limit)
        new = [self.connect(daemon) for _ in range(5)]
        waiting = []
        for client in new:
            found = answer(client, 0.2)
            if found is None:
                waiting.append(client)
            elif found:
                self.assertRegex(found, ANSWER)
        self.assertEqual([c.request("GET key") for c in old], [b"VALUE value"] * 5)
        cpu = self.cpu_ticks(daemon)
        daemon.set_limit(resource.RLIMIT_NOFILE, 1024)
        for client in waiting:  # who has asked, and is served now or was refused a little later
            self.assertRegex(received(client, 20 * SLOW) or b"nothing", ANSWER)
        self.assertLess(cpu, 200)  # it waits, it does not spin
        self.assertEqual(daemon.request("PING"), b"OK PONG")

    def test_who_comes_then_is_told_so(self):
        if is_sanitized():
            self.skipTest("the sanitizer of undefined behaviour needs descriptors of its own")
        daemon = self.start_daemon()
        old = self.connect(daemon)
        poll_until(lambda: old.stats()["connections_current"] == "1", what="probes are gone")
        limit = max(int(fd) for fd in os.listdir("/proc/%d/fd" % daemon.pid)) + 1
        daemon.set_limit(resource.RLIMIT_NOFILE, limit)
        served = 1
        rejected = False
        while not rejected:  # some may still have a gap
            client = self.connect(daemon)
            poll_until(lambda count=served: int(old.stats()["connections_current"]) > count or
                       old.stats()["connections_rejected"] != "0", what="it is accepted, or not")
            served += 1
            rejected = old.stats()["connections_rejected"] != "0"
        self.assertEqual(client.read_all(), b"ERROR out of descriptors, try again later\n")
        daemon.wait_log("accept: Too many open files")
        self.assertEqual(old.request("SET key value"), b"OK")
        daemon.set_limit(resource.RLIMIT_NOFILE, 1024)
        self.assertEqual(daemon.request("GET key"), b"VALUE value")

    @staticmethod
    def cpu_ticks(daemon):
        with open("/proc/%d/stat" % daemon.pid, encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


class OutOfThreads(SystemTest):
    def test_one_client_is_turned_away_and_the_daemon_lives(self):
        if IO_THREADS:
            self.skipTest("a client takes no thread in event mode")
        if os.getuid() != 0:
            self.skipTest("only root can start it as another user")
        nobody = pwd.getpwnam("nobody")
        daemon = self.new_daemon("--user", "nobody")
        os.mkdir(daemon.data, 0o700)
        os.chown(daemon.data, nobody.pw_uid, nobody.pw_gid)
        daemon.start()
        old = self.connect(daemon)
        old.set("key", "value")
        self.set_process_limit(daemon, nobody, "1")
        found = b"OK PONG\n"
        for _ in range(20):  # some may still get a spare thread
            if found == b"OK PONG\n":
                found = answer(self.connect(daemon), 5 * SLOW)
        if found == b"OK PONG\n":
            self.skipTest("the limit does not bind here")
        self.assertRegex(found, rb"\A(ERROR [ -~]+\n|)\Z")
        self.assertEqual(old.request("GET key"), b"VALUE value")
        self.set_process_limit(daemon, nobody, "10000")
        self.assertEqual(daemon.request("GET key"), b"VALUE value")

    def set_process_limit(self, daemon, user, soft):
        """As the user, who may do so even where root may not (in a container)."""
        result = run("prlimit", "--pid", str(daemon.pid), "--nproc=%s:" % soft, user=user.pw_uid,
                     group=user.pw_gid, extra_groups=[])
        if result.returncode != 0:
            self.skipTest("prlimit is refused: " + result.stderr.strip())


class BigValues(SystemTest):
    def test_value_as_big_as_the_default_limit_round_trips(self):
        size = (4 if is_sanitized() else 64) << 20
        value = bytes(random.Random(1).getrandbits(8) | 0x20 for _ in range(1 << 16)).replace(
            b"\x7f", b"~") * (size >> 16)
        daemon = self.start_daemon("--fsync", "no")
        with daemon.connect() as client:
            client.set("big", value)
            self.assertEqual(self.digest(client.get("big")), self.digest(value))
        daemon.kill9()
        with daemon.restart().connect() as client:
            self.assertEqual(self.digest(client.get("big")), self.digest(value))

    @staticmethod
    def digest(value):
        return len(value), hashlib.sha256(value).hexdigest()

    def test_memory_for_a_big_value_is_given_back(self):
        if is_sanitized():
            self.skipTest("a sanitizer keeps freed memory")
        daemon = self.start_daemon("--fsync", "no", "--compact-stale-percent", "0")
        with daemon.connect() as client:
            before_kib = daemon.rss_kib()
            for _ in range(3):
                client.set("big", b"x" * (32 << 20))
            client.delete("big")
            self.assertEqual(client.request("COMPACT"), b"OK")
            poll_until(lambda: daemon.rss_kib() - before_kib < 16 * 1024, what="the memory is back")


if __name__ == "__main__":
    main()
