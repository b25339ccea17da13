#!/usr/bin/env python3
"""The configurations of contrib/twemproxy and contrib/haproxy, with other ports only, in front of
three keystoned.

KEYSTONE_TEST_PEER=redis-server has them in front of that instead, to see that the tests are right."""

import os
import re
import signal
import urllib.request

from harness import SLOW, TOP, SystemTest, has_stopped, main, poll_until, read_text
from peers import Peer, ask, free_port, need_program, need_redis_7
from respclient import ReplyError, RespClient, encode

SHARDS = 3
KEYS = [b"user:%d" % n for n in range(3000)]
PING = encode("PING")


class RedisShard(Peer):
    """A redis-server that keeps everything."""

    def __init__(self, test):
        super().__init__(test, need_redis_7(), "--port", "{port}", "--bind", "127.0.0.1", "--dir",
                         "{directory}", "--save", "", "--appendonly", "yes",
                         ready=lambda peer: ask(peer, PING, b"+PONG\r\n"))
        self.start()

    def kill9(self):
        self.kill()

    def restart(self):
        self.start(port=self.port)


class Shards(SystemTest):
    """Has three servers, and proxies in front of them."""

    def setUp(self):
        super().setUp()
        if os.environ.get("KEYSTONE_TEST_PEER") == "redis-server":
            self.shards = [RedisShard(self) for _ in range(SHARDS)]
            self.ports = [shard.port for shard in self.shards]
        else:
            self.shards = [self.start_daemon() for _ in range(SHARDS)]
            self.ports = [int(shard.addresses[0].rsplit(":", 1)[1]) for shard in self.shards]
            for shard, port in zip(self.shards, self.ports):
                shard.listen = ("127.0.0.1:%d" % port,)  # where a restart is looked for

    def connect_to(self, port):
        client = RespClient("127.0.0.1:%d" % port, timeout_s=30 * SLOW)
        self.addCleanup(client.close)
        return client

    def shipped(self, name, ports):
        """The text of a configuration, with the ports that are in use here."""
        text = read_text(os.path.join(TOP, "contrib", name))
        text = text.replace("timeout: 2000", "timeout: %d" % (2000 * SLOW))
        found = re.findall(r"127\.0\.0\.1:(\d+)", text)
        self.assertEqual(sorted(set(found)), sorted(str(port) for port in ports))
        return re.sub(r"(127\.0\.0\.1):(\d+)",
                      lambda match: "%s:%d" % (match.group(1), ports[int(match.group(2))]), text)

    def start_proxy(self, program, name, ports, *arguments, ready):
        """`ports`: those of the shipped file that the proxy itself listens at."""
        proxy = Peer(self, need_program(program), *arguments, ready=ready)
        proxy.before_start = lambda: self.write_configuration(proxy, name, ports)
        return proxy.start()

    def write_configuration(self, proxy, name, ports):
        """With fresh ports for the proxy; its own is the first."""
        proxy.ports = {port: free_port() for port in ports}
        proxy.ports[ports[0]] = proxy.port
        used = dict(proxy.ports)
        used.update(zip((7881, 7882, 7883), self.ports))
        path = os.path.join(proxy.directory, os.path.basename(name))
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.shipped(name, used))

    def owners(self, keys):
        """For each key, the number of the one server that has it."""
        clients = [self.connect_to(port) for port in self.ports]
        found = [client.call_many(["EXISTS", key] for key in keys) for client in clients]
        owners = []
        for key, exists in zip(keys, zip(*found)):
            self.assertEqual(sum(exists), 1, key)
            owners.append(exists.index(1))
        return owners


