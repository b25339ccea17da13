#!/usr/bin/env python3
"""Clients that mean harm, or are broken: who behaves is served beside them, all of its replies right;
they get the documented answer, their places are given back, and memory stays within the bound of
keystoned.conf(5).

How much slower the others become is measured by contrib/bench: a test can't tell on any machine.
"""

import random
import socket
import struct
import sys
import threading
import time

from harness import SLOW, SystemTest, is_sanitized, main, poll_until
from load import Load

MAX_VALUE = 1 << 20
MAX_LINE = 1024 + MAX_VALUE * 4 // 3 + 64
MAX_CONNECTIONS = 300
TIMEOUT = "%dms" % (1000 * SLOW)
RESET = struct.pack("ii", 1, 0)  # linger for 0 seconds: close sends a reset


class MemoryWatch:
    """The most memory of its own that the daemon has taken; what it maps of the log is a cache."""

    def __init__(self, daemon):
        self.before_kib = self.anonymous_kib(daemon)
        self._most_kib = self.before_kib
        self._daemon = daemon
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @staticmethod
    def anonymous_kib(daemon):
        return int(daemon.status_field("RssAnon").split()[0])

    def _watch(self):
        while not self._over.wait(0.005):  # between two looks of the poll
            try:
                self._most_kib = max(self._most_kib, self.anonymous_kib(self._daemon))
            except AssertionError:
                return  # it has ended, which others notice

    def growth_kib(self):
        self._over.set()
        self._thread.join()
        return self._most_kib - self.before_kib


