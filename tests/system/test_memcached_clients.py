#!/usr/bin/env python3
"""Programs and libraries that were made for memcached work with keystoned, unmodified.

KEYSTONE_TEST_PEER=memcached has them talk to that instead, to see that the tests are right."""

import os
import threading

from harness import SLOW, SystemTest, main, poll_until, run
from peers import need_module, need_program, start_memcached

ON_MEMCACHED = os.environ.get("KEYSTONE_TEST_PEER") == "memcached"


class MemcachedTest(SystemTest):
    """Has a server at self.address; self.daemon is None where that is memcached's own."""

    def setUp(self):
        super().setUp()
        self.daemon = None
        if ON_MEMCACHED:
            self.address = start_memcached(self).address
        else:
            self.daemon = self.start_daemon("--listen-memcached", "127.0.0.1:0")
            self.address = self.daemon.memcached_address()
        self.host, port = self.address.rsplit(":", 1)
        self.port = int(port)


class Conformance(MemcachedTest):
    def test_memccapable_passes(self):
        done = run(need_program("memccapable"), "-h", self.host, "-p", str(self.port), "-a", "-t",
                   str(int(10 * SLOW)))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("All tests passed", done.stdout + done.stderr)
        self.assertGreaterEqual(done.stdout.count("[pass]") + done.stderr.count("[pass]"), 27)


