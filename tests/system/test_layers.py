#!/usr/bin/env python3
"""Includes point down the layers only: base <- store <- net, base <- daemon."""

import os
import re
import unittest

from harness import TOP, main

ALLOWED = {
    "base": {"base"},
    "store": {"base", "store"},
    "net": {"base", "store", "net"},
    "daemon": {"base", "daemon"},
    "cli": {"base", "cli"},
    "log": {"base", "store", "log"},
    "bench": {"base", "store", "cli", "bench"},
}
SOURCES = os.path.join(TOP, "src")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def sources(directory):
    for name in sorted(os.listdir(directory)):
        if name.endswith((".h", ".cc")):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                yield name, file.read()


class Layers(unittest.TestCase):
    def test_every_directory_has_its_place(self):
        found = {name for name in os.listdir(SOURCES) if os.path.isdir(os.path.join(SOURCES, name))
                 and any(sources(os.path.join(SOURCES, name)))}
        self.assertEqual(found, set(ALLOWED))

    def test_includes_point_down(self):
        wrong = []
        for layer, allowed in ALLOWED.items():
            for name, text in sources(os.path.join(SOURCES, layer)):
                for include in INCLUDE.findall(text):
                    target = include.split("/")[0] if "/" in include else None
                    if include != "config.h" and target not in allowed:
                        wrong.append("%s/%s includes %s" % (layer, name, include))
        self.assertEqual(wrong, [])

    def test_includes_are_rooted_at_the_source_directory(self):
        wrong = []
        for layer in ALLOWED:
            for name, text in sources(os.path.join(SOURCES, layer)):
                wrong += ["%s/%s: %s" % (layer, name, include) for include in INCLUDE.findall(text)
                          if include != "config.h" and not self.exists(include)]
        self.assertEqual(wrong, [])

    @staticmethod
    def exists(include):
        return os.path.exists(os.path.join(SOURCES, include))

    def test_the_store_knows_no_sockets(self):
        for name, text in sources(os.path.join(SOURCES, "store")):
            self.assertNotRegex(text, r"<(sys/socket|netinet/\w+|arpa/inet|event2/\w+)\.h>", name)


if __name__ == "__main__":
    main()
