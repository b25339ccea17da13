"""Clients that mean harm, each kind a process of its own that goes on until it is ended, and the
subject that measures what a client which behaves feels of them."""

import multiprocessing
import os
import random
import select
import socket
import struct
import time

from measure import say

KEYS = 10000
BIG = 1 << 20
RESET = struct.pack("ii", 1, 0)  # linger for 0 seconds: close sends a reset
NICE = 19  # real ones would be on machines of their own


class Attack:
    """What all kinds share: the server's port, and how often something was done to it."""

    def __init__(self, port, done):
        self.port = port
        self.done = done

    def connect(self, receive_buffer=None):
        client = socket.socket()
        client.settimeout(5)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port))
        return client

    @staticmethod
    def reset(client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()

    def exchange(self, data):
        """Sends it and reads whatever comes, until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass

    def fill(self, client, data):
        """Sends as much as the server takes at once."""
        client.setblocking(False)
        try:
            while True:
                client.send(data)
        except BlockingIOError:
            self.done.value += 1


class Slow(Attack):
    """500 requests that never end, a byte a second each."""

    def run(self):
        clients = [self.connect() for _ in range(500)]
        while True:
            for number, client in enumerate(clients):
                client.send(b"x")
                self.done.value += 1
                if number % 5 == 4:
                    time.sleep(0.01)


class Deaf(Attack):
    """20 clients that ask for big values and read none."""

    def run(self):
        clients = [self.connect(receive_buffer=4096) for _ in range(20)]
        while True:
            for client in clients:
                self.fill(client, b"GET big\n" * 1000)
            time.sleep(0.1)


class Resets(Attack):
    """A request cut by a reset, at every byte of it by turns; up to 1000 a second."""

    def run(self):
        request = b"SET reset value\nGET big\n"
        while True:
            for size in range(len(request) + 1):
                client = self.connect()
                client.send(request[:size])
                self.reset(client)
                self.done.value += 1
                time.sleep(0.001)


class Connects(Attack):
    """Connections that come and go, as many as the machine makes."""

    def run(self):
        while True:
            self.reset(self.connect())
            self.done.value += 1


class Noise(Attack):
    """Random bytes on 4 connections, 800 times 4 KiB a second; replies are read."""

    def run(self):
        noise = random.Random(1).randbytes(1 << 12).replace(b"\xff", b"x")
        clients = [self.connect() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
        while True:
            readable, writable, _ = select.select(clients, clients, [])
            for client in readable:
                client.recv(1 << 20)
            for client in writable:
                client.send(noise)
                self.done.value += 1
            time.sleep(0.005)


class Http(Attack):
    """Requests of a browser, a connection each, up to 1000 a second."""

    def run(self):
        while True:
            self.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.done.value += 1
            time.sleep(0.001)


class HalfCharacters(Attack):
    """Keys and values that end in the middle of a character of UTF-8, as many."""

    def run(self):
        while True:
            self.exchange(b"SET half\xe4\xb8 \xf0\x9f\x97\nGET half\xe4\xb8\n")
            self.done.value += 1
            time.sleep(0.001)


class EndlessLines(Attack):
    """Lines beyond every limit, on 4 connections, 400 times 64 KiB a second."""

    def run(self):
        piece = b"x" * (1 << 16)
        while True:
            clients = [self.connect() for _ in range(4)]
            alive = list(clients)
            while alive:
                for client in select.select([], alive, [])[1]:
                    try:
                        client.send(piece)
                        self.done.value += 1
                    except OSError:
                        alive.remove(client)
                time.sleep(0.01)
            for client in clients:
                client.close()


KINDS = (Slow, Deaf, Resets, Connects, Noise, Http, HalfCharacters, EndlessLines)


def _run(kind, port, done):
    os.nice(NICE)
    while True:
        try:
            kind(port, done).run()
        except OSError:
            pass  # it was closed, or refused: once more


class Running:
    """An attack under way; use it with `with`."""

    def __init__(self, kind, port):
        self._done = multiprocessing.Value("Q", 0)
        self._process = multiprocessing.Process(target=_run, args=(kind, port, self._done),
                                                daemon=True)
        self._begin = time.monotonic()

    def __enter__(self):
        self._process.start()
        while self._done.value == 0 and time.monotonic() - self._begin < 5:
            time.sleep(0.001)  # between two looks of the poll
        return self

    def per_second(self):
        return self._done.value / (time.monotonic() - self._begin)

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()


def hostile(context):
    """The latency of 10 clients beside those that mean harm, and beside the same ones that mean
    another server: what that does is the machine's doing."""
    targets = {server: other for server, other in zip(context.keystones(), context.keystones())}
    for server in [*targets, *targets.values()]:
        server.start()
        context.preload(server, KEYS)
        _set_big(server)
    settings = dict(clients=10, ratio="1:1", keys=KEYS, seconds=context.seconds)

    def measure(server):
        alone = context.bench(server, **settings)["all"]["p99_us"]
        context.results.add("nobody", server.name, p99_us=alone)
        for kind in KINDS:
            p99_us = {}
            for case, target in (("elsewhere", targets[server]), ("here", server)):
                with Running(kind, target.port) as attack:
                    p99_us[case] = context.bench(server, **settings)["all"]["p99_us"]
                    rate = attack.per_second()
                context.results.add("%s %s" % (kind.__name__, case), server.name,
                                    p99_us=p99_us[case], attacks=rate,
                                    p99_growth=p99_us[case] / alone)
            context.results.add(kind.__name__, server.name,
                                here_to_elsewhere=p99_us["here"] / p99_us["elsewhere"])

    say("hostile: %s" % ", ".join(kind.__name__ for kind in KINDS))
    context.interleave(list(targets), measure, lambda s: context.bench(s, **settings))


def _set_big(server):
    with server.connect() as client:
        client.sendall(b"SET big " + b"x" * BIG + b"\n")
        if client.recv(100) != b"OK\n":
            raise RuntimeError("%s does not take a value" % server.name)
