#!/usr/bin/env python3
"""What keeps a connection open and what ends it; pipelining; timeouts."""

import socket
import time

from harness import SLOW, SystemTest, main, poll_until, stays_true

PIPELINED = 100000


class Pipelining(SystemTest):
    def check_requests_sent_before_any_reply_is_read(self, daemon):
        client = self.connect(daemon)
        requests = [b"SET key-%d %d" % (n // 4, n) if n % 4 == 0 else b"GET key-%d" % (n // 4)
                    for n in range(PIPELINED)]
        client.send_raw(b"\n".join(requests) + b"\n")
        for n in range(PIPELINED):
            expected = b"OK" if n % 4 == 0 else b"VALUE %d" % (n // 4 * 4)
            self.assertEqual(client.read_line(), expected)
        self.assertEqual(client.request("COUNT"), b"OK %d" % (PIPELINED // 4))

    def test_100000_requests_sent_before_any_reply_is_read(self):
        self.check_requests_sent_before_any_reply_is_read(self.start_daemon())

    def test_100000_requests_sent_before_any_reply_is_read_from_a_unix_socket(self):
        # Its buffers are small: the daemon has to go on reading while its replies lie about.
        daemon = self.start_daemon(listen=["unix:" + self.path("socket")])
        self.check_requests_sent_before_any_reply_is_read(daemon)

    def test_small_buffers_do_not_lock_up_a_pipeline_of_big_replies(self):
        daemon = self.start_daemon()
        with daemon.connect() as client:
            client.set("big", b"x" * 100000)
        client = self.connect(daemon, receive_buffer=4096)
        client.send_raw(b"GET big\n" * 100)
        for _ in range(100):
            self.assertEqual(len(client.read_line()), len("VALUE ") + 100000)

    def test_a_get_sees_the_writes_before_it_in_the_pipeline(self):
        client = self.connect(self.start_daemon())
        lines = ["SET key 1", "GET key", "SET key 2", "SET key 3", "GET key", "DELETE key",
                 "GET key", "DELETE key", "SET key 4", "EXISTS key", "COUNT", "GET key"]
        self.assertEqual(client.pipeline(lines),
                         [b"OK", b"VALUE 1", b"OK", b"OK", b"VALUE 3", b"OK", b"NOT_FOUND",
                          b"NOT_FOUND", b"OK", b"OK", b"OK 1", b"VALUE 4"])

    def test_errors_in_a_pipeline_do_not_disturb_their_neighbours(self):
        client = self.connect(self.start_daemon())
        replies = client.pipeline(["SET a 1", "NONSENSE", "SET b", "SET b 2", "GET a", "GET b"])
        self.assertEqual(replies[0::3], [b"OK", b"OK"])
        self.assertTrue(all(reply.startswith(b"ERROR ") for reply in replies[1:3]))
        self.assertEqual(replies[4:], [b"VALUE 1", b"VALUE 2"])


    def test_a_compaction_does_not_hold_back_the_replies_before_it(self):
        daemon = self.start_daemon()
        client, other = self.connect(daemon), self.connect(daemon)
        for number in range(200):
            client.set("key-%d" % number, b"x" * 200000)

        def answers_meanwhile():
            client.send_raw(b"PING\nCOMPACT\n")
            self.assertEqual(client.read_line(), b"OK PONG")
            meanwhile = other.stats()["compaction_running"] == "1"
            self.assertEqual(client.read_line(), b"OK")
            return meanwhile
        poll_until(answers_meanwhile, what="a compaction is seen behind the reply")

    def test_a_compaction_in_the_pipeline_keeps_its_place(self):
        client = self.connect(self.start_daemon())
        replies = client.pipeline(["SET a 1", "COMPACT", "SET a 2", "GET a", "COMPACT", "PING"])
        self.assertEqual(replies, [b"OK", b"OK", b"OK", b"VALUE 2", b"OK", b"OK PONG"])


class Ends(SystemTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon("--max-value-size", "1k")
        self.client = self.connect(self.daemon)

    def test_half_close_gets_all_replies_first(self):
        self.client.send_raw(b"SET a 1\nGET a\nPING\n" * 1000)
        self.client.end_sending()
        self.assertEqual(self.client.read_all(), b"OK\nVALUE 1\nOK PONG\n" * 1000)

    def test_unfinished_last_line_is_not_executed(self):
        self.client.send_raw(b"SET a 1\nDELETE a")
        self.client.end_sending()
        self.assertEqual(self.client.read_all(), b"OK\n")
        self.assertEqual(self.daemon.request("GET a"), b"VALUE 1")

    def test_unfinished_set_is_not_executed(self):
        self.client.send_raw(b"SET a 10000")
        self.client.end_sending()
        self.assertEqual(self.client.read_all(), b"")
        self.assertEqual(self.daemon.request("GET a"), b"NOT_FOUND")

    def test_quit_ends_it_and_what_follows_is_not_executed(self):
        self.client.send_raw(b"QUIT\nSET a 1\n")
        self.assertEqual(self.client.read_all(), b"OK\n")
        self.assertEqual(self.daemon.request("GET a"), b"NOT_FOUND")

    def test_line_too_long_ends_it_before_its_end_is_seen(self):
        limit = 1024 + 1024 * 4 // 3 + 64
        self.client.send_raw(b"SET key " + b"x" * (limit + 200))
        self.assertEqual(self.client.read_all(), b"ERROR line too long\n")

    def test_line_too_long_is_answered_after_the_requests_before_it(self):
        self.client.send_raw(b"PING\nSET key " + b"x" * 20000 + b"\nPING\n")
        self.assertEqual(self.client.read_all(), b"OK PONG\nERROR line too long\n")

    def test_value_over_its_limit_inside_the_line_limit_keeps_it(self):
        self.assertRegex(self.client.request(b"SET key " + b"x" * 1100), b"^ERROR value too long")
        self.assertEqual(self.client.request("PING"), b"OK PONG")

    def test_reset_in_the_middle_of_replies_harms_nobody_else(self):
        self.client.set("key", "value")
        for _ in range(20):
            with self.daemon.connect() as client:
                client.send_raw(b"GET key\n" * 5000)
                linger = b"\1\0\0\0\0\0\0\0"  # on, 0 seconds: close sends a reset
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.assertEqual(self.client.request("GET key"), b"VALUE value")
        poll_until(lambda: self.client.stats()["connections_current"] == "1",
                   what="the others are gone")


class Telnet(SystemTest):
    def test_option_negotiation_is_skipped(self):
        client = self.connect(self.start_daemon())
        client.send_raw(b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x20PING\r\n")
        self.assertEqual(client.read_line(), b"OK PONG")

    def test_option_negotiation_in_pieces_is_skipped(self):
        client = self.connect(self.start_daemon())
        for byte in b"\xff\xfd\x03\xff\xfb\x18PING\r\n":
            client.send_raw(bytes([byte]))
        self.assertEqual(client.read_line(), b"OK PONG")


class Http(SystemTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon()
        with self.daemon.connect() as client:
            client.set("/key", "precious")

    def assert_refused(self, request):
        with self.daemon.connect() as client:
            client.send_raw(request)
            self.assertEqual(client.read_all(), b"ERROR this is not an HTTP server\n", request)
        self.assertEqual(self.daemon.request("GET /key"), b"VALUE precious")

    def test_requests_are_refused_and_the_rest_is_discarded(self):
        for method in (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE"):
            self.assert_refused(method + b" /key HTTP/1.1\r\nHost: x\r\n\r\nDELETE /key\n")

    def test_cross_protocol_post_from_a_browser_is_refused(self):
        self.assert_refused(b"POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nDELETE /key\r\n")

    def test_host_line_is_refused(self):
        self.assert_refused(b"Host: localhost\r\nDELETE /key\r\n")

    def test_set_may_store_such_text(self):
        with self.daemon.connect() as client:
            client.set("banner", "HTTP/1.1")
            self.assertEqual(client.get("banner"), b"HTTP/1.1")

    def test_peer_is_logged_once_and_its_bytes_escaped(self):
        for _ in range(5):
            self.assert_refused(b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
        self.daemon.wait_log("HTTP")
        log = self.daemon.log()
        self.assertIn("\\x1b[31m", log)
        self.assertNotIn("\x1b", log)
        self.assertEqual(log.count("\\x1b[31m"), 1)


class TooMany(SystemTest):
    def test_one_more_than_max_connections_is_answered_and_closed(self):
        daemon = self.start_daemon("--max-connections", "2")
        first = self.connect(daemon)
        poll_until(lambda: first.stats()["connections_current"] == "1", what="probes are gone")
        second = self.connect(daemon)
        self.assertEqual([first.request("PING"), second.request("PING")], [b"OK PONG"] * 2)
        third = self.connect(daemon)
        self.assertEqual(third.read_all(), b"ERROR too many connections\n")
        self.assertGreaterEqual(int(first.stats()["connections_rejected"]), 1)
        second.close()
        poll_until(lambda: self.answers(daemon), what="room for a client")

    @staticmethod
    def answers(daemon):
        try:
            return daemon.request("PING") == b"OK PONG"
        except ConnectionError:
            return False


class Timeouts(SystemTest):
    def test_silent_connection_is_closed_without_a_word(self):
        client = self.connect(self.start_daemon("--idle-timeout", "%dms" % (1000 * SLOW)))
        self.assertEqual(client.request("PING"), b"OK PONG")
        self.assertEqual(client.read_all(), b"")

    def test_a_second_of_silence_is_not_the_end(self):
        """A thread waits in another way from then on."""
        client = self.connect(self.start_daemon("--idle-timeout", "%dms" % (1500 * SLOW)))
        self.assertEqual(client.request("PING"), b"OK PONG")
        began = time.monotonic()
        self.assertEqual(client.read_all(), b"")
        self.assertGreater(time.monotonic() - began, 1.3 * SLOW)

    def test_connection_that_has_never_spoken_is_closed_too(self):
        client = self.connect(self.start_daemon("--idle-timeout", "300ms"))
        self.assertEqual(client.read_all(), b"")

    def test_unfinished_line_is_closed_after_request_timeout(self):
        client = self.connect(self.start_daemon("--request-timeout", "300ms"))
        client.send_raw(b"SET key val")
        self.assertEqual(client.read_all(), b"")

    def test_a_byte_now_and_then_does_not_prolong_a_request(self):
        client = self.connect(self.start_daemon("--request-timeout", "500ms"))
        client.send_raw(b"SET key ")
        self.assertFalse(stays_true(lambda: self.can_send(client), 10 * SLOW))

    @staticmethod
    def can_send(client):
        try:
            client.send_raw(b"x")
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def test_request_timeout_does_not_end_a_silent_connection(self):
        client = self.connect(self.start_daemon("--request-timeout", "100ms"))
        self.assertEqual(client.request("PING"), b"OK PONG")
        client.socket.settimeout(0.5)
        with self.assertRaises(socket.timeout):
            client.socket.recv(1)
        client.socket.settimeout(30 * SLOW)
        client.send_raw(b"PING\n")
        self.assertEqual(client.socket.recv(100), b"OK PONG\n")

    def test_peer_that_does_not_read_is_closed_after_write_timeout(self):
        daemon = self.start_daemon("--write-timeout", "300ms")
        with daemon.connect() as client:
            client.set("big", b"x" * (1 << 20))
        deaf = self.connect(daemon, receive_buffer=4096)
        deaf.send_raw(b"GET big\n" * 50)
        poll_until(lambda: daemon.stats()["connections_current"] == "1", what="it is gone")


if __name__ == "__main__":
    main()
