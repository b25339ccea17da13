#!/usr/bin/env python3
"""The line protocol's requests and replies, byte for byte, over TCP and over a Unix socket."""

import base64
import threading

from client import decode, encode_key, encode_value
from harness import SystemTest, main

STATS_NAMES = (
    "pid uptime_seconds version connections_current connections_total connections_rejected "
    "commands_get commands_set commands_delete commands_other get_hits get_misses "
    "protocol_errors bytes_read bytes_written keys segments log_bytes live_bytes stale_bytes "
    "index_bytes fsync_policy fsyncs fsync_last_us write_errors compactions compaction_running "
    "compaction_last_us compaction_last_pause_us compaction_reclaimed_bytes recovery_us "
    "recovered_records recovered_truncated_bytes").split()

COMMANDS = ("GET", "SET", "DELETE", "EXISTS", "EXPIRE", "TTL", "PERSIST", "COUNT", "SCAN", "KEYS",
            "RANGE", "BEGIN", "COMMIT", "ABORT", "COMPACT", "SYNC", "STATS", "PING", "VERSION",
            "HELP", "QUIT")

# What is sent, and every byte that comes back, in one conversation with an empty store.
TRANSCRIPT = (
    (b"PING\n", b"OK PONG\n"),
    (b"ping\r\n", b"OK PONG\n"),
    (b"PiNg\n", b"OK PONG\n"),
    (b"GET greeting\n", b"NOT_FOUND\n"),
    (b"EXISTS greeting\n", b"NOT_FOUND\n"),
    (b"DELETE greeting\n", b"NOT_FOUND\n"),
    (b"COUNT\n", b"OK 0\n"),
    (b"SCAN 0\n", b"OK 1\n0\n"),
    (b"SET greeting hello world\n", b"OK\n"),
    (b"GET greeting\n", b"VALUE hello world\n"),
    (b"get greeting\r\n", b"VALUE hello world\n"),
    (b"EXISTS greeting\n", b"OK\n"),
    (b"COUNT\n", b"OK 1\n"),
    (b"SCAN 0\n", b"OK 2\n0\ngreeting\n"),
    (b"SCAN 0 10\n", b"OK 2\n0\ngreeting\n"),
    (b"SCAN 0 10 greet\n", b"OK 2\n0\ngreeting\n"),
    (b"SCAN 0 10 x\n", b"OK 1\n0\n"),
    (b"SET greeting  two  spaces  \n", b"OK\n"),
    (b"GET greeting\n", b"VALUE  two  spaces  \n"),
    (b"SET greeting \n", b"OK\n"),
    (b"GET greeting\n", b"VALUE \n"),
    (b"SET greeting\n", b"ERROR usage: SET key value\n"),
    (b"GET greeting\n", b"VALUE \n"),
    (b"SET greeting tab\there\n", b"OK\n"),
    (b"GET greeting\n", b"VALUE tab\there\n"),
    (b"SET greeting one\r\r\n", b"OK\n"),
    (b"GET greeting\n", b"VALUE base64:b25lDQ==\n"),
    (b"SET gr\xc3\xbc\xc3\x9fe Gr\xc3\xbc\xc3\x9fe\n", b"OK\n"),
    (b"GET gr\xc3\xbc\xc3\x9fe\n", b"VALUE Gr\xc3\xbc\xc3\x9fe\n"),
    (b"DELETE gr\xc3\xbc\xc3\x9fe\n", b"OK\n"),
    (b"SET bytes base64:AAEC\n", b"OK\n"),
    (b"GET bytes\n", b"VALUE base64:AAEC\n"),
    (b"SET bytes base64:cGxhaW4=\n", b"OK\n"),
    (b"GET bytes\n", b"VALUE plain\n"),
    (b"SET bytes base64:YmFzZTY0OmFiYw==\n", b"OK\n"),  # base64:abc
    (b"GET bytes\n", b"VALUE base64:YmFzZTY0OmFiYw==\n"),
    (b"SET bytes base64:\n", b"OK\n"),
    (b"GET bytes\n", b"VALUE \n"),
    (b"GET base64:Ynl0ZXM=\n", b"VALUE \n"),
    (b"DELETE bytes\n", b"OK\n"),
    (b"SET base64:YSBi spaced\n", b"OK\n"),  # a b
    (b"GET base64:YSBi\n", b"VALUE spaced\n"),
    (b"SCAN 0 10 base64:YSA=\n", b"OK 2\n0\nbase64:YSBi\n"),
    (b"DELETE base64:YSBi\n", b"OK\n"),
    (b"DELETE greeting\n", b"OK\n"),
    (b"DELETE greeting\n", b"NOT_FOUND\n"),
    (b"COUNT\n", b"OK 0\n"),
    (b"EXPIRE k 100\n", b"NOT_FOUND\n"),
    (b"TTL k\n", b"NOT_FOUND\n"),
    (b"PERSIST k\n", b"NOT_FOUND\n"),
    (b"SET k v\n", b"OK\n"),
    (b"TTL k\n", b"OK -1\n"),
    (b"EXPIRE k 100\n", b"OK\n"),
    (b"PERSIST k\n", b"OK\n"),
    (b"TTL k\n", b"OK -1\n"),
    (b"EXPIRE k 100\n", b"OK\n"),
    (b"SET k v\n", b"OK\n"),
    (b"TTL k\n", b"OK -1\n"),
    (b"EXPIRE k 0\n", b"OK\n"),
    (b"GET k\n", b"NOT_FOUND\n"),
    (b"EXPIRE k\n", b"ERROR usage: EXPIRE key seconds\n"),
    (b"EXPIRE k soon\n", b"ERROR bad number of seconds 'soon'\n"),
    (b"BEGIN\n", b"OK\n"),
    (b"SET user:b 2\n", b"QUEUED\n"),
    (b"SET user:a 1\n", b"QUEUED\n"),
    (b"SET other 3\n", b"QUEUED\n"),
    (b"GET user:a\n", b"QUEUED\n"),
    (b"COMMIT\n", b"OK 4\nOK\nOK\nOK\nVALUE 1\n"),
    (b"KEYS *\n", b"OK 3\nother\nuser:a\nuser:b\n"),
    (b"KEYS user:*\n", b"OK 2\nuser:a\nuser:b\n"),
    (b"KEYS other\n", b"OK 1\nother\n"),
    (b"KEYS none*\n", b"OK 0\n"),
    (b"KEYS \n", b"OK 0\n"),
    (b"KEYS *er\n", b"ERROR bad pattern '*er': only prefix* can be looked for\n"),
    (b"RANGE other user:a\n", b"OK 2\nother\nuser:a\n"),
    (b"RANGE a z LIMIT 1\n", b"OK 1\nother\n"),
    (b"RANGE p user:aa\n", b"OK 1\nuser:a\n"),
    (b"RANGE z a\n", b"OK 0\n"),
    (b"RANGE a z LIMIT 0\n", b"ERROR bad limit: it must be a number, 1 or more\n"),
    (b"RANGE a\n", b"ERROR usage: RANGE start end [LIMIT n]\n"),
    (b"BEGIN\n", b"OK\n"),
    (b"DELETE other\n", b"QUEUED\n"),
    (b"ABORT\n", b"OK\n"),
    (b"COUNT\n", b"OK 3\n"),
    (b"BEGIN\n", b"OK\n"),
    (b"DELETE other\n", b"QUEUED\n"),
    (b"DELETE user:a\n", b"QUEUED\n"),
    (b"DELETE user:b\n", b"QUEUED\n"),
    (b"COMMIT\n", b"OK 3\nOK\nOK\nOK\n"),
    (b"COMMIT\n", b"ERROR not in a transaction: send BEGIN first\n"),
    (b"COUNT\n", b"OK 0\n"),
    (b"SYNC\n", b"OK\n"),
    (b"COMPACT\n", b"OK\n"),
    (b"FOO\n", b"ERROR unknown command 'FOO' (try HELP)\n"),
    (b"F\xc3\xb6\xc3\xb6'\n", b"ERROR unknown command 'F\\xc3\\xb6\\xc3\\xb6\\'' (try HELP)\n"),
    (b"\n\r\n\nPING\n", b"OK PONG\n"),
    (b"GET\n", b"ERROR usage: GET key\n"),
    (b"DELETE\n", b"ERROR usage: DELETE key\n"),
    (b"EXISTS\n", b"ERROR usage: EXISTS key\n"),
    (b"SET\n", b"ERROR usage: SET key value\n"),
    (b"SCAN\n", b"ERROR usage: SCAN cursor [count [prefix]]\n"),
    (b"QUIT\n", b"OK\n"),
)

