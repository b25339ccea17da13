"""The verified load with keys that expire: gone when their time has come, and not before.

A deadline is a time of day, and the daemon's clock is known as well as its own machine's: it is
never behind that one, and ahead of it by no more than the tests have made it jump in this life of
the daemon. A key whose deadline is between the two may be there or not; once it was seen to be
gone it is absent, but if the clock was ahead, the next life may have it again.
"""

import time

from client import Client
from harness import SLOW
from load import Key, Load, Worker


class Value(bytes):
    """A state of a key that ends at that time."""

    expires_at_ms = None


def expires(state):
    return isinstance(state, Value)


def has_expired(state, at_ms):
    return expires(state) and state.expires_at_ms <= at_ms


def now_ms():
    return int(time.time() * 1000)


class ExpiringKey(Key):
    returning = None  # expired by a clock that is ahead: it may be back in the next life

    def pass_time(self, least_ms, most_ms):
        """After a life: what has expired by the first time is absent, by the second it may be."""
        if self.returning:
            self.unacknowledged.append(self.returning)
            self.returning = None
        known = [self.acknowledged] + self.unacknowledged
        if any(has_expired(state, most_ms) for state in known):
            self.unacknowledged.append(None)
        if has_expired(self.acknowledged, least_ms):
            self.acknowledged = None
        self.unacknowledged = [state for state in self.unacknowledged
                               if not has_expired(state, least_ms)]


class ExpiringWorker(Worker):
    sent_ms = 0

    def _one_batch(self, client):
        self.sent_ms = now_ms()
        super()._one_batch(client)

    def _choose(self):
        key, command, state = super()._choose()
        if command == "SET" and self.random.random() < self.load.EXPIRING_SHARE:
            state = Value(state)
            state.expires_at_ms = now_ms() + int(10 ** self.random.uniform(1.5, 4.5))
        return key, command, state

    @staticmethod
    def _line(key, command, state):
        """One that expires is set as Redis's clients do it: lines have no word for a deadline."""
        if not expires(state):
            return Worker._line(key, command, state)
        words = (b"SET", key.name, state, b"PXAT", b"%d" % state.expires_at_ms)
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word)
                                                  for word in words)

    def _judge(self, reply, key, command, state):
        if expires(state):
            reply = self._as_line(reply)
        if has_expired(key.acknowledged, self.sent_ms):
            key.acknowledged = None
        elif reply == b"NOT_FOUND" and has_expired(key.acknowledged, self.load.most_ms()):
            key.returning, key.acknowledged = key.acknowledged, None
        waiting = len(key.unacknowledged)
        refused = self.refused
        super()._judge(reply, key, command, state)
        if len(key.unacknowledged) < waiting and self.refused == refused:
            key.returning = None  # there is something newer in the log

    @staticmethod
    def _as_line(reply):
        """What a line would have been answered."""
        reply = reply.rstrip(b"\r")
        return reply[1:] if reply.startswith(b"+") else b"ERROR " + reply.partition(b" ")[2]


class ExpiringLoad(Load):
    KEY = ExpiringKey
    WORKER = ExpiringWorker
    EXPIRING_SHARE = 0.25

    ahead_s = 0  # how far the daemon's clock may be ahead in this life

    def expect_jump(self, offset_s):
        """The daemon's clock is about to jump there."""
        self.ahead_s = max(self.ahead_s, offset_s)

    def most_ms(self):
        return now_ms() + 1 + self.ahead_s * 1000

    def verify(self, address):
        """As Load's. The daemon must be in a new life, whose clock has not jumped yet."""
        before_ms = self.most_ms()
        self.ahead_s = 0
        asked_ms = now_ms()
        with Client(address, timeout_s=60 * SLOW) as client:
            states = client.contents()
        for key in self.keys:
            key.pass_time(asked_ms, max(before_ms, self.most_ms()))
        self.compare(states)
