#!/usr/bin/env python3
"""keystone-cli: one command, commands from a pipe, the prompt, load and export."""

import contextlib
import os
import pty
import stat
import subprocess

from harness import KEYSTONE_CLI, SystemTest, main, poll_until, run


class CliTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon(listen=("127.0.0.1:0", "unix:" + self.path("socket")))

    def cli(self, *arguments, stdin=None, daemon=None):
        host, port = (daemon or self.daemon).addresses[0].split(":")
        return run(KEYSTONE_CLI, "-h", host, "-p", port, *arguments, stdin=stdin)

    def contents(self, daemon=None):
        with (daemon or self.daemon).connect() as client:
            return client.contents()


class OneCommand(CliTest):
    def test_get_prints_the_value_and_returns_0(self):
        self.daemon.request("SET key some value")
        result = self.cli("GET", "key")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "some value\n", ""))

    def test_not_found_returns_1(self):
        for command in ("GET", "DELETE", "EXISTS"):
            result = self.cli(command, "absent")
            self.assertEqual(result.returncode, 1, command)

    def test_error_returns_2_and_goes_to_stderr(self):
        result = self.cli("NONSENSE")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("unknown command", result.stderr)

    def test_no_daemon_returns_2_and_names_the_address(self):
        self.daemon.stop()
        result = self.cli("PING")
        self.assertEqual(result.returncode, 2)
        self.assertIn(self.daemon.addresses[0], result.stderr)

    def test_set_with_a_value_of_several_words(self):
        self.assertEqual(self.cli("SET", "key", "two words").returncode, 0)
        self.assertEqual(self.contents(), {b"key": b"two words"})

    def test_a_line_break_in_a_value_can_not_smuggle_a_command(self):
        result = self.cli("SET", "key", "value\nSET other smuggled")
        self.assertIn(result.returncode, (0, 2))
        self.assertNotIn(b"other", self.contents())

    def test_delete_and_exists_return_0_where_there_is_a_key(self):
        self.daemon.request("SET key value")
        self.assertEqual(self.cli("EXISTS", "key").returncode, 0)
        self.assertEqual(self.cli("DELETE", "key").returncode, 0)
        self.assertEqual(self.contents(), {})

    def test_replies_of_several_lines_are_printed_whole(self):
        result = self.cli("STATS")
        self.assertEqual(result.returncode, 0)
        self.assertIn("\nfsync_policy everysec\n", result.stdout)

    def test_keys_of_a_prefix_that_a_line_can_not_carry(self):
        with self.daemon.connect() as client:
            for key in ("a b1", "a b2", "a b*", "a", "base64:x"):
                client.set(key, "1")
        self.assertEqual(self.cli("KEYS", "a b*").stdout,
                         "base64:YSBiKg==\nbase64:YSBiMQ==\nbase64:YSBiMg==\n")
        self.assertEqual(self.cli("KEYS", "base64:*").stdout, "base64:YmFzZTY0Ong=\n")
        self.assertEqual(self.cli("KEYS", "a").stdout, "a\n")
        for words in (("KEYS", ""), ("KEYS", "absent*"), ("RANGE", "x", "y")):
            nothing = self.cli(*words)
            self.assertEqual((nothing.returncode, nothing.stdout), (0, ""))

    def test_a_command_that_begins_with_an_asterisk_is_refused(self):
        result = self.cli("*1")
        self.assertEqual(result.returncode, 64)
        self.assertIn("'*'", result.stderr)

    def test_unix_socket(self):
        result = run(KEYSTONE_CLI, "-s", self.path("socket"), "PING")
        self.assertEqual(result.returncode, 0)
        self.assertIn("PONG", result.stdout)

    def test_help_and_version(self):
        self.assertEqual(run(KEYSTONE_CLI, "--help").returncode, 0)
        self.assertRegex(run(KEYSTONE_CLI, "--version").stdout, r"\d+\.\d+\.\d+")


