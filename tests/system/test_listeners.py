#!/usr/bin/env python3
"""Where it listens, whom it becomes, and what it tells systemd and syslog."""

import os
import pwd
import signal
import socket
import stat

from harness import EX_UNAVAILABLE, StartFailed, SystemTest, main, poll_until, read_text


class Addresses(SystemTest):
    def test_port_0_is_told_in_the_port_file_and_in_the_log(self):
        daemon = self.start_daemon()
        text = read_text(os.path.join(daemon.data, "keystoned.port"))
        self.assertRegex(text, r"\A127\.0\.0\.1:[1-9]\d*\n\Z")
        self.assertIn(text.strip(), daemon.log())

    def test_two_listeners_serve_the_same_store(self):
        daemon = self.start_daemon(listen=("127.0.0.1:0", "127.0.0.1:0"))
        self.assertEqual(len(daemon.addresses), 2)
        with daemon.connect(daemon.addresses[0]) as one, daemon.connect(daemon.addresses[1]) as two:
            one.set("key", "value")
            self.assertEqual(two.get("key"), b"value")

    def test_ipv6(self):
        if not os.path.exists("/proc/net/if_inet6"):
            self.skipTest("no IPv6 here")
        daemon = self.start_daemon(listen=("[::1]:0",))
        self.assertTrue(daemon.addresses[0].startswith("[::1]:"), daemon.addresses)
        self.assertEqual(daemon.request("PING"), b"OK PONG")

    def test_ipv4_and_ipv6_can_share_a_port(self):
        if not os.path.exists("/proc/net/if_inet6"):
            self.skipTest("no IPv6 here")
        for _ in range(5):  # somebody else may have the other one
            first = self.start_daemon(listen=("[::1]:0",))
            port = first.addresses[0].rsplit(":", 1)[1]
            second = self.new_daemon(listen=("127.0.0.1:" + port,))
            try:
                self.assertEqual(second.start().request("PING"), b"OK PONG")
                return
            except StartFailed:
                continue
        self.fail("no port could be shared")

    def test_port_file_that_can_not_be_written_is_told_and_no_reason_not_to_serve(self):
        daemon = self.start_daemon()
        self.assertEqual(daemon.stop(), 0)
        os.mkdir(os.path.join(daemon.data, "keystoned.port"))
        self.assertEqual(daemon.restart().request("PING"), b"OK PONG")
        self.assertRegex(daemon.log(), "rename to .*keystoned.port: ")

    def test_restart_can_bind_the_same_port_at_once(self):
        daemon = self.start_daemon()
        client = self.connect(daemon)
        client.request("PING")
        daemon.listen = daemon.addresses[:1]
        daemon.kill9()  # leaves the client's connection behind
        self.assertEqual(daemon.restart().request("PING"), b"OK PONG")


class UnixSockets(SystemTest):
    def setUp(self):
        super().setUp()
        self.socket = self.path("socket")
        self.listen = ("unix:" + self.socket,)

    def mode(self):
        info = os.stat(self.socket)
        self.assertTrue(stat.S_ISSOCK(info.st_mode))
        return info.st_mode & 0o777

    def test_it_serves_with_the_default_mode(self):
        daemon = self.start_daemon(listen=self.listen)
        self.assertEqual(daemon.request("PING"), b"OK PONG")
        self.assertEqual(self.mode(), 0o660)

    def test_mode_is_the_one_asked_for(self):
        self.start_daemon("--unix-mode", "0600", listen=self.listen)
        self.assertEqual(self.mode(), 0o600)

    def test_stale_socket_is_replaced(self):
        daemon = self.start_daemon(listen=self.listen)
        daemon.kill9()
        self.assertTrue(os.path.exists(self.socket))
        self.assertEqual(daemon.restart().request("PING"), b"OK PONG")

    def test_live_socket_is_refused(self):
        first = self.start_daemon(listen=self.listen)
        self.assert_start_refused(self.new_daemon(listen=self.listen), EX_UNAVAILABLE, self.socket)
        self.assertEqual(first.request("PING"), b"OK PONG")

    def test_file_that_is_no_socket_is_never_removed(self):
        self.write_file("socket", "precious")
        code, stderr = self.new_daemon(listen=self.listen).start_fails()
        self.assertNotEqual(code, 0)
        self.assertIn(self.socket, stderr)
        self.assertEqual(read_text(self.socket), "precious")

    def test_socket_goes_with_a_clean_stop(self):
        self.assertEqual(self.start_daemon(listen=self.listen).stop(), 0)
        self.assertFalse(os.path.exists(self.socket))


