"""Drives the real keystoned over its sockets and signals.

Everything here is bounded in time (KEYSTONE_TEST_SLOW stretches every bound), uses ports that the
kernel picks, and ends every process it started, whatever a test did.
"""

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from client import Client

SLOW = float(os.environ.get("KEYSTONE_TEST_SLOW", "1"))
ROUNDS = int(os.environ.get("KEYSTONE_TEST_ROUNDS", "3"))
IO_THREADS = int(os.environ.get("KEYSTONE_TEST_IO_THREADS", "0"))  # of every daemon
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.environ.get("srcdir", os.path.join(HERE, "..", "..")))
KEYSTONED = os.path.abspath(os.environ.get("KEYSTONED", "keystoned"))
KEYSTONE_CLI = os.path.abspath(os.environ.get("KEYSTONE_CLI", "keystone-cli"))
KEYSTONE_BENCH = os.path.abspath(os.environ.get("KEYSTONE_BENCH", "keystone-bench"))
KEYSTONE_LOG = os.path.abspath(os.environ.get("KEYSTONE_LOG", "keystone-log"))

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_OSERR = 64, 65, 69, 71
EX_CANTCREAT, EX_IOERR, EX_NOPERM, EX_CONFIG = 73, 74, 77, 78

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                     "runtime error:")


class TestTimeout(Exception):
    """A test ran for longer than it may."""


class StartFailed(Exception):
    """The daemon ended before it served; has its exit code and what it wrote to stderr."""

    def __init__(self, code, stderr):
        super().__init__("exit code %s: %s" % (code, stderr))
        self.code = code
        self.stderr = stderr


def poll_until(predicate, timeout_s=20, what=None):
    """Returns the first true value of predicate(); fails when none came in time."""
    deadline = time.monotonic() + timeout_s * SLOW
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %g s: %s" % (timeout_s * SLOW, what or predicate))
        time.sleep(0.002)  # between two looks of the poll


def stays_true(predicate, seconds):
    """True if every look at predicate() for that long found it true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not predicate():
            return False
        time.sleep(0.005)  # between two looks of the poll
    return True


def read_text(path):
    """A file's text; empty where there is none, or where it told of a thread that has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_stopped(pid):
    """True once no thread of the process runs any more."""
    tasks = "/proc/%d/task" % pid
    return all(re.search(r"^State:\s+T", read_text(os.path.join(tasks, task, "status")), re.MULTILINE)
               for task in os.listdir(tasks))


