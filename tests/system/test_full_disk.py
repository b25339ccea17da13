#!/usr/bin/env python3
"""A full device, or a file size limit: writes are refused, reads go on, nothing is lost, and the way
out needs no shell."""

import os
import resource

import logformat
from harness import SystemTest, main, poll_until, run
from load import Load

DEVICE_FULL = b"ERROR log device full: writes are refused, reads go on"
RESERVE_SIZE = 4 << 20


def fill(client, prefix, value, limit=20000):
    """SETs one after the other until one is refused; returns how many went well."""
    for n in range(limit):
        reply = client.request(b"SET %s-%d %s" % (prefix, n, value))
        if reply != b"OK":
            if reply != DEVICE_FULL:
                raise AssertionError(reply)
            return n
    raise AssertionError("the device does not get full")


class Device(SystemTest):
    """A file system of its own, with a MiB of somebody else's in it."""

    SIZE_MIB = 7

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("only root can mount")
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        mounted = run("mount", "-t", "tmpfs", "-o", "size=%dm,mode=0755" % self.SIZE_MIB, "tmpfs",
                      self.disk)
        if mounted.returncode != 0:
            self.skipTest("mount is refused: " + mounted.stderr.strip())
        self.addCleanup(run, "umount", "-l", self.disk)
        self.ballast = os.path.join(self.disk, "ballast")
        logformat.write_file(self.ballast, bytes(1 << 20))
        self.daemon = self.start_daemon("--segment-size", "256k",
                                        data=os.path.join(self.disk, "data"))

    def kept(self):
        """Bytes that the reserve takes on the device."""
        return os.stat(os.path.join(self.daemon.data, "RESERVE")).st_blocks * 512

    def take_the_rest(self):
        """So that not a page is left."""
        with self.assertRaises(OSError), open(os.path.join(self.disk, "rest"), "wb", 0) as file:
            while True:
                file.write(bytes(4096))

    def delete_into_the_reserve(self, client):
        """DELETEs key-0 and so on, until the reserve was needed; returns how many."""
        for n in range(20000):
            if self.kept() == 0:
                return n
            self.assertTrue(client.delete("key-%d" % n))
        raise AssertionError("the reserve is not used")

    def wait_set(self, client, key, value):
        """Once it is not refused any more."""
        poll_until(lambda: client.request("SET %s %s" % (key, value)) == b"OK", what="SET works")


class SmallDevice(Device):
    def test_writes_are_refused_and_reads_go_on(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            self.assertGreater(count, 500)
            self.assertEqual(client.get("key-0"), b"x" * 1000)
            self.assertEqual(client.get("key-%d" % (count - 1)), b"x" * 1000)
            self.assertEqual(client.get("key-%d" % count), None)
            self.assertEqual(client.request("COUNT"), b"OK %d" % count)
            self.assertGreaterEqual(int(client.stats()["write_errors"]), 1)

    def test_a_start_on_it_says_where_it_listens_and_finds_the_way_out(self):
        with self.daemon.connect() as client:
            fill(client, b"key", b"x" * 1000)
        self.take_the_rest()
        self.daemon.kill9()
        before = self.daemon.addresses
        self.daemon.restart()  # learns the port from its file
        self.assertNotEqual(self.daemon.addresses, before)
        with self.daemon.connect() as client:
            self.assertTrue(client.delete("key-0"))
            self.assertEqual(client.request("COMPACT"), b"OK")

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
            self.assertEqual(self.kept(), RESERVE_SIZE)
            for n in range(count - 100):
                self.assertTrue(client.delete("key-%d" % n))
            self.assertEqual(client.request("SET key value"), DEVICE_FULL)
            before = int(client.stats()["log_bytes"])
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertLess(int(client.stats()["log_bytes"]), before / 2)
            self.assertEqual(self.kept(), RESERVE_SIZE)
            self.assertGreater(fill(client, b"again", b"y" * 1000), 500)
            self.assertEqual(client.get("key-%d" % (count - 1)), b"x" * 1000)

    def test_compact_alone_makes_room(self):
        with self.daemon.connect() as client:
            client.pipeline(b"SET key %s" % (b"x" * 1000) for _ in range(1000))
            fill(client, b"other", b"x" * 1000)
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertEqual(client.request("SET late value"), b"OK")
            self.assertEqual(self.kept(), RESERVE_SIZE)

    def test_the_way_out_is_open_after_a_restart(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 1000)
            gone = self.delete_into_the_reserve(client) + 500  # so that it can't be taken back
            client.pipeline(b"DELETE key-%d" % n for n in range(gone))
        self.daemon.kill9()
        with self.daemon.restart().connect() as client:
            self.assertEqual(client.request("SET key value"), DEVICE_FULL)
            for n in range(gone, count):
                self.assertTrue(client.delete("key-%d" % n))
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertEqual(client.request("SET key value"), b"OK")

    def test_what_was_let_go_is_kept_again_once_there_is_room(self):
        with self.daemon.connect() as client:
            fill(client, b"key", b"x" * 1000)
            self.delete_into_the_reserve(client)
            self.assertEqual(client.request("SET key value"), DEVICE_FULL)
            self.assertEqual(run("mount", "-o", "remount,size=16m", self.disk).returncode, 0)
            self.wait_set(client, "key", "value")
            self.assertEqual(self.kept(), RESERVE_SIZE)
            self.daemon.wait_log("there is room again")

    def test_verified_load_over_the_edge_loses_nothing(self):
        load = Load(keys=2000, value_size=2000, errors_allowed=True)
        load.start(self.daemon.addresses[0])
        load.wait_refused(50)
        os.unlink(self.ballast)
        load.wait_more(100)
        load.wait_refused(load.refused() + 50)
        load.crash(self.daemon)
        load.verify(self.daemon.restart().addresses[0])


class MoreThanTheReserve(Device):
    """More is alive than the reserve has room for."""

    SIZE_MIB = 14

    def test_compaction_without_room_leaves_the_old_log_and_says_what_it_needs(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 5000)
            live = int(client.stats()["live_bytes"])
            self.assertGreater(live, RESERVE_SIZE)
            self.assertRegex(client.request("COMPACT"), rb"\AERROR .*No space left on device; "
                             rb"a compaction now needs room for %d bytes\Z" % live)
            self.assertIn("needs room for %d bytes" % live, self.daemon.log())
            self.assertEqual(self.daemon.files(".log.tmp"), [])
            self.assertEqual(client.request("COUNT"), b"OK %d" % count)
            self.assertEqual(client.get("key-0"), b"x" * 5000)
            os.unlink(self.ballast)
            self.wait_set(client, "late", "value")
            self.assertEqual(self.kept(), RESERVE_SIZE)

    def test_deletes_bring_it_within_the_reserve(self):
        with self.daemon.connect() as client:
            count = fill(client, b"key", b"x" * 5000)
            for n in range(count - 700):
                self.assertTrue(client.delete("key-%d" % n))
            self.assertEqual(client.request("COMPACT"), b"OK")
            self.assertEqual(client.request("COUNT"), b"OK 700")
            self.assertEqual(client.request("SET late value"), b"OK")


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