class Hostile(SystemTest):
    """A test with a client that behaves, and is looked after until the end."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon(
            "--max-value-size", str(MAX_VALUE), "--max-connections", str(MAX_CONNECTIONS),
            "--request-timeout", TIMEOUT, "--write-timeout", TIMEOUT)
        with self.daemon.connect() as client:
            client.set("big", b"x" * MAX_VALUE)
        self.good = Load(workers=1, keys=50, pipeline=4)
        self.good.keys[0].name = b"key-0"
        self.crowd = []

    def attack(self, act, most_connections=1):
        """Runs act beside a client that behaves; says afterwards whether all was well."""
        self.good.start(self.daemon.addresses[0])
        self.good.wait_acknowledged(10)
        watch = MemoryWatch(self.daemon)
        act()
        self.good.wait_more(50)
        growth_kib = watch.growth_kib()
        for client in self.crowd:
            client.close()
        self.good.stop()
        poll_until(self.is_alone, what="places are given back")
        if not is_sanitized():  # those need memory of their own
            bound_kib = most_connections * (8 * MAX_VALUE + (64 << 20)) >> 10
            self.assertLessEqual(growth_kib, bound_kib)

    def is_alone(self):
        try:
            return self.daemon.stats()["connections_current"] == "1"
        except ConnectionError:  # all places are taken
            return False

    def enter(self, **options):
        client = self.connect(self.daemon, **options)
        self.crowd.append(client)
        return client

    @staticmethod
    def send_until_closed(client, piece):
        try:
            while True:
                client.send_raw(piece)
        except OSError:
            pass

    def reset(self, client):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()


class Slow(Hostile):
    def test_lines_that_never_end_are_closed_after_request_timeout(self):
        def act():
            for _ in range(100):
                self.enter().send_raw(b"SET key-of-a-slow-one ")
            poll_until(self.drip, what="all of them are closed")
        self.attack(act, 100)
        self.assertEqual(self.daemon.request("EXISTS key-of-a-slow-one"), b"NOT_FOUND")

    def drip(self):
        """A byte to each that is still there; true once none is."""
        alive = False
        for client in self.crowd:
            try:
                client.send_raw(b"x")
                alive = True
            except OSError:
                pass
        return not alive

    def test_unfinished_big_values_take_no_more_than_their_share(self):
        def act():
            for _ in range(20):
                self.enter().send_raw(b"SET key-of-a-big-one " + b"x" * MAX_VALUE)
            self.expect_closed(self.crowd)
        self.attack(act, 1)  # all of them together
        self.assertEqual(self.daemon.request("EXISTS key-of-a-big-one"), b"NOT_FOUND")

    def expect_closed(self, clients):
        self.assertEqual([client.read_all() for client in clients], [b""] * len(clients))


class Deaf(Hostile):
    """They send requests, and read no reply."""

    def test_replies_in_front_of_a_deaf_client_take_bounded_memory(self):
        def act():
            for _ in range(4):
                client = self.enter(receive_buffer=4096)
                client.socket.settimeout(0.1)
                self.send_until_full(client, b"GET big\n" * (1 << 17), 128)
            poll_until(lambda: self.daemon.stats()["connections_current"] == "2",
                       what="they are closed after write-timeout")
        self.attack(act, 4)

    @staticmethod
    def send_until_full(client, mib, count):
        try:
            for _ in range(count):
                client.send_raw(mib)
        except OSError:
            pass


class Comings(Hostile):
    def test_a_reset_at_every_byte_executes_nothing_unfinished(self):
        def act():
            for size in range(1, len(self.request(0)) + 1):
                client = self.enter()
                client.send_raw(self.request(size)[:size])
                self.reset(client)
        self.attack(act)
        with self.daemon.connect() as client:
            self.assertEqual(client.request(b"EXISTS big"), b"OK")
            for size in range(1, len(self.request(0))):
                line = self.request(size).split(b"\n")[0]
                if size <= len(line):
                    key = line.split(b" ")[1]
                    self.assertEqual(client.request(b"GET " + key), b"NOT_FOUND")

    @staticmethod
    def request(number):
        return b"SET reset-%04d value of a client that is reset\nGET reset-%04d\nDELETE big" % (
            number, number)

    def test_a_reset_in_the_middle_of_every_reply_harms_nobody(self):
        def act():
            for size in range(0, 1 << 17, 1 << 12):
                client = self.enter(receive_buffer=4096)
                client.send_raw(b"GET big\n")
                if size:
                    client.reader.read(size)
                self.reset(client)
        self.attack(act)

    def test_thousands_of_connects_leave_room_for_the_others(self):
        count = 2000 if is_sanitized() else 10000

        def act():
            observer = self.enter()
            before = self.seen(observer)
            begin = time.monotonic()
            for number in range(count):
                self.come_and_go(number)
            poll_until(lambda: self.seen(observer) == before + count,
                       what="the daemon has seen each of them")
            rate = count / (time.monotonic() - begin)
            print("%d connects, %d a second ..." % (count, rate), end=" ", file=sys.stderr)
        self.attack(act, 50)

    def come_and_go(self, number):
        with self.daemon.connect() as client:
            if number % 3 == 0:
                client.send_raw(b"PING\n")
            if number % 2 == 0:
                self.reset(client)

    @staticmethod
    def seen(client):
        """How many connections the daemon has served or turned away so far."""
        stats = client.stats()
        return int(stats["connections_total"]) + int(stats["connections_rejected"])

    def test_who_hoards_all_places_shuts_out_no_one_who_has_one(self):
        def act():
            while self.enter_and_ask() == b"OK PONG\n":
                pass
            for _ in range(50):
                self.assertEqual(self.enter().read_all(), b"ERROR too many connections\n")
        self.attack(act, MAX_CONNECTIONS)

    def enter_and_ask(self):
        client = self.enter()
        client.send_raw(b"PING\n")
        return client.reader.readline()


class Nonsense(Hostile):
    def answers_of(self, pieces):
        """What each of the pieces, sent by a client of its own, is answered."""
        answers = []

        def act():
            for piece in pieces:
                client = self.enter()
                try:
                    client.send_raw(piece)
                    client.end_sending()
                except OSError:
                    pass  # it was closed meanwhile
                answers.append(client.read_all())
                client.close()
        self.attack(act)
        return answers

    def test_random_bytes_are_answered_by_lines_of_errors(self):
        dice = random.Random(20240517)
        for answer in self.answers_of([dice.randbytes(1 << 14) for _ in range(100)]):
            self.assertRegex(answer, rb"\A(ERROR [\t -~]+\n)*(-ERR Protocol error[ -~]+\r\n)?\Z")

    def test_half_of_a_utf_8_character_is_stored_as_it_came(self):
        text = "grüße, 世界 🗝".encode()
        halves = [text[:size] for size in range(1, len(text))]
        lines = [b"SET %s %s\nGET %s\n" % (half.replace(b" ", b"_"), half, half.replace(b" ", b"_"))
                 for half in halves]
        self.assertEqual(self.answers_of(lines), [b"OK\nVALUE %s\n" % half for half in halves])

    def test_http_is_told_off(self):
        requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\nDELETE key-0\n" % n for n in range(50)]
        requests += [b"POST /%d HTTP/1.1\r\nContent-Length: 9\r\n\r\nDELETE key-0\n" % n
                     for n in range(50)]
        self.assertEqual(set(self.answers_of(requests)), {b"ERROR this is not an HTTP server\n"})

    def test_announced_sizes_of_other_protocols_mean_nothing(self):
        lines = [b"$2147483647", b"set key-of-memcached 0 0 4294967295",
                 b"SCAN 0 99999999999999999999", b"SCAN 18446744073709551616", b"GET " + b"k" * 5000,
                 b"SET " + b"k" * 5000 + b" v", b"SET k " + b"base64:" + b"=" * 100]
        answers = self.answers_of([line + b"\r\n" for line in lines])
        for line, answer in zip(lines, answers):
            if line.startswith(b"set"):  # the line protocol has no sizes: this is a value
                self.assertEqual(answer, b"OK\n")
            else:
                self.assertRegex(answer, rb"\AERROR [ -~]+\n\Z", line)

    def test_announced_sizes_that_are_not_kept_are_not_answered(self):
        requests = [b"*3\r\n", b"*-1\r\n", b"*1\r\n$999\r\nPING", b"*2\r\n$3\r\nGET\r\n$1\r\n"]
        self.assertEqual(set(self.answers_of(requests)), {b""})

    def test_announced_sizes_over_the_limits_are_refused(self):
        requests = [b"*2147483647\r\n", b"*1\r\n$2147483647\r\n", b"*2\r\n$3\r\nGET\r\n$-7\r\n"]
        for answer in self.answers_of(requests):
            self.assertRegex(answer, rb"\A-ERR Protocol error: invalid (multi)?bulk length\r\n\Z")

    def test_a_line_without_end_is_refused_at_the_limit(self):
        def act():
            for _ in range(10):
                client = self.enter()
                client.send_raw(b"x" * (MAX_LINE + 100))
                self.assertEqual(client.read_line(), b"ERROR line too long")
            for client in self.crowd:
                self.send_until_closed(client, b"x" * (1 << 20))
        self.attack(act, 1)


class ManyBigKeys(SystemTest):
    def test_a_scan_of_them_takes_bounded_memory(self):
        daemon = self.start_daemon("--max-key-size", "65535", "--max-value-size", "1k")
        client = self.connect(daemon)
        keys = {b"%04d" % n + b"k" * 60000 for n in range(1000)}
        for key in keys:
            client.set(key, "")
        watch = MemoryWatch(daemon)
        self.assertEqual(set(client.scan(count=10000)), keys)
        if not is_sanitized():
            self.assertLessEqual(watch.growth_kib(), 3 + (64 << 10))


if __name__ == "__main__":
    main()
