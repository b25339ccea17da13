"""A client of the line protocol that can also misbehave, and the protocol's Base64 rule."""

import base64
import re
import socket

MULTI_LINE = (b"SCAN", b"STATS", b"HELP")
PREFIX = b"base64:"
CONTROLS_BUT_TAB = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
CONTROLS_AND_SPACE = re.compile(rb"[\x00-\x20\x7f]")


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _needs_base64(data, forbidden):
    return data.startswith(PREFIX) or forbidden.search(data) is not None


def encode_value(value):
    """The form in which the server writes a value."""
    return PREFIX + base64.b64encode(value) if _needs_base64(value, CONTROLS_BUT_TAB) else value


def encode_key(key):
    """The form in which the server writes a key."""
    return PREFIX + base64.b64encode(key) if _needs_base64(key, CONTROLS_AND_SPACE) else key


def decode(text):
    """The bytes that a key or value on the wire stands for."""
    return base64.b64decode(text[len(PREFIX):], validate=True) if text.startswith(PREFIX) else text


class Client:
    """One connection. Every wait is bounded by its timeout; addresses are `HOST:PORT`,
    `[V6]:PORT` or `unix:PATH`."""

    def __init__(self, address, timeout_s=30, receive_buffer=None):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target = address[len("unix:"):]
        else:
            host, port = address.rsplit(":", 1)
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            target = (host.strip("[]"), int(port))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(target)
            if self.socket.family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.socket.close()
            raise
        self.reader = self.socket.makefile("rb")

    def close(self):
        self.reader.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def end_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read_line(self):
        """The next line without its LF; ConnectionError where the server has closed."""
        line = self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("connection closed after %r" % line)
        return line[:-1]

    def read_reply(self, command=b""):
        """The reply to a command: its line, or for SCAN, STATS and HELP the list of lines after
        `OK <n>`."""
        line = self.read_line()
        if command.upper() in MULTI_LINE and line.startswith(b"OK "):
            return [self.read_line() for _ in range(int(line[3:]))]
        return line

    def read_all(self):
        """Everything up to the end of the connection."""
        received = bytearray()
        try:
            while True:
                piece = self.reader.read1(1 << 16)
                if not piece:
                    break
                received += piece
        except ConnectionResetError:
            pass
        return bytes(received)

    def request(self, line):
        line = as_bytes(line)
        self.send_raw(line + b"\n")
        return self.read_reply(line.split(b" ", 1)[0])

    def pipeline(self, lines):
        """Sends all requests with one call, then reads one line for each."""
        lines = list(lines)
        self.send_raw(b"".join(as_bytes(line) + b"\n" for line in lines))
        return [self.read_line() for _ in lines]

    def get(self, key):
        """The value's bytes, None where there is none."""
        reply = self.request(b"GET " + encode_key(as_bytes(key)))
        if reply == b"NOT_FOUND":
            return None
        if not reply.startswith(b"VALUE "):
            raise AssertionError("GET %r: %r" % (key, reply))
        return decode(reply[len(b"VALUE "):])

    def set(self, key, value):
        reply = self.request(b"SET %s %s" % (encode_key(as_bytes(key)),
                                             encode_value(as_bytes(value))))
        if reply != b"OK":
            raise AssertionError("SET %r: %r" % (key, reply))

    def delete(self, key):
        """True where there was such a key."""
        reply = self.request(b"DELETE " + encode_key(as_bytes(key)))
        if reply not in (b"OK", b"NOT_FOUND"):
            raise AssertionError("DELETE %r: %r" % (key, reply))
        return reply == b"OK"

    def scan(self, count=100, prefix=b""):
        """Every key of a whole scan, repeated ones included."""
        cursor, keys = b"0", []
        while True:
            request = b"SCAN %s %d" % (cursor, count) + (b" " + prefix if prefix else b"")
            reply = self.request(request)
            if not isinstance(reply, list):
                raise AssertionError("%r: %r" % (request, reply))
            cursor = reply[0]
            keys += [decode(key) for key in reply[1:]]
            if cursor == b"0":
                return keys

    def contents(self):
        """Every key and its value. What expires meanwhile may be left out."""
        keys = sorted(set(self.scan(count=1000)))
        found = {}
        for start in range(0, len(keys), 500):
            some = keys[start:start + 500]
            for key, reply in zip(some, self.pipeline(b"GET " + encode_key(k) for k in some)):
                if reply != b"NOT_FOUND":
                    found[key] = decode(reply[len(b"VALUE "):])
        return found

    def stats(self):
        """STATS as a dictionary of strings."""
        lines = self.request("STATS")
        if not isinstance(lines, list):
            raise ConnectionError("STATS: %r" % lines)
        return dict(line.decode().split(" ", 1) for line in lines)
