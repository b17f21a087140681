#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The load of tests/integration/memory-pressure.

  write DIR FILES MIB   writes files, each with an fsync at its end
  check DIR FILES MIB   compares every byte of them
  hog LEFT_MIB          takes memory until so much is available, and uses it
  probe FILE            small writes, each with an fdatasync, until SIGTERM

Each block of 4 KiB is like no other, and cheap to make: what is measured is
not this program.
"""

import array
import mmap
import os
import signal
import sys
import time

MIB = 1 << 20
PAGE = 4096
STAMPS = MIB // PAGE
PIECES = 16


class Content:
    """The bytes of one MiB: noise, and its number at the start of each block."""

    def __init__(self):
        self.buffer = mmap.mmap(-1, MIB)
        self.words = memoryview(self.buffer).cast("Q")
        noise = 5
        for i in range(MIB // 8):
            noise = (noise * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            self.words[i] = noise

    def of(self, number):
        first = number * STAMPS + 1
        self.words[::PAGE // 8] = memoryview(array.array("Q", range(first, first + STAMPS)))
        return self.buffer


class Longest:
    """Remembers how long the longest of several calls took."""

    def __init__(self):
        self.seconds = self.total = 0.0
        self.count = 0

    def of(self, call, *arguments):
        begin = time.monotonic()
        result = call(*arguments)
        took = time.monotonic() - begin
        self.seconds = max(self.seconds, took)
        self.total += took
        self.count += 1
        return result

    def __str__(self):
        return f"longest {self.seconds:.2f} s, mean {1000 * self.total / max(self.count, 1):.0f} ms"


def name_of(folder, number):
    return os.path.join(folder, f"file{number}")


def write(folder, files, mib):
    content, writes, syncs = Content(), Longest(), Longest()
    begin = time.monotonic()
    for i in range(int(files)):
        fd = os.open(name_of(folder, i), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        for j in range(int(mib)):
            data = content.of(i * int(mib) + j)
            if writes.of(os.write, fd, data) != MIB:
                sys.exit(f"short write to file {i}")
        syncs.of(os.fsync, fd)
        os.close(fd)
        print(f"# file {i} written after {time.monotonic() - begin:.0f} s", flush=True)
    print(f"# writes of 1 MiB: {writes}; fsyncs of a file: {syncs}")


def check(folder, files, mib):
    content, data = Content(), mmap.mmap(-1, MIB)
    begin = time.monotonic()
    for i in range(int(files)):
        with open(name_of(folder, i), "rb", buffering=0) as file:
            for j in range(int(mib)):
                got = file.readinto(data)
                if got != MIB or memoryview(data) != memoryview(content.of(i * int(mib) + j)):
                    sys.exit(f"file {i}: MiB {j} is not what was written")
            if file.read(1):
                sys.exit(f"file {i} is too long")
    print(f"# {files} files compared in {time.monotonic() - begin:.0f} s")


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    raise ValueError("no MemAvailable")


def taken(mib):
    memory = mmap.mmap(-1, mib * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[::PAGE] = b"\1" * (mib * STAMPS)
    return memory


def hog(left):
    """Takes it in pieces; one after the other is given back and taken again."""
    mib = max(available() - int(left), PIECES)
    pieces = [taken(mib // PIECES) for _ in range(PIECES)]
    print(f"taken: {mib} MiB, {available()} MiB are left", flush=True)
    while True:
        for i in range(PIECES):
            pieces[i].close()
            time.sleep(0.1)
            pieces[i] = taken(mib // PIECES)
            time.sleep(1)


def probe(path):
    flushes, going = Longest(), [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    while going:
        os.pwrite(fd, os.urandom(PAGE), 0)
        flushes.of(os.fdatasync, fd)
        time.sleep(2)
    print(f"small fdatasyncs beside it: {flushes.count}, {flushes}", flush=True)


def main():
    verbs = {"write": write, "check": check, "hog": hog, "probe": probe}
    verbs[sys.argv[1]](*sys.argv[2:])


main()
