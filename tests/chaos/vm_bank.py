# SPDX-License-Identifier: Apache-2.0
"""A file system on a device, and databases on it: tests/chaos/bank with what it
needs."""

import glob
import os
import subprocess
import sys

from processes import Process, Trouble, wait_until
from vm_world import run, try_run
from work import TOP


class FileSystem:
    """Made and mounted when it is first used."""
    kinds = {"ext4": ("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1"),
             "xfs": ("mkfs.xfs", "-q", "-f")}

    def __init__(self, device, kind):
        self.device = device
        self.folder = "/run/torus-bank"
        run(*self.kinds[kind], device.path)
        os.makedirs(self.folder, exist_ok=True)
        self.mount()

    def mount(self):
        run("mount", self.device.path, self.folder)

    def give_up(self):
        """Its device has gone; whoever has files there keeps them."""
        run("umount", "-l", self.folder)

    def umount(self):
        if not wait_until(30, lambda: try_run("umount", self.folder), 0.2):
            raise Trouble(f"{self.folder} stays busy")


class Bank:
    """A database, of which one process does transactions."""

    def __init__(self, system, folder):
        self.system = system
        self.acked_path = f"{folder}/{self.kind}.acked"
        self.process = Process(f"bank-{self.kind}", self.command("run"), f"{folder}/bank-{self.kind}.log")

    def command(self, verb):
        return [sys.executable, "-S", f"{TOP}/tests/chaos/bank", verb, self.database(), self.acked_path]

    def run(self):
        self.process.start()

    def ended(self):
        return [self.process] if self.process.ended_by_itself() else []

    def acked(self):
        try:
            with open(self.acked_path, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return 0

    def die(self):
        self.process.kill()

    def check(self, verdicts):
        """After a crash, on the file system that is mounted again."""
        result = subprocess.run(self.command("check"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=200, check=False)
        print(f"# {self.kind}: {(result.stdout + result.stderr).strip()}")
        verdicts.add(result.returncode == 0, f"{self.kind}: every transaction is there, and none by half",
                     result.stderr)


class Sqlite(Bank):
    kind = "sqlite"

    def database(self):
        return f"sqlite:{self.system.folder}/bank.db"


class Postgres(Bank):
    kind = "postgres"
    socket = "/run/torus-pg"
    options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={socket}", "-c", "shared_buffers=8MB",
               "-c", "max_connections=10", "-c", "checkpoint_timeout=30s", "-c", "max_wal_size=32MB",
               "-c", "log_checkpoints=off")
    # It does not run as root; setpriv becomes what it runs.
    as_postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--")

    def __init__(self, system, folder):
        super().__init__(system, folder)
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        os.environ["PATH"] += f":{self.programs}"
        self.data = f"{system.folder}/data"
        self.server = Process("postgres", [*self.as_postgres, f"{self.programs}/postgres", "-D", self.data,
                                           *self.options], f"{folder}/postgres.log")
        for path in (self.data, self.socket):
            os.makedirs(path, mode=0o700)
            run("chown", "postgres", path)
        if "TORUS_INITDB" in os.environ:
            run("tar", "-C", system.folder, "-xf", os.environ["TORUS_INITDB"], seconds=150)
        else:
            run(*self.as_postgres, f"{self.programs}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres",
                "--no-sync", "--data-checksums", "--wal-segsize=1", "-E", "UTF8", "--no-locale", seconds=300)

    def database(self):
        return f"postgres:{self.socket}"

    def run(self):
        self.start()
        super().run()

    def start(self):
        self.server.start()

        def answers():
            if not self.server.runs():
                raise Trouble(f"postgres ended: {self.server.last_words()}")
            return try_run("pg_isready", "-q", "-h", self.socket)

        if not wait_until(200, answers, 0.3):
            raise Trouble(f"postgres does not start: {self.server.last_words()}")

    def ended(self):
        return super().ended() + ([self.server] if self.server.ended_by_itself() else [])

    def die(self):
        super().die()
        # Its children end when it is gone, and keep the file system until then.
        self.server.kill()

    def check(self, verdicts):
        self.start()
        super().check(verdicts)
        self.server.end(60)
