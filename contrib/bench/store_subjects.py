"""Subjects about what is stored: restart, memory, compaction."""

import contextlib
import os
import shutil
import subprocess
import threading
import time

from measure import say
from servers import Keystoned, NotAvailable, Redis, keystone_modes, status_kib

REWRITE_TIMEOUT_S = 300
SETTLE_TIMEOUT_S = 15


def _poll(predicate, what):
    deadline = time.monotonic() + REWRITE_TIMEOUT_S
    while not predicate():
        if time.monotonic() > deadline:
            raise RuntimeError("not within %d s: %s" % (REWRITE_TIMEOUT_S, what))
        time.sleep(0.005)  # between two looks of the poll


# ---- restart


class _Start:
    """One way of starting: a server, and what its directory holds before."""

    def __init__(self, server, keys, hints=True):
        self.server = server
        self.keys = keys
        self.hints = hints
        self.pristine = server.directory + ".pristine"
        os.rename(server.directory, self.pristine)

    def measure(self):
        """Seconds from exec to the answer, on a copy that is in memory and on disk."""
        directory = self.server.directory
        shutil.copytree(self.pristine, directory)
        if not self.hints:
            for name in os.listdir(self.server.data):
                if name.endswith(".hint"):
                    os.unlink(os.path.join(self.server.data, name))
        os.sync()
        seconds = self.server.start()
        _poll(lambda: self.server.count() > 0, "the data set is loaded")
        if self.server.count() != self.keys:
            raise RuntimeError("%s lost keys" % self.server.name)
        self.server.remove()
        return seconds


def _loaded(context, server, keys):
    server.start()
    context.preload(server, keys)
    return server


def _redis_rdb(context, program, keys):
    """A server that starts from a snapshot."""
    name = program.split("-", maxsplit=1)[0]
    server = context.adopt(Redis(name + " RDB", context.path(name + "-rdb"), program=program))
    _loaded(context, server, keys)
    server.request(b"SAVE\r\n")
    server.kill()
    return _Start(server, keys)


def _redis_aof(context, program, keys):
    """A server that starts from the log of commands."""
    name = program.split("-", maxsplit=1)[0]
    server = context.adopt(Redis(name + " AOF", context.path(name + "-aof"), "everysec", program))
    _loaded(context, server, keys).stop()
    return _Start(server, keys)


def restart(context):
    """Seconds from exec to the first answer."""
    keys = 100000 if context.quick else 5000000
    say("restart: storing %d keys in each" % keys)
    options = keystone_modes(context.build, (0,))[0][1]
    starts = []
    for name, hints in (("keystoned, hints", True), ("keystoned, no hints", False)):
        directory = context.path(name.replace(", ", "-").replace(" ", "-"))
        server = context.adopt(Keystoned(name, directory, context.build, options=options))
        _loaded(context, server, keys).stop()
        starts.append(_Start(server, keys, hints))
    for program in ("redis-server", "valkey-server"):
        with contextlib.suppress(NotAvailable):
            starts += [_redis_aof(context, program, keys), _redis_rdb(context, program, keys)]
    for run in range(context.runs):
        say("restart: run %d of %d" % (run + 1, context.runs))
        for start in starts[run % len(starts):] + starts[:run % len(starts)]:
            context.results.add("%d keys" % keys, start.server.name, seconds=start.measure())


# ---- memory


def _connections(server, count, speak):
    """That many connections to a server, each with one request behind it where asked."""
    clients = []
    for _ in range(count):
        client = server.connect()
        if speak:
            client.sendall(server.ping)
            client.recv(256)
        clients.append(client)
    return clients


