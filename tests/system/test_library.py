#!/usr/bin/env python3
"""libkeystone as it is installed: the example of keystone(3) builds against it and runs."""

import os
import re
import shlex
import shutil
import unittest

from harness import KEYSTONE_LOG, TOP, SystemTest, main, run

BUILD = os.environ.get("KEYSTONE_BUILD", "")
COMPILER = shlex.split(os.environ.get("CXX", "c++"))
FLAGS = shlex.split(os.environ.get("KEYSTONE_SANITIZE_FLAGS", ""))


def example():
    """The program in keystone(3)."""
    with open(os.path.join(TOP, "man", "keystone.3.in"), encoding="utf-8") as page:
        text = re.search(r"^\.Bd -literal\n(.*?)^\.Ed$", page.read(), re.DOTALL | re.MULTILINE)
    return text.group(1).replace("\\e", "\\")


@unittest.skipUnless(BUILD and shutil.which(COMPILER[0]) and shutil.which("make")
                     and shutil.which("pkg-config"), "no compiler, make or pkg-config")
class InstalledLibrary(SystemTest):
    def setUp(self):
        super().setUp()
        self.installed = self.path("installed")
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        done = run("make", "-s", "-C", BUILD, "install", "DESTDIR=" + self.installed,
                   env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)

    def flags(self):
        """What pkg-config says, for the tree under DESTDIR."""
        found = [directory for directory, _, names in os.walk(self.installed)
                 if "keystone.pc" in names]
        self.assertEqual(len(found), 1)
        system = run("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip()
        done = run("pkg-config", "--cflags", "--libs", "keystone", env=dict(
            os.environ, PKG_CONFIG_LIBDIR=found[0] + ":" + system,
            PKG_CONFIG_SYSROOT_DIR=self.installed))
        self.assertEqual(done.returncode, 0, done.stderr)
        return shlex.split(done.stdout)

    def build_example(self):
        source = self.write_file("example.cc", example())
        done = run(*COMPILER, "-std=c++20", *FLAGS, source, "-o", self.path("example"),
                   *self.flags())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_example_of_the_manual_page_does_what_it_says(self):
        self.build_example()
        for count in (1, 2):  # the second time on what the first has stored
            done = run(self.path("example"), cwd=self.directory)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            lines = done.stdout.splitlines()
            self.assertEqual(lines[:2], [f"{count} apples", "apple is red"])
            self.assertEqual(sorted(lines[2:-1]),
                             ["a key: apple", "a key: apples", "a key: banana"])
            self.assertEqual(lines[-1], "3 keys")
        self.assertEqual(run(KEYSTONE_LOG, "check", self.path("fruit")).returncode, 0)


if __name__ == "__main__":
    main()