class Tools(MemcachedTest):
    """libmemcached-tools."""

    def tool(self, name, *arguments, code=0):
        done = run(need_program(name), "--servers=" + self.address, *arguments,
                   cwd=self.directory)
        self.assertEqual(done.returncode, code, (name, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def test_files_go_there_and_back(self):
        path = self.write_file("text", "two\nlines")
        self.tool("memccp", "--flag=7", path)
        self.assertEqual(self.tool("memccat", "text").rstrip("\n"), "two\nlines")
        self.assertEqual(self.tool("memccat", "--flag", "text").split(), ["7", "two", "lines"])
        self.tool("memcexist", "text")
        self.tool("memctouch", "--expire=1000", "text")
        self.tool("memcrm", "text")
        self.tool("memcexist", "text", code=1)
        self.tool("memccat", "text", code=1)

    def test_add_and_replace(self):
        path = self.write_file("text", "one")
        self.tool("memccp", "--replace", path, code=1)
        self.tool("memccp", "--add", path)
        self.tool("memccp", "--add", path, code=1)
        self.write_file("text", "two")
        self.tool("memccp", "--replace", path)
        self.assertEqual(self.tool("memccat", "text").rstrip("\n"), "two")

    def test_ping_statistics_and_flush(self):
        self.tool("memcping")
        self.tool("memccp", self.write_file("text", "one"))
        statistics = self.tool("memcstat")
        for name in ("pid", "uptime", "time", "version", "curr_connections", "cmd_get", "cmd_set",
                     "get_hits", "get_misses", "bytes", "curr_items", "limit_maxbytes"):
            self.assertIn("\t%s: " % name, statistics)
        self.assertIn("\tcurr_items: 1\n", statistics)
        self.assertRegex(self.tool("memcstat", "--server-version"), r"\d+\.\d+\.\d+\n")
        self.tool("memcflush")
        self.tool("memcexist", "text", code=1)

    def test_a_dump_ends_well(self):
        self.tool("memcdump")  # by "stats items", which has nothing to tell

    def test_loads(self):
        output = self.tool("memcslap", "--concurrency=4", "--execute-number=200", "--test=set")
        self.assertIn("800 keys", output)
        self.tool("memcslap", "--concurrency=4", "--execute-number=200", "--test=get")
        self.tool("memcslap", "--concurrency=4", "--execute-number=200", "--test=mget")

    def test_a_load_that_verifies(self):
        done = run(need_program("memcaslap", "memaslap"), "-s", self.address, "-T", "1", "-c", "4",
                   "-x", "2000", "-v", "1.0")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"get_misses: 0\n(verify_misses: 0\nverify_failed: 0\n)?")


class Python(MemcachedTest):
    """python3-pymemcache."""

    def setUp(self):
        super().setUp()
        self.pymemcache = need_module("pymemcache")
        self.base = need_module("pymemcache.client.base")
        self.client = self.connect_memcached()

    def connect_memcached(self, **options):
        client = self.base.Client((self.host, self.port), timeout=30 * SLOW,
                                  connect_timeout=30 * SLOW, **options)
        self.addCleanup(client.close)
        return client

    def test_strings(self):
        client = self.client
        self.assertTrue(client.set("key", b"\x00\xff\r\nEND\r\n", noreply=False))
        self.assertEqual(client.get("key"), b"\x00\xff\r\nEND\r\n")
        self.assertIsNone(client.get("absent"))
        self.assertEqual(client.get("absent", "default"), "default")
        self.assertFalse(client.add("key", "x", noreply=False))
        self.assertTrue(client.add("other", "x", noreply=False))
        self.assertTrue(client.replace("key", "middle", noreply=False))
        self.assertFalse(client.replace("absent", "x", noreply=False))
        self.assertTrue(client.append("key", ">", noreply=False))
        self.assertTrue(client.prepend("key", "<", noreply=False))
        self.assertEqual(client.get("key"), b"<middle>")
        self.assertTrue(client.delete("key", noreply=False))
        self.assertFalse(client.delete("key", noreply=False))
        self.assertTrue(client.set("empty", b"", noreply=False))
        self.assertEqual(client.get("empty"), b"")

    def test_without_replies(self):
        for number in range(1000):
            self.client.set("key-%d" % number, str(number), noreply=True)
        self.client.delete("key-0", noreply=True)
        self.client.incr("key-1", 5, noreply=True)
        found = self.client.get_many(["key-%d" % n for n in range(1000)])
        wanted = {"key-%d" % n: b"%d" % n for n in range(2, 1000)}
        self.assertEqual(found, dict(wanted, **{"key-1": b"6"}))

    def test_many_keys(self):
        values = {"key-%d" % n: b"x" * n for n in range(300)}
        self.assertEqual(self.client.set_many(values, noreply=False), [])
        self.assertEqual(self.client.get_many(list(values) + ["absent"]), values)
        self.assertTrue(self.client.delete_many(list(values), noreply=False))
        self.assertEqual(self.client.get_many(list(values)), {})

    def test_cas(self):
        client, other = self.client, self.connect_memcached()
        client.set("key", "1", noreply=False)
        value, unique = client.gets("key")
        self.assertEqual(value, b"1")
        self.assertTrue(client.cas("key", "2", unique))
        self.assertFalse(client.cas("key", "3", unique))
        unique = client.gets("key")[1]
        other.set("key", "4", noreply=False)
        self.assertFalse(client.cas("key", "5", unique))
        self.assertEqual(client.get("key"), b"4")
        self.assertIsNone(client.cas("absent", "x", unique))
        many = client.gets_many(["key", "absent"])
        self.assertEqual({key: found[0] for key, found in many.items()}, {"key": b"4"})

    def test_a_cas_survives_a_restart(self):
        if self.daemon is None:
            self.skipTest("memcached keeps nothing")
        self.client.set("key", "1", noreply=False)
        unique = self.client.gets("key")[1]
        self.client.close()
        self.daemon.kill9()
        self.daemon.restart()
        self.port = int(self.daemon.memcached_address().rsplit(":", 1)[1])
        client = self.connect_memcached()
        self.assertEqual(client.gets("key"), (b"1", unique))
        self.assertTrue(client.cas("key", "2", unique))
        self.assertFalse(client.cas("key", "3", unique))

    def test_cas_by_many_loses_nothing(self):
        self.client.set("n", "0", noreply=False)

        def work():
            client = self.connect_memcached()
            for _ in range(50):
                done = False
                while not done:
                    value, unique = client.gets("n")
                    done = client.cas("n", str(int(value) + 1), unique)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.client.get("n"), b"200")

    def test_counters(self):
        client = self.client
        client.set("n", "10", noreply=False)
        self.assertEqual([client.incr("n", 5), client.decr("n", 3), client.decr("n", 100)],
                         [15, 12, 0])
        self.assertIsNone(client.incr("absent", 1))
        client.set("n", "18446744073709551615", noreply=False)
        self.assertEqual(client.incr("n", 2), 1)
        client.set("n", "word", noreply=False)
        with self.assertRaises(need_module("pymemcache.exceptions").MemcacheClientError):
            client.incr("n", 1)

    def test_flags_are_kept(self):
        serde = need_module("pymemcache.serde")
        client = self.connect_memcached(serde=serde.pickle_serde)
        for value in ("text", 42, [1, {"two": None}], b"bytes"):
            client.set("key", value, noreply=False)
            self.assertEqual(client.get("key"), value)

    def test_expiry(self):
        client = self.client
        client.set("key", "value", expire=1000, noreply=False)
        self.assertEqual(client.get("key"), b"value")
        self.assertTrue(client.touch("key", 2000, noreply=False))
        self.assertFalse(client.touch("absent", 2000, noreply=False))
        self.assertTrue(client.touch("key", -1, noreply=False))
        self.assertIsNone(client.get("key"))
        client.set("key", "value", expire=1, noreply=False)
        poll_until(lambda: client.get("key") is None, what="it expires")
        self.assertTrue(client.add("key", "new", noreply=False))

    def test_errors_have_their_classes(self):
        exceptions = need_module("pymemcache.exceptions")
        with self.assertRaises(exceptions.MemcacheIllegalInputError):
            self.client.set("two words", "x", noreply=False)
        with self.assertRaises(exceptions.MemcacheIllegalInputError):
            self.client.set("k" * 251, "x", noreply=False)
        self.assertTrue(self.client.set("k" * 250, "x", noreply=False))
        self.assertEqual(self.client.get("k" * 250), b"x")

    def test_statistics_version_and_flush(self):
        client = self.client
        client.set("key", "value", noreply=False)
        statistics = client.stats()
        self.assertEqual(statistics[b"curr_items"], 1)
        self.assertIsInstance(statistics[b"threads"], int)
        self.assertIsInstance(client.stats("settings"), dict)
        self.assertIsInstance(client.stats("items"), dict)
        self.assertRegex(client.version(), rb"\A\d+\.\d+\.\d+")
        self.assertTrue(client.flush_all(noreply=False))
        self.assertIsNone(client.get("key"))
        self.assertTrue(client.set("key", "new", noreply=False))
        self.assertEqual(client.get("key"), b"new")
        client.quit()

    def test_a_flush_with_a_delay(self):
        self.client.set("key", "value", noreply=False)
        self.assertTrue(self.client.flush_all(delay=1, noreply=False))
        poll_until(lambda: self.client.get("key") is None, what="the flush")

    def test_a_pool_and_keys_over_several_servers(self):
        hashed = need_module("pymemcache.client.hash")
        client = hashed.HashClient([(self.host, self.port)], use_pooling=True, max_pool_size=4)
        self.addCleanup(client.close)
        values = {"key-%d" % n: b"%d" % n for n in range(100)}
        client.set_many(values, noreply=False)
        self.assertEqual(client.get_many(list(values)), values)


if __name__ == "__main__":
    main()
