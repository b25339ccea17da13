#!/usr/bin/env python3
"""A full device, or a file size limit: writes are refused, reads go on, nothing is lost."""

import os
import resource

import logformat
from harness import SystemTest, main, run
from load import Load

DEVICE_FULL = b"ERROR log device full: writes are refused, reads go on"


def fill(client, prefix, value, limit=20000):
    """SETs one after the other until one is refused; returns how many went well."""
    for n in range(limit):
        reply = client.request(b"SET %s-%d %s" % (prefix, n, value))
        if reply != b"OK":
            if reply != DEVICE_FULL:
                raise AssertionError(reply)
            return n
    raise AssertionError("the device does not get full")


class SmallDevice(SystemTest):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("only root can mount")
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        mounted = run("mount", "-t", "tmpfs", "-o", "size=3m,mode=0755", "tmpfs", self.disk)
        if mounted.returncode != 0:
            self.skipTest("mount is refused: " + mounted.stderr.strip())
        self.addCleanup(run, "umount", "-l", self.disk)
        self.ballast = os.path.join(self.disk, "ballast")
        logformat.write_file(self.ballast, bytes(1 << 20))
        self.daemon = self.start_daemon("--segment-size", "256k",
                                        data=os.path.join(self.disk, "data"))

    def test_writes_are_refused_and_reads_go_on(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            self.assertGreater(count, 500)
            self.assertEqual(client.get("key-0"), b"x" * 1000)
            self.assertEqual(client.get("key-%d" % (count - 1)), b"x" * 1000)
            self.assertEqual(client.get("key-%d" % count), None)
            self.assertEqual(client.request("COUNT"), b"OK %d" % count)
            self.assertGreaterEqual(int(client.stats()["write_errors"]), 1)

    def test_writes_work_again_once_there_is_room(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            os.unlink(self.ballast)
            client.set("late", "value")
            self.assertEqual(client.request("COUNT"), b"OK %d" % (count + 1))
        self.daemon.kill9()
        stats = self.daemon.restart().stats()
        self.assertEqual((stats["keys"], stats["recovered_truncated_bytes"]),
                         (str(count + 1), "0"))

    def test_a_restart_on_the_full_device_serves_everything(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
        self.daemon.kill9()
        self.assertEqual(self.daemon.restart().request("COUNT"), b"OK %d" % count)
        self.assertEqual(self.daemon.request("GET key-0"), b"VALUE " + b"x" * 1000)

    def test_delete_and_compact_make_room(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            os.unlink(self.ballast)
            for n in range(count - 100):
                self.assertTrue(client.delete("key-%d" % n))
            before = int(client.stats()["log_bytes"])
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertLess(int(client.stats()["log_bytes"]), before / 2)
            self.assertGreater(fill(client, b"again", b"y" * 1000), 500)
            self.assertEqual(client.get("key-%d" % (count - 1)), b"x" * 1000)

    def test_compaction_without_room_leaves_the_old_log(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            self.assertRegex(client.request("COMPACT"), rb"\AERROR ")
            self.assertEqual(self.daemon.files(".tmp"), [])
            self.assertEqual(client.request("COUNT"), b"OK %d" % count)
            self.assertEqual(client.get("key-0"), b"x" * 1000)
            os.unlink(self.ballast)
            self.assertEqual(client.request("SET late value"), b"OK")

    def test_verified_load_over_the_edge_loses_nothing(self):
        load = Load(keys=2000, value_size=2000, errors_allowed=True)
        load.start(self.daemon.addresses[0])
        load.wait_refused(50)
        os.unlink(self.ballast)
        load.wait_more(100)
        load.wait_refused(load.refused() + 50)
        load.crash(self.daemon)
        load.verify(self.daemon.restart().addresses[0])


class FileSizeLimit(SystemTest):
    def test_writes_are_refused_and_work_again_once_it_is_lifted(self):
        daemon = self.start_daemon("--fsync", "no")
        daemon.set_limit(resource.RLIMIT_FSIZE, 200000)
        with daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            self.assertEqual(client.get("key-0"), b"x" * 1000)
            self.assertEqual(client.request("COUNT"), b"OK %d" % count)
            daemon.set_limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
            client.set("late", "value")
        daemon.kill9()
        stats = daemon.restart().stats()
        self.assertEqual((stats["keys"], stats["recovered_truncated_bytes"]),
                         (str(count + 1), "0"))

    def test_a_pipeline_over_the_edge_is_answered_one_by_one(self):
        daemon = self.start_daemon("--fsync", "no")
        daemon.set_limit(resource.RLIMIT_FSIZE, 200000)
        with daemon.connect() as client:
            replies = client.pipeline(b"SET key-%d %s" % (n, b"x" * 1000) for n in range(1000))
            self.assertLessEqual(set(replies), {b"OK", DEVICE_FULL})
            self.assertIn(DEVICE_FULL, replies)
            found = client.pipeline(b"EXISTS key-%d" % n for n in range(1000))
            self.assertEqual([reply == b"OK" for reply in replies],
                             [reply == b"OK" for reply in found])


if __name__ == "__main__":
    main()