def _settled(server, field, quiet_s):
    """A field of the process's status in bytes, once it has not changed for that long: a server may
    give memory back late."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    rss, since = None, 0
    while time.monotonic() < deadline and (rss is None or time.monotonic() - since < quiet_s):
        now = status_kib(server.pid, field)
        if now != rss:
            rss, since = now, time.monotonic()
        time.sleep(0.02)  # between two looks of the poll
    return rss * 1024


def _measure_connections(context, server, case, speak):
    count = 300 if context.quick else 5000
    server.start()
    before = _settled(server, "VmRSS", 1)
    clients = _connections(server, count, speak)
    _poll(server.answers, "all are accepted")
    context.results.add(case, server.name, bytes=(_settled(server, "VmRSS", 1) - before) / count)
    for client in clients:
        client.close()
    server.kill()


def _measure_keys(context, server):
    keys = 100000 if context.quick else 5000000
    server.start()
    before = _settled(server, "RssAnon", 1)
    context.preload(server, keys)
    after = _settled(server, "RssAnon", 5)
    context.results.add("key, of %d" % keys, server.name, bytes=(after - before) / keys)
    server.kill()


def memory(context):
    """Bytes a key, and bytes an idle connection."""
    for _ in range(min(context.runs, 3)):
        for server in context.keystones() + context.redis() + context.memcached((4,)):
            say("memory: " + server.name)
            _measure_connections(context, server, "silent connection", False)
            _measure_connections(context, server, "connection, one request", True)
            _measure_keys(context, server)
            server.remove()


# ---- compaction


def _copy_seconds(source, target):
    """How long cp and fsync of all segments take."""
    os.mkdir(target)
    names = [os.path.join(source, name) for name in os.listdir(source) if name.endswith(".log")]
    begin = time.monotonic()
    subprocess.run(["cp", *names, target], check=True)
    for name in os.listdir(target):
        fd = os.open(os.path.join(target, name), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    seconds = time.monotonic() - begin
    shutil.rmtree(target)
    return seconds


def _pause(context, keys):
    """The pause of a stop-the-world compaction, and of a copy of what it leaves."""
    name, options = keystone_modes(context.build, (0,))[0]
    for _ in range(context.runs):
        server = context.adopt(Keystoned(name, context.path("pause"), context.build,
                                         options=options))
        _loaded(context, server, keys)
        context.preload(server, keys // 2)  # a third of the log is stale
        server.request(b"SYNC\n")
        done = int(server.stats()["compactions"])
        server.process.send_signal(1)
        _poll(lambda: int(server.stats()["compactions"]) > done, "the compaction")
        stats = server.stats()
        case = "%d MiB live" % round(int(stats["live_bytes"]) / 2**20)
        context.results.add(case, "keystoned HUP",
                            seconds=int(stats["compaction_last_pause_us"]) / 1e6)
        server.request(b"SYNC\n")
        server.kill()
        context.results.add(case, "cp and fsync",
                            seconds=_copy_seconds(server.data, context.path("copy")))
        server.remove()


class _PeakMemory:
    """The most anonymous memory that a process had since this began, less what it had then."""

    def __init__(self, pid):
        self._pid = pid
        self._first = self._most = status_kib(pid, "RssAnon")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self):
        while not self._ended.wait(0.01):
            self._most = max(self._most, status_kib(self._pid, "RssAnon"))

    def end(self):
        self._ended.set()
        self._thread.join()
        return (self._most - self._first) * 1024


def _compact_keystoned(server):
    """Compacts; the extra bytes of memory it took."""
    peak = _PeakMemory(server.pid)
    try:
        with server.connect() as client:
            client.sendall(b"COMPACT\n")
            reply = client.recv(4096)
    finally:
        extra = peak.end()
    if reply != b"OK\n":
        raise RuntimeError("COMPACT: %r" % reply)
    return extra


def _rewrite_redis(server):
    """Rewrites the log; the bytes that were copied on write meanwhile."""
    server.request(b"BGREWRITEAOF\r\n")

    def done():
        info = server.info("persistence")
        return info["aof_rewrite_in_progress"] == info["aof_rewrite_scheduled"] == "0"

    _poll(done, "the rewrite")
    return int(server.info("persistence")["aof_last_cow_size"])


def _online(context, server, compact, keys):
    """The latency of a load without and with a compaction."""
    load = dict(clients=50, ratio="1:9", keys=keys)
    _settled(server, "RssAnon", 5)  # what was begun by storing the keys is over
    before = context.bench(server, seconds=context.seconds * 2, **load)
    context.add_load("1:9 load, 50 clients", server, before)
    process = context.start_bench(server, seconds=REWRITE_TIMEOUT_S, **load)
    begin = time.monotonic()
    extra = None
    try:
        extra = compact(server)
        seconds = time.monotonic() - begin
    finally:
        figures = context.finish_bench(process)
    case = "the same while it compacts"
    context.add_load(case, server, figures)
    context.results.add(case, server.name, extra_mib=extra / 2**20, took_s=seconds,
                        p99_growth=figures["all"]["p99_us"] / before["all"]["p99_us"])


def compaction(context):
    """How long the world stands still, and what is felt of a compaction that lets it turn."""
    for keys in (50000, 200000) if context.quick else (500000, 1000000, 2000000, 5000000):
        say("compaction: pause with %d keys" % keys)
        _pause(context, keys)
    keys = 200000 if context.quick else 5000000
    subjects = [(server, _compact_keystoned) for server in context.keystones()]
    subjects += [(server, _rewrite_redis) for server in context.redis("everysec")]
    for server, compact in subjects:
        say("compaction: %s under load, %d keys" % (server.name, keys))
        _loaded(context, server, keys)
        for _ in range(context.runs):
            context.preload(server, keys // 2)  # a third of the log is stale
            _online(context, server, compact, keys)
        server.remove()
