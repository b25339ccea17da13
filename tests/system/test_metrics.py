#!/usr/bin/env python3
"""What monitors ask by HTTP: /metrics, /healthz."""

import http.client
import os
import socket
import stat

import logformat
from harness import (EX_OSERR, EX_UNAVAILABLE, IO_THREADS, SystemTest, main, poll_until,
                     with_descriptors)
from peers import need_module

MOST_CLIENTS = 16  # of monitors at once, keystoned.conf(5)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class MetricsTest(SystemTest):
    def start(self, *options):
        self.daemon = self.start_daemon("--listen-metrics", "127.0.0.1:0", *options)
        self.address = self.daemon.addresses_for("metrics")[0]

    def ask(self, path, method="GET", connection=None):
        """Status and body."""
        connection = connection or http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """name{labels} -> number, as text."""
        status, body = self.ask("/metrics")
        self.assertEqual(status, 200)
        samples = [line for line in body.splitlines() if not line.startswith("#")]
        return dict(line.rsplit(" ", 1) for line in samples)


class Metrics(MetricsTest):
    def test_they_are_the_figures_of_stats(self):
        self.start("--fsync", "always")
        client = self.connect(self.daemon)
        for n in range(3):
            client.set("key-%d" % n, "value")
        client.request("DELETE key-0")
        client.get("key-1")
        client.request("GET key-0")
        poll_until(lambda: client.stats()["connections_current"] == "1",
                   what="the harness's own client is gone")
        found, stats = self.metrics(), client.stats()
        for metric, stat, expected in (
                ('keystoned_commands_total{command="set"}', "commands_set", "3"),
                ('keystoned_commands_total{command="delete"}', "commands_delete", "1"),
                ("keystoned_get_hits_total", "get_hits", "1"),
                ("keystoned_get_misses_total", "get_misses", "1"),
                ("keystoned_keys", "keys", "2"),
                ("keystoned_connections", "connections_current", "1")):
            self.assertEqual((found[metric], stats[stat]), (expected, expected), metric)
        self.assertEqual(found["keystoned_log_bytes"], stats["log_bytes"])
        self.assertEqual(found['keystoned_build_info{version="%s"}' % stats["version"]], "1")
        self.assertEqual(found['keystoned_fsync_policy_info{policy="always"}'], "1")

    def test_prometheus_library_reads_them(self):
        parser = need_module("prometheus_client.parser")
        self.start()
        _, body = self.ask("/metrics")
        families = {family.name: family
                    for family in parser.text_string_to_metric_families(body)}
        self.assertEqual(families["keystoned_commands"].type, "counter")
        self.assertEqual({sample.labels["command"]
                          for sample in families["keystoned_commands"].samples},
                         {"get", "set", "delete", "other"})
        self.assertEqual(families["keystoned_keys"].type, "gauge")
        for family in families.values():
            self.assertNotEqual(family.documentation, "", family.name)
            self.assertNotEqual(family.type, "unknown", family.name)

    def test_they_are_there_when_no_client_can_be_served(self):
        self.start("--max-connections", "1")
        # The harness's own client may be the one that is served.
        poll_until(lambda: not self.one_more_is_served(), what="one is refused")
        self.assertGreaterEqual(int(self.metrics()["keystoned_connections_rejected_total"]), 1)

    def one_more_is_served(self):
        try:
            return self.connect(self.daemon).request("PING") == b"OK PONG"
        except ConnectionError:
            return False

    def test_clients_that_say_nothing_keep_nobody_out(self):
        self.start()
        host, port = self.address.rsplit(":", 1)
        silent = [socket.create_connection((host, int(port))) for _ in range(4 * MOST_CLIENTS)]
        for connection in silent:
            self.addCleanup(connection.close)
        self.assertEqual(self.metrics()["keystoned_keys"], "0")
        self.assertEqual(self.daemon.request("PING"), b"OK PONG")
        descriptors = "/proc/%d/fd" % self.daemon.pid
        poll_until(lambda: len(os.listdir(descriptors)) < 3 * MOST_CLIENTS,
                   what="most of them are sent away")


class Health(MetricsTest):
    def test_a_daemon_that_serves_is_well(self):
        self.start()
        self.assertEqual(self.ask("/healthz"), (200, "ok\n"))

    def test_one_that_refuses_writes_is_not_until_it_is_cured(self):
        self.start()
        client = self.connect(self.daemon)
        client.set("key", "value")
        os.unlink(os.path.join(self.daemon.data, logformat.segment_name(1)))
        poll_until(lambda: self.ask("/healthz")[0] == 503, what="it is noticed")
        self.assertEqual(self.ask("/healthz")[1],
                         "read-only: what is on disk is not certain, the log says why\n")
        self.assertEqual(self.metrics()["keystoned_read_only"], "1")
        self.assertEqual(client.request("COMPACT"), b"OK")
        self.assertEqual(self.ask("/healthz"), (200, "ok\n"))

    def test_one_that_stops_is_not(self):
        self.start("--drain-timeout", "60s")
        with self.daemon.connect() as client:
            client.set("big", b"x" * (8 << 20))
        host, port = self.address.rsplit(":", 1)
        silent = socket.create_connection((host, int(port)))  # which holds up nothing
        self.addCleanup(silent.close)
        deaf = self.connect(self.daemon, receive_buffer=4096)
        deaf.send_raw(b"GET big\n" * 8)
        self.assertEqual(deaf.socket.recv(6), b"VALUE ")
        self.daemon.term()
        poll_until(lambda: self.ask("/healthz") == (503, "stopping\n"), what="it stops")
        deaf.close()
        self.assertEqual(self.daemon.wait_exit(), 0)


class Addresses(MetricsTest):
    def test_nothing_is_there_unless_it_is_asked_for(self):
        daemon = self.start_daemon()
        self.assertEqual(daemon.addresses_for("metrics"), [])
        self.assertNotIn("for metrics", daemon.log())

    def test_it_may_be_a_unix_socket_and_there_may_be_many(self):
        path = self.path("socket")
        self.start("--listen-metrics", "unix:" + path, "--unix-mode", "0600")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(self.ask("/healthz", connection=UnixConnection(path)), (200, "ok\n"))
        self.assertEqual(self.ask("/healthz"), (200, "ok\n"))
        self.assertIn("listening on unix:%s for metrics" % path, self.daemon.log())
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_one_that_is_taken_is_refused(self):
        self.start()
        second = self.new_daemon("--listen-metrics", self.address)
        self.assert_start_refused(second, EX_UNAVAILABLE, self.address)

    def test_monitors_have_descriptors_of_their_own(self):
        needed = 10 + 64 + 2 * IO_THREADS + MOST_CLIENTS
        options = ("--max-connections", "10", "--listen-metrics", "127.0.0.1:0")
        refused = self.new_daemon(*options, wrapper=with_descriptors(needed - 1))
        self.assert_start_refused(refused, EX_OSERR, "raise the descriptor limit")
        daemon = self.new_daemon(*options, wrapper=with_descriptors(needed)).start()
        self.assertEqual(daemon.request("PING"), b"OK PONG")

    def test_no_other_protocol_is_spoken_there(self):
        self.start()
        with self.daemon.connect(self.address) as client:
            client.send_raw(b"SET key value\n\n")
            self.assertTrue(client.read_all().startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertEqual(self.ask("/metrics", method="POST")[0], 405)
        self.assertEqual(self.daemon.request("COUNT"), b"OK 0")


if __name__ == "__main__":
    main()
