# SPDX-License-Identifier: Apache-2.0
"""A disk's volatile cache, by the kernel's dm-log-writes.

All writes of a disk are logged in the order in which they ended, with their
flushes. A disk that loses power has what was there before the last flush; of
what came later it has any part. That is what is put together here, from an
image of the disk as it was when the log began, and the log.

The log: a sector of header, then for each request a sector that describes it,
and its data (Documentation/admin-guide/device-mapper/log-writes.rst).
"""

import os
import struct

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512


def entries(path):
    """(flags, sector, sectors, offset of the data) of each logged request."""
    with open(path, "rb") as log:
        magic, version, count, size = struct.unpack("<QQQI", log.read(28))
        if magic != MAGIC or version != 1:
            raise ValueError(f"{path} is no log of writes")
        at = size
        for _ in range(count):
            log.seek(at)
            sector, sectors, flags, length = struct.unpack("<QQQQ", log.read(32))
            yield flags, sector, sectors, at + size
            at += size
            if flags & MARK:
                at += (length + size - 1) // size * size
            elif not flags & DISCARD:
                at += sectors * SECTOR


def replay(log_path, image_path, rng):
    """Into the image: all up to the last flush, and some of the rest.

    (how many writes are lost, how many of those since the flush are not)
    """
    every = list(entries(log_path))
    flushes = [i for i, (flags, *_) in enumerate(every) if flags & FLUSH]
    safe = flushes[-1] if flushes else 0
    lost = kept = 0
    with open(log_path, "rb") as log, open(image_path, "r+b") as image:
        for i, (flags, sector, sectors, at) in enumerate(every):
            if flags & (MARK | DISCARD) or not sectors:
                continue
            if i >= safe and not flags & FUA:
                if rng.random() < 0.5:
                    lost += 1
                    continue
                kept += 1
            log.seek(at)
            image.seek(sector * SECTOR)
            image.write(log.read(sectors * SECTOR))
    return lost, kept


class Log:
    """The log of one disk of vm_world.py, while it lasts."""

    def __init__(self, disk):
        self.disk = disk
        self.before = f"{disk.image}.before"
        self.file = f"{disk.image}.log"

    def begin(self):
        from vm_world import run
        disk = self.disk
        run("truncate", "-s", "1G", self.file)
        self.loop = run("losetup", "-f", "--show", self.file).strip()
        # Suspended, with its file system frozen, the image stands still.
        run("dmsetup", "suspend", disk.name)
        run("cp", "--sparse=always", disk.image, self.before, seconds=120)
        run("dmsetup", "load", disk.name, "--table", f"0 {disk.sectors} log-writes {disk.loop} {self.loop}")
        run("dmsetup", "resume", disk.name)

    def end(self, rng):
        """The disk, not mounted any more, as it is without its cache."""
        from vm_world import run
        disk = self.disk
        run("dmsetup", "suspend", "--nolockfs", disk.name)
        run("dmsetup", "load", disk.name, "--table", f"0 {disk.sectors} error")
        run("dmsetup", "resume", disk.name)
        run("losetup", "-d", self.loop)
        run("losetup", "-d", disk.loop)
        result = replay(self.file, self.before, rng)
        os.replace(self.before, disk.image)
        os.unlink(self.file)
        disk.loop = run("losetup", "-f", "--show", disk.image).strip()
        disk.table(disk.linear)
        return result