class Nutcracker(Shards):
    def setUp(self):
        super().setUp()
        self.proxy = self.start_proxy(
            "nutcracker", "twemproxy/nutcracker.yml", (7880,), "-c", "{directory}/nutcracker.yml",
            "-a", "127.0.0.1", "-s", str(free_port()), "-p", "{directory}/pid", "-o",
            "{directory}/nutcracker.log", ready=lambda peer: ask(peer, PING, b"+PONG\r\n"))
        self.client = self.connect_to(self.proxy.port)

    def fill(self, value):
        replies = self.client.call_many(["SET", key, value + key] for key in KEYS)
        self.assertEqual(replies, [b"OK"] * len(KEYS))

    def test_sequential_keys_are_spread_over_all_three(self):
        self.fill(b"of ")
        counts = [self.owners(KEYS).count(number) for number in range(SHARDS)]
        self.assertTrue(all(count > len(KEYS) // 4 for count in counts), counts)
        self.assertEqual(self.client.call("MGET", *KEYS), [b"of " + key for key in KEYS])
        self.assertEqual(self.client.call("DEL", *KEYS[:100]), 100)

    def test_a_tag_keeps_keys_together(self):
        for user in range(20):
            keys = [b"{user:%d}:%d" % (user, n) for n in range(20)]
            self.assertEqual(self.client.call("MSET", *sum(([key, b"x"] for key in keys), [])),
                             b"OK")
            self.assertEqual(len(set(self.owners(keys))), 1)

    def test_all_bytes_pass(self):
        for key in (b"\x00\r\n \xff", b"base64:AA", b"k" * 1000):
            value = bytes(range(256)) * 100
            self.assertEqual(self.client.call("SET", key, value, "EX", "1000"), b"OK")
            self.assertEqual(self.client.call("GET", key), value)

    def test_a_dead_server_costs_its_keys_only_and_comes_back_with_them(self):
        self.fill(b"old ")
        owners = self.owners(KEYS)
        self.shards[1].kill9()
        for value in (b"new ", b"newer "):
            self.write_while_one_is_dead(owners, value)
        self.shards[1].restart()
        poll_until(lambda: self.asked(["GET", KEYS[owners.index(1)]]), what="it serves again")
        wanted = [(b"old " if owner == 1 else b"newer ") + key for key, owner in zip(KEYS, owners)]
        self.assertEqual(self.client.call_many(["GET", key] for key in KEYS), wanted)
        self.fill(b"last ")
        self.assertEqual(self.owners(KEYS), owners)  # nowhere else is an older value of a key

    def asked(self, request):
        """A value; None where there was an error."""
        reply = self.client.call_many([request])[0]
        return None if isinstance(reply, ReplyError) else reply

    def write_while_one_is_dead(self, owners, value):
        replies = self.client.call_many(["SET", key, value + key] for key in KEYS)
        for key, owner, reply in zip(KEYS, owners, replies):
            if owner == 1:
                self.assertIsInstance(reply, ReplyError, key)
            else:
                self.assertEqual(reply, b"OK", key)
        replies = self.client.call_many(["GET", key] for key in KEYS)
        for key, owner, reply in zip(KEYS, owners, replies):
            if owner == 1:
                self.assertIsInstance(reply, ReplyError, key)
            else:
                self.assertEqual(reply, value + key)


class Haproxy(Shards):
    OWN_PORTS = (7871, 7872, 7873, 7870)

    def setUp(self):
        super().setUp()
        self.proxy = self.start_proxy(
            "haproxy", "haproxy/haproxy.cfg", self.OWN_PORTS, "-db", "-f",
            "{directory}/haproxy.cfg", ready=lambda peer: ask(peer, PING, b"+PONG\r\n"))
        self.fronts = [self.proxy.ports[port] for port in self.OWN_PORTS[:SHARDS]]

    def states(self):
        """UP or DOWN of each server, as HAProxy tells everybody."""
        url = "http://127.0.0.1:%d/;csv" % self.proxy.ports[7870]
        with urllib.request.urlopen(url, timeout=30 * SLOW) as page:
            lines = [line.split(",") for line in page.read().decode().splitlines()]
        status = lines[0].index("status")
        return {line[1]: line[status] for line in lines if line[1].startswith("shard")}

    def wait_state(self, name, state):
        # "UP 1/2" is one that was not asked yet, or has just failed once.
        poll_until(lambda: self.states()[name] == state, 30, "%s is %s" % (name, state))

    def test_every_address_has_its_own_server(self):
        for number, port in enumerate(self.fronts):
            self.connect_to(port).call("SET", "who", str(number))
        for number, port in enumerate(self.ports):
            self.assertEqual(self.connect_to(port).call("GET", "who"), b"%d" % number)
        for name in ("shard1", "shard2", "shard3"):
            self.wait_state(name, "UP")

    def test_who_is_killed_is_down_until_it_is_back_with_its_data(self):
        self.connect_to(self.fronts[1]).call("SET", "key", "value")
        client = self.connect_to(self.fronts[1])
        self.assertEqual(client.call("PING"), b"PONG")
        self.shards[1].kill9()
        self.assertEqual(client.read_all(), b"")
        self.wait_state("shard2", "DOWN")
        client = self.connect_to(self.fronts[1])
        self.assertEqual(client.read_all(), b"")  # at once, and nobody else answers
        for number in (0, 2):
            self.assertIsNone(self.connect_to(self.fronts[number]).call("GET", "key"))
        self.shards[1].restart()
        self.wait_state("shard2", "UP")
        self.assertEqual(self.connect_to(self.fronts[1]).call("GET", "key"), b"value")

    def test_who_does_not_answer_is_down_and_its_clients_are_told(self):
        client = self.connect_to(self.fronts[2])
        self.assertEqual(client.call("PING"), b"PONG")
        self.shards[2].signal(signal.SIGSTOP)
        poll_until(lambda: has_stopped(self.shards[2].pid), what="it has stopped")
        client.send("GET", "key")
        self.assertEqual(client.read_all(), b"")
        self.assertEqual(self.states()["shard3"], "DOWN")
        self.shards[2].signal(signal.SIGCONT)
        self.wait_state("shard3", "UP")


if __name__ == "__main__":
    main()