# Answered by some ERROR line, after which the connection goes on as if nothing had been sent.
REFUSED = (
    b"SET  value-of-an-empty-key", b"GET ", b"SET base64: value", b"SET key base64:@@@@",
    b"SET key base64:QQ", b"SET key base64:QQ=", b"SET key base64:QR==", b"SET key base64:Q Q=",
    b"GET base64:%%%%", b"SET ke\0y value", b"SET ke\x1by value", b"GET ke\ty", b"GET k\x7f",
    b"GET key and more", b"COUNT up", b"PING PONG", b"SCAN x", b"SCAN 0 ten", b"SCAN -1",
    b"SCAN 99999999999999999999999", b"P\0NG", b"\x01", b"\x1b[A", b"STATS now", b"VERSION 1",
)


class Requests(SystemTest):
    def converse(self, daemon):
        with daemon.connect() as client:
            for sent, expected in TRANSCRIPT:
                client.send_raw(sent)
                received = client.reader.read(len(expected))
                self.assertEqual(received, expected, sent)
            self.assertEqual(client.read_all(), b"")

    def test_transcript_over_tcp(self):
        self.converse(self.start_daemon())

    def test_transcript_over_a_unix_socket(self):
        self.converse(self.start_daemon(listen=("unix:" + self.path("socket"),)))

    def test_transcript_sent_as_one_write_gets_the_same_bytes(self):
        client = self.connect(self.start_daemon())
        client.send_raw(b"".join(sent for sent, _ in TRANSCRIPT))
        self.assertEqual(client.read_all(), b"".join(expected for _, expected in TRANSCRIPT))

    def test_transcript_sent_byte_by_byte_gets_the_same_bytes(self):
        client = self.connect(self.start_daemon())
        for byte in b"".join(sent for sent, _ in TRANSCRIPT):
            client.send_raw(bytes([byte]))
        self.assertEqual(client.read_all(), b"".join(expected for _, expected in TRANSCRIPT))

    def test_refused_requests_change_nothing_and_keep_the_connection(self):
        client = self.connect(self.start_daemon())
        client.set("key", "untouched")
        for request in REFUSED:
            with self.subTest(request=request):
                client.send_raw(request + b"\nPING\n")
                error = client.read_line()
                self.assertRegex(error, rb"\AERROR [ -~]+\Z")
                self.assertEqual(client.read_line(), b"OK PONG")
        self.assertEqual(client.contents(), {b"key": b"untouched"})

    def test_quoted_client_bytes_are_escaped_and_cut(self):
        client = self.connect(self.start_daemon())
        reply = client.request(b"\xc2\x9b" + b"A" * 1000)  # a terminal's control sequence in UTF-8
        self.assertRegex(reply, rb"\AERROR unknown command '\\xc2\\x9bA+[ -~]*' \(try HELP\)\Z")
        self.assertLessEqual(reply.count(b"A"), 64)

    def test_every_byte_round_trips_in_values_and_keys(self):
        client = self.connect(self.start_daemon())
        for byte in range(256):
            text = b"<%c>" % byte
            spelled = b"base64:" + base64.b64encode(text)
            self.assertEqual(client.request(b"SET %s %s" % (spelled, spelled)), b"OK")
            self.assertEqual(client.request(b"GET " + spelled), b"VALUE " + encode_value(text))
        keys = client.request("SCAN 0 1000")[1:]
        expected = [b"<%c>" % byte for byte in range(256)]
        self.assertEqual(sorted(decode(key) for key in keys), expected)
        self.assertEqual(sorted(keys), sorted(encode_key(key) for key in expected))

    def test_key_and_value_may_be_as_long_as_their_limits_and_no_longer(self):
        daemon = self.start_daemon("--max-key-size", "100", "--max-value-size", "1k")
        client = self.connect(daemon)
        client.set(b"k" * 100, b"v" * 1024)
        client.set(b"\0" * 100, b"\0" * 1024)
        self.assertEqual(client.get(b"\0" * 100), b"\0" * 1024)
        self.assertEqual(client.request(b"SET %s v" % (b"k" * 101)),
                         b"ERROR key too long: 101 bytes, the limit is 100")
        self.assertEqual(client.request(b"GET " + b"k" * 101),
                         b"ERROR key too long: 101 bytes, the limit is 100")
        self.assertEqual(client.request(b"SET k " + b"v" * 1025),
                         b"ERROR value too long: 1025 bytes, the limit is 1024")
        self.assertEqual(client.get("k"), None)

    def test_default_key_limit(self):
        self.assertEqual(self.start_daemon().request(b"GET " + b"k" * 1025),
                         b"ERROR key too long: 1025 bytes, the limit is 1024")

    def test_two_clients_that_delete_one_key_get_one_ok(self):
        daemon = self.start_daemon()
        one, two = self.connect(daemon), self.connect(daemon)
        for n in range(200):
            one.set("key", str(n))
            one.send_raw(b"DELETE key\n")
            two.send_raw(b"DELETE key\n")
            self.assertEqual(sorted([one.read_line(), two.read_line()]), [b"NOT_FOUND", b"OK"])

    def test_delete_of_an_absent_key_writes_nothing(self):
        client = self.connect(self.start_daemon("--fsync", "no"))
        client.set("key", "value")
        before = client.stats()["log_bytes"]
        for _ in range(10):
            self.assertFalse(client.delete("absent"))
        self.assertEqual(client.stats()["log_bytes"], before)

    def test_help_has_a_line_for_every_command(self):
        lines = self.start_daemon().request("HELP")
        self.assertEqual(sorted(line.split(b" ")[0].decode() for line in lines), sorted(COMMANDS))

    def test_version(self):
        self.assertRegex(self.start_daemon().request("VERSION"),
                         rb"\AOK keystonelight \d+\.\d+\.\d+\Z")


