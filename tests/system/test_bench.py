#!/usr/bin/env python3
"""keystone-bench: the load of a server, and of stores in its own process."""

import json
import os
import signal
import socket
import subprocess
import threading
import unittest

from harness import (EX_IOERR, EX_UNAVAILABLE, EX_USAGE, KEYSTONE_BENCH, SLOW, SystemTest, main,
                     poll_until, run)

SHORT = ("--seconds", "0.2", "--clients", "4", "--keys", "200")


class BenchTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon(listen=("127.0.0.1:0", "unix:" + self.path("socket")))

    def argv(self, *options):
        host, port = self.daemon.addresses[0].split(":")
        return [KEYSTONE_BENCH, "-h", host, "-p", port, *options]

    def bench(self, *options):
        return run(*self.argv(*options))

    def figures(self, *options):
        result = self.bench("--json", *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)


class Load(BenchTest):
    def test_a_table_has_a_row_for_each_command(self):
        result = self.bench(*SHORT)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for row in ("SET", "GET", "all"):
            self.assertRegex(result.stdout, r"(?m)^%s( +[0-9.]+){6}$" % row)
        self.assertIn("0 errors", result.stdout)

    def test_json_has_the_figures(self):
        found = self.figures("--preload", "--verify", *SHORT)
        every = found["all"]
        self.assertEqual(every["requests"], found["set"]["requests"] + found["get"]["requests"])
        self.assertGreater(every["per_second"], 0)
        self.assertLessEqual(every["p50_us"], every["p99_us"])
        self.assertLessEqual(every["p99_us"], every["p999_us"])
        self.assertLessEqual(every["p999_us"], every["max_us"])
        self.assertEqual(found["found"], found["get"]["requests"])
        self.assertEqual((found["not_found"], found["wrong"], found["errors"]), (0, 0, 0))

    def test_it_counts_what_the_server_counts(self):
        found = self.figures("--pipeline", "16", "--ratio", "1:3", *SHORT)
        stats = self.daemon.stats()
        self.assertEqual(int(stats["commands_set"]), found["set"]["requests"])
        self.assertEqual(int(stats["commands_get"]), found["get"]["requests"])
        self.assertEqual(found["all"]["requests"] % 16, 0)

    def test_the_ratio_is_kept(self):
        found = self.figures("--ratio", "0:1", *SHORT)
        self.assertEqual(found["set"]["requests"], 0)
        self.assertEqual(found["not_found"], found["get"]["requests"])
        found = self.figures("--ratio", "3:1", "--pipeline", "100", *SHORT)
        self.assertAlmostEqual(found["set"]["requests"] / found["all"]["requests"], 0.75, delta=0.1)

    def test_preload_stores_every_key(self):
        self.figures("--preload", "--ratio", "0:1", "--value-size", "33", *SHORT)
        with self.daemon.connect() as client:
            contents = client.contents()
        self.assertEqual(sorted(contents), [b"key:%012d" % n for n in range(200)])
        self.assertEqual({len(value) for value in contents.values()}, {33})

    def test_values_larger_than_any_buffer(self):
        found = self.figures("--preload", "--verify", "--value-size", "1000000", "--keys", "3",
                             "--clients", "2", "--pipeline", "3", "--seconds", "0.2")
        self.assertGreater(found["found"], 0)

    def test_a_unix_socket(self):
        result = run(KEYSTONE_BENCH, "-s", self.path("socket"), "--json", *SHORT)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_reconnecting_makes_a_connection_for_each_batch(self):
        found = self.figures("--reconnect", "--pipeline", "2", *SHORT)
        connections = int(self.daemon.stats()["connections_total"])
        self.assertGreaterEqual(connections, found["all"]["requests"] / 2)

    def test_an_interrupt_prints_what_there_is(self):
        process = subprocess.Popen(self.argv("--json", "--seconds", "600", "--clients", "2"),
                                   stdout=subprocess.PIPE, universal_newlines=True)
        self.addCleanup(process.kill)
        poll_until(lambda: int(self.daemon.stats()["commands_get"]) > 200)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30 * SLOW)
        self.assertEqual(process.returncode, 0)
        self.assertGreater(json.loads(output)["get"]["requests"], 100)


