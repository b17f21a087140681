#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos natively: see tests/integration/chaos.

One volume is under a load whose history is judged block by block, another
under fio, which verifies what it reads, a third under a database. What comes
last is the ordeal: all processes are killed at once, and everything must be
there; then all of etcd is lost for good, and everything must be there again.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import stores
from actions import REPLICATION, insist, unhealed
from faults import KINDS, MEASURED
from processes import Trouble, wait_until
from schedule import PATIENCE, Schedule, kinds_named
from work import BUILD, Bank, Fio, Load, Progress, Verdicts, judge
from world import World

BLOCKS = 4096
VOLUME_SIZE = "64MiB"       # more than these blocks: room for others' writes
STORE_SIZE = "1GiB"         # the cleaner has to keep pace


class Chaos:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.rng = random.Random(options.seed)
        self.verdicts = Verdicts()
        self.dead = []
        self.ended = False
        peers = options.peers or self.rng.choice((4, 5, 6))
        grace = self.rng.choice(("2s", "10min"))
        print(f"# chaos natively: seed {options.seed}, {options.minutes:g} minutes, {peers} torusd, "
              f"recovery grace {grace}; in {folder}", flush=True)
        self.world = World(folder, BUILD, peers, STORE_SIZE,
                           ("--recovery-grace", grace, "--scrub-rate", "256MiB", "--walk-interval", "20s"))
        self.world.takeovers = self.world.fenced = 0
        self.schedule = Schedule(self.world, self.rng, options.only or KINDS)
        self.progress = Progress(folder, self.counts)

    def start(self):
        world = self.world
        self.blocks = world.volume("blocks", VOLUME_SIZE)
        self.blocks.serve()
        self.load = Load(self.folder, self.options.seed, BLOCKS, "--rate", "300")
        self.load.open(self.blocks.path)
        files = world.volume("files", VOLUME_SIZE)
        files.serve()
        self.fio = Fio(self.folder, files)
        self.fio.thread.start()
        self.accounts = world.volume("bank", VOLUME_SIZE)
        self.accounts.serve()
        self.bank = Bank(self.folder)
        self.bank.open(self.accounts.path)
        world.users = {"blocks": self.load, "bank": self.bank}

    def counts(self):
        events = os.path.getsize(f"{self.folder}/history") // 32
        errors = len(self.load.errors) + bool(self.fio.failed) + bool(self.bank.failed)
        return (f"blocks={events} fio-rounds={self.fio.rounds} transactions={self.bank.transactions} "
                f"faults={sum(self.schedule.counts.values())} errors={errors}")

    def watch(self):
        """Who ended unasked is told once."""
        self.progress.tick()
        for process in self.world.ended_by_themselves():
            process.wanted = False
            self.dead.append(f"{process.name} ended with {process.popen.returncode}: {process.last_words(20)}")
            self.world.say(f"{process.name} has ended by itself")
            raise Trouble(self.dead[-1])
        for failed in (*self.load.errors, self.fio.failed, self.bank.failed):
            if failed:
                raise Trouble(f"an error that no fault explains: {failed}")

    def calm(self):
        """Faults end; then everything must be well soon."""
        self.schedule.heal()
        healed = time.monotonic()
        well = wait_until(PATIENCE, self.world.is_well, 0.2)
        print(f"# well again after {time.monotonic() - healed:.1f} s")
        self.verdicts.add(well, "the cluster is well soon after the last fault", self.world.status())
        insist(self.world, "scrub", "start")
        self.verdicts.add(wait_until(60, lambda: unhealed(self.world) == 0, 0.5), "no bad copy is left",
                          self.world.torusctl_run("scrub", "status").stdout)

    def stop(self):
        status = self.load.stop()
        self.fio.end()
        self.total = self.load.total
        wrong = self.bank.stop()
        self.verdicts.add(not wrong, "every transaction is there, and none by half", wrong)
        errors = list(self.load.errors)
        if status and not errors:
            errors.append(f"chaos-load ended with {status}")
        self.verdicts.add(not errors, "no I/O error that is not explained", "\n".join(errors[:20]))
        self.verdicts.add(not self.fio.failed, "fio has verified what it wrote", self.fio.failed)
        self.give_back()

    def give_back(self):
        for volume in self.world.volumes.values():
            status = volume.server.end()
            free = self.world.volume_status(volume.name)
            self.verdicts.add(status == 0 and free == "free", f"volume {volume.name} is given back in order",
                              f"status {status}, volume {free}: {volume.server.last_words()}")

    def check_copies(self):
        """Without any code of Torus: all copies, alike, and nothing of what was deleted."""
        wrong = []

        def complete():
            wrong[:] = stores.check(self.world.folders(), REPLICATION, self.world.deleted)
            return not wrong

        complete_now = wait_until(PATIENCE, complete, 1)
        chunks, copies = stores.count(self.world.folders())
        print(f"# {chunks} sealed chunks, {copies} copies, {len(self.world.deleted)} volumes deleted")
        self.verdicts.add(complete_now and chunks, "each chunk has all of its copies, and they are alike",
                          "\n".join(wrong[:20]))

    def read_all(self, when):
        world = self.world
        for volume in world.volumes.values():
            volume.serve()
        last = Load(self.folder, 0, BLOCKS, "--threads", "0")
        last.open(self.blocks.path)
        status = last.stop()
        self.verdicts.add(status == 0 and not last.errors, f"every block can be read after {when}",
                          "\n".join(last.errors[:20]))
        if not self.fio.failed:
            self.fio.verify_again()
        self.verdicts.add(not self.fio.failed, f"what fio wrote is there after {when}", self.fio.failed)
        bank = Bank(self.folder, self.bank.transactions)
        bank.open(self.accounts.path)
        wrong = bank.stop()
        self.verdicts.add(not wrong, f"the database is there after {when}", wrong)
        self.bank.transactions = bank.transactions

    def ordeal(self):
        """Serve again, kill everything, start everything, and read it all."""
        for volume in self.world.volumes.values():
            volume.serve()
        self.world.kill_all()
        self.world.start_all()
        self.read_all("all were killed")
        self.watch()

    def recover(self):
        """etcd is gone, with everything in it; the stores know it all."""
        world = self.world
        self.give_back()
        world.etcd.lose()
        peers = ",".join(world.address(name) for name in world.peers)
        result = world.torusctl_run("recover", "--from-peers", peers, "--yes", seconds=120)
        with open(f"{self.folder}/recover.log", "w", encoding="utf-8") as log:
            log.write(result.stdout + result.stderr)
        well = result.returncode == 0 and wait_until(90, world.is_well, 0.5)
        self.verdicts.add(well, "etcd is lost for good, and rebuilt from the stores",
                          result.stderr + world.status())
        if well:
            self.read_all("etcd was rebuilt")
            self.give_back()
            self.check_copies()

    def tell(self):
        print(f"# operations: {' '.join(f'{key}={value}' for key, value in self.total.items() if key != 'next')}; "
              f"fio rounds: {self.fio.rounds}; transactions: {self.bank.transactions}")
        self.schedule.tell()
        print(f"# attaches that failed because of a fault, and were tried again: {self.world.failed_attaches}")
        self.verdicts.add(self.world.fenced == self.world.takeovers,
                          f"each of {self.world.takeovers} servers that were taken over is fenced")

    def run(self):
        try:
            self.start()
            deadline = time.monotonic() + 60 * self.options.minutes
            if self.options.minutes >= 2 and not self.options.only:
                self.schedule.run_alone(MEASURED, 1.5, self.watch)
            self.schedule.run(deadline - time.monotonic(), self.watch, self.progress.is_quiet)
            self.calm()
            self.stop()
            self.check_copies()
            self.ordeal()
            self.recover()
            self.tell()
            self.watch()
            judge(self.verdicts, self.folder, self.schedule.windows, "no block is lost or wrong")
            self.verdicts.add(not self.dead, "nobody ended unasked", "\n".join(self.dead))
            self.ended = True
        except Exception as trouble:
            # Whatever it is, there is a verdict, and a folder to look at.
            expected = isinstance(trouble, (Trouble, OSError, subprocess.SubprocessError))
            self.schedule.tell()
            self.verdicts.add(False, "the run comes to its end", trouble if expected else traceback.format_exc())


def kinds_of(text):
    try:
        return kinds_named(KINDS, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def parse():
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--peers", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    parser.add_argument("--only", type=kinds_of, help="these kinds of faults: KIND,KIND...")
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
