# SPDX-License-Identifier: Apache-2.0
"""When copies come and are in their place, for tests/bench/repair.

A store names a copy as a chunk when all of it is verified and durable (the
file's data is synced before the rename); until then the file is called
CHUNK.restore-N. So the end is when the bytes of chunks have grown by what was
lost, and the beginning when the first such file is seen.

Prints the seconds between, and the CPU seconds that the given processes spent
meanwhile, their threads in the kernel included.
"""

import os
import sys
import time

POLL_S = 0.01
NAME_LENGTH = 12


def chunk_files(folders):
    for folder in folders:
        for volume in os.scandir(os.path.join(folder, "chunks")):
            yield from os.scandir(volume.path)


def look(folders):
    """Bytes of chunks; whether a copy is on its way."""
    total, coming = 0, False
    for entry in chunk_files(folders):
        if len(entry.name) != NAME_LENGTH:
            coming = True
            continue
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            pass
    return total, coming


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait(folders, limit_s, reached):
    give_up = time.monotonic() + limit_s
    while not reached(*look(folders)):
        if time.monotonic() > give_up:
            sys.exit("the copies do not come to their end")
        time.sleep(POLL_S)


def main():
    lost, grace_s = int(sys.argv[1]), float(sys.argv[2])
    pids, folders = sys.argv[3].split(","), sys.argv[4:]
    before = look(folders)[0]
    wait(folders, grace_s + 10, lambda total, coming: coming or total > before)
    start, cpu = time.monotonic(), cpu_seconds(pids)
    wait(folders, 600, lambda total, coming: total >= before + lost)
    print(f"{time.monotonic() - start:.3f} {cpu_seconds(pids) - cpu:.2f}")


main()