def is_sanitized():
    with open(KEYSTONED, "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def adopt_orphans():
    """A daemon that has detached becomes a child of this process, so that it can be reaped."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def run(*argv, stdin=None, timeout_s=60, **options):
    """Runs a program to its end; the result has returncode, stdout and stderr as text."""
    return subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout_s * SLOW, check=False,
                          universal_newlines=not isinstance(stdin, bytes), **options)


def with_descriptors(limit):
    """A wrapper that lets a program have so many descriptors, and no more."""
    wrapper = ["/bin/sh", "-c", 'ulimit -n %d; exec "$0" "$@"' % limit]
    if os.getuid() != 0:
        return wrapper
    if not shutil.which("setpriv"):  # root could raise the limit again
        raise unittest.SkipTest("no setpriv here")
    return ["setpriv", "--bounding-set=-sys_resource"] + wrapper


class Daemon:
    """One keystoned with a data directory of its own; may be started again and again.

    The address it serves at is read from its port file, and it counts as ready once it answers
    PING and names its own PID.
    """

    def __init__(self, directory, *options, data=None, foreground=True, listen=("127.0.0.1:0",),
                 pid_file=None, environment=None, wrapper=()):
        self.directory = directory
        self.data = data or os.path.join(directory, "data")
        self.foreground = foreground
        self.pid_file = pid_file or (None if foreground else os.path.join(directory, "pid"))
        self.listen = listen
        self.options = list(options)
        self.wrapper = list(wrapper)
        self.pid = None
        self.addresses = []
        self._environment = environment or {}
        self._process = None
        self._starts = 0

    # ---- starting

    def argv(self):
        argv = self.wrapper + [KEYSTONED]
        if self.foreground:
            argv.append("--foreground")
        argv += ["--data-dir", self.data]
        for address in self.listen:
            argv += ["--listen", address]
        if self.pid_file:
            argv += ["--pid-file", self.pid_file]
        if IO_THREADS:
            argv += ["--io-threads", str(IO_THREADS)]
        return argv + self.options

    def start(self, timeout_s=30):
        """Returns once it serves; StartFailed if it ended instead."""
        self._empty_port_file()
        self.launch()
        if not self.foreground:
            self.wait_verdict(timeout_s)
        poll_until(self._serves, timeout_s, "the daemon answers; log: " + self.log())
        return self

    def launch(self):
        """Starts the process and waits for nothing."""
        self._starts += 1
        with open(self._stderr_path(), "wb") as stderr:
            self._process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL,
                                             stdout=stderr, stderr=stderr, cwd=self.directory,
                                             env=self._make_environment())
        self.pid = self._process.pid

    def wait_verdict(self, timeout_s=30):
        """Waits until the command that started a detached daemon has returned 0."""
        code = self._process.wait(timeout_s * SLOW)
        if code != 0:
            raise StartFailed(code, self.log())
        self.pid = int(read_text(self.pid_file))

    def start_fails(self, timeout_s=30):
        """Starts a daemon that must not come up; returns (exit code, stderr)."""
        self.launch()
        try:
            code = self._process.wait(timeout_s * SLOW)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("it runs, but should have refused: " + self.log()) from None
        return code, self.log()

    def restart(self):
        """Starts it again after it has ended."""
        return self.start()

    def _serves(self):
        if self.foreground and self._process.poll() is not None:
            raise StartFailed(self._process.returncode, self.log())
        self.addresses = self.read_addresses()
        if len(self.addresses) < max(1, len(self.listen)):
            return False
        try:
            with self.connect() as client:
                return (client.request("PING") == b"OK PONG"
                        and client.stats()["pid"] == str(self.pid))
        except OSError:
            return False

    def read_addresses(self):
        """What it listens at: from the port file, one address a line, those for clients of
        memcached and for monitors at the end; then Unix sockets.

        Where it could not write that file, its log says it."""
        found = [line.split()[-1] for line in self._port_file_lines()]
        if not found and "keystoned.port" in self.log():
            found = re.findall(r"listening on (\S+)", self.log())
        found += [a for a in self.listen if a.startswith("unix:") and a not in found]
        return sorted(found, key=lambda address: address.startswith("unix:"))

    def memcached_address(self):
        """The first one where it speaks memcached's protocol."""
        return self.addresses_for("memcached")[0]

    def addresses_for(self, whom):
        """Those that the port file marks so: "memcached" or "metrics"."""
        mark = whom + " "
        return [line[len(mark):] for line in self._port_file_lines() if line.startswith(mark)]

    def _port_file_lines(self):
        port_file = os.path.join(self.data, "keystoned.port")
        return read_text(port_file).splitlines() if os.path.isfile(port_file) else []

    def _empty_port_file(self):
        # So that a port of an earlier life, now perhaps a stranger's, is never asked.
        try:
            os.truncate(os.path.join(self.data, "keystoned.port"), 0)
        except (FileNotFoundError, IsADirectoryError):
            pass

    def _stderr_path(self):
        return os.path.join(self.directory, "stderr.%d" % self._starts)

    def _make_environment(self):
        environment = dict(os.environ)
        for name in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS"):
            environment.pop(name, None)
        if not self.foreground:  # its stderr goes nowhere
            for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
                path = os.path.join(self.directory, "sanitizer")
                environment[name] = "%s:log_path=%s" % (environment.get(name, ""), path)
        environment.update(self._environment)
        return environment

    # ---- talking to it

    def connect(self, address=None, **options):
        return Client(address or self.addresses[0], timeout_s=30 * SLOW, **options)

    def request(self, line):
        with self.connect() as client:
            return client.request(line)

    def stats(self):
        with self.connect() as client:
            return client.stats()

    def log(self):
        """What the last start has written to stderr: the log, in the foreground."""
        return read_text(self._stderr_path())

    def wait_log(self, text, timeout_s=20):
        poll_until(lambda: text in self.log(), timeout_s, "%r in the log" % text)

    def rss_kib(self):
        return int(self.status_field("VmRSS").split()[0])

    def status_field(self, name):
        for line in read_text("/proc/%d/status" % self.pid).splitlines():
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
        raise AssertionError("no %s of process %d" % (name, self.pid))

    def set_limit(self, limit, soft):
        """Changes a resource limit of the running daemon, the soft one only."""
        hard = resource.prlimit(self.pid, limit)[1]
        resource.prlimit(self.pid, limit, (soft, hard))

    def files(self, suffix=""):
        return sorted(name for name in os.listdir(self.data) if name.endswith(suffix))

    # ---- ending it

    def signal(self, number):
        os.kill(self.pid, number)

    def hup(self):
        self.signal(signal.SIGHUP)

    def term(self):
        self.signal(signal.SIGTERM)

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.wait_exit()

    def stop(self, timeout_s=20):
        """A clean stop; returns the exit code."""
        self.term()
        return self.wait_exit(timeout_s)

    def wait_exit(self, timeout_s=20):
        """Reaps it; the exit code, or minus the signal that ended it."""
        if self.foreground:
            code = self._process.wait(timeout_s * SLOW)
        else:
            code = poll_until(self._reap_detached, timeout_s, "the daemon ends")[0]
        self.pid = None
        return code

    def _reap_detached(self):
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # who has started it has not ended yet
            return None
        if pid == 0:
            return None
        return [-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)]

    def alive(self):
        """True while a daemon in the foreground has not ended."""
        return self._process.poll() is None

    def cleanup(self):
        """Ends it and fails where a sanitizer has complained in any of its lives."""
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if not self.foreground and self.pid and self.pid != self._process.pid:
                self.kill9()
        except (ProcessLookupError, ChildProcessError):
            pass
        reports = sanitizer_reports(self.directory)
        if reports:
            raise AssertionError("sanitizer report:\n" + reports)


