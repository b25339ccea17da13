#!/usr/bin/env python3
"""The README's demonstration: the machine's own service and word lists, kept through kill -9."""

import os
import shutil

from harness import KEYSTONE_CLI, SystemTest, main, poll_until, run

SERVICES = "/etc/services"
WORDS = "/usr/share/dict/words"
SERVICES_AWK = """$1 !~ /^#/ && NF > 1 { split($2, p, "/"); print $1 "/" p[2] "\\t" p[1] }"""
WORDS_AWK = """{ print $0 "\\t" NR }"""


class Demonstration(SystemTest):
    def setUp(self):
        super().setUp()
        for path in (SERVICES, WORDS):
            if not os.path.exists(path):
                self.skipTest(path + " is not installed")
        self.daemon = self.start_daemon(foreground=False)

    def load(self, awk, path):
        host, port = self.daemon.addresses[0].split(":")
        lines = run("awk", awk, path).stdout
        result = run(KEYSTONE_CLI, "-h", host, "-p", port, "load", stdin=lines)
        self.assertEqual(result.returncode, 0, result.stderr)
        return dict(line.split("\t", 1) for line in lines.splitlines())

    def ask(self, *lines):
        """What netcat prints for these requests; a socket where there is no netcat."""
        text = "".join(line + "\n" for line in lines)
        host, port = self.daemon.addresses[0].split(":")
        if shutil.which("nc"):
            return run("nc", "-N", host, port, stdin=text).stdout.splitlines()
        with self.daemon.connect() as client:
            client.send_raw(text.encode())
            client.end_sending()
            return client.read_all().decode().splitlines()

    def log_on_disk(self):
        return sum(os.path.getsize(os.path.join(self.daemon.data, name))
                   for name in self.daemon.files(".log"))

    def test_it_goes_as_the_readme_says(self):
        services = self.load(SERVICES_AWK, SERVICES)
        words = self.load(WORDS_AWK, WORDS)
        self.assertEqual(services["ssh/tcp"], "22")
        self.assertGreater(len(words), 50000)
        expected = {**services, **words}
        self.assertEqual(self.ask("COUNT"), ["OK %d" % len(expected)])
        questions = ["GET ssh/tcp", "GET domain/udp", "GET zebra", "GET no-such-word"]
        answers = ["VALUE 22", "VALUE 53", "VALUE " + words["zebra"], "NOT_FOUND"]
        self.assertEqual(self.ask(*questions), answers)

        self.assertEqual(self.ask("SET zebra striped", "DELETE ssh/tcp"), ["OK", "OK"])
        self.load(WORDS_AWK, WORDS)  # again: half of the log is stale now
        self.assertEqual(self.ask("SET zebra striped"), ["OK"])
        answers = ["NOT_FOUND", "VALUE 53", "VALUE striped", "NOT_FOUND"]
        self.assertEqual(self.ask(*questions), answers)

        stats_before, disk_before = int(self.daemon.stats()["log_bytes"]), self.log_on_disk()
        self.daemon.hup()
        poll_until(lambda: self.daemon.stats()["compactions"] == "1", what="a compaction")
        self.assertLess(int(self.daemon.stats()["log_bytes"]), stats_before * 0.7)
        self.assertLess(self.log_on_disk(), disk_before * 0.7)
        self.assertEqual(self.ask(*questions), answers)

        self.daemon.kill9()
        self.daemon.restart()
        self.assertEqual(self.ask(*questions), answers)
        self.assertEqual(self.ask("COUNT"), ["OK %d" % (len(expected) - 1)])
        expected["zebra"] = "striped"
        del expected["ssh/tcp"]
        with self.daemon.connect() as client:
            self.assertEqual(client.contents(),
                             {k.encode(): v.encode() for k, v in expected.items()})


if __name__ == "__main__":
    main()
