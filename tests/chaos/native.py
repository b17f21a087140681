#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos natively: see tests/integration/chaos.

One volume is under a load whose history is judged block by block, another
under fio, which verifies what it reads. What comes last is the ordeal: all
processes are killed at once, and everything must be there.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

from faults import KINDS, MEASURED, Schedule
from processes import Trouble, wait_until
from work import BUILD, Fio, Load, Verdicts, judge
from world import World

BLOCKS = 4096
VOLUME_SIZE = "64MiB"       # more than these blocks: room for others' writes


class Chaos:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.rng = random.Random(options.seed)
        self.verdicts = Verdicts()
        peers = options.peers or self.rng.choice((4, 5, 6))
        print(f"# chaos natively: seed {options.seed}, {options.minutes:g} minutes, {peers} torusd", flush=True)
        self.world = World(folder, BUILD, peers, f"{int(2 + 2 * options.minutes)}GiB")
        self.world.takeovers = self.world.fenced = 0
        self.schedule = Schedule(self.world, self.rng, KINDS)
        self.dead = []
        self.ended = False

    def start(self):
        world = self.world
        self.blocks = world.volume("blocks", VOLUME_SIZE)
        self.blocks.serve()
        self.load = world.load = Load(self.folder, self.options.seed, BLOCKS, "--rate", "300")
        self.load.open(self.blocks.path)
        files = world.volume("files", VOLUME_SIZE)
        files.serve()
        self.fio = Fio(self.folder, files)
        self.fio.thread.start()

    def watch(self):
        """Who ended unasked is told once, and started again."""
        for process in self.world.ended_by_themselves():
            process.wanted = False
            self.dead.append(f"{process.name} ended with {process.popen.returncode}: {process.last_words(20)}")
            self.world.say(f"{process.name} has ended by itself")
            raise Trouble(self.dead[-1])

    def calm(self):
        """Faults end; then everything must be well soon."""
        self.schedule.heal()
        healed = time.monotonic()
        well = wait_until(120, self.world.is_well)
        print(f"# well again after {time.monotonic() - healed:.1f} s")
        self.verdicts.add(well, "the cluster is well soon after the last fault", self.world.status())

    def stop(self):
        status = self.load.stop()
        self.fio.end()
        self.watch()
        self.total = self.load.total
        errors = list(self.load.errors)
        if status and not errors:
            errors.append(f"chaos-load ended with {status}")
        self.verdicts.add(not errors, "no I/O error that is not explained", "\n".join(errors[:20]))
        self.verdicts.add(not self.fio.failed, "fio has verified what it wrote", self.fio.failed)
        for volume in self.world.volumes.values():
            status = volume.server.end()
            free = self.world.volume_status(volume.name)
            self.verdicts.add(status == 0 and free == "free", f"volume {volume.name} is given back in order",
                              f"status {status}, volume {free}: {volume.server.last_words()}")

    def ordeal(self):
        """Serve again, kill everything, start everything, and read it all."""
        world = self.world
        for volume in world.volumes.values():
            volume.serve()
        world.kill_all()
        world.start_all()
        for volume in world.volumes.values():
            volume.serve()
        last = Load(self.folder, 0, BLOCKS, "--threads", "0")
        last.open(self.blocks.path)
        status = last.stop()
        self.verdicts.add(status == 0 and not last.errors, "every block can be read after all were killed",
                          "\n".join(last.errors[:20]))
        if not self.fio.failed:
            self.fio.verify_again()
        self.verdicts.add(not self.fio.failed, "what fio wrote is there after all were killed", self.fio.failed)
        self.watch()

    def tell(self):
        world = self.world
        counts = " ".join(f"{kind}={count}" for kind, count in sorted(self.schedule.counts.items()))
        print(f"# operations: {' '.join(f'{key}={value}' for key, value in self.total.items() if key != 'next')}; "
              f"fio rounds: {self.fio.rounds}")
        print(f"# faults: {sum(self.schedule.counts.values())}: {counts}")
        print(f"# attaches that failed because of a fault, and were tried again: {world.failed_attaches}")
        self.verdicts.add(world.fenced == world.takeovers,
                          f"each of {world.takeovers} servers that were taken over is fenced")

    def run(self):
        try:
            self.start()
            deadline = time.monotonic() + 60 * self.options.minutes
            if self.options.minutes >= 2:
                self.schedule.run_alone(MEASURED, 1.5, self.watch)
            self.schedule.run(deadline - time.monotonic(), self.watch)
            self.calm()
            self.stop()
            self.tell()
            self.ordeal()
            judge(self.verdicts, self.folder, self.schedule.windows, "no block is lost or wrong")
            self.verdicts.add(not self.dead, "nobody ended unasked", "\n".join(self.dead))
            self.ended = True
        except (Trouble, OSError, subprocess.SubprocessError) as trouble:
            self.verdicts.add(False, "the run comes to its end", trouble)


def parse():
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--peers", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little")
    return options


def main():
    options = parse()
    folder = tempfile.mkdtemp(prefix="torus-chaos-")
    chaos = None
    try:
        chaos = Chaos(options, folder)
        chaos.run()
    finally:
        if chaos:
            chaos.world.end()
        if chaos and chaos.ended and not chaos.verdicts.failed and not options.keep:
            shutil.rmtree(folder)
        else:
            print(f"# what is left of it: {folder} (logs, schedule, history)")
    print(f"{chaos.verdicts.passed} passed, {chaos.verdicts.failed} failed")
    sys.exit(1 if chaos.verdicts.failed else 0)


if __name__ == "__main__":
    main()
