"""Subjects about requests: throughput, synced writes, short connections, the embedded store."""

import json
import os
import subprocess
import time

from measure import RUN_TIMEOUT_S, say
from servers import Through

LOOPS = (0, 1, 2)
RATIOS = {"GET": "0:1", "SET": "1:0"}
KEYS = 100000


def _start(context, servers, keys=KEYS):
    for server in servers:
        server.start()
        context.preload(server, keys)


def throughput(context):
    """GET and SET by the number of clients, and pipelined."""
    servers = (context.keystones(loops=LOOPS) + context.redis("everysec") + context.redis()
               + context.memcached() + context.limit_servers())
    _start(context, servers)
    clients = (1, 50, 500) if context.quick else (1, 10, 50, 100, 500, 1000, 5000)
    shapes = [(count, 1) for count in clients] + [(50, 16), (50, 64)]
    for count, pipeline in shapes:
        for command, ratio in RATIOS.items():
            case = "%s %d P%d" % (command, count, pipeline)
            say("throughput: " + case)
            settings = dict(clients=count, pipeline=pipeline, ratio=ratio, keys=KEYS)
            context.interleave(
                servers,
                lambda s: context.add_load(
                    case, s, context.bench(s, seconds=context.seconds, **settings)),
                lambda s: context.bench(s, seconds=0.1, **settings))


def resp(context):
    """GET and SET by Redis's protocol, beside Redis and beside the line protocol."""
    servers = context.keystones(loops=LOOPS) + context.redis("everysec") + context.redis()
    _start(context, servers)
    ours = [server for server in servers if server.protocol == "line"]
    everybody = [Through(server, "resp") for server in ours] + servers
    for pipeline in (1, 16, 64):
        for command, ratio in RATIOS.items():
            case = "%s 50 P%d" % (command, pipeline)
            say("resp: " + case)
            settings = dict(clients=50, pipeline=pipeline, ratio=ratio, keys=KEYS)
            context.interleave(
                everybody,
                lambda s: context.add_load(
                    case, s, context.bench(s, seconds=context.seconds, **settings)),
                lambda s: context.bench(s, seconds=0.1, **settings))


def _write_and_sync(path, preallocated, seconds):
    """Writes of one record each and fdatasync; how many a second."""
    record = b"x" * 150
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if preallocated:
            os.posix_fallocate(fd, 0, 64 << 20)
            os.fsync(fd)
        begin = time.monotonic()
        count = 0
        while time.monotonic() - begin < seconds:
            os.pwrite(fd, record, count * len(record))
            os.fdatasync(fd)
            count += 1
        return count / (time.monotonic() - begin)
    finally:
        os.close(fd)
        os.unlink(path)


class _BareLoop:
    """Stands beside the servers, so that its runs are interleaved with theirs."""

    def __init__(self, name, preallocated):
        self.name = name
        self.preallocated = preallocated


def always(context):
    """SET where each reply waits for the disk, beside a loop that does nothing else."""
    servers = (context.keystones("always", LOOPS) + context.redis("always")
               + context.limit_servers())
    _start(context, servers, 1000)
    loops = [_BareLoop("write+fdatasync, file grows", False),
             _BareLoop("write+fdatasync, preallocated", True)]
    seconds = context.seconds * 2

    def measure(case, server, count):
        if isinstance(server, _BareLoop):
            rate = _write_and_sync(context.path("bare"), server.preallocated, seconds)
            context.results.add(case, server.name, per_second=rate)
        else:
            context.add_load(case, server, context.bench(
                server, clients=count, ratio="1:0", keys=KEYS, seconds=seconds))

    for count in (1, 50) if context.quick else (1, 10, 50, 200):
        case = "SET %d P1" % count
        say("always: " + case)
        # One request at a time is what the loops can be compared with.
        everybody = servers + (loops if count == 1 else [])
        context.interleave(everybody,
                           lambda s: measure(case, s, count))


def connect(context):
    """Connections that last for one request."""
    servers = context.keystones() + context.redis("everysec") + context.memcached((4,))
    servers += context.limit_servers()
    _start(context, servers)
    for count in (1, 50) if context.quick else (1, 10, 50, 200):
        case = "connect, GET, close; %d at a time" % count
        say("connect: " + case)
        settings = dict(clients=count, ratio="0:1", keys=KEYS)
        context.interleave(
            servers,
            lambda s: context.add_load(
                case, s, context.bench(s, "--reconnect", seconds=context.seconds, **settings)),
            lambda s: context.bench(s, "--reconnect", seconds=0.1, **settings))


def embedded(context):
    """The store as a library, beside LevelDB."""
    keys = 50000 if context.quick else 1000000
    for run in range(context.runs):
        say("embedded: run %d of %d" % (run + 1, context.runs))
        done = subprocess.run(
            [context.bench_program, "--embedded", "--json", "--keys", str(keys), "--directory",
             context.directory], check=True, stdout=subprocess.PIPE, timeout=RUN_TIMEOUT_S)
        for workload, engines in json.loads(done.stdout)["workloads"].items():
            for engine, figures in engines.items():
                context.results.add(workload, engine, per_second=figures["per_second"])