class Privileges(SystemTest):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("only root can become another user")
        self.nobody = pwd.getpwnam("nobody")

    def start_as_nobody(self, *options):
        daemon = self.new_daemon("--user", "nobody", *options)
        os.mkdir(daemon.data, 0o700)
        os.chown(daemon.data, self.nobody.pw_uid, self.nobody.pw_gid)
        return daemon.start()

    def test_user_group_and_supplementary_groups_are_dropped(self):
        daemon = self.start_as_nobody()
        self.assertEqual(daemon.status_field("Uid").split(), [str(self.nobody.pw_uid)] * 4)
        self.assertEqual(daemon.status_field("Gid").split(), [str(self.nobody.pw_gid)] * 4)
        groups = {int(group) for group in daemon.status_field("Groups").split()}
        self.assertLessEqual(groups, set(os.getgrouplist("nobody", self.nobody.pw_gid)))
        self.assertEqual(int(daemon.status_field("CapEff"), 16), 0)

    def test_group_can_be_chosen(self):
        daemon = self.start_as_nobody("--group", "daemon")
        self.assertEqual(len(set(daemon.status_field("Gid").split())), 1)
        self.assertNotEqual(daemon.status_field("Gid").split()[0], str(self.nobody.pw_gid))

    def test_files_belong_to_the_user(self):
        daemon = self.start_as_nobody()
        daemon.request("SET key value")
        for name in daemon.files():
            self.assertEqual(os.stat(os.path.join(daemon.data, name)).st_uid, self.nobody.pw_uid)
        self.assertEqual(daemon.stop(), 0)

    def test_staying_root_is_worth_a_warning(self):
        self.assertIn("root", self.start_daemon().log())


class Notification(SystemTest):
    def setUp(self):
        super().setUp()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.setblocking(False)
        self.received = []

    def told(self, line):
        """True once a datagram with this line has come."""
        try:
            while True:
                self.received += self.socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            return line in self.received

    def start_notifying(self, address):
        self.socket.bind(address)
        name = "@" + address[1:] if address.startswith("\0") else address
        return self.start_daemon(environment={"NOTIFY_SOCKET": name})

    def test_ready_reloading_and_stopping_are_told(self):
        daemon = self.start_notifying(self.path("notify"))
        poll_until(lambda: self.told("READY=1"), what="READY=1")
        self.received.clear()
        daemon.hup()
        poll_until(lambda: self.told("RELOADING=1"), what="RELOADING=1")
        poll_until(lambda: self.told("READY=1"), what="READY=1 after RELOADING=1")
        self.assertEqual(daemon.stop(), 0)
        self.assertTrue(self.told("STOPPING=1"), self.received)

    def test_abstract_socket(self):
        self.start_notifying("\0keystone-test-%d" % os.getpid())
        poll_until(lambda: self.told("READY=1"), what="READY=1")

    def test_a_socket_that_nobody_reads_does_no_harm(self):
        daemon = self.start_daemon(environment={"NOTIFY_SOCKET": self.path("absent")})
        self.assertEqual(daemon.request("PING"), b"OK PONG")


class Logging(SystemTest):
    def test_usr1_logs_the_stats(self):
        daemon = self.start_daemon("--log-level", "error")
        daemon.signal(signal.SIGUSR1)
        for name in ("connections_total", "log_bytes", "fsync_policy", "keys"):
            daemon.wait_log(name)

    def test_lines_begin_with_the_name_of_the_program(self):
        daemon = self.start_daemon()
        daemon.stop()
        lines = daemon.log().splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertTrue(line.startswith("keystoned: "), line)

    def test_level_error_hides_the_chatter(self):
        daemon = self.start_daemon("--log-level", "error")
        self.assertEqual(daemon.request("COMPACT"), b"OK")
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(daemon.log(), "")

    def test_level_debug_shows_each_record_with_its_key_escaped(self):
        daemon = self.start_daemon("--log-level", "debug")
        daemon.request("SET base64:awFl value")  # k, 0x01, e
        daemon.wait_log("k\\x01e")
        self.assertIn("000000000001", daemon.log())

    def test_level_info_does_not_show_records(self):
        daemon = self.start_daemon()
        daemon.request("SET secret-key value")
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("secret-key", daemon.log())


if __name__ == "__main__":
    main()
