"""A client of RESP2 that keeps every byte of a reply, and can send what is no request."""

import re

from client import Client, as_bytes


def encode(*arguments):
    """A request: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        argument = as_bytes(str(argument) if isinstance(argument, int) else argument)
        parts.append(b"$%d\r\n%s\r\n" % (len(argument), argument))
    return b"".join(parts)


class ReplyError(Exception):
    """An error as a part of a reply; its text has no leading '-'."""

    def __eq__(self, other):
        return isinstance(other, ReplyError) and self.args == other.args

    __hash__ = Exception.__hash__


def decode(reply):
    """What a whole reply stands for: bytes, int, None, list or ReplyError."""
    value, rest = _decode(reply)
    if rest:
        raise AssertionError("behind a reply: %r" % rest)
    return value


def _decode(reply):
    line, _, rest = reply.partition(b"\r\n")
    kind, text = line[:1], line[1:]
    if kind == b"+":
        return text, rest
    if kind == b"-":
        return ReplyError(text.decode("utf-8", "replace")), rest
    if kind == b":":
        return int(text), rest
    size = int(text)
    if size < 0:
        return None, rest
    if kind == b"$":
        return rest[:size], rest[size + 2:]
    items = []
    for _ in range(size):
        item, rest = _decode(rest)
        items.append(item)
    return items, rest


class RespClient(Client):
    """One connection; the line protocol's methods stay usable."""

    def send(self, *arguments):
        self.send_raw(encode(*arguments))

    def read_raw(self):
        """Every byte of one reply. A line of the line protocol counts as one, too."""
        line = self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("connection closed after %r" % line)
        size = re.fullmatch(rb"[$*%](-?\d+)\r\n", line)
        if size is None:
            return line
        count = int(size.group(1))
        if line[:1] != b"$":
            items = 2 * count if line[:1] == b"%" else count  # a map is RESP3's
            return line + b"".join(self.read_raw() for _ in range(items))
        return line if count < 0 else line + self._read_exactly(count + 2)

    def _read_exactly(self, count):
        data = self.reader.read(count)
        if len(data) != count:
            raise ConnectionResetError("connection closed in a reply")
        return data

    def call(self, *arguments):
        """A request and what its reply stands for; an error is raised."""
        self.send(*arguments)
        value = self.read_value()
        if isinstance(value, ReplyError):
            raise value
        return value

    def read_value(self):
        return decode(self.read_raw())

    def call_many(self, requests):
        """Sends all requests, lists of arguments, at once; what their replies stand for."""
        requests = list(requests)
        self.send_raw(b"".join(encode(*request) for request in requests))
        return [self.read_value() for _ in requests]
