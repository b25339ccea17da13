#!/usr/bin/env python3
"""A transaction is there as a whole or not at all, wherever kill -9 strikes.

Every transaction gives the same number to several keys, one of which a later one deletes and another
sets again. KEYSTONE_TEST_ROUNDS says how often each kind is killed."""

import random
import threading

from client import Client
from harness import ROUNDS, SLOW, SystemTest, main, poll_until
from respclient import RespClient, encode

KEYS = 6        # of a transaction
WORKERS = 3
IN_FLIGHT = 8   # transactions that a worker sends before it reads


def names(group):
    return [b"%s-%d" % (group, n) for n in range(KEYS)]


class Half(AssertionError):
    """A part of a transaction was seen without the rest."""


def number_of(group, states):
    """The number that all keys of a group have: 0 where none exists. One key may have been deleted by
    the transaction: the one that its number says."""
    found = {}
    for n, (name, state) in enumerate(zip(names(group), states)):
        if state is not None:
            found[n] = int(state.split(b":")[0])
    numbers = set(found.values())
    if not numbers:
        return 0
    number = numbers.pop()
    gone = set(range(KEYS)) - set(found)
    if numbers or gone != {number % KEYS}:
        raise Half("%s: %r" % (group.decode(), [state and state[:20] for state in states]))
    return number


def decode_reply(line):
    """The value in a reply to GET of the line protocol."""
    return None if line == b"NOT_FOUND" else line[len(b"VALUE "):]


class Multi:
    """MULTI … EXEC."""

    @staticmethod
    def request(group, number, value):
        parts = [encode("MULTI")]
        for n, name in enumerate(names(group)):
            parts.append(encode("DEL", name) if n == number % KEYS else encode("SET", name, value))
        return b"".join(parts) + encode("EXEC")

    @staticmethod
    def read(client):
        """True where it was done."""
        replies = [client.read_value() for _ in range(KEYS + 2)]
        if replies[:-1] != [b"OK"] + [b"QUEUED"] * KEYS or len(replies[-1]) != KEYS:
            raise Half("replies of a transaction: %r" % replies)


class Begin:
    """BEGIN … COMMIT of the line protocol."""

    @staticmethod
    def request(group, number, value):
        lines = [b"BEGIN\n"]
        for n, name in enumerate(names(group)):
            lines.append(b"DELETE %s\n" % name if n == number % KEYS
                         else b"SET %s %s\n" % (name, value))
        return b"".join(lines) + b"COMMIT\n"

    @staticmethod
    def read(client):
        lines = [client.read_line() for _ in range(KEYS + 2)]
        if lines != [b"OK"] + [b"QUEUED"] * KEYS + [b"OK %d" % KEYS]:
            raise Half("replies of a transaction: %r" % lines)
        for line in [client.read_line() for _ in range(KEYS)]:
            if line not in (b"OK", b"NOT_FOUND"):
                raise Half("a reply in a transaction: %r" % line)


class Worker(threading.Thread):
    """Sends transactions to a group of its own, or to one that is everybody's."""

    def __init__(self, load, kind, group, seed):
        super().__init__(daemon=True)
        self.load = load
        self.kind = kind
        self.group = group
        self.random = random.Random(seed)
        self.sent = 0
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            with RespClient(self.load.address, timeout_s=30 * SLOW) as client:
                while True:
                    self.some(client)
        except OSError as error:
            if not self.load.crash_expected.is_set():
                self.failure = error
        except Exception as error:  # whatever it is, the test is to see it
            self.failure = error

    def some(self, client):
        """Some transactions in one write, and then their replies."""
        numbers = [self.load.next_number() for _ in range(self.random.randint(1, IN_FLIGHT))]
        padding = b"x" * self.random.choice((0, 10, 200, 4000))
        self.sent = numbers[-1]
        client.send_raw(b"".join(self.kind.request(self.group, n, b"%d:%s" % (n, padding))
                                 for n in numbers))
        for number in numbers:
            self.kind.read(client)
            self.acknowledged = number


class Load:
    """Workers with groups of their own, and as many who share one; and a reader of that."""

    def __init__(self, kind, address, first_number):
        self.address = address
        self.crash_expected = threading.Event()
        self._lock = threading.Lock()
        self._number = first_number
        self.own = [Worker(self, kind, b"own-%d" % n, n) for n in range(WORKERS)]
        self.shared = [Worker(self, kind, b"shared", WORKERS + n) for n in range(WORKERS)]
        for worker in self.workers():
            worker.start()

    def workers(self):
        return self.own + self.shared

    def next_number(self):
        with self._lock:
            self._number += 1
            return self._number

    def check(self):
        failures = [worker.failure for worker in self.workers() if worker.failure]
        if failures:
            raise AssertionError("workers: %r" % failures)

    def join(self):
        for worker in self.workers():
            worker.join(60 * SLOW)
        self.check()


