#!/usr/bin/env python3
"""memcached's text protocol, byte for byte, and what keystoned adds to it: nothing is lost."""

import os
import re
import shutil
import socket
import subprocess

from client import Client
from harness import SLOW, SystemTest, main, poll_until, read_text, stays_true

BIG = b"v" * 300000

# What is sent, and every byte that comes back, in one conversation with an empty store. All of it
# is what memcached 1.6 answers, too, but for uniques and versions.
TRANSCRIPT = (
    (b"get k\r\n", b"END\r\n"),
    (b"set k 7 0 5\r\nhello\r\n", b"STORED\r\n"),
    (b"get k\r\n", b"VALUE k 7 5\r\nhello\r\nEND\r\n"),
    (b"get k x k\r\n", b"VALUE k 7 5\r\nhello\r\nVALUE k 7 5\r\nhello\r\nEND\r\n"),
    (b" get  k \n", b"VALUE k 7 5\r\nhello\r\nEND\r\n"),
    (b"add k 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
    (b"replace k 1 0 1\r\nb\r\n", b"STORED\r\n"),
    (b"append k 9 9 1\r\nc\r\n", b"STORED\r\n"),
    (b"prepend k 9 -1 1\r\na\r\n", b"STORED\r\n"),
    (b"get k\r\n", b"VALUE k 1 3\r\nabc\r\nEND\r\n"),
    (b"append x 0 0 1\r\nc\r\n", b"NOT_STORED\r\n"),
    (b"prepend x 0 0 1\r\nc\r\n", b"NOT_STORED\r\n"),
    (b"replace x 0 0 1\r\nc\r\n", b"NOT_STORED\r\n"),
    (b"cas x 0 0 1 1\r\nc\r\n", b"NOT_FOUND\r\n"),
    (b"cas k 0 0 1 0\r\nc\r\n", b"EXISTS\r\n"),
    (b"touch k 100\r\n", b"TOUCHED\r\n"),
    (b"touch x 100\r\n", b"NOT_FOUND\r\n"),
    (b"gat 100 k x\r\n", b"VALUE k 1 3\r\nabc\r\nEND\r\n"),
    (b"gat 0\r\n", b"END\r\n"),
    (b"set n 3 0 2\r\n10\r\n", b"STORED\r\n"),
    (b"incr n 5\r\n", b"15\r\n"),
    (b"decr n 6\r\n", b"9\r\n"),
    (b"get n\r\n", b"VALUE n 3 2\r\n9 \r\nEND\r\n"),
    (b"decr n 10\r\n", b"0\r\n"),
    (b"incr n 18446744073709551615\r\n", b"18446744073709551615\r\n"),
    (b"incr n 1\r\n", b"0\r\n"),
    (b"incr x 1\r\n", b"NOT_FOUND\r\n"),
    (b"incr k 1\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"incr n -1\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"delete n\r\n", b"DELETED\r\n"),
    (b"delete n 0\r\n", b"NOT_FOUND\r\n"),
    (b"delete n 5\r\n",
     b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
    (b"set k 0 0 1 noreply\r\nx\r\ndelete n noreply\r\ntouch k 0 noreply\r\nget k\r\n",
     b"VALUE k 0 1\r\nx\r\nEND\r\n"),
    (b"set k 0 0 0\r\n\r\nget k\r\n", b"STORED\r\nVALUE k 0 0\r\n\r\nEND\r\n"),
    (b"set k 0 0 4\r\n\r\n\r\n\r\nget k\r\n", b"STORED\r\nVALUE k 0 4\r\n\r\n\r\n\r\nEND\r\n"),
    (b"set k 0 -1 1\r\nx\r\nget k\r\n", b"STORED\r\nEND\r\n"),
    (b"set k 5 0 1\r\nx\r\ngat -1 k\r\nget k\r\n", b"STORED\r\nVALUE k 5 1\r\nx\r\nEND\r\nEND\r\n"),
    (b"set " + b"k" * 250 + b" 0 0 1\r\nx\r\n", b"STORED\r\n"),
    (b"get a " + b"k" * 251 + b"\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"set k 0 0 -1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"set k 0 0 1\r\nxy\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
    (b"touch k soon\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"get\r\n", b"ERROR\r\n"),
    (b"GET k\r\n", b"ERROR\r\n"),
    (b"\r\n", b"ERROR\r\n"),
    (b"verbosity 1\r\n", b"OK\r\n"),
    (b"verbosity\r\n", b"ERROR\r\n"),
    (b"set big 0 0 300000\r\n" + BIG + b"\r\n", b"STORED\r\n"),
    (b"get big big\r\n", (b"VALUE big 0 300000\r\n" + BIG + b"\r\n") * 2 + b"END\r\n"),
    (b"flush_all soon\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"flush_all\r\n", b"OK\r\n"),
    (b"get k big\r\n", b"END\r\n"),
    (b"stats reset\r\n", b"RESET\r\n"),
    (b"stats noreply\r\n", b"ERROR\r\n"),
)


class Memcached(Client):
    """A client that speaks it."""

    def ask(self, request, size):
        self.send_raw(request)
        return self.reader.read(size)

    def lines(self, request):
        """The lines of a reply that ends with END, without that."""
        self.send_raw(request)
        lines = iter(lambda: self.read_line().rstrip(b"\r"), b"END")
        return list(lines)

    def stats(self):
        return dict(line.decode().split(" ", 2)[1:] for line in self.lines(b"stats\r\n"))

    def unique(self, key):
        head, _ = self.lines(b"gets %s\r\n" % key)
        return int(head.split()[4])


class MemcachedTest(SystemTest):
    def start_memcached(self, *options, listen="127.0.0.1:0"):
        self.daemon = self.start_daemon("--listen-memcached", listen, *options)
        return self.connect()

    def connect(self):
        client = Memcached(self.daemon.addresses[-1], timeout_s=30 * SLOW)
        self.addCleanup(client.close)
        return client

    def check(self, client, transcript):
        for request, reply in transcript:
            self.assertEqual(client.ask(request, len(reply)), reply, request[:80])


class Protocol(MemcachedTest):
    def test_every_command_answers_as_documented(self):
        self.check(self.start_memcached(), TRANSCRIPT)

    def test_pipelined_requests_are_answered_in_their_order(self):
        client = self.start_memcached()
        expected = b"".join(reply for _, reply in TRANSCRIPT)
        received = client.ask(b"".join(request for request, _ in TRANSCRIPT), len(expected))
        self.assertEqual(received, expected)

    def test_memcached_answers_the_same(self):
        program = shutil.which("memcached")
        if program is None:
            self.skipTest("there is no memcached")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        peer = subprocess.Popen((program, "-l", "127.0.0.1", "-p", str(port), "-U", "0") + user)
        self.addCleanup(peer.wait)
        self.addCleanup(peer.kill)
        address = "127.0.0.1:%d" % port

        def answers():
            try:
                Client(address).close()
                return True
            except OSError:
                return False
        poll_until(answers, 20, "memcached listens")
        with Memcached(address, timeout_s=30 * SLOW) as client:
            self.check(client, TRANSCRIPT)

    def test_quit_closes_after_what_came_before(self):
        client = self.start_memcached()
        client.send_raw(b"set k 0 0 1\r\nx\r\nquit\r\nversion\r\n")
        self.assertEqual(client.read_all(), b"STORED\r\n")

    def test_http_is_closed_without_a_word_and_logged(self):
        client = self.start_memcached()
        client.send_raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(client.read_all(), b"")
        self.daemon.wait_log("spoke HTTP")

    def test_line_that_is_too_long_is_answered_and_closed(self):
        client = self.start_memcached()
        client.send_raw(b"x" * 4000)
        self.assertEqual(client.read_all(), b"CLIENT_ERROR line too long\r\n")

    def test_unfinished_request_is_never_executed(self):
        client = self.start_memcached()
        client.send_raw(b"set k 0 0 10\r\nx")
        client.end_sending()
        self.assertEqual(client.read_all(), b"")
        self.assertEqual(self.connect().lines(b"get k\r\n"), [])

    def test_thousands_of_keys_on_a_line(self):
        client = self.start_memcached()
        keys = [b"key-%d" % i for i in range(5000)]
        client.send_raw(b"".join(b"set %s 0 0 4 noreply\r\n%04d\r\n" % (key, i)
                                 for i, key in enumerate(keys)))
        found = client.lines(b"get " + b" absent ".join(keys) + b"\r\n")
        self.assertEqual(found[1::2], [b"%04d" % i for i in range(5000)])

    def test_data_that_is_too_large_is_skipped_and_the_old_value_stays(self):
        client = self.start_memcached("--max-value-size", "1k")
        reply = b"STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE k 0 3\r\nold\r\nEND\r\n"
        self.assertEqual(client.ask(b"set k 0 0 3\r\nold\r\nset k 0 0 1000000\r\n" +
                                    b"\r\n" * 500000 + b"\r\nget k\r\n", len(reply)), reply)

    def test_more_clients_than_allowed_are_told_so_in_its_words(self):
        first = self.start_memcached("--max-connections", "2")
        poll_until(lambda: b"STAT curr_connections 1" in first.lines(b"stats\r\n"),
                   what="whoever asked whether it runs is gone")
        self.assertEqual(self.connect().ask(b"version\r\n", 1), b"V")
        self.assertEqual(self.connect().read_all(), b"SERVER_ERROR too many connections\r\n")


class Listening(MemcachedTest):
    def test_nowhere_by_default(self):
        daemon = self.start_daemon()
        self.assertNotIn("memcached", daemon.log() + read_text(daemon.data + "/keystoned.port"))

    def test_port_file_and_log_name_the_address(self):
        self.start_memcached()
        address = self.daemon.addresses[-1]
        self.assertIn("listening on %s for memcached\n" % address, self.daemon.log())
        self.assertIn("\nmemcached %s\n" % address, read_text(self.daemon.data + "/keystoned.port"))

    def test_unix_socket_and_more_than_one(self):
        path = self.path("m.sock")
        self.start_memcached("--listen-memcached", "unix:" + path)
        with Memcached("unix:" + path, timeout_s=30 * SLOW) as client:
            self.assertEqual(client.ask(b"verbosity 0\r\n", 4), b"OK\r\n")
        tcp = next(a for a in self.daemon.addresses[1:] if not a.startswith("unix:"))
        with Memcached(tcp, timeout_s=30 * SLOW) as client:
            self.assertEqual(client.ask(b"verbosity 0\r\n", 4), b"OK\r\n")

    def test_other_protocols_are_not_spoken_there_nor_this_one_elsewhere(self):
        client = self.start_memcached()
        self.assertEqual(client.ask(b"PING\r\n*1\r\n", 14), b"ERROR\r\nERROR\r\n")
        with self.daemon.connect() as line:
            self.assertTrue(line.request(b"set k 0 0 1").startswith(b"OK"))
        self.assertEqual(client.lines(b"get k\r\n"), [b"VALUE k 0 5", b"0 0 1"])


class Keeping(MemcachedTest):
    def test_values_flags_expiry_and_uniques_survive_a_crash_and_a_compaction(self):
        client = self.start_memcached()
        client.ask(b"set k 99 1000 5\r\nvalue\r\nset gone 0 -1 1\r\nx\r\n", 16)
        unique = client.unique(b"k")
        for _ in range(2):
            self.daemon.kill9()
            self.daemon.start()
            client = self.connect()
            self.assertEqual(client.lines(b"gets gone k\r\n"),
                             [b"VALUE k 99 5 %d" % unique, b"value"])
            self.assertIn(self.daemon.request("TTL k"), [b"OK %d" % s for s in range(800, 1001)])
            self.assertEqual(self.daemon.request("COMPACT"), b"OK")
            self.assertEqual(client.unique(b"k"), unique)
        self.assertEqual(client.ask(b"cas k 0 0 1 %d\r\nx\r\n" % unique, 8), b"STORED\r\n")
        self.assertEqual(client.ask(b"cas k 0 0 1 %d\r\ny\r\n" % unique, 8), b"EXISTS\r\n")

    def test_keys_expire(self):
        client = self.start_memcached()
        client.ask(b"set k 0 1 1\r\nx\r\nset stays 0 100 1\r\nx\r\n", 16)
        poll_until(lambda: client.lines(b"get k\r\n") == [], 20, "the key expires")
        self.assertEqual(client.lines(b"get stays\r\n"), [b"VALUE stays 0 1", b"x"])

    def test_compare_and_swap_loses_no_count(self):
        first, second = self.start_memcached(), self.connect()
        first.ask(b"set n 0 0 1\r\n0\r\n", 8)
        done = 0
        for client in (first, second) * 50:
            head, value = client.lines(b"gets n\r\n")
            other = second if client is first else first
            if done % 3 == 0:
                other.lines(b"incr n 1\r\nget n\r\n")
                self.assertEqual(client.ask(b"cas n 0 0 1 %s\r\nx\r\n" % head.split()[4], 8),
                                 b"EXISTS\r\n")
            else:
                number = b"%d" % (int(value) + 1)
                self.assertEqual(client.ask(b"cas n 0 0 %d %s\r\n%s\r\n" % (
                    len(number), head.split()[4], number), 8), b"STORED\r\n")
            done += 1
        self.assertEqual(first.lines(b"get n\r\n")[1], b"100")

    def test_any_byte_goes_through_the_line_protocol_and_back(self):
        client = self.start_memcached()
        value = bytes(range(256))
        key = bytes(byte for byte in range(256) if byte not in b" \n")[:249] + b"z"
        reply = b"STORED\r\n"
        self.assertEqual(client.ask(b"set %s 0 0 256\r\n%s\r\n" % (key, value), len(reply)), reply)
        with self.daemon.connect() as line:
            self.assertEqual(line.get(key), value)
            line.set(key, value[::-1])
        reply = b"VALUE %s 0 256\r\n%s\r\nEND\r\n" % (key, value[::-1])
        self.assertEqual(client.ask(b"get %s\r\n" % key, len(reply)), reply)


class Flushing(MemcachedTest):
    def test_a_delayed_flush_comes_and_clears_what_was_stored_meanwhile(self):
        client = self.start_memcached()
        self.assertEqual(client.ask(b"set k 0 0 1\r\nx\r\nflush_all 1\r\n", 12), b"STORED\r\nOK\r\n")
        poll_until(lambda: client.lines(b"get k\r\n") == [], 20, "the flush")

    def test_a_flush_at_once_calls_off_the_one_that_waits(self):
        client = self.start_memcached()
        reply = b"OK\r\nOK\r\nSTORED\r\n"
        self.assertEqual(client.ask(b"flush_all 1\r\nflush_all\r\nset k 0 0 1\r\nx\r\n",
                                    len(reply)), reply)
        self.assertTrue(stays_true(lambda: client.lines(b"get k\r\n") != [], 1.5))


class Statistics(MemcachedTest):
    def test_memcacheds_names_count_what_was_done(self):
        client = self.start_memcached("--max-connections", "77")
        client.lines(b"set a 0 0 1 noreply\r\n1\r\nset b 0 0 1 noreply\r\n1\r\nincr a 1 noreply\r\n"
                     b"touch b 100 noreply\r\ndelete x noreply\r\ncas a 0 0 1 0 noreply\r\n1\r\n"
                     b"flush_all 1000 noreply\r\nget a b x\r\n")
        stats = client.stats()
        expected = {"pid": str(self.daemon.pid), "pointer_size": "64", "max_connections": "77",
                    "cmd_get": "3", "cmd_set": "3", "get_hits": "2", "get_misses": "1",
                    "incr_hits": "1", "touch_hits": "1", "cmd_touch": "1", "delete_misses": "1",
                    "cas_badval": "1", "cmd_flush": "1", "curr_items": "2", "limit_maxbytes": "0"}
        self.assertEqual({name: stats.get(name) for name in expected}, expected)
        for name in ("uptime", "time", "curr_connections", "total_connections", "total_items",
                     "bytes", "bytes_read", "bytes_written", "threads", "evictions"):
            self.assertRegex(stats.get(name, ""), r"\A\d+\Z", name)
        self.assertEqual(stats["version"], "1.6.0")
        self.assertEqual("OK keystonelight " + stats["keystonelight_version"],
                         self.daemon.request("VERSION").decode())

    def test_settings_items_and_slabs_are_well_formed(self):
        client = self.start_memcached("--max-value-size", "2m")
        settings = client.lines(b"stats settings\r\n")
        self.assertIn(b"STAT item_size_max 2097152", settings)
        self.assertTrue(all(re.match(rb"STAT \w+ \S+\Z", line) for line in settings), settings)
        self.assertEqual(client.lines(b"stats items\r\n"), [])
        self.assertEqual(client.lines(b"stats slabs\r\n"),
                         [b"STAT active_slabs 0", b"STAT total_malloced 0"])


if __name__ == "__main__":
    main()
