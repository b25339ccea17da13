#!/usr/bin/env python3
"""Programs and libraries that were made for Redis work with keystoned, unmodified.

KEYSTONE_TEST_PEER=redis-server has them talk to that instead, to see that the tests are right."""

import csv
import io
import os
import random
import threading
import unittest

from harness import SLOW, SystemTest, main, poll_until, run
from peers import need_module, need_program, start_redis
from respclient import encode

BUILD = os.environ.get("KEYSTONE_BUILD", "")
HIREDIS_CLIENT = os.path.join(BUILD, "tests", "system", "hiredis_client")


class RedisTest(SystemTest):
    """Has a server at self.host and self.port."""

    def setUp(self):
        super().setUp()
        if os.environ.get("KEYSTONE_TEST_PEER") == "redis-server":
            address = start_redis(self).address
        else:
            address = self.start_daemon().addresses[0]
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)

    def succeed(self, *argv, **options):
        """A program's output; it has to end well and say nothing on stderr."""
        done = run(*argv, **options)
        self.assertEqual((done.returncode, len(done.stderr)), (0, 0), (done.stdout, done.stderr))
        return done.stdout


class Cli(RedisTest):
    def setUp(self):
        super().setUp()
        self.program = need_program("redis-cli")

    def cli(self, *arguments, **options):
        return self.succeed(self.program, "-h", self.host, "-p", str(self.port), *arguments,
                            **options)

    def test_commands_of_the_command_line(self):
        self.assertEqual(self.cli("PING"), "PONG\n")
        self.assertEqual(self.cli("SET", "greeting", "hello world"), "OK\n")
        self.assertEqual(self.cli("GET", "greeting"), "hello world\n")
        self.assertEqual(self.cli("--no-raw", "GET", "absent"), "(nil)\n")
        self.assertEqual(self.cli("--no-raw", "INCR", "n"), "(integer) 1\n")
        self.assertEqual(self.cli("MSET", "a", "1", "b", "2"), "OK\n")
        self.assertEqual(self.cli("MGET", "a", "b"), "1\n2\n")
        self.assertEqual(self.cli("DEL", "a", "b", "c"), "2\n")
        self.assertEqual(self.cli("-x", "SET", "blob", stdin=b"\x00\xff\r\n"), b"OK\n")
        self.assertEqual(self.cli("GET", "blob", stdin=b""), b"\x00\xff\r\n\n")
        self.assertEqual(self.cli("-n", "0", "DBSIZE"), "3\n")

    def test_an_error_is_told(self):
        done = run(self.program, "-h", self.host, "-p", str(self.port), "-e", "INCR", "n", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ERR wrong number of arguments for 'incr' command",
                      done.stdout + done.stderr)

    def test_commands_from_a_pipe_with_a_transaction(self):
        script = "MULTI\nSET a 1\nINCR a\nEXEC\nGET a\n"
        self.assertEqual(self.cli(stdin=script), "OK\nQUEUED\nQUEUED\nOK\n2\n2\n")

    def test_scan_with_a_pattern_finds_all_of_them_once(self):
        lines = "".join("SET user:%d v\nSET group:%d v\n" % (n, n) for n in range(500))
        self.assertEqual(self.cli(stdin=lines), "OK\n" * 1000)
        found = self.cli("--scan", "--pattern", "user:*").split()
        self.assertEqual(sorted(found), sorted("user:%d" % n for n in range(500)))
        self.assertEqual(len(self.cli("--scan").split()), 1000)

    def test_mass_insertion(self):
        count = 20000
        data = b"".join(encode("SET", "key-%d" % n, "value %d" % n) for n in range(count))
        output = self.cli("--pipe", stdin=data)
        self.assertIn(b"errors: 0, replies: %d" % count, output)
        self.assertEqual(self.cli("DBSIZE"), "%d\n" % count)
        self.assertEqual(self.cli("GET", "key-777"), "value 777\n")

    def test_mass_insertion_counts_errors(self):
        data = encode("SET", "key", "word") + encode("INCR", "key") + encode("INCR", "n")
        done = run(self.program, "-h", self.host, "-p", str(self.port), "--pipe", stdin=data)
        self.assertIn(b"errors: 1, replies: 3", done.stdout)


