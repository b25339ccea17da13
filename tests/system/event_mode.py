"""Runs the system tests of a file's name with event loops in every daemon.

make check copies this file to a file of each name, in a directory beside the tests.
"""

import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.environ.get("srcdir", os.path.join(HERE, "..", "..", "..")))
TESTS = os.path.join(TOP, "tests", "system")

if __name__ == "__main__":
    os.environ["KEYSTONE_TEST_IO_THREADS"] = "2"
    sys.path.insert(0, TESTS)
    runpy.run_path(os.path.join(TESTS, os.path.basename(__file__)), run_name="__main__")
