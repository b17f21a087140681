# SPDX-License-Identifier: Apache-2.0
"""Processes that may die at any moment, and the proxy between them."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

# For what all tests share.
sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Trouble(Exception):
    """The test itself cannot go on."""


def wait_until(seconds, condition, pause=0.02):
    """Whether the condition came true in time. For what nothing announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def run_within(seconds, *command):
    """The result of a command; one that does not end fails, and says so."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                              check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end within {seconds} s")


def shorten(path, most=32 << 20, kept=8 << 20):
    """A log that has grown past `most` keeps its end. Who writes it appends."""
    if os.path.getsize(path) <= most:
        return
    with open(path, "r+b") as log:
        log.seek(-kept, os.SEEK_END)
        end = log.read()
        log.truncate(0)
    with open(path, "ab") as log:
        log.write(b"(what was before is not kept)\n" + end)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One command that can be started again; what it says goes to a file."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.command = command
        self.log = log
        self.environment = {**os.environ, **(environment or {})}
        self.popen = None
        self.wanted = False     # to run: its end would be news

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=self.environment, preexec_fn=die_with_parent)
        self.wanted = True

    def runs(self):
        return self.popen is not None and self.popen.poll() is None

    def ended_by_itself(self):
        return self.wanted and not self.runs()

    def signal(self, number):
        if self.runs():
            self.popen.send_signal(number)

    def kill(self):
        """At once; returns when it is gone."""
        self.wanted = False
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def end(self, seconds=60):
        """In order; the status is its own. One that does not end is killed."""
        self.wanted = False
        self.popen.terminate()
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Trouble(f"{self.name} did not end within {seconds} s") from None

    def last_words(self, lines=5):
        with open(self.log, "rb") as log:
            return b"".join(log.readlines()[-lines:]).decode(errors="replace")


class Proxy:
    """chaos-proxy: a port for each link, and the rules of what goes through."""

    def __init__(self, program):
        self.popen = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      preexec_fn=die_with_parent)
        self.lock = threading.Lock()

    def say(self, line):
        with self.lock:
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()
            answer = self.popen.stdout.readline().strip()
        if answer != "ok":
            raise Trouble(f"chaos-proxy: {answer or 'has ended'}")

    def link(self, name, port, server):
        self.say(f"link {name} {port} {server}")

    def rule(self, name, mode, who="any", direction="both"):
        self.say(f"rule {name} {who} {direction} {mode}")

    def end(self):
        self.popen.stdin.close()
        self.popen.wait()
