#!/usr/bin/env python3
"""A script of commands gets the same bytes from keystoned as from redis-server 7.

The script is redis_commands.txt; what differs is marked there, and documented word for word in
keystone-protocol(7)."""

import ast
import os
import re

from harness import SLOW, TOP, SystemTest, main, poll_until
from peers import start_redis
from respclient import RespClient, decode, encode

SCRIPT = os.path.join(TOP, "tests", "system", "redis_commands.txt")
PAGE = os.path.join(TOP, "man", "keystone-protocol.7.in")
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
REPEAT = re.compile(r"\{(.)\*(\d+)\}")
CONNECTIONS = 4
CLOSE_TO = 100  # @about: seconds, or the same in milliseconds where a number is that big


def unescape(text):
    """The bytes that a quoted word, or one without quotes, stands for."""
    text = REPEAT.sub(lambda match: match.group(1) * int(match.group(2)), text)
    return ast.literal_eval("b'%s'" % text.replace("'", "\\'"))


def words(text):
    return [unescape(quoted or plain) for quoted, plain in WORD.findall(text)]


class Step:
    """A request and what is expected of both replies."""

    def __init__(self, line_number, text, reason):
        self.line_number = line_number
        self.text = text
        self.reason = reason  # of a documented difference, where it is one
        self.connection = 0
        self.mode = None
        self.replies = None  # to read for raw bytes; None: one
        self.expected = {}   # by "<", ">" or "=": a pattern or bytes
        self.bytes = self._parse(text)

    def differs(self):
        return "<" in self.expected

    def _parse(self, text):
        while text.startswith("@"):
            mark, _, text = text[1:].partition(" ")
            if mark.isdigit():
                self.connection = int(mark) - 1
            else:
                self.mode = mark
        if self.mode == "raw":
            count, _, text = text.partition(" ")
            self.replies = int(count)
        if self.mode in ("raw", "close"):
            return b"".join(words(text))
        return encode(*words(text))

    def expect(self, mark, text):
        if text.startswith("/") and text.endswith("/"):
            self.expected[mark] = re.compile(text[1:-1].encode())
        else:
            self.expected[mark] = re.compile(re.escape(unescape(text.strip('"'))))


def load_script():
    """[(section, [steps])], in the order of the file."""
    sections, reason = [], None
    with open(SCRIPT, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("== "):
                sections.append((line[3:], []))
                reason = None
            elif line.startswith("!"):
                reason = line[1:].strip() or None
            elif line[:2] in ("< ", "> ", "= "):
                sections[-1][1][-1].expect(line[0], line[2:])
            elif line and not line.startswith("#"):
                sections[-1][1].append(Step(number, line, reason))
    return sections


def page_text():
    """The manual page's words, without its markup."""
    with open(PAGE, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith((".", "'"))]
    return " ".join("".join(lines).replace("\\&", "").replace("\\-", "-").split())


class Conversation:
    """The connections of one section with one server."""

    def __init__(self, address):
        self.address = address
        self.clients = [RespClient(address, timeout_s=30 * SLOW) for _ in range(CONNECTIONS)]
        self.clients[0].call("FLUSHALL")

    def close(self):
        for client in self.clients:
            client.close()

    def reply(self, step):
        """Every byte that comes back."""
        client = self.clients[step.connection]
        client.send_raw(step.bytes)
        if step.mode == "close":
            return client.read_all()
        reply = b"".join(client.read_raw() for _ in range(step.replies or 1))
        if step.mode == "gone":
            return self._reply_once_gone(step, client, reply)
        return reply

    @staticmethod
    def _reply_once_gone(step, client, reply):
        def is_gone():
            nonlocal reply
            if reply != b"$-1\r\n":
                client.send_raw(step.bytes)
                reply = client.read_raw()
            return reply == b"$-1\r\n"
        poll_until(is_gone, what="line %d: nil" % step.line_number)
        return reply

    def check_nothing_more_came(self):
        """Every connection that still lives answers what it is asked next."""
        for number, client in enumerate(self.clients):
            try:
                client.send("ECHO", b"end-%d" % number)
                reply = client.read_raw()
            except OSError:
                continue  # it was closed: read_all has seen everything
            if reply not in (b"$5\r\nend-%d\r\n" % number, b"+QUEUED\r\n"):
                raise AssertionError("a reply nobody asked for: %r" % reply)


def without_order(mode, reply):
    """A reply in a form that doesn't tell the order of its keys."""
    if not reply.startswith(b"*"):
        return reply
    value = decode(reply)
    if mode == "keys":
        return [value[0], sorted(value[1])]
    return sorted(value)


def are_alike(mode, theirs, ours):
    if mode == "about":
        if not (theirs.startswith(b":") and ours.startswith(b":")):
            return theirs == ours
        first, second = decode(theirs), decode(ours)
        unit = 1000 if first > 100 * 1000 * 1000 * 1000 or 900000 < first <= 2000000 else 1
        return min(first, second) > 0 and abs(first - second) <= CLOSE_TO * unit * SLOW
    if mode in ("sorted", "keys"):
        return without_order(mode, theirs) == without_order(mode, ours)
    return theirs == ours


class Compatibility(SystemTest):
    def setUp(self):
        super().setUp()
        self.redis = start_redis(self)
        self.ours = self.start_daemon()
        self.sections = load_script()

    def judge(self, step, theirs, ours):
        """Asks both; what is wrong with their replies, or None."""
        def ask():
            return self.complaint(step, theirs.reply(step), ours.reply(step))
        if step.mode == "soon":
            poll_until(lambda: ask() is None, what=step.text)
            return None
        return ask()

    def complaint(self, step, theirs, ours):
        """What is wrong with two replies, or None."""
        if "=" in step.expected:
            alike = all(step.expected["="].fullmatch(reply) for reply in (theirs, ours))
        elif not step.differs():
            alike = are_alike(step.mode, theirs, ours)
        else:
            alike = all(step.expected[mark].fullmatch(reply)
                        for mark, reply in (("<", theirs), (">", ours)))
        if alike:
            return None
        return "redis_commands.txt:%d: %.120s\n  redis-server: %.300r\n  keystoned:    %.300r" % (
            step.line_number, step.text, theirs, ours)

    def compare(self, steps):
        theirs, ours = Conversation(self.redis.address), Conversation(self.ours.addresses[0])
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        complaints = [self.judge(step, theirs, ours) for step in steps]
        theirs.check_nothing_more_came()
        ours.check_nothing_more_came()
        return [complaint for complaint in complaints if complaint]

    def test_replies_are_redis_replies_but_for_what_is_documented(self):
        complaints = []
        for section, steps in self.sections:
            try:
                complaints += self.compare(steps)
            except (OSError, ValueError, AssertionError) as error:
                complaints.append("section '%s': %r" % (section, error))
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))

    def test_the_script_has_what_was_promised(self):
        steps = [step for _, steps in self.sections for step in steps]
        self.assertGreaterEqual(len([step for step in steps if not step.differs()]), 700)
        for step in steps:
            if step.differs():
                self.assertEqual(set(step.expected), {"<", ">"}, step.line_number)
                self.assertTrue(step.reason, step.line_number)

    def test_every_difference_is_in_the_manual_page(self):
        page = page_text()
        reasons = {step.reason for _, steps in self.sections for step in steps if step.differs()}
        self.assertEqual([reason for reason in sorted(reasons) if reason not in page], [])


if __name__ == "__main__":
    main()