class Benchmark(RedisTest):
    TESTS = "set,get,incr,mset"
    REQUESTS = 4000

    def measure(self, *options):
        """The rate of each test; nobody has been told an error."""
        program = need_program("redis-benchmark")
        done = run(program, "-h", self.host, "-p", str(self.port), "-t", self.TESTS, "-n",
                   str(self.REQUESTS), "-r", "1000", "--csv", *options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("rror", done.stdout + done.stderr)
        self.assertNotIn("WARNING", done.stdout + done.stderr)
        rows = list(csv.reader(io.StringIO(done.stdout)))
        return {row[0].split(" ")[0]: float(row[1]) for row in rows if row[0] != "test"}

    def check(self, *options):
        rates = self.measure(*options)
        self.assertEqual(sorted(rates), ["GET", "INCR", "MSET", "SET"])
        self.assertTrue(all(rate > 0 for rate in rates.values()), rates)

    def test_one_request_at_a_time(self):
        self.check("-P", "1")

    def test_16_requests_at_a_time(self):
        self.check("-P", "16")

    def test_what_it_counted_is_there(self):
        need_program("redis-benchmark")
        self.measure("-P", "16")
        redis = need_module("redis").Redis(self.host, self.port)
        self.addCleanup(redis.close)
        counters = list(redis.scan_iter("counter:*", count=1000))
        self.assertEqual(sum(int(n) for n in redis.mget(counters)), self.REQUESTS)


class Python(RedisTest):
    """python3-redis."""

    def setUp(self):
        super().setUp()
        self.redis = need_module("redis")
        self.client = self.connect_redis()

    def connect_redis(self, **options):
        client = self.redis.Redis(self.host, self.port, socket_timeout=30 * SLOW, **options)
        self.addCleanup(client.close)
        return client

    def test_strings(self):
        client = self.client
        self.assertTrue(client.ping())
        self.assertTrue(client.set("key", b"\x00\xff\r\n"))
        self.assertEqual(client.get("key"), b"\x00\xff\r\n")
        self.assertIsNone(client.get("absent"))
        self.assertEqual(client["key"], b"\x00\xff\r\n")
        self.assertIn("key", client)
        self.assertIsNone(client.set("key", "x", nx=True))
        self.assertIsNone(client.set("absent", "x", xx=True))
        self.assertEqual(client.set("key", "new", get=True), b"\x00\xff\r\n")
        self.assertEqual(client.append("key", "er"), 5)
        self.assertEqual(client.strlen("key"), 5)
        self.assertEqual(client.getset("key", "other"), b"newer")
        self.assertEqual(client.getdel("key"), b"other")
        self.assertTrue(client.setnx("key", "1"))
        self.assertFalse(client.setnx("key", "2"))
        self.assertEqual(client.exists("key", "absent", "key"), 2)
        self.assertEqual(client.type("key"), b"string")
        self.assertTrue(client.rename("key", "name"))
        self.assertEqual(client.delete("key", "name"), 1)
        self.assertEqual(client.dbsize(), 0)
        self.assertEqual(client.echo("hello"), b"hello")

    def test_text(self):
        client = self.connect_redis(decode_responses=True)
        client.set("grüße", "Grüße ☃")
        self.assertEqual(client.get("grüße"), "Grüße ☃")
        self.assertEqual(client.keys("gr*"), ["grüße"])

    def test_many_keys(self):
        client = self.client
        self.assertTrue(client.mset({"a": 1, "b": 2}))
        self.assertEqual(client.mget("a", "b", "absent"), [b"1", b"2", None])
        self.assertFalse(client.msetnx({"b": 3, "c": 3}))
        self.assertTrue(client.msetnx({"c": 3, "d": 4}))
        self.assertIn(client.randomkey(), (b"a", b"b", b"c", b"d"))
        self.assertTrue(client.flushall())
        self.assertIsNone(client.randomkey())

    def test_counters(self):
        client = self.client
        self.assertEqual([client.incr("n"), client.incr("n", 10), client.decr("n", 4)], [1, 11, 7])
        client.set("n", "word")
        with self.assertRaisesRegex(self.redis.ResponseError, "not an integer or out of range"):
            client.incr("n")

    def test_errors_have_their_classes(self):
        with self.assertRaisesRegex(self.redis.ResponseError, "unknown command"):
            self.client.execute_command("NOSUCH", "thing")
        with self.assertRaisesRegex(self.redis.ResponseError, "no such key"):
            self.client.rename("absent", "key")
        with self.assertRaises(self.redis.ResponseError):
            self.client.select(1)
        self.assertTrue(self.client.ping())

    def test_expiry(self):
        client = self.client
        client.set("key", "value", ex=1000)
        self.assertIn(client.ttl("key"), range(900, 1001))
        self.assertTrue(client.persist("key"))
        self.assertEqual([client.ttl("key"), client.ttl("absent")], [-1, -2])
        self.assertTrue(client.pexpire("key", 1))
        poll_until(lambda: client.get("key") is None, what="it expires")
        client.setex("key", 1000, "value")
        self.assertIn(client.pttl("key"), range(900000, 1000001))
        client.set("key", "other", keepttl=True)
        self.assertGreater(client.ttl("key"), 0)
        self.assertTrue(client.expireat("key", 1))
        self.assertFalse(client.exists("key"))
        client.psetex("key", 1, "value")
        poll_until(lambda: not client.exists("key"), what="it expires")
        self.assertFalse(client.expire("key", 10))

    def test_a_pipeline_without_a_transaction(self):
        pipeline = self.client.pipeline(transaction=False)
        for number in range(1000):
            pipeline.set("key-%d" % number, number)
        for number in range(1000):
            pipeline.get("key-%d" % number)
        replies = pipeline.execute()
        self.assertEqual(replies, [True] * 1000 + [b"%d" % n for n in range(1000)])

    def test_a_transaction(self):
        pipeline = self.client.pipeline(transaction=True)
        pipeline.set("a", 1).incr("a").get("a").delete("absent").mget("a", "b")
        self.assertEqual(pipeline.execute(), [True, 2, b"2", 0, [b"2", None]])
        pipeline.set("a", "word").incr("a").set("b", 1)
        with self.assertRaises(self.redis.ResponseError):
            pipeline.execute()
        self.assertEqual(self.client.mget("a", "b"), [b"word", b"1"])  # as Redis does

    def test_a_transaction_that_watches(self):
        other = self.connect_redis()
        self.client.set("account", 10)
        pipeline = self.client.pipeline()
        pipeline.watch("account")
        balance = int(pipeline.get("account"))
        other.set("account", 20)
        pipeline.multi()
        pipeline.set("account", balance + 1)
        with self.assertRaises(self.redis.WatchError):
            pipeline.execute()
        self.assertEqual(self.client.get("account"), b"20")

    def test_transfers_between_accounts_lose_nothing(self):
        names = ["account-%d" % n for n in range(5)]
        self.client.mset({name: 100 for name in names})
        failures = []

        def work(seed):
            dice = random.Random(seed)
            client = self.connect_redis()
            try:
                for _ in range(25):
                    self.transfer(client, *dice.sample(names, 2), dice.randint(1, 10))
            except Exception as error:  # whatever it is, the test is to see it
                failures.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(sum(int(n) for n in self.client.mget(names)), 500)
        self.assertEqual(int(self.client.get("transfers")), 100)

    @staticmethod
    def transfer(client, source, target, amount):
        """Until nobody has come between: what transaction() does with WATCH."""
        def change(pipeline):
            left, right = int(pipeline.get(source)), int(pipeline.get(target))
            pipeline.multi()
            pipeline.mset({source: left - amount, target: right + amount})
            pipeline.incr("transfers")
        client.transaction(change, source, target)

    def test_scan_iter(self):
        pipeline = self.client.pipeline(transaction=False)
        for number in range(1000):
            pipeline.set("user:%d" % number, number)
            pipeline.set("group:%d" % number, number)
        pipeline.execute()
        wanted = {b"user:%d" % n for n in range(1000)}
        self.assertEqual(set(self.client.scan_iter("user:*")), wanted)
        self.assertEqual(set(self.client.scan_iter(match="user:*", count=500)), wanted)
        self.assertEqual(len(set(self.client.scan_iter())), 2000)
        self.assertEqual(set(self.client.keys("user:*")), wanted)

    def test_what_libraries_ask_of_a_server(self):
        client = self.client
        self.assertEqual(client.info()["redis_version"].count("."), 2)
        self.assertIn("db0", client.info("keyspace") or {"db0": 1})
        self.assertIsInstance(client.config_get("save"), dict)
        self.assertEqual(len(client.time()), 2)
        self.assertTrue(client.client_setname("tester"))
        self.assertEqual(client.client_getname(), "tester")
        self.assertGreater(client.client_id(), 0)
        self.assertGreater(client.command_count(), 30)
        self.assertTrue(client.lastsave())
        self.assertTrue(client.bgrewriteaof())
        named = self.connect_redis(client_name="named", db=0)
        self.assertEqual(named.client_getname(), "named")

    def test_a_pool_of_connections_and_a_health_check(self):
        pool = self.redis.ConnectionPool(host=self.host, port=self.port, max_connections=4,
                                         health_check_interval=1)
        self.addCleanup(pool.disconnect)
        clients = [self.redis.Redis(connection_pool=pool) for _ in range(4)]
        for number, client in enumerate(clients):
            client.set("key-%d" % number, number)
        self.assertEqual(clients[0].mget("key-0", "key-3"), [b"0", b"3"])

    def test_a_lock(self):
        """Its release needs scripts, but what holds it and what waits for it do not."""
        self.assertTrue(self.client.set("lock", "me", nx=True, px=100000))
        self.assertIsNone(self.client.set("lock", "you", nx=True, px=100000))
        self.assertEqual(self.client.delete("lock"), 1)
        self.assertTrue(self.client.set("lock", "you", nx=True, px=100000))


@unittest.skipUnless(BUILD and os.access(HIREDIS_CLIENT, os.X_OK), "built without libhiredis")
class Hiredis(RedisTest):
    def test_its_calls(self):
        done = run(HIREDIS_CLIENT, self.host, str(self.port))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertEqual(done.stdout, "all of it works\n")


if __name__ == "__main__":
    main()