class Transactions(SystemTest):
    TIMEOUT_S = 60 + 10 * ROUNDS

    def wait_acknowledged(self, load, first, count):
        """Until every worker has got as far; a reader looks meanwhile."""
        with Client(load.address, timeout_s=30 * SLOW) as reader:
            def enough():
                load.check()
                number_of(b"shared", self.read_as_a_transaction(reader, b"shared"))
                return all(worker.acknowledged for worker in load.workers()) and max(
                    worker.acknowledged for worker in load.workers()) >= first + count
            poll_until(enough, 60, "%d transactions" % count)

    @staticmethod
    def read_as_a_transaction(client, group):
        lines = [b"BEGIN"] + [b"GET " + name for name in names(group)] + [b"COMMIT"]
        client.pipeline(lines)
        return [decode_reply(client.read_line()) for _ in range(KEYS)]

    @staticmethod
    def read(client, group):
        return [decode_reply(line) for line in client.pipeline(b"GET " + n for n in names(group))]

    def verify(self, daemon, load):
        """No half of a transaction, and none of those that were acknowledged is missing."""
        with daemon.connect() as client:
            for worker in load.own:
                number = number_of(worker.group, self.read(client, worker.group))
                self.assertGreaterEqual(number, worker.acknowledged, worker.group)
                self.assertLessEqual(number, worker.sent, worker.group)
            shared = number_of(b"shared", self.read(client, b"shared"))
            self.assertGreaterEqual(shared, min(worker.acknowledged for worker in load.shared))
            self.assertLessEqual(shared, max(worker.sent for worker in load.shared))
            self.assertEqual(client.request("COUNT"), b"OK %d" % ((WORKERS + 1) * (KEYS - 1)))

    def crash_rounds(self, kind, *options, wait_log=None):
        daemon = self.start_daemon("--segment-size", "64k", *options)
        dice = random.Random(20261121)
        first = 0
        for _ in range(ROUNDS):
            load = Load(kind, daemon.addresses[0], first)
            self.wait_acknowledged(load, first, dice.randint(1, 300))
            if wait_log:
                daemon.wait_log(wait_log)
            load.crash_expected.set()
            daemon.kill9()
            load.join()
            daemon.restart()
            self.verify(daemon, load)
            first = max(worker.sent for worker in load.workers())
        self.assertEqual(daemon.stop(), 0)

    def test_multi_and_exec(self):
        self.crash_rounds(Multi)

    def test_multi_and_exec_synced(self):
        self.crash_rounds(Multi, "--fsync", "always")

    def test_begin_and_commit(self):
        self.crash_rounds(Begin)

    def test_while_it_compacts(self):
        self.crash_rounds(Multi, "--compact-min-size", "256k", "--compact-stale-percent", "10",
                          wait_log="compaction: begun")


class Unfinished(SystemTest):
    """What is not executed leaves nothing, however the client goes."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon()

    def connect_resp(self):
        client = RespClient(self.daemon.addresses[0], timeout_s=30 * SLOW)
        self.addCleanup(client.close)
        return client

    def test_a_client_that_leaves_before_exec(self):
        client = self.connect_resp()
        self.assertEqual(client.call_many([["WATCH", "a"], ["MULTI"], ["SET", "a", "1"]]),
                         [b"OK", b"OK", b"QUEUED"])
        client.send_raw(encode("EXEC")[:-1])  # its last byte never comes
        client.end_sending()
        self.assertEqual(client.read_all(), b"")
        self.assertEqual(self.daemon.request("COUNT"), b"OK 0")

    def test_a_client_that_leaves_before_commit(self):
        client = self.connect_resp()
        client.send_raw(b"BEGIN\nSET a 1\nCOMMIT")
        client.end_sending()
        self.assertEqual(client.read_all(), b"OK\nQUEUED\n")
        self.assertEqual(self.daemon.request("COUNT"), b"OK 0")

    def test_a_killed_daemon(self):
        client = self.connect_resp()
        self.assertEqual(client.call_many([["MULTI"], ["SET", "a", "1"]]), [b"OK", b"QUEUED"])
        other = self.connect(self.daemon)
        self.assertEqual(other.pipeline(["BEGIN", "SET b 1"]), [b"OK", b"QUEUED"])
        self.assertEqual(self.daemon.request("SET c 1"), b"OK")
        self.daemon.kill9()
        self.daemon.restart()
        self.assertEqual(self.daemon.request("COUNT"), b"OK 1")


if __name__ == "__main__":
    main()