class Problems(BenchTest):
    def test_verify_finds_a_value_that_is_not_what_was_stored(self):
        options = ("--ratio", "0:1", "--verify", *SHORT)
        self.figures("--preload", *options)
        with self.daemon.connect() as client:
            for number in range(200):
                client.set("key:%012d" % number, "something else")
        result = self.bench("--json", *options)
        self.assertEqual(result.returncode, 1)
        self.assertIn("key:000000000", result.stderr)
        self.assertGreater(json.loads(result.stdout)["wrong"], 0)

    def test_values_are_not_compared_unasked(self):
        with self.daemon.connect() as client:
            client.set("key:000000000000", "something else")
        self.figures("--ratio", "0:1", "--keys", "1", "--seconds", "0.1")

    def test_an_error_from_the_server_is_told(self):
        self.daemon.stop()
        self.daemon.options = ["--max-value-size", "10"]
        self.daemon.start()
        result = self.bench("--ratio", "1:0", *SHORT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("ERROR value too long", result.stderr)
        self.assertIn("errors", result.stdout)
        result = self.bench("--preload", *SHORT)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("store the keys", result.stderr)

    def test_another_protocol_is_told_from_this_one(self):
        result = self.bench("--protocol", "memcached", *SHORT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("not this protocol", result.stderr)

    def test_a_server_that_dies_is_told(self):
        process = subprocess.Popen(self.argv("--seconds", "600"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, universal_newlines=True)
        self.addCleanup(process.kill)
        poll_until(lambda: int(self.daemon.stats()["commands_get"]) > 100)
        self.daemon.kill9()
        _, errors = process.communicate(timeout=30 * SLOW)
        self.assertEqual(process.returncode, 1)
        self.assertIn("connection lost", errors)

    def test_no_server_is_unavailable(self):
        self.daemon.stop()
        result = self.bench(*SHORT)
        self.assertEqual((result.returncode, result.stdout), (EX_UNAVAILABLE, ""))
        self.assertIn(self.daemon.addresses[0], result.stderr)


class OtherProtocols(SystemTest):
    """The request and reply bytes of other servers, played by this test."""

    def serve(self, listener, replies):
        """Answers the requests of one connection: a reply for each beginning of a request."""
        client, _ = listener.accept()
        with client, client.makefile("rb") as reader:
            for line in reader:
                for beginning, reply in replies.items():
                    if line.startswith(beginning):
                        client.sendall(reply)

    def bench(self, protocol, replies):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self.serve, args=(listener, replies))
            thread.start()
            result = run(KEYSTONE_BENCH, "-p", str(listener.getsockname()[1]), "--protocol",
                         protocol, "--json", "--clients", "1", "--seconds", "1", "--ratio", "1:1")
            thread.join(30 * SLOW)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        found = json.loads(result.stdout)
        self.assertGreater(found["set"]["requests"], 0)
        self.assertGreater(found["found"], 0)

    def test_resp(self):
        self.bench("resp", {b"SET": b"", b"*3": b"+OK\r\n", b"*2": b"$2\r\nab\r\n"})

    def test_memcached(self):
        self.bench("memcached", {b"set ": b"STORED\r\n",
                                 b"get ": b"VALUE key 0 2\r\nab\r\nEND\r\n"})


class CommandLine(SystemTest):
    def refused(self, *options):
        result = run(KEYSTONE_BENCH, *options)
        self.assertEqual((result.returncode, result.stdout), (EX_USAGE, ""), result.stderr)
        self.assertTrue(result.stderr.startswith("keystone-bench: "), result.stderr)
        return result.stderr

    def test_help_lists_the_options_on_stdout(self):
        result = run(KEYSTONE_BENCH, "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("--host", "--clients", "--pipeline", "--ratio", "--protocol", "--verify",
                       "--json", "--embedded", "--engine"):
            self.assertIn(option, result.stdout)
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_version_names_the_program(self):
        self.assertRegex(run(KEYSTONE_BENCH, "--version").stdout, r"^keystone-bench .*\d+\.\d+\.\d+")

    def test_what_can_not_be_used_is_refused_by_name(self):
        for options in (("--ratio", "1"), ("--ratio", "0:0"), ("--ratio", "1:x"),
                        ("--protocol", "http"), ("--clients", "0"), ("--clients", "many"),
                        ("--pipeline", "0"), ("--seconds", "0"), ("--seconds", "-1"),
                        ("--seconds", "nan"), ("--keys", "0"), ("--value-size", "-1"),
                        ("--embedded", "--engine", "other"), ("--port", "70000")):
            message = self.refused(*options)
            self.assertIn(options[-1], message)
            self.assertIn(options[-2].strip("-"), message)

    def test_options_are_not_guessed(self):
        self.refused("--client", "2")
        self.refused("stray")

    def test_options_of_the_other_kind_are_refused(self):
        self.assertIn("--clients", self.refused("--embedded", "--clients", "2"))
        self.assertIn("--port", self.refused("--embedded", "-p", "7878"))
        self.assertIn("--engine", self.refused("--engine", "keystone"))


class Embedded(SystemTest):
    WORKLOADS = ["fillseq", "fillrandom", "overwrite", "readrandom"]

    def embedded(self, *options):
        return run(KEYSTONE_BENCH, "--embedded", "--directory", self.directory, "--keys", "2000",
                   "--verify", *options)

    def test_json_has_each_workload(self):
        result = self.embedded("--engine", "keystone", "--json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        workloads = json.loads(result.stdout)["workloads"]
        self.assertEqual(list(workloads), self.WORKLOADS)
        for engines in workloads.values():
            self.assertEqual(list(engines), ["keystone"])
            self.assertGreater(engines["keystone"]["per_second"], 0)

    def test_leveldb_stands_beside_it(self):
        result = self.embedded("--engine", "both")
        if result.returncode == EX_UNAVAILABLE:
            raise unittest.SkipTest(result.stderr.strip())
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for workload in self.WORKLOADS:
            self.assertRegex(result.stdout, r"(?m)^%s( +[0-9.]+){5}$" % workload)

    def test_nothing_is_left_behind(self):
        self.embedded("--engine", "keystone")
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_directory_that_is_not_there_is_told(self):
        result = run(KEYSTONE_BENCH, "--embedded", "--directory", self.path("absent"))
        self.assertEqual(result.returncode, EX_IOERR)
        self.assertIn(self.path("absent"), result.stderr)

    def test_an_interrupt_leaves_nothing_behind(self):
        process = subprocess.Popen([KEYSTONE_BENCH, "--embedded", "--engine", "keystone", "--keys",
                                    "100000000", "--directory", self.directory],
                                   stderr=subprocess.PIPE, universal_newlines=True)
        self.addCleanup(process.kill)
        poll_until(lambda: os.listdir(self.directory))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30 * SLOW)
        self.assertEqual(process.returncode, 1)
        self.assertIn("interrupted", errors)
        self.assertEqual(os.listdir(self.directory), [])


if __name__ == "__main__":
    main()
