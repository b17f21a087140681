# SPDX-License-Identifier: Apache-2.0
"""What works on a cluster while it is in trouble, and what judges that."""

import glob
import os
import subprocess
import threading
import time

from processes import Trouble, die_with_parent, shorten

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.environ.get("TORUS_BUILD", f"{TOP}/build")


class Load:
    """chaos-load: told of each new server; tells of errors."""

    def __init__(self, folder, seed, blocks, *words):
        self.history = f"{folder}/history"
        self.errors = []
        self.total = {}
        self.expected_losses = 0
        self.opened = threading.Event()
        self.popen = subprocess.Popen(
            [f"{BUILD}/chaos-load", "--history", self.history, "--seed", str(seed), "--blocks", str(blocks),
             *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.popen.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "total":
                self.total = {key: int(value) for key, value in (pair.split("=") for pair in rest.split())}
            elif word == "opened":
                self.opened.set()
            elif word == "lost" and self.expected_losses:
                self.expected_losses -= 1
            else:
                self.errors.append(line.strip())

    def say(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def expect_lost(self):
        self.expected_losses += 1

    def open(self, path):
        # Afterwards nothing is told of the session before.
        self.opened.clear()
        self.say(f"open {path}")
        if not self.opened.wait(30):
            raise Trouble("chaos-load does not open another server")
        self.expected_losses = 0

    def stop(self, seconds=240):
        self.say("stop")
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise Trouble(f"chaos-load: requests have no end within {seconds} s") from None
        self.listener.join()
        return status


class Bank:
    """chaos-bank: a database on a volume of its own, without a file system."""

    def __init__(self, folder, acked=0):
        self.lines = []
        self.transactions = acked
        self.failed = ""
        self.popen = subprocess.Popen([f"{BUILD}/chaos-bank", str(acked)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=open(f"{folder}/bank-sqlite.log", "ab"),
                                      text=True, preexec_fn=die_with_parent)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.popen.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "acked":
                self.transactions = int(rest)
            else:
                self.failed += line

    def expect_lost(self):
        """It finds out by itself."""

    def open(self, path):
        self.popen.stdin.write(f"open {path}\n")
        self.popen.stdin.flush()

    def stop(self, seconds=240):
        """What is wrong; nothing, if that is all right."""
        self.popen.stdin.close()
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return f"chaos-bank: no end within {seconds} s"
        self.listener.join()
        return self.failed or (status and f"chaos-bank ended with {status}") or ""


class Fio:
    """Rounds of random writes; each is read back and verified in the end."""

    def __init__(self, folder, volume, size="24M", rate="40m,3m"):
        self.folder = folder
        self.volume = volume    # or words that say where
        self.size = size
        self.rate = rate
        self.rounds = 0
        self.failed = ""
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    @staticmethod
    def file(path):
        return ["--ioengine=libaio", "--direct=1", f"--filename={path}"]

    def where(self):
        if isinstance(self.volume, list):
            return self.volume
        return ["--ioengine=nbd", f"--uri={self.volume.uri}"]

    def job(self, seed, *words):
        log = f"{self.folder}/fio.log"
        with open(log, "wb") as out:
            status = subprocess.run(
                ["fio", "--thread", "--name=job", *self.where(), "--rw=randwrite", "--end_fsync=1",
                 "--bsrange=4k-128k", "--iodepth=16", f"--randseed={seed}", f"--size={self.size}",
                 "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fsync=32", *words],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=400, check=False,
                preexec_fn=die_with_parent).returncode
        with open(log, encoding="utf-8", errors="replace") as out:
            text = out.read()
        if status or "err= 0" not in text:
            self.failed = f"fio, round {seed}, status {status}: {text[-1500:]}"
        return not self.failed

    def run(self):
        while not self.enough.is_set():
            self.rounds += 1
            try:
                if not self.job(self.rounds, f"--rate={self.rate}", "--do_verify=1"):
                    break
            except subprocess.TimeoutExpired:
                self.failed = f"fio, round {self.rounds}: no end within 400 s"
                break

    def end(self):
        self.enough.set()
        self.thread.join()

    def verify_again(self):
        return self.job(self.rounds, "--verify_only", "--do_verify=1")


class Verdicts:
    def __init__(self):
        self.passed = self.failed = 0

    def add(self, good, what, detail=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
        for line in str(detail).splitlines() if not good else ():
            print(f"# {line}")
        # Not as TAP: the last line counts, and once is enough.
        print(f"{'pass' if good else 'FAIL'}: {what}", flush=True)


# What a fault may cost at most by the clock, in ms, if the machine has time for
# it. Asserted in simulated time by build/sim --pauses; here it is only told.
EXPECTED = {"peer-kill": 100, "peer-hang": 1200, "link-partition": 1200, "link-one-way": 1200, "net-partition": 1200,
            "server-kill": 1000, "server-takeover": 1000, "helper-kill": 1000,
            "etcd-leader-kill": "as without", "etcd-outage": "as without"}


def told(line):
    """A pause, with what was expected."""
    kind = line.split()[1] if line.startswith("pause ") else None
    return f"# {line}" + (f" (expected: {EXPECTED[kind]})" if kind in EXPECTED and "never" not in line else "")


def judge(verdicts, folder, windows, what):
    """What chaos-check says of the history; the pauses are only told."""
    faults = f"{folder}/faults"
    with open(faults, "w", encoding="ascii") as file:
        for window in windows:
            file.write("%s %d %d\n" % window)
    result = subprocess.run([f"{BUILD}/chaos-check", f"{folder}/history", faults], capture_output=True,
                            text=True, check=False)
    for line in result.stdout.splitlines():
        if line.startswith(("judged", "pause")):
            print(told(line))
    verdicts.add(result.returncode == 0, what, result.stdout[:6000] + result.stderr)


def disk_use(folder):
    """Bytes that a folder takes."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Progress:
    """A line each minute; meanwhile logs stay short, and the disk is not filled.

    A torusd that missed the deletion of a chunk finds out by itself, but only
    when it has lived for some minutes, and faults seldom let it. So above
    `enough` bytes no new faults begin until it has gone: which it must.
    """
    enough, few, most = 4 << 30, 3 << 30, 8 << 30
    patience = 600

    def __init__(self, folder, counts):
        self.folder = folder
        self.counts = counts        # () -> a line
        self.begin = self.last = time.monotonic()
        self.lull = None            # its begin
        self.lulls = 0

    def tick(self):
        now = time.monotonic()
        if now < self.last + (20 if self.lull else 60):
            return
        self.last = now
        used = disk_use(self.folder)
        print(f"# minute {(now - self.begin) / 60:.1f}: {self.counts()} disk={used >> 20}MiB"
              f"{' (no new faults: waiting for garbage to go)' if self.lull else ''}", flush=True)
        for path in glob.glob(f"{self.folder}/*.log"):
            shorten(path)
        if used > self.most:
            raise Trouble(f"{self.folder} takes {used >> 20} MiB")
        self.breathe(used, now)

    def breathe(self, used, now):
        if not self.lull and used > self.enough:
            self.lull = now
            self.lulls += 1
        elif self.lull and used < self.few:
            self.lull = None
        elif self.lull and now > self.lull + self.patience:
            raise Trouble(f"{used >> 20} MiB are stored, and do not become less in {self.patience} s without faults")

    def is_quiet(self):
        return self.lull is not None
