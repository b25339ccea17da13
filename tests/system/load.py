"""A verified load: writers that know, for every key, what the daemon may hold after a crash.

Each worker has a connection and keys of its own, so the order of the operations on a key is the
order in which the worker sent them. A key holds the last acknowledged state, or one that was sent
later and not acknowledged when the connection broke. Absent is a state too, so a deleted key that
comes back is found.
"""

import random
import re
import threading

from client import Client, as_bytes
from harness import SLOW, poll_until

# strace makes a call fail by sending the kernel a number that no call has. Where it leaves between
# that and the result, the result is that there is no such call.
REFUSED = re.compile(rb"ERROR (log device full|.*: Function not implemented)")


class Mismatch(AssertionError):
    """The daemon holds, or has answered, something that the load can't explain."""

    wrong_keys = 0  # what a look at the whole store has found


class Key:
    """What is known of one key; None stands for absent."""

    def __init__(self, name):
        self.name = name
        self.acknowledged = None
        self.unacknowledged = []

    def explains(self, state):
        return state == self.acknowledged or state in self.unacknowledged

    def settle(self, state):
        """What is held is the truth, and one of the states that are known."""
        known = [self.acknowledged] + self.unacknowledged
        self.acknowledged = known[known.index(state)]
        self.unacknowledged = []


class Worker(threading.Thread):
    def __init__(self, load, number, keys):
        super().__init__(daemon=True)
        self.load = load
        self.keys = keys
        self.random = random.Random(load.seed * 1000 + number)
        self.acknowledged = 0
        self.refused = 0
        self.failure = None

    def run(self):
        try:
            with Client(self.load.address, timeout_s=30 * SLOW) as client:
                while not self.load.stopping.is_set():
                    self._one_batch(client)
        except OSError as error:
            if not self.load.crash_expected.is_set():
                self.failure = "connection: %s" % error
        except Mismatch as error:
            self.failure = str(error)

    def _one_batch(self, client):
        batch = [self._choose() for _ in range(self.random.randint(1, self.load.pipeline))]
        for key, command, state in batch:
            if command != "GET":
                key.unacknowledged.append(state)
        client.send_raw(b"".join(self._line(*operation) for operation in batch))
        for operation in batch:
            self._judge(client.read_line(), *operation)

    def _choose(self):
        """The next operation: (key, command, the state it leads to)."""
        key = self.random.choice(self.keys)
        dice = self.random.random()
        if dice < 0.15:
            return key, "GET", None
        if dice < 0.30:
            return key, "DELETE", None
        version = self.load.next_version()
        padding = self.load.make_padding(self.random)
        return key, "SET", b"%s=%d:%s" % (key.name, version, padding)

    @staticmethod
    def _line(key, command, state):
        if command == "SET":
            return b"SET %s %s\n" % (key.name, state)
        return b"%s %s\n" % (as_bytes(command), key.name)

    def _judge(self, reply, key, command, state):
        """Compares a reply with the only one that is right and moves the key on."""
        before = key.acknowledged
        if command == "GET":
            expected = b"NOT_FOUND" if before is None else b"VALUE " + before
            self._expect(reply, expected, key, command)
            return
        key.unacknowledged.pop(0)
        if self.load.errors_allowed and REFUSED.match(reply):
            self.refused += 1
            return
        gone = command == "DELETE" and before is None
        self._expect(reply, b"NOT_FOUND" if gone else b"OK", key, command)
        key.acknowledged = state
        self.acknowledged += not gone

    @staticmethod
    def _expect(reply, expected, key, command):
        if reply != expected:
            raise Mismatch("%s %s: %r instead of %r" % (command, key.name.decode(), reply[:80],
                                                        expected[:80]))


class Load:
    """Start it, let it run, crash or stop the daemon, restart that, verify; then start again."""

    KEY = Key
    WORKER = Worker

    def __init__(self, workers=4, keys=400, value_size=150, pipeline=16, seed=1,
                 errors_allowed=False):
        self.address = None
        self.value_size = value_size
        self.pipeline = pipeline
        self.seed = seed
        self.errors_allowed = errors_allowed
        self.stopping = threading.Event()
        self.crash_expected = threading.Event()
        self.keys = [self.KEY(b"key-%d" % n) for n in range(keys)]
        self._worker_count = workers
        self._workers = []
        self._versions = iter(range(1, 1 << 62))
        self._lock = threading.Lock()

    def next_version(self):
        with self._lock:
            return next(self._versions)

    def make_padding(self, dice):
        """What makes a value longer. Any worker's thread; dice is its own."""
        return b"x" * dice.randint(0, self.value_size)

    def start(self, address):
        self.address = address
        self.seed += 1
        self.stopping.clear()
        self.crash_expected.clear()
        self._workers = [self.WORKER(self, n, self.keys[n::self._worker_count])
                         for n in range(self._worker_count)]
        for worker in self._workers:
            worker.start()
        return self

    def acknowledged(self):
        """Writes acknowledged since the last start."""
        return sum(worker.acknowledged for worker in self._workers)

    def refused(self):
        return sum(worker.refused for worker in self._workers)

    def wait_acknowledged(self, count, timeout_s=60):
        poll_until(lambda: self.acknowledged() >= count or not self.alive(), timeout_s,
                   "%d acknowledged writes" % count)
        self.check_workers()

    def wait_refused(self, count, timeout_s=60):
        poll_until(lambda: self.refused() >= count or not self.alive(), timeout_s,
                   "%d refused writes" % count)
        self.check_workers()

    def wait_more(self, count):
        self.wait_acknowledged(self.acknowledged() + count)

    def alive(self):
        return all(worker.is_alive() for worker in self._workers)

    def crash(self, daemon):
        """kill -9 with requests in flight."""
        self.crash_expected.set()
        daemon.kill9()
        self._join()

    def stop(self):
        """Lets every worker finish its batch."""
        self.stopping.set()
        self._join()

    def expect_end(self):
        """The daemon is about to close the connections."""
        self.crash_expected.set()

    def join_after_end(self):
        self.stopping.set()
        self._join()

    def _join(self):
        for worker in self._workers:
            worker.join(60 * SLOW)
            if worker.is_alive():
                raise Mismatch("a worker is stuck: no reply came")
        self.check_workers()

    def check_workers(self):
        failures = [worker.failure for worker in self._workers if worker.failure]
        if failures:
            raise Mismatch("; ".join(failures))

    def verify(self, address):
        """Compares the whole store with what it may hold; what it holds becomes the truth."""
        with Client(address, timeout_s=60 * SLOW) as client:
            states = client.contents()
        self.compare(states)

    def compare(self, states):
        wrong = [key for key in self.keys if not key.explains(states.get(key.name))]
        if wrong:
            mismatch = Mismatch("%d keys are wrong, such as %s" % (
                len(wrong), self._describe(wrong[0], states.get(wrong[0].name))))
            mismatch.wrong_keys = len(wrong)
            raise mismatch
        strangers = set(states) - {key.name for key in self.keys}
        if strangers:
            raise Mismatch("keys that nobody wrote: %r" % sorted(strangers)[:3])
        for key in self.keys:
            key.settle(states.get(key.name))

    @staticmethod
    def _describe(key, state):
        return "%s: holds %.40r, acknowledged %.40r, sent later %d" % (
            key.name.decode(), state, key.acknowledged, len(key.unacknowledged))
