#!/usr/bin/env python3
"""RESP on the sockets of the line protocol: bytes in, bytes out, and what others see of it."""

import threading

from client import decode, encode_key
from harness import SystemTest, main, poll_until


def encode(*words):
    """A request."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


# What is sent, and every byte that comes back, in one conversation with an empty store.
TRANSCRIPT = (
    (encode("PING"), b"+PONG\r\n"),
    (b"PING\r\n", b"OK PONG\n"),
    (encode("GET", "key"), b"$-1\r\n"),
    (encode("SET", "key", "value"), b"+OK\r\n"),
    (b"GET key\n", b"VALUE value\n"),
    (encode("GET", "key"), b"$5\r\nvalue\r\n"),
    (encode("SET", "key", ""), b"+OK\r\n"),
    (encode("get", "key"), b"$0\r\n\r\n"),
    (b"GET key\n", b"VALUE \n"),
    (encode("MSET", "a", "1", "b", "2"), b"+OK\r\n"),
    (encode("MGET", "a", "b", "c"), b"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
    (encode("INCRBY", "a", "41"), b":42\r\n"),
    (b"DELETE a\n", b"OK\n"),
    (encode("DEL", "a", "b", "key"), b":2\r\n"),
    (encode("DBSIZE"), b":0\r\n"),
    (b"*0\r\n\n*-1\r\n", b""),
    (encode("MULTI"), b"+OK\r\n"),
    (encode("SET", "a", "1"), b"+QUEUED\r\n"),
    (encode("INCR", "a"), b"+QUEUED\r\n"),
    (encode("EXEC"), b"*2\r\n+OK\r\n:2\r\n"),
    (encode("KEYS", "*"), b"*1\r\n$1\r\na\r\n"),
    (encode("FLUSHALL"), b"+OK\r\n"),
    (encode("SCAN", "0"), b"*2\r\n$1\r\n0\r\n*0\r\n"),
    (encode("FOO", "a b"), b"-ERR unknown command 'FOO', with args beginning with: 'a b' \r\n"),
    (encode("GET"), b"-ERR wrong number of arguments for 'get' command\r\n"),
    (encode("QUIT"), b"+OK\r\n"),
)
SENT = b"".join(sent for sent, _ in TRANSCRIPT)
RECEIVED = b"".join(received for _, received in TRANSCRIPT)


class RespTest(SystemTest):
    def ask(self, client, *words):
        """Sends a request and reads a reply that is one line, or one bulk string."""
        client.send_raw(encode(*words))
        return self.read(client)

    def read(self, client):
        line = client.reader.readline()
        if line[:1] == b"$" and line != b"$-1\r\n":
            line += client.reader.read(int(line[1:]) + 2)
        return line

    def assert_replies(self, client, request, expected):
        client.send_raw(request)
        received = client.reader.read(len(expected))
        self.assertEqual(received, expected, request[:200])


class Requests(RespTest):
    def converse(self, daemon):
        with daemon.connect() as client:
            for sent, expected in TRANSCRIPT:
                self.assert_replies(client, sent, expected)
            self.assertEqual(client.read_all(), b"")

    def test_transcript_over_tcp(self):
        self.converse(self.start_daemon())

    def test_transcript_over_a_unix_socket(self):
        self.converse(self.start_daemon(listen=("unix:" + self.path("socket"),)))

    def test_transcript_sent_as_one_write_gets_the_same_bytes(self):
        client = self.connect(self.start_daemon())
        client.send_raw(SENT)
        self.assertEqual(client.read_all(), RECEIVED)

    def test_transcript_sent_byte_by_byte_gets_the_same_bytes(self):
        client = self.connect(self.start_daemon())
        for byte in SENT:
            client.send_raw(bytes([byte]))
        self.assertEqual(client.read_all(), RECEIVED)

    def test_a_long_pipeline_is_answered_in_order(self):
        client = self.connect(self.start_daemon())
        requests = b"".join(encode("SET", "k%d" % i, i) + encode("GET", "k%d" % (i - 1))
                            for i in range(1, 5000))
        expected = b"".join(b"+OK\r\n" + (bulk(b"%d" % (i - 1)) if i > 1 else b"$-1\r\n")
                            for i in range(1, 5000))
        sender = threading.Thread(target=client.send_raw, args=(requests,))
        sender.start()
        self.assertEqual(client.reader.read(len(expected)), expected)
        sender.join()

    def test_big_values_arrive_whole(self):
        daemon = self.start_daemon()
        value = bytes(range(256)) * 20000
        client = self.connect(daemon)
        self.assertEqual(self.ask(client, "SET", "big", value), b"+OK\r\n")
        self.assertEqual(self.ask(client, "GET", "big"), bulk(value))
        self.assertEqual(self.ask(client, "APPEND", "big", "!"), b":%d\r\n" % (len(value) + 1))
        with daemon.connect() as other:
            self.assertEqual(other.get("big"), value + b"!")

    def test_requests_may_have_many_words(self):
        client = self.connect(self.start_daemon())
        keys = [b"key:%d" % i for i in range(50000)]
        pairs = [word for key in keys for word in (key, b"of " + key)]
        self.assertEqual(self.ask(client, "MSET", *pairs), b"+OK\r\n")
        expected = b"*%d\r\n" % len(keys) + b"".join(bulk(b"of " + key) for key in keys)
        self.assert_replies(client, encode("MGET", *keys), expected)
        self.assertEqual(self.ask(client, "DEL", *keys), b":50000\r\n")
        self.assertEqual(self.ask(client, "DBSIZE"), b":0\r\n")

    def test_each_connection_has_an_id_and_a_name(self):
        daemon = self.start_daemon()
        clients = [self.connect(daemon) for _ in range(3)]
        ids = {self.ask(client, "CLIENT", "ID") for client in clients}
        self.assertEqual(len(ids), 3)
        self.assertEqual(self.ask(clients[0], "CLIENT", "SETNAME", "me"), b"+OK\r\n")
        self.assertEqual(self.ask(clients[0], "CLIENT", "GETNAME"), bulk(b"me"))
        self.assertEqual(self.ask(clients[1], "CLIENT", "GETNAME"), b"$-1\r\n")


class Refusals(RespTest):
    def test_a_protocol_error_is_answered_once_and_closes(self):
        daemon = self.start_daemon()
        for request, error in ((b"*x\r\n", b"invalid multibulk length"),
                               (b"*300000\r\n", b"invalid multibulk length"),
                               (b"*1\r\n:1\r\n", b"expected '$', got ':'"),
                               (b"*1\r\n$-1\r\n", b"invalid bulk length"),
                               (b"*1\r\n$4\r\nPINGS\r\n", b"expected CR LF behind a bulk string"),
                               (b"*" + b"1" * 70000, b"too big mbulk count string")):
            with daemon.connect() as client:
                client.send_raw(encode("PING") + request + encode("SET", "never", "1"))
                self.assertEqual(client.read_all(),
                                 b"+PONG\r\n-ERR Protocol error: " + error + b"\r\n")
        self.assertEqual(daemon.request("EXISTS never"), b"NOT_FOUND")

    def test_what_is_too_big_is_refused_before_it_comes(self):
        daemon = self.start_daemon("--max-value-size", "1m")
        with daemon.connect() as client:
            client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n")
            self.assertEqual(client.read_all(), b"-ERR Protocol error: invalid bulk length\r\n")
        with daemon.connect() as client:
            client.send_raw(b"*7\r\n$4\r\nMSET\r\n" +
                            (bulk(b"k") + bulk(b"v" * 1048576)) * 2 + bulk(b"k") + b"$1048576\r\n")
            self.assertRegex(client.read_all(), rb"-ERR Protocol error: request longer than \d+ ")
        self.assertEqual(daemon.request("EXISTS k"), b"NOT_FOUND")

    def test_an_unfinished_request_is_not_executed(self):
        daemon = self.start_daemon()
        with daemon.connect() as client:
            client.send_raw(encode("SET", "a", "1") + encode("SET", "b", "2")[:-1])
            client.end_sending()
            self.assertEqual(client.read_all(), b"+OK\r\n")
        self.assertEqual(daemon.request("COUNT"), b"OK 1")


class Effects(RespTest):
    def check_all_bytes(self, daemon, key, value):
        with daemon.connect() as client:
            self.assertEqual(self.ask(client, "GET", key), bulk(value))
            self.assertEqual(decode(client.request(b"GET " + encode_key(key))[6:]), value)
            self.assertEqual(client.scan(), [key])

    def test_all_bytes_are_the_same_for_both_protocols_and_stay_so(self):
        daemon = self.start_daemon()
        every = bytes(range(256))
        client = self.connect(daemon)
        self.assertEqual(self.ask(client, "SET", every, every[::-1]), b"+OK\r\n")
        self.check_all_bytes(daemon, every, every[::-1])
        self.assertEqual(client.request("COMPACT"), b"OK")
        self.check_all_bytes(daemon, every, every[::-1])
        daemon.kill9()
        self.check_all_bytes(daemon.restart(), every, every[::-1])

    def test_updates_of_many_clients_are_atomic(self):
        daemon = self.start_daemon()
        wins = []

        def work():
            with daemon.connect() as client:
                client.send_raw(b"".join(encode("INCR", "sum") + encode("APPEND", "text", "x") +
                                         encode("SETNX", "once:%d" % i, "1") for i in range(200)))
                replies = [self.read(client) for _ in range(600)]
                wins.append(sum(int(reply[1:]) for reply in replies[2::3]))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = self.connect(daemon)
        self.assertEqual(self.ask(client, "GET", "sum"), bulk(b"1600"))
        self.assertEqual(self.ask(client, "STRLEN", "text"), b":1600\r\n")
        self.assertEqual(sum(wins), 200)

    def test_what_expires_goes_and_a_restart_does_not_begin_anew(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        self.assertEqual(self.ask(client, "SET", "short", "1", "PX", "300"), b"+OK\r\n")
        self.assertEqual(self.ask(client, "SET", "long", "1", "EXAT", "4102444800"), b"+OK\r\n")
        poll_until(lambda: self.ask(client, "GET", "short") == b"$-1\r\n", what="it expires")
        self.assertEqual(self.ask(client, "SETNX", "short", "2"), b":1\r\n")
        daemon.kill9()
        client = self.connect(daemon.restart())
        self.assertEqual(self.ask(client, "EXPIRETIME", "long"), b":4102444800\r\n")
        self.assertEqual(self.ask(client, "TTL", "short"), b":-1\r\n")

    def test_flushall_is_for_good(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        self.ask(client, "MSET", *("kv" * 100))
        self.assertEqual(self.ask(client, "FLUSHALL"), b"+OK\r\n")
        self.assertEqual(self.ask(client, "SET", "after", "1"), b"+OK\r\n")
        daemon.kill9()
        self.assertEqual(self.connect(daemon.restart()).contents(), {b"after": b"1"})

    def test_bgrewriteaof_compacts_in_the_background(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        for i in range(10):
            self.ask(client, "SET", "key", "x" * 1000 * i)
        self.assertEqual(self.ask(client, "BGREWRITEAOF"),
                         b"+Background append only file rewriting started\r\n")
        poll_until(lambda: daemon.stats()["compactions"] == "1", what="the compaction")
        self.assertEqual(daemon.stats()["stale_bytes"], "0")

    def test_info_tells_what_stats_tells(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        self.ask(client, "SET", "key", "1")
        info = self.ask(client, "INFO").decode()
        self.assertIn("\r\nprocess_id:%d\r\n" % daemon.pid, info)
        self.assertIn("\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n", info)


if __name__ == "__main__":
    main()