def sanitizer_reports(directory):
    """Every stderr or sanitizer log under directory that holds a report."""
    texts = [read_text(os.path.join(directory, name)) for name in sorted(os.listdir(directory))
             if name.startswith(("stderr.", "sanitizer"))]
    return "\n".join(text for text in texts if any(mark in text for mark in SANITIZER_REPORTS))


class SystemTest(unittest.TestCase):
    """A test with a directory of its own and a bound on its time."""

    TIMEOUT_S = 120

    def setUp(self):
        adopt_orphans()
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.alarm(int(self.TIMEOUT_S * SLOW))
        self.addCleanup(signal.alarm, 0)
        self.directory = tempfile.mkdtemp(prefix="keystone-test-")
        os.chmod(self.directory, 0o711)  # a daemon that has dropped its privileges passes through
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self._daemons = 0

    def _on_alarm(self, _number, _frame):
        raise TestTimeout("%s ran for more than %g s" % (self.id(), self.TIMEOUT_S * SLOW))

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write_file(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def new_daemon(self, *options, **settings):
        """A daemon that is not started yet, in a directory of its own."""
        self._daemons += 1
        directory = self.path("daemon%d" % self._daemons)
        os.mkdir(directory)
        os.chmod(directory, 0o711)
        daemon = Daemon(directory, *options, **settings)
        self.addCleanup(daemon.cleanup)
        return daemon

    def start_daemon(self, *options, **settings):
        return self.new_daemon(*options, **settings).start()

    def connect(self, daemon, **options):
        client = daemon.connect(**options)
        self.addCleanup(client.close)
        return client

    def assert_start_refused(self, daemon, code, *texts):
        """The daemon must not start; its message must hold every one of texts."""
        found, stderr = daemon.start_fails()
        self.assertEqual(found, code, stderr)
        for text in texts:
            self.assertIn(text, stderr)
        return stderr


class _CountingResult(unittest.TextTestResult):
    succeeded = 0

    def addSuccess(self, test):  # noqa: N802, the name is unittest's
        super().addSuccess(test)
        self.succeeded += 1


def main():
    """Runs the file's tests; exit code 0 passed, 1 failed, 77 all skipped (automake's skip)."""
    runner = unittest.TextTestRunner(resultclass=_CountingResult, verbosity=2)
    result = unittest.main(module="__main__", testRunner=runner, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped and not result.succeeded else 0)