class Stats(SystemTest):
    def test_names_come_in_the_documented_order(self):
        lines = [line.decode() for line in self.start_daemon().request("STATS")]
        self.assertEqual([line.split(" ")[0] for line in lines][:len(STATS_NAMES)], STATS_NAMES)
        for line in lines[:len(STATS_NAMES)]:
            name, value = line.split(" ")
            pattern = r"\w[\w.]*" if name in ("version", "fsync_policy") else r"\d+"
            self.assertRegex(value, r"\A%s\Z" % pattern, name)

    def test_counters_count(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        before = client.stats()
        for line in ("SET a 1", "SET b 2", "GET a", "GET absent", "DELETE a", "FOO", "EXISTS b"):
            client.request(line)
        after = client.stats()
        grown = {name: int(after[name]) - int(before[name]) for name in
                 ("commands_set", "commands_get", "commands_delete", "get_hits", "get_misses",
                  "protocol_errors", "keys")}
        self.assertEqual(grown, {"commands_set": 2, "commands_get": 2, "commands_delete": 1,
                                 "get_hits": 1, "get_misses": 1, "protocol_errors": 1, "keys": 1})
        self.assertGreater(int(after["bytes_read"]), int(before["bytes_read"]))
        self.assertGreater(int(after["bytes_written"]), int(before["bytes_written"]))
        self.assertGreaterEqual(int(after["commands_other"]) - int(before["commands_other"]), 1)

    def test_stale_and_live_bytes_are_what_they_say(self):
        client = self.connect(self.start_daemon())
        client.set("key", "x" * 1000)
        self.assertGreaterEqual(int(client.stats()["live_bytes"]), 1000)
        client.delete("key")
        stats = client.stats()
        self.assertEqual(stats["live_bytes"], "0")
        self.assertGreaterEqual(int(stats["stale_bytes"]), 1000)
        self.assertEqual(client.request("COMPACT"), b"OK")
        stats = client.stats()
        self.assertEqual((stats["compactions"], stats["compaction_running"]), ("1", "0"))
        self.assertGreaterEqual(int(stats["compaction_reclaimed_bytes"]), 1000)


class Scan(SystemTest):
    def test_small_steps_return_every_key(self):
        client = self.connect(self.start_daemon())
        keys = {b"key-%d" % n for n in range(500)}
        client.pipeline(b"SET %s v" % key for key in keys)
        self.assertEqual(set(client.scan(count=7)), keys)

    def test_prefix_chooses(self):
        client = self.connect(self.start_daemon())
        client.pipeline("SET %s-%d v" % (name, n) for name in ("ape", "bee") for n in range(50))
        self.assertEqual(set(client.scan(count=5, prefix=b"bee-")),
                         {b"bee-%d" % n for n in range(50)})

    def test_keys_that_stay_are_all_returned_while_others_come_and_go(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        stable = {b"stable-%d" % n for n in range(1000)}
        client.pipeline(b"SET %s v" % key for key in stable)
        stop = threading.Event()
        writers = [threading.Thread(target=self.churn, args=(daemon, stop, n)) for n in range(2)]
        for writer in writers:
            writer.start()
        try:
            for count in (1, 10, 100):
                self.assertLessEqual(stable, set(client.scan(count=count)))
        finally:
            stop.set()
            for writer in writers:
                writer.join()

    @staticmethod
    def churn(daemon, stop, number):
        with daemon.connect() as client:
            while not stop.is_set():
                keys = ["volatile-%d-%d" % (number, n) for n in range(300)]
                client.pipeline("SET %s v" % key for key in keys)
                client.pipeline("DELETE " + key for key in keys)

    def test_cursor_stays_good_across_compaction_and_restart(self):
        daemon = self.start_daemon()
        keys = {b"key-%d" % n for n in range(300)}
        with daemon.connect() as client:
            client.pipeline(b"SET %s v" % key for key in keys)
            cursor, *found = client.request("SCAN 0 100")
            self.assertEqual(client.request("COMPACT"), b"OK")
        daemon.kill9()
        daemon.restart()
        with daemon.connect() as client:
            while cursor != b"0":
                cursor, *more = client.request(b"SCAN %s 100" % cursor)
                found += more
        self.assertEqual(set(found), keys)


if __name__ == "__main__":
    main()
