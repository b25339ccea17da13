#!/usr/bin/env python3
"""What one protocol has written the other two read back the same: all bytes, in keys and values,
before and after a restart and a compaction."""

import unittest

from client import Client
from harness import SLOW, SystemTest, main
from respclient import RespClient

EVERY_BYTE = bytes(range(256))
LENGTHS = (0, 1, 5, 300, 70000)  # of values; the last needs more than one read


class Line:
    """The line protocol, which has Base64 for what a line can't carry."""

    def __init__(self, daemon):
        self.client = Client(daemon.addresses[0], timeout_s=30 * SLOW)

    def set(self, key, value):
        self.client.set(key, value)

    def get(self, key):
        return self.client.get(key)

    def delete(self, key):
        return self.client.delete(key)

    @staticmethod
    def carries(key):
        return bool(key)


class Resp:
    def __init__(self, daemon):
        self.client = RespClient(daemon.addresses[0], timeout_s=30 * SLOW)

    def set(self, key, value):
        self.client.call("SET", key, value)

    def get(self, key):
        return self.client.call("GET", key)

    def delete(self, key):
        return self.client.call("DEL", key) == 1

    @staticmethod
    def carries(key):
        return bool(key)


class Memcached:
    """Keys without spaces and control characters, of 250 bytes at most."""

    def __init__(self, daemon):
        self.client = Client(daemon.memcached_address(), timeout_s=30 * SLOW)

    def set(self, key, value):
        self.client.send_raw(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        self._expect(b"STORED\r")

    def get(self, key):
        self.client.send_raw(b"get %s\r\n" % key)
        line = self.client.read_line()
        if line == b"END\r":
            return None
        words = line.split(b" ")
        assert words[0] == b"VALUE" and words[1] == key, line
        size = int(words[3])
        value = self.client.reader.read(size + 2)
        assert value[size:] == b"\r\n", value[size:]
        self._expect(b"END\r")
        return value[:size]

    def delete(self, key):
        self.client.send_raw(b"delete %s\r\n" % key)
        return self.client.read_line() == b"DELETED\r"

    def _expect(self, wanted):
        line = self.client.read_line()
        assert line == wanted, line

    @staticmethod
    def carries(key):
        return 0 < len(key) <= 250 and all(byte > 32 and byte != 127 for byte in key)


PROTOCOLS = (Line, Resp, Memcached)


def values():
    """Every byte alone, at the beginning, the middle and the end of a value, and some lengths."""
    singles = [bytes([byte]) for byte in EVERY_BYTE]
    return (singles + [EVERY_BYTE, EVERY_BYTE[::-1], b"base64:QUJD", b"base64:", b"\r\n", b"\r",
                       b"END\r\n", b"$5\r\nvalue\r\n", b"OK\n", "Grüße ☃".encode()]
            + [b"<%s" % byte for byte in singles[:48]] + [b"%s>" % byte for byte in singles[:48]]
            + [(EVERY_BYTE * (length // 256 + 1))[:length] for length in LENGTHS])


def keys():
    """Every byte as a key, in a key, and keys that look like something else."""
    singles = [bytes([byte]) for byte in EVERY_BYTE]
    return (singles + [b"a%sz" % byte for byte in singles]
            + [EVERY_BYTE, EVERY_BYTE[33:127] + EVERY_BYTE[128:250], b"base64:QUJD", b"base64:",
               b"*1", b"$3", b"key with spaces", b"k" * 250, b"k" * 251, b"\xff" * 1024,
               "Schlüssel".encode()])


class Crossing(SystemTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--listen-memcached", "127.0.0.1:0")
        self.connect_all()

    def connect_all(self):
        self.protocols = [protocol(self.daemon) for protocol in PROTOCOLS]
        for protocol in self.protocols:
            self.addCleanup(protocol.client.close)

    def restart(self, stop):
        for protocol in self.protocols:
            protocol.client.close()
        stop()
        self.daemon.restart()
        self.connect_all()

    def check(self, written):
        """Every protocol reads all that it can name; nobody sees more keys than there are."""
        for protocol in self.protocols:
            for key, value in written.items():
                if protocol.carries(key):
                    found = protocol.get(key)
                    self.assertEqual(found, value, (type(protocol).__name__, key))
        line, resp, _ = self.protocols
        self.assertEqual(sorted(line.client.scan(count=100)), sorted(written))
        self.assertEqual(sorted(self.scan_by_resp(resp.client)), sorted(written))
        self.assertEqual(resp.client.call("DBSIZE"), len(written))

    @staticmethod
    def scan_by_resp(client):
        cursor, found = b"0", []
        while True:
            cursor, some = client.call("SCAN", cursor, "COUNT", "100")
            found += some
            if cursor == b"0":
                return found

    def check_everywhere(self, written):
        """At once, after kill -9, after each kind of compaction, and after a restart from hints."""
        self.check(written)
        self.restart(self.daemon.kill9)
        self.check(written)
        self.assertEqual(self.protocols[0].client.request("COMPACT"), b"OK")
        self.check(written)
        self.restart(self.compact_by_signal_and_stop)
        self.check(written)

    def compact_by_signal_and_stop(self):
        self.daemon.hup()
        self.daemon.wait_log("compact")
        self.daemon.stop()

    def test_values_of_all_bytes(self):
        written = {}
        for number, value in enumerate(values()):
            for writer in self.protocols:
                key = b"%s-%d" % (type(writer).__name__.encode(), number)
                writer.set(key, value)
                written[key] = value
        self.check_everywhere(written)

    def test_keys_of_all_bytes(self):
        written = {}
        for number, key in enumerate(keys()):
            writers = [protocol for protocol in self.protocols if protocol.carries(key)]
            writers[number % len(writers)].set(key, b"of " + key)
            written[key] = b"of " + key
        self.check_everywhere(written)

    def test_who_overwrites_and_deletes_may_speak_another(self):
        line, resp, memcached = self.protocols
        for first, second, third in ((line, resp, memcached), (resp, memcached, line),
                                     (memcached, line, resp)):
            for byte in EVERY_BYTE:
                if memcached.carries(b"k%c" % byte):
                    self.pass_on(b"k%c" % byte, first, second, third)
        self.check({})

    def pass_on(self, key, first, second, third):
        first.set(key, b"first\r\n")
        self.assertEqual(second.get(key), b"first\r\n")
        second.set(key, b"\x00second")
        self.assertEqual([third.get(key), first.get(key)], [b"\x00second"] * 2)
        self.assertTrue(third.delete(key))
        self.assertFalse(second.delete(key))
        self.assertEqual([first.get(key), second.get(key)], [None] * 2)

    def test_expiry_of_one_is_the_expiry_of_all(self):
        line, resp, memcached = self.protocols
        memcached.client.send_raw(b"set m 0 1000 1\r\nx\r\n")
        self.assertEqual(memcached.client.read_line(), b"STORED\r")
        resp.client.call("SET", "r", "x", "EX", "1000")
        line.set(b"l", b"x")
        self.assertEqual(line.client.request("EXPIRE l 1000"), b"OK")
        for key in (b"m", b"r", b"l"):
            self.assertIn(resp.client.call("TTL", key), range(800, 1001))
            self.assertRegex(line.client.request(b"TTL " + key), rb"\AOK (1000|[89]\d\d)\Z")
        self.restart(self.daemon.kill9)
        line, resp, memcached = self.protocols
        for key in (b"m", b"r", b"l"):
            self.assertIn(resp.client.call("TTL", key), range(500, 1001))
        self.assertEqual(line.client.request("PERSIST m"), b"OK")
        self.assertEqual(resp.client.call("TTL", "m"), -1)
        self.assertEqual(resp.client.call("EXPIRE", "m", "-1"), 1)
        self.assertEqual([line.get(b"m"), memcached.get(b"m")], [None, None])

    def test_both_on_one_connection(self):
        """A request that begins with an asterisk is RESP, any other a line: each gets its reply."""
        client = self.protocols[1].client
        client.send_raw(b"SET a 1\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nGET a\r\n*1\r\n$4\r\nPING\r\nPING\n")
        self.assertEqual(client.read_line(), b"OK")
        self.assertEqual(client.read_raw(), b"$1\r\n1\r\n")
        self.assertEqual(client.read_line(), b"VALUE 1")
        self.assertEqual(client.read_raw(), b"+PONG\r\n")
        self.assertEqual(client.read_line(), b"OK PONG")


class Sets(unittest.TestCase):
    def test_the_keys_and_values_have_every_byte(self):
        self.assertEqual({byte for key in keys() for byte in key}, set(EVERY_BYTE))
        self.assertEqual({byte for value in values() for byte in value}, set(EVERY_BYTE))
        self.assertEqual(len(keys()), len(set(keys())))


if __name__ == "__main__":
    main()
