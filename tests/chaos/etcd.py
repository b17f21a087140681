# SPDX-License-Identifier: Apache-2.0
"""Three members of etcd, and what can happen to them."""

import json
import shutil
import signal
import urllib.error
import urllib.request

from processes import Process, Trouble, wait_until
from free_ports import free_ports
from schedule import Fault

MEMBERS = 3


class Etcd:
    """The members by name; `listen` is the address for clients."""

    def __init__(self, folder, listen="127.0.0.1", words=()):
        self.folder = folder
        self.listen = listen
        self.words = words
        self.ports = free_ports(MEMBERS)
        self.members = {}
        self.start_new()

    def start_new(self):
        """Their first start, or the first after all that they held was lost."""
        between = free_ports(MEMBERS)
        cluster = ",".join(f"etcd{i + 1}=http://127.0.0.1:{between[i]}" for i in range(MEMBERS))
        for i, port in enumerate(self.ports):
            name = f"etcd{i + 1}"
            peer = f"http://127.0.0.1:{between[i]}"
            # Old revisions go away, as they do where people run it for long.
            command = ["etcd", "--name", name, "--data-dir", f"{self.folder}/{name}", "--logger", "zap",
                       "--snapshot-count", "5000", "--max-wals", "1", "--max-snapshots", "1",
                       "--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000",
                       "--listen-client-urls", f"http://{self.listen}:{port}",
                       "--advertise-client-urls", f"http://127.0.0.1:{port}",
                       "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--initial-cluster", cluster, *self.words]
            self.members[name] = Process(name, command, f"{self.folder}/{name}.log")
        self.start_all()

    def start_all(self):
        for member in self.members.values():
            member.start()
        if not wait_until(150, self.all_well, 0.2):
            raise Trouble(f"etcd does not come up: {next(iter(self.members.values())).last_words()}")

    def lose(self):
        """All of it, for good."""
        for name, member in self.members.items():
            member.kill()
            shutil.rmtree(f"{self.folder}/{name}")
        self.start_new()

    def port(self, name):
        return self.ports[list(self.members).index(name)]

    def url(self, host="127.0.0.1"):
        return "etcd://" + ",".join(f"{host}:{port}" for port in self.ports)

    def ask(self, name, path, body=None):
        """The JSON of an answer, or None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port(name)}{path}", body, timeout=3) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None

    def is_well(self, name):
        answer = self.ask(name, "/health")
        return bool(answer) and answer.get("health") == "true"

    def all_well(self):
        return all(self.is_well(name) for name in self.members)

    def leader(self):
        """The name of the member that leads, or None."""
        for name in self.members:
            status = self.ask(name, "/v3/maintenance/status", b"{}")
            if status and status.get("leader") == status["header"]["member_id"]:
                return name
        return None


class EtcdFault(Fault):
    def __init__(self, world, rng):
        super().__init__(world, rng)
        self.etcd = world.etcd
        self.member = rng.choice(sorted(self.etcd.members))
        # One at a time: the others stay a quorum.
        self.things = {"etcd"}

    @property
    def detail(self):
        return self.member

    def process(self):
        return self.etcd.members[self.member]

    def await_well(self, well):
        if not self.world.wait(60, well):
            raise Trouble(f"etcd does not come back: {self.process().last_words()}")


class EtcdKill(EtcdFault):
    name = "etcd-kill"

    def begin(self):
        self.process().kill()

    def end(self):
        self.process().start()
        self.await_well(lambda: self.etcd.is_well(self.member))


class EtcdLeaderKill(EtcdKill):
    name = "etcd-leader-kill"

    def begin(self):
        self.member = self.etcd.leader() or self.member
        super().begin()


class EtcdHang(EtcdFault):
    name = "etcd-hang"
    seconds = (0.5, 8.0)

    def begin(self):
        self.member = self.etcd.leader() or self.member
        self.process().signal(signal.SIGSTOP)

    def end(self):
        self.process().signal(signal.SIGCONT)


class EtcdAway(EtcdFault):
    """All of etcd hangs: I/O goes on."""
    name = "etcd-away"
    seconds = (1.0, 8.0)
    detail = "all"

    def begin(self):
        for member in self.etcd.members.values():
            member.signal(signal.SIGSTOP)

    def end(self):
        for member in self.etcd.members.values():
            member.signal(signal.SIGCONT)


class EtcdOutage(EtcdFault):
    """All of etcd is killed, and starts again: I/O goes on."""
    name = "etcd-outage"
    seconds = (2.0, 12.0)
    detail = "all"

    def begin(self):
        for member in self.etcd.members.values():
            member.kill()

    def end(self):
        for member in self.etcd.members.values():
            member.start()
        self.await_well(self.etcd.all_well)


ETCD = [EtcdKill, EtcdLeaderKill, EtcdHang, EtcdAway, EtcdOutage]
