#!/usr/bin/env python3
"""Command line and configuration file: what is accepted, and how what is not is refused."""

import os

from harness import (EX_CONFIG, EX_USAGE, KEYSTONE_BENCH, KEYSTONE_CLI, KEYSTONE_LOG, KEYSTONED, TOP,
                     SystemTest, main, run)


class CommandLine(SystemTest):
    def refused(self, *options):
        result = run(KEYSTONED, "--foreground", "--data-dir", self.path("data"), *options)
        self.assertEqual(result.returncode, EX_USAGE, result.stderr)
        self.assertTrue(result.stderr.startswith("keystoned: "), result.stderr)
        self.assertFalse(os.path.exists(self.path("data")))
        return result.stderr

    def test_help_lists_the_options_on_stdout(self):
        result = run(KEYSTONED, "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("--config", "--listen", "--data-dir", "--pid-file", "--fsync",
                       "--foreground", "--check-config", "--segment-size"):
            self.assertIn(option, result.stdout)

    def test_version_names_the_program(self):
        result = run(KEYSTONED, "--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"keyston\w+ \d+\.\d+\.\d+")

    def test_unknown_option_is_refused_by_name(self):
        self.assertIn("no-such-option", self.refused("--no-such-option"))

    def test_unknown_option_that_looks_like_a_placeholder_is_refused_by_all_programs(self):
        for program in (KEYSTONED, KEYSTONE_CLI, KEYSTONE_LOG, KEYSTONE_BENCH):
            result = run(program, "--%original_token%")
            self.assertEqual(result.returncode, EX_USAGE, result.stderr)
            self.assertIn("unrecognised option '--%original_token%'", result.stderr)

    def test_stray_argument_is_refused(self):
        self.assertIn("stray-argument", self.refused("stray-argument"))

    def test_bad_fsync_policy_is_refused_by_name(self):
        message = self.refused("--fsync", "sometimes")
        self.assertIn("fsync", message)
        self.assertIn("sometimes", message)

    def test_bad_size_is_refused_by_name(self):
        self.assertIn("segment-size", self.refused("--segment-size", "12parsecs"))

    def test_segment_size_below_its_minimum_is_refused(self):
        self.assertIn("segment-size", self.refused("--segment-size", "1k"))

    def test_bad_time_is_refused_by_name(self):
        self.assertIn("idle-timeout", self.refused("--idle-timeout", "5 fortnights"))

    def test_negative_number_is_refused(self):
        self.assertIn("max-connections", self.refused("--max-connections", "-1"))

    def test_key_size_over_the_hard_limit_is_refused(self):
        self.assertIn("max-key-size", self.refused("--max-key-size", "65536"))

    def test_value_size_over_the_hard_limit_is_refused(self):
        self.assertIn("max-value-size", self.refused("--max-value-size", "2g"))

    def test_bad_listen_address_is_refused_by_name(self):
        self.assertIn("127.0.0.1:notaport", self.refused("--listen", "127.0.0.1:notaport"))

    def test_port_out_of_range_is_refused(self):
        self.assertIn("65536", self.refused("--listen", "127.0.0.1:65536"))

    def test_bad_log_level_is_refused_by_name(self):
        self.assertIn("log-level", self.refused("--log-level", "chatty"))

    def test_bad_syslog_facility_is_refused_by_name(self):
        self.assertIn("syslog-facility", self.refused("--syslog-facility", "local8"))

    def test_bad_unix_mode_is_refused_by_name(self):
        self.assertIn("unix-mode", self.refused("--unix-mode", "0999"))


class ConfigurationFile(SystemTest):
    def check(self, text):
        path = self.write_file("keystoned.conf", text)
        return run(KEYSTONED, "--check-config", "--config", path)

    def test_good_file_passes_the_check_and_nothing_is_created(self):
        result = self.check("# a comment\n\nlisten = 127.0.0.1:0\ndata-dir = %s\n"
                            "fsync = always\nsegment-size = 64m\nidle-timeout = 5m\n"
                            % self.path("data"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertFalse(os.path.exists(self.path("data")))

    def test_unknown_name_is_refused_by_name(self):
        result = self.check("colour = blue\n")
        self.assertEqual(result.returncode, EX_CONFIG)
        self.assertIn("colour", result.stderr)

    def test_bad_value_is_refused_by_name(self):
        result = self.check("fsync = perhaps\n")
        self.assertEqual(result.returncode, EX_CONFIG)
        self.assertIn("fsync", result.stderr)
        self.assertIn("perhaps", result.stderr)

    def test_missing_file_is_refused_by_name(self):
        result = run(KEYSTONED, "--check-config", "--config", self.path("absent.conf"))
        self.assertEqual(result.returncode, EX_CONFIG)
        self.assertIn("absent.conf", result.stderr)

    def test_line_that_is_no_assignment_is_refused(self):
        self.assertEqual(self.check("just some words\n").returncode, EX_CONFIG)

    def test_daemon_refuses_the_file_that_the_check_refuses(self):
        path = self.write_file("keystoned.conf", "fsync = perhaps\n")
        self.assert_start_refused(self.new_daemon("--config", path), EX_CONFIG, "perhaps")

    def test_values_of_the_file_are_used(self):
        path = self.write_file("keystoned.conf", "fsync = always\nmax-key-size = 10\n")
        daemon = self.start_daemon("--config", path)
        self.assertEqual(daemon.stats()["fsync_policy"], "always")
        self.assertEqual(daemon.request("SET 12345678901 x"),
                         b"ERROR key too long: 11 bytes, the limit is 10")

    def test_command_line_wins_over_the_file(self):
        path = self.write_file("keystoned.conf", "fsync = always\n")
        daemon = self.start_daemon("--config", path, "--fsync", "no")
        self.assertEqual(daemon.stats()["fsync_policy"], "no")

    def test_listen_on_the_command_line_replaces_those_of_the_file(self):
        path = self.write_file("keystoned.conf", "listen = unix:%s\n" % self.path("unwanted"))
        self.start_daemon("--config", path)
        self.assertFalse(os.path.exists(self.path("unwanted")))

    def test_listen_can_be_given_more_than_once_in_the_file(self):
        path = self.write_file("keystoned.conf",
                               "listen = 127.0.0.1:0\nlisten = unix:%s\n" % self.path("socket"))
        daemon = self.new_daemon("--config", path, listen=())
        daemon.start()
        for address in (daemon.addresses[0], "unix:" + self.path("socket")):
            with daemon.connect(address) as client:
                self.assertEqual(client.request("PING"), b"OK PONG")

    def test_shipped_file_passes_the_check(self):
        places = [os.path.join(place, "etc", "keystoned.conf") for place in (os.getcwd(), TOP)]
        found = [path for path in places if os.path.exists(path)]
        if not found:
            self.skipTest("etc/keystoned.conf is not built")
        result = run(KEYSTONED, "--check-config", "--config", found[0])
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_shipped_file_passes_the_check_with_every_setting_switched_on(self):
        places = [os.path.join(place, "etc", "keystoned.conf") for place in (os.getcwd(), TOP)]
        found = [path for path in places if os.path.exists(path)]
        if not found:
            self.skipTest("etc/keystoned.conf is not built")
        with open(found[0], encoding="utf-8") as file:
            lines = [line.lstrip("#").strip() for line in file]
        settings = [line for line in lines if _is_setting(line)]
        self.assertGreater(len(settings), 5)
        result = self.check("\n".join(settings) + "\n")
        self.assertEqual(result.returncode, 0, result.stderr)


def _is_setting(line):
    name, equals, value = line.partition(" = ")
    return bool(equals and value and name.replace("-", "").isalpha())


if __name__ == "__main__":
    main()
