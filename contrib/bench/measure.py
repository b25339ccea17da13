"""What all subjects share: servers that end when a subject does, interleaved runs, results."""

import collections
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from servers import Keystoned, Limit, Memcached, NotAvailable, Redis, find_program, keystone_modes

RUN_TIMEOUT_S = 900


def say(text):
    print(text, file=sys.stderr, flush=True)


class Results:
    """Rows of one subject, as they come, in a file of TAB-separated values."""

    COLUMNS = ("case", "server", "metric", "value")

    def __init__(self, directory, subject):
        self._file = open(
            os.path.join(directory, subject + ".tsv"), "w", encoding="utf-8", buffering=1)
        self._file.write("\t".join(self.COLUMNS) + "\n")

    def add(self, case, server, **metrics):
        for metric, value in metrics.items():
            self._file.write("%s\t%s\t%s\t%.6g\n" % (case, server, metric, value))

    def close(self):
        self._file.close()


def load_results(path):
    """{(case, metric): {server: [values]}}, in the order of the file."""
    table = collections.OrderedDict()
    with open(path, encoding="utf-8") as file:
        next(file)
        for line in file:
            case, server, metric, value = line.rstrip("\n").split("\t")
            row = table.setdefault((case, metric), collections.OrderedDict())
            row.setdefault(server, []).append(float(value))
    return table


def medians(row):
    return {server: statistics.median(values) for server, values in row.items()}


class Context:
    """One subject under way: its settings, its servers and its results."""

    def __init__(self, subject, arguments):
        self.quick = arguments.quick
        self.build = arguments.build
        self.limits = arguments.limits
        self.runs = arguments.runs or (1 if self.quick else 5)
        self.seconds = 0.3 if self.quick else 1.0
        self.results = Results(arguments.output, subject)
        self.directory = tempfile.mkdtemp(prefix="bench-", dir=arguments.work or arguments.output)
        self.bench_program = find_program("keystone-bench", self.build)
        self._servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.results.close()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def adopt(self, server):
        """Ends a server with this subject."""
        self._servers.append(server)
        return server

    # ---- servers; those that this machine does not have are left out

    def _new_path(self, name):
        return self.path("%d-%s" % (len(self._servers), name.replace(" ", "-")))

    def keystones(self, fsync="everysec", loops=(0, 2)):
        """One for each number of event loops; 0: a thread a connection."""
        return [self.adopt(Keystoned(name, self._new_path(name), self.build, fsync, options))
                for name, options in keystone_modes(self.build, loops)]

    def redis(self, aof=None):
        """redis-server and valkey-server, with an append-only file synced as `aof` says."""
        found = []
        for program in ("redis-server", "valkey-server"):
            name = "%s%s" % (program.split("-", maxsplit=1)[0], " " + aof if aof else "")
            with contextlib.suppress(NotAvailable):
                found.append(self.adopt(Redis(name, self._new_path(name), aof, program)))
        return found

    def memcached(self, threads=(1, 4)):
        found = []
        for count in threads:
            name = "memcached -t %d" % count
            with contextlib.suppress(NotAvailable):
                found.append(self.adopt(Memcached(name, self._new_path(name), count)))
        return found

    def limit_servers(self):
        if not self.limits:
            return []
        return [self.adopt(Limit(name, self._new_path(name), self.limits, shape))
                for name, shape in (("limit threads", "--threads-per-connection"),
                                    ("limit epoll", "--epoll"))]

    # ---- measuring

    def bench_argv(self, server, *options, **settings):
        argv = [self.bench_program, "--port", str(server.port), "--protocol", server.protocol,
                "--json", *options]
        for name, value in settings.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        return argv

    def bench(self, server, *options, **settings):
        """One run of keystone-bench; its figures."""
        done = subprocess.run(self.bench_argv(server, *options, **settings), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=RUN_TIMEOUT_S, universal_newlines=True)
        if done.returncode != 0:
            raise RuntimeError("keystone-bench with %s: %s" % (server.name, done.stderr.strip()))
        return json.loads(done.stdout)

    def preload(self, server, keys):
        self.bench(server, "--preload", keys=keys, clients=8, seconds=0.01)

    def start_bench(self, server, *options, **settings):
        """A run that goes on until finish_bench."""
        return subprocess.Popen(self.bench_argv(server, *options, **settings),
                                stdout=subprocess.PIPE, universal_newlines=True)

    @staticmethod
    def finish_bench(process):
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=RUN_TIMEOUT_S)
        return json.loads(output)

    def interleave(self, servers, measure, warm_up=None):
        """measure(server) for each run and server; who comes first changes from run to run."""
        for server in servers if warm_up else ():
            warm_up(server)
        for run in range(self.runs):
            first = run % len(servers)
            for server in servers[first:] + servers[:first]:
                measure(server)

    def add_load(self, case, server, figures):
        """Adds the figures of a run of keystone-bench to the results."""
        every = figures["all"]
        self.results.add(case, server.name, per_second=every["per_second"],
                         p50_us=every["p50_us"], p99_us=every["p99_us"], max_us=every["max_us"],
                         client_cores=figures["client_cores"])
