"""The servers that are measured: each a process of its own on a port that the kernel picks, with
its files in a directory of its own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

START_TIMEOUT_S = 300
CONNECTIONS = 15000


class NotAvailable(Exception):
    """This machine has no such program."""


def find_program(name, build=None):
    """A program of the build directory, or on PATH."""
    if build and os.access(os.path.join(build, name), os.X_OK):
        return os.path.join(build, name)
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise NotAvailable(name + " is not installed")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status_kib(pid, field):
    """A figure of /proc/PID/status, in KiB."""
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return int(re.search(r"^%s:\s+(\d+)" % field, file.read(), re.MULTILINE).group(1))


class Server:
    """A server that may be started again and again, with what it has stored."""

    protocol = "line"
    ping, pong = b"PING\n", b"OK PONG"

    def __init__(self, name, directory):
        self.name = name
        self.directory = directory
        self.port = None
        self.process = None
        os.makedirs(directory, exist_ok=True)

    def argv(self):
        raise NotImplementedError

    def start(self):
        """Starts it; returns the seconds until it answered."""
        self.port = free_port()
        with open(os.path.join(self.directory, "log"), "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(self.argv(), cwd=self.directory, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() - begin > START_TIMEOUT_S:
                self.kill()
                raise RuntimeError("%s does not serve; see its log:\n%s" % (self.name, self.log()))
            time.sleep(0.001)  # between two looks of the poll
        return time.monotonic() - begin

    def answers(self):
        with contextlib.suppress(OSError):
            return self.request(self.ping).startswith(self.pong)
        return False

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=START_TIMEOUT_S)

    def request(self, line):
        """The beginning of the reply to one request."""
        with self.connect() as client:
            client.sendall(line)
            return client.recv(65536)

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """A clean stop."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Keystoned(Server):
    def __init__(self, name, directory, build=None, fsync="everysec", options=()):
        super().__init__(name, directory)
        self.program = find_program("keystoned", build)
        self.data = os.path.join(directory, "data")
        self.options = ["--fsync", fsync, "--compact-stale-percent", "0",
                        "--max-connections", str(CONNECTIONS), *options]

    def argv(self):
        return [self.program, "--config", "/dev/null", "--foreground", "--data-dir", self.data,
                "--listen", "127.0.0.1:%d" % self.port, "--log-level", "notice", *self.options]

    def stats(self):
        with self.connect() as client, client.makefile("rb") as reader:
            client.sendall(b"STATS\n")
            count = int(reader.readline().split()[1])
            lines = (reader.readline().decode().split() for _ in range(count))
            return {line[0]: line[1] for line in lines}

    def count(self):
        return int(self.request(b"COUNT\n").split()[1])


class Through:
    """A server that has been started, spoken to in another of its protocols."""

    def __init__(self, server, protocol):
        self.name = "%s, %s" % (server.name, protocol)
        self.protocol = protocol
        self.port = server.port


class Redis(Server):
    protocol = "resp"
    pong = b"+PONG"

    def __init__(self, name, directory, aof=None, program="redis-server", options=()):
        super().__init__(name, directory)
        self.program = find_program(program)
        self.options = ["--save", "", "--auto-aof-rewrite-percentage", "0",
                        "--maxclients", str(CONNECTIONS)]
        if aof:
            self.options += ["--appendonly", "yes", "--appendfsync", aof]
        self.options += options

    def argv(self):
        return [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                self.directory, "--daemonize", "no", *self.options]

    def info(self, section):
        reply = b""
        with self.connect() as client:
            client.sendall(b"INFO %s\r\n" % section.encode())
            head, _, reply = client.recv(65536).partition(b"\r\n")
            while len(reply) < int(head[1:]) + 2:
                reply += client.recv(65536)
        lines = reply.decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def count(self):
        return int(self.request(b"DBSIZE\r\n")[1:])


class Memcached(Server):
    protocol = "memcached"
    ping, pong = b"version\r\n", b"VERSION"

    def __init__(self, name, directory, threads):
        super().__init__(name, directory)
        self.program = find_program("memcached")
        self.threads = threads

    def argv(self):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [self.program, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "4096",
                "-c", str(CONNECTIONS), "-t", str(self.threads), *user]

    def count(self):
        with self.connect() as client:
            client.sendall(b"stats\r\n")
            reply = b""
            while not reply.endswith(b"END\r\n"):
                reply += client.recv(65536)
        return int(re.search(rb"STAT curr_items (\d+)", reply).group(1))


class Limit(Server):
    """A program that answers every line with OK: PROGRAM --threads-per-connection|--epoll PORT."""

    pong = b"OK"

    def __init__(self, name, directory, program, shape):
        super().__init__(name, directory)
        self.program = os.path.abspath(program)
        self.shape = shape

    def argv(self):
        return [self.program, self.shape, str(self.port)]


def keystone_modes(build, loops):
    """Names and options of the ways in which this keystoned waits for its clients."""
    help_text = subprocess.run([find_program("keystoned", build), "--help"], timeout=30,
                               stdout=subprocess.PIPE, check=True).stdout
    if b"--io-threads" not in help_text:
        return [("keystoned", [])]
    return [("keystoned" + (" io-threads %d" % count if count else ""),
             ["--io-threads", str(count)]) for count in loops]