class FromAPipe(CliTest):
    def test_commands_are_executed_in_order(self):
        result = self.cli(stdin="SET key value\nGET key\nDELETE key\nCOUNT\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("value", result.stdout)
        self.assertEqual(self.contents(), {})

    def test_nothing_in_nothing_out(self):
        result = self.cli(stdin="")
        self.assertEqual((result.returncode, result.stdout), (0, ""))


class Prompt(CliTest):
    """On a terminal."""

    def setUp(self):
        super().setUp()
        host, port = self.daemon.addresses[0].split(":")
        self.terminal, other_end = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.process = subprocess.Popen(
            [KEYSTONE_CLI, "-h", host, "-p", port], stdin=other_end, stdout=other_end,
            stderr=other_end, start_new_session=True,
            env=dict(os.environ, HOME=self.directory, TERM="dumb"))
        os.close(other_end)
        self.addCleanup(self.end)
        self.shown = b""
        self.wait_for(b"keystone> ")

    def end(self):
        self.process.kill()
        self.process.wait()

    def wait_for(self, text):
        """Until that is shown behind what was waited for before."""
        while text not in self.shown:
            self.shown += os.read(self.terminal, 4096)
        self.shown = self.shown[self.shown.index(text) + len(text):]

    def type(self, keys, *shown):
        os.write(self.terminal, keys)
        for text in shown:
            self.wait_for(text)

    def ends_at_the_end_of_input(self):
        """The prompt may be shown before the terminal leaves that key to the program, which takes what
        came of it for a part of the line: that is cleared first."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended
                os.write(self.terminal, b"\x15\x04")
        return self.process.poll() is not None

    def test_commands_are_answered_until_quit(self):
        self.type(b"SET key some value\n", b"\nOK\r\n", b"keystone> ")
        self.type(b"  GET key\n", b"\nVALUE some value\r\n", b"keystone> ")
        self.type(b"\n", b"keystone> ")
        self.type(b"KEYS k*\n", b"\nOK 1\r\nkey\r\n", b"keystone> ")
        self.type(b"quit\n", b"\nOK\r\n")
        self.assertEqual(self.process.wait(timeout=60), 0)

    def test_the_first_word_is_completed(self):
        self.type(b"SE\t", b"SET ")
        self.type(b"key value\n", b"\nOK\r\n", b"keystone> ")

    def test_a_command_without_arguments_is_completed_without_a_space(self):
        self.type(b"vers\t", b"VERSION")
        self.type(b"\n", b"\nOK keystonelight ", b"keystone> ")

    def test_a_line_that_begins_with_an_asterisk_is_refused(self):
        self.type(b"*1\n", b"\nERROR ", b"keystone> ")
        self.type(b"PING\n", b"\nOK PONG\r\n", b"keystone> ")

    def test_the_end_of_input_ends_it_and_what_was_typed_is_kept(self):
        self.type(b"SET key secret\n", b"\nOK\r\n", b"keystone> ")
        poll_until(self.ends_at_the_end_of_input, what="it ends")
        self.assertEqual(self.process.returncode, 0)
        history = self.path(".keystone_history")
        self.assertEqual(stat.S_IMODE(os.stat(history).st_mode), 0o600)
        with open(history, encoding="utf-8") as file:
            self.assertIn("SET", file.read())

    def test_a_daemon_that_goes_ends_it_with_an_error(self):
        self.type(b"PING\n", b"\nOK PONG\r\n", b"keystone> ")
        self.daemon.stop()
        self.type(b"PING\n", b"closed the connection")
        self.assertEqual(self.process.wait(timeout=60), 2)


class LoadAndExport(CliTest):
    def test_load_from_a_file(self):
        path = self.write_file("data", "one\t1\ntwo\tvalue with\ttabs and spaces\nthree\t\n")
        result = self.cli("load", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.contents(), {b"one": b"1", b"two": b"value with\ttabs and spaces",
                                           b"three": b""})

    def test_load_from_a_pipe(self):
        self.assertEqual(self.cli("load", stdin="one\t1\ntwo\t2\n").returncode, 0)
        self.assertEqual(self.contents(), {b"one": b"1", b"two": b"2"})

    def test_load_of_many_lines_is_complete(self):
        lines = "".join("key-%d\tvalue-%d\n" % (n, n) for n in range(50000))
        result = self.cli("load", stdin=lines)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.daemon.request("COUNT"), b"OK 50000")
        self.assertEqual(self.daemon.request("GET key-49999"), b"VALUE value-49999")

    def test_load_of_a_bad_line_fails_and_names_it(self):
        result = self.cli("load", stdin="one\t1\nno tab here\nthree\t3\n")
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"\b2\b")

    def test_load_of_a_missing_file_fails_and_names_it(self):
        result = self.cli("load", self.path("absent"))
        self.assertEqual(result.returncode, 2)
        self.assertIn(self.path("absent"), result.stderr)

    def test_load_fails_where_the_daemon_refuses_a_line(self):
        result = self.cli("load", stdin="good\t1\n%s\t2\nalso-good\t3\n" % ("k" * 2000))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("key too long", result.stderr)

    def test_export_chooses_by_prefix(self):
        self.cli("load", stdin="ape-1\ta\nape-2\tb\nbee-1\tc\n")
        result = self.cli("export", "ape-")
        self.assertEqual(sorted(result.stdout.splitlines()), ["ape-1\ta", "ape-2\tb"])

    def test_export_and_load_copy_a_store_of_any_bytes(self):
        with self.daemon.connect() as client:
            for byte in range(256):
                client.set(b"key %c" % byte, b"%c value" % byte)
            client.set("base64:", "base64:no")
            client.set("empty", "")
            client.set("grüße", "こんにちは")
        lines = self.cli("export", stdin=b"").stdout
        other = self.start_daemon()
        result = self.cli("load", stdin=lines, daemon=other)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.contents(other), self.contents())
        again = self.cli("export", stdin=b"", daemon=other).stdout
        self.assertEqual(sorted(again.splitlines()), sorted(lines.splitlines()))


if __name__ == "__main__":
    main()
