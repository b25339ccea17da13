#!/usr/bin/env python3
"""Start and stop: detaching, PID file, locks, second instances, exit codes."""

import fcntl
import os
import signal

from harness import (EX_CANTCREAT, EX_CONFIG, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, SystemTest, main,
                     read_text)


def is_locked(path):
    """True where another process holds the file's flock."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Detaching(SystemTest):
    def test_it_serves_once_the_command_returns(self):
        daemon = self.new_daemon(foreground=False)
        daemon.launch()
        daemon.wait_verdict()
        address = daemon.read_addresses()[0]
        with daemon.connect(address) as client:  # at once, no second try
            self.assertEqual(client.request("PING"), b"OK PONG")

    def test_it_leaves_session_terminal_and_directory_of_its_parent(self):
        daemon = self.start_daemon(foreground=False)
        self.assertNotEqual(os.getsid(daemon.pid), os.getsid(0))
        self.assertNotEqual(os.getsid(daemon.pid), daemon.pid)  # no leader: no terminal ever
        self.assertEqual(os.readlink("/proc/%d/cwd" % daemon.pid), "/")
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (daemon.pid, fd)), "/dev/null")

    def test_failed_start_prints_the_error_and_returns_the_code(self):
        daemon = self.new_daemon(foreground=False)
        os.mkdir(daemon.data)
        os.chmod(daemon.data, 0o777)
        self.assert_start_refused(daemon, EX_NOPERM, "keystoned: ", daemon.data)
        self.assertFalse(os.path.exists(daemon.pid_file))

    def test_failed_bind_is_told_by_the_command_too(self):
        first = self.start_daemon()
        second = self.new_daemon(foreground=False, listen=first.addresses[:1])
        self.assert_start_refused(second, EX_UNAVAILABLE, first.addresses[0])

    def test_clean_stop_exits_0_and_removes_the_pid_file(self):
        daemon = self.start_daemon(foreground=False)
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(daemon.pid_file))

    def test_relative_paths_mean_the_directory_of_the_caller(self):
        daemon = self.new_daemon(foreground=False)
        daemon.data, daemon.pid_file = "relative", "relative.pid"
        daemon.launch()
        daemon.data = os.path.join(daemon.directory, "relative")
        daemon.pid_file = os.path.join(daemon.directory, "relative.pid")
        daemon.wait_verdict()
        self.assertIn("MANIFEST", daemon.files())


class Stopping(SystemTest):
    def test_term_exits_0(self):
        self.assertEqual(self.start_daemon().stop(), 0)

    def test_int_exits_0(self):
        daemon = self.start_daemon()
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_what_was_written_is_there_after_a_stop(self):
        daemon = self.start_daemon()
        self.assertEqual(daemon.request("SET key value"), b"OK")
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(daemon.restart().request("GET key"), b"VALUE value")

    def test_start_after_kill_9_needs_no_help(self):
        daemon = self.start_daemon(foreground=False)
        self.assertEqual(daemon.request("SET key value"), b"OK")
        daemon.kill9()
        self.assertTrue(os.path.exists(daemon.pid_file))
        self.assertEqual(daemon.restart().request("GET key"), b"VALUE value")

    def test_idle_client_does_not_hold_the_stop(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        self.assertEqual(client.request("PING"), b"OK PONG")
        self.assertEqual(daemon.stop(timeout_s=20), 0)
        self.assertEqual(client.read_all(), b"")


class PidFile(SystemTest):
    def test_it_holds_the_pid_and_stays_locked(self):
        daemon = self.start_daemon(foreground=False)
        self.assertEqual(read_text(daemon.pid_file), "%d\n" % daemon.pid)
        self.assertTrue(is_locked(daemon.pid_file))

    def test_foreground_writes_one_only_where_asked_to(self):
        daemon = self.start_daemon(pid_file=self.path("pid"))
        self.assertEqual(read_text(self.path("pid")), "%d\n" % daemon.pid)
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_second_instance_with_the_same_pid_file_is_refused(self):
        first = self.start_daemon(pid_file=self.path("pid"))
        second = self.new_daemon(pid_file=self.path("pid"))
        self.assert_start_refused(second, EX_UNAVAILABLE, self.path("pid"))
        self.assertEqual(read_text(self.path("pid")), "%d\n" % first.pid)
        self.assertEqual(first.request("PING"), b"OK PONG")

    def test_stale_file_with_the_pid_of_a_living_stranger_is_taken_over(self):
        self.write_file("pid", "%d\n" % os.getpid())
        daemon = self.start_daemon(pid_file=self.path("pid"))
        self.assertEqual(read_text(self.path("pid")), "%d\n" % daemon.pid)

    def test_stale_file_with_garbage_is_taken_over(self):
        self.write_file("pid", "not a number, and longer than any PID could ever be\n")
        daemon = self.start_daemon(pid_file=self.path("pid"))
        self.assertEqual(read_text(self.path("pid")), "%d\n" % daemon.pid)

    def test_missing_directory_is_told_with_cant_create(self):
        daemon = self.new_daemon(pid_file=self.path("missing", "pid"))
        self.assert_start_refused(daemon, EX_CANTCREAT, self.path("missing", "pid"))

    def test_stop_leaves_a_pid_file_that_somebody_has_replaced(self):
        daemon = self.start_daemon(pid_file=self.path("pid"))
        os.rename(self.path("pid"), self.path("moved"))
        self.write_file("pid", "a stranger's\n")
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(read_text(self.path("pid")), "a stranger's\n")


class DataDirectory(SystemTest):
    def test_second_instance_with_another_pid_file_is_refused(self):
        first = self.start_daemon(pid_file=self.path("one"))
        second = self.new_daemon(data=first.data, pid_file=self.path("two"))
        self.assert_start_refused(second, EX_UNAVAILABLE, first.data)
        self.assertEqual(first.request("PING"), b"OK PONG")

    def test_address_in_use_is_refused_by_name(self):
        first = self.start_daemon()
        second = self.new_daemon(listen=first.addresses[:1])
        self.assert_start_refused(second, EX_UNAVAILABLE, first.addresses[0])

    def test_files_are_private_whatever_the_umask(self):
        wrapper = ["/bin/sh", "-c", 'umask 0; exec "$0" "$@"']
        daemon = self.start_daemon("--segment-size", "4k", pid_file=self.path("pid"),
                                   wrapper=wrapper)
        for n in range(100):
            daemon.request("SET key-%d %s" % (n, "x" * 100))
        self.assertEqual(daemon.request("COMPACT"), b"OK")
        self.assertEqual(os.stat(daemon.data).st_mode & 0o777, 0o700)
        for name in daemon.files():
            try:
                mode = os.stat(os.path.join(daemon.data, name)).st_mode & 0o777
            except FileNotFoundError:  # a hint has got its name
                continue
            allowed = (0o600, 0o640, 0o644) if name == "keystoned.port" else (0o600,)
            self.assertIn(mode, allowed, name)
        self.assertEqual(os.stat(self.path("pid")).st_mode & 0o022, 0)

    def test_group_writable_directory_is_refused_and_left_alone(self):
        self.refuses_mode(0o770)

    def test_world_writable_directory_is_refused_and_left_alone(self):
        self.refuses_mode(0o777)

    def refuses_mode(self, mode):
        daemon = self.new_daemon()
        os.mkdir(daemon.data)
        os.chmod(daemon.data, mode)
        self.assert_start_refused(daemon, EX_NOPERM, daemon.data)
        self.assertEqual(os.stat(daemon.data).st_mode & 0o777, mode)
        self.assertEqual(daemon.files(".log"), [])

    def test_directory_of_another_owner_is_refused_and_left_alone(self):
        if os.getuid() != 0:
            self.skipTest("only root can give a directory away")
        daemon = self.new_daemon()
        os.mkdir(daemon.data, 0o700)
        os.chown(daemon.data, 65534, 65534)
        self.assert_start_refused(daemon, EX_NOPERM, daemon.data)
        self.assertEqual(os.stat(daemon.data).st_uid, 65534)

    def test_file_in_place_of_the_directory_is_refused(self):
        daemon = self.new_daemon()
        self.write_file("daemon1/data", "not a directory")
        code, stderr = daemon.start_fails()
        self.assertIn(code, (EX_CANTCREAT, EX_NOPERM, EX_CONFIG), stderr)
        self.assertIn(daemon.data, stderr)

    def test_missing_parent_directory_is_told_with_cant_create(self):
        daemon = self.new_daemon(data=self.path("missing", "data"))
        self.assert_start_refused(daemon, EX_CANTCREAT, self.path("missing", "data"))

    def test_lock_survives_a_stop_and_is_never_unlinked(self):
        daemon = self.start_daemon()
        path = os.path.join(daemon.data, "LOCK")
        inode = os.stat(path).st_ino
        self.assertTrue(is_locked(path))
        daemon.stop()
        self.assertEqual(os.stat(path).st_ino, inode)
        self.assertFalse(is_locked(path))


def targets(daemon):
    """What the open descriptors of a daemon lead to; it may close one while this looks."""
    directory = "/proc/%d/fd" % daemon.pid
    found = []
    for name in os.listdir(directory):
        try:
            found.append(os.readlink(os.path.join(directory, name)))
        except FileNotFoundError:
            pass
    return found


class InheritedDescriptors(SystemTest):
    def setUp(self):
        super().setUp()
        self.lock = self.write_file("lock", "")
        self.wrapper = ["/bin/sh", "-c", 'exec "$0" "$@" 7<"%s"' % self.lock]

    def test_a_daemon_keeps_none(self):
        daemon = self.start_daemon(foreground=False, wrapper=self.wrapper)
        self.assertNotIn(self.lock, targets(daemon))

    def test_in_the_foreground_they_are_kept(self):  # for flock --no-fork
        daemon = self.start_daemon(wrapper=self.wrapper)
        self.assertIn(self.lock, targets(daemon))

    def test_one_can_hold_the_configuration(self):
        with open(self.lock, "w", encoding="utf-8") as file:
            file.write("fsync = no\n")
        daemon = self.start_daemon("--config", "/dev/fd/7", foreground=False, wrapper=self.wrapper)
        self.assertEqual(daemon.stats()["fsync_policy"], "no")


class StandardDescriptors(SystemTest):
    def test_closed_stdin_stdout_and_stderr_are_made_safe(self):
        wrapper = ["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-']
        daemon = self.start_daemon(wrapper=wrapper)
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (daemon.pid, fd)), "/dev/null")
        daemon.hup()  # logs something
        self.assertEqual(daemon.request("SET key value"), b"OK")
        daemon.kill9()
        self.assertEqual(daemon.restart().request("GET key"), b"VALUE value")


class UnknownUser(SystemTest):
    def test_it_is_refused_by_name(self):
        code, stderr = self.new_daemon("--user", "no-such-user").start_fails()
        self.assertIn(code, (EX_USAGE, EX_CONFIG), stderr)
        self.assertIn("no-such-user", stderr)


if __name__ == "__main__":
    main()
