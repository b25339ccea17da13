"""Servers, proxies and libraries of others, from Debian's packages: what keystoned is compared with,
and what is pointed at it."""

import importlib
import os
import shutil
import socket
import subprocess
import sys
import unittest

from harness import SLOW, poll_until, read_text, run
from respclient import RespClient

DEBIAN_MODULES = "/usr/lib/python3/dist-packages"


def find_program(*names):
    """The first of them that is installed, or None."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    return None


def need_program(*names):
    """The first of them that is installed; otherwise the test skips."""
    found = find_program(*names)
    if not found:
        raise unittest.SkipTest("no %s here" % names[0])
    return found


def need_module(name):
    """A module of Debian's, whichever Python runs this; without it the test skips."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.path.append(DEBIAN_MODULES)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise unittest.SkipTest("no module %s for this Python: %s" % (name, error)) from None


def need_redis_7():
    """redis-server, of the version whose replies are ours."""
    program = need_program("redis-server")
    if " v=7." not in run(program, "--version").stdout:
        raise unittest.SkipTest("redis-server is not version 7")
    return program


def free_port():
    """One that the kernel has just given, and will not give again soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """A server of another project: `arguments` may hold {port} and {directory}."""

    ATTEMPTS = 3  # somebody may take a port that was free

    def __init__(self, test, program, *arguments, ready, environment=None):
        self.directory = test.path("peer-%s-%d" % (os.path.basename(program), free_port()))
        os.mkdir(self.directory)
        self.program = program
        self.arguments = arguments
        self.port = None
        self.before_start = lambda: None  # called when the port is known
        self._ready = ready
        self._environment = dict(os.environ, **(environment or {}))
        self._process = None
        test.addCleanup(self.kill)

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    @property
    def pid(self):
        return self._process.pid

    def start(self, port=None):
        """Returns once it serves: at a port of its own, or at that one."""
        for _ in range(self.ATTEMPTS):
            self.port = port or free_port()
            self.before_start()
            self._launch()
            poll_until(lambda: self._ended() or self._serves(), 30, self.program + " serves")
            if not self._ended():
                return self
        raise AssertionError("%s ended: %s" % (self.program, self.log()))

    def _launch(self):
        argv = [argument.format(port=self.port, directory=self.directory)
                for argument in (self.program,) + self.arguments]
        with open(self._log_path(), "ab") as log:
            self._process = subprocess.Popen(argv, cwd=self.directory, stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, env=self._environment)

    def _ended(self):
        return self._process.poll() is not None

    def _serves(self):
        try:
            return self._ready(self)
        except OSError:
            return False

    def _log_path(self):
        return os.path.join(self.directory, "log")

    def log(self):
        return read_text(self._log_path())

    def connect(self, port=None):
        return RespClient("127.0.0.1:%d" % (port or self.port), timeout_s=30 * SLOW)

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            self._process.wait()


def ask(peer, request, answer):
    """True where peer answers a request with that beginning."""
    with peer.connect() as client:
        client.send_raw(request)
        return client.reader.read(len(answer)) == answer


def start_redis(test, *options):
    """A redis-server that keeps nothing, with one database as keystoned has."""
    return Peer(test, need_redis_7(), "--port", "{port}", "--bind", "127.0.0.1", "--save", "",
                "--dir", "{directory}", "--databases", "1", *options,
                ready=lambda peer: ask(peer, b"PING\r\n", b"+PONG\r\n")).start()


def start_memcached(test):
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    return Peer(test, need_program("memcached"), "-l", "127.0.0.1", "-p", "{port}", "-U", "0",
                "-t", "1", *user,
                ready=lambda peer: ask(peer, b"version\r\n", b"VERSION ")).start()
